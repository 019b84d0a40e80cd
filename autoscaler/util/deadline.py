"""Bounds on how long a call may take, whatever the other side does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

from autoscaler.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_STUCK_AT_MOST = 8


class Deadline:
    """A moment after which no call may still be waited for."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def remaining(self, at_most: float = float("inf")) -> float:
        """The seconds left, *at_most* at the most, 0 when it has passed."""
        return min(max(0.0, self._ends - time.monotonic()), at_most)


class TimedCall:
    """Runs blocking calls, each in a thread of its own, and stops waiting for one at its deadline.

    A client library's time-outs bound one read, so a server that drips bytes holds a caller for as long as it likes
    (docs/facts.md#timeouts-bound-one-read). The thread of an abandoned call cannot be ended. So that they
    cannot pile up, calls are refused while too many are still stuck.
    """

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._stuck: list[threading.Thread] = []

    def call(self, function: Callable[[], T], seconds: float) -> T:
        """What *function* returns or raises; DeadlineError where that takes longer than *seconds*."""
        self._stuck = [thread for thread in self._stuck if thread.is_alive()]
        if len(self._stuck) >= _STUCK_AT_MOST:
            raise DeadlineError(f"{self._backend}: {len(self._stuck)} earlier calls still hang; not calling again")
        if seconds <= 0:
            raise DeadlineError(f"{self._backend}: no time left in this evaluation")
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
                errors.append(error)

        thread = threading.Thread(target=run, name=f"{self._backend}-call", daemon=True)
        thread.start()
        thread.join(seconds)
        if errors:
            raise errors[0]
        if results:
            return results[0]
        self._stuck.append(thread)
        raise DeadlineError(f"{self._backend} gave no answer within {seconds:.1f} s")
