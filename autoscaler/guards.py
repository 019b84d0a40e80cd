"""Guards: PromQL vetoes. While a metric is beyond a bound, rules may not change the count in a direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from autoscaler.durations import Duration, words
from autoscaler.model import Direction
from autoscaler.strategies.base import LONGEST_LOOK_BACK, Frozen
from autoscaler.strategies.quantities import Number

if TYPE_CHECKING:
    from autoscaler.window import Window


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
    """How long the metric must have been beyond the bound; without it the newest sample decides."""
    block: Literal["up", "down", "both"]
    """What rules may not do meanwhile: add replicas (`up`), remove them (`down`), or either."""
    on_missing: Literal["block", "allow"] | None = None
    """What to do without data, in the directions of `block`; not given, a removal is blocked and an increase is not."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a guard has one bound (give either above or below)")
        if self.for_ > LONGEST_LOOK_BACK:
            raise ValueError(f"the guard looks back too far (give {words(LONGEST_LOOK_BACK)} at most)")
        return self

    def blocks(self, direction: Direction, window: Window | None) -> str:
        """Why rules may not change the count in *direction*, as far as *window* tells, in words; empty where they may.

        A window that lacks data, be it tasks or samples, is taken as `on_missing` says.
        """
        if self.block not in (direction.value, "both"):
            return ""
        if window is None or window.lacking(self.for_) is not None:
            missing = self.on_missing or ("block" if direction is Direction.DOWN else "allow")
            return f"the guard {self.name} has no complete data of {self.metric}" if missing == "block" else ""
        samples = window.span(self.for_)
        if self.above is not None:
            return self._in_words(window, f"above {self.above:g}") if min(samples) > self.above else ""
        below = self.below or 0.0
        return self._in_words(window, f"below {below:g}") if max(samples) < below else ""

    def _in_words(self, window: Window, bound: str) -> str:
        unit = f" {window.unit}" if window.unit else ""
        lasted = f" for {words(self.for_)}" if self.for_ else ""
        return f"the guard {self.name}: {self.metric} {window.newest:.4g}{unit}, {bound}{unit}{lasted}"
