"""Guards: vetoes by a metric. While it is beyond a bound, rules must not change the count in a direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from autoscaler.core.model import Direction
from autoscaler.strategies.base import LONGEST_LOOK_BACK, Frozen
from autoscaler.strategies.quantities import Number
from autoscaler.util.durations import Duration, words

if TYPE_CHECKING:
    from autoscaler.core.window import Window


class Guard(Frozen):
    """A veto: while its metric is beyond its bound, no rule changes the count in the directions that it blocks."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=63)
    """What logs call the guard; unique in its policy."""
    metric: str
    """The metric that it watches."""
    above: Number | None = None
    """Block while every sample is greater than this."""
    below: Number | None = None
    """Block while every sample is less than this."""
    for_: Duration = Field(default=0, alias="for")
    """The time for which the metric must have been beyond the bound. Without it the newest sample decides."""
    block: Literal["up", "down", "both"]
    """The changes that rules may not make meanwhile: add replicas (`up`), remove them (`down`), or `both`."""
    on_missing: Literal["block", "allow"] | None = None
    """If the metric has no data, `block` or `allow` the changes that `block` names. By default removals are blocked and
    increases are allowed."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a guard has one bound (give either above or below)")
        if self.for_ > LONGEST_LOOK_BACK:
            raise ValueError(f"the guard looks back too far (give {words(LONGEST_LOOK_BACK)} at most)")
        return self

    def blocks(self, direction: Direction, window: Window | None) -> str:
        """Return why rules must not change the count in *direction*, in words; empty if they may.

        If *window* lacks tasks or samples, `on_missing` decides. It also decides on a reduction if the samples are
        within the bound, but are doubtful and may be too low.
        """
        if self.block not in (direction.value, "both"):
            return ""
        missing = self.on_missing or ("block" if direction is Direction.DOWN else "allow")
        if window is None or window.lacking(self.for_) is not None:
            return f"the guard {self.name} has no complete data of {self.metric}" if missing == "block" else ""
        samples = window.span(self.for_)
        if self.below is not None:
            return self._in_words(window, f"below {self.below:g}") if max(samples) < self.below else ""
        above = self.above or 0.0
        if min(samples) > above:
            return self._in_words(window, f"above {above:g}")
        doubt = window.doubt(self.for_) if direction is Direction.DOWN and missing == "block" else None
        return f"the guard {self.name}: {self.metric}: {doubt.detail}" if doubt is not None else ""

    def _in_words(self, window: Window, bound: str) -> str:
        unit = f" {window.unit}" if window.unit else ""
        lasted = f" for {words(self.for_)}" if self.for_ else ""
        return f"the guard {self.name}: {self.metric} {window.newest:.4g}{unit}, {bound}{unit}{lasted}"
