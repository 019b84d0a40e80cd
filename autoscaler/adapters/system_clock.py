"""The clock of this machine."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the time in Unix seconds."""
        return time.time()  # noqa: TID251 - this is the rim
