"""Schedules: times at which a policy's bounds are others, from one cron expression's moment to another's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Annotated, Self
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from autoscaler.strategies.base import Frozen

_MINUTE = timedelta(minutes=1)
_FIELDS = 5
_LONGEST = 200
"""Characters of a cron expression: one of hundreds of thousands is parsed for minutes."""


def _cron(expression: str) -> str:
    if len(expression) > _LONGEST or len(expression.split()) != _FIELDS:
        raise ValueError(f"{expression!r:.60} is no cron expression (write five fields, like 0 8 * * mon-fri)")
    try:
        next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        said = str(error) or "no such day ever comes"
        raise ValueError(f"{expression!r:.60} is no cron expression: {said} (write it like 0 8 * * mon-fri)") from error
    return expression


@cache
def _zones() -> frozenset[str]:
    """The time zones there are: looking for them takes milliseconds, and a thousand policies have two thousand."""
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(f"{name!r:.60} is no time zone (write an IANA name, like America/Sao_Paulo or UTC)")
    return name


Cron = Annotated[str, Field(strict=True), AfterValidator(_cron)]
_Bound = Annotated[int, Field(strict=True, ge=0, le=10_000)]


class Schedule(Frozen):
    """Other bounds for a time that comes again: from `start`, included, until `end`, not included."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=63)
    """What logs call the schedule; unique in its policy."""
    start: Cron
    """When it begins: a cron expression of five fields."""
    end: Cron
    """When it ends."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """The IANA time zone of both; a time that a change of clocks skips counts as the moment after it."""
    min: _Bound | None = None
    """The fewest replicas meanwhile; without it, the policy's own."""
    max: _Bound | None = None
    """The most replicas meanwhile; without it, the policy's own."""

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.start == self.end:
            raise ValueError("the schedule ends when it begins (give another end)")
        if self.min is None and self.max is None:
            raise ValueError("the schedule changes nothing (give min, max, or both)")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max} (swap them?)")
        if self.max == 0:
            raise ValueError("max 0 would stop the service (give a max of 1 or more)")
        return self

    def active(self, at: float) -> bool:
        """Whether *at*, in Unix seconds, lies between a start and the end that follows it."""
        minute = int(at // 60)
        began, ended = _latest(self.start, self.timezone, minute), _latest(self.end, self.timezone, minute)
        return began is not None and (ended is None or began >= ended)


@lru_cache(maxsize=4096)
def _latest(expression: str, timezone: str, minute: int) -> datetime | None:
    """The last moment of *expression* up to *minute* (since the epoch), this minute included; None before the first."""
    now = datetime.fromtimestamp(minute * 60, UTC).astimezone(ZoneInfo(timezone))
    after = (now.astimezone(UTC) + _MINUTE).astimezone(now.tzinfo)
    return next(CronSim(expression, after, reverse=True), None)
