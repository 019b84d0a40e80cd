"""Durations as policies and settings write them: Prometheus durations such as ``90s``, ``5m`` and ``1h30m``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

PATTERN = "^(?=[0-9])([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
_SECONDS = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_LONGEST = 366 * 86400
_LONGEST_TEXT = len("366d23h59m59s")
_LONGEST_SHOWN = 40


def parse(value: object) -> int:
    """The seconds that *value* means.

    Raises ValueError for anything but a Prometheus duration in whole seconds, units in falling order, of a year at
    most.
    """
    if (isinstance(value, int) and not isinstance(value, bool)) or _is_bare(value):
        raise ValueError(f"{value} has no unit (write {value}s for seconds or {value}m for minutes)")
    found = re.fullmatch(PATTERN, value) if isinstance(value, str) and len(value) <= _LONGEST_TEXT else None
    if found is None:
        given = repr(value) if len(repr(value)) <= _LONGEST_SHOWN else f"{repr(value)[:_LONGEST_SHOWN]}…"
        raise ValueError(f"{given} is not a duration (write whole seconds, minutes, hours, like 90s, 5m or 1h30m)")
    parts = [part for part in found.groups() if part is not None]
    seconds = sum(int(part[:-1]) * _SECONDS[part[-1]] for part in parts)
    if seconds > _LONGEST:
        raise ValueError(f"{value} is longer than a year (366d at most)")
    return seconds


def _is_bare(value: object) -> bool:
    """Whether it is the text of a whole number: an environment variable can only be text."""
    return isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) is not None


@lru_cache(maxsize=1024)  # the same few durations are said of a thousand services at every evaluation
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


def _some_time(seconds: int) -> int:
    if seconds < 1:
        raise ValueError(f"{words(seconds)} is too short (write 1s or more)")
    return seconds


SomeTime = Annotated[Duration, AfterValidator(_some_time)]
"""A duration of a second or more."""
