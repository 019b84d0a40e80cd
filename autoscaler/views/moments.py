"""Moments as people read them: the time of day in UTC, and how long ago."""

from __future__ import annotations

from datetime import UTC, datetime

from autoscaler.util.durations import words

_DAY = 86_400


def clock_face(at: float) -> str:
    """Return the time of day in UTC: ``08:25:38``."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def moment(at: float, now: float) -> str:
    """Return the time of day, with the date if it is not within a day of *now*: ``08:25:38``."""
    return clock_face(at) if abs(now - at) < _DAY else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def since(at: float, now: float) -> str:
    """Return the moment and its age: ``since 08:25:38 (6s)``."""
    return f"since {moment(at, now)} ({words(max(0, round(now - at)))})"
