"""Virtual time with events. Those that are due happen in their order before anybody looks."""

from __future__ import annotations

import heapq
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autoscaler.ports import Clock


class EventQueue:
    """The future events, by *clock*. Only one thread is in the present at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now = clock.now()
        """The time of the present event."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._lock = threading.RLock()

    @contextmanager
    def present(self) -> Iterator[None]:
        """Be alone in the present, after all events that are due."""
        with self._lock:
            end = self._clock.now()
            while self._events and self._events[0][0] <= end:
                self.now, _, happen = heapq.heappop(self._events)
                happen()
            self.now = max(self.now, end)
            yield

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen a number of seconds from now."""
        heapq.heappush(self._events, (self.now + seconds, self.number(), happen))

    def number(self) -> int:
        """Return a number that is larger than all before."""
        self._count += 1
        return self._count
