from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.core.model import Decision, Direction, History, Observation, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.core.window import Doubt, Window
from tests.support.builders import (
    CPU_HIGH,
    CPU_LOW,
    MEMORY_HIGH,
    MISSING,
    NOW,
    observation,
    policy,
    steady,
    threshold,
    told,
    window,
    written,
)
from tests.support.deciding import decide, summed

if TYPE_CHECKING:
    from autoscaler.policy.policy import Policy

HIGH, CALM, LOW = steady(90), steady(50), steady(10)
HOLE = window([10, 10, 10, 10, MISSING, MISSING, 10, 10])
STALE = window([10] * 7 + [MISSING])
PARTIAL = window([10] * 8, reporting=[5] * 7 + [4], owed=5)
MEMORY_LOW = threshold("memory-low", metric="memory", below=30, remove=1)
GUIDE = policy(CPU_HIGH, CPU_LOW, MEMORY_HIGH)


def doubted(held: Window) -> Window:
    """The same samples, of which part is doubted."""
    return replace(held, doubts=(Doubt(Reason.PARTIAL_DATA, inf, "5 tasks report and 3 run"),))


def judged(rules: Policy, seen: Observation, *events: ScaleEvent) -> Decision:
    """The decision on *seen* after *events*."""
    return decide(rules, seen, History(events))


def seen(cpu: Window | None = None, memory: Window | None = None, requested: int = 3, **facts: Any) -> Observation:
    """An observation of these two metrics; one that is None is absent."""
    windows = {name: held for name, held in (("cpu", cpu), ("memory", memory)) if held is not None}
    return observation(requested, windows=windows, **facts)


# resolve


def test_no_rule_fires() -> None:
    """A rule has no opinion where its threshold is not firing; then nothing changes, and nothing is held."""
    decision = judged(GUIDE, seen(CALM, CALM))

    assert summed(decision) == (3, Reason.NO_BREACH, None, False)
    assert told(decision) == [(Reason.NO_BREACH, None)]
    assert "not above 70 %" in decision.primary.detail
    assert "not below 30 %" in decision.primary.detail
    assert not decision.changes


def test_a_rule_that_fires() -> None:
    """The primary reason is the winning rule's where no step changed or held its number."""
    decision = judged(GUIDE, seen(HIGH, CALM))

    assert summed(decision) == (4, Reason.ABOVE_THRESHOLD, "cpu-high", False)
    assert told(decision) == [(Reason.ABOVE_THRESHOLD, "cpu-high")]
    assert decision.changes


def test_the_largest_count_wins() -> None:
    """Desired is the largest count asked for."""
    rules = policy(CPU_HIGH, threshold("cpu-hot", above=85, add=3), MEMORY_HIGH)

    decision = judged(rules, seen(HIGH, HIGH))

    assert summed(decision) == (6, Reason.ABOVE_THRESHOLD, "cpu-hot", False)
    assert told(decision) == [
        (Reason.ABOVE_THRESHOLD, "cpu-high"),
        (Reason.ABOVE_THRESHOLD, "cpu-hot"),
        (Reason.ABOVE_THRESHOLD, "memory-high"),
    ]


def test_equal_counts() -> None:
    """Where two rules ask for the same count, the first of the policy wins."""
    assert summed(judged(GUIDE, seen(HIGH, HIGH)))[2] == "cpu-high"


def test_a_reduction() -> None:
    """A reduction needs at least one rule that wants fewer, none that wants more, and no rule lacking data."""
    decision = judged(GUIDE, seen(LOW, CALM))

    assert summed(decision) == (2, Reason.BELOW_THRESHOLD, "cpu-low", False)
    assert told(decision) == [(Reason.BELOW_THRESHOLD, "cpu-low")]


def test_the_smallest_reduction_wins() -> None:
    """Desired is the largest count asked for, among reductions too."""
    rules = policy(threshold("cpu-idle", below=30, remove=3), CPU_LOW)

    assert summed(judged(rules, seen(LOW, requested=6))) == (5, Reason.BELOW_THRESHOLD, "cpu-low", False)


def test_one_rule_wants_more_and_one_fewer() -> None:
    """No reduction where a rule wants more."""
    decision = judged(GUIDE, seen(LOW, HIGH))

    assert summed(decision) == (4, Reason.ABOVE_THRESHOLD, "memory-high", False)
    assert told(decision) == [(Reason.BELOW_THRESHOLD, "cpu-low"), (Reason.ABOVE_THRESHOLD, "memory-high")]


# lacking data


@pytest.mark.parametrize(
    ("memory", "reason"),
    [
        pytest.param(None, Reason.NO_DATA, id="the metric is absent"),
        pytest.param(window([MISSING] * 8), Reason.NO_DATA, id="no sample"),
        pytest.param(PARTIAL, Reason.PARTIAL_DATA, id="a task missing"),
    ],
)
def test_lacking_data_block_a_reduction(memory: Window | None, reason: Reason) -> None:
    """Missing, stale, partial data may block a scale-down, never cause one."""
    decision = judged(GUIDE, seen(LOW, memory))

    assert summed(decision) == (3, reason, "memory-high", True)
    assert told(decision) == [(Reason.BELOW_THRESHOLD, "cpu-low"), (reason, "memory-high")]


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (HOLE, Reason.WINDOW_INCOMPLETE),
        (STALE, Reason.STALE_DATA),
        (PARTIAL, Reason.PARTIAL_DATA),
        (window([10] * 4), Reason.WINDOW_INCOMPLETE),
        (window([]), Reason.NO_DATA),
        (window([inf] * 8), Reason.NO_DATA),
    ],
)
def test_lacking_data_cause_no_reduction(held: Window, reason: Reason) -> None:
    """Lacking data, whatever the samples that are there say, is no opinion; a data reason is then the primary one."""
    decision = judged(policy(CPU_LOW), seen(held))

    assert summed(decision) == (3, reason, "cpu-low", True)
    assert told(decision) == [(reason, "cpu-low")]


@pytest.mark.parametrize(
    ("cpu", "rule"), [pytest.param(CALM, "cpu-high", id="silent"), pytest.param(LOW, "cpu-low", id="wants fewer")]
)
def test_doubted_samples_block_a_reduction(cpu: Window, rule: str) -> None:
    """Samples that may be low for what they are prove no calm, be it of the rule that wants fewer or of another."""
    decision = judged(policy(CPU_HIGH if rule == "cpu-high" else CPU_LOW, MEMORY_LOW), seen(doubted(cpu), LOW))

    assert summed(decision) == (3, Reason.PARTIAL_DATA, rule, True)
    assert decision.primary.detail == "cpu: 5 tasks report and 3 run"
    assert told(decision)[-2:] == [(Reason.BELOW_THRESHOLD, "memory-low"), (Reason.PARTIAL_DATA, rule)]


def test_of_several_rules_on_doubted_samples_the_one_that_wants_fewer_is_told() -> None:
    """Where its own samples are doubted, it is the rule that would have removed a replica that is told to be held."""
    assert summed(judged(GUIDE, seen(doubted(LOW), CALM))) == (3, Reason.PARTIAL_DATA, "cpu-low", True)


def test_doubted_samples_are_told_of_where_they_hold_something() -> None:
    """Where nothing is wanted, and where more is, their doubt changes nothing."""
    assert summed(judged(GUIDE, seen(doubted(CALM), CALM))) == (3, Reason.NO_BREACH, None, False)
    assert summed(judged(GUIDE, seen(doubted(HIGH), CALM))) == (4, Reason.ABOVE_THRESHOLD, "cpu-high", False)


@pytest.mark.parametrize("held", [HOLE, STALE, window([99] * 4)])
def test_lacking_data_cause_no_increase(held: Window) -> None:
    """A rule that lacks data asks for nothing, an increase included."""
    hot = Window(held.step, held.end, tuple(value * 9 for value in held.values))

    assert judged(policy(CPU_HIGH), seen(hot)).desired == 3


def test_lacking_data_do_not_block_an_increase() -> None:
    """Desired is the largest count asked for, whatever other rules lack; what they lack is among the reasons."""
    decision = judged(GUIDE, seen(None, HIGH))

    assert summed(decision) == (4, Reason.ABOVE_THRESHOLD, "memory-high", False)
    assert told(decision) == [
        (Reason.NO_DATA, "cpu-high"),
        (Reason.NO_DATA, "cpu-low"),
        (Reason.ABOVE_THRESHOLD, "memory-high"),
    ]


def test_no_data_at_all() -> None:
    """A first data reason is primary where no rule has an opinion; the count cannot be judged, and is held."""
    decision = judged(GUIDE, seen())

    assert summed(decision) == (3, Reason.NO_DATA, "cpu-high", True)
    assert told(decision) == [(Reason.NO_DATA, rule.name) for rule in GUIDE.rules]


def test_4_of_5_tasks() -> None:
    """Partial data still let an `above` on an average fire: 4 of 5 tasks at 95 % are at least 76 %."""
    hot = window([95] * 8, reporting=[4] * 8, owed=5)

    decision = judged(policy(CPU_HIGH, CPU_LOW), seen(hot, requested=5))

    assert summed(decision) == (6, Reason.ABOVE_THRESHOLD, "cpu-high", False)
    assert told(decision) == [(Reason.ABOVE_THRESHOLD, "cpu-high"), (Reason.PARTIAL_DATA, "cpu-low")]
    assert decision.primary.detail == "cpu 76 %, above 70 % for 1m"


def test_4_of_5_tasks_that_are_not_enough() -> None:
    """With the missing tasks counted as 0, 4 of 5 tasks at 85 % are at least 68 %, which says nothing above 70 %."""
    warm = window([85] * 8, reporting=[4] * 8, owed=5)

    decision = judged(policy(CPU_HIGH), seen(warm, requested=5))

    assert summed(decision) == (5, Reason.PARTIAL_DATA, "cpu-high", True)
    assert decision.primary.detail == "cpu is known for only 4 of 5 tasks"


@pytest.mark.parametrize(
    ("held", "lasting", "detail"),
    [
        (HOLE, "1m", "cpu has 3 of the 5 samples of the last 1m"),
        (window([10] * 4), "1m", "cpu has 4 of the 5 samples of the last 1m"),
        (window([10] * 4), "50s", "cpu has 4 of the 5 samples of the last 50s"),
        (STALE, "1m", "cpu has no sample for the newest window step"),
        (window([MISSING] * 8), "1m", "cpu has no samples of the last 1m"),
        (window([MISSING]), "0s", "cpu has no samples"),
        (None, "1m", "cpu has no samples"),
    ],
)
def test_says_what_is_lacking(held: Window | None, lasting: str, detail: str) -> None:
    """No decision that nobody can explain afterwards: a data reason says what is missing."""
    rules = policy(threshold("cpu-low", below=30, lasting=lasting, remove=1))

    assert judged(rules, seen(held)).primary.detail == detail


# cooldown


def up(ago: float) -> ScaleEvent:
    """An increase so many seconds before `NOW`."""
    return ScaleEvent(NOW - ago, 2, 3)


def down(ago: float) -> ScaleEvent:
    """A reduction so many seconds before `NOW`."""
    return ScaleEvent(NOW - ago, 4, 3)


@pytest.mark.parametrize(
    ("events", "load", "desired"),
    [
        pytest.param([up(179)], HIGH, 3, id="increase within the cooldown of an increase"),
        pytest.param([up(180)], HIGH, 4, id="equal to the cooldown is over"),
        pytest.param([up(181)], HIGH, 4, id="after the cooldown"),
        pytest.param([down(0)], HIGH, 4, id="a reduction never delays an increase"),
        pytest.param([up(179), down(10)], HIGH, 3, id="the last increase counts although a reduction came after it"),
        pytest.param([up(181), down(10)], HIGH, 4, id="no increase within the cooldown"),
        pytest.param([up(-60)], HIGH, 3, id="a stamp in the future counts as now"),
        pytest.param([up(299)], LOW, 3, id="reduction within the cooldown of an increase"),
        pytest.param([down(299)], LOW, 3, id="reduction within the cooldown of a reduction"),
        pytest.param([up(300)], LOW, 2, id="equal to the cooldown is over for a reduction"),
        pytest.param([down(300)], LOW, 2, id="equal to the cooldown of a reduction is over"),
        pytest.param([down(400), up(200)], LOW, 3, id="the last change in either direction counts"),
        pytest.param([down(-60)], LOW, 3, id="a reduction in the future counts as now"),
        pytest.param([up(-1000)], HIGH, 3, id="a stamp in the far future counts as now"),
        pytest.param([], HIGH, 4, id="no history"),
    ],
)
def test_cooldown(events: list[ScaleEvent], load: Window, desired: int) -> None:
    """No increase within `scale_up.cooldown` of the last increase; no reduction within `scale_down.cooldown` of any."""
    decision = judged(policy(), seen(load), *sorted(events))

    held = desired == 3
    winner, reason = ("cpu-high", Reason.ABOVE_THRESHOLD) if load is HIGH else ("cpu-low", Reason.BELOW_THRESHOLD)
    assert summed(decision) == (desired, Reason.COOLING_DOWN if held else reason, winner, held)
    assert told(decision) == [(reason, winner), *([(Reason.COOLING_DOWN, None)] if held else [])]


def test_no_cooldown() -> None:
    """A cooldown of 0s is over at once."""
    assert judged(policy(up_cooldown=0), seen(HIGH), up(0)).desired == 4
    assert judged(policy(down_cooldown=0), seen(LOW), up(0)).desired == 2
    assert judged(policy(up_cooldown=0), seen(HIGH), up(-60)).desired == 4


def test_cooldown_says_how_long() -> None:
    """A cooling-down decision says what it wants, and how long that takes yet."""
    assert judged(policy(), seen(HIGH), up(60)).primary.detail == ("wants 4; scale-up cooldown 3m, 2m left since 2 → 3")


def test_cooldown_does_not_hold_what_nobody_wants() -> None:
    """A change just made is no reason where no rule wants another."""
    decision = judged(policy(), seen(CALM), up(1))

    assert summed(decision) == (3, Reason.NO_BREACH, None, False)


def test_a_change_does_not_empty_windows() -> None:
    """A change does not empty windows: the breach goes on, and the step after the cooldown is the next one."""
    assert judged(policy(), seen(HIGH, requested=4), ScaleEvent(NOW - 180, 3, 4)).desired == 5


def test_lacking_data_hold_before_the_cooldown_does() -> None:
    """What holds first is the reason: the cooldown has nothing to hold where data block the reduction."""
    decision = judged(GUIDE, seen(LOW, None), up(1))

    assert told(decision) == [(Reason.BELOW_THRESHOLD, "cpu-low"), (Reason.NO_DATA, "memory-high")]
    assert decision.primary.reason is Reason.NO_DATA


# bounds


BOUNDED = policy(CPU_HIGH, CPU_LOW, least=3, most=6)


@pytest.mark.parametrize("load", [HIGH, CALM, LOW, None, STALE])
@pytest.mark.parametrize("events", [[], [up(1)], [down(1)]])
@pytest.mark.parametrize(
    ("requested", "desired", "reason"),
    [(1, 3, Reason.BELOW_MIN), (8, 6, Reason.ABOVE_MAX)],
)
def test_bounds_are_corrected(
    load: Window | None, events: list[ScaleEvent], requested: int, desired: int, reason: Reason
) -> None:
    """Bounds are corrected whatever the steps before say, missing data included."""
    decision = judged(BOUNDED, seen(load, requested=requested), *events)

    assert (decision.desired, decision.held) == (desired, False)
    assert reason in [said for said, _ in told(decision)]
    assert decision.primary.reason is reason


def test_bounds_corrected_without_data_tell_both() -> None:
    """A decision carries all the reasons that applied; the last step that changed the number is the primary one."""
    decision = judged(BOUNDED, seen(requested=8))

    assert told(decision) == [
        (Reason.NO_DATA, "cpu-high"),
        (Reason.NO_DATA, "cpu-low"),
        (Reason.ABOVE_MAX, None),
    ]
    assert decision.primary.detail == "8 is above max 6"


def test_at_the_maximum() -> None:
    """A rule that wants more than the maximum is held there, and operators see it."""
    decision = judged(BOUNDED, seen(HIGH, requested=6))

    assert summed(decision) == (6, Reason.AT_MAX, "cpu-high", True)
    assert told(decision) == [(Reason.ABOVE_THRESHOLD, "cpu-high"), (Reason.AT_MAX, None)]
    assert decision.primary.detail == "wants 7, above max 6"


def test_at_the_minimum() -> None:
    """An idle service at its minimum is unchanged, and not held: nothing is missing that somebody wants."""
    decision = judged(BOUNDED, seen(LOW, requested=3))

    assert summed(decision) == (3, Reason.AT_MIN, "cpu-low", False)
    assert told(decision) == [(Reason.BELOW_THRESHOLD, "cpu-low"), (Reason.AT_MIN, None)]
    assert decision.primary.detail == "wants 2, below min 3"


@pytest.mark.parametrize(
    ("load", "requested", "reason", "held"), [(HIGH, 6, Reason.AT_MAX, True), (LOW, 3, Reason.AT_MIN, False)]
)
def test_a_bound_comes_before_a_cooldown(load: Window, requested: int, reason: Reason, *, held: bool) -> None:
    """A cooldown has nothing to hold if the bound leaves the count as it is, so the bound is the reason."""
    decision = judged(BOUNDED, seen(load, requested=requested), up(1))

    assert (decision.desired, decision.primary.reason, decision.held) == (requested, reason, held)
    assert Reason.COOLING_DOWN not in [why.reason for why in decision.reasons]


@pytest.mark.parametrize(("load", "held"), [(HIGH, True), (CALM, False), (LOW, False)])
def test_at_a_bound_of_a_schedule(load: Window, *, held: bool) -> None:
    """At the bound of a schedule the reason is the schedule, and only a rule that wants more is held."""
    always = {"name": "always", "start": "* * * * *", "end": "30 12 1 1 *", "min": 3, "max": 3}
    rules = written(
        {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1},
        {"name": "cpu-low", "metric": "cpu", "below": 30, "for": "1m", "remove": 1},
        schedules=[always],
    )

    decision = judged(rules, seen(load))

    assert (decision.desired, decision.held) == (3, held)
    assert decision.primary.reason is (Reason.NO_BREACH if load is CALM else Reason.SCHEDULE_BOUNDS)


@pytest.mark.parametrize(("load", "reason"), [(doubted(LOW), Reason.PARTIAL_DATA), (None, Reason.NO_DATA)])
def test_what_cannot_be_judged_is_held_at_the_minimum_too(load: Window | None, reason: Reason) -> None:
    """Samples that are missing, or that prove no calm, are told also at the minimum: nobody knows what is wanted."""
    decision = judged(BOUNDED, seen(load, requested=3))

    assert (decision.desired, decision.primary.reason, decision.held) == (3, reason, True)


@pytest.mark.parametrize(
    ("load", "requested", "desired", "reason"),
    [
        pytest.param(HIGH, 5, 6, Reason.AT_MAX, id="stops at the maximum"),
        pytest.param(LOW, 4, 3, Reason.AT_MIN, id="stops at the minimum"),
        pytest.param(HIGH, 8, 6, Reason.ABOVE_MAX, id="already above the maximum"),
        pytest.param(LOW, 2, 3, Reason.BELOW_MIN, id="already below the minimum"),
        pytest.param(HIGH, 2, 6, Reason.AT_MAX, id="from below the minimum beyond the maximum"),
        pytest.param(LOW, 8, 3, Reason.AT_MIN, id="from above the maximum beyond the minimum"),
    ],
)
def test_a_correction_and_a_stop_have_words_of_their_own(
    load: Window, requested: int, desired: int, reason: Reason
) -> None:
    """`below_min` and `above_max` tell of a count outside the bounds; `at_min` and `at_max` of a wish beyond them."""
    rules = policy(threshold("cpu-high", above=70, add=9), threshold("cpu-low", below=30, remove=9), least=3, most=6)

    decision = judged(rules, seen(load, requested=requested))

    assert (decision.desired, decision.primary.reason, decision.held) == (desired, reason, False)


def test_a_step_is_cut_at_the_bound() -> None:
    """A step beyond a bound goes as far as the bound, and the bound is the primary reason."""
    rules = policy(threshold("cpu-high", above=70, add=5), least=3, most=6)

    assert summed(judged(rules, seen(HIGH, requested=4))) == (6, Reason.AT_MAX, "cpu-high", False)


def test_a_reduction_towards_the_bounds() -> None:
    """A cooldown holds the rule's reduction and not the correction into the bounds."""
    rules = policy(threshold("cpu-low", below=30, remove=4), least=3, most=6)

    assert judged(rules, seen(LOW, requested=8)).desired == 4
    assert summed(judged(rules, seen(LOW, requested=8), up(1))) == (6, Reason.ABOVE_MAX, "cpu-low", False)


def test_the_bounds_themselves_are_within() -> None:
    """The bounds are included: a count at one of them is not corrected."""
    for requested in (3, 6):
        assert summed(judged(BOUNDED, seen(CALM, requested=requested))) == (requested, Reason.NO_BREACH, None, False)


# gates


CLOSED = [
    pytest.param({"mode": "global"}, Reason.UNSUPPORTED_MODE, id="global"),
    pytest.param({"mode": "replicated-job"}, Reason.UNSUPPORTED_MODE, id="job"),
    pytest.param({"rollout": "a rolling update is in progress"}, Reason.ROLLOUT_IN_PROGRESS, id="rollout"),
]


@pytest.mark.fault("rollout")
@pytest.mark.parametrize(("facts", "reason"), CLOSED)
@pytest.mark.parametrize(
    ("load", "requested"),
    [(HIGH, 3), (LOW, 4), (CALM, 1), (CALM, 8), (None, 1)],
)
def test_closed_gates(facts: dict[str, Any], reason: Reason, load: Window | None, requested: int) -> None:
    """Unsupported mode and a rollout in progress hold rules up and down, and the bounds' corrections."""
    decision = judged(BOUNDED, seen(load, requested=requested, **facts))

    assert (decision.desired, decision.primary.reason, decision.held) == (requested, reason, True)
    assert (reason, None) in told(decision)


def test_a_rollout_is_no_reason_where_nothing_is_wanted() -> None:
    """A rollout that holds nothing back did not shape the decision."""
    decision = judged(BOUNDED, seen(CALM, rollout="a rolling update is in progress"))

    assert summed(decision) == (3, Reason.NO_BREACH, None, False)
    assert told(decision) == [(Reason.NO_BREACH, None)]


def test_an_unsupported_mode_is_always_said() -> None:
    """A global service is never decided on, and the decision says so even where no rule wants a change."""
    decision = judged(BOUNDED, seen(CALM, mode="global"))

    assert summed(decision) == (3, Reason.UNSUPPORTED_MODE, None, True)
    assert told(decision) == [(Reason.UNSUPPORTED_MODE, None)]


@pytest.mark.fault("scaled-to-zero")
@pytest.mark.parametrize("load", [HIGH, LOW, None])
def test_scaled_to_zero(load: Window | None) -> None:
    """0 requested by hand, and min is not 0: it stays, whatever rules and bounds say."""
    decision = judged(BOUNDED, seen(load, requested=0))

    assert (decision.desired, decision.primary.reason, decision.held) == (0, Reason.SCALED_TO_ZERO, True)


def test_zero_where_the_minimum_is_zero() -> None:
    """0 requested where min is 0 is no gate: a rule may wake the service."""
    rules = policy(CPU_HIGH, least=0)

    assert judged(rules, seen(HIGH, requested=0)).desired == 1
    assert summed(judged(rules, seen(CALM, requested=0))) == (0, Reason.NO_BREACH, None, False)


def test_a_rule_may_remove_the_last_replica_where_the_minimum_is_zero() -> None:
    """The bounds are the policy's: a minimum of 0 lets a rule go there."""
    assert judged(policy(CPU_LOW, least=0), seen(LOW, requested=1)).desired == 0


WAITS = "pending for 11m: no suitable node (insufficient resources on 2 nodes)"


@pytest.mark.parametrize("load", [None, LOW], ids=["no data", "data of some rule"])
def test_a_service_of_which_nothing_runs_says_so_before_its_lack_of_data(load: Window | None) -> None:
    """With 0 of 3 running and all pending the reason is Swarm's, and the data that lack because of it come after."""
    windows = {} if load is None else {"memory": load}
    rules = policy(CPU_HIGH, CPU_LOW, threshold("memory-low", metric="memory", below=50, remove=1))

    decision = judged(rules, observation(3, running=0, windows=windows, pending=WAITS, stuck=True))

    assert (decision.desired, decision.primary.reason, decision.held) == (3, Reason.TASKS_PENDING, True)
    assert decision.primary.detail == f"none of 3 replicas runs: {WAITS}"
    assert (Reason.NO_DATA, "cpu-high") in told(decision)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param({"running": 1, "pending": WAITS}, Reason.NO_DATA, id="one runs"),
        pytest.param({"running": 0}, Reason.NO_DATA, id="Swarm says nothing"),
        pytest.param({"requested": 0}, Reason.SCALED_TO_ZERO, id="nothing is asked for"),
        pytest.param({"requested": 7, "running": 0, "pending": WAITS}, Reason.ABOVE_MAX, id="bounds"),
        pytest.param(
            {"running": 0, "pending": WAITS, "rollout": "a rolling update is in progress", "requested": 7},
            Reason.ROLLOUT_IN_PROGRESS,
            id="a gate that holds something",
        ),
    ],
)
def test_what_comes_before_a_lack_of_data(facts: dict[str, Any], reason: Reason) -> None:
    """Only if nothing runs and Swarm says why is that the reason; a later step that changes or holds comes first."""
    assert judged(BOUNDED, observation(**facts)).primary.reason is reason


def test_tasks_pending_hold_an_increase() -> None:
    """`tasks_pending` holds a relative step while running < requested for any cause, and quotes Swarm's own words."""
    decision = judged(policy(), seen(HIGH, running=2, pending="pending for 1m: no suitable node"))

    assert summed(decision) == (3, Reason.TASKS_PENDING, "cpu-high", True)
    assert told(decision) == [(Reason.ABOVE_THRESHOLD, "cpu-high"), (Reason.TASKS_PENDING, None)]
    assert decision.primary.detail == "wants 4; 2 of 3 replicas run: pending for 1m: no suitable node"


def test_tasks_pending_without_words() -> None:
    """Where Swarm says nothing of them, missing replicas still hold an increase."""
    assert judged(policy(), seen(HIGH, running=0)).primary.detail == "wants 4; 0 of 3 replicas run"


def test_tasks_pending_pass_a_reduction() -> None:
    """`tasks_pending` passes a rule's reduction."""
    decision = judged(policy(), seen(LOW, running=1, pending="pending for 1m"))

    assert summed(decision) == (2, Reason.BELOW_THRESHOLD, "cpu-low", False)
    assert told(decision) == [(Reason.BELOW_THRESHOLD, "cpu-low")]


@pytest.mark.parametrize(("requested", "desired"), [(1, 3), (8, 6)])
def test_tasks_pending_pass_the_bounds(requested: int, desired: int) -> None:
    """`tasks_pending` passes the bounds' corrections."""
    decision = judged(BOUNDED, seen(CALM, requested=requested, running=0))

    assert decision.desired == desired
    assert Reason.TASKS_PENDING not in [reason for reason, _ in told(decision)]


def test_tasks_pending_hold_only_what_is_beyond_the_bounds() -> None:
    """Of a rule's increase from below the minimum, the minimum passes; both reasons are told."""
    rules = policy(threshold("cpu-high", above=70, add=4), least=3, most=6)

    decision = judged(rules, seen(HIGH, requested=1, running=0))

    assert summed(decision) == (3, Reason.TASKS_PENDING, "cpu-high", False)
    assert told(decision) == [
        (Reason.ABOVE_THRESHOLD, "cpu-high"),
        (Reason.BELOW_MIN, None),
        (Reason.TASKS_PENDING, None),
    ]


def test_draining_tasks_hold_nothing() -> None:
    """More running than requested is no pending task."""
    assert judged(policy(), seen(HIGH, running=5)).desired == 4


def test_cooldown_comes_before_the_gates() -> None:
    """Where the cooldown held the count already, a gate has nothing left to hold."""
    decision = judged(policy(), seen(HIGH, running=1, rollout="a rolling update is paused"), up(1))

    assert told(decision) == [(Reason.ABOVE_THRESHOLD, "cpu-high"), (Reason.COOLING_DOWN, None)]
    assert decision.primary.reason is Reason.COOLING_DOWN


def test_a_gate_is_primary_over_the_bounds() -> None:
    """The primary reason is the last step that changed or held the number."""
    decision = judged(BOUNDED, seen(HIGH, requested=8, rollout="a rolling update is paused"))

    assert summed(decision) == (8, Reason.ROLLOUT_IN_PROGRESS, "cpu-high", True)
    assert told(decision) == [
        (Reason.ABOVE_THRESHOLD, "cpu-high"),
        (Reason.ABOVE_MAX, None),
        (Reason.ROLLOUT_IN_PROGRESS, None),
    ]


# changes by others, restart


def test_changed_externally() -> None:
    """An outside count is adopted, and starts the cooldown."""
    words = "3 → 5 by somebody else, 20s ago"
    outside = ScaleEvent(NOW - 20, 3, 5)

    decision = judged(policy(), seen(HIGH, requested=5, changed_externally=words), outside)

    assert summed(decision) == (5, Reason.COOLING_DOWN, "cpu-high", True)
    assert told(decision) == [
        (Reason.CHANGED_EXTERNALLY, None),
        (Reason.ABOVE_THRESHOLD, "cpu-high"),
        (Reason.COOLING_DOWN, None),
    ]
    assert decision.reasons[0].detail == words


def test_changed_externally_and_calm() -> None:
    """Adopting an outside count holds nothing: the decision is unchanged, and tells of it."""
    decision = judged(policy(), seen(CALM, requested=5, changed_externally="3 → 5"), ScaleEvent(NOW, 3, 5))

    assert summed(decision) == (5, Reason.NO_BREACH, None, False)
    assert told(decision) == [(Reason.CHANGED_EXTERNALLY, None), (Reason.NO_BREACH, None)]


def test_an_outside_count_beyond_the_bounds_is_corrected() -> None:
    """Bounds are corrected whatever the steps before say, an operator's count included, cooldown or not."""
    decision = judged(BOUNDED, seen(CALM, requested=9, changed_externally="4 → 9"), ScaleEvent(NOW, 4, 9))

    assert summed(decision) == (6, Reason.ABOVE_MAX, None, False)


@pytest.mark.parametrize("samples", range(5))
def test_restart(samples: int) -> None:
    """Restart: a first look shrinks only on windows completely refilled."""
    assert judged(policy(CPU_LOW), seen(window([10] * samples))).desired == 3
    assert judged(policy(CPU_LOW), seen(window([10] * 5))).desired == 2


# the decision as a value


def test_a_decision_carries_its_inputs() -> None:
    """Decisions are values that carry what they were made from."""
    decision = judged(GUIDE, seen(HIGH, CALM, running=3, at=NOW + 1.5))

    assert (decision.service, decision.policy, decision.at) == ("web", "web", NOW + 1.5)
    assert (decision.requested, decision.running) == (3, 3)
    assert [(said.rule, said.replicas, said.value) for said in decision.recommendations] == [
        ("cpu-high", 4, 90),
        ("cpu-low", None, 90),
        ("memory-high", None, 50),
    ]


def test_every_reason_has_one_meaning() -> None:
    """Reasons are a closed set, with one meaning each."""
    meanings = [reason.meaning for reason in Reason]

    assert all(meanings)
    assert len(set(meanings)) == len(meanings)
    assert [reason for reason in Reason if reason.lacks_data] == [
        Reason.NO_DATA,
        Reason.STALE_DATA,
        Reason.PARTIAL_DATA,
        Reason.WINDOW_INCOMPLETE,
    ]


SPECIFIED = """
above_threshold below_threshold above_target below_target within_tolerance step_matched table_value no_breach
no_data stale_data partial_data window_incomplete stabilized step_limited would_flap cooling_down
below_min above_max at_min at_max schedule_bounds paused rollout_in_progress tasks_pending guard not_leader
scaled_to_zero restored_after_deploy changed_externally fallback ineffective policy_conflict unsupported_mode
service_not_found
no_room starved
"""
"""The reasons for a lack of data, and the one of ADR 11."""


def test_reasons_are_the_words_of_the_specification() -> None:
    """A reason is a word of a closed set: no word is used that the specification does not have."""
    words = set(SPECIFIED.split())

    assert {reason.value for reason in Reason} - words == set()


def test_history() -> None:
    """History knows its last event, and the last in each direction."""
    first, second = ScaleEvent(NOW, 3, 5), ScaleEvent(NOW + 10, 5, 4)
    history = History((first, second))

    assert history.last() == second
    assert history.last(Direction.UP) == first
    assert history.last(Direction.DOWN) == second
    assert History().last() is None
    assert History((first,)).last(Direction.DOWN) is None


def test_says_which_sample_lacks_tasks() -> None:
    """Where an older sample lacks tasks and the newest does not, that one is told of."""
    held = window([10] * 8, reporting=[3, 3, 3, 3, 2, 2, 3, 3], owed=3)

    decision = judged(policy(CPU_LOW), seen(held))

    assert summed(decision) == (3, Reason.PARTIAL_DATA, "cpu-low", True)
    assert decision.primary.detail == "cpu is known for only 2 of 3 tasks, 30s before the newest sample"
