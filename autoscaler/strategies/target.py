"""The `target` strategy: as many replicas as bring the metric to a value, as the Kubernetes HPA computes it."""

from __future__ import annotations

from math import ceil
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autoscaler.core.model import Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.strategies.base import Rule, RuleInput
from autoscaler.strategies.quantities import Number, Share
from autoscaler.strategies.registry import strategy

_ROUNDING = 1e-9
"""What floating point may add to a whole number without making it the next one."""

_MOST = 1_000_000
"""More replicas than any policy allows, whatever the metric says."""


@strategy("target")
class Target(Rule):
    """Asks for the count that brings the metric to its target: running * value / target, rounded up."""

    paces_itself: ClassVar[bool] = True
    unwritten_stabilization: ClassVar[int] = 300
    """As the Kubernetes HPA has it."""

    strategy: Literal["target"]
    target: Annotated[Number, Field(gt=0)]
    """The value that each replica should have."""
    tolerance: Share = 0.1
    """How far from the target the value may be without a change."""

    @property
    def look_back(self) -> int:
        """Only the newest sample counts."""
        return 0

    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """``ceil(running * value / target)`` of an average, ``ceil(total / target)`` of a total.

        Within the tolerance the requested count; never fewer than that above the target, and never more below it: what
        was asked for may not run yet, and what runs may be leaving. Below the target a requested replica that does not
        run counts as one at its target, for nobody knows its load: its node may just have been lost.
        Source: Kubernetes, horizontal pod autoscaling, algorithm details (there so for pods without metrics).
        """
        value = rule_input.window.newest or 0.0
        needed = self._needed(value, rule_input)
        have = rule_input.running
        if (have and abs(needed / have - 1) <= self.tolerance + _ROUNDING) or needed == have == 0:
            return self.asks_for(
                rule_input, rule_input.requested, self._describe(rule_input, f"within {self.tolerance * 100:g} %")
            )
        said = f"{needed:.4g} of {have} running replicas needed"
        if needed > have:
            return self._asks(rule_input, Reason.ABOVE_TARGET, max(_whole(needed), rule_input.requested), said)
        if unknown := _unknown(rule_input):
            said += f", and {unknown} that {'does' if unknown == 1 else 'do'} not run"
        return self._asks(rule_input, Reason.BELOW_TARGET, min(_whole(needed) + unknown, rule_input.requested), said)

    def recommend_on_partial(self, rule_input: RuleInput) -> Recommendation | None:
        """An increase that is needed even with the missing tasks counted as 0."""
        window = rule_input.window.with_absent_as_zero()
        if window.newest is None:
            return None
        opinion = self.recommend(RuleInput(window, rule_input.requested, rule_input.running))
        return opinion if opinion.reason is Reason.ABOVE_TARGET else None

    def _needed(self, value: float, rule_input: RuleInput) -> float:
        """How many replicas the load takes, before rounding up."""
        if rule_input.window.total:
            return value / self.target
        return rule_input.running * value / self.target

    def _asks(self, rule_input: RuleInput, reason: Reason, replicas: int, outcome: str) -> Recommendation:
        window = rule_input.window
        bound = self._describe(rule_input, outcome)
        return Recommendation(self.name, reason, replicas, window.newest, self.describe_value(window), bound)

    def _describe(self, rule_input: RuleInput, outcome: str) -> str:
        unit = f" {rule_input.window.unit}" if rule_input.window.unit else ""
        return f"target {self.target:g}{unit}: {outcome}"


def _whole(needed: float) -> int:
    return ceil(min(max(needed, 0.0), _MOST) - _ROUNDING)


def _unknown(rule_input: RuleInput) -> int:
    """How many requested replicas the value says nothing of; a total that is not made of tasks says all there is."""
    if rule_input.window.total and rule_input.window.reporting is None:
        return 0
    return max(0, rule_input.requested - rule_input.running)
