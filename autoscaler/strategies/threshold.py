"""The `threshold` strategy: a bound that every sample of a window is beyond, and a step to take then."""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from autoscaler.core.model import Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.strategies.base import Rule, RuleInput
from autoscaler.strategies.quantities import Number, Share, Step, size
from autoscaler.strategies.registry import strategy
from autoscaler.util.durations import Duration, words

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROUNDING = 1e-9
"""What floating point may add to a whole number without making it the next one."""


@strategy("threshold")
class Threshold(Rule):
    """Adds or removes replicas when the metric has been strictly beyond a bound for some time."""

    relative: ClassVar[bool] = True

    strategy: Literal["threshold"] = "threshold"
    above: Number | None = None
    """Fire while every sample is greater than this; goes with `add`."""
    below: Number | None = None
    """Fire while every sample is less than this; goes with `remove`."""
    for_: Duration = Field(default=0, alias="for")
    """The time for which the metric must have been beyond the bound. Without it the newest sample decides."""
    at_least: Share = 1.0
    """The part of the samples that must be beyond the bound; by default all of them."""
    add: Step | None = None
    """The replicas to add: a count, or a percentage of the requested replicas."""
    remove: Step | None = None
    """The replicas to remove: a count, or a percentage of the requested replicas."""

    @model_validator(mode="after")
    def _one_bound_one_step(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a threshold has one bound (give either above or below)")
        if (self.add is None) == (self.remove is None):
            raise ValueError("a threshold takes one step (give either add or remove)")
        if self.at_least == 0 or (self.at_least < 1 and not self.for_):
            raise ValueError("at_least is a part of the samples of a window (give it with for, and above 0%)")
        return self

    @property
    def look_back(self) -> int:
        """The rule's `for`."""
        return self.for_

    @property
    def adds_above(self) -> float | None:
        """The bound, where passing it adds replicas."""
        return self.above if self.add is not None else None

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
        """The step, when every sample of the window, or `at_least` of them, is strictly beyond the bound.

        No opinion otherwise.

        Sources: Prometheus alerting rules, `for`; CloudWatch alarms, M out of N.
        """
        if not self._fires(rule_input):
            return self.no_opinion(rule_input, f"not {self._describe_bound(rule_input)}")
        if self.add is not None:
            replicas = rule_input.requested + size(self.add, rule_input.requested)
        else:
            replicas = max(0, rule_input.requested - size(self.remove or 1, rule_input.requested))
        reason = Reason.ABOVE_THRESHOLD if self.above is not None else Reason.BELOW_THRESHOLD
        seen = self.describe_value(rule_input.window)
        return Recommendation(
            self.name, reason, replicas, rule_input.window.newest, seen, self._describe_bound(rule_input)
        )

    def _fires(self, rule_input: RuleInput) -> bool:
        samples = rule_input.window.span(self.for_)
        if self.at_least == 1:
            if self.above is not None:
                return min(samples) > self.above
            return self.below is not None and max(samples) < self.below
        # A missing sample is none beyond the bound: of N window steps, M must be (as CloudWatch's M out of N).
        needed = ceil(self.at_least * (-(-self.for_ // rule_input.window.step) + 1) - _ROUNDING)
        return sum(map(self._beyond, samples)) >= needed

    def _beyond(self, value: float) -> bool:
        if self.above is not None:
            return value > self.above
        return self.below is not None and value < self.below

    def _describe_bound(self, rule_input: RuleInput) -> str:
        beyond = ("above", self.above) if self.above is not None else ("below", self.below or 0.0)
        return _bound_in_words(*beyond, rule_input.window.unit, self.at_least, self.for_)


@lru_cache(maxsize=1024)  # a thousand services have the same few rules, and say the same of them at each evaluation
def _bound_in_words(side: str, bound: float, unit: str, at_least: float, lasting: int) -> str:
    """Return a bound in words: ``above 70 % in 80 % of the samples for 5m``."""
    share = f" in {at_least * 100:g} % of the samples" if at_least < 1 else ""
    lasted = f"{share} for {words(lasting)}" if lasting else ""
    return f"{side} {bound:g}{f' {unit}' if unit else ''}{lasted}"
