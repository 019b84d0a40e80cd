from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.core.model import History, Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.policy_files import loader
from autoscaler.strategies import RuleInput, Steps, registered
from tests.support.builders import (
    MISSING,
    observation,
    policy_file,
    refused,
    steady,
    threshold,
    told,
    window,
    written,
)
from tests.support.deciding import decide

if TYPE_CHECKING:
    from pathlib import Path


def steps(*adjustments: dict[str, Any], **keys: Any) -> Steps:
    """A steps rule as a policy file would write it."""
    return Steps.model_validate({**RULE, **keys, "steps": adjustments}, by_alias=True, by_name=False)


def asked(rule: Steps, value: float, requested: int = 10) -> int | None:
    """The count that *rule* asks for at *value*."""
    return opinion(rule, value, requested).replicas


def opinion(rule: Steps, value: float, requested: int = 10) -> Recommendation:
    """What *rule* says of a steady *value*."""
    return rule.recommend(RuleInput(steady(value), requested, requested))


RULE = {"name": "cpu-steps", "metric": "cpu", "strategy": "steps"}
NEAR, MIDDLE, FAR = {"upper": 10, "add": 1}, {"lower": 10, "upper": 20, "add": 2}, {"lower": 20, "add": 3}
OUT = steps(NEAR, MIDDLE, FAR, above=50)
IN = steps(
    {"upper": -20, "remove": 3}, {"lower": -20, "upper": -10, "remove": 2}, {"lower": -10, "remove": 1}, below=50
)


# AWS, step adjustments


@pytest.mark.parametrize(
    ("value", "replicas"),
    [
        pytest.param(49.9, None, id="below the bound"),
        pytest.param(50, None, id="at the bound"),
        pytest.param(50.1, 11, id="in the first interval"),
        pytest.param(59.9, 11, id="at its end, excluded"),
        pytest.param(60, 12, id="at the beginning of the second, included"),
        pytest.param(69.9, 12, id="at the end of the second, excluded"),
        pytest.param(70, 13, id="at the beginning of the last"),
        pytest.param(500, 13, id="far beyond"),
    ],
)
def test_above_an_interval_includes_its_lower_end(value: float, replicas: int | None) -> None:
    """Above the bound an interval includes its lower end and excludes its upper one, as AWS has it.

    Other than there, the bound itself is not beyond it: `above` is strict in every rule.
    """
    assert asked(OUT, value) == replicas


@pytest.mark.parametrize(
    ("value", "replicas"),
    [
        pytest.param(50.1, None, id="above the bound"),
        pytest.param(50, None, id="at the bound"),
        pytest.param(49.9, 9, id="in the first interval"),
        pytest.param(40.1, 9, id="at its end, excluded"),
        pytest.param(40, 8, id="at the upper end of the second, included"),
        pytest.param(30.1, 8, id="at the lower end of the second, excluded"),
        pytest.param(30, 7, id="at the upper end of the last"),
        pytest.param(-500, 7, id="far beyond"),
    ],
)
def test_below_an_interval_includes_its_upper_end(value: float, replicas: int | None) -> None:
    """Below the bound an interval includes its upper end and excludes its lower one, as AWS has it."""
    assert asked(IN, value) == replicas


def test_the_example_of_aws() -> None:
    """AWS's group of 10: at 60 one more, at 70 three more of 11, at 40 one fewer of 14, at 30 three fewer of 13.

    There, the bound is 50 and the first step changes nothing; here the steps begin where something changes, just
    before 60 and 40, because a bound is exceeded strictly.
    """
    out = steps({"upper": 10.1, "add": "10%"}, {"lower": 10.1, "add": "30%"}, above=59.9)
    back = steps({"upper": -10.1, "remove": "30%"}, {"lower": -10.1, "remove": "10%"}, below=40.1)
    assert [asked(rule, value, 10) for rule in (out, back) for value in (41, 59.9)] == [None] * 4
    assert asked(out, 60, 10) == 11
    assert asked(out, 70, 11) == 14
    assert asked(back, 40, 14) == 13
    assert asked(back, 30, 13) == 10


@pytest.mark.parametrize(
    ("adjustment", "requested", "replicas"),
    [
        pytest.param({"add": "10%"}, 127, 139, id="12.7 is rounded down"),
        pytest.param({"add": "10%"}, 6, 7, id="0.6 is one"),
        pytest.param({"remove": "10%"}, 6, 5, id="0.6 fewer is one fewer"),
        pytest.param({"remove": "50%"}, 13, 7, id="6.5 fewer is six fewer"),
        pytest.param({"add": "25%", "minimum": 2}, 4, 6, id="AWS's 25 % of 4 with a minimum of 2"),
        pytest.param({"add": "25%", "minimum": 2}, 12, 15, id="more than the minimum"),
        pytest.param({"remove": "10%", "minimum": 4}, 10, 6, id="a minimum of a reduction"),
        pytest.param({"remove": "10%", "minimum": 4}, 3, 0, id="never fewer than none"),
        pytest.param({"add": 3}, 4, 7, id="a count"),
        pytest.param({"remove": 5}, 4, 0, id="a count, never fewer than none"),
        pytest.param({"exactly": 8}, 4, 8, id="an exact count above"),
        pytest.param({"exactly": 8}, 12, 8, id="an exact count below"),
        pytest.param({"exactly": 8}, 8, 8, id="the present count"),
        pytest.param({"exactly": 0}, 4, 0, id="exactly none"),
        pytest.param({"add": "50%"}, 0, 1, id="a percentage of none is one"),
    ],
)
def test_adjustments(adjustment: dict[str, Any], requested: int, replicas: int) -> None:
    """A change, a percentage of the requested replicas with a minimum, or an exact count."""
    assert asked(steps(adjustment, above=50), 60, requested) == replicas


@pytest.mark.parametrize(
    ("bound", "lower", "value", "replicas"),
    [(60, 10.3, 70.3, 12), (0.1, 0.2, 0.3, 12), (0.1, 0.2, 0.2999, 11)],
)
def test_the_end_of_an_interval_is_where_it_is_written(bound: float, lower: float, value: float, replicas: int) -> None:
    """Other than a plain difference: what floating point takes from the distance moves no end."""
    assert asked(steps({"upper": lower, "add": 1}, {"lower": lower, "add": 2}, above=bound), value) == replicas


# windows


def test_for_and_the_newest_sample() -> None:
    """Every sample of `for` is beyond the bound, and the newest says which step."""
    rule = steps(NEAR, MIDDLE, FAR, above=50, **{"for": "1m"})

    assert rule.look_back == 60
    assert rule.recommend(RuleInput(window([51, 90, 90, 90, 65]), 10, 10)).replicas == 12
    assert rule.recommend(RuleInput(window([50, 90, 90, 90, 65]), 10, 10)).replicas is None
    assert rule.recommend(RuleInput(window([99, 90, 90, 90, 50]), 10, 10)).replicas is None
    assert rule.recommend(RuleInput(window([10, 51, 90, MISSING, 90, 51]), 10, 10)).replicas == 11


@pytest.mark.parametrize(
    ("value", "desired", "reason"),
    [
        pytest.param(95, 8, Reason.STEP_MATCHED, id="4 of 5 at 95 are at least 76: the last step"),
        pytest.param(80, 7, Reason.STEP_MATCHED, id="4 of 5 at 80 are at least 64: the second step, not the last"),
        pytest.param(62, 5, Reason.PARTIAL_DATA, id="4 of 5 at 62 are at least 49.6"),
    ],
)
def test_partial_data(value: float, desired: int, reason: Reason) -> None:
    """Of partial data the step that fires even with the missing tasks counted as 0."""
    rule = {**RULE, "above": 50, "for": "1m", "steps": [NEAR, MIDDLE, FAR]}
    seen = observation(5, windows={"cpu": window([value] * 8, reporting=[4] * 8, owed=5)})

    decision = decide(written(rule), seen, History())

    assert (decision.desired, told(decision)) == (desired, [(reason, "cpu-steps")])


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        pytest.param({"below": 50, "steps": [{"add": 2}]}, 1, id="below"),
        pytest.param({"above": 50, "steps": [{"remove": 2}]}, 99, id="a reduction"),
        pytest.param({"above": 50, "steps": [{"exactly": 2}]}, 99, id="exactly fewer"),
        pytest.param({"above": 50, "steps": [{"exactly": 5}]}, 99, id="exactly as many"),
        pytest.param({"above": 50, "for": "3m", "steps": [{"add": 2}]}, 99, id="incomplete as well"),
    ],
)
def test_nothing_else_on_partial_data(keys: dict[str, Any], value: float) -> None:
    """Only an increase above a bound may come of partial data."""
    seen = observation(5, windows={"cpu": window([value] * 8, reporting=[4] * 8, owed=5)})

    decision = decide(written({**RULE, **keys}), seen, History())

    assert (decision.desired, decision.held, told(decision)) == (5, True, [(Reason.PARTIAL_DATA, "cpu-steps")])


def test_exactly_on_partial_data() -> None:
    """An exact count that is more than there are is an increase."""
    seen = observation(5, windows={"cpu": window([99] * 8, reporting=[4] * 8, owed=5)})
    rule = {**RULE, "above": 50, "steps": [{"exactly": 9}]}

    assert decide(written(rule), seen, History()).desired == 9


def test_exactly_none() -> None:
    """`exactly: 0` stops a service whose minimum is 0, and one with a minimum goes there."""
    rule = {**RULE, "below": 5, "steps": [{"exactly": 0}]}
    seen = observation(4, windows={"cpu": steady(0)})

    assert decide(written(rule, least=0), seen, History()).desired == 0
    bounded = decide(written(rule, least=2), seen, History())
    assert (bounded.desired, bounded.primary.reason) == (2, Reason.AT_MIN)


# words and files


def test_says_what_it_saw() -> None:
    """A recommendation quotes the value, its distance from the bound, and for how long."""
    assert opinion(OUT, 63).detail == "cpu 63 %, 13 above 50 %"
    assert opinion(IN, 37).detail == "cpu 37 %, 13 below 50 %"
    assert opinion(OUT, 50).detail == "cpu 50 %, not above 50 %"
    assert (opinion(OUT, 63).reason, opinion(OUT, 50).reason) == (Reason.STEP_MATCHED, Reason.NO_BREACH)
    assert opinion(steps(FAR | {"lower": 0}, below=None, above=50, **{"for": "1m"}), 63).detail.endswith(" for 1m")


def test_is_registered() -> None:
    """`steps` is a strategy, of relative steps."""
    assert registered()["steps"] is Steps
    assert Steps.relative


@pytest.mark.parametrize(
    ("rule", "bound"),
    [
        pytest.param(OUT, 50, id="adds above"),
        pytest.param(IN, None, id="removes below"),
        pytest.param(steps({"remove": 1}, above=50), None, id="removes above"),
        pytest.param(steps({"add": 1}, below=50), None, id="adds below"),
        pytest.param(steps({"exactly": 9}, above=50), 50, id="an exact count may be more"),
        pytest.param(threshold(above=70, remove=1), None, id="a threshold that removes"),
    ],
)
def test_what_a_removal_must_not_pass(rule: Steps, bound: float | None) -> None:
    """A removal that would pass an `above` bound of the policy would be undone by that rule."""
    assert rule.adds_above == bound


@pytest.mark.parametrize(
    ("keys", "told_of"),
    [
        ("above: 50, steps: []", ["6:71: policies[0].rules[0].steps: is an empty list", "at least 1"]),
        ("above: 50", ["6:5: policies[0].rules[0]: ", 'the key "steps" is missing']),
        ("steps: [{add: 1}]", ["6:5: policies[0].rules[0]: ", "one bound", "either above or below"]),
        ("above: 50, below: 20, steps: [{add: 1}]", ["6:5: policies[0].rules[0]: ", "one bound"]),
        (
            "above: 50, steps: [{lower: 10, upper: 10, add: 1}]",
            ["6:72: policies[0].rules[0].steps[0]: ", "the interval from 10 to 10 is empty"],
        ),
        (
            "above: 50, steps: [{upper: 10, add: 1}, {lower: 5, add: 2}]",
            ["6:5: policies[0].rules[0]: ", "one step ends at 10 and the next begins at 5", "rising order"],
        ),
        (
            "above: 50, steps: [{upper: 10, add: 1}, {lower: 20, add: 2}]",
            ["6:5: policies[0].rules[0]: ", "one step ends at 10 and the next begins at 20"],
        ),
        (
            "above: 50, steps: [{lower: 10, add: 2}, {upper: 10, add: 1}]",
            ["6:5: policies[0].rules[0]: ", "rising order"],
        ),
        ("above: 50, steps: [{add: 1}, {add: 2}]", ["one step ends at nowhere and the next begins at nowhere"]),
        ("above: 50, steps: [{upper: 10, add: 1}]", ["leave a gap", "the one farthest from it has no end"]),
        ("above: 50, steps: [{lower: 5, add: 1}]", ["leave a gap", "the one next to the bound begins at 0"]),
        ("below: 50, steps: [{lower: -10, remove: 1}]", ["leave a gap"]),
        ("below: 50, steps: [{upper: -5, remove: 1}]", ["leave a gap"]),
        ("below: 50, steps: [{lower: 0, upper: 10, remove: 1}, {lower: 10, remove: 2}]", ["leave a gap"]),
        (
            "above: 50, steps: [{upper: 0, add: 1}, {lower: 0, add: 2}]",
            ["6:5: policies[0].rules[0]: ", "no value above the bound lies in the step up to 0", "remove that step"],
        ),
        (
            "below: 50, steps: [{upper: 5, remove: 1}, {lower: 5, remove: 2}]",
            ["no value below the bound lies in the step from 5 on"],
        ),
        (
            "above: 50, steps: [{add: 1, remove: 1}]",
            ["6:72: policies[0].rules[0].steps[0]: ", "one of add, remove and exactly"],
        ),
        ("above: 50, steps: [{lower: 0}]", ["6:72: policies[0].rules[0].steps[0]: ", "one of add, remove and exactly"]),
        (
            "above: 50, steps: [{add: 2, minimum: 3}]",
            ["6:72: policies[0].rules[0].steps[0]: ", "only a percentage has a minimum"],
        ),
        ("above: 50, steps: [{exactly: 2, minimum: 3}]", ["only a percentage has a minimum"]),
        ("above: 50, steps: [{add: 0}]", ["6:78: policies[0].rules[0].steps[0].add: 0 is not a step"]),
        ("above: 50, steps: [{exactly: -1}]", ["6:82: policies[0].rules[0].steps[0].exactly: ", "at least 0"]),
        (
            "above: 50, steps: [{uper: 5, add: 1}]",
            ["6:73: policies[0].rules[0].steps[0].uper: unknown key", 'did you mean "upper"?'],
        ),
        ("above: 50, steps: [5]", ["6:72: policies[0].rules[0].steps[0]: ", "not a mapping"]),
    ],
)
def test_steps_that_are_none(tmp_path: Path, keys: str, told_of: list[str]) -> None:
    """Non-overlapping, no gaps, change or exact count: all else is an error that says what would be right."""
    [problem] = refused(tmp_path, f"{{name: cpu-steps, metric: cpu, strategy: steps, {keys}}}")

    assert all(part in problem for part in told_of), problem


def test_more_than_twenty_steps_are_too_many(tmp_path: Path) -> None:
    """AWS allows 20 step adjustments of a policy; so do we."""
    many = ", ".join(["{upper: 1, add: 1}", *(f"{{lower: {n}, upper: {n + 1}, add: 1}}" for n in range(1, 20))])
    rule = "{name: cpu-steps, metric: cpu, strategy: steps, above: 50, steps: [%s, {lower: 20, add: 1}]}"

    [problem] = refused(tmp_path, rule % many)

    assert "policies[0].rules[0].steps: " in problem
    assert "at most 20" in problem


def test_steps_in_a_file(tmp_path: Path) -> None:
    """Steps of a policy file are read as they are written."""
    adjustments = "{upper: 10, add: 1}, {lower: 10, upper: 20, add: 2}, {lower: 20, add: 3}"
    rule = f"{{name: cpu-steps, metric: cpu, strategy: steps, above: 50, steps: [{adjustments}]}}"

    assert loader.load([policy_file(tmp_path, rule)]).policies[0].rules == (OUT,)
