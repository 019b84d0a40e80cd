"""A clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.testing.builders import NOW


@dataclass
class ManualClock:
    """A clock that stands still until its `time` is set."""

    time: float = float(NOW)

    def now(self) -> float:
        """Return the time that was set."""
        return self.time
