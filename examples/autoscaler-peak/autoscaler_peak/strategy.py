"""The strategy `peak`: as many replicas as the highest load of a while needs."""

from math import ceil, isfinite
from typing import Annotated, Literal

from pydantic import Field

from autoscaler.core.model import Recommendation
from autoscaler.strategies import Rule, RuleInput
from autoscaler.util.durations import Duration, words

MOST = 1_000_000
"""More replicas than any policy allows."""


class Peak(Rule):
    """Asks for the count that the highest load of the last while needs: the load over the target, rounded up."""

    strategy: Literal["peak"]
    target: Annotated[float, Field(gt=0)]
    """The value that each replica should have at the highest load."""
    over: Duration
    """How far back the highest load is looked for."""

    @property
    def look_back(self) -> int:
        """All samples of that time are needed."""
        return self.over

    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """The count for the highest load, and never fewer than 0."""
        highest = max(0.0, *self._loads(rule_input))
        needed = min(ceil(highest / self.target), MOST)
        return self.asks_for(rule_input, needed, f"the highest load of {words(self.over)} is {highest:.4g}")

    def _loads(self, rule_input: RuleInput) -> list[float]:
        """What all replicas had to carry together, at each sample of the look-back that is not missing."""
        window, loads = rule_input.window, rule_input.window.values
        if not window.total:
            # An average is one of as many replicas as there were at the time, where that is known.
            replicas = window.reporting or (rule_input.running,) * len(loads)
            loads = tuple(value * count for value, count in zip(loads, replicas, strict=True))
        return [load for load in loads[-ceil(self.over / window.step) - 1 :] if isfinite(load)]
