from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from autoscaler.core.reasons import Reason
from autoscaler.core.window import Window
from autoscaler.strategies import RuleInput, Threshold, registered
from autoscaler.strategies.quantities import size
from tests.support.builders import MISSING, steady, threshold, window

if TYPE_CHECKING:
    from autoscaler.core.model import Recommendation


def opinion(rule: Threshold, held: Window, requested: int = 3) -> Recommendation:
    """What *rule* says of a window that suffices to judge by."""
    assert held.lacking(rule.look_back) is None
    return rule.recommend(RuleInput(held, requested, requested))


ABOVE = threshold("cpu-high", above=70, lasting="1m", add=1)
BELOW = threshold("cpu-low", below=30, lasting="1m", remove=1)


@pytest.mark.parametrize(
    ("rule", "values", "replicas"),
    [
        pytest.param(ABOVE, [70.01, 71, 90, 71, 70.01], 4, id="every sample above"),
        pytest.param(ABOVE, [71, 71, 70, 71, 71], None, id="one exactly at the bound"),
        pytest.param(ABOVE, [70, 71, 71, 71, 71], None, id="the oldest exactly at the bound"),
        pytest.param(ABOVE, [71, 71, 71, 71, 70], None, id="the newest exactly at the bound"),
        pytest.param(ABOVE, [10, 71, 71, 71, 71, 71], 4, id="a calm before the window"),
        pytest.param(ABOVE, [10, MISSING, 71, 71, 71, 71], None, id="a calm a step before, none at t - for"),
        pytest.param(ABOVE, [71, MISSING, 71, 71, 71, 71], 4, id="a breach a step before, none at t - for"),
        pytest.param(ABOVE, [71, 71, MISSING, 71, 71], 4, id="one sample missing"),
        pytest.param(BELOW, [29.9, 0, 10, 29, 29.9], 2, id="every sample below"),
        pytest.param(BELOW, [29, 29, 30, 29, 29], None, id="one exactly at the lower bound"),
        pytest.param(BELOW, [29, 29, 29, 29, 31], None, id="the newest not below"),
    ],
)
def test_fires(rule: Threshold, values: list[float], replicas: int | None) -> None:
    """Fires at t when the window of [t - for, t] is complete and every sample is strictly beyond the bound."""
    said = opinion(rule, window(values))

    fired = Reason.ABOVE_THRESHOLD if rule is ABOVE else Reason.BELOW_THRESHOLD
    assert (said.rule, said.reason, said.replicas, said.value) == (
        rule.name,
        Reason.NO_BREACH if replicas is None else fired,
        replicas,
        values[-1],
    )


def test_without_for() -> None:
    """Without `for`, the sample at t decides."""
    rule = threshold(above=70, add=1)

    assert opinion(rule, window([10, MISSING, 71])).replicas == 4
    assert opinion(rule, window([99, 99, 70])).replicas is None


def test_a_for_that_is_no_multiple_of_the_step() -> None:
    """As Prometheus' `for`: the breach has lasted that long, so the sample before t - for is beyond the bound too."""
    rule = threshold(above=70, lasting="50s", add=1)

    assert opinion(rule, window([71, 71, 71, 71, 71])).replicas == 4
    assert opinion(rule, window([69, 71, 71, 71, 71])).replicas is None


@pytest.mark.parametrize(
    ("step", "requested", "replicas"),
    [
        (2, 3, 2),
        (1, 0, 1),
        ("50%", 4, 2),
        ("50%", 5, 2),
        ("50%", 1, 1),
        ("1%", 99, 1),
        ("1%", 199, 1),
        ("1%", 200, 2),
        ("100%", 7, 7),
        ("250%", 3, 7),
        ("50%", 0, 1),
    ],
)
def test_size(step: int | str, requested: int, replicas: int) -> None:
    """`add`/`remove` take a count or a percentage of the requested replicas, rounded down, at least 1."""
    assert size(step, requested) == replicas


def test_a_percentage_is_of_the_requested_replicas() -> None:
    """A percentage is of the requested replicas, not of the running ones."""
    rule = threshold(above=70, add="50%")

    assert rule.recommend(RuleInput(steady(90), 6, 2)).replicas == 9


def test_never_asks_for_less_than_none() -> None:
    """Removing more replicas than there are asks for none."""
    assert opinion(threshold(below=30, remove=5), steady(1), requested=3).replicas == 0
    assert opinion(threshold(below=30, remove="100%"), steady(1), requested=3).replicas == 0


def test_bound_and_step_go_together_freely() -> None:
    """A rule has one bound and one step, whichever: idle workers above a bound may remove replicas."""
    assert opinion(threshold(above=70, remove=1), steady(90)).replicas == 2
    assert opinion(threshold(below=30, add=1), steady(10)).replicas == 4


@pytest.mark.parametrize(
    "keys",
    [
        {"add": 1},
        {"above": 70.0},
        {"above": 70.0, "below": 30.0, "add": 1},
        {"above": 70.0, "add": 1, "remove": 1},
    ],
)
def test_one_bound_and_one_step(keys: dict[str, float]) -> None:
    """A threshold has exactly one bound and exactly one step."""
    with pytest.raises(ValidationError, match=r"a threshold (has one bound|takes one step)"):
        Threshold.model_validate({"name": "cpu-high", "metric": "cpu", **keys})


@pytest.mark.parametrize(
    "step", [0, -1, 10_001, True, 1.5, "0%", "50", "50 %", "-5%", "50%\n", "05%", "5\u0660%", None, []]
)
def test_steps_that_are_none(step: object) -> None:
    """`add`/`remove` take a count or a percentage, and nothing that only looks like one."""
    with pytest.raises(ValidationError):
        Threshold.model_validate({"name": "cpu-high", "metric": "cpu", "above": 70, "add": step})


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), "70", True])
def test_bounds_that_are_none(bound: object) -> None:
    """A bound is a finite number."""
    with pytest.raises(ValidationError):
        Threshold.model_validate({"name": "cpu-high", "metric": "cpu", "above": bound, "add": 1})


PARTIAL = [4, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("values", "reporting", "replicas"),
    [
        pytest.param([95] * 5, PARTIAL, 6, id="at least 76 %"),
        pytest.param([87.5] * 5, PARTIAL, None, id="at least 70 %, which is not above 70 %"),
        pytest.param([87.6] * 5, PARTIAL, 6, id="at least 70.08 %"),
        pytest.param([95, 95, 60, 95, 95], PARTIAL, None, id="one sample at no more than 60 %"),
        pytest.param([71, 71, 71, 71, 95], [5, 5, 5, 5, 4], 6, id="only the newest partial"),
        pytest.param([95, MISSING, MISSING, 95, 95], PARTIAL, None, id="incomplete as well"),
    ],
)
def test_above_on_partial(values: list[float], reporting: list[int], replicas: int | None) -> None:
    """Partial data still let an `above` on an average fire with the missing tasks counted as 0."""
    held = window(values, reporting=reporting, owed=5)

    said = ABOVE.recommend_on_partial(RuleInput(held, 5, 5))

    assert (said.replicas if said else None) == replicas


@pytest.mark.parametrize(
    "rule",
    [BELOW, threshold(above=70, remove=1), threshold(below=30, add=1)],
)
def test_nothing_else_on_partial(rule: Threshold) -> None:
    """Partial data let only an `above` fire, and only for an increase."""
    held = window([99 if rule.above is not None else 1] * 5, reporting=PARTIAL, owed=5)

    assert rule.recommend_on_partial(RuleInput(held, 5, 5)) is None


def test_says_what_it_saw() -> None:
    """A recommendation quotes the newest value, what 100 % is, the bound and the time."""
    held = Window(15, 0, (91.3,) * 5, unit="%", base="the limit of 0.5 cores")

    assert opinion(ABOVE, held).detail == "cpu 91.3 % of the limit of 0.5 cores, above 70 % for 1m"
    assert opinion(BELOW, held).detail == "cpu 91.3 % of the limit of 0.5 cores, not below 30 % for 1m"


def test_is_the_default_strategy() -> None:
    """`threshold` is a registered strategy, under its own name."""
    assert registered()["threshold"] is Threshold
    assert Threshold.strategy_name == "threshold"
    assert threshold(above=1, add=1, lasting="5m").look_back == 300
