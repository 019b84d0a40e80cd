"""What a strategy is: the configuration of one rule together with the maths that turns a window into an opinion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from autoscaler.model import Recommendation
from autoscaler.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.window import Window


class Frozen(BaseModel):
    """A part of a policy file: immutable, and every unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


@dataclass(frozen=True, slots=True)
class Signal:
    """What a rule may look at: its metric's window and the service's replica counts."""

    window: Window
    requested: int
    running: int


class Rule(Frozen, ABC):
    """One reason to change a replica count: a metric and a strategy's settings.

    A strategy is a subclass with its own fields, registered under a name by `strategy`. Its methods are pure: the same
    signal gives the same opinion.
    """

    strategy_name: ClassVar[str]
    relative: ClassVar[bool] = False
    """Whether the rule asks for so many replicas more or fewer, and not for a count of its own making."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=63)
    """What logs, metrics and tests call this rule; unique in its policy."""
    metric: str
    """The metric whose window the rule judges: `cpu` or `memory`."""
    group: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=63)
    """Rules of one group must agree to scale down: one of them removes replicas only where all of them want fewer."""

    @property
    @abstractmethod
    def look_back(self) -> int:
        """How many seconds of samples the rule needs, back from the newest window step."""

    @property
    def adds_above(self) -> float | None:
        """The value of the metric above which the rule adds replicas, where it has such a bound."""
        return None

    @abstractmethod
    def recommend(self, signal: Signal) -> Recommendation:
        """The rule's opinion on a window that suffices to judge by (complete over `look_back`, all tasks reporting)."""

    def recommend_on_partial(self, signal: Signal) -> Recommendation | None:
        """What is certain although only some of the tasks report; None where nothing is.

        A rule that adds replicas above a bound does so also where the missing tasks, counted as 0, leave it passed.
        Only an increase may come of it: data that are missing never lower a count.
        """
        window = signal.window.with_absent_as_zero()
        if self.adds_above is None or window.lacking(self.look_back) is not None:
            return None
        opinion = self.recommend(Signal(window, signal.requested, signal.running))
        return None if opinion.replicas is None else opinion

    def no_opinion(self, signal: Signal, detail: str = "") -> Recommendation:
        """The recommendation of a rule that has nothing to say."""
        return Recommendation(self.name, Reason.NO_BREACH, None, signal.window.newest, detail)


R = TypeVar("R", bound=type[Rule])
_REGISTRY: dict[str, type[Rule]] = {}


def strategy(name: str) -> Callable[[R], R]:
    """Register a Rule class as the strategy *name*; raises ValueError where the name is taken."""

    def register(rule: R) -> R:
        if name in _REGISTRY:
            raise ValueError(f"the strategy {name!r} is registered twice, by {_REGISTRY[name]} and {rule}")
        rule.strategy_name = name
        _REGISTRY[name] = rule
        return rule

    return register


def registered() -> Mapping[str, type[Rule]]:
    """The strategies there are, by name."""
    return dict(_REGISTRY)
