"""The samples of one metric for one service on aligned window steps, and whether they are enough to judge by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, isfinite, nan
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MISSING = nan
_ROUNDING = 1e-9
"""The most that floating point may add to a whole number without making it the next one."""


class Part(NamedTuple):
    """A part of the time that a sample is about, in seconds before the sample."""

    begins: float
    ends: float
    weight: float = 1.0
    """The weight of this part among the others."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why samples must not justify a scale-down although none is missing. They may still justify a scale-up."""

    reason: Reason
    until: float
    """Samples before this moment are doubted, Unix seconds."""
    detail: str


@dataclass(frozen=True, slots=True)
class Window:
    """Samples at ``end``, ``end - step``, …; a missing sample is NaN, and an infinite one counts as missing.

    Times are Unix seconds and multiples of *step*. ``values[-1]`` is the sample at *end*, the time the decision is
    about. *reporting* counts the tasks behind each sample, or is None if the metric has no tasks behind it.
    """

    step: int
    end: int
    values: tuple[float, ...]
    reporting: tuple[int, ...] | None = None
    owed: tuple[int, ...] | None = None
    """The number of tasks that should report for each sample, as far as it is known; None if no sample lacks a task."""
    share: float = 1.0
    """The part of the owed tasks that must report for a sample to be full, from 0 to 1."""
    unit: str = ""
    base: str = ""
    """What 100 % is, in words ("the limit of 0.5 cores"); empty if the metric is not a share of anything."""
    averaged: bool = True
    """Whether a sample is an average over the reporting tasks (and not their maximum or total)."""
    redistributes: bool = False
    """Whether the load moves to the remaining replicas when some are removed. CPU load does; memory hardly does."""
    total: bool = False
    """Whether a sample is the total over the service, not a value per replica."""
    doubts: tuple[Doubt, ...] = ()
    running: tuple[float, ...] | None = None
    """The average number of tasks that ran over the time that each sample is about; None if it is not known.

    A sample of a minute times this number is the load of that minute. The tasks that run now do not matter for it.
    """

    @property
    def newest(self) -> float | None:
        """Return the sample at *end*; None if it is missing."""
        if not self.values or not isfinite(self.values[-1]):
            return None
        return self.values[-1]

    def behind(self, running: int) -> float:
        """Return the number of tasks behind the newest sample; *running* tasks run now.

        An average times this number is the load. If any task runs, the number is at least 1.
        """
        if self.running is None:
            return float(running)
        return max(self.running[-1], float(min(running, 1)))

    def behind_at_most(self, running: int) -> float:
        """Return the largest possible number of tasks behind the newest sample; *running* tasks run now.

        It is at least the number of running tasks and that of reporting tasks, because these may have shared the load.
        """
        reporting = self.reporting[-1] if self.reporting is not None else 0
        return max(self.behind(running), running, reporting)

    def span(self, look_back: int) -> tuple[float, ...]:
        """Return the samples that cover ``[end - look_back, end]``, oldest first, without missing and partial ones.

        The oldest sample stands for ``end - look_back``. It is the sample at that time, or one at most one step before
        it. A breach that began after that sample has not lasted *look_back* seconds.
        """
        covering = self._covering(look_back, self.whole())
        if isfinite(sum(covering)):
            return covering
        return tuple(value for value in covering if isfinite(value))

    def lacking(self, look_back: int) -> Reason | None:
        """Return why the samples do not suffice to judge ``[end - look_back, end]``; None if they do.

        One missing sample is tolerated, two in a row are not. The newest sample must be there, with all its tasks. An
        older sample that lacks tasks counts as missing, because the missing tasks may have been busy.
        """
        if self.newest is None:
            looked_at = self.values[-(look_back // self.step + 1) :]
            return Reason.STALE_DATA if any(map(isfinite, looked_at)) else Reason.NO_DATA
        whole = self.whole()
        if not isfinite(whole[-1]):
            return Reason.PARTIAL_DATA
        if self._complete(self._covering(look_back, whole), look_back):
            return None
        if self._complete(self._covering(look_back, self.values), look_back):
            return Reason.PARTIAL_DATA
        return Reason.WINDOW_INCOMPLETE

    def doubt(self, look_back: int) -> Doubt | None:
        """Return why the samples of ``[end - look_back, end]`` must not justify a scale-down; None if they may."""
        return next((doubt for doubt in self.doubts if self.end - look_back < doubt.until), None)

    def present(self, look_back: int) -> tuple[int, int]:
        """Return how many samples of ``[end - look_back, end]`` are there, and how many there should be."""
        return len(self.span(look_back)), -(-look_back // self.step) + 1

    def holding_since(self, holds: Callable[[float], bool]) -> int | None:
        """Return since when *holds* is true of every sample up to *end*, as far as the window shows.

        Missing samples do not end the run. None if the newest sample is missing, or *holds* is not true of it.
        """
        since = None
        for age, value in enumerate(reversed(self.values)):
            if isfinite(value):
                if not holds(value):
                    break
                since = self.end - age * self.step
            elif since is None:
                break
        return since

    def with_absent_as_zero(self) -> Window:
        """Return the window with the tasks that do not report counted as 0: a lower bound of the true values."""
        values = self.values
        if self.averaged and self.reporting is not None and self.owed is not None:
            values = tuple(
                value * min(1.0, count / due) if due else value
                for value, count, due in zip(values, self.reporting, self.owed, strict=True)
            )
        return replace(self, values=values, reporting=None, owed=None)

    def whole(self) -> tuple[float, ...]:
        """Return the samples for which enough tasks report, and the others as missing."""
        if self.owed is None or self.reporting is None:
            return self.values
        return tuple(
            value if count >= full(due, self.share) else MISSING
            for value, count, due in zip(self.values, self.reporting, self.owed, strict=True)
        )

    def _covering(self, look_back: int, values: tuple[float, ...]) -> tuple[float, ...]:
        """Return the samples from the one for ``end - look_back`` to *end*; fewer if the window is shorter."""
        steps_back = -(-look_back // self.step)
        covering = values[-(steps_back + 1) :]
        on_grid = look_back % self.step == 0
        if on_grid and steps_back and len(covering) == steps_back + 1 and not isfinite(covering[0]):
            # The sample at end - look_back is missing: the one a step before may stand for it.
            return values[-(steps_back + 2) :]
        return covering

    def _complete(self, covering: Sequence[float], look_back: int) -> bool:
        if len(covering) < -(-look_back // self.step) + 1 or not isfinite(covering[0]):
            return False
        if isfinite(sum(covering)):
            return True
        previous_missing = False
        for value in covering:
            missing = not isfinite(value)
            if missing and previous_missing:
                return False
            previous_missing = missing
        return True


def full(due: int, share: float) -> int:
    """Return how many of the *due* tasks must report for a sample to be full."""
    return ceil(due * share - _ROUNDING)
