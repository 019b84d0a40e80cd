"""The `threshold` strategy: a bound that every sample of a window is beyond, and a step to take then."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from autoscaler.durations import Duration, words
from autoscaler.model import Reason, Recommendation
from autoscaler.strategies.base import Rule, Signal, strategy

_MOST = 10_000


def _step(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST:
        return value
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,3}%", value):
        return value
    raise ValueError(f'{value!r} is no step (write a count like 2, or a percentage like "50%")')


Step = Annotated[
    int | str,
    PlainValidator(_step),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _MOST},
                {"type": "string", "pattern": "^[1-9][0-9]{0,3}%$"},
            ]
        }
    ),
]
"""A number of replicas, or a percentage of the requested ones, rounded down, at least 1."""


Number = Annotated[float, Field(strict=True)]


def size(step: int | str, requested: int) -> int:
    """How many replicas *step* means for a service with *requested* of them."""
    if isinstance(step, int):
        return step
    return max(1, requested * int(step.removesuffix("%")) // 100)


@strategy("threshold")
class Threshold(Rule):
    """Fires when the metric has been strictly beyond a bound for some time, and adds or removes replicas then."""

    strategy: Literal["threshold"] = "threshold"
    above: Number | None = None
    """Fire while every sample is greater than this; goes with `add`."""
    below: Number | None = None
    """Fire while every sample is less than this; goes with `remove`."""
    for_: Duration = Field(default=0, alias="for")
    """How long the breach must have lasted; without it the newest sample decides."""
    add: Step | None = None
    """How many replicas to add: a count, or a percentage of the requested replicas."""
    remove: Step | None = None
    """How many replicas to remove: a count, or a percentage of the requested replicas."""

    @model_validator(mode="after")
    def _one_bound_one_step(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a threshold has one bound (give either above or below)")
        if (self.add is None) == (self.remove is None):
            raise ValueError("a threshold takes one step (give either add or remove)")
        return self

    @property
    def look_back(self) -> int:
        """The rule's `for`."""
        return self.for_

    def recommend(self, signal: Signal) -> Recommendation:
        """The step, when every sample of the window is strictly beyond the bound; otherwise no opinion.

        Source: Prometheus alerting rules, `for`.
        """
        samples = signal.window.span(self.for_)
        if not self._beyond(samples):
            return self.no_opinion(signal, self._describe(signal, "not "))
        if self.add is not None:
            replicas = signal.requested + size(self.add, signal.requested)
        else:
            replicas = max(0, signal.requested - size(self.remove or 1, signal.requested))
        reason = Reason.ABOVE_THRESHOLD if self.above is not None else Reason.BELOW_THRESHOLD
        return Recommendation(self.name, reason, replicas, signal.window.newest, self._describe(signal))

    def recommend_on_partial(self, signal: Signal, expected: int) -> Recommendation | None:
        """An increase for `above`, where it fires even with the missing tasks counted as 0; None otherwise."""
        if self.above is None or self.add is None:
            return None
        window = signal.window.with_absent_as_zero(expected)
        if window.lacking(self.for_, 0) is not None:
            return None
        opinion = self.recommend(Signal(window, signal.requested, signal.running))
        return None if opinion.replicas is None else opinion

    def _beyond(self, samples: tuple[float, ...]) -> bool:
        if self.above is not None:
            return min(samples) > self.above
        return self.below is not None and max(samples) < self.below

    def _describe(self, signal: Signal, negation: str = "") -> str:
        window = signal.window
        unit = f" {window.unit}" if window.unit else ""
        base = f" of {window.base}" if window.base else ""
        bound = f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"
        lasted = f" for {words(self.for_)}" if self.for_ else ""
        newest = "missing" if window.newest is None else f"{window.newest:.4g}{unit}{base}"
        return f"{self.metric} {newest}, {negation}{bound}{unit}{lasted}"
