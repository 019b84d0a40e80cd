from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.core.model import History
from autoscaler.core.reasons import Reason
from autoscaler.policy_files import loader
from autoscaler.strategies import RuleInput, Threshold
from tests.support.builders import MISSING, observation, policy_file, refused, told, window, written
from tests.support.deciding import decide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

X, O, _ = 90.0, 50.0, MISSING  # noqa: E741 - CloudWatch's own letters: breaching, not breaching, missing


def rule(at_least: str, *, lasting: str = "1m") -> Threshold:
    """A rule of that part of the samples above 70; a minute has five samples."""
    keys = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 1, "for": lasting, "at_least": at_least}
    return Threshold.model_validate(keys)


def fires(held: Threshold, values: Sequence[float]) -> bool:
    """Whether *held* fires on *values*, which suffice to judge by."""
    seen = window(values)
    assert seen.lacking(held.look_back) is None
    return held.recommend(RuleInput(seen, 3, 3)).replicas is not None


# CloudWatch alarms, M out of N


@pytest.mark.parametrize(
    ("at_least", "values", "alarm"),
    [
        pytest.param("60%", [X, X, X, O, O], True, id="3 of 5"),
        pytest.param("60%", [X, O, X, O, X], True, id="3 of 5, not in a row"),
        pytest.param("60%", [O, O, X, X, O], False, id="2 of 5 are too few for 3"),
        pytest.param("60%", [X, X, X, X, X], True, id="5 of 5 are more than 3"),
        pytest.param("60%", [O, O, O, X, X, O, X, O], True, id="only the last N count, and fire"),
        pytest.param("60%", [X, X, X, X, O, O, O, X], False, id="only the last N count, and do not"),
        pytest.param("80%", [X, X, X, X, O], True, id="4 of 5, the newest calm"),
        pytest.param("80%", [O, X, X, X, X], True, id="4 of 5, the oldest calm"),
        pytest.param("80%", [O, X, X, X, O], False, id="3 of 5 are too few for 4"),
        pytest.param("100%", [X, X, X, X, X], True, id="5 of 5, the strict default"),
        pytest.param("100%", [X, X, O, X, X], False, id="4 of 5 are too few for all"),
        pytest.param("61%", [X, X, X, O, O], False, id="61 % of 5 are 4"),
        pytest.param("61%", [X, X, X, X, O], True, id="61 % of 5 are 4, which there are"),
        pytest.param("1%", [O, O, X, O, O], True, id="one is at least 1 %"),
        pytest.param("1%", [O, O, O, O, O], False, id="none is never enough"),
        pytest.param("20%", [70, 70, 70, 70, 70], False, id="the bound is not beyond itself"),
    ],
)
def test_m_of_n(at_least: str, values: Sequence[float], *, alarm: bool) -> None:
    """Fires when M of the last N samples are beyond the bound, wherever among them; M is the share, rounded up."""
    assert fires(rule(at_least), values) is alarm


@pytest.mark.parametrize(
    ("at_least", "values", "alarm"),
    [
        pytest.param("60%", [X, _, X, O, X], True, id="3 breaching beside a missing one"),
        pytest.param("60%", [X, _, X, O, O], False, id="2 breaching, and 2 of the 4 present are no 3"),
        pytest.param("80%", [X, _, X, X, X], True, id="4 of 5 although one is missing"),
        pytest.param("80%", [X, _, X, _, X], False, id="3 of 3 present are 3 of 5"),
        pytest.param(
            "60%", [X, _, X, X, O, O], True, id="the sample a step before stands for the oldest, and breaches"
        ),
        pytest.param("60%", [O, _, X, X, O, X], True, id="the sample a step before is calm"),
        pytest.param("80%", [O, _, X, X, O, X], False, id="the sample a step before is calm: 3 of 5"),
        pytest.param("80%", [X, _, X, X, O, X], True, id="the sample a step before breaches: 4 of 5"),
    ],
)
def test_a_missing_sample_is_not_beyond(at_least: str, values: Sequence[float], *, alarm: bool) -> None:
    """A missing sample counts as none beyond the bound, and N stays the number of window steps.

    CloudWatch's `notBreaching`; other than its default, no older sample is looked for instead.
    """
    assert fires(rule(at_least), values) is alarm


@pytest.mark.parametrize("values", [[X, _, _, X, X], [X, X, X, X, _], [X, X, X, X], [_, _, X, X, X, X]])
def test_what_is_complete_stays(values: Sequence[float]) -> None:
    """`at_least` forgives calm samples, and not missing ones: two in a row, or the newest, lack data as ever."""
    assert window(values).lacking(60) is not None


@pytest.mark.parametrize(
    ("lasting", "values", "alarm"),
    [
        pytest.param("50s", [O, X, X, X, X], True, id="50s are five window steps, 4 of 5"),
        pytest.param("50s", [O, O, X, X, X], False, id="50s are five window steps, 3 of 5"),
        pytest.param("10s", [O, X], False, id="10s are two window steps, 1 of 2 is less than 80 %"),
        pytest.param("10s", [X, X], True, id="10s are two window steps"),
        pytest.param("5m", [O] * 4 + [X] * 17, True, id="17 of 21"),
        pytest.param("5m", [O] * 5 + [X] * 16, False, id="16 of 21 are less than 80 %"),
    ],
)
def test_n_is_the_number_of_window_steps(lasting: str, values: Sequence[float], *, alarm: bool) -> None:
    """N are the samples that cover [t - for, t]."""
    assert fires(rule("80%", lasting=lasting), values) is alarm


def test_a_share_of_a_whole_number_of_samples_is_that_number() -> None:
    """What floating point adds to 0.55 * 100 is no further sample."""
    held = rule("55%", lasting=f"{99 * 15}s")

    assert fires(held, [O] * 45 + [X] * 55)
    assert not fires(held, [O] * 46 + [X] * 54)


def test_below() -> None:
    """M of N samples below a bound remove replicas."""
    held = Threshold.model_validate(
        {"name": "cpu-low", "metric": "cpu", "below": 30, "remove": 1, "for": "1m", "at_least": "60%"}
    )

    assert held.recommend(RuleInput(window([10, 50, 10, 30, 29]), 3, 3)).replicas == 2
    assert held.recommend(RuleInput(window([10, 50, 10, 30, 31]), 3, 3)).replicas is None


@pytest.mark.parametrize(("values", "desired"), [([95, 95, 95, 95, 10], 6), ([95, 95, 95, 10, 10], 5)])
def test_partial_data(values: Sequence[float], desired: int) -> None:
    """With the missing tasks at 0, 4 of 5 tasks at 95 are at least 76: M of N such samples fire."""
    keys = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 1, "for": "1m", "at_least": "80%"}
    seen = observation(5, windows={"cpu": window(values, reporting=[4] * 5, owed=5)})

    decision = decide(written(keys), seen, History())

    reason = Reason.ABOVE_THRESHOLD if desired == 6 else Reason.PARTIAL_DATA
    assert (decision.desired, told(decision)) == (desired, [(reason, "cpu-high")])


# words and files


def test_says_what_it_saw() -> None:
    """A recommendation says which part of the samples had to be beyond; the strict default says nothing of it."""
    rule_input = RuleInput(window([X, X, X, X, O]), 3, 3)

    assert rule("80%").recommend(rule_input).detail == "cpu 50 %, above 70 % in 80 % of the samples for 1m"
    assert rule("90%").recommend(rule_input).detail == "cpu 50 %, not above 70 % in 90 % of the samples for 1m"
    assert rule("100%").recommend(rule_input).detail == "cpu 50 %, not above 70 % for 1m"


def test_in_a_file(tmp_path: Path) -> None:
    """The specification's `for: 5m, at_least: 80%`."""
    file = policy_file(tmp_path, "{name: cpu-high, metric: cpu, above: 70, for: 5m, at_least: 80%, add: 1}")

    assert loader.load([file]).policies[0].rules == (rule("80%", lasting="5m"),)
    assert rule("80%").at_least == 0.8
    assert rule("33.5%").at_least == pytest.approx(0.335)


@pytest.mark.parametrize(
    ("keys", "told_of"),
    [
        ("at_least: 80%", ["6:5: policies[0].rules[0]: ", "give it with for"]),
        ("for: 0s, at_least: 80%", ["6:5: policies[0].rules[0]: ", "give it with for"]),
        ("for: 5m, at_least: 0%", ["6:5: policies[0].rules[0]: ", "above 0%"]),
        ("for: 5m, at_least: 0.8", ["6:65: policies[0].rules[0].at_least: 0.8 is not a percentage", 'like "10%"']),
        ("for: 5m, at_least: 120%", ["6:65: policies[0].rules[0].at_least: '120%' is not a percentage"]),
        ("for: 5m, at_least: 4", ["6:65: policies[0].rules[0].at_least: 4 is not a percentage"]),
        ("for: 5m, at_least: 80 %", ["6:65: policies[0].rules[0].at_least: '80 %' is not a percentage"]),
    ],
)
def test_a_part_that_is_none(tmp_path: Path, keys: str, told_of: list[str]) -> None:
    """Errors are `line:column: path: what is wrong (what would be right)`."""
    [problem] = refused(tmp_path, f"{{name: cpu-high, metric: cpu, above: 70, {keys}, add: 1}}")

    assert all(part in problem for part in told_of), problem
