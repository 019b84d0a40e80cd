"""The samples that are held between evaluations: the range to ask for, the merging of answers, and windows.

A window stays between evaluations and is filled again from the metric source after a restart. A hole in the source's
answer stays a hole. The two newest steps are provisional. Samples may arrive late, so these steps are asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.core.window import MISSING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.ports import Series

_PROVISIONAL_STEPS = 2


@dataclass(slots=True)
class _Column:
    """One service's samples on the cache's grid, oldest first."""

    values: list[float]
    tasks: list[int]


@dataclass(slots=True)
class SampleCache:
    """The samples of one query for all services, over *length* steps back from the newest one asked for.

    Times are Unix seconds and multiples of *step*.
    """

    step: int
    length: int
    _end: int | None = field(default=None, init=False)
    _columns: dict[str, _Column] = field(default_factory=dict, init=False)
    _counted: bool = field(default=False, init=False)

    @property
    def services(self) -> tuple[str, ...]:
        """Return the services with a sample."""
        return tuple(self._columns)

    def covers(self, end: int) -> bool:
        """Return whether the source was asked for the window up to *end*."""
        return self._end is not None and self._end >= end

    def missing(self, end: int) -> tuple[int, int]:
        """Return the range ``(start, end)`` to ask the source for, to fill the window up to *end* as far as possible.

        At first, and after a gap longer than the window, it is the whole window. Otherwise it is the steps that are not
        held, and the two newest that are.
        """
        oldest = end - (self.length - 1) * self.step
        if self._end is None or end < self._end:
            return oldest, end
        return max(oldest, self._end - (_PROVISIONAL_STEPS - 1) * self.step), end

    def merge(self, answer: Mapping[str, Series], start: int, end: int) -> None:
        """Take the source's *answer* for ``[start, end]``: what it lacks becomes missing, even if held before."""
        self._move_to(end)
        count = (end - start) // self.step + 1
        offset = self.length - count
        for name, column in self._columns.items():
            if name not in answer:
                column.values[offset:] = [MISSING] * count
                column.tasks[offset:] = [0] * count
        for name, series in answer.items():
            column = self._columns.get(name) or self._new_column(name)
            column.values[offset:] = series.values
            self._counted = series.tasks is not None
            if series.tasks is not None:
                column.tasks[offset:] = series.tasks
        self._forget_silent()

    def values(self, service: str, end: int) -> tuple[list[float], list[int] | None] | None:
        """Return the samples and task counts of *service* up to *end*; None if there are none.

        Steps after the newest merged one are missing.
        """
        column = self._columns.get(service)
        if column is None or self._end is None or end < self._end:
            return None
        late = min((end - self._end) // self.step, self.length)
        if not late:
            return column.values, column.tasks if self._counted else None
        values = column.values[late:] + [MISSING] * late
        return values, column.tasks[late:] + [0] * late if self._counted else None

    def reporting(self, service: str, end: int) -> int:
        """Return how many tasks are behind the sample of *service* at *end*; 0 if there is none."""
        column = self._columns.get(service)
        return column.tasks[-1] if column is not None and end == self._end else 0

    def _new_column(self, name: str) -> _Column:
        column = _Column([MISSING] * self.length, [0] * self.length)
        self._columns[name] = column
        return column

    def _move_to(self, end: int) -> None:
        if self._end is None or end < self._end:
            self._columns.clear()
        else:
            steps = min((end - self._end) // self.step, self.length)
            if steps:
                for column in self._columns.values():
                    column.values = column.values[steps:] + [MISSING] * steps
                    column.tasks = column.tasks[steps:] + [0] * steps
        self._end = end

    def _forget_silent(self) -> None:
        """Drop the services without any sample left, so that removed services do not stay for ever."""
        silent = [name for name, column in self._columns.items() if all(value != value for value in column.values)]  # noqa: PLR0124 - NaN is not itself; math.isnan is four times slower here
        for name in silent:
            del self._columns[name]
