"""Resolving: from the recommendations of all rules to one count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Why
from autoscaler.core.reasons import Reason
from autoscaler.decision.steps import Step

if TYPE_CHECKING:
    from autoscaler.core.model import Recommendation
    from autoscaler.decision.steps import Case


def winner_of(recommendations: tuple[Recommendation, ...], requested: int) -> Recommendation | None:
    """Return the recommendation that asks for the largest count; the first if several do, None if no rule asks.

    A rule with a group counts as wanting fewer only if all rules of the group do.
    """
    asked = [
        item for item in recommendations if item.replicas is not None and _agreed(item, recommendations, requested)
    ]
    return max(asked, key=lambda item: item.replicas or 0, default=None)


def resolve(recommendations: tuple[Recommendation, ...], winner: Recommendation | None, requested: int) -> Step:
    """Return the count of the *winner*, or hold a reduction that is not proven.

    A reduction needs a rule that wants fewer and none that wants more. Every rule must have the data to judge by, and
    its samples must prove that the load is low; a rule without an opinion holds the reduction as well if they do not.
    """
    if winner is None or winner.replicas is None:
        return Step(requested)
    if winner.replicas < requested:
        for item in (winner, *recommendations):
            holding = Why(item.reason, item.detail, item.rule) if item.lacks_data else item.doubt
            if holding is not None:
                return Step(requested, holding, held=True)
    return Step(winner.replicas)


def blame_pending(case: Case, resolved: Step) -> Step:
    """Return *resolved*, or hold it for pending tasks if data are lacking because no replica runs.

    The reason quotes Swarm on the tasks that wait. The missing data stay among the decision's reasons.
    """
    observation = case.observation
    waits = observation.requested > 0 and not observation.running and bool(observation.pending)
    lacking = any(item.lacks_data for item in case.recommendations)
    undecided = case.winner is None or (resolved.why is not None and resolved.why.reason.lacks_data)
    if not (waits and lacking and undecided):
        return resolved
    detail = f"none of {observation.requested} replicas runs: {observation.pending}"
    return Step(resolved.count, Why(Reason.TASKS_PENDING, detail), held=True)


def _agreed(item: Recommendation, recommendations: tuple[Recommendation, ...], requested: int) -> bool:
    if item.group is None or item.replicas is None or item.replicas >= requested:
        return True
    group = [other for other in recommendations if other.group == item.group and not other.lacks_data]
    return all(other.replicas is not None and other.replicas < requested for other in group)
