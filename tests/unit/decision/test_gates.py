from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autoscaler.core.model import Decision, History, ScaleEvent
from autoscaler.core.reasons import Reason
from tests.support.builders import NOW, observation, steady, told, window, written
from tests.support.deciding import decide, summed

HIGH = {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1}
LOW = {"name": "cpu-low", "metric": "cpu", "below": 30, "for": "1m", "remove": 1}
STEPS = {"name": "cpu-steps", "metric": "cpu", "strategy": "steps", "above": 70, "steps": [{"add": 4}]}
TARGET = {"name": "cpu-target", "metric": "cpu", "strategy": "target", "target": 60}
TABLE = {"name": "by-queue", "metric": "queue", "strategy": "table", "table": {n: n for n in range(31)}}


def decided(
    *rules: dict[str, Any], cpu: float = 50, queue: float = 0, requested: int = 3, least: int = 1, **keys: Any
) -> Decision:
    """The decision at these values; what an observation knows is taken from *keys*, the rest is the policy's."""
    facts = {key: keys.pop(key) for key in ("running", "pending", "stuck", "rollout", "mode") if key in keys}
    windows = {"cpu": steady(cpu), "queue": steady(queue)}
    return decide(
        written(*rules, least=least, **{"most": 10, **keys}),
        observation(requested, windows=windows, **facts),
        History(),
    )


# paused


@pytest.mark.parametrize(
    ("paused", "cpu", "desired", "held"),
    [
        pytest.param(True, 90, 3, True, id="no increase"),
        pytest.param(True, 10, 3, True, id="no reduction"),
        pytest.param("up", 90, 3, True, id="up: no increase"),
        pytest.param("up", 10, 2, False, id="up: a reduction passes"),
        pytest.param("down", 90, 4, False, id="down: an increase passes"),
        pytest.param("down", 10, 3, True, id="down: no reduction"),
        pytest.param(False, 90, 4, False, id="not paused, up"),
        pytest.param(False, 10, 2, False, id="not paused, down"),
        pytest.param(True, 50, 3, False, id="nothing is wanted, nothing is held"),
    ],
)
def test_paused(paused: str | bool, cpu: float, desired: int, *, held: bool) -> None:  # noqa: FBT001 - as a policy has it
    """`paused: true|up|down` leaves the services as they are: altogether, or only not to add or remove."""
    decision = decided(HIGH, LOW, cpu=cpu, paused=paused)

    assert (decision.desired, decision.held) == (desired, held)
    assert (decision.primary.reason is Reason.PAUSED) is held


@pytest.mark.parametrize(
    ("paused", "requested", "desired"),
    [(True, 1, 1), (True, 12, 12), ("up", 1, 1), ("up", 12, 10), ("down", 1, 2), ("down", 12, 12)],
)
def test_paused_holds_the_bounds_too(paused: str | bool, requested: int, desired: int) -> None:  # noqa: FBT001
    """A paused policy corrects no bounds in that direction: nothing passes a gate it must not pass."""
    decision = decided(HIGH, LOW, requested=requested, least=2, paused=paused)

    assert decision.desired == desired
    assert decision.held is (desired == requested)


def test_paused_says_what_is_wanted() -> None:
    """A paused decision says what is wanted, and carries the rule that wants it."""
    decision = decided(HIGH, LOW, cpu=90, paused="up")

    assert summed(decision) == (3, Reason.PAUSED, "cpu-high", True)
    assert told(decision) == [(Reason.ABOVE_THRESHOLD, "cpu-high"), (Reason.PAUSED, None)]
    assert decision.primary.detail == "wants 4; the policy says paused: up"
    assert decided(HIGH, cpu=90, paused=True).primary.detail == "wants 4; the policy says paused: true"


def test_a_rollout_is_told_before_a_pause() -> None:
    """Of two closed gates the first is told."""
    assert decided(HIGH, cpu=90, paused=True, rollout="a rolling update is paused").primary.reason is (
        Reason.ROLLOUT_IN_PROGRESS
    )


def test_paused_without_data() -> None:
    """A policy paused and without data holds for want of data: nothing was wanted that the pause could hold."""
    decision = decide(written(HIGH, LOW, paused=True), observation(3), History())

    assert (decision.desired, decision.held, decision.primary.reason) == (3, True, Reason.NO_DATA)


# tasks pending


@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize("rule", [HIGH, STEPS])
def test_a_relative_step_waits_for_any_cause(rule: dict[str, Any], *, stuck: bool) -> None:
    """`tasks_pending` holds a relative step (threshold, steps) while running < requested for any cause."""
    decision = decided(rule, cpu=90, running=2, stuck=stuck, pending="starting for 10s: preparing")

    assert summed(decision) == (3, Reason.TASKS_PENDING, rule["name"], True)
    assert decision.primary.detail.endswith("; 2 of 3 replicas run: starting for 10s: preparing")
    assert decided(rule, cpu=90, running=3, stuck=stuck).changes


@pytest.mark.parametrize(
    ("rule", "values", "desired"), [(TARGET, (240, 0), 8), (TABLE, (50, 7), 7)], ids=["target", "table"]
)
def test_a_count_waits_only_while_tasks_are_stuck(
    rule: dict[str, Any], values: tuple[float, float], desired: int
) -> None:
    """A count (target, table) passes while tasks start, and is held while they have no room, fail, or take too long."""
    cpu, queue = values
    assert summed(decided(rule, cpu=cpu, queue=queue, running=2))[0] == desired
    held = decided(rule, cpu=cpu, queue=queue, running=2, stuck=True, pending="pending for 1m: no suitable node")
    assert summed(held) == (3, Reason.TASKS_PENDING, rule["name"], True)
    assert "no suitable node" in held.primary.detail


@pytest.mark.parametrize("stuck", [False, True])
def test_a_count_passes_downwards(*, stuck: bool) -> None:
    """`tasks_pending` passes a rule's reduction."""
    assert decided(TARGET, cpu=10, running=2, stuck=stuck).desired == 2
    assert decided(TABLE, queue=1, running=2, stuck=stuck).desired == 1


@pytest.mark.parametrize("rules", [(STEPS, TABLE), (TABLE, STEPS)], ids=["steps first", "table first"])
@pytest.mark.parametrize(
    ("queue", "stuck", "desired", "reason"),
    [
        pytest.param(5, False, 5, Reason.TASKS_PENDING, id="the count passes, what the step wants beyond it waits"),
        pytest.param(7, False, 7, None, id="the count asks for as much as the step"),
        pytest.param(9, False, 9, Reason.TABLE_VALUE, id="the count asks for more"),
        pytest.param(2, False, 3, Reason.TASKS_PENDING, id="the count asks for fewer"),
        pytest.param(5, True, 3, Reason.TASKS_PENDING, id="stuck tasks hold both"),
    ],
)
def test_a_count_beside_a_relative_step(
    rules: tuple[dict[str, Any], ...], queue: float, desired: int, reason: Reason | None, *, stuck: bool
) -> None:
    """A step that waits does not hold the count that another rule asks for, in whatever order they stand."""
    decision = decided(*rules, cpu=90, queue=queue, running=2, stuck=stuck)

    assert decision.desired == desired
    assert reason is None or decision.primary.reason is reason
    assert decision.held is (desired == 3)


def test_a_count_beyond_the_maximum() -> None:
    """A count passes up to the bounds in force."""
    decision = decided(STEPS, TABLE, cpu=90, queue=30, running=2, most=5)

    assert summed(decision) == (5, Reason.AT_MAX, "by-queue", False)


@pytest.mark.parametrize(("queue", "desired"), [(2, 6), (8, 8)])
def test_the_minimum_passes_whatever_waits(queue: float, desired: int) -> None:
    """`tasks_pending` passes the bounds' corrections, and a count above them."""
    assert decided(STEPS, TABLE, cpu=90, queue=queue, running=0, requested=3, least=6).desired == desired


# groups


CPU = {"name": "cpu-low", "metric": "cpu", "below": 30, "remove": 1, "group": "calm"}
QUEUE = {"name": "queue-low", "metric": "queue", "below": 5, "remove": 2, "group": "calm"}


@pytest.mark.parametrize(
    ("cpu", "queue", "desired"),
    [
        pytest.param(10, 0, 2, id="both want fewer: the smaller removal"),
        pytest.param(10, 8, 3, id="one wants fewer, one has no opinion"),
        pytest.param(50, 0, 3, id="the other wants fewer, one has no opinion"),
        pytest.param(50, 8, 3, id="none wants fewer"),
    ],
)
def test_a_group_agrees_to_scale_down(cpu: float, queue: float, desired: int) -> None:
    """Rules of one group must agree to scale down.

    Other than Nomad's groups, in which a check that wants nothing does not keep another from scaling in: there that is
    needed for the two sides of one metric, which here never hold each other.
    """
    decision = decided(CPU, QUEUE, cpu=cpu, queue=queue)

    assert (decision.desired, decision.held) == (desired, False)


@pytest.mark.parametrize(
    ("high", "low", "value", "desired"),
    [
        pytest.param(100, 30, 10, 2, id="ScaleIn and ScaleNone"),
        pytest.param(100, 30, 110, 4, id="ScaleOut and ScaleNone"),
        pytest.param(100, 30, 50, 3, id="ScaleNone and ScaleNone"),
        pytest.param(20, 30, 25, 4, id="ScaleOut and ScaleIn"),
    ],
)
def test_the_cases_of_nomad(high: float, low: float, value: float, desired: int) -> None:
    """Nomad's memory checks, high and low: its table of a group's results holds without any group here."""
    above = {"name": "high-memory", "metric": "cpu", "above": high, "add": 1}
    below = {"name": "low-memory", "metric": "cpu", "below": low, "remove": 1}

    assert decided(above, below, cpu=value).desired == desired


def test_rules_outside_the_group_go_their_own_way() -> None:
    """A group that does not agree is no wish to keep the count: another rule, or another group, may remove."""
    own = {"name": "own", "metric": "cpu", "below": 30, "remove": 1}
    other = {**own, "name": "other", "group": "other"}

    assert decided(CPU, QUEUE, own, cpu=10, queue=8).desired == 2
    assert decided(CPU, QUEUE, other, cpu=10, queue=8).desired == 2
    assert decided(CPU, {**QUEUE, "group": None}, cpu=10, queue=8).desired == 2


def test_a_group_holds_no_increase() -> None:
    """One rule of a group is enough to add replicas; the others' wish for fewer does not matter."""
    high = {"name": "queue-high", "metric": "queue", "above": 20, "add": 2, "group": "calm"}

    assert decided(CPU, QUEUE, high, cpu=10, queue=25).desired == 5


def test_a_count_in_a_group() -> None:
    """A rule of the group that asks for the present count, or for more, does not want fewer."""
    target = {**TARGET, "group": "calm"}

    assert summed(decided(CPU, {**TABLE, "group": "calm"}, cpu=10, queue=3))[:2] == (3, Reason.TABLE_VALUE)
    assert decided({**QUEUE, "below": 50}, target, cpu=60, queue=8).desired == 3
    assert decided({**QUEUE, "below": 50}, target, cpu=30, queue=8).desired == 2


def test_a_rule_of_the_group_lacks_data() -> None:
    """No reduction where a rule of the policy lacks data, one of the group or not."""
    seen = observation(3, windows={"cpu": steady(10)})

    decision = decide(written(CPU, QUEUE), seen, History())

    assert summed(decision) == (3, Reason.NO_DATA, "queue-low", True)


# together


def test_every_step_in_its_order() -> None:
    """rules, stabilization, limits, flap guard, cooldown, bounds, gates: the last that shaped the count is primary."""
    low = {"name": "cpu-low", "metric": "cpu", "below": 60, "remove": 9}
    down = {"stabilization": "5m", "limits": [{"replicas": 5, "per": "1m"}]}
    cpu = replace(window([42] * 8), redistributes=True)
    history = History((ScaleEvent(NOW - 100, 1, 10),), ())
    seen = observation(10, windows={"cpu": cpu})

    guarded = decide(written(HIGH, low, scale_down=down), seen, history)
    assert summed(guarded) == (6, Reason.WOULD_FLAP, "cpu-low", False)
    assert told(guarded) == [
        (Reason.BELOW_THRESHOLD, "cpu-low"),
        (Reason.STEP_LIMITED, None),
        (Reason.WOULD_FLAP, None),
    ]
    cooling = decide(written(HIGH, low, scale_down={**down, "cooldown": "5m"}), seen, history)
    assert summed(cooling) == (10, Reason.COOLING_DOWN, "cpu-low", True)
    paused = decide(written(HIGH, low, scale_down=down, paused="down"), seen, history)
    assert summed(paused) == (10, Reason.PAUSED, "cpu-low", True)
    assert [reason for reason, _ in told(paused)][-2:] == [Reason.WOULD_FLAP, Reason.PAUSED]
