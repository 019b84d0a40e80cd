"""The samples of one metric for one service on aligned window steps, and whether they are enough to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

from autoscaler.model import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = nan


@dataclass(frozen=True, slots=True)
class Window:
    """Samples at ``end``, ``end - step``, …; a missing sample is NaN.

    Times are Unix seconds and multiples of *step*. ``values[-1]`` is the sample at *end*, the time the decision is
    about. *reporting* counts the tasks behind each sample, or is None where a metric has no tasks behind it.
    """

    step: int
    end: int
    values: tuple[float, ...]
    reporting: tuple[int, ...] | None = None
    unit: str = ""
    base: str = ""
    """What 100 % is, in words ("the limit of 0.5 cores"); empty where the metric is no share of anything."""
    averaged: bool = True
    """Whether a sample is an average over the reporting tasks (and not their maximum or total)."""

    @property
    def newest(self) -> float | None:
        """The sample at *end*, or None where it is missing."""
        if not self.values or isnan(self.values[-1]):
            return None
        return self.values[-1]

    def span(self, look_back: int) -> tuple[float, ...]:
        """The samples that cover ``[end - look_back, end]``, oldest first, missing ones left out.

        The oldest is the one that stands for ``end - look_back``: the sample at that time, or else the one at most one
        step before it, for a breach that began after it has not lasted *look_back* seconds.
        """
        return tuple(value for value in self._covering(look_back) if not isnan(value))

    def lacking(self, look_back: int, expected: int) -> Reason | None:
        """Why the samples do not suffice to judge ``[end - look_back, end]``, or None where they do.

        *expected* is how many tasks must stand behind the newest sample. One missing sample is forgiven, two in a row
        are not; a missing newest sample never is (SPEC 3, "complete"; SPEC 4, "lacking data").
        """
        covering = self._covering(look_back)
        if all(isnan(value) for value in covering):
            return Reason.NO_DATA
        if isnan(covering[-1]):
            return Reason.STALE_DATA
        if self.reporting is not None and self.reporting[-1] < expected:
            return Reason.PARTIAL_DATA
        return None if self._complete(covering, look_back) else Reason.WINDOW_INCOMPLETE

    def with_absent_as_zero(self, expected: int) -> Window:
        """The window as it would be had the tasks that do not report been at 0: a lower bound of the true average."""
        if self.reporting is None or not self.averaged:
            return self
        values = tuple(
            value * min(1.0, count / expected) if expected else value
            for value, count in zip(self.values, self.reporting, strict=True)
        )
        return Window(self.step, self.end, values, None, self.unit, self.base)

    def _covering(self, look_back: int) -> Sequence[float]:
        """The grid from the sample standing for ``end - look_back`` to *end*; shorter where the window is."""
        steps_back = -(-look_back // self.step)
        covering = self.values[-(steps_back + 1) :]
        on_grid = look_back % self.step == 0
        if on_grid and steps_back and len(covering) == steps_back + 1 and isnan(covering[0]):
            # The sample at end - look_back is missing: the one a step before may stand for it.
            return self.values[-(steps_back + 2) :]
        return covering

    def _complete(self, covering: Sequence[float], look_back: int) -> bool:
        if len(covering) < -(-look_back // self.step) + 1 or isnan(covering[0]):
            return False
        previous_missing = False
        for value in covering:
            missing = isnan(value)
            if missing and previous_missing:
                return False
            previous_missing = missing
        return True
