from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, count, cycle
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from autoscaler.adapters.docker.lease import SwarmLease
from autoscaler.coordination.lease import BEAT, EXPIRY, HOLD, LONGEST_BEAT, LOOK, Cell, Lease, Standing
from autoscaler.errors import UnreachableError
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

pytestmark = pytest.mark.slow

WHO = st.integers(0, 1)
SECONDS = st.sampled_from([0.0, BEAT, EXPIRY - BEAT, EXPIRY])
ENOUGH = Deadline(inf)
PROMISED = 30.0
"""Seconds from a holder's death to the next one's lease, as the specification has it."""
LONGEST_ELECTION = 20.0
"""Seconds that a Swarm takes to elect a leader, where votes are not split: a manager waits 10 to 20 s for the last."""


@dataclass
class Autoscaler:
    """One that may be stopped between any two steps of a beat."""

    standing: Standing
    offset: float
    """How far its own clock is from the others'."""
    doing: str = "nothing"
    cell: Cell | None = None
    """What its last look saw."""
    before: Standing = field(default=Standing(""))
    """Its standing before the write."""
    sent: float = 0.0
    renewal: bool = False
    written: bool = False


class SharedLease(RuleBasedStateMachine):
    """Two autoscalers of one Swarm, and those that come after them, in every order of what they and their writes do."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.store = SwarmLease(SimulatedEngine(self.clock))
        self.time = 0.0
        self.names = (f"autoscaler-{number}" for number in count())
        self.all = [Autoscaler(Standing(next(self.names)), offset) for offset in (0.0, 1e6)]
        self.late: list[Callable[[], bool]] = []
        """Writes that nobody waits for any more, and that may still be carried out (docs/facts.md#late-writes)."""
        self.known: list[Cell | None] = [None]
        """What the lease ever was: a manager that is parted from the others answers with what it last knew."""

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        """Time passes for all: who does nothing meanwhile is stopped, or slow."""
        self.time += seconds

    @rule(seconds=st.sampled_from([-1e7, -60.0, 60.0, 1e7]))
    def the_clock_jumps(self, seconds: float) -> None:
        """Somebody sets the machines' clocks."""
        self.clock.time += seconds

    @rule(who=WHO)
    def goes_on(self, who: int) -> None:
        """One autoscaler does the next step of its beat."""
        one = self.all[who]
        now = self.time + one.offset
        match one.doing:
            case "nothing":
                one.cell, one.doing = self.store.look(ENOUGH), "looking"
                self.known.append(one.cell)
            case "looking":
                one.standing = one.standing.looked(one.cell, now)
                one.doing = "writing" if one.standing.may_write(now) else "nothing"
                if one.doing == "writing":
                    one.before, one.sent, one.renewal = one.standing, now, one.standing.renews(now)
                    one.standing = one.standing.writing()
            case "writing":
                one.written, one.doing = self.write_of(one)(), "waiting"
                if one.written:
                    self.nobody_could_act_shortly_before(one)
            case "waiting":
                if one.written:
                    one.standing = one.before.wrote(one.sent)
                one.doing = "nothing"

    def write_of(self, one: Autoscaler) -> Callable[[], bool]:
        """The write that it is about to make."""
        return partial(self.store.write, one.standing.me, one.cell, ENOUGH, renewal=one.renewal)

    def nobody_could_act_shortly_before(self, taker: Autoscaler) -> None:
        """Who takes the lease leaves a former holder the time for a write that it had begun."""
        for one in self.all:
            if one is not taker:
                assert one.standing.until - one.offset <= taker.sent - taker.offset - (EXPIRY - HOLD)

    @rule(who=WHO, ago=st.integers(1, 4))
    def is_told_what_was(self, who: int, ago: int) -> None:
        """One autoscaler begins a beat with an answer that is true no more, or not of the lease as it is."""
        if self.all[who].doing == "nothing":
            self.all[who].cell, self.all[who].doing = self.known[-min(ago, len(self.known))], "looking"

    @rule(who=WHO, seconds=SECONDS)
    def beats(self, who: int, seconds: float) -> None:
        """One autoscaler does what is left of its beat, without anything between; then time passes."""
        self.goes_on(who)
        while self.all[who].doing != "nothing":
            self.goes_on(who)
        self.time += seconds

    @precondition(lambda self: any(one.doing in {"writing", "waiting"} for one in self.all))
    @rule(who=WHO)
    def an_answer_is_lost(self, who: int) -> None:
        """A write is given up: it was carried out, or will be, or never is."""
        one = self.all[who]
        if one.doing == "writing":
            self.late.append(self.write_of(one))
        if one.doing in {"writing", "waiting"}:
            one.doing = "nothing"

    @precondition(lambda self: self.late)
    @rule()
    def a_late_write_is_carried_out(self) -> None:
        """Swarm carries out a write that was given up."""
        self.late.pop(0)()

    @rule(who=WHO)
    def gives_back(self, who: int) -> None:
        """One autoscaler gives the lease back, if it is in no beat."""
        one = self.all[who]
        if one.doing == "nothing":
            one.standing = one.standing.without()
            cell = self.store.look(ENOUGH)
            if cell is not None and cell.holder == one.standing.me:
                self.store.write("", cell, ENOUGH)

    @rule(who=WHO)
    def dies_and_starts(self, who: int) -> None:
        """One autoscaler dies, and another one starts in its place."""
        one = self.all[who]
        if one.doing == "writing":
            self.late.append(self.write_of(one))
        self.all[who] = Autoscaler(Standing(next(self.names)), one.offset)

    @invariant()
    def one_may_act(self) -> None:
        """Never two autoscalers hold the lease."""
        holding = [one.standing.me for one in self.all if one.standing.holds(self.time + one.offset)]
        assert len(holding) <= 1, holding

    @precondition(lambda self: all(one.doing == "nothing" for one in self.all))
    @invariant()
    def its_name_is_in_the_lease(self) -> None:
        """Who may act is the one whom the lease names, or had named just now."""
        cell = self.store.look(ENOUGH)
        for one in self.all:
            if one.standing.holds(self.time + one.offset):
                assert cell is not None
                assert cell.holder == one.standing.me


TestSharedLease = SharedLease.TestCase
TestSharedLease.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)


@dataclass
class DyingSwarm:
    """A lease whose holder renews it until it dies, as seen by a stand-by whose calls take time."""

    renewals: Sequence[float]
    """When the holder's writes are carried out; it dies at the last of them."""
    delays: Iterator[tuple[float, float, float, float]]
    """Seconds before and after a look is answered, and a write."""
    election: float = 0.0
    """For how long from the death on nobody is answered, as the Swarm's leader died as well."""
    time: float = 0.0
    taken: bool = False

    @property
    def death(self) -> float:
        """When the holder dies."""
        return self.renewals[-1]

    def look(self, _: Deadline) -> Cell | None:
        """The lease as it is at some moment of the call."""
        before, after, *self._delays = next(self.delays)
        self.time += before
        if self.death < self.time < self.death + self.election:
            self.time += LONGEST_BEAT - before
            raise UnreachableError("no leader")
        version = 10 + bisect(self.renewals, self.time)
        self.time += after
        return Cell(version, "one", version - 1)

    def write(self, _: str, seen: Cell | None, __: Deadline, *, renewal: bool = False) -> bool:
        """Compare and swap at some moment of the call."""
        before, after = self._delays
        self.time += before
        self.taken = seen is not None and seen.version == 10 + len(self.renewals) and self.time >= self.death
        self.time += after
        return self.taken and not renewal

    def pass_over(self) -> float:
        """When a stand-by has taken the lease."""
        lease = Lease(self, "other", lambda: self.time + 1e6)
        while True:
            lease.beat(ENOUGH)
            if lease.held:
                return self.time
            assert self.time < 1000
            self.time += lease.rest


def delays(at_most: float) -> st.SearchStrategy[Iterator[tuple[float, float, float, float]]]:
    """What the calls of each beat take, *at_most* so many seconds in all."""
    parts = st.tuples(*[st.floats(0.001, at_most)] * 4)
    beats = st.lists(parts.map(lambda each: tuple(part / max(1.0, sum(each) / at_most) for part in each)), min_size=1)
    return beats.map(cycle)


@given(gaps=st.lists(st.floats(1, BEAT + LONGEST_BEAT), max_size=4), seen=st.floats(0, 10), slow=delays(LONGEST_BEAT))
def test_a_stand_by_takes_over_within_30_seconds(
    gaps: list[float], seen: float, slow: Iterator[tuple[float, float, float, float]]
) -> None:
    """However long calls take within their bound, the stand-by's and the holder's, 30 s after a death it is over."""
    swarm = DyingSwarm([*accumulate(gaps, initial=seen)], slow)

    taken = swarm.pass_over()

    assert swarm.taken, "and not before the death"
    assert taken <= swarm.death + 2 * LOOK + EXPIRY + 3 * LONGEST_BEAT <= swarm.death + PROMISED


@given(
    gaps=st.lists(st.floats(BEAT - 0.5, BEAT + 0.5), min_size=2, max_size=4),
    quick=delays(0.5),
    election=st.floats(0, LONGEST_ELECTION),
)
def test_also_where_the_swarm_elects_a_leader(
    gaps: list[float], quick: Iterator[tuple[float, float, float, float]], election: float
) -> None:
    """Where the Swarm's leader dies with the holder, it is over 30 s after that too, if calls were quick before."""
    swarm = DyingSwarm([*accumulate(gaps, initial=1.0)], quick, election)

    assert swarm.pass_over() <= swarm.death + LONGEST_ELECTION + LOOK + 2 * LONGEST_BEAT <= swarm.death + PROMISED
