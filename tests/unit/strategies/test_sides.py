from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.strategies import RuleInput
from tests.support.builders import steady, window, written

if TYPE_CHECKING:
    from autoscaler.strategies import Rule

RULES: list[dict[str, Any]] = [
    {"above": 70, "for": "1m", "add": 1},
    {"below": 30, "for": "1m", "remove": 1},
    {"above": 70, "strategy": "steps", "steps": [{"add": 1}]},
    {"below": 30, "strategy": "steps", "steps": [{"remove": 1}]},
    {"strategy": "target", "target": 50},
    {"strategy": "table", "table": {10: 1, 60: 4}},
]


def rule_of(keys: dict[str, Any]) -> Rule:
    """The rule that is written with *keys*."""
    return written({"name": "r", "metric": "cpu", **keys}).rules[0]


@pytest.mark.parametrize("keys", RULES)
@given(value=st.floats(0, 200))
def test_a_rule_asks_for_a_change_only_on_a_side(keys: dict[str, Any], value: float) -> None:
    """A rule that asks for another count says on which side the value lies, by the name of one of its bounds."""
    rule, seen = rule_of(keys), RuleInput(steady(value), 3, 3)
    side = rule.side_of(value, seen)
    asked = rule.recommend(seen).replicas

    assert side in {"", *rule.shown_bounds}
    assert side or asked in {None, 3}


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ([90, 10, 80, 90], 1),
        ([90, float("nan"), 80, 90], 3),
        ([90, 90, 90, 10], None),
        ([90, float("nan")], None),
        ([], None),
    ],
)
def test_since_when_a_bound_is_passed(values: list[float], since: int | None) -> None:
    """A window tells since when all of its samples were beyond a bound; a hole neither ends nor begins that time."""
    seen = window(values)
    expected = None if since is None else seen.end - since * seen.step
    assert seen.holding_since(lambda value: value > 70) == expected


def test_samples_present() -> None:
    """A window tells how many of the samples of a look-back are there, and how many there should be."""
    assert window([1, 2, float("nan"), 4]).present(30) == (2, 3)
    assert window([1, 2]).present(60) == (2, 5)
