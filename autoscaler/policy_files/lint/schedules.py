"""Checks of schedules that are rare, endless or overruled by a min, or raise a count that nothing lowers again."""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim

from autoscaler.core.model import Direction
from autoscaler.policy_files.lint.case import LintCase, Warned
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.policy_files.lint.played import A_LOOK, A_MOMENT, bounds_in_force
from autoscaler.strategies.directions import ways

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from autoscaler.policy.schedules import Schedule
    from autoscaler.policy_files.lint.played import Effort


_RARELY = timedelta(days=5 * 366)
_DAY = timedelta(days=1)


def _idle_schedules(case: LintCase) -> Iterator[Warned]:
    """Warn of schedules that hardly ever begin, never end, or have a max that never counts."""
    for index, schedule in enumerate(case.policy.schedules):
        if not case.effort.spend(A_LOOK):
            return
        if (years := _rarity(schedule)) is not None:
            yield Warned(
                LintId.RARE_SCHEDULE,
                ("schedules", index, "start"),
                f"the schedule begins only once in {years} years",
                "correct the day",
            )
        elif _always(schedule, case.effort):
            what = "the schedule is in force at all times, because it begins again whenever it ends"
            yield Warned(
                LintId.ENDLESS_SCHEDULE,
                ("schedules", index),
                what,
                "let it begin less often, or give its bounds in replicas",
            )
        if schedule.min is None and schedule.max is not None and schedule.max < case.lowest:
            what = f"max {schedule.max} never counts, because min is at least {case.lowest}"
            yield Warned(
                LintId.MAX_BELOW_MIN,
                ("schedules", index, "max"),
                what,
                f"give the schedule a min of {schedule.max} or less as well",
            )


def _rarity(schedule: Schedule) -> int | None:
    """Return how many years lie between two starts; None if they are few."""
    moments = CronSim(schedule.start, A_MOMENT)
    first = next(moments, None)
    if first is None or first - A_MOMENT < _DAY * 366:
        return None
    second = next(moments, None)
    if second is None or second - first < _RARELY:
        return None
    return round((second - first).days / 365.25)


def _always(schedule: Schedule, effort: Effort) -> bool:
    """Return whether the schedule is in force even at each of its ends.

    A cron expression has the same times on each of its days. So all ends of one day, and one end of each day, suffice.
    """
    now = A_MOMENT.astimezone(ZoneInfo(schedule.timezone))
    return all(effort.spend(A_LOOK) and schedule.active(end.timestamp()) for end in _ends(schedule.end, now))


def _ends(expression: str, now: datetime) -> Iterator[datetime]:
    """Yield the moments of *expression* within a day, and the first of each of its days in the next years."""
    moments = CronSim(expression, now)
    first = next(moments)
    yield first
    yield from takewhile(lambda moment: moment - first < _DAY, moments)
    last: datetime | None = first
    while last is not None and last - first < _RARELY:
        yield last
        last = next(CronSim(expression, last.replace(hour=23, minute=59)), None)


def _ratchets(case: LintCase) -> Iterator[Warned]:
    """Warn of schedules that raise a count that nothing lowers again."""
    policy = case.policy
    raising = [(index, each.min) for index, each in enumerate(policy.schedules) if each.min is not None]
    removed = policy.scale_down.select != "disabled" and any(Direction.DOWN in ways(rule) for rule in policy.rules)
    if removed or not raising or not case.bounded:
        return
    seen = [bounds for bounds, _ in bounds_in_force(policy, case.effort)]
    lowest, floor = (min((getattr(each, end) for each in seen), default=0) for end in ("min", "max"))
    if floor <= lowest:
        return  # some bounds lower the count
    why = "no rule removes replicas" if policy.rules else "there are no rules"
    for index, least in raising:
        if least > lowest:
            what = f"the schedule raises the count to {least}, and nothing lowers it to {lowest} again, because {why}"
            cure = f"give replicas a max of {lowest or 1}, or add a rule that removes, or a schedule with that max"
            yield Warned(
                LintId.RAISED_NEVER_LOWERED, ("schedules", index, "min"), f"{what} and no max is below {floor}", cure
            )


CHECKS = (_idle_schedules, _ratchets)
