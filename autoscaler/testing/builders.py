"""Small builders: a rule as a policy file writes it, and its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from autoscaler.core.window import Window
from autoscaler.strategies import Rule, RuleInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STEP = 15
"""The window step, in seconds."""
NOW = 1_800_000_000
"""The Unix time at which windows end: a multiple of every usual step."""

R = TypeVar("R", bound=Rule)


def rule(strategy: type[R], keys: Mapping[str, Any]) -> R:
    """Return the rule that a policy file writes with these *keys*; raise ValidationError if they are wrong."""
    return strategy.model_validate(keys, by_alias=True, by_name=False)


def window(  # noqa: PLR0913 - a window has that many facts
    values: Sequence[float],
    *,
    step: int = STEP,
    end: int = NOW,
    reporting: int | Sequence[int] | None = None,
    owed: int | Sequence[int] | None = None,
    unit: str = "",
    total: bool = False,
) -> Window:
    """Return the window of *values*, oldest first, with NaN for a missing one. The last one is the sample at *end*.

    *reporting* tasks are behind each sample, and *owed* should be: one count for all samples, one for each, or None if
    the metric has no tasks behind it. With *total* the values are those of the service, and else averages per replica.
    """
    return Window(
        step,
        end,
        tuple(values),
        _counts(reporting, len(values)),
        _counts(owed, len(values)),
        unit=unit,
        averaged=not total,
        total=total,
    )


def rule_input(shown: Window | Sequence[float], *, requested: int = 3, running: int | None = None) -> RuleInput:
    """Return the input of a rule: a window, or its values, and the service's counts. By default all replicas run."""
    seen = shown if isinstance(shown, Window) else window(shown)
    return RuleInput(seen, requested, requested if running is None else running)


def _counts(given: int | Sequence[int] | None, length: int) -> tuple[int, ...] | None:
    if given is None:
        return None
    return (given,) * length if isinstance(given, int) else tuple(given)
