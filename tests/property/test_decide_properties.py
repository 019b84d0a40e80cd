from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf, isfinite, nan
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.model import Direction, History, Observation, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.swarm.history import ServiceHistory, look
from tests.support.builders import CPU_HIGH, CPU_LOW, NOW, STEP, FakeService, observation, policy, threshold, window
from tests.support.deciding import decide

if TYPE_CHECKING:
    from autoscaler.core.window import Window
    from autoscaler.policy.policy import Policy
    from autoscaler.strategies import Threshold


MOST = 12
NAMES = ("r1", "r2", "r3")
PIPELINE = {
    Reason.NO_BREACH,
    Reason.COOLING_DOWN,
    Reason.BELOW_MIN,
    Reason.ABOVE_MAX,
    Reason.AT_MIN,
    Reason.AT_MAX,
    Reason.ROLLOUT_IN_PROGRESS,
    Reason.TASKS_PENDING,
    Reason.SCALED_TO_ZERO,
    Reason.CHANGED_EXTERNALLY,
    Reason.UNSUPPORTED_MODE,
}
"""The reasons that come of no single rule."""

samples = st.sampled_from([0.0, 10, 29, 30, 31, 50, 69, 70, 71, 95, 120, nan, nan, inf])
steps: st.SearchStrategy[int | str] = st.sampled_from([1, 2, 5, "20%", "50%", "100%", "300%"])
look_backs = st.sampled_from(["0s", "10s", "15s", "30s", "50s", "1m"])
metrics = st.sampled_from(["cpu", "memory"])


@st.composite
def load_rules(draw: st.DrawFn, name: str) -> Threshold:
    """A rule of a load: it adds replicas above its bound, or removes some below it."""
    metric, lasting, step = draw(metrics), draw(look_backs), draw(steps)
    if draw(st.booleans()):
        return threshold(name, metric=metric, above=draw(st.sampled_from([60, 70, 90])), lasting=lasting, add=step)
    return threshold(name, metric=metric, below=draw(st.sampled_from([20, 30, 50])), lasting=lasting, remove=step)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A policy of one to three rules."""
    least = draw(st.integers(0, 5))
    most = draw(st.integers(max(1, least), MOST))
    rules = [draw(load_rules(name)) for name in NAMES[: draw(st.integers(1, 3))]]
    up_cooldown, down_cooldown = draw(st.sampled_from([0, 60, 180])), draw(st.sampled_from([0, 60, 300]))
    return policy(*rules, least=least, most=most, up_cooldown=up_cooldown, down_cooldown=down_cooldown)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """A window of any length, with holes, that may count its tasks."""
    values = draw(
        st.lists(samples, max_size=8)
        | st.lists(st.sampled_from([95.0, 99, 120]), min_size=6, max_size=8)
        | st.lists(st.sampled_from([0.0, 10, 15]), min_size=6, max_size=8)
    )
    counted = draw(st.booleans())
    tasks = st.lists(st.integers(3, 5), min_size=len(values), max_size=len(values))
    return window(values, reporting=draw(tasks) if counted else None, owed=draw(st.integers(0, 5)))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Anything that may be seen of a service."""
    return observation(
        draw(st.integers(0, MOST + 4)),
        windows=draw(st.dictionaries(metrics, windows())),
        running=draw(st.integers(0, MOST + 4)),
        mode=draw(st.sampled_from(["replicated"] * 9 + ["global"])),
        rollout=draw(st.sampled_from([""] * 5 + ["a rolling update is in progress"])),
        changed_externally=draw(st.sampled_from(["", "3 → 5 by somebody else, 5s ago"])),
    )


@st.composite
def events(draw: st.DrawFn) -> ScaleEvent:
    """A change around `NOW`."""
    before, more = draw(st.integers(0, 5)), draw(st.integers(1, 5))
    at = NOW - draw(st.sampled_from([-100, 0, 59, 60, 100, 200, 400]))
    return ScaleEvent(at, before, before + more) if draw(st.booleans()) else ScaleEvent(at, before + more, before)


histories = st.lists(events(), max_size=3).map(lambda some: History(tuple(sorted(set(some)))))


@given(policies(), observations(), histories)
def test_in_bounds(rules: Policy, seen: Observation, history: History) -> None:
    """Bounds are corrected whatever the steps before say, missing data included, where no gate holds."""
    seen = replace(seen, mode="replicated", rollout="", requested=max(seen.requested, min(1, rules.replicas.min)))

    decision = decide(rules, seen, history)

    assert rules.replicas.min <= decision.desired <= rules.replicas.max


@given(policies(), observations(), histories)
def test_no_data_never_shrinks(rules: Policy, seen: Observation, history: History) -> None:
    """Missing data never shrinks a service: but for the maximum, where any rule lacks data."""
    decision = decide(rules, seen, history)

    if any(said.lacks_data for said in decision.recommendations):
        assert decision.desired >= min(seen.requested, rules.replicas.max)


@given(policies(), observations(), histories, st.data())
def test_losing_a_whole_metric_never_shrinks(
    rules: Policy, seen: Observation, history: History, data: st.DataObject
) -> None:
    """Whatever samples a metric had: with its newest sample lost, nothing is lowered but to the maximum."""
    used = sorted({rule.metric for rule in rules.rules})
    lost = data.draw(st.sampled_from(used))
    held = seen.windows.get(lost, window([]))
    without = replace(held, values=(*held.values[:-1], nan) if held.values else ())

    decision = decide(rules, replace(seen, windows={**seen.windows, lost: without}), history)

    assert decision.desired >= min(seen.requested, rules.replicas.max)


@given(policies(), observations(), histories)
def test_deterministic(rules: Policy, seen: Observation, history: History) -> None:
    """The same inputs give the same decision."""
    assert decide(rules, seen, history) == decide(*deepcopy((rules, seen, history)))


@given(policies(), observations(), histories)
def test_closed_gates_change_nothing(rules: Policy, seen: Observation, history: History) -> None:
    """A busy rollout or an unsupported mode never changes anything; scaled to zero stays."""
    decision = decide(rules, seen, history)

    if seen.mode != "replicated" or seen.rollout or (seen.requested == 0 and rules.replicas.min > 0):
        assert decision.desired == seen.requested


@given(policies(), observations(), histories)
def test_pending_tasks_hold_rules(rules: Policy, seen: Observation, history: History) -> None:
    """While replicas asked for do not run, nothing goes beyond what the bounds ask for."""
    decision = decide(rules, seen, history)

    if seen.running < seen.requested:
        assert decision.desired <= max(seen.requested, rules.replicas.min)


@given(policies(), observations(), histories)
def test_reasons(rules: Policy, seen: Observation, history: History) -> None:
    """A decision carries all reasons that applied, each once, and nothing else; the primary one is among them."""
    decision = decide(rules, seen, history)

    told = [(why.reason, why.rule) for why in decision.reasons]
    by_rule = {said.rule: said for said in decision.recommendations}
    assert len(told) == len(set(told))
    assert decision.primary.reason in [reason for reason, _ in told]
    assert (decision.primary.reason, decision.primary.detail) in [(why.reason, why.detail) for why in decision.reasons]
    for reason, rule in told:
        if rule is None:
            assert reason in PIPELINE
        else:
            assert by_rule[rule].reason is reason
            assert reason is not Reason.NO_BREACH
    lacking = {(said.reason, said.rule) for said in decision.recommendations if said.lacks_data}
    asking = {(said.reason, said.rule) for said in decision.recommendations if said.replicas is not None}
    assert lacking | asking <= set(told)
    if (Reason.NO_BREACH, None) in told:
        assert {reason for reason, _ in told} <= {Reason.NO_BREACH, Reason.CHANGED_EXTERNALLY}
    assert (Reason.CHANGED_EXTERNALLY in [reason for reason, _ in told]) == bool(seen.changed_externally)


@given(policies(), observations(), histories)
def test_held(rules: Policy, seen: Observation, history: History) -> None:
    """Held: a change was wanted, or could not be judged, and the count stays; fewer than the minimum is not wanted."""
    decision = decide(rules, seen, history)

    bounds = rules.bounds(seen.at)
    in_bounds = bounds.clamp(seen.requested) == seen.requested
    wish = max((said.replicas for said in decision.recommendations if said.replicas is not None), default=None)
    settled = wish in {None, seen.requested} or (seen.requested == bounds.min and (wish or 0) < bounds.min)
    calm = settled and not any(said.lacks_data for said in decision.recommendations)
    content = calm and in_bounds and seen.mode == "replicated" and (seen.requested > 0 or rules.replicas.min == 0)
    assert decision.held == (not decision.changes and not content)


@given(st.lists(samples, max_size=9), st.integers(0, 90))
def test_complete(values: list[float], look_back: int) -> None:
    """Complete, restated on times: a sample at t, one at t - for or a step before, no neighbours two steps apart."""
    present = {-STEP * ago for ago, value in enumerate(reversed(values)) if isfinite(value)}
    oldest = max((time for time in present if -look_back - STEP <= time <= -look_back), default=None)
    grid = sorted(time for time in present if oldest is not None and time >= oldest)
    complete = bool(grid) and grid[-1] == 0
    complete = complete and all(later - earlier <= 2 * STEP for earlier, later in pairwise(grid))

    held = window(values)

    assert (held.lacking(look_back) is None) == complete
    if complete:
        assert held.span(look_back) == tuple(values[-1 - -time // STEP] for time in grid)


# the loop

TICKS = 60
OUTSIDE = st.tuples(
    st.integers(0, TICKS - 1), st.sampled_from(["operator", "deploy", "rollback", "restart", "lost"]), st.integers(1, 9)
)


@dataclass(slots=True)
class Run:
    """A service under a policy on virtual time, with every change that really happened."""

    rules: Policy
    service: FakeService = field(default_factory=lambda: FakeService(4, NOW - 86_400))
    memory: ServiceHistory | None = None
    changes: list[tuple[ScaleEvent, bool]] = field(default_factory=list)
    """Each change, and whether a rule made it."""
    forgettable: int = 0
    """What others did since the label was written: after more than one change a restart finds not all of them."""
    lose_answer: bool = False

    def happen(self, at: float, what: str, count: int) -> None:
        """Something from outside."""
        before = self.service.requested
        if what == "operator":
            self.service.scaled_by_operator(at, count)
        elif what == "deploy":
            self.service.deployed(at, count)
            self.forgettable += 1
        elif what == "rollback" and self.service.before is not None:
            self.service.rolled_back(at)
            self.forgettable += 1
        elif what == "restart" and self.forgettable <= 1:
            self.memory = None
        elif what == "lost":
            self.lose_answer = True
        if self.service.requested != before:
            self.forgettable += 1
            self.changes.append((ScaleEvent(at, before, self.service.requested), False))

    def evaluate(self, at: float, load: float) -> None:
        """One evaluation: look, decide, act."""
        self.memory, changed = look(self.service.view(), self.memory, at)
        seen = observation(
            self.service.requested, at=at, windows={"cpu": window([load] * 8)}, changed_externally=changed
        )
        decision = decide(self.rules, seen, self.memory.history)
        if not decision.changes:
            return
        known = self.service.scaled_by_us(at, decision.desired, self.memory)
        if not self.lose_answer:
            self.memory = known
        self.lose_answer, self.forgettable = False, 0
        self.changes.append((ScaleEvent(at, decision.requested, decision.desired), True))


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([5.0, 50, 95, 95]), min_size=TICKS, max_size=TICKS),
    st.lists(OUTSIDE, max_size=8, unique_by=lambda event: event[0]),
    st.sampled_from([0, 60, 180]),
    st.sampled_from([0, 60, 300]),
)
def test_one_change_per_direction_and_cooldown(
    loads: list[float], outside: list[tuple[int, str, int]], up_cooldown: int, down_cooldown: int
) -> None:
    """At most one rule-driven change per direction per cooldown, whoever else changes the count, restarts included."""
    rules = policy(CPU_HIGH, CPU_LOW, most=50, up_cooldown=up_cooldown, down_cooldown=down_cooldown)
    run = Run(rules)

    for tick, load in enumerate(loads):
        at = float(NOW + tick * STEP)
        for _, what, count in (event for event in outside if event[0] == tick):
            run.happen(at - 1, what, count)
        run.evaluate(at, load)

    for index, (change, by_rule) in enumerate(run.changes):
        if not by_rule:
            continue
        earlier = [event for event, _ in run.changes[:index]]
        if change.direction is Direction.UP:
            assert all(change.at - event.at >= up_cooldown for event in earlier if event.direction is Direction.UP)
        else:
            assert all(change.at - event.at >= down_cooldown for event in earlier)


@given(st.lists(st.sampled_from([95.0]), min_size=TICKS, max_size=TICKS), st.sampled_from([60, 180]))
def test_the_cooldown_ends(loads: list[float], cooldown: int) -> None:
    """Equal to the cooldown is over: a lasting breach is answered once per cooldown, not less often."""
    run = Run(policy(CPU_HIGH, most=50, up_cooldown=cooldown))

    for tick, load in enumerate(loads):
        run.evaluate(float(NOW + tick * STEP), load)

    assert [event.at - NOW for event, _ in run.changes] == list(range(0, TICKS * STEP, cooldown))
