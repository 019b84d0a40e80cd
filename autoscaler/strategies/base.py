"""What a strategy is: the configuration of one rule together with the maths that turns a window into an opinion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from autoscaler.core.model import Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.errors import DeadlineError
from autoscaler.strategies.registry import is_built_in
from autoscaler.util.durations import words
from autoscaler.util.text import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.core.window import Window

LONGEST_LOOK_BACK = 30 * 86400
"""The most seconds of samples that a rule may ask for."""
_CONSTANTS = ("look_back", "adds_above", "shown_bounds")
_MOST_BOUNDS = 8
"""The most bounds of a rule that are shown."""


class Frozen(BaseModel):
    """A part of a policy file: immutable, and every unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


@dataclass(frozen=True, slots=True)
class RuleInput:
    """What a rule may look at: its metric's window and the service's replica counts."""

    window: Window
    requested: int
    running: int


class Rule(Frozen, ABC):
    """One reason to change a replica count: a metric and a strategy's settings.

    A strategy is a subclass with its own fields, registered under a name: by `strategy` in this package, as an entry
    point in other people's (docs/plugins.md). Its methods are pure: the same input gives the same opinion. `look_back`
    and `adds_above` depend on nothing but the rule's fields: they are looked at once, when the rule is read.
    """

    strategy_name: ClassVar[str]
    relative: ClassVar[bool] = False
    """Whether the rule asks for so many replicas more or fewer, and not for a count of its own making."""
    paces_itself: ClassVar[bool] = False
    """Whether the rule's counts may follow each other at once: a cooldown that nobody wrote does not hold them."""
    unwritten_stabilization: ClassVar[int] = 0
    """For how many seconds a reduction that the rule asks for is stabilized where nobody wrote a stabilization."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=63)
    """The rule's name in logs, metrics and tests; unique in its policy."""
    metric: str
    """The metric whose window the rule judges: `cpu`, `memory` or one of the file's `metrics`."""
    group: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=63)
    """Rules of one group remove replicas only if all of them want fewer."""
    ineffective_after: Annotated[int, Field(strict=True, ge=1, le=100)] | None = None
    """Stop adding replicas after this many increases in a row that did not lower the metric. By default the rule never
    stops."""

    @property
    @abstractmethod
    def look_back(self) -> int:
        """How many seconds of samples the rule needs, back from the newest window step."""

    @property
    def adds_above(self) -> float | None:
        """The value of the metric above which the rule adds replicas, where it has such a bound."""
        return None

    @property
    def shown_bounds(self) -> Mapping[str, float]:
        """The values that the metric is compared with, by their side: ``{"above": 70}``. They are only shown.

        A strategy that declares none has an empty mapping.
        """
        return {}

    def side_of(self, value: float, rule_input: RuleInput) -> str:  # noqa: ARG002 - what a strategy may look at
        """Return where *value* lies, as a key of `shown_bounds`; empty if the rule has no opinion on such a value.

        It shows since when the metric has been there. No decision depends on it.
        """
        return ""

    @abstractmethod
    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """The rule's opinion on a window that suffices to judge by (complete over `look_back`, all tasks reporting)."""

    def recommend_on_partial(self, rule_input: RuleInput) -> Recommendation | None:
        """What is certain although only some of the tasks report; None where nothing is.

        A rule that adds replicas above a bound does so also where the missing tasks, counted as 0, leave it passed.
        Only an increase may come of it: data that are missing never lower a count.
        """
        window = rule_input.window.with_absent_as_zero()
        if self.adds_above is None or window.lacking(self.look_back) is not None:
            return None
        opinion = self.recommend(RuleInput(window, rule_input.requested, rule_input.running))
        return None if opinion.replicas is None else opinion

    def no_opinion(self, rule_input: RuleInput, bound: str = "") -> Recommendation:
        """Return the recommendation of a rule that asks for nothing; *bound* says in words why."""
        seen = self.describe_value(rule_input.window)
        return Recommendation(self.name, Reason.NO_BREACH, None, rule_input.window.newest, seen, bound)

    def asks_for(self, rule_input: RuleInput, replicas: int, bound: str = "") -> Recommendation:
        """Return the recommendation of a rule that asks for a count, with the reason that fits it.

        More than the requested replicas are above the target, fewer below it, as many within the tolerance. People read
        the metric and its value, and then *bound*: one line that says what the value was held against.
        """
        if replicas > rule_input.requested:
            reason = Reason.ABOVE_TARGET
        elif replicas < rule_input.requested:
            reason = Reason.BELOW_TARGET
        else:
            reason = Reason.WITHIN_TOLERANCE
        seen = self.describe_value(rule_input.window)
        return Recommendation(self.name, reason, replicas, rule_input.window.newest, seen, bound)

    def describe_value(self, window: Window) -> str:
        """Return the metric and its newest value in words: ``cpu 60 % of the limit of 2 cores``."""
        unit = f" {window.unit}" if window.unit else ""
        base = f" of {window.base}" if window.base else ""
        value = "missing" if window.newest is None else f"{window.newest:.4g}{unit}{base}"
        return f"{self.metric} {value}"

    # A plugin's code must not run each time that a rule is looked at. So what a strategy declares is read and checked
    # once, when the rule is read.

    @classmethod
    def reading(cls, read: Callable[[], Any]) -> Any:
        """Return what *read* returns, which runs the strategy's own code; for a plugin's with a time limit."""
        return read()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name in _CONSTANTS:
            given = cls.__dict__.get(name)
            if isinstance(given, property) and given.fget is not None:
                constant = cached_property(given.fget)
                constant.__set_name__(cls, name)
                setattr(cls, name, constant)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = dict(handler(source))
        if schema.get("function", {}).get("function") == cls._settled:
            return schema  # a part of another model: pydantic has made it before
        name = schema.pop("ref", None)  # what $defs of a JSON Schema call it: pydantic's own wrappers take it over, too
        return core_schema.no_info_wrap_validator_function(cls._settled, schema, ref=name)

    @classmethod
    def _settled(cls, value: object, valid: Callable[[object], Self]) -> Self:
        """The rule that *value* is. Raises ValueError for whatever the strategy's own code does meanwhile."""

        def read() -> tuple[Self, Any, Any, Any]:
            rule = valid(value)
            return rule, rule.look_back, rule.adds_above, rule.shown_bounds

        def read_foreign() -> tuple[Self, Any, Any, Any]:
            try:
                return read()
            except ValidationError:
                raise
            except BaseException as error:
                raise ValueError(
                    f"the strategy fails on these keys: {describe_error(error)} (correct the strategy)"
                ) from error

        try:
            known: tuple[Self, Any, Any, Any]
            known = read() if is_built_in(cls) else cls.reading(read_foreign)
        except DeadlineError as error:
            raise ValueError(f"{error} while it reads these keys (correct the strategy)") from error
        rule, look_back, adds_above, bounds = known
        if type(look_back) is not int or not 0 <= look_back <= LONGEST_LOOK_BACK:
            longest = f"{LONGEST_LOOK_BACK}, which are {words(LONGEST_LOOK_BACK)}"
            raise ValueError(f"the rule looks back {look_back!r:.40} seconds (whole seconds from 0 to {longest})")
        if adds_above is not None and (type(adds_above) not in (int, float) or not isfinite(adds_above)):
            raise ValueError(f"the rule adds replicas above {adds_above!r:.40} (a finite number, or None)")
        if not _shows(bounds):
            raise ValueError(
                f"the rule shows the bounds {bounds!r:.40} (at most {_MOST_BOUNDS} finite numbers by their side)"
            )
        return rule

    def __copy__(self) -> Self:
        copied = super().__copy__()
        for name in _CONSTANTS:
            copied.__dict__.pop(name, None)  # the copy's fields may be given other values
        return copied


def _shows(bounds: object) -> bool:
    """Return whether *bounds* are a few finite numbers, each by the name of its side."""
    if not isinstance(bounds, dict) or len(bounds) > _MOST_BOUNDS:
        return False
    return all(type(side) is str and type(bound) in {int, float} and isfinite(bound) for side, bound in bounds.items())
