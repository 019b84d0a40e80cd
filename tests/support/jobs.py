"""Work that can be held in its middle, so that a test decides in which order things happen."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Job:
    """Runs *work* in a thread of its own, but never at the same time as the one who lets it go on."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._error: BaseException | None = None
        self.over = False
        self._end: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self) -> bool:
        """Let it work until it is over or holds; whether it is over. What it raises is raised here."""
        self._go.release()
        self._back.acquire()
        if self.over:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self.over

    def hold(self) -> None:
        """For the work itself: let the other one go on, until that one lets the work go on again."""
        self._back.release()
        self._go.acquire()
        if self._end is not None:
            raise self._end

    def end(self, error: BaseException) -> None:
        """Let what holds raise *error*, which nobody hears of."""
        self._end = error
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            self._error = error
        self.over = True
        self._back.release()
