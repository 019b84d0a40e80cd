from __future__ import annotations

import threading

import pytest

from autoscaler.errors import DeadlineError
from autoscaler.util.deadline import Deadline, TimedCall


@pytest.fixture
def answer() -> threading.Event:
    """What lets a hung call end."""
    return threading.Event()


def test_what_the_call_returns_is_returned() -> None:
    """A call that ends in time gives its own result."""
    assert TimedCall("prometheus").call(lambda: 42, 5) == 42


def test_what_the_call_raises_is_raised() -> None:
    """A call that fails in time fails with its own error."""

    def fail() -> None:
        raise KeyError("data")

    with pytest.raises(KeyError, match="data"):
        TimedCall("prometheus").call(fail, 5)


def test_a_hung_call_is_waited_for_until_the_deadline_only(answer: threading.Event) -> None:
    """A call that never ends is given up at its deadline, with the backend's name."""
    with pytest.raises(DeadlineError, match="prometheus gave no answer within"):
        TimedCall("prometheus").call(answer.wait, 0.01)
    answer.set()


def test_hung_calls_do_not_pile_up(answer: threading.Event) -> None:
    """While eight calls hang no further one is begun; once they end, calls are made again."""
    guard = TimedCall("swarm")
    for _ in range(8):
        with pytest.raises(DeadlineError):
            guard.call(answer.wait, 0.001)
    with pytest.raises(DeadlineError, match="8 earlier calls still hang"):
        guard.call(lambda: 42, 5)
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "swarm-call":
            thread.join(5)
    assert guard.call(lambda: 42, 5) == 42


def test_no_call_begins_after_the_deadline() -> None:
    """With no time left nothing is sent any more."""
    called: list[bool] = []
    with pytest.raises(DeadlineError, match="no time left"):
        TimedCall("swarm").call(lambda: called.append(True), Deadline(0).remaining())
    assert called == []
