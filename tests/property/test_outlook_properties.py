"""What an explanation says comes next is what happens: worlds are played forward, evaluation by evaluation."""

from __future__ import annotations

import os
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.model import Direction, Outcome, ScaleUpStreak
from autoscaler.explanation.outlook import chances
from autoscaler.explanation.situation import Situation
from tests.support.builders import NOW, STEP
from tests.support.deciding import decide
from tests.support.futures import Future
from tests.support.random_cases import METRICS, any_rule, histories, mixed, observations

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.core.explanation import Chance
    from autoscaler.core.model import Decision
    from autoscaler.policy.policy import Policy

FAR = 60
"""Evaluations of a future in which nothing is expected."""


guards = st.builds(
    lambda name, metric, bound, lasting, block, missing: {
        "name": name,
        "metric": metric,
        **bound,
        "for": lasting,
        "block": block,
        **missing,
    },
    st.just("guard"),
    st.sampled_from(METRICS),
    st.sampled_from([{"above": 60}, {"below": 40}]),
    st.sampled_from(["0s", "30s"]),
    st.sampled_from(["up", "down", "both"]),
    st.sampled_from([{}, {"on_missing": "block"}, {"on_missing": "allow"}]),
)
bounds = st.sampled_from([{"min": 0, "max": 0}, {"min": 3}, {"max": 3}, {"min": 2, "max": 6}])


@st.composite
def schedules(draw: st.DrawFn) -> list[dict[str, object]]:
    """At most one schedule that begins or ends near `NOW`."""
    start, end = draw(st.permutations(["0 8 * * *", "1 8 * * *", "5 8 * * *", "30 7 * * *"]))[:2]
    return draw(st.sampled_from([[], [], [{"name": "day", "start": start, "end": end, **draw(bounds)}]]))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A policy with all that it may hold a count with."""
    rules = draw(st.lists(any_rule, min_size=1, max_size=4))
    stops = st.sampled_from([None, None, 1, 3])
    rules = [rule | ({"ineffective_after": after} if (after := draw(stops)) else {}) for rule in rules]
    more: dict[str, Any] = {"guards": draw(st.just([]) | guards.map(lambda guard: [guard]))}
    more["schedules"] = draw(schedules())
    if draw(st.integers(0, 3)) == 0:
        more["fallback"] = {"after": draw(st.sampled_from(["15s", "2m"])), "replicas": 2}
    policy = draw(mixed(st.just(rules), most=12, **more))
    if draw(st.integers(0, 3)) == 0:
        give_back = draw(st.sampled_from([15, 120]))
        policy = policy.model_copy(update={"scale_up": policy.scale_up.model_copy(update={"give_back": give_back})})
    return policy


streaks = st.builds(ScaleUpStreak, st.sampled_from(["r0", "r1"]), st.integers(1, 4), st.just(75.0))


@st.composite
def cases(draw: st.DrawFn) -> Situation:
    """A situation after any decision, with holds that end by themselves."""
    seen, history, ends = draw(observations()), draw(histories()), st.sampled_from([NOW + 7, NOW + 15, NOW + 100])
    if draw(st.booleans()):
        ways = draw(st.sampled_from([[Direction.UP], [Direction.DOWN], list(Direction)]))
        seen = replace(seen, paused=dict.fromkeys(ways, "by ana"), paused_until={way: draw(ends) for way in ways})
    if not seen.rollout and draw(st.booleans()):
        seen = replace(seen, rollout="settles", rollout_until=draw(ends))
    waiting = draw(st.integers(0, 2))
    ages = st.sampled_from([0, 15, 100, 200])
    seen = replace(seen, unplaced_since=tuple(sorted(NOW - draw(ages) for _ in range(waiting))))
    history = replace(
        history,
        judged_at=draw(st.sampled_from([None, NOW, NOW - 60])),
        streak=draw(st.none() | streaks),
        asked=draw(st.sampled_from([None, 0, 3])),
        gave_back=draw(st.sampled_from([None, None, NOW - 30, NOW - 100])),
    )
    policy = draw(policies())
    if seen.requested == 0:
        seen = replace(seen, asleep=draw(st.booleans()))
    decision = decide(policy, seen, history)
    unchanged = [Outcome.HELD if decision.held else Outcome.UNCHANGED]
    outcomes = [Outcome.FAILED, Outcome.APPLIED, Outcome.DRY_RUN] if decision.changes else unchanged
    return Situation(policy, seen, history, decision, draw(st.sampled_from(outcomes)), STEP)


def lifted(situation: Situation, chance: Chance) -> Situation:
    """The situation in which what *chance* requires has happened."""
    seen, policy = situation.observation, situation.policy
    for required in chance.requires:
        if "rollout" in required:
            seen = replace(seen, rollout="")
        elif "policy" in required:
            policy = policy.model_copy(update={"paused": False})
        elif "pause" in required:
            seen = replace(seen, paused={})
        elif "replicas" in required:
            seen = replace(seen, running=seen.requested, pending="", stuck=False)
        else:
            raise AssertionError(required)
    return replace(situation, observation=seen, policy=policy)


def first_change(situation: Situation, sample: Callable[[str, int], float], evaluations: int) -> Decision | None:
    """The first decision that changes the count within so many evaluations; None if none does."""
    seen, history = situation.afterwards()
    decisions = Future(situation.policy, seen, history).decisions(sample, evaluations)
    return next((decision for decision in decisions if decision.changes), None)


def evaluations_until(at: float) -> int:
    """The number of the evaluation at *at*."""
    return round((at - NOW) / STEP)


def newest(situation: Situation) -> dict[str, float]:
    """The newest value of each metric; missing ones stay missing."""
    windows = situation.observation.windows.items()
    return {metric: window.values[-1] if window.values else nan for metric, window in windows}


def constant(values: dict[str, float]) -> Callable[[str, int], float]:
    """Samples that stay at *values*."""
    return lambda metric, _: values.get(metric, nan)


@given(cases())
def test_what_is_expected_comes(situation: Situation) -> None:
    """If all metrics stay as they are, the count changes when the explanation says, to what it says, or never."""
    found = chances(situation)
    for chance in found:
        if chance.expected and chance.at is not None:
            world, samples = lifted(situation, chance), constant(newest(situation))
            assert chance.at is not None
            change = first_change(world, samples, evaluations_until(chance.at) + 5)
            assert change is not None
            assert (change.at, change.desired) == (chance.at, chance.count)
    if not any(chance.expected and not chance.requires for chance in found):
        assert first_change(situation, constant(newest(situation)), FAR) is None


@given(cases())
def test_what_is_possible_comes(situation: Situation) -> None:
    """If metrics do what the explanation says, the count changes in that direction at the earliest moment it says."""
    for chance in chances(situation):
        if chance.at is None or chance.expected:
            continue
        assumed: dict[str, float] = {}
        for each in chance.conditions:  # the first of two on one metric is the nearer one
            assumed.setdefault(each.metric, value_for(each.side, each.bound))
        world, samples = lifted(situation, chance), constant({**newest(situation), **assumed})
        change = first_change(world, samples, evaluations_until(chance.at) + 5)
        assert change is not None
        assert change.at == chance.at
        assert (change.desired > change.requested) == (chance.direction is Direction.UP)


def value_for(side: str, bound: float) -> float:
    """A value that just fulfils a condition."""
    near = max(abs(bound), 1e-3) * 1e-6
    return {"above": bound + near, "below": bound - near}.get(side, bound)


@given(cases(), st.data())
def test_nothing_comes_earlier(situation: Situation, data: st.DataObject) -> None:
    """Whatever metrics do, the count does not change in a direction before the moment that the explanation gives."""
    extremes = st.sampled_from([0.0, 10, 29, 31, 50, 59, 61, 69, 71, 95, 120, 1000, nan])
    kinds = {metric: data.draw(st.lists(extremes, min_size=1, max_size=3)) for metric in situation.policy.look_backs}

    def sample(metric: str, number: int) -> float:
        values = kinds[metric]
        return values[min(number - 1, len(values) - 1)]

    change = first_change(situation, sample, FAR)
    for chance in chances(situation):
        if change is None or (change.desired > change.requested) != (chance.direction is Direction.UP):
            continue
        assert not chance.requires
        assert chance.at is not None, chance.obstacle
        if not chance.expected:
            assert change.at >= chance.at


@pytest.mark.slow
@settings(max_examples=int(os.environ.get("FUTURES", "10")))
@given(cases(), st.data())
def test_many_futures(situation: Situation, data: st.DataObject) -> None:
    """In many random cases nothing that the explanation says of the future is wrong (FUTURES=1000 tries a thousand)."""
    for law in (test_what_is_expected_comes, test_what_is_possible_comes):
        law.hypothesis.inner_test(situation)  # type: ignore[attr-defined]
    test_nothing_comes_earlier.hypothesis.inner_test(situation, data)  # type: ignore[attr-defined]
