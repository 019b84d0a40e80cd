from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from math import inf
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given
from hypothesis import strategies as st

from autoscaler.policy.schedules import Firings, Schedule

MINUTE = 60
DAY = 24 * 60 * MINUTE
TRANSITIONS = {
    "Europe/Prague": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "America/St_Johns": ["2026-03-08T05:30", "2026-11-01T04:30"],
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],
    "Africa/Cairo": ["2026-04-23T22:00", "2026-10-29T21:00"],
    "Antarctica/Troll": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "Pacific/Apia": ["2011-12-30T10:00"],
    "America/Sao_Paulo": ["2018-02-18T02:00", "2018-11-04T03:00", "2026-07-01T00:00"],
    "Asia/Kolkata": ["2026-03-29T01:00"],
    "UTC": ["2026-10-25T01:00"],
}
"""Moments, in UTC, at which the clocks of a zone change, and some at which nothing happens."""
PLACES = [(zone, moment) for zone, moments in TRANSITIONS.items() for moment in moments]
BEFORE, AFTER = 9, 2
"""How many days before such a moment the walk begins, and how many after it the walk ends."""


def unix(moment: str) -> float:
    """The Unix time of a time in UTC."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()


@cache
def minutes(zone: str, moment: str) -> tuple[tuple[float, datetime], ...]:
    """Every minute of the days around *moment*, and what the clock on the wall shows then."""
    start, end = (int(unix(moment)) + days * DAY for days in (-BEFORE, AFTER))
    known = ZoneInfo(zone)
    return tuple((at, datetime.fromtimestamp(at, known).replace(tzinfo=None)) for at in range(start, end, MINUTE))


def is_looked_at(at: float, moment: str) -> bool:
    """Whether a minute is compared: each in the hours around *moment*, and some of the others."""
    return abs(at - unix(moment)) < 6 * 3600 or at % (17 * MINUTE) == 0


def walked(expression: str, zone: str, moment: str) -> list[float]:
    """When a job runs around *moment*: minute by minute forward, with a look at the clock on the wall.

    One with a wildcard hour or minute runs at each minute whose time it names. Any other runs for each time that it
    names, once: in the first minute at which the clock shows that time, or a later one.
    """
    clock = minutes(zone, moment)
    first, last = clock[0][1], max(wall for _, wall in clock)
    named = list(takewhile(lambda wall: wall <= last, CronSim(expression, first - timedelta(minutes=1))))
    minute, hour, *_ = expression.split()
    if minute.startswith("*") or hour.startswith("*"):
        meant = set(named)
        return [at for at, wall in clock if wall in meant]
    fired: list[float] = []
    shown = iter(clock)
    at, wall = next(shown)
    for time in named:
        while wall < time:
            at, wall = next(shown)
        if at not in fired[-1:]:
            fired.append(at)
    return fired


FIELDS = {
    "minute": ["0", "30", "45", "59", "*", "*/20", "0,30", "15-45/15", "1"],
    "hour": ["0", "1", "2", "3", "5", "12", "22", "23", "*", "*/2", "1-3", "0,2"],
    "day": ["*"] * 6 + ["sun", "mon-fri", "sat", "*/2"],
}
CRONS = st.builds(
    lambda minute, hour, day: f"{minute} {hour} * * {day}",
    *(st.sampled_from(FIELDS[field]) for field in ("minute", "hour", "day")),
)


@given(CRONS, st.sampled_from(PLACES))
@example("30 2 * * *", ("Europe/Prague", "2026-10-25T01:00"))
@example("*/15 5 * * *", ("Australia/Lord_Howe", "2026-04-04T15:00"))
@example("*/20 0 * * *", ("Africa/Cairo", "2026-04-23T22:00"))
@example("0 12 * * *", ("Pacific/Apia", "2011-12-30T10:00"))
@example("0 2 * * *", ("Antarctica/Troll", "2026-10-25T01:00"))
def test_a_cron_expression_fires_when_a_forward_walk_of_the_clock_says(expression: str, place: tuple[str, str]) -> None:
    """Whatever moment is asked for, the last firing and the next one are those of a walk minute by minute."""
    fired = walked(expression, *place)
    firings = Firings(expression, place[0])
    last, coming = -inf, iter([*fired, inf])
    following = next(coming)
    for at, _ in minutes(*place):
        if at >= following:
            last, following = following, next(coming)
        if not is_looked_at(at, place[1]):
            continue
        if last > -inf:
            # Asked afresh, too: what was found before must not matter.
            fresh = Firings(expression, place[0]) if at % (37 * MINUTE) == 0 else firings
            assert fresh.last(at + 59.5) == last, (expression, place, at)
        if -inf < last and following < inf:
            assert firings.next(at) == following, (expression, place, at)


@given(CRONS, CRONS, st.sampled_from(PLACES), st.sampled_from(["forwards", "backwards"]))
@example("30 2 * * *", "45 3 * * *", ("Europe/Prague", "2026-10-25T01:00"), "forwards")
@example("0 22 * * *", "30 2 * * *", ("Europe/Prague", "2026-10-25T01:00"), "forwards")
@example("0 * * * *", "30 * * * *", ("Europe/Prague", "2026-10-25T01:00"), "backwards")
def test_bounds_in_force_change_only_when_a_forward_walk_fires(
    start: str, end: str, place: tuple[str, str], way: str
) -> None:
    """A schedule is in force from a start to the end that follows it, in every zone, whichever way clocks change."""
    if start == end:
        return
    schedule = Schedule(name="hours", start=start, end=end, timezone=place[0], min=5)
    starts, ends = (set(walked(expression, *place)) for expression in (start, end))
    expected: list[tuple[float, bool]] = []
    active: bool | None = None
    for at, _ in minutes(*place):
        if at in starts or (active is not None and at in ends):
            active = at in starts
        if active is not None and is_looked_at(at, place[1]):
            expected.append((at, active))
    for at, right in reversed(expected) if way == "backwards" else expected:
        assert schedule.active(at) is right, (start, end, place, at)


@pytest.mark.parametrize("zone", TRANSITIONS)
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 0 1 * *", "15 3 29 2 *", "0 12 * * mon#1", "0 0-5 * * sun"])
def test_cronsim_s_forward_walk_of_years_agrees(zone: str, expression: str) -> None:
    """A job that names its hour and minute fires when the library's own forward walk says, for years on end."""
    began, ended = unix("2011-06-01T00:00"), unix("2020-06-01T00:00")
    known = ZoneInfo(zone)
    walk = CronSim(expression, datetime.fromtimestamp(began, known))
    expected = sorted(set(takewhile(lambda at: at < ended, (each.timestamp() for each in walk))))
    firings = Firings(expression, zone)
    for earlier, later in pairwise(expected):
        assert firings.next(earlier) == later
        assert firings.last(later - 1) == earlier
        assert firings.last(later) == later
    assert list(takewhile(lambda at: at < ended, firings.after(began))) == [at for at in expected if at > began]
