"""The `table` strategy: from each value on, so many replicas."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from autoscaler.core.model import Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.strategies.base import Rule, RuleInput
from autoscaler.strategies.registry import strategy

if TYPE_CHECKING:
    from collections.abc import Mapping


def _rows_once(table: object) -> object:
    """*table*, whose keys may be texts of numbers, as a YAML document has them."""
    begun: set[float] = set()
    for key in table if isinstance(table, dict) else ():
        try:
            value = float(key)
        except (TypeError, ValueError):
            continue  # not a number: pydantic says so, at its place
        if value in begun:
            raise ValueError(f"two rows of the table begin at {value:g} (keep one of the two)")
        begun.add(value)
    return table


def _in_order(table: dict[float, int]) -> dict[float, int]:
    return dict(sorted(table.items()))


@strategy("table")
class Table(Rule):
    """Asks for the count of the table's last row that the metric has reached."""

    strategy: Literal["table"]
    table: Annotated[
        dict[Annotated[float, Field(allow_inf_nan=False)], Annotated[int, Field(strict=True, ge=0, le=10_000)]],
        Field(min_length=1),
        BeforeValidator(_rows_once),
        AfterValidator(_in_order),
    ]
    """Values and counts: from that value on, that many replicas. Below the first value the rule has no opinion."""

    @property
    def look_back(self) -> int:
        """Only the newest sample counts."""
        return 0

    @property
    def shown_bounds(self) -> Mapping[str, float]:
        """The value at which the first row begins."""
        return {"from": next(iter(self.table))}

    def side_of(self, value: float, rule_input: RuleInput) -> str:  # noqa: ARG002 - the first row alone decides
        """``from`` if *value* has reached the first row; otherwise empty."""
        return "from" if value >= next(iter(self.table)) else ""

    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """The count of the last row whose value is at most the newest sample; no opinion below the first."""
        value = rule_input.window.newest or 0.0
        values = list(self.table)
        row = bisect_right(values, value) - 1
        if row < 0:
            return self.no_opinion(rule_input, "below the table's first row")
        reached = values[row]
        count = self.table[reached]
        seen = self.describe_value(rule_input.window)
        return Recommendation(self.name, Reason.TABLE_VALUE, count, value, seen, f"from {reached:g} on {count}")
