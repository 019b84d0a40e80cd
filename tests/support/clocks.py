"""A clock beside `autoscaler.testing.ManualClock` and the machine's."""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.adapters.system_clock import SystemClock


@dataclass
class LateClock:
    """The machine's clock, some time ago."""

    behind: float = 0.0

    def now(self) -> float:
        """The time."""
        return SystemClock().now() - self.behind
