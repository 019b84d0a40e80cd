"""The samples of one metric for one service on aligned window steps, and whether they are enough to judge by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, isfinite, nan
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = nan
_ROUNDING = 1e-9
"""What floating point may add to a whole number without making it the next one."""


class Part(NamedTuple):
    """A part of the time that a sample is about, in seconds before the sample."""

    begins: float
    ends: float
    weight: float = 1.0
    """How much this part counts beside others."""


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
    about. *reporting* counts the tasks behind each sample, or is None where a metric has no tasks behind it.
    """

    step: int
    end: int
    values: tuple[float, ...]
    reporting: tuple[int, ...] | None = None
    owed: tuple[int, ...] | None = None
    """How many tasks should stand behind each sample, as far as it is known; None where no sample lacks any."""
    share: float = 1.0
    """Which part of the owed tasks must report for a sample to be a full one, from 0 to 1."""
    unit: str = ""
    base: str = ""
    """What 100 % is, in words ("the limit of 0.5 cores"); empty where the metric is no share of anything."""
    averaged: bool = True
    """Whether a sample is an average over the reporting tasks (and not their maximum or total)."""
    redistributes: bool = False
    """Whether the load moves to the remaining replicas when some are removed, as cpu does and memory hardly."""
    total: bool = False
    """Whether a sample is the total over the service, not a value per replica."""
    doubts: tuple[Doubt, ...] = ()
    running: tuple[float, ...] | None = None
    """How many tasks ran on average over the time that each sample is about; None if nobody knows.

    A sample of a minute, times these and not the tasks that run now, is the load of that minute.
    """

    @property
    def newest(self) -> float | None:
        """The sample at *end*, or None where it is missing."""
        if not self.values or not isfinite(self.values[-1]):
            return None
        return self.values[-1]

    def behind(self, running: int) -> float:
        """Return how many tasks the newest sample is of; *running* run now.

        An average times this is the load. One task is behind each sample at least, if any runs.
        """
        if self.running is None:
            return float(running)
        return max(self.running[-1], float(min(running, 1)))

    def behind_at_most(self, running: int) -> float:
        """Return the most tasks that the newest sample may be of; *running* run now.

        Those that run now and those that report count in any case: that many shared the load, or could have.
        """
        reporting = self.reporting[-1] if self.reporting is not None else 0
        return max(self.behind(running), running, reporting)

    def span(self, look_back: int) -> tuple[float, ...]:
        """The samples that cover ``[end - look_back, end]``, oldest first, missing and partial ones left out.

        The oldest is the one that stands for ``end - look_back``: the sample at that time, or else the one at most one
        step before it, for a breach that began after it has not lasted *look_back* seconds.
        """
        covering = self._covering(look_back, self._whole())
        if isfinite(sum(covering)):
            return covering
        return tuple(value for value in covering if isfinite(value))

    def lacking(self, look_back: int) -> Reason | None:
        """Why the samples do not suffice to judge ``[end - look_back, end]``, or None where they do.

        One missing sample is forgiven, two in a row are not; a missing newest sample never is, nor one that lacks
        tasks. An older sample that lacks tasks counts as a missing one:
        what was not seen in full proves no calm.
        """
        if self.newest is None:
            looked_at = self.values[-(look_back // self.step + 1) :]
            return Reason.STALE_DATA if any(map(isfinite, looked_at)) else Reason.NO_DATA
        whole = self._whole()
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

    def with_absent_as_zero(self) -> Window:
        """The window as it would be had the tasks that do not report been at 0: a lower bound of the true values."""
        values = self.values
        if self.averaged and self.reporting is not None and self.owed is not None:
            values = tuple(
                value * min(1.0, count / due) if due else value
                for value, count, due in zip(values, self.reporting, self.owed, strict=True)
            )
        return replace(self, values=values, reporting=None, owed=None)

    def _whole(self) -> tuple[float, ...]:
        """The samples that all tasks stand behind which should; the others as missing."""
        if self.owed is None or self.reporting is None:
            return self.values
        return tuple(
            value if count >= full(due, self.share) else MISSING
            for value, count, due in zip(self.values, self.reporting, self.owed, strict=True)
        )

    def _covering(self, look_back: int, values: tuple[float, ...]) -> tuple[float, ...]:
        """The grid from the sample standing for ``end - look_back`` to *end*; shorter where the window is."""
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
    """How many of the *due* tasks must report for a sample to be a full one."""
    return ceil(due * share - _ROUNDING)
