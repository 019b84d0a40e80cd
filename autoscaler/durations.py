"""Durations as policies and settings write them: Prometheus durations such as ``90s``, ``5m`` and ``1h30m``."""

from __future__ import annotations

import re
from typing import Annotated

import durationpy
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

PATTERN = r"^(?=\d)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_LONGEST = 366 * 86400


def parse(value: object) -> int:
    """The seconds that *value* means.

    Raises ValueError for anything but a Prometheus duration in whole seconds, units in falling order, of a year at
    most.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit (write {value}s for seconds or {value}m for minutes)")
    if not isinstance(value, str) or len(value) > len("366d23h59m59s") or not re.match(PATTERN, value):
        raise ValueError(f"{value!r} is no duration (write whole seconds, minutes, hours, like 90s, 5m or 1h30m)")
    seconds = round(durationpy.from_str(value).total_seconds())
    if seconds > _LONGEST:
        raise ValueError(f"{value} is longer than a year (366d at most)")
    return seconds


def words(seconds: float) -> str:
    """*seconds* as a duration, to the second: ``5m``, ``1h30m``, ``45s``, ``0s``."""
    rest = round(seconds)
    text = ""
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


Duration = Annotated[
    int,
    BeforeValidator(parse),
    PlainSerializer(words),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["90s", "5m", "1h30m"]}),
]
"""Seconds, written as a Prometheus duration."""
