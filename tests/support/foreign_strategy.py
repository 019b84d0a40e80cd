"""A strategy as a plugin has it, which does what a test tells it to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from autoscaler.strategies import Rule, RuleInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.core.model import Recommendation


class Foreign(Rule):
    """A plugin's strategy that does what a test tells it to."""

    strategy: Literal["foreign"] = "foreign"
    does: ClassVar[Callable[[Rule, RuleInput], Any]]
    does_on_partial: ClassVar[Callable[[Rule, RuleInput], Any] | None] = None

    @property
    def look_back(self) -> int:
        """Only the newest sample counts."""
        return 0

    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """What the test says."""
        opinion: Recommendation = type(self).does(self, rule_input)
        return opinion

    def recommend_on_partial(self, rule_input: RuleInput) -> Recommendation | None:
        """What the test says."""
        does = type(self).does_on_partial
        if does is None:
            return super().recommend_on_partial(rule_input)
        opinion: Recommendation | None = does(self, rule_input)
        return opinion


def foreign(
    does: Callable[[Rule, RuleInput], Any],
    on_partial: Callable[[Rule, RuleInput], Any] | None = None,
    name: str = "rule",
) -> Rule:
    """A rule of a strategy of its own, which does this."""
    said = {"does": does, "does_on_partial": on_partial, "strategy_name": "foreign", "__module__": __name__}
    kind = type("Foreign", (Foreign,), said)
    rule: Rule = kind(name=name, metric="cpu")
    return rule
