"""Calls of other people's code, each waited for no longer than its caller says."""

from __future__ import annotations

import threading
import weakref
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from autoscaler.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _Call:
    """A function to call, and what becomes of it."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.answer: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def carry_out(self) -> None:
        """Leave what the function returns or raises, whatever that is."""
        try:
            self.answer.put((self.function(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            self.answer.put((None, error))


class Worker:
    """Does calls one after another in a thread of its own; who has one done stops waiting when its time is up.

    The thread of a call that is not back in time cannot be ended. It is left to itself, and until it is back no other
    call begins: calls never overlap, and threads do not pile up. One thread for all calls, and not one for each as
    `deadline.Guard` has them, for a strategy is called thousands of times in an evaluation: 7 µs each, and not 130.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._begun: _Call | None = None
        """The call that nobody has had the answer of; its thread may still be busy with it."""

    @property
    def stuck(self) -> bool:
        """Whether a call that nobody waits for any more has not come back."""
        begun = self._begun
        return begun is not None and begun.answer.empty()

    def call(self, function: Callable[[], T], seconds: float) -> T:
        """What *function* returns or raises; DeadlineError where that takes longer than *seconds*, or does already."""
        if threading.current_thread() is self._thread:
            return function()  # a call within a call: whoever waits for the outer one waits for both
        if not self._lock.acquire(timeout=max(0.0, seconds)):
            raise DeadlineError(f"{self._name} is busy with a call of another thread")
        try:
            if self.stuck:
                raise DeadlineError(f"{self._name} has not come back from an earlier call and is not called again")
            self._start()
            self._begun = call = _Call(function)
            self._calls.put(call)
            try:
                value, error = call.answer.get(timeout=max(0.0, seconds))
            except Empty:
                raise DeadlineError(f"{self._name} did not come back within {seconds:.3g} s") from None
            self._begun = None
        finally:
            self._lock.release()
        if error is not None:
            raise error
        result: T = value
        return result

    def _start(self) -> None:
        if self._thread is None:
            # Daemonic: a call that never comes back must not keep the process from ending.
            self._thread = threading.Thread(target=_work, args=(self._calls,), name=self._name, daemon=True)
            self._thread.start()
            weakref.finalize(self, self._calls.put, None)


def _work(calls: SimpleQueue[_Call | None]) -> None:
    """Carry out *calls* until there is a None among them."""
    while (call := calls.get()) is not None:
        call.carry_out()
        del call  # or what was called, and all that it holds, would live until the next call
