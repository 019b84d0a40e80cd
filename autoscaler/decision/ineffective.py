"""Increases that do not help, for example because of a leak, a lock or a database at its limit.

A rule stops adding replicas after `ineffective_after` such increases.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from autoscaler.core.model import ScaleUpStreak
from autoscaler.core.reasons import Reason

if TYPE_CHECKING:
    from autoscaler.core.model import Recommendation
    from autoscaler.strategies import Rule

HELPED = 0.95
"""An increase helped if it brought the metric below this part of its earlier value."""
_UPWARD = frozenset({Reason.ABOVE_THRESHOLD, Reason.ABOVE_TARGET, Reason.STEP_MATCHED, Reason.TABLE_VALUE})


def stop_if_ineffective(
    rule: Rule, asked: Recommendation, streak: ScaleUpStreak | None, requested: int
) -> Recommendation:
    """Return *asked*, but for the present count if the earlier increases of *rule* have not lowered its metric."""
    if rule.ineffective_after is None or streak is None or not _goes_on(asked, streak, requested):
        return asked
    if streak.steps < rule.ineffective_after:
        return asked
    times = "increase" if streak.steps == 1 else "increases"
    bound = f"{asked.bound}; {streak.steps} {times} since {streak.value:.4g} did not lower it (look for another cause)"
    return replace(asked, reason=Reason.INEFFECTIVE, replicas=requested, bound=bound)


def next_streak(
    winner: Recommendation | None,
    asked: tuple[Recommendation, ...],
    streak: ScaleUpStreak | None,
    requested: int,
    desired: int,
) -> ScaleUpStreak | None:
    """Return the streak of increases once the count is *desired*: one step longer, the same, or None."""
    if desired < requested:
        return None
    if desired > requested:
        if winner is None or winner.value is None or not _wants_more(winner, requested):
            return None  # the bounds, a repair or a fallback
        if streak is not None and _goes_on(winner, streak, requested):
            return replace(streak, steps=streak.steps + 1)
        return ScaleUpStreak(winner.rule, 1, winner.value)
    if streak is None:
        return None
    own = next((item for item in asked if item.rule == streak.rule), None)
    over = own is None or not (own.lacks_data or own.reason is Reason.INEFFECTIVE or _wants_more(own, requested))
    return None if over else streak


def without_last(streak: ScaleUpStreak | None) -> ScaleUpStreak | None:
    """Return *streak* without its last increase, whose replicas found no room and are given back.

    Replicas that never ran could not help.
    """
    return replace(streak, steps=streak.steps - 1) if streak is not None and streak.steps > 1 else None


def _goes_on(asked: Recommendation, streak: ScaleUpStreak, requested: int) -> bool:
    """Return whether the rule of *streak* asks for more again, and its metric is as high as before."""
    same = asked.rule == streak.rule and _wants_more(asked, requested)
    return same and asked.value is not None and asked.value >= streak.value * HELPED


def _wants_more(asked: Recommendation, requested: int) -> bool:
    return asked.reason in _UPWARD and asked.replicas is not None and asked.replicas > requested
