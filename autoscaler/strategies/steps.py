"""The `steps` strategy: the further beyond a bound, the larger the step, as AWS step scaling has it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from autoscaler.core.model import Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.strategies.base import Frozen, Rule, RuleInput
from autoscaler.strategies.quantities import Number, Step, size
from autoscaler.strategies.registry import strategy
from autoscaler.util.durations import Duration, words

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIGITS = 9
"""The decimal places of a distance from the bound that count; what follows them is floating point's."""


class StepAdjustment(Frozen):
    """The change to make while the metric is this far beyond the bound."""

    lower: Number | None = None
    """The beginning of the interval, as a distance from the bound; minus infinity if it is not given."""
    upper: Number | None = None
    """The end of the interval, as a distance from the bound; infinity if it is not given."""
    add: Step | None = None
    """The replicas to add: a count, or a percentage of the requested replicas."""
    remove: Step | None = None
    """The replicas to remove: a count, or a percentage of the requested replicas."""
    exactly: Annotated[int, Field(strict=True, ge=0, le=10_000)] | None = None
    """The count to have."""
    minimum: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1
    """The fewest replicas that a percentage adds or removes."""

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if [self.add, self.remove, self.exactly].count(None) != 2:  # noqa: PLR2004 - one of the three is given
            raise ValueError("a step makes one change (give one of add, remove and exactly)")
        if "minimum" in self.model_fields_set and not isinstance(self.add or self.remove, str):
            raise ValueError("only a percentage has a minimum (remove minimum, or add or remove a percentage)")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(
                f"the interval from {self.lower:g} to {self.upper:g} is empty (lower must be less than upper)"
            )
        return self

    def replicas(self, requested: int) -> int:
        """The count that the step leads to from *requested*."""
        if self.exactly is not None:
            return self.exactly
        step = self.add if self.add is not None else self.remove or 1
        count = size(step, requested)
        if isinstance(step, str):
            count = max(count, self.minimum)
        return requested + count if self.add is not None else max(0, requested - count)


@strategy("steps")
class Steps(Rule):
    """Adds or removes more replicas, the further the metric is beyond a bound: each interval has its step."""

    relative: ClassVar[bool] = True

    strategy: Literal["steps"]
    above: Number | None = None
    """The bound that the metric exceeds."""
    below: Number | None = None
    """The bound that the metric falls short of."""
    for_: Duration = Field(default=0, alias="for")
    """The time for which the metric must have been beyond the bound. Without it the newest sample decides."""
    steps: Annotated[tuple[StepAdjustment, ...], Field(min_length=1, max_length=20)]
    """The intervals and their steps, in order, without gaps or overlaps, 20 at most."""

    @model_validator(mode="after")
    def _covering(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("steps have one bound (give either above or below)")
        for earlier, later in pairwise(self.steps):
            if earlier.upper is None or later.lower is None or earlier.upper != later.lower:
                ends = "nowhere" if earlier.upper is None else f"{earlier.upper:g}"
                begins = "nowhere" if later.lower is None else f"{later.lower:g}"
                raise ValueError(
                    f"one step ends at {ends} and the next begins at {begins} "
                    "(give steps in rising order, each beginning where the one before ends)"
                )
        first, last = self.steps[0], self.steps[-1]
        nearest, farthest = (first.lower, last.upper) if self.below is None else (last.upper, first.lower)
        if nearest not in {0, None} or farthest is not None:
            raise ValueError(
                "the steps leave a gap (the one next to the bound begins at 0, the one farthest from it has no end)"
            )
        if self.below is None and first.upper is not None and first.upper <= 0:
            raise ValueError(f"no value above the bound lies in the step up to {first.upper:g} (remove that step)")
        if self.below is not None and last.lower is not None and last.lower >= 0:
            raise ValueError(f"no value below the bound lies in the step from {last.lower:g} on (remove that step)")
        return self

    @property
    def look_back(self) -> int:
        """The rule's `for`."""
        return self.for_

    @property
    def adds_above(self) -> float | None:
        """The bound, where passing it adds replicas; an exact count may."""
        return self.above if any(step.remove is None for step in self.steps) else None

    @property
    def shown_bounds(self) -> Mapping[str, float]:
        """The bound, by the side of it that the rule waits for."""
        return {"above": self.above} if self.above is not None else {"below": self.below or 0.0}

    def side_of(self, value: float, rule_input: RuleInput) -> str:  # noqa: ARG002 - the bound alone decides
        """``above`` or ``below`` if *value* is beyond the bound; otherwise empty."""
        if self.above is not None:
            return "above" if value > self.above else ""
        return "below" if value < (self.below or 0.0) else ""

    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """The step for the newest sample's distance from the bound, when every sample of the window is beyond it.

        An interval above the bound includes its lower end, one below the bound its upper end. Source: AWS, step scaling
        policies.
        """
        window = rule_input.window
        value = window.newest or 0.0
        samples = window.span(self.for_)
        bound = self.above if self.above is not None else self.below or 0.0
        beyond = min(samples) > bound if self.above is not None else max(samples) < bound
        unit = f" {window.unit}" if window.unit else ""
        side = "above" if self.above is not None else "below"
        lasted = f" for {words(self.for_)}" if self.for_ else ""
        if not beyond:
            return self.no_opinion(rule_input, f"not {side} {bound:g}{unit}{lasted}")
        replicas = self._step_at(round(value - bound, _DIGITS)).replicas(rule_input.requested)
        distance = f"{abs(value - bound):.4g} {side} {bound:g}{unit}{lasted}"
        seen = self.describe_value(window)
        return Recommendation(self.name, Reason.STEP_MATCHED, replicas, value, seen, distance)

    def _step_at(self, distance: float) -> StepAdjustment:
        upward = self.above is not None
        for step in self.steps:
            above_lower = step.lower is None or (distance >= step.lower if upward else distance > step.lower)
            below_upper = step.upper is None or (distance < step.upper if upward else distance <= step.upper)
            if above_lower and below_upper:
                return step
        return self.steps[-1]
