"""The time as this machine has it."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """The time in Unix seconds."""
        return time.time()  # noqa: TID251 - this is the rim
