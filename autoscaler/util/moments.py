"""Moments in time that others tell of, be it in a label or in an answer."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from autoscaler.util.durations import parse

_LATEST = 1e11
"""Unix seconds: the year 5138, which every calendar has."""


def parse_unix_time(value: object) -> float:
    """*value*, which is a moment in Unix seconds that can be; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise ValueError(f"{value!r:.40} is not a time")
    return float(value)


_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_UNIX = re.compile(r"[0-9]{9,11}(\.[0-9]{1,6})?")


def moment_of(text: str, now: float) -> float:
    """Return the moment before *now* that people write, in Unix seconds. Raise ValueError for anything else.

    A time of day is the last such time. A duration is that long ago. Times without a zone are UTC.
    """
    cure = "write a time of day like 08:25, a time ago like 15m, or a date and time like 2027-01-15T08:25"
    at = _moment(text)
    if at is None:
        try:
            at = _last(text, now) if _CLOCK.fullmatch(text) else now - parse(text)
        except ValueError as error:
            raise ValueError(f"{text!r:.40} is not a time ({cure})") from error
    if at > now:
        raise ValueError(f"{text!r:.40} is in the future ({cure})")
    return at


def _moment(text: str) -> float | None:
    """Return the moment of a date and time, or of Unix seconds; None for anything else."""
    if _UNIX.fullmatch(text):
        return float(text)
    if "-" not in text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _last(text: str, now: float) -> float:
    """Return the last moment at which the clock showed *text*."""
    hour, minute, second = (int(part or 0) for part in _CLOCK.fullmatch(text).groups())  # type: ignore[union-attr]
    today = datetime.fromtimestamp(now, UTC).replace(hour=hour, minute=minute, second=second, microsecond=0)
    return (today if today.timestamp() <= now else today - timedelta(days=1)).timestamp()
