"""Moments in time that others tell of, be it in a label or in an answer."""

from __future__ import annotations

_LATEST = 1e11
"""Unix seconds: the year 5138, which every calendar has."""


def parse_unix_time(value: object) -> float:
    """*value*, which is a moment in Unix seconds that can be; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise ValueError(f"{value!r:.40} is not a time")
    return float(value)
