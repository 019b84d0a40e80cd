from __future__ import annotations

import gc
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING

import pytest

from autoscaler.errors import DeadlineError
from autoscaler.util.deadline import Deadline
from autoscaler.util.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0
A_MOMENT = 0.02


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a call waits for; it is opened when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_returns_and_raises_what_the_call_does() -> None:
    """The caller sees no difference to a plain call."""
    worker = Worker("it")
    assert worker.call(lambda: 3, PATIENCE) == 3
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 // 0, PATIENCE)
    assert worker.call(lambda: 4, PATIENCE) == 4


def test_all_calls_are_made_in_one_thread_that_is_not_the_callers() -> None:
    """What is made in one call can be used in the next, as a connection that belongs to its thread."""
    worker = Worker("it")
    threads = {worker.call(threading.get_ident, PATIENCE) for _ in range(10)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_call_that_is_late_is_abandoned(gate: threading.Event) -> None:
    """Nothing else is called before it is back."""
    worker, called = Worker("the plugin"), threading.Event()
    with pytest.raises(DeadlineError, match=r"the plugin did not come back within 0\.02 s"):
        worker.call(lambda: gate.wait(PATIENCE), A_MOMENT)
    with pytest.raises(DeadlineError, match="the plugin has not come back from an earlier call"):
        worker.call(called.set, PATIENCE)
    assert worker.stuck
    assert not called.is_set()


def test_what_comes_too_late_is_nobodys_answer(gate: threading.Event) -> None:
    """Once the late call is back the next one is made, and gets its own answer."""
    worker = Worker("it")

    def late() -> str:
        gate.wait(PATIENCE)
        return "late"

    with pytest.raises(DeadlineError):
        worker.call(late, A_MOMENT)
    gate.set()
    while worker.stuck:
        pass
    assert worker.call(lambda: "next", PATIENCE) == "next"


def test_two_threads_take_turns(gate: threading.Event) -> None:
    """Calls never overlap; who waits too long for another one's is told so."""
    worker, begun = Worker("it"), threading.Event()

    def slow() -> None:
        begun.set()
        gate.wait(PATIENCE)

    other = threading.Thread(target=lambda: worker.call(slow, PATIENCE))
    other.start()
    assert begun.wait(PATIENCE)
    with pytest.raises(DeadlineError, match="busy with a call of another thread"):
        worker.call(lambda: None, A_MOMENT)
    gate.set()
    other.join(PATIENCE)
    assert worker.call(lambda: 3, PATIENCE) == 3


def test_a_call_within_a_call() -> None:
    """It is part of the outer one, and does not wait for it."""
    worker = Worker("it")
    assert worker.call(lambda: worker.call(lambda: 3, PATIENCE), PATIENCE) == 3


def test_nothing_is_kept_of_a_call_that_is_over() -> None:
    """What a call was about can be forgotten, though its thread waits for the next."""

    class Large:
        pass

    worker, large = Worker("it"), Large()
    gone = weakref.ref(large)
    assert worker.call(partial(isinstance, large, Large), PATIENCE)
    del large
    timer = Deadline(PATIENCE)
    while gone() is not None and timer.remaining():
        gc.collect()  # its thread is about to be done with the call
    assert gone() is None


def test_its_thread_ends_with_it() -> None:
    """Workers that nobody holds any more leave no threads behind."""
    worker = Worker("a worker of this test")
    thread = worker.call(threading.current_thread, PATIENCE)
    assert thread.daemon
    del worker
    thread.join(PATIENCE)
    assert not thread.is_alive()
