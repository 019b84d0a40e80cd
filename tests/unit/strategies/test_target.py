from __future__ import annotations

from dataclasses import replace
from math import ceil, nan
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.model import History, Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.policy_files import loader
from autoscaler.strategies import RuleInput, Target, registered
from tests.support.builders import MISSING, observation, policy_file, refused, steady, told, window, written
from tests.support.deciding import decide

if TYPE_CHECKING:
    from pathlib import Path


def target(value: float, **keys: Any) -> Target:
    """A target rule as a policy file would write it."""
    return Target.model_validate({"name": "cpu", "metric": "cpu", "strategy": "target", "target": value, **keys})


def opinion(rule: Target, value: float, requested: int, running: int | None = None) -> Recommendation:
    """What *rule* says of an average *value*; all replicas run unless *running* says otherwise."""
    return rule.recommend(RuleInput(steady(value), requested, requested if running is None else running))


def opinion_on_total(rule: Target, value: float, requested: int, running: int | None = None) -> Recommendation:
    """What *rule* says of a total of *value* over the service."""
    held = replace(steady(value), total=True, averaged=False)
    return rule.recommend(RuleInput(held, requested, requested if running is None else running))


# Kubernetes, horizontal pod autoscaling, "algorithm details"


@pytest.mark.parametrize(
    ("value", "wanted", "requested", "replicas", "reason"),
    [
        pytest.param(200, 100, 3, 6, Reason.ABOVE_TARGET, id="a ratio of 2 doubles"),
        pytest.param(50, 100, 6, 3, Reason.BELOW_TARGET, id="a ratio of 0.5 halves"),
        pytest.param(50, 100, 5, 3, Reason.BELOW_TARGET, id="half of five is three, for it is rounded up"),
        pytest.param(90, 75, 50, 60, Reason.ABOVE_TARGET, id="KEP-4951's 50 replicas at 90 for 75"),
        pytest.param(90, 60, 3, 5, Reason.ABOVE_TARGET, id="4.5 is five"),
        pytest.param(60, 60, 3, 3, Reason.WITHIN_TOLERANCE, id="at the target"),
        pytest.param(66, 60, 10, 10, Reason.WITHIN_TOLERANCE, id="10 % above"),
        pytest.param(54, 60, 10, 10, Reason.WITHIN_TOLERANCE, id="10 % below"),
        pytest.param(66.1, 60, 10, 12, Reason.ABOVE_TARGET, id="more than 10 % above"),
        pytest.param(53.9, 60, 10, 9, Reason.BELOW_TARGET, id="more than 10 % below"),
        pytest.param(0, 60, 10, 0, Reason.BELOW_TARGET, id="no load"),
        pytest.param(-20, 60, 10, 0, Reason.BELOW_TARGET, id="a value below 0 is no load"),
        pytest.param(1, 60, 10, 1, Reason.BELOW_TARGET, id="a little load takes a replica"),
    ],
)
def test_the_formula(value: float, wanted: float, requested: int, replicas: int, reason: Reason) -> None:
    """``ceil(running * value / target)`` of an average; within the tolerance of 10 % the present count."""
    said = opinion(target(wanted), value, requested)

    assert (said.replicas, said.reason, said.value) == (replicas, reason, value)


@pytest.mark.parametrize(
    ("total", "requested", "replicas", "reason"),
    [
        (300, 3, 5, Reason.ABOVE_TARGET),
        (301, 3, 6, Reason.ABOVE_TARGET),
        (180, 3, 3, Reason.WITHIN_TOLERANCE),
        (198, 3, 3, Reason.WITHIN_TOLERANCE),
        (199, 3, 4, Reason.ABOVE_TARGET),
        (120, 3, 2, Reason.BELOW_TARGET),
        (0, 3, 0, Reason.BELOW_TARGET),
        (0, 0, 0, Reason.WITHIN_TOLERANCE),
        (1, 0, 1, Reason.ABOVE_TARGET),
    ],
)
def test_a_total(total: float, requested: int, replicas: int, reason: Reason) -> None:
    """``ceil(total / target)`` for a total, also from none: a queue wakes a service."""
    said = opinion_on_total(target(60), total, requested)

    assert (said.replicas, said.reason) == (replicas, reason)


@pytest.mark.parametrize(
    ("tolerance", "value", "replicas"),
    [("0%", 60, 10), ("0%", 60.1, 11), ("5%", 63, 10), ("5%", 63.1, 11), ("100%", 120, 10), ("100%", 0, 10)],
)
def test_tolerance(tolerance: str, value: float, replicas: int) -> None:
    """The tolerance is a share of the target, both sides, its end included."""
    assert opinion(target(60, tolerance=tolerance), value, 10).replicas == replicas


@pytest.mark.parametrize(
    ("value", "wanted", "requested", "replicas"),
    [
        pytest.param(66, 60, 10, 10, id="66 / 60 - 1 is 0.1 and a bit"),
        pytest.param(0.3, 0.1, 1, 3, id="0.3 / 0.1 is less than 3"),
        pytest.param(0.7, 0.1, 3, 21, id="3 * 0.7 / 0.1 is 21 less a bit"),
        pytest.param(2.1, 0.3, 1, 7, id="2.1 / 0.3 is 7 and a bit"),
    ],
)
def test_what_floating_point_adds_is_no_replica(value: float, wanted: float, requested: int, replicas: int) -> None:
    """Other than the HPA, which rounds up what a division leaves: a whole number of replicas is that number."""
    assert opinion(target(wanted), value, requested).replicas == replicas


@pytest.mark.parametrize("value", [1e308, 1e30])
def test_an_absurd_value_is_a_large_count(value: float) -> None:
    """A count is a whole number whatever the metric says; the bounds do the rest."""
    said = opinion(target(0.001), value, 10)

    assert said.replicas == 1_000_000
    assert decide(written(RULE, most=20), observation(10, windows={"cpu": steady(value)}), History()).desired == 20


# running and requested


@pytest.mark.parametrize(
    ("value", "requested", "running", "replicas", "reason"),
    [
        pytest.param(120, 5, 2, 5, Reason.ABOVE_TARGET, id="2 of 5 run, 4 are needed: those asked for come"),
        pytest.param(70, 5, 2, 5, Reason.ABOVE_TARGET, id="above the target nothing is removed"),
        pytest.param(180, 5, 2, 6, Reason.ABOVE_TARGET, id="2 of 5 run, 6 are needed"),
        pytest.param(60, 5, 2, 5, Reason.WITHIN_TOLERANCE, id="within the tolerance the requested count"),
        pytest.param(
            30, 5, 2, 4, Reason.BELOW_TARGET, id="2 of 5 run, 1 is needed: nobody knows what the others carry"
        ),
        pytest.param(
            50, 4, 2, 4, Reason.BELOW_TARGET, id="half were lost with their node: what is left proves no calm"
        ),
        pytest.param(50, 3, 1, 3, Reason.BELOW_TARGET, id="a new leader of the Swarm has heard of one node yet"),
        pytest.param(40, 3, 5, 3, Reason.BELOW_TARGET, id="two are leaving: below the target nothing is added"),
        pytest.param(20, 3, 5, 2, Reason.BELOW_TARGET, id="two are leaving and one more may"),
        pytest.param(90, 3, 5, 8, Reason.ABOVE_TARGET, id="two are leaving although they are needed"),
        pytest.param(90, 3, 0, 3, Reason.WITHIN_TOLERANCE, id="none runs: an average of none says nothing"),
    ],
)
def test_running_replicas_count(value: float, requested: int, running: int, replicas: int, reason: Reason) -> None:
    """The formula takes running replicas, and keeps its direction: above the target never fewer than requested.

    Below it those that do not run count as being at the target, as the HPA counts pods without metrics.
    """
    said = opinion(target(60), value, requested, running)

    assert (said.replicas, said.reason) == (replicas, reason)


@pytest.mark.parametrize(
    ("total", "requested", "running", "replicas"),
    [(240, 5, 2, 5), (360, 5, 2, 6), (120, 5, 2, 5), (60, 5, 2, 1), (60, 3, 0, 3), (300, 3, 6, 3)],
)
def test_a_total_and_running_replicas(total: float, requested: int, running: int, replicas: int) -> None:
    """The count that a total needs, in the direction in which the load of the running replicas points."""
    assert opinion_on_total(target(60), total, requested, running).replicas == replicas


@pytest.mark.parametrize(("running", "replicas"), [(5, 1), (4, 2), (2, 4), (0, 5)])
def test_a_total_of_the_tasks(running: int, replicas: int) -> None:
    """A total that is the sum over tasks lacks those that do not run: they count as being at the target each."""
    summed = replace(window([60] * 8, reporting=[running] * 8), total=True, averaged=False)

    assert target(60).recommend(RuleInput(summed, 5, running)).replicas == replicas


# the tasks behind the sample


@pytest.mark.parametrize(
    ("value", "requested", "behind", "replicas", "reason"),
    [
        pytest.param(100, 7, 4.0, 7, Reason.ABOVE_TARGET, id="4 at 100 took 6.7: the 7 that run now are not too few"),
        pytest.param(92.9, 7, 5.09, 8, Reason.ABOVE_TARGET, id="in between it is what both carried"),
        pytest.param(100, 4, 4.0, 7, Reason.ABOVE_TARGET, id="where nothing changed it is the formula as ever"),
        pytest.param(90, 2, 4.0, 6, Reason.ABOVE_TARGET, id="4 carried it, 2 were lost"),
        pytest.param(50, 4, 2.0, 4, Reason.BELOW_TARGET, id="2 of the load of 100 %: half of 4 do not report yet"),
        pytest.param(30, 4, 2.0, 2, Reason.BELOW_TARGET, id="what runs now counts before a reduction"),
        pytest.param(30, 4, 6.0, 3, Reason.BELOW_TARGET, id="what ran counts before a reduction"),
        pytest.param(60, 4, 2.0, 4, Reason.WITHIN_TOLERANCE, id="at the target"),
        pytest.param(90, 1, 0.0, 2, Reason.ABOVE_TARGET, id="one at least is behind a sample"),
    ],
)
def test_the_tasks_behind_the_sample(
    value: float, requested: int, behind: float, replicas: int, reason: Reason
) -> None:
    """An increase counts the tasks that carried the load; a reduction those that run now, too."""
    held = replace(steady(value), running=(behind,) * 8)

    said = target(60).recommend(RuleInput(held, requested, requested))

    assert (said.replicas, said.reason) == (replicas, reason)


def test_says_which_tasks_it_counted() -> None:
    """Where other tasks carried the load than run now it says so."""
    held = replace(steady(100), running=(4.0,) * 8)

    detail = target(60).recommend(RuleInput(held, 7, 7)).detail

    assert detail == "cpu 100 %, target 60 %: 6.667 of 7 running replicas needed, as 4 were behind the sample"


def test_tasks_that_still_report_count_before_a_reduction() -> None:
    """What was just removed is in the average: three that run and four that report have the load of four."""
    held = replace(window([30] * 8, reporting=[4] * 8), running=(3.5,) * 8)

    assert target(60).recommend(RuleInput(held, 3, 3)).replicas == 2
    assert target(60).recommend(RuleInput(replace(held, values=(45,) * 8), 3, 3)).replicas == 3


def test_a_total_of_tasks_while_the_count_grows() -> None:
    """A total of a time in which fewer tasks ran, each full perhaps, is not too little for those that run now."""
    summed = replace(window([400] * 8, reporting=[10] * 8), total=True, averaged=False, running=(4.0,) * 8)

    assert target(60).recommend(RuleInput(summed, 10, 10)).replicas == 10
    queue = replace(summed, reporting=None)
    assert target(60).recommend(RuleInput(queue, 10, 10)).replicas == 7


@given(
    value=st.floats(0, 300),
    requested=st.integers(0, 20),
    running=st.integers(0, 20),
    behind=st.floats(0, 30),
    reporting=st.one_of(st.none(), st.integers(0, 30)),
    total=st.booleans(),
)
def test_the_tasks_behind_may_only_lower_what_an_increase_asks_for(  # noqa: PLR0913 - a sample's facts
    *, value: float, requested: int, running: int, behind: float, reporting: int | None, total: bool
) -> None:
    """A reduction never is deeper than by the formula with the tasks that run now, and no direction is another."""
    counts = None if reporting is None else [reporting] * 8
    plain = replace(window([value] * 8, reporting=counts), total=total, averaged=not total)
    known = replace(plain, running=(behind,) * 8)

    now, ever = (target(60).recommend(RuleInput(each, requested, running)) for each in (known, plain))

    assert now.reason is ever.reason
    if now.reason is Reason.BELOW_TARGET:
        by_running = value / 60 if total else running * value / 60
        missing = 0 if total and reporting is None else max(0, requested - running)
        assert (now.replicas or 0) >= min(requested, ceil(by_running - 1e-9) + missing)
        assert (now.replicas or 0) <= requested
    elif now.reason is Reason.ABOVE_TARGET:
        assert (now.replicas or 0) >= requested


# partial data


@pytest.mark.parametrize(
    ("value", "desired", "reason"),
    [
        pytest.param(90, 6, Reason.ABOVE_TARGET, id="4 of 5 at 90 are at least 72, which takes six"),
        pytest.param(82, 5, Reason.PARTIAL_DATA, id="4 of 5 at 82 are at least 65.6, which is within the tolerance"),
        pytest.param(10, 5, Reason.PARTIAL_DATA, id="4 of 5 at 10 say nothing of the fifth"),
        pytest.param(60, 5, Reason.PARTIAL_DATA, id="4 of 5 at the target"),
    ],
)
def test_partial_data(value: float, desired: int, reason: Reason) -> None:
    """Only an increase that is needed even with the missing tasks at 0; the HPA assumes the same for a scale up."""
    held = window([value] * 8, reporting=[4] * 8, owed=5)
    seen = observation(5, windows={"cpu": held})

    decision = decide(written(RULE), seen, History())

    assert (decision.desired, told(decision)) == (desired, [(reason, "cpu")])


def test_partial_data_prove_no_reduction() -> None:
    """What is certain of partial data is an increase, and nothing else."""
    held = window([10] * 8, reporting=[4] * 8, owed=5)

    assert target(60).recommend_on_partial(RuleInput(held, 5, 5)) is None
    assert target(60).recommend_on_partial(RuleInput(replace(held, values=(60,) * 8), 5, 4)) is None
    assert target(60).recommend_on_partial(RuleInput(replace(held, values=(nan,) * 8), 5, 4)) is None


def test_partial_data_of_a_total() -> None:
    """The tasks that report carry at least that much: a total needs no scaling."""
    held = replace(window([400] * 8, reporting=[4] * 8, owed=5), total=True, averaged=False)
    seen = observation(5, windows={"cpu": held})

    assert decide(written(RULE), seen, History()).desired == 7


def test_only_the_newest_sample_counts() -> None:
    """A target looks at the sample at t: what was missing before does not matter, and that one missing does."""
    rule = target(60)

    assert rule.look_back == 0
    assert decide(written(RULE), observation(3, windows={"cpu": window([MISSING, 120])}), History()).desired == 6
    none = decide(written(RULE), observation(3, windows={"cpu": window([120, MISSING])}), History())
    assert (none.desired, none.primary.reason) == (3, Reason.NO_DATA)


# words and files


RULE = {"name": "cpu", "metric": "cpu", "strategy": "target", "target": 60}


def test_says_what_it_saw() -> None:
    """A recommendation quotes value, target, and the replicas needed and running."""
    held = replace(steady(90), base="the limit of 0.5 cores")
    said = target(60).recommend(RuleInput(held, 3, 3))

    assert said.detail == "cpu 90 % of the limit of 0.5 cores, target 60 %: 4.5 of 3 running replicas needed"
    assert opinion(target(60), 62, 3).detail == "cpu 62 %, target 60 %: within 10 %"


def test_the_present_count_blocks_a_reduction() -> None:
    """A target within its tolerance asks for the present count: a threshold of another metric removes nothing."""
    low = {"name": "memory-low", "metric": "memory", "below": 30, "remove": 1}
    seen = observation(3, windows={"cpu": steady(60), "memory": steady(10)})

    decision = decide(written(RULE, low), seen, History())

    assert (decision.desired, decision.held, decision.primary.reason) == (3, False, Reason.WITHIN_TOLERANCE)
    assert told(decision) == [(Reason.WITHIN_TOLERANCE, "cpu"), (Reason.BELOW_THRESHOLD, "memory-low")]


def test_is_registered() -> None:
    """`target` is a strategy, of counts and not of steps."""
    assert registered()["target"] is Target
    assert not Target.relative
    assert target(60).tolerance == 0.1
    assert target(60).adds_above is None


@pytest.mark.parametrize(
    ("keys", "told_of"),
    [
        ("target: 0", ["6:56: policies[0].rules[0].target: is the number 0 (write a number greater than 0"]),
        ("target: -60", ["6:56: policies[0].rules[0].target: is the number -60"]),
        ('target: "60"', ["6:56: policies[0].rules[0].target: "]),
        ("tolerance: 10%", ["6:5: policies[0].rules[0]", 'the key "target" is missing']),
        ("target: 60, tolerance: 0.1", ["6:71: policies[0].rules[0].tolerance: 0.1 is not a percentage", "10%"]),
        ("target: 60, tolerance: 101%", ["rules[0].tolerance: '101%' is not a percentage"]),
        ("target: 60, for: 5m", ["6:60: policies[0].rules[0].for: unknown key"]),
        ("target: 60, above: 70", ["6:60: policies[0].rules[0].above: unknown key"]),
    ],
)
def test_a_target_that_is_none(tmp_path: Path, keys: str, told_of: list[str]) -> None:
    """Errors are `line:column: path: what is wrong (what would be right)`."""
    [problem] = refused(tmp_path, f"{{name: cpu, metric: cpu, strategy: target, {keys}}}")

    assert all(part in problem for part in told_of), problem


def test_a_target_in_a_file(tmp_path: Path) -> None:
    """A target of a policy file is read as it is written."""
    file = policy_file(tmp_path, "{name: cpu, metric: cpu, strategy: target, target: 60, tolerance: 5%}")

    assert loader.load([file]).policies[0].rules == (target(60, tolerance="5%"),)
