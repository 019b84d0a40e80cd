"""The facts on a decision that are only shown: the bounds in force, and when a hold ends by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaler.core.model import Direction, History, Observation, Recommended, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.policy.policy import Policy
from tests.support.builders import NOW, observation, steady, written
from tests.support.deciding import decide

HIGH = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 2}
LOW = {"name": "cpu-low", "metric": "cpu", "below": 30, "remove": 1}
BUSY, IDLE = observation(windows={"cpu": steady(90)}), observation(windows={"cpu": steady(10)})
GROWN = History(events=(ScaleEvent(NOW - 60, 2, 3),))
DAY = {"name": "day", "start": "0 0 * * *", "end": "30 12 * * *", "max": 3}
NIGHT = {"name": "night", "start": "0 0 * * *", "end": "0 12 * * *", "min": 0, "max": 0}

HOLDS = {
    "scale-up cooldown": (written(HIGH, scale_up={"cooldown": "3m"}), BUSY, GROWN, 120),
    "scale-down cooldown": (written(LOW, scale_down={"cooldown": "5m"}), IDLE, GROWN, 240),
    "stabilization": (
        written(LOW, scale_down={"stabilization": "5m"}),
        IDLE,
        History(recommended=(Recommended(NOW - 200, 3), Recommended(NOW - 100, 4))),
        200,
    ),
    "limit": (written(HIGH, scale_up={"limits": [{"replicas": 1, "per": "2m"}]}), BUSY, GROWN, 60),
    "no room": (written(HIGH, scale_up={"give_back": "10m"}), BUSY, History(gave_back=NOW - 60), 540),
    "pause": (
        written(HIGH),
        replace(BUSY, paused={Direction.UP: "by ana"}, paused_until={Direction.UP: NOW + 90}),
        History(),
        90,
    ),
    "deploy": (written(HIGH), replace(BUSY, rollout="deployed", rollout_until=NOW + 20), History(), 20),
}
"""By its name: a policy and a case that it holds, and after how many seconds the hold ends by itself."""


def later(seen: Observation, seconds: float) -> Observation:
    """The same *seconds* later: a pause and a deploy that are over hold no more."""
    at = seen.at + seconds
    left = {way: said for way, said in seen.paused.items() if at < seen.paused_until[way]}
    settling = seen.rollout_until is not None and at < seen.rollout_until
    return replace(seen, at=at, paused=left, rollout=seen.rollout if settling else "")


@pytest.mark.parametrize("name", HOLDS)
def test_a_hold_that_knows_its_end_ends_then(name: str) -> None:
    """A hold that says when it ends holds until just before that moment, and not at that moment."""
    rules, seen, history, left = HOLDS[name]
    decision = decide(rules, seen, history)

    assert decision.held
    assert decision.primary.until == NOW + left
    assert decide(rules, later(seen, left - 1), history).primary.reason is decision.primary.reason
    assert decide(rules, later(seen, left), history).changes


@pytest.mark.parametrize("schedule", [DAY, NIGHT])
def test_a_schedule_that_holds_says_when_it_ends(schedule: dict[str, object]) -> None:
    """A count that a schedule decides says when the schedule ends."""
    rules = written(HIGH, most=10, schedules=[schedule])
    seen = observation(0 if schedule is NIGHT else 3, windows={"cpu": steady(90)})
    decision = decide(rules, seen, History())

    assert decision.primary.reason is Reason.SCHEDULE_BOUNDS
    assert decision.primary.until is not None
    assert rules.bounds(decision.primary.until - 1) == rules.bounds(NOW)
    assert rules.bounds(decision.primary.until).max == rules.replicas.max


def test_a_schedule_that_begins_again_as_it_ends_does_not_end() -> None:
    """A schedule whose start and end fire at the same moment goes on; one that always does has no end."""
    endless = {"name": "all", "start": "* * * * *", "end": "*/5 * * * *", "max": 3}
    rules = written(HIGH, most=10, schedules=[endless])
    assert decide(rules, BUSY, History()).primary.until is None


def test_a_pause_that_the_policy_writes_has_no_end() -> None:
    """A pause at run time that ends says nothing about a service that its policy pauses too."""
    rules = Policy.model_validate({**written(HIGH).model_dump(exclude_unset=True, by_alias=True), "paused": True})
    seen = replace(BUSY, paused={Direction.UP: "by ana"}, paused_until={Direction.UP: NOW + 90})
    assert decide(rules, seen, History()).primary.until is None


def test_bounds_in_force() -> None:
    """A decision has the bounds that were in force at its time, schedules included."""
    decision = decide(written(HIGH, least=2, most=10, schedules=[DAY]), BUSY, History())
    assert (decision.minimum, decision.maximum) == (2, 3)
