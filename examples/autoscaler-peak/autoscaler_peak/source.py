"""The metric source `numbers`: a number per service, from a JSON file that something else keeps writing."""

import json
from collections import deque
from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import NamedTuple

from autoscaler.errors import RefusedError
from autoscaler.ports import Query, Series
from autoscaler.util.deadline import Deadline

FRESH = 120
"""For so many seconds after it was written a file says how things are."""
KEPT = 1000
"""So many versions of a file are remembered."""


class Version(NamedTuple):
    """A file as it was read once."""

    written: float
    numbers: dict[str, float]


class Numbers:
    """Answers from files such as ``{"shop_worker": 250}``; a metric's `query` is the path of one.

    A file has no past, and the autoscaler asks for each step twice. So the versions that were read are remembered, and
    a step is answered from the one that was in force at its time; what was before the first one is missing.
    """

    def __init__(self) -> None:
        self._versions: dict[str, deque[Version]] = {}

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """A file has no clock."""
        return 0.0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        """The numbers of each service at *start*, *start* + *step*, … *end*; NaN where none was in force."""
        versions = self._versions.setdefault(query.expression, deque(maxlen=KEPT))
        newest = _read(Path(query.expression))
        if not versions or versions[-1] != newest:
            versions.append(newest)
        steps = range(start, end + 1, step)
        answer: dict[str, Series] = {}
        for row, at in enumerate(steps):
            for service, number in _in_force(versions, at).items():
                series = answer.setdefault(service, Series([nan] * len(steps)))
                series.values[row] = number
        return answer


def _in_force(versions: deque[Version], at: int) -> dict[str, float]:
    for version in reversed(versions):
        if version.written <= at:
            return version.numbers if at < version.written + FRESH else {}
    return {}


def _read(file: Path) -> Version:
    try:
        written = file.stat().st_mtime
        numbers = json.loads(file.read_text())
        return Version(written, {service: float(number) for service, number in numbers.items()})
    except OSError as error:
        raise RefusedError(
            f"{file} cannot be read: {error.strerror} (write it, readable for the autoscaler)"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise RefusedError(f'{file} is no JSON object of numbers (such as {{"shop_worker": 250}})') from error
