"""How tests wait for what other threads, processes and machines do: by state, and within a limit."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 120.0
"""Real seconds to wait for what must come.

It is there only against hanging: what takes a moment on a quiet machine takes many on one with other work.
"""


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - it holds by what other threads, clients and timers do
            await asyncio.sleep(0.005)


def wait(what: str, holds: Callable[[], bool], interval: float = 0.02) -> None:
    """Wait until it *holds*; *what* is said where it never does."""
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(interval)
