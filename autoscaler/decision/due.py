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
    """Correct *count* into the bounds in force.

    The reason tells whether the requested count is outside them, or only the wanted one. A service at its maximum
    that wants more is held. One at its minimum that wants fewer is not: it has all that it wants.
    """
    bounds, requested = case.bounds, case.requested
    if bounds.asleep and count == 0 == requested:
        until = case.policy.schedule_ends(bounds.max_by, case.observation.at)
        return Step(0, Why(Reason.SCHEDULE_BOUNDS, _describe_sleep(case), until=until))
    wanted = f"wants {count}, " if count != requested else f"{count} is "
    if count < bounds.min:
        reason = Reason.BELOW_MIN if requested < bounds.min else Reason.AT_MIN
        return Step(bounds.min, _why(case, reason, f"{wanted}below min {bounds.min}", bounds.min_by))
    if count > bounds.max:
        reason = Reason.ABOVE_MAX if requested > bounds.max else Reason.AT_MAX
        why = _why(case, reason, f"{wanted}above max {bounds.max}", bounds.max_by)
        return Step(bounds.max, why, held=requested == bounds.max)
    return Step(count)


def _describe_sleep(case: Case) -> str:
    said = f"asleep until the schedule {case.bounds.max_by} ends"
    return said if case.observation.asleep else f"{said}; it stays at 0 after that, because somebody else set it to 0"


def _why(case: Case, reason: Reason, detail: str, schedule: str) -> Why:
    if schedule:
        until = case.policy.schedule_ends(schedule, case.observation.at)
        return Why(Reason.SCHEDULE_BOUNDS, f"{detail} of the schedule {schedule}", until=until)
    return Why(reason, detail)
