"""Increases that do not help: a leak, a lock, a database at its limit. A rule may be told to stop after so many."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from autoscaler.core.model import Climb
from autoscaler.core.reasons import Reason

if TYPE_CHECKING:
    from autoscaler.core.model import Recommendation
    from autoscaler.strategies import Rule

_HELPED = 0.95
"""An increase helped where it brought the metric below this part of what it was."""
_UPWARD = frozenset({Reason.ABOVE_THRESHOLD, Reason.ABOVE_TARGET, Reason.STEP_MATCHED, Reason.TABLE_VALUE})


def stop_if_ineffective(rule: Rule, asked: Recommendation, climb: Climb | None, requested: int) -> Recommendation:
    """*asked*, or for the present count where the increases of *rule* so far have not lowered its metric."""
    if rule.ineffective_after is None or climb is None or not _goes_on(asked, climb, requested):
        return asked
    if climb.steps < rule.ineffective_after:
        return asked
    times = "increase" if climb.steps == 1 else "increases"
    detail = f"{asked.detail}; {climb.steps} {times} since {climb.value:.4g} did not lower it (look for another cause)"
    return replace(asked, reason=Reason.INEFFECTIVE, replicas=requested, detail=detail)


def next_climb(
    winner: Recommendation | None, asked: tuple[Recommendation, ...], climb: Climb | None, requested: int, desired: int
) -> Climb | None:
    """What the increases in a row come to, once the count is *desired*: one more, as many as before, or none."""
    if desired < requested:
        return None
    if desired > requested:
        if winner is None or winner.value is None or not _wants_more(winner, requested):
            return None  # the bounds, a repair or a fallback
        if climb is not None and _goes_on(winner, climb, requested):
            return replace(climb, steps=climb.steps + 1)
        return Climb(winner.rule, 1, winner.value)
    if climb is None:
        return None
    own = next((item for item in asked if item.rule == climb.rule), None)
    over = own is None or not (own.lacks_data or own.reason is Reason.INEFFECTIVE or _wants_more(own, requested))
    return None if over else climb


def without_last(climb: Climb | None) -> Climb | None:
    """*climb* once its last increase is given back, for which there was no room: what never ran could not help."""
    return replace(climb, steps=climb.steps - 1) if climb is not None and climb.steps > 1 else None


def _goes_on(asked: Recommendation, climb: Climb, requested: int) -> bool:
    """Whether the rule of *climb* asks for still more, and its metric is what it was before."""
    same = asked.rule == climb.rule and _wants_more(asked, requested)
    return same and asked.value is not None and asked.value >= climb.value * _HELPED


def _wants_more(asked: Recommendation, requested: int) -> bool:
    return asked.reason in _UPWARD and asked.replicas is not None and asked.replicas > requested
