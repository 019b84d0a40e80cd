"""Counts that are due whatever the rules say: repaired deploys, the fallback, the bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Why
from autoscaler.core.reasons import Reason
from autoscaler.decision.steps import Step
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from autoscaler.decision.steps import Case


def restore(case: Case, count: int) -> Step:
    """Raise *count* to what it was before a deploy lowered it, unless the policy accepts that."""
    before = case.observation.lowered_from
    if before is None or before <= count or case.policy.on_deploy == "accept" or case.bounds.asleep:
        return Step(count)
    detail = f"a deploy lowered {before} → {case.requested}; {before} are set again"
    return Step(before, Why(Reason.RESTORED_AFTER_DEPLOY, detail))


def fall_back(case: Case, count: int) -> Step:
    """Raise *count* to the policy's fallback if every rule has lacked data for its time; never lower it."""
    fallback, since = case.policy.fallback, case.history.judged_at
    if fallback is None or since is None or not case.recommendations:
        return Step(count)
    if not all(item.lacks_data for item in case.recommendations):
        return Step(count)
    blind = case.observation.at - since
    if blind < fallback.after or fallback.replicas <= count:
        return Step(count)
    detail = f"no rule has had data for {words(blind)}; falls back to {fallback.replicas} replicas"
    return Step(fallback.replicas, Why(Reason.FALLBACK, detail))


def bound(case: Case, count: int) -> Step:
    """Correct *count* into the bounds in force."""
    bounds = case.bounds
    if bounds.asleep and count == 0 == case.requested:
        return Step(0, Why(Reason.SCHEDULE_BOUNDS, _describe_sleep(case)))
    wanted = f"wants {count}, " if count != case.requested else f"{count} is "
    if count < bounds.min:
        return _at_bound(case, bounds.min, Reason.TOO_FEW_REPLICAS, f"{wanted}below min {bounds.min}", bounds.min_by)
    if count > bounds.max:
        return _at_bound(case, bounds.max, Reason.TOO_MANY_REPLICAS, f"{wanted}above max {bounds.max}", bounds.max_by)
    return Step(count)


def _describe_sleep(case: Case) -> str:
    said = f"asleep until the schedule {case.bounds.max_by} ends"
    return said if case.observation.asleep else f"{said}; it stays at 0 after that, because somebody else set it to 0"


def _at_bound(case: Case, count: int, reason: Reason, detail: str, schedule: str) -> Step:
    if schedule:
        reason, detail = Reason.SCHEDULE_BOUNDS, f"{detail} of the schedule {schedule}"
    return Step(count, Why(reason, detail), held=case.requested == count)
