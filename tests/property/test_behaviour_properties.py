from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil, floor, nan
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.model import Direction, History, Observation, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.decision.behaviour import cool_down, guard_against_flapping, limit, stabilize
from autoscaler.decision.steps import Case
from autoscaler.swarm.history import ServiceHistory, look
from tests.support.builders import NOW, STEP, FakeService, observation, window
from tests.support.deciding import decide
from tests.support.random_cases import (
    MOST,
    histories,
    mixed,
    monotone_policies,
    observations,
    policies,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoscaler.policy.policy import Policy


SHAPING = {Reason.STABILIZED, Reason.STEP_LIMITED, Reason.WOULD_FLAP, Reason.COOLING_DOWN, Reason.PAUSED}


# Decisions


@given(policies, observations(), histories())
def test_in_bounds(rules: Policy, seen: Observation, history: History) -> None:
    """In bounds where no gate holds, whatever rules and behaviour say, missing data included."""
    rules = rules.model_copy(update={"paused": False})
    seen = replace(seen, mode="replicated", rollout="", requested=max(seen.requested, min(1, rules.replicas.min)))

    assert rules.replicas.min <= decide(rules, seen, history).desired <= rules.replicas.max


@given(policies, observations(), histories())
def test_missing_data_never_shrinks(rules: Policy, seen: Observation, history: History) -> None:
    """Where any rule lacks data, nothing is lowered but to the maximum."""
    decision = decide(rules, seen, history)

    if any(said.lacks_data for said in decision.recommendations):
        assert decision.desired >= min(seen.requested, rules.replicas.max)


@given(policies, observations(), histories(), st.data())
def test_losing_a_metric_never_shrinks(rules: Policy, seen: Observation, history: History, data: st.DataObject) -> None:
    """Whatever samples a metric had: without its newest one nothing is lowered but to the maximum."""
    lost = data.draw(st.sampled_from(sorted({rule.metric for rule in rules.rules})))
    held = seen.windows.get(lost, window([]))
    without = replace(held, values=(*held.values[:-1], nan) if held.values else ())

    decision = decide(rules, replace(seen, windows={**seen.windows, lost: without}), history)

    assert decision.desired >= min(seen.requested, rules.replicas.max)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    monotone_policies,
    observations(),
    histories(),
    st.lists(st.sampled_from([0.0, 1, 5, 40, 100]), min_size=18, max_size=18),
)
def test_more_load_never_means_fewer_replicas(
    rules: Policy, seen: Observation, history: History, more: list[float]
) -> None:
    """More load never means fewer replicas, whatever behaviour, guard and gates do.

    For policies whose rules have an opinion of every load: that add above bounds, with one that removes below a bound,
    or with targets and rising tables. Where two rules remove, one that asks for the smaller removal falls silent with
    more load, and the larger removal of the other remains: desired is the largest count that is asked for.
    """
    raised = {
        metric: replace(held, values=tuple(value + add for value, add in zip(held.values, more[offset:], strict=False)))
        for offset, (metric, held) in zip((0, 6, 12), seen.windows.items(), strict=False)
    }

    calmer, busier = decide(rules, seen, history), decide(rules, replace(seen, windows=raised), history)

    assert busier.desired >= calmer.desired


@given(policies, observations(), histories())
def test_deterministic(rules: Policy, seen: Observation, history: History) -> None:
    """The same inputs give the same decision."""
    assert decide(rules, seen, history) == decide(*deepcopy((rules, seen, history)))


@given(policies, observations(), histories())
def test_gates(rules: Policy, seen: Observation, history: History) -> None:
    """Nothing passes a gate that it must not pass."""
    decision = decide(rules, seen, history)

    if seen.mode != "replicated" or seen.rollout or (seen.requested == 0 and rules.replicas.min > 0):
        assert not decision.changes
    if rules.paused in (True, "up"):
        assert decision.desired <= seen.requested
    if rules.paused in (True, "down"):
        assert decision.desired >= seen.requested
    if seen.running < seen.requested and seen.stuck:
        assert decision.desired <= max(seen.requested, rules.replicas.min)


@given(policies, observations(), histories(), st.integers(0, MOST + 4))
def test_no_step_turns_the_direction(rules: Policy, seen: Observation, history: History, count: int) -> None:
    """No step turns a reduction into an increase, or makes more of a change; what changes the count says why."""
    lowest, highest = sorted((count, seen.requested))
    case = Case(rules, seen, history, rules.bounds(seen.at))

    for step in (
        stabilize(case, count),
        limit(case, count),
        guard_against_flapping(case, count),
        cool_down(case, count),
    ):
        assert lowest <= step.count <= highest
        assert (step.why is None) == (step.count == count)
        assert step.held == (step.why is not None and step.count == seen.requested)


@given(policies, observations(), histories())
def test_rules_reduce_only_what_they_want_to(rules: Policy, seen: Observation, history: History) -> None:
    """Without bounds and gates the count lies between the requested one and what the rules resolved to."""
    unbounded = rules.model_copy(update={"replicas": rules.replicas.model_copy(update={"min": 0, "max": 10**9})})

    decision = decide(unbounded, seen, history)

    lowest, highest = sorted((decision.recommended, seen.requested))
    assert lowest <= decision.desired <= highest


@given(policies, observations(), histories())
def test_reasons(rules: Policy, seen: Observation, history: History) -> None:
    """The primary reason is among those told; held is a count that stays although something else was wanted."""
    decision = decide(rules, seen, history)

    reasons = [why.reason for why in decision.reasons]
    assert decision.primary.reason in reasons
    assert not (decision.held and decision.changes)
    if not decision.changes and rules.replicas.min <= seen.requested <= rules.replicas.max:
        idle = decision.recommended < seen.requested == rules.replicas.min
        wanted = decision.recommended != seen.requested and not idle
        lacking = any(said.lacks_data for said in decision.recommendations)
        closed = bool({Reason.UNSUPPORTED_MODE, Reason.SCALED_TO_ZERO} & set(reasons))
        assert decision.held == (wanted or lacking or closed)
    if decision.primary.reason in SHAPING:
        assert decision.recommended != seen.requested or not rules.replicas.min <= seen.requested <= rules.replicas.max
    else:
        assert decision.desired in {seen.requested, decision.recommended, rules.replicas.min, rules.replicas.max} or (
            decision.primary.reason is Reason.TASKS_PENDING
        )


@given(rules=policies, seen=observations(), history=histories(), highest=st.booleans())
def test_held_at_a_bound(rules: Policy, seen: Observation, history: History, *, highest: bool) -> None:
    """At a bound, held is exactly what wants more than the maximum, whatever would hold the wish on its way.

    A service that wants fewer than its minimum is unchanged. A rule that lacks data is held wherever the count is.
    """
    least, most = rules.replicas.min, rules.replicas.max
    requested = most if highest else least
    decision = decide(rules, replace(seen, requested=requested, mode="replicated"), history)
    wish = decision.recommended
    lacking = any(said.lacks_data for said in decision.recommendations)

    if rules.bounds(seen.at).clamp(wish) == requested:
        assert not decision.changes
        assert decision.held == (wish > most or lacking)
        if wish != requested:
            assert decision.primary.reason is (Reason.AT_MAX if wish > most else Reason.AT_MIN)


# Runs

TICKS = 40
WANTED = {"metric": "queue", "strategy": "table", "table": {n: n for n in range(61)}}
RELATIVE = {"metric": "cpu", "below": 30, "remove": 3}


@dataclass(slots=True)
class Run:
    """A service under a policy on virtual time, with every change that really happened."""

    rules: Policy
    service: FakeService = field(default_factory=lambda: FakeService(8, NOW - 86_400))
    memory: ServiceHistory | None = None
    changes: list[tuple[ScaleEvent, bool]] = field(default_factory=list)
    """Each change, and whether a rule made it."""
    foreign: int = 0
    """Changes by others since the label was written: after more than one a restart finds not all of them."""

    def operator(self, at: float, count: int) -> None:
        """`docker service scale`."""
        if count != self.service.requested:
            self.changes.append((ScaleEvent(at, self.service.requested, count), False))
            self.foreign += 1
        self.service.scaled_by_operator(at, count)

    def evaluate(self, at: float, queue: float, cpu: float) -> None:
        """One evaluation: look, decide, act, remember."""
        self.memory, _ = look(self.service.view(), self.memory, at)
        held = {"queue": window([queue]), "cpu": replace(window([cpu]), redistributes=True)}
        decision = decide(self.rules, observation(self.service.requested, windows=held, at=at), self.memory.history)
        self.memory = self.memory.with_decision(decision, self.rules.longest_stabilization)
        if decision.changes:
            self.changes.append((ScaleEvent(at, decision.requested, decision.desired), True))
            self.memory = self.service.scaled_by_us(at, decision.desired, self.memory)
            self.foreign = 0

    def through(self, wanted: Sequence[tuple[int, float]], outside: Sequence[tuple[int, int | None]]) -> None:
        """All ticks, with what happens outside before some: a count that somebody sets, or None for a restart."""
        happens = dict(outside)
        for tick, (queue, cpu) in enumerate(wanted):
            at = float(NOW + tick * STEP)
            if tick in happens:
                count = happens[tick]
                if count is not None:
                    self.operator(at - 5, count)
                elif self.foreign <= 1:
                    self.memory = None
            self.evaluate(at, queue, cpu)

    def count_at(self, moment: float) -> int:
        """The true count at *moment*, what happened then included."""
        known = [event.after for event, _ in self.changes if event.at <= moment]
        return known[-1] if known else 8


# The bounds stay out of the way: the policy's rules ask for 0 to 60.
free = mixed(
    st.sampled_from([[WANTED], [WANTED, RELATIVE], [RELATIVE, {**WANTED, "table": {0: 1, 20: 9, 40: 60}}]]),
    least=0,
    most=1000,
)
wishes = st.lists(st.tuples(st.integers(1, 60), st.sampled_from([10.0, 50])), min_size=TICKS, max_size=TICKS)
calms = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 60, 60, 60, 30]), st.sampled_from([10.0, 50])), min_size=TICKS, max_size=TICKS
)
outsides = st.lists(
    st.tuples(st.integers(1, TICKS - 1), st.none() | st.integers(1, 60)), max_size=5, unique_by=lambda one: one[0]
)


@pytest.mark.slow
@settings(max_examples=120)
@given(free, wishes | calms, outsides)
def test_limits_are_never_exceeded(
    rules: Policy, wanted: list[tuple[int, float]], outside: list[tuple[int, int | None]]
) -> None:
    """No rule leads further than its limits allow from the true count at the beginning of their periods.

    Operators' changes and restarts included; equal to the period is over.
    """
    run = Run(rules)
    run.through(wanted, outside)

    for change, by_rule in run.changes:
        behaviour = rules.behaviour(change.direction)
        if not by_rule or not (behaviour.limits or behaviour.select == "disabled"):
            continue
        assert behaviour.select != "disabled"
        up = change.direction is Direction.UP
        sizes = []
        for each in behaviour.limits:
            began = run.count_at(change.at - each.per)
            if up:
                farthest = began + (each.replicas or max(1, ceil(began * (each.percent or 0) / 100)))
            else:
                farthest = began - each.replicas if each.replicas else floor(began * (100 - (each.percent or 0)) / 100)
            sizes.append((farthest - change.before) * (1 if up else -1))
        size = max(sizes) if behaviour.select == "max" else min(sizes)
        assert abs(change.after - change.before) <= size


@pytest.mark.slow
@settings(max_examples=120)
@given(free, wishes | calms, outsides)
def test_one_change_per_direction_and_cooldown(
    rules: Policy, wanted: list[tuple[int, float]], outside: list[tuple[int, int | None]]
) -> None:
    """At most one rule-driven change per direction per cooldown, and no reduction that soon after any change."""
    run = Run(rules)
    run.through(wanted, outside)

    for index, (change, by_rule) in enumerate(run.changes):
        earlier = [event for event, _ in run.changes[:index]]
        if by_rule and change.direction is Direction.UP:
            risen = [event for event in earlier if event.direction is Direction.UP]
            assert all(change.at - event.at >= rules.scale_up.cooldown for event in risen)
        elif by_rule:
            assert all(change.at - event.at >= rules.scale_down.cooldown for event in earlier)


@settings(max_examples=60)
@given(mixed(st.just([WANTED]), least=0, most=1000), wishes | calms)
def test_stabilization_over_a_run(rules: Policy, wanted: list[tuple[int, float]]) -> None:
    """No change goes beyond what was wanted at any evaluation of its direction's window."""
    run = Run(rules)
    run.through(wanted, [])

    for change, _ in run.changes:
        stabilization = rules.behaviour(change.direction).stabilization
        ages = [(change.at - (NOW + tick * STEP), queue) for tick, (queue, _) in enumerate(wanted)]
        recent = [queue for age, queue in ages if age == 0 or 0 < age < stabilization]
        if change.direction is Direction.UP:
            assert change.after <= min(recent)
        else:
            assert change.after >= max(recent)


STEPS = (
    *("rules", "resolve", "stabilization", "limits", "flap_guard", "cooldown"),
    *("room", "restore", "fallback", "bounds", "gates"),
)


@given(policies, observations(), histories())
def test_the_path_leads_to_the_decision(rules: Policy, seen: Observation, history: History) -> None:
    """A decision keeps the count after each step, in the order of the pipeline, and why it is another one."""
    decision = decide(rules, seen, history)

    path = decision.path
    assert tuple(step.name for step in path) == STEPS
    assert (path[1].count, path[-1].count) == (decision.recommended, decision.desired)
    assert all(after.why is not None for before, after in pairwise(path) if before.count != after.count)
