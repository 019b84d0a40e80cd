"""The reasons of a decision: all that applied, and the primary one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Why
from autoscaler.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autoscaler.core.model import Recommendation
    from autoscaler.decision.steps import Case, Step


def reasons(case: Case, shaped: Sequence[Step]) -> tuple[Why, ...]:
    """Return every reason that applied, each once, in the order of the pipeline."""
    return tuple(dict.fromkeys(_reasons(case, shaped)))


def primary(case: Case, shaped: Sequence[Step]) -> Why:
    """Return the reason of the last step that changed or held the number.

    If no step did, return the winning rule's reason, else that of the first rule that lacks data, else that no rule
    fired.
    """
    winner = case.winner
    for step in reversed(shaped):
        if step.why is not None:
            rule = step.why.rule or (winner.rule if winner else None)
            return Why(step.why.reason, step.why.detail, rule, step.why.until)
    if winner is not None:
        return Why(winner.reason, winner.detail, winner.rule)
    for item in case.recommendations:
        if item.lacks_data:
            return Why(item.reason, item.detail, item.rule)
    return _calm(case)


def _reasons(case: Case, shaped: Sequence[Step]) -> Iterator[Why]:
    if case.observation.changed_externally:
        yield Why(Reason.CHANGED_EXTERNALLY, case.observation.changed_externally)
    for item in case.recommendations:
        if item is case.winner or item.lacks_data or item.replicas is not None:
            yield Why(item.reason, item.detail, item.rule)
    for step in shaped:
        if step.why is not None:
            yield step.why
    if case.winner is None and not shaped and not any(item.lacks_data for item in case.recommendations):
        yield _calm(case)


def _calm(case: Case) -> Why:
    """Return the reason of a decision for which no step and no rule has one."""
    if case.policy.rules:
        return _no_breach(case.recommendations)
    bounds = case.bounds
    detail = f"{case.requested} is within min {bounds.min} and max {bounds.max}, and there are no rules"
    return Why(Reason.NO_BREACH, detail)


def _no_breach(recommendations: tuple[Recommendation, ...]) -> Why:
    """Return what the rules saw, each value once: ``cpu 60 %, not above 70 % for 5m, not below 30 % for 10m``."""
    seen: dict[str, list[str]] = {}
    for item in recommendations:
        if item.seen:
            seen.setdefault(item.seen, []).append(item.bound)
    return Why(Reason.NO_BREACH, "; ".join(", ".join([value, *filter(None, bounds)]) for value, bounds in seen.items()))
