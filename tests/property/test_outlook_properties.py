"""What an explanation says comes next is what happens: worlds are played forward, evaluation by evaluation."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.model import Direction, History, Observation, Outcome
from autoscaler.explanation.outlook import chances
from autoscaler.explanation.situation import Situation
from tests.support.builders import NOW, STEP
from tests.support.deciding import decide
from tests.support.futures import Future
from tests.support.random_cases import histories, observations, policies

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.core.explanation import Chance
    from autoscaler.core.model import Decision
    from autoscaler.policy.policy import Policy

FAR = 60
"""Evaluations of a future in which nothing is expected."""


def situation_of(policy: Policy, seen: Observation, history: History) -> Situation:
    """The situation after a decision that was not carried out if it changed the count."""
    decision = decide(policy, seen, history)
    outcome = Outcome.FAILED if decision.changes else Outcome.HELD if decision.held else Outcome.UNCHANGED
    return Situation(policy, seen, history, decision, outcome, STEP)


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


@given(policies, observations(), histories())
def test_what_is_expected_comes(policy: Policy, seen: Observation, history: History) -> None:
    """If all metrics stay as they are, the count changes when the explanation says, to what it says, or never."""
    situation = situation_of(policy, seen, history)
    found = chances(situation)
    for chance in found:
        if chance.expected:
            world, samples = lifted(situation, chance), constant(newest(situation))
            assert chance.at is not None
            change = first_change(world, samples, evaluations_until(chance.at) + 5)
            assert change is not None
            assert (change.at, change.desired) == (chance.at, chance.count)
    if not any(chance.expected and not chance.requires for chance in found):
        assert first_change(situation, constant(newest(situation)), FAR) is None


@given(policies, observations(), histories())
def test_what_is_possible_comes(policy: Policy, seen: Observation, history: History) -> None:
    """If metrics do what the explanation says, the count changes in that direction at the earliest moment it says."""
    situation = situation_of(policy, seen, history)
    for chance in chances(situation):
        if chance.at is None or chance.expected:
            continue
        assumed = {each.metric: value_for(each.side, each.bound) for each in chance.conditions}
        world, samples = lifted(situation, chance), constant({**newest(situation), **assumed})
        change = first_change(world, samples, evaluations_until(chance.at) + 5)
        assert change is not None
        assert change.at == chance.at
        assert (change.desired > change.requested) == (chance.direction is Direction.UP)


def value_for(side: str, bound: float) -> float:
    """A value that just fulfils a condition."""
    near = max(abs(bound), 1e-3) * 1e-6
    return {"above": bound + near, "below": bound - near}.get(side, bound)


@given(policies, observations(), histories(), st.data())
def test_nothing_comes_earlier(policy: Policy, seen: Observation, history: History, data: st.DataObject) -> None:
    """Whatever metrics do, the count does not change in a direction before the moment that the explanation gives."""
    situation = situation_of(policy, seen, history)
    extremes = st.sampled_from([0.0, 10, 29, 31, 50, 59, 61, 69, 71, 95, 120, 1000, nan])
    kinds = {metric: data.draw(st.lists(extremes, min_size=1, max_size=3)) for metric in policy.look_backs}

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
