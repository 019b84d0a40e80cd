"""Schedules: times at which other bounds are in force, from one cron expression's moment to another's."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Annotated, Self
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from autoscaler.strategies.base import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECOND = timedelta(seconds=1)
_FIELDS = 5
_MOST_FOUND = 32
"""The moments that are remembered, because a check looks at the same few for each policy."""
_LONGEST = 200
"""The most characters of a cron expression, because parsing one of hundreds of thousands takes minutes."""


def _cron(expression: str) -> str:
    if len(expression) > _LONGEST or len(expression.split()) != _FIELDS:
        raise ValueError(f"{expression!r:.60} is not a cron expression (write five fields, like 0 8 * * mon-fri)")
    try:
        next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        said = str(error) or "it never fires"
        raise ValueError(
            f"{expression!r:.60} is not a cron expression: {said} (write it like 0 8 * * mon-fri)"
        ) from error
    return expression


@cache
def _zones() -> frozenset[str]:
    """Return all time zones. Finding them takes milliseconds, and a thousand policies name two thousand."""
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(f"{name!r:.60} is not a time zone (write an IANA name, like America/Sao_Paulo or UTC)")
    return name


Cron = Annotated[str, Field(strict=True), AfterValidator(_cron)]
_Bound = Annotated[int, Field(strict=True, ge=0, le=10_000)]


class Schedule(Frozen):
    """Other bounds for a time that recurs: from `start`, included, until `end`, not included."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=63)
    """The schedule's name in logs; unique in its policy."""
    start: Cron
    """The moments at which it begins: a cron expression of five fields."""
    end: Cron
    """The moments at which it ends: a cron expression of five fields."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """The IANA time zone of `start` and `end`. If clocks change, the first of two equal times counts, and a skipped
    time counts as the moment after it. An expression whose minute or hour begins with `*` fires each time that the
    clock shows such a time."""
    min: _Bound | None = None
    """The fewest replicas meanwhile. Without it the policy's `min` stays in force."""
    max: _Bound | None = None
    """The most replicas meanwhile. Without it the policy's `max` stays in force. With `min: 0` and `max: 0` the service
    sleeps until the schedule ends, even if rules or the fallback ask for replicas."""

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.start == self.end:
            raise ValueError("the schedule ends when it begins (give another end)")
        if self.min is None and self.max is None:
            raise ValueError("the schedule changes nothing (give min, max, or both)")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max} (swap them?)")
        if self.max == 0 and self.min is None:
            raise ValueError(
                "max 0 would stop the service (give min: 0 as well to let it sleep, or a max of 1 or more)"
            )
        return self

    @property
    def sleeps(self) -> bool:
        """Return whether the service has no replicas meanwhile."""
        return self.max == 0

    def active(self, at: float) -> bool:
        """Return whether *at*, in Unix seconds, lies between a start and the next end."""
        began, ended = firings(self.start, self.timezone).last(at), firings(self.end, self.timezone).last(at)
        return began > -inf and began >= ended

    def ends(self, at: float) -> float | None:
        """Return the first moment after *at* at which the schedule is not active any more; None if there is none."""
        return _end_from(self.start, self.end, self.timezone, firings(self.end, self.timezone).next(at))


@lru_cache(maxsize=1024)
def _end_from(start: str, end: str, timezone: str, moment: float) -> float | None:
    """Return the first firing of *end* from *moment* on at which *start* does not fire too; None if none is near.

    An evaluation asks for the same moment again and again. Other `Firings` than the shared ones look into the future,
    because those remember what is around the present.
    """
    begins = Firings(start, timezone)
    for ended in islice((moment, *islice(Firings(end, timezone).after(moment), _MOST_FOUND)), _MOST_FOUND):
        if ended < inf and begins.last(ended) < ended:
            return ended
    return None


@lru_cache(maxsize=16_384)
def firings(expression: str, timezone: str) -> Firings:
    """Return the firings of *expression* in *timezone*. If many policies share them, they are found once."""
    return Firings(expression, timezone)


class Firings:
    """The moments at which a cron expression fires in a time zone, as in Debian's cron.

    A job whose hour or minute begins with `*` fires each time that the wall clock shows its time. So it fires twice in
    an hour that occurs twice, and never in a skipped one. Any other job fires once: in the first of two such hours, or
    just after a skipped one.

    CronSim walks through wall times, and zoneinfo knows their moments. CronSim's own walk in a time zone misses
    firings: backwards in an hour that occurs twice, and forwards if clocks change by half an hour.
    """

    def __init__(self, expression: str, timezone: str) -> None:
        self._expression = expression
        self._zone = ZoneInfo(timezone)
        minute, hour, *_ = expression.split()
        self._whenever = minute.startswith("*") or hour.startswith("*")
        self._known = (inf, -inf)
        """The last firing that was asked for, and the next one. Nothing is computed again between them."""
        self._found = lru_cache(maxsize=_MOST_FOUND)(self._find)

    def last(self, at: float) -> float:
        """Return the newest firing up to *at*, which may be *at* itself; minus infinity if there is none."""
        return self._around(at)[0]

    def next(self, at: float) -> float:
        """Return the first firing after *at*; infinity if there is none."""
        return self._around(at)[1]

    def after(self, at: float) -> Iterator[float]:
        """Yield each firing after *at*, in order."""
        while (at := self.next(at)) < inf:
            yield at

    def _around(self, at: float) -> tuple[float, float]:
        known = self._known
        if not known[0] <= at < known[1]:
            known = self._known = self._found(at // 1)
        return known

    def _find(self, at: float) -> tuple[float, float]:
        wall, shift = self._wall(at)
        # While an hour occurs twice, wall times before and after the present one may be on its other side.
        newest = max(self._newest(start, at) for start in {wall, wall + shift})
        return newest, min(self._first(start, at) for start in {wall, wall - shift})

    def _newest(self, wall: datetime, at: float) -> float:
        """Return the newest firing up to *at* with a wall time of *wall* or before."""
        for each in _walk(self._expression, wall + _SECOND, reverse=True):
            if fired := [moment for moment in self._moments(each) if moment <= at]:
                return max(fired)
        return -inf

    def _first(self, wall: datetime, at: float) -> float:
        """Return the first firing after *at* with a wall time after *wall*."""
        for each in _walk(self._expression, wall):
            if fires := [moment for moment in self._moments(each) if moment > at]:
                return min(fires)
        return inf

    def _moments(self, wall: datetime) -> tuple[float, ...]:
        """Return the moments at which the job fires for the wall time *wall*."""
        first, second = self._both(wall)
        if first > second:  # clocks skip it
            return () if self._whenever else (self._gap_end(wall, second, first),)
        return (first, second) if self._whenever else (first,)

    def _wall(self, at: float) -> tuple[datetime, timedelta]:
        """Return the wall time at *at*, and the time after or before it at which clocks show the same again."""
        wall = datetime.fromtimestamp(at // 1, self._zone).replace(tzinfo=None, fold=0)
        first, second = self._both(wall)
        return wall, timedelta(seconds=second - first)

    def _both(self, wall: datetime) -> tuple[float, float]:
        """Return when clocks show *wall* for the first and the last time; in reverse order if they skip it."""
        first, second = (wall.replace(tzinfo=self._zone, fold=fold).timestamp() for fold in (0, 1))
        return first, second

    def _gap_end(self, wall: datetime, before: float, after: float) -> float:
        """Return the moment between *before* and *after* at which clocks skip *wall*."""
        while after - before > 1:
            middle = (before + after) // 2
            if self._wall(middle)[0] < wall:
                before = middle
            else:
                after = middle
        return after


def _walk(expression: str, wall: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """Yield the wall times of *expression* beyond *wall*, within the years 1 to 9999."""
    with suppress(OverflowError, ValueError):  # other years
        yield from CronSim(expression, wall, reverse=reverse)
