from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.pauses import ALL, LABEL, KnownPauses, Pause, Pauses
from autoscaler.coordination.pausing import PauseRequest, Pausing
from autoscaler.core.model import Direction
from autoscaler.errors import UnreachableError
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from autoscaler.util.deadline import Deadline
from tests.support.builders import NOW
from tests.support.world import FaultyEngine, raising

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICES = ("web", "api")
NAMES = st.sampled_from([*SERVICES, ALL])
TIMES = st.floats(0, 1e11)
TEXT = st.text(max_size=30).map(lambda text: " ".join(text.split())).filter(str.isprintable)
PAUSES = st.builds(Pause, TIMES, st.none() | TIMES, TEXT, TEXT)
ALL_PAUSES = st.dictionaries(NAMES, st.dictionaries(st.sampled_from(Direction), PAUSES, min_size=1), max_size=3).map(
    Pauses
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["up", "down", "both", "since", "until", "by", "reason"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(ALL_PAUSES)
def test_labels_say_the_same(pauses: Pauses) -> None:
    """What is written to labels is read of them."""
    assert Pauses.of_labels(pauses.labels()) == pauses


@given(st.dictionaries(NAMES.map(LABEL.__add__) | st.text(max_size=10), JSON.map(json.dumps) | st.text(), max_size=4))
def test_labels_of_anybody_are_read_and_kept(labels: Mapping[str, str]) -> None:
    """Whatever labels say: what is one of a service pauses it, is told, and no label is lost by a write."""
    pauses = Pauses.of_labels(labels)

    read = {label.removeprefix(LABEL) for label in labels if label.startswith(LABEL) and label != LABEL}
    assert read == pauses.of.keys() | pauses.damaged.keys()
    assert pauses.labels().keys() == set(labels)
    assert all(pauses.labels()[label] == labels[label] for label in {*pauses.foreign})
    assert all(line.isprintable() for line in pauses.lines(0))
    for name in pauses.damaged:
        assert pauses.holding(name, 1e12).keys() == set(Direction)


@given(ALL_PAUSES, NAMES, st.sets(st.sampled_from(Direction), min_size=1), PAUSES, st.sampled_from(SERVICES), TIMES)
def test_a_pause_never_frees(  # noqa: PLR0917, PLR0913 - as many as there are facts
    pauses: Pauses, name: str, ways: set[Direction], pause: Pause, service: str, now: float
) -> None:
    """Whatever is paused stays so, to the moment, when something is paused besides; and it is paused."""
    after = pauses.with_pause(name, ways, pause)

    assert pauses.holding(service, now).keys() <= after.holding(service, now).keys()
    if not pause.over(now) and name in {service, ALL}:
        assert ways <= after.holding(service, now).keys()
    assert after.with_pause(name, ways, pause) == after


@given(ALL_PAUSES, TIMES, st.sampled_from(SERVICES))
def test_what_is_left_out_held_nothing(pauses: Pauses, now: float, service: str) -> None:
    """What a write leaves out as long over held nothing."""
    assert pauses.holding(service, now) == pauses.pruned(now).holding(service, now)


class Operators(RuleBasedStateMachine):
    """Operators pause and resume, answers and reads are lost, and autoscalers come and go, on a simulated Swarm."""

    @initialize()
    def begin(self) -> None:
        """Nothing was ever paused."""
        self.clock = ManualClock()
        self.api = FaultyEngine(SimulatedEngine(self.clock))
        self.pausing = Pausing(SwarmPauses(self.api), lambda _: SERVICES)
        self.model: dict[tuple[str, Direction], float] = {}
        """Until when each service is paused in each direction."""
        self.known = KnownPauses(SwarmPauses(self.api))
        self.fresh = True

    @rule(
        names=st.sets(st.sampled_from(SERVICES)),
        way=st.none() | st.sampled_from(Direction),
        lasting=st.none() | st.integers(1, 100),
    )
    def pause(self, names: set[str], way: Direction | None, lasting: int | None) -> None:
        """Somebody pauses."""
        self.pausing.pause(PauseRequest(sorted(names), way, lasting, "ana"), self.clock.time, Deadline(5))
        until = float("inf") if lasting is None else int(self.clock.time) + lasting
        for name in names or {ALL}:
            for each in Direction if way is None else (way,):
                self.model[name, each] = max(until, self.model.get((name, each), 0))

    @rule(names=st.sets(st.sampled_from(SERVICES)))
    def resume(self, names: set[str]) -> None:
        """Somebody resumes."""
        self.pausing.resume(sorted(names), self.clock.time, Deadline(5))
        for name in names or {ALL}:
            for way in Direction:
                self.model.pop((name, way), None)

    @rule(seconds=st.integers(1, 5000))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.clock.time += seconds

    @rule(operation=st.sampled_from(["create_config", "update_config"]), carried_out=st.booleans())
    def lose_an_answer(self, operation: str, *, carried_out: bool) -> None:
        """The answer to the next write is lost, whether it was carried out or not."""
        (self.api.after if carried_out else self.api.before)(operation, raising(UnreachableError("cut")))

    @rule()
    def restart(self) -> None:
        """Another autoscaler takes over."""
        self.known = KnownPauses(SwarmPauses(self.api))
        self.fresh = True

    @rule()
    def look(self) -> None:
        """The autoscaler reads the pauses."""
        assert self.known.look(Deadline(5)) == ""
        self.fresh = False
        for service in SERVICES:
            assert self.known.holding(service, self.clock.time).keys() == self._paused(service)

    @precondition(lambda self: not self.fresh)
    @rule()
    def look_in_vain(self) -> None:
        """The autoscaler cannot read the pauses: it frees nothing that was paused when it last could."""
        before = {service: self.known.holding(service, self.clock.time) for service in SERVICES}
        self.api.before("config", raising(UnreachableError("cut")))
        assert self.known.look(Deadline(5)) == "cut"
        assert {service: self.known.holding(service, self.clock.time) for service in SERVICES} == before

    @invariant()
    def a_fresh_one_holds_everything(self) -> None:
        """An autoscaler that never read the pauses holds both directions."""
        if self.fresh:
            assert self.known.holding("web", NOW).keys() == set(Direction)

    def _paused(self, service: str) -> set[Direction]:
        return {
            way for way in Direction if any(self.model.get((name, way), 0) > self.clock.time for name in (service, ALL))
        }


TestOperators = Operators.TestCase
TestOperators.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
