from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from autoscaler.core.model import History
from autoscaler.core.reasons import Reason
from autoscaler.core.window import Window
from autoscaler.policy_files import loader
from autoscaler.strategies import RuleInput, Table, registered
from tests.support.builders import MISSING, NOW, observation, policy_file, refused, steady, told, window, written
from tests.support.deciding import decide

if TYPE_CHECKING:
    from pathlib import Path

RULE = {
    "name": "by-companies",
    "metric": "companies",
    "strategy": "table",
    "table": {1: 2, 21: 3, 51: 5, 101: 7, 201: 10},
}
GUIDE = Table.model_validate(RULE)


def companies(count: float) -> Window:
    """The metric at *count*, which has no unit."""
    return Window(15, NOW, (count,) * 8)


# The guide's table


@pytest.mark.parametrize(
    ("count", "replicas"),
    [
        (0, None),
        (0.99, None),
        (1, 2),
        (20, 2),
        (20.999, 2),
        (21, 3),
        (50, 3),
        (51, 5),
        (100, 5),
        (101, 7),
        (200, 7),
        (201, 10),
        (100_000, 10),
        (-3, None),
    ],
)
def test_the_table_of_the_guide(count: float, replicas: int | None) -> None:
    """From that value on, that many replicas; below the first value the rule has no opinion."""
    said = GUIDE.recommend(RuleInput(companies(count), 4, 4))

    assert (said.replicas, said.value) == (replicas, count)
    assert said.reason is (Reason.NO_BREACH if replicas is None else Reason.TABLE_VALUE)


@pytest.mark.parametrize(
    ("count", "desired", "reason"),
    [
        (60, 5, Reason.TABLE_VALUE),
        (30, 3, Reason.TABLE_VALUE),
        (51, 5, Reason.TABLE_VALUE),
        (0, 4, Reason.NO_BREACH),
    ],
)
def test_up_and_down(count: float, desired: int, reason: Reason) -> None:
    """A table gives a count, whichever way it lies from the requested one."""
    decision = decide(written(RULE), observation(4, windows={"companies": companies(count)}), History())

    assert (decision.desired, decision.primary.reason, decision.held) == (desired, reason, False)


def test_the_present_count_is_asked_for() -> None:
    """The present count is a count too: another rule removes nothing below it, and no change is no hold."""
    low = {"name": "cpu-low", "metric": "cpu", "below": 30, "remove": 1}
    seen = observation(5, windows={"companies": companies(60), "cpu": steady(10)})

    decision = decide(written(RULE, low), seen, History())

    assert (decision.desired, decision.held) == (5, False)
    assert told(decision) == [(Reason.TABLE_VALUE, "by-companies"), (Reason.BELOW_THRESHOLD, "cpu-low")]


def test_rows_in_any_order() -> None:
    """The rows count by their values, in whatever order they are written; counts may fall, and be none."""
    table = Table.model_validate({**RULE, "table": {100: 1, 0: 4, -5: 0}})

    found = [table.recommend(RuleInput(companies(count), 3, 3)).replicas for count in (-6, -5, -1, 0, 99, 100)]
    assert found == [None, 0, 0, 4, 4, 1]
    assert list(table.table) == [-5, 0, 100]


def test_the_newest_sample_decides() -> None:
    """Only the sample at t counts."""
    assert GUIDE.look_back == 0
    assert GUIDE.recommend(RuleInput(window([500, MISSING, 21]), 4, 4)).replicas == 3


@pytest.mark.parametrize("held", [None, window([60, MISSING]), window([60], reporting=[3], owed=4)])
def test_lacking_data(held: Window | None) -> None:
    """A table that lacks data asks for nothing: partial data prove no value."""
    windows = {} if held is None else {"companies": held}

    decision = decide(written(RULE), observation(4, windows=windows), History())

    assert (decision.desired, decision.held) == (4, True)
    assert decision.primary.reason.lacks_data


# words and files


def test_says_what_it_saw() -> None:
    """A recommendation quotes the value and the row."""
    assert GUIDE.recommend(RuleInput(companies(60), 4, 4)).detail == "companies 60, from 51 on 5"
    assert GUIDE.recommend(RuleInput(companies(0), 4, 4)).detail == "companies 0, below the table's first row"
    assert GUIDE.recommend(RuleInput(steady(60), 4, 4)).detail == "companies 60 %, from 51 on 5"


def test_is_registered() -> None:
    """`table` is a strategy, of counts and not of steps."""
    assert registered()["table"] is Table
    assert not Table.relative
    assert GUIDE.adds_above is None


@pytest.mark.parametrize(
    "table",
    [
        "table: {1: 2, 21: 3, 51: 5, 101: 7, 201: 10}",
        'table: {"1": 2, "21": 3, 51.0: 5, 1.01e2: 7, +201: 10}',
        "table: {201: 10, 1: 2, 101: 7, 21: 3, 51: 5}",
    ],
)
def test_a_table_in_a_file(tmp_path: Path, table: str) -> None:
    """The keys of a table are numbers, written plainly."""
    file = policy_file(tmp_path, f"{{name: by-companies, metric: cpu, strategy: table, {table}}}")

    [rule] = loader.load([file]).policies[0].rules

    assert rule == Table.model_validate({**RULE, "metric": "cpu"})


def test_a_table_of_fractions(tmp_path: Path) -> None:
    """A key may be any finite number."""
    file = policy_file(tmp_path, "{name: by-load, metric: cpu, strategy: table, table: {-0.5: 1, .25: 2, 1e3: 3}}")

    [rule] = loader.load([file]).policies[0].rules

    assert isinstance(rule, Table)
    assert rule.table == {-0.5: 1, 0.25: 2, 1000: 3}


@pytest.mark.parametrize(
    ("keys", "told_of"),
    [
        ("table: {1: 2, 1: 3}", ["6:65: policies[0].rules[0].table.1: ", 'the key "1" is given twice']),
        ("table: {1: 2, 1.0: 3}", ['the key "1.0" is given twice, first in line 6, column 59', "keep one of the two"]),
        ("table: {1: 2, '1.0': 3}", ["6:58: policies[0].rules[0].table: ", "two rows of the table begin at 1"]),
        ("table: {}", ["6:58: policies[0].rules[0].table: ", "at least 1"]),
        ("table: {3: -1}", ["6:62: policies[0].rules[0].table.3: ", "at least 0"]),
        ("table: {3: 1.5}", ["6:62: policies[0].rules[0].table.3: ", "not a whole number"]),
        ("table: {3: '2'}", ["6:62: policies[0].rules[0].table.3: ", "not a whole number"]),
        ("table: {3: 10_001}", ["6:62: ", "is a number in YAML 1.1"]),
        ("table: {3: 10001}", ["6:62: policies[0].rules[0].table.3: ", "at most 10000"]),
        ("table: {many: 2}", ["6:59: policies[0].rules[0].table.many", "not a number"]),
        ("table: {1: 2, .inf: 2}", ["6:65: policies[0].rules[0].table", "the key is the number inf"]),
        ("table: {010: 2}", ["6:59: policies[0].rules[0].table.010: ", "is octal in YAML 1.1"]),
        ("table: {1:30: 2}", ["6:59: ", "to the base of 60"]),
        ("table: {1: 2, true: 2}", ["6:65: ", "the key is the truth value true"]),
        ("table: [1, 2]", ["6:58: policies[0].rules[0].table: is a list, not a mapping"]),
        ("table: {1: 2}, for: 5m", ["6:66: policies[0].rules[0].for: unknown key"]),
        ("table: {1: 2}, 5: 6", ["6:66: policies[0].rules[0].5: unknown key"]),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, keys: str, told_of: list[str]) -> None:
    """Errors are `line:column: path: what is wrong (what would be right)`, and numbers are keys of tables only."""
    [problem] = refused(tmp_path, f"{{name: by-load, metric: cpu, strategy: table, {keys}}}")

    assert all(part in problem for part in told_of), problem


def test_a_table_without_a_table(tmp_path: Path) -> None:
    """The table is what the strategy is."""
    [problem] = refused(tmp_path, "{name: by-load, metric: cpu, strategy: table}")

    assert problem.startswith('6:5: policies[0].rules[0]: the key "table" is missing')


@pytest.mark.parametrize("table", [{1: 2, "1": 3}, {1: 2, "1.0": 3}, {"1": 2, "1e0": 3}, {None: 1}, {(): 1}, 5])
def test_rows_are_told_apart_by_their_values(table: object) -> None:
    """No row is dropped without a word, wherever a table comes from."""
    with pytest.raises(ValidationError):
        Table.model_validate({**RULE, "table": table})
