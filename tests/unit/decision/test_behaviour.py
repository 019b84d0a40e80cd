from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.core.model import Decision, History, Observation, Recommended, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.policy_files import loader
from autoscaler.swarm.history import ServiceHistory, look
from tests.support.builders import (
    MISSING,
    NOW,
    STEP,
    FakeService,
    observation,
    policy_file,
    refused,
    steady,
    told,
    window,
    written,
)
from tests.support.deciding import decide, summed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from autoscaler.core.window import Window
    from autoscaler.policy.policy import Policy

WANTED = {"name": "wanted", "metric": "queue", "strategy": "table", "table": {n: n for n in range(201)}}
"""A rule that asks for the count that its metric says: the steps after it are what is tested."""


def wanting(count: int, requested: int, **facts: Any) -> Observation:
    """An observation in which the rule `WANTED` asks for *count*."""
    return observation(requested, windows={"queue": steady(count)}, **facts)


def recommended(*made: tuple[float, int]) -> History:
    """What was recommended so many seconds before `NOW`."""
    return History(recommended=tuple(Recommended(NOW - ago, count) for ago, count in made))


def changed(requested: int, *changes: tuple[float, int]) -> History:
    """Changes so many seconds ago by so many replicas, which led to *requested*."""
    events: list[ScaleEvent] = []
    after = requested
    for ago, by in sorted(changes):
        events.append(ScaleEvent(NOW - ago, after - by, after))
        after -= by
    return History(tuple(sorted(events)))


# Stabilization (Kubernetes HPA, stabilizationWindowSeconds)

CALMING = written(WANTED, scale_up={"stabilization": "1m"}, scale_down={"stabilization": "5m"})


@pytest.mark.parametrize(
    ("made", "wanted", "desired"),
    [
        pytest.param([], 2, 2, id="nothing recommended before"),
        pytest.param([(200, 8)], 2, 8, id="the highest of the window"),
        pytest.param([(290, 7), (200, 8), (100, 3)], 2, 8, id="the highest of the window, whichever comes last"),
        pytest.param([(299.9, 9)], 2, 9, id="just inside the window"),
        pytest.param([(300, 9)], 2, 2, id="exactly as old as the window is over"),
        pytest.param([(301, 9), (100, 4)], 2, 4, id="older ones do not count"),
        pytest.param([(100, 1)], 2, 2, id="a lower one changes nothing"),
        pytest.param([(0, 6)], 2, 6, id="one of this very moment"),
        pytest.param([(-30, 6)], 2, 6, id="one stamped in the future counts as now"),
    ],
)
def test_a_reduction_takes_the_highest_of_its_window(made: list[tuple[float, int]], wanted: int, desired: int) -> None:
    """Going down, the largest count recommended within the window, this time included; equal to the window is over."""
    decision = decide(CALMING, wanting(wanted, 10), recommended(*made))

    changes = desired != wanted
    reason = Reason.STABILIZED if changes else Reason.TABLE_VALUE
    assert summed(decision) == (desired, reason, "wanted", False)
    assert decision.recommended == wanted


@pytest.mark.parametrize(
    ("made", "wanted", "desired"),
    [
        pytest.param([], 30, 30, id="nothing recommended before"),
        pytest.param([(30, 12)], 30, 12, id="the lowest of the window"),
        pytest.param([(50, 20), (30, 12), (10, 40)], 30, 12, id="the lowest of the window, whichever comes last"),
        pytest.param([(59.9, 15)], 30, 15, id="just inside the window"),
        pytest.param([(60, 15)], 30, 30, id="exactly as old as the window is over"),
        pytest.param([(200, 11)], 30, 30, id="inside the other direction's window only"),
        pytest.param([(30, 50)], 30, 30, id="a higher one changes nothing"),
    ],
)
def test_an_increase_takes_the_lowest_of_its_window(made: list[tuple[float, int]], wanted: int, desired: int) -> None:
    """Going up, the smallest count recommended within the window of that direction."""
    decision = decide(CALMING, wanting(wanted, 10), recommended(*made))

    assert (decision.desired, decision.held) == (desired, False)
    assert decision.primary.reason is (Reason.STABILIZED if desired != wanted else Reason.TABLE_VALUE)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        pytest.param([(100, 10)], 2, id="the present count was recommended"),
        pytest.param([(100, 15)], 2, id="more was recommended: that is no increase now"),
        pytest.param([(30, 10)], 30, id="the present count was recommended while more is wanted"),
        pytest.param([(30, 3)], 30, id="fewer were recommended: that is no reduction now"),
    ],
)
def test_stabilization_holds(made: list[tuple[float, int]], wanted: int) -> None:
    """Never beyond the requested count to the other side: there it is held."""
    decision = decide(CALMING, wanting(wanted, 10), recommended(*made))

    assert summed(decision) == (10, Reason.STABILIZED, "wanted", True)
    assert told(decision) == [(Reason.TABLE_VALUE, "wanted"), (Reason.STABILIZED, None)]


def test_stabilization_shapes_changes_only() -> None:
    """Where the rules want the present count, what was recommended before makes no change."""
    decision = decide(CALMING, wanting(10, 10), recommended((10, 3), (5, 30)))

    assert summed(decision) == (10, Reason.TABLE_VALUE, "wanted", False)


def test_no_stabilization_by_default() -> None:
    """Defaults: no stabilization; the HPA's five minutes down are a policy's to give."""
    decision = decide(written(WANTED), wanting(2, 10), recommended((0, 9), (100, 9)))

    assert summed(decision) == (2, Reason.TABLE_VALUE, "wanted", False)


def test_stabilization_says_what_holds() -> None:
    """A stabilized decision says what is wanted, and what was recommended in which window."""
    decision = decide(CALMING, wanting(2, 10), recommended((100, 8)))

    assert decision.primary.detail == "wants 2; 8 was recommended within the 5m of stabilization"


def loop(
    rules: Policy, loads: Iterable[Window | None], requested: int = 10, memory: ServiceHistory | None = None
) -> list[Decision]:
    """The decisions on these windows of `queue`, one per step, applied as the daemon does."""
    service = FakeService(requested, NOW - 86_400)
    decisions = []
    for tick, held in enumerate(loads):
        at = float(NOW + tick * STEP)
        memory, _ = look(service.view(), memory, at)
        seen = observation(service.requested, windows={} if held is None else {"queue": held}, at=at)
        decision = decide(rules, seen, memory.history)
        memory = memory.with_decision(decision, rules.longest_stabilization)
        if decision.changes:
            memory = service.scaled_by_us(at, decision.desired, memory)
        decisions.append(decision)
    return decisions


def when_it_shrinks(decisions: Sequence[Decision]) -> int | None:
    """Seconds until the first reduction."""
    return next((int(each.at - NOW) for each in decisions if each.desired < each.requested), None)


def test_a_restart_does_not_end_a_stabilization() -> None:
    """A first look remembers the count that it found, as the HPA does: the first reduction takes the whole window."""
    decisions = loop(CALMING, [steady(2)] * 30)

    assert when_it_shrinks(decisions) == 300
    assert summed(decisions[0]) == (10, Reason.STABILIZED, "wanted", True)


def test_a_restart_does_not_hold_where_nothing_is_stabilized() -> None:
    """Without stabilization a first look may shrink at once, if windows and cooldown let it."""
    assert when_it_shrinks(loop(written(WANTED), [steady(2)] * 3)) == 0


def test_a_fluctuation_is_ridden_out() -> None:
    """A rolling maximum: a dip that is shorter than the window removes nothing."""
    assert when_it_shrinks(loop(CALMING, [*[steady(2)] * 15, steady(9), *[steady(2)] * 30])) == 300
    dips = loop(CALMING, [*[steady(10)] * 25, *[steady(2)] * 19, *[steady(10)] * 2])
    assert {each.desired for each in dips} == {10}


@pytest.mark.parametrize("lacking", [None, window([2, MISSING])])
def test_lacking_data_while_a_reduction_is_stabilized(lacking: Window | None) -> None:
    """Data that are missing for a moment hold the count, and count as a wish to keep it: the window starts again."""
    decisions = loop(CALMING, [*[steady(2)] * 10, lacking, *[steady(2)] * 25])

    assert decisions[10].primary.reason.lacks_data
    assert decisions[10].held
    assert when_it_shrinks(decisions) == 10 * STEP + 300


def test_lacking_data_and_an_old_reduction_recommended() -> None:
    """Nothing is removed without data because fewer were recommended before."""
    seen = observation(10)

    decision = decide(CALMING, seen, recommended((10, 2), (20, 2)))

    assert (decision.desired, decision.primary.reason) == (10, Reason.NO_DATA)


# Limits (Kubernetes HPA, scaling policies)

DOWN = {"limits": [{"replicas": 4, "per": "1m"}, {"percent": 10, "per": "1m"}]}


def test_the_example_of_kubernetes() -> None:
    """80 replicas to 10: 8 at first, 7.2 of 72 rounded to 8; from 40 on, 4 at a time."""
    rules = written(WANTED, scale_down=DOWN)
    requested, path = 80, [80]
    while requested > 10:
        requested = decide(rules, wanting(10, requested), History()).desired
        path.append(requested)

    assert path == [80, 72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10]


def test_the_limit_of_a_period_counts_what_it_holds() -> None:
    """Within the minute nothing more goes; exactly a minute later the next share does."""
    rules = written(WANTED, scale_down=DOWN)

    held = decide(rules, wanting(10, 72), changed(72, (59.9, -8)))
    assert summed(held) == (72, Reason.STEP_LIMITED, "wanted", True)
    assert decide(rules, wanting(10, 72), changed(72, (60, -8))).desired == 64


HPA_UP = {"limits": [{"percent": 100, "per": "15s"}, {"replicas": 4, "per": "15s"}]}
HPA_DOWN = {"stabilization": "5m", "limits": [{"percent": 100, "per": "15s"}]}


@pytest.mark.parametrize(
    ("requested", "desired"), [(1, 5), (2, 6), (3, 7), (4, 8), (5, 10), (30, 60), (90, 100), (0, 4)]
)
def test_the_default_behaviour_of_kubernetes_up(requested: int, desired: int) -> None:
    """Up: four more or the double every 15 s, whichever is more, at once; no more than what is wanted."""
    rules = written(WANTED, least=0, scale_up=HPA_UP, scale_down=HPA_DOWN)

    assert decide(rules, wanting(100, requested), recommended((1, 1))).desired == desired


def test_the_default_behaviour_of_kubernetes_down() -> None:
    """Down: all of them, after five minutes."""
    rules = written(WANTED, scale_up=HPA_UP, scale_down=HPA_DOWN)

    assert decide(rules, wanting(1, 60), recommended((300, 60), (299, 1))).desired == 1
    assert decide(rules, wanting(1, 60), recommended((299, 60))).held


@pytest.mark.parametrize(
    ("select", "requested", "desired"),
    [
        pytest.param("min", 80, 75, id="5 of 80 are fewer than 10 %"),
        pytest.param("min", 20, 18, id="10 % of 20 are fewer than 5"),
        pytest.param("max", 80, 72, id="10 % of 80 are more than 5"),
        pytest.param("max", 20, 15, id="5 of 20 are more than 10 %"),
        pytest.param("disabled", 80, 80, id="no reduction at all"),
    ],
)
def test_select_of_a_reduction(select: str, requested: int, desired: int) -> None:
    """`max` takes the limit that allows the most, `min` the least, `disabled` forbids the direction."""
    limits = [{"percent": 10, "per": "1m"}, {"replicas": 5, "per": "1m"}]
    rules = written(WANTED, scale_down={"limits": limits, "select": select})

    decision = decide(rules, wanting(1, requested), History())

    assert summed(decision) == (desired, Reason.STEP_LIMITED, "wanted", desired == requested)
    assert decide(rules, wanting(90, requested), History()).desired == 90


@pytest.mark.parametrize(
    ("select", "requested", "desired"),
    [("max", 2, 6), ("min", 2, 3), ("max", 20, 30), ("min", 20, 24), ("disabled", 2, 2)],
)
def test_select_of_an_increase(select: str, requested: int, desired: int) -> None:
    """Going up, too, `max` is the most change and `min` the least."""
    limits = [{"percent": 50, "per": "1m"}, {"replicas": 4, "per": "1m"}]
    rules = written(WANTED, scale_up={"limits": limits, "select": select})

    decision = decide(rules, wanting(90, requested), History())

    assert summed(decision) == (desired, Reason.STEP_LIMITED, "wanted", desired == requested)
    assert decide(rules, wanting(1, requested), History()).desired == 1


def test_disabled_needs_no_limits() -> None:
    """The HPA's example: scale-down disabled, and nothing else said."""
    rules = written(WANTED, scale_down={"select": "disabled"})

    decision = decide(rules, wanting(1, 5), History())

    assert summed(decision) == (5, Reason.STEP_LIMITED, "wanted", True)
    assert decision.primary.detail == "wants 1; scale_down is disabled"
    assert decide(rules, wanting(1, 200), History()).desired == 100  # the maximum asks for it


@pytest.mark.parametrize(
    ("percent", "requested", "up", "down"),
    [
        pytest.param(10, 72, 80, 64, id="7.2 is rounded to the larger change, 8"),
        pytest.param(10, 1, 2, 0, id="0.1 is one"),
        pytest.param(1, 3, 4, 2, id="0.03 is one"),
        pytest.param(50, 5, 8, 2, id="2.5 is three"),
        pytest.param(100, 5, 10, 0, id="all"),
        pytest.param(250, 4, 14, 0, id="more than all"),
        pytest.param(10, 10, 11, 9, id="1 is one, whatever floating point adds"),
        pytest.param(10, 70, 77, 63, id="7 is seven"),
        pytest.param(30, 10, 13, 7, id="3 is three"),
        pytest.param(20, 15, 18, 12, id="3 of 15"),
        pytest.param(10, 50, 55, 45, id="50 * 1.1 is 55 and a bit"),
        pytest.param(80, 5, 9, 1, id="5 * 0.2 is 1 less a bit"),
    ],
)
def test_percentages_are_rounded_to_the_larger_change(percent: int, requested: int, up: int, down: int) -> None:
    """Rounded to the larger change, so that a small service can move at all.

    Other than in the HPA's code, what floating point adds to a whole number makes no further replica: 10 % of 10 is 1.
    """
    limits = {"limits": [{"percent": percent, "per": "1m"}]}
    rules = written(WANTED, least=0, scale_up=limits, scale_down=limits)

    assert decide(rules, wanting(100, requested), History()).desired == up
    assert decide(rules, wanting(0, requested), History()).desired == down


def test_a_percentage_of_none_is_one() -> None:
    """A service at 0 under a limit in percent can wake; the HPA does not scale a service at 0."""
    rules = written(WANTED, least=0, scale_up={"limits": [{"percent": 100, "per": "1m"}]})

    assert decide(rules, wanting(5, 0), History()).desired == 1
    assert decide(rules, wanting(5, 1), changed(1, (30, 1))).held
    assert decide(rules, wanting(5, 1), changed(1, (60, 1))).desired == 2


UP_4 = {"limits": [{"replicas": 4, "per": "1m"}]}
HALF = {"limits": [{"percent": 50, "per": "1m"}]}


@pytest.mark.parametrize(
    ("limits", "requested", "changes", "desired"),
    [
        pytest.param(UP_4, 10, [], 14, id="no change in the period"),
        pytest.param(UP_4, 10, [(30, 3)], 11, id="3 of the 4 are used"),
        pytest.param(UP_4, 10, [(30, 4)], 10, id="all 4 are used"),
        pytest.param(UP_4, 10, [(30, 7)], 10, id="more than 4, an operator's: no more, and no fewer"),
        pytest.param(UP_4, 10, [(50, 2), (20, 1)], 11, id="changes add up"),
        pytest.param(UP_4, 10, [(59.999, 3)], 11, id="just inside the period"),
        pytest.param(UP_4, 10, [(60, 3)], 14, id="exactly at the period's beginning it is over"),
        pytest.param(UP_4, 10, [(70, 9), (30, 1)], 13, id="older changes do not count"),
        pytest.param(UP_4, 10, [(30, -2)], 16, id="two fewer in the period may come back"),
        pytest.param(UP_4, 10, [(50, 4), (20, -3)], 13, id="both directions: it began at 9"),
        pytest.param(UP_4, 10, [(-5, 4)], 10, id="a stamp in the future counts as now"),
        pytest.param(HALF, 15, [], 23, id="half of 15 is 7.5, which is 8"),
        pytest.param(HALF, 15, [(30, 5)], 15, id="half of the 10 at the beginning is used"),
        pytest.param(HALF, 12, [(30, 2)], 15, id="half of the 10 at the beginning: 15"),
        pytest.param(HALF, 10, [(30, -10)], 30, id="half of the 20 at the beginning: 30"),
        pytest.param(HALF, 9, [(30, 9)], 9, id="it began at none"),
    ],
)
def test_an_increase_within_its_periods(
    limits: dict[str, Any], requested: int, changes: list[tuple[float, int]], desired: int
) -> None:
    """Each limit counts from the replicas at the beginning of its period, whoever changed them since.

    The HPA nets the changes that it made in the period, in both directions; here an operator's count as well.
    """
    decision = decide(written(WANTED, scale_up=limits), wanting(100, requested), changed(requested, *changes))

    assert summed(decision) == (desired, Reason.STEP_LIMITED, "wanted", desired == requested)


@pytest.mark.parametrize(
    ("limits", "requested", "changes", "desired"),
    [
        pytest.param(UP_4, 10, [], 6, id="no change in the period"),
        pytest.param(UP_4, 10, [(30, -3)], 9, id="3 of the 4 are used"),
        pytest.param(UP_4, 10, [(30, -6)], 10, id="more than 4, an operator's: no fewer, and no more"),
        pytest.param(UP_4, 10, [(60, -3)], 6, id="exactly at the period's beginning it is over"),
        pytest.param(UP_4, 10, [(30, 3)], 3, id="three more in the period may go again"),
        pytest.param(HALF, 10, [(30, 4)], 3, id="half of the 6 at the beginning"),
        pytest.param(HALF, 10, [(30, -10)], 10, id="half of the 20 at the beginning is used"),
        pytest.param(HALF, 15, [(30, -4)], 9, id="half of the 19 at the beginning, rounded to the larger change"),
    ],
)
def test_a_reduction_within_its_periods(
    limits: dict[str, Any], requested: int, changes: list[tuple[float, int]], desired: int
) -> None:
    """Going down likewise."""
    decision = decide(written(WANTED, scale_down=limits), wanting(1, requested), changed(requested, *changes))

    assert summed(decision) == (desired, Reason.STEP_LIMITED, "wanted", desired == requested)


def test_each_limit_has_its_period() -> None:
    """A long period's limit counts what a short one has forgotten."""
    limits = [{"replicas": 2, "per": "15s"}, {"replicas": 5, "per": "30m"}]
    fewest = written(WANTED, scale_up={"limits": limits, "select": "min"})
    history = changed(14, (1700, 3), (600, 1))

    assert decide(fewest, wanting(100, 14), history).desired == 15
    assert decide(fewest, wanting(100, 14), changed(14, (1800, 3), (600, 1))).desired == 16


def test_a_limit_does_not_hold_the_bounds() -> None:
    """Bounds are corrected whatever the steps before say."""
    rules = written(WANTED, least=8, most=20, scale_up=UP_4, scale_down=UP_4)

    assert summed(decide(rules, wanting(10, 1), History()))[:2] == (8, Reason.BELOW_MIN)
    assert summed(decide(rules, wanting(1, 60), History()))[:2] == (20, Reason.ABOVE_MAX)


def test_partly_limited_is_a_change() -> None:
    """Partly limited is a change with that reason, fully limited is held; what is within the limit is neither."""
    rules = written(WANTED, scale_up=UP_4)

    partly = decide(rules, wanting(15, 10), History())
    assert summed(partly) == (14, Reason.STEP_LIMITED, "wanted", False)
    assert told(partly) == [(Reason.TABLE_VALUE, "wanted"), (Reason.STEP_LIMITED, None)]
    assert partly.primary.detail == "wants 15; the limit of 4 per 1m allows 14 now"
    fully = decide(rules, wanting(15, 10), changed(10, (30, 4)))
    assert summed(fully) == (10, Reason.STEP_LIMITED, "wanted", True)
    assert fully.primary.detail == "wants 15; the limit of 4 per 1m allows 10 now"
    assert summed(decide(rules, wanting(14, 10), History())) == (14, Reason.TABLE_VALUE, "wanted", False)


def test_several_limits_in_words() -> None:
    """A decision quotes the limits, and which of them counts."""
    decision = decide(written(WANTED, scale_down=DOWN), wanting(10, 80), History())

    assert decision.primary.detail == "wants 10; the limit of max of (4 per 1m, 10% per 1m) allows 72 now"


def test_stabilization_comes_before_limits() -> None:
    """A stabilized reduction is limited further, and both are told."""
    rules = written(WANTED, scale_down={"stabilization": "5m", **UP_4})

    decision = decide(rules, wanting(2, 20), recommended((100, 10)))

    assert summed(decision) == (16, Reason.STEP_LIMITED, "wanted", False)
    assert told(decision) == [
        (Reason.TABLE_VALUE, "wanted"),
        (Reason.STABILIZED, None),
        (Reason.STEP_LIMITED, None),
    ]


def test_limits_and_the_cooldown() -> None:
    """What a limit leaves, the cooldown may hold: that is the last step then."""
    rules = written(WANTED, scale_up={"cooldown": "3m", **UP_4})

    decision = decide(rules, wanting(20, 10), changed(10, (100, 1)))

    assert summed(decision) == (10, Reason.COOLING_DOWN, "wanted", True)
    assert decision.primary.detail.startswith("wants 14; ")


# The flap guard

HIGH = {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1}
LOW = {"name": "cpu-low", "metric": "cpu", "below": 50, "remove": 1}


def moving(value: float, **facts: Any) -> Window:
    """A metric at *value* whose load moves to the remaining replicas."""
    return replace(steady(value), redistributes=True, **facts)


def guarded(
    value: float, requested: int, *, remove: int = 1, running: int | None = None, **keys: Any
) -> tuple[int, Reason, str | None, bool]:
    """What becomes of a removal at this cpu, whose every redistribution beyond 70 would be undone."""
    rules = written(HIGH, {**LOW, "remove": remove}, **{"least": 0, **keys})
    return summed(decide(rules, observation(requested, windows={"cpu": moving(value)}, running=running), History()))


PASSES, HELD = Reason.BELOW_THRESHOLD, Reason.WOULD_FLAP


@pytest.mark.parametrize(
    ("value", "requested", "remove", "desired", "reason"),
    [
        pytest.param(49, 2, 1, 2, HELD, id="2 to 1, 49 to 98"),
        pytest.param(34, 2, 1, 1, PASSES, id="34 to 68"),
        pytest.param(35, 2, 1, 1, PASSES, id="35 to exactly 70, which is not above it"),
        pytest.param(35.01, 2, 1, 2, HELD, id="just above"),
        pytest.param(49, 4, 1, 3, PASSES, id="49 to 65.3"),
        pytest.param(49, 10, 3, 7, PASSES, id="49 to exactly 70"),
        pytest.param(49, 10, 4, 7, HELD, id="shrinks to the largest safe removal"),
        pytest.param(49, 10, 9, 7, HELD, id="shrinks to the largest safe removal from far"),
        pytest.param(49, 3, 2, 3, HELD, id="none is safe"),
        pytest.param(0, 2, 2, 0, PASSES, id="no load moves nowhere"),
        pytest.param(0, 1, 1, 0, PASSES, id="the last one without load"),
        pytest.param(0.1, 1, 1, 1, HELD, id="the last one with any load: none would carry it"),
        pytest.param(0.1, 3, 3, 1, HELD, id="but one, which can"),
    ],
)
def test_flap_guard(value: float, requested: int, remove: int, desired: int, reason: Reason) -> None:
    """A removal that would pass an `above` bound of the policy shrinks to the largest safe one, else is held."""
    found = guarded(value, requested, remove=remove)

    assert found == (desired, reason, "cpu-low", desired == requested)


@pytest.mark.parametrize(
    ("value", "requested", "running", "remove", "desired"),
    [
        pytest.param(49, 5, 3, 2, 3, id="two that do not run carry nothing"),
        pytest.param(49, 5, 3, 3, 3, id="the third removed would be missed"),
        pytest.param(49, 5, 4, 2, 3, id="one that does not run, and one that does: 49 to 65.3"),
        pytest.param(20, 3, 6, 1, 2, id="6 run for 3: of 2, each carries 60"),
        pytest.param(24, 3, 6, 1, 3, id="6 run for 3: of 2, each would carry 72"),
        pytest.param(49, 5, 0, 1, 5, id="none runs: what was measured cannot be told of"),
    ],
)
def test_flap_guard_and_running_replicas(value: float, requested: int, running: int, remove: int, desired: int) -> None:
    """Swarm removes first what does not run; what runs beyond the requested count carries load that will move."""
    assert guarded(value, requested, remove=remove, running=running)[0] == desired


def test_rounding_is_no_load() -> None:
    """0.1 of three on one is 0.3, whatever floating point makes of it."""
    rules = written({**HIGH, "above": 0.3}, {**LOW, "remove": 2})
    seen = observation(3, windows={"cpu": moving(0.1)})

    assert decide(rules, seen, History()).desired == 1


def test_two_bounds() -> None:
    """Every `above` bound of the policy counts, of every metric whose load moves; the first passed is told."""
    hot = {"name": "p95-high", "metric": "p95", "above": 200, "add": 1}
    rules = written(HIGH, hot, {**LOW, "remove": 5})
    windows = {"cpu": moving(20), "p95": moving(120)}

    decision = decide(rules, observation(10, windows=windows), History())

    assert summed(decision) == (6, Reason.WOULD_FLAP, "cpu-low", False)
    assert decision.primary.detail == "wants 5; with 5 replicas p95 would go from 120 to 240, above 200"
    lower = written({**HIGH, "name": "cpu-hot", "above": 90}, HIGH, {**LOW, "remove": 5})
    assert decide(lower, observation(10, windows={"cpu": moving(49)}), History()).desired == 7


@pytest.mark.parametrize(
    ("rules", "windows"),
    [
        pytest.param([HIGH, LOW], {"cpu": steady(49)}, id="a metric whose load stays"),
        pytest.param(
            [{"name": "memory-high", "metric": "memory", "above": 70, "add": 1}, LOW],
            {"memory": steady(60), "cpu": moving(49)},
            id="memory is not guarded",
        ),
        pytest.param([{**LOW, "name": "no-high"}], {"cpu": moving(49)}, id="no bound above"),
        pytest.param(
            [{"name": "idle", "metric": "cpu", "above": 70, "remove": 1}, LOW], {"cpu": moving(49)}, id="removes above"
        ),
        pytest.param(
            [{"name": "odd", "metric": "cpu", "below": 5, "add": 1}, LOW], {"cpu": moving(49)}, id="adds below"
        ),
    ],
)
def test_what_is_not_guarded(rules: list[dict[str, Any]], windows: dict[str, Window]) -> None:
    """Only a bound that adds replicas above it, of a metric whose load moves to the remaining ones."""
    decision = decide(written(*rules), observation(2, windows=windows), History())

    assert (decision.desired, decision.held) == (1, False)


@pytest.mark.parametrize("adds", [{"add": 2}, {"exactly": 9}])
def test_steps_have_a_bound_too(adds: dict[str, Any]) -> None:
    """Steps that add replicas above a bound are guarded as a threshold is."""
    rule = {"name": "cpu-steps", "metric": "cpu", "strategy": "steps", "above": 70, "steps": [adds]}

    decision = decide(written(rule, LOW), observation(2, windows={"cpu": moving(49)}), History())

    assert summed(decision) == (2, Reason.WOULD_FLAP, "cpu-low", True)


def test_a_guarded_metric_without_a_newest_sample() -> None:
    """A bound whose rule lacks data holds the reduction already, as every lack of data does."""
    windows = {"cpu": replace(window([49, MISSING]), redistributes=True), "memory": steady(10)}
    low = {"name": "memory-low", "metric": "memory", "below": 20, "remove": 1}

    decision = decide(written(HIGH, low), observation(2, windows=windows), History())

    assert (decision.desired, decision.primary.reason.lacks_data) == (2, True)


def test_flap_guard_off() -> None:
    """`flap_guard: false` turns it off."""
    assert guarded(49, 2, flap_guard=False) == (1, Reason.BELOW_THRESHOLD, "cpu-low", False)
    assert guarded(49, 2, flap_guard=True)[3]


def test_flap_guard_says_what_would_be() -> None:
    """A decision says what is wanted and what that would bring, partly guarded or held."""
    rules = written(HIGH, {**LOW, "remove": 4})

    partly = decide(rules, observation(10, windows={"cpu": moving(49)}), History())
    assert told(partly) == [(Reason.BELOW_THRESHOLD, "cpu-low"), (Reason.WOULD_FLAP, None)]
    assert partly.primary.detail == "wants 6; with 6 replicas cpu would go from 49 to 81.67, above 70"
    assert partly.changes
    assert not partly.held


def test_the_flap_guard_does_not_hold_the_maximum() -> None:
    """Bounds are corrected whatever the steps before say."""
    assert guarded(49, 4, remove=3, most=2)[:2] == (2, Reason.ABOVE_MAX)


def test_limits_come_before_the_flap_guard() -> None:
    """What a limit leaves may be safe."""
    assert guarded(49, 10, remove=5, scale_down={"limits": [{"replicas": 2, "per": "1m"}]}) == (
        8,
        Reason.STEP_LIMITED,
        "cpu-low",
        False,
    )


# Files


def test_behaviour_in_a_file(tmp_path: Path) -> None:
    """The specification's limits, as a policy file writes them."""
    more = "scale_up: {cooldown: 0s, limits: [{replicas: 4, per: 15s}, {percent: 100, per: 30m}], select: min}"
    file = policy_file(tmp_path, "{name: r, metric: cpu, above: 70, add: 1}", more=more)

    [held] = loader.load([file]).policies

    assert [(each.replicas, each.percent, each.per) for each in held.scale_up.limits] == [
        (4, None, 15),
        (None, 100, 1800),
    ]
    assert (held.scale_up.select, held.scale_up.stabilization) == ("min", 0)
    assert (held.scale_down.select, held.scale_down.limits, held.scale_down.stabilization) == ("max", (), 0)
    assert (held.flap_guard, held.paused, held.longest_stabilization) == (True, False, 0)


@pytest.mark.parametrize(
    ("more", "told_of"),
    [
        ("scale_up: {limits: [{per: 15s}]}", ["8:23: policies[0].scale_up.limits[0]: ", "either replicas or percent"]),
        (
            "scale_up: {limits: [{replicas: 1, percent: 1, per: 15s}]}",
            ["8:23: policies[0].scale_up.limits[0]: ", "either replicas or percent"],
        ),
        ("scale_up: {limits: [{replicas: 4, per: 31m}]}", ["policies[0].scale_up.limits[0]: ", "give 1s to 30m"]),
        ("scale_up: {limits: [{replicas: 4, per: 0s}]}", ["policies[0].scale_up.limits[0]: ", "give 1s to 30m"]),
        ("scale_up: {limits: [{replicas: 4}]}", ["policies[0].scale_up.limits[0]: ", '"per" is missing']),
        ("scale_up: {limits: [{replicas: 0, per: 15s}]}", ["8:34: policies[0].scale_up.limits[0].replicas: "]),
        ("scale_up: {limits: [{percent: 10%, per: 15s}]}", ["8:33: policies[0].scale_up.limits[0].percent: "]),
        ("scale_up: {select: most}", ["8:22: policies[0].scale_up.select: "]),
        ("scale_down: {stabilization: 5}", ["8:31: policies[0].scale_down.stabilization: 5 has no unit"]),
        ("scale_down: {stabilisation: 5m}", ["8:16: policies[0].scale_down.stabilisation: unknown key"]),
        ("flap_guard: maybe", ["8:15: policies[0].flap_guard: "]),
        ("paused: sideways", ["8:11: policies[0].paused: 'sideways' is not a way to pause", "true, false, up or down"]),
        ("paused: 1", ["8:11: policies[0].paused: 1 is not a way to pause"]),
    ],
)
def test_behaviour_that_is_none(tmp_path: Path, more: str, told_of: list[str]) -> None:
    """Errors are `line:column: path: what is wrong (what would be right)`."""
    [problem] = refused(tmp_path, "{name: r, metric: cpu, above: 70, add: 1}", more=more)

    assert all(part in problem for part in told_of), problem
