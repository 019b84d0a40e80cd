"""Prometheus' clock, which dates the samples, as far as its answers show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from autoscaler.errors import UnreachableError
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from autoscaler.policy.metric import Metric

_PRECISION = 2.0
"""Seconds by which Prometheus' clock may seem to have gone back, because it is known only to about a second."""


@dataclass(slots=True)
class PrometheusClock:
    """The moment of Prometheus' clock at an evaluation, and the newest samples that it expects."""

    step: int
    """The window step of a metric that has none of its own, in seconds."""
    moment: float = field(default=0.0, init=False)
    """The moment up to which samples are asked for."""
    offset: float = field(default=0.0, init=False)
    """How far Prometheus' clock is ahead of ours, as last measured, in seconds."""
    _latest: float = field(default=-inf, init=False)
    """The latest moment for which Prometheus had a sample."""
    _went_back: bool = field(default=False, init=False)
    """Whether Prometheus' clock was set back and has not caught up yet."""

    def advance(self, now: float) -> None:
        """Take the moment from our clock, at *now*, until Prometheus' own is known."""
        self.moment = now + self.offset

    def set(self, now: float, offset: float) -> None:
        """Use Prometheus' clock, which is *offset* ahead of ours; raise UnreachableError if it was set back."""
        theirs = now + offset
        back = self._latest - theirs
        if back > _PRECISION:
            # The samples that Prometheus holds for that time are old, and it takes no new sample of a series before
            # its clock is there again. Windows end beyond that moment, so that their newest sample is missing.
            self.moment = max(self.moment, self._latest)
            self._went_back = True
            raise UnreachableError(
                f"Prometheus' clock went back by {words(back)}: its samples of that time are old and are not used "
                "until that time has passed (set its clock by NTP; restart the autoscaler if Prometheus lost them)"
            )
        self.offset, self.moment, self._went_back = offset, theirs, False

    def saw_sample(self, moment: float) -> None:
        """Note that Prometheus had a sample of this *moment*."""
        self._latest = max(self._latest, moment)

    def newest(self, metric: Metric) -> int:
        """Return the newest window step for which a sample is expected."""
        step = metric.step or self.step
        beyond = 2 * step if self._went_back else 0
        return int((self.moment - metric.offset) // step * step) + beyond
