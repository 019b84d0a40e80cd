"""The `target` strategy: as many replicas as bring the metric to a value, as the Kubernetes HPA computes it."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from autoscaler.core.model import Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.strategies.base import Rule, RuleInput
from autoscaler.strategies.quantities import Number, Share
from autoscaler.strategies.registry import strategy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.window import Window

_ROUNDING = 1e-9
"""What floating point may add to a whole number without making it the next one."""

_TOLD = 0.05
"""By how many tasks those behind a sample must differ from those that run now to be told."""
_MOST = 1_000_000
"""More replicas than any policy allows, whatever the metric says."""


@strategy("target")
class Target(Rule):
    """Asks for the count that brings the metric to its target: tasks * value / target, rounded up.

    The tasks are those that ran on average over the time that the value is about.
    """

    paces_itself: ClassVar[bool] = True
    unwritten_stabilization: ClassVar[int] = 300
    """As the Kubernetes HPA has it."""

    strategy: Literal["target"]
    target: Annotated[Number, Field(gt=0)]
    """The value that each replica should have."""
    tolerance: Share = 0.1
    """The distance from the target that the value may have without a change."""

    @property
    def look_back(self) -> int:
        """Only the newest sample counts."""
        return 0

    @property
    def shown_bounds(self) -> Mapping[str, float]:
        """The target, and the ends of its tolerance."""
        within = self.target * self.tolerance
        return {"target": self.target, "above": self.target + within, "below": self.target - within}

    def side_of(self, value: float, rule_input: RuleInput) -> str:
        """``above`` or ``below`` if *value*, for the tasks that run now, is beyond the tolerance; otherwise empty."""
        have = rule_input.running
        if rule_input.window.total and not have:
            return "above" if value > 0 else ""
        ratio = value / self.target / (have if rule_input.window.total else 1)
        if abs(ratio - 1) <= self.tolerance + _ROUNDING:
            return ""
        return "above" if ratio > 1 else "below"

    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """``ceil(tasks behind the sample * value / target)`` of an average, ``ceil(total / target)`` of a total.

        Within the tolerance the requested count; never fewer than that above the target, and never more below it: what
        was asked for may not run yet, and what runs may be leaving. Below the target a requested replica that does not
        run counts as one at its target, for nobody knows its load: its node may just have been lost.

        The tasks behind the sample may only lower what an increase asks for: a reduction counts the most tasks that the
        sample may be of, those that run now among them, and so never asks for fewer than they would.
        Source: Kubernetes, horizontal pod autoscaling, algorithm details (there so for pods without metrics).
        """
        window, have = rule_input.window, rule_input.running
        value = window.newest or 0.0
        behind = window.behind(have)
        if window.total:
            needed = value / self.target
            ratio = needed / have if have else None
            within = needed == have == 0
        else:
            needed = behind * value / self.target
            ratio = value / self.target
            within = not have
        if within or (ratio is not None and abs(ratio - 1) <= self.tolerance + _ROUNDING):
            outcome = self._describe(rule_input, f"within {self.tolerance * 100:g} %")
            return self.asks_for(rule_input, rule_input.requested, outcome)
        above = ratio is None or ratio > 1
        if not above and behind:
            needed *= (most := _most_behind(window, have)) / behind
            behind = most
        said = f"{needed:.4g} of {have} running replicas needed"
        if _made_of_tasks(window) and abs(behind - have) > _TOLD:
            said += f", as {behind:.3g} were behind the sample"
        if above:
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

    def _asks(self, rule_input: RuleInput, reason: Reason, replicas: int, outcome: str) -> Recommendation:
        window = rule_input.window
        bound = self._describe(rule_input, outcome)
        return Recommendation(self.name, reason, replicas, window.newest, self.describe_value(window), bound)

    def _describe(self, rule_input: RuleInput, outcome: str) -> str:
        unit = f" {rule_input.window.unit}" if rule_input.window.unit else ""
        return f"target {self.target:g}{unit}: {outcome}"


def _whole(needed: float) -> int:
    return ceil(min(max(needed, 0.0), _MOST) - _ROUNDING)


def _made_of_tasks(window: Window) -> bool:
    """Return whether the value is what tasks use, and not a total that nothing stands behind, as a queue's length."""
    return not window.total or window.reporting is not None


def _most_behind(window: Window, running: int) -> float:
    """Return the most tasks that the load may have been of, before it is called too little for those that run."""
    if not window.total:
        return window.behind_at_most(running)
    return max(window.behind(running), running) if _made_of_tasks(window) else window.behind(running)


def _unknown(rule_input: RuleInput) -> int:
    """How many requested replicas the value says nothing of; a total that is not made of tasks says all there is."""
    if not _made_of_tasks(rule_input.window):
        return 0
    return max(0, rule_input.requested - rule_input.running)
