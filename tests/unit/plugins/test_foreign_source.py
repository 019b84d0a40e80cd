from __future__ import annotations

import threading
from math import inf, isnan, nan
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.errors import BackendError, DeadlineError, RefusedError, UnreachableError
from autoscaler.plugins.metric_source import ForeignSource
from autoscaler.ports import Query, Series
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUERY = Query("companies", "active_companies", None)
PATIENCE = 20.0
A_MOMENT = 0.05


class Source:
    """A plugin's metric source that answers what a test says."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[Query, int, int, int, float]] = []

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Any:
        """What the test says."""
        self.asked.append((query, start, end, step, deadline.remaining()))
        return self.answer()


def series(values: Any, tasks: Any = None) -> Series:
    """What a plugin without type checks may make."""
    return Series(values, tasks)


def fetched(answer: Callable[..., Any], *, deadline: Deadline | None = None, at_most: float = 5.0) -> Any:
    """What comes of a source that answers so, asked for the three steps from 0 to 30."""
    source = ForeignSource("numbers", lambda: Source(answer), at_most=at_most)
    return source.fetch(QUERY, 0, 30, 15, deadline or Deadline(PATIENCE))


def test_a_sound_answer() -> None:
    """It is taken as it is, in plain floats and ints."""
    answer = fetched(lambda: {"web": Series([1.0, 2.0, 3.0], [1, 2, 3]), "db": Series([0.5, 0.5, 0.5], [1, 0, 1])})
    assert answer == {"web": Series([1.0, 2.0, 3.0], [1, 2, 3]), "db": Series([0.5, 0.5, 0.5], [1, 0, 1])}


def test_whole_numbers_and_tuples_will_do() -> None:
    """What Python takes for numbers in a row is taken for samples."""
    assert fetched(lambda: {"web": series((1, 2, 3))}) == {"web": Series([1.0, 2.0, 3.0])}


def test_what_is_not_finite_is_missing() -> None:
    """An infinite sample is no sample."""
    values = fetched(lambda: {"web": Series([inf, nan, -inf])})["web"].values
    assert [isnan(value) for value in values] == [True, True, True]


def test_a_source_is_made_once_and_asked_what_the_autoscaler_asks() -> None:
    """With as much of the evaluation's time as the source may take."""
    made: list[Source] = []

    def factory() -> Source:
        made.append(Source(dict))
        return made[0]

    foreign = ForeignSource("numbers", factory)
    assert made == []
    for _ in range(2):
        foreign.fetch(QUERY, 0, 30, 15, Deadline(8))
    (source,) = made
    assert [each[:4] for each in source.asked] == [(QUERY, 0, 30, 15)] * 2
    assert 2 < source.asked[0][4] <= 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "answered None (a mapping of service names to Series)"),
        ([("web", series([1.0] * 3))], "of type list (a mapping of service names to Series)"),
        ({"web": [1.0] * 3}, "answered [1.0, 1.0, 1.0] of type list for web (a Series)"),
        ({3: series([1.0] * 3)}, "answered for 3 of type int (the name of a service, a str)"),
        ({"web": series([1.0] * 2)}, "gave web 2 values (one for each step from start to end, both included: 3;"),
        ({"web": series([1.0] * 4)}, "gave web 4 values"),
        ({"web": series([])}, "gave web 0 values"),
        ({"web": series(iter([1.0] * 3))}, "of type list_iterator for values (a list)"),
        ({"web": series("123")}, "gave web '123' of type str for values (a list)"),
        ({"web": series([1.0, "2", 3.0])}, "gave web the value '2' of type str (a float, NaN if missing)"),
        ({"web": series([1.0, None, 3.0])}, "gave web the value None (a float, NaN if missing)"),
        ({"web": series([1.0, True, 3.0])}, "gave web the value True of type bool"),
        ({"web": series([1.0, 10**400, 3.0])}, "raised OverflowError"),
        ({"web": series([1.0] * 3, [1, 1])}, "gave web 2 counts of tasks"),
        ({"web": series([1.0] * 3, [1, -1, 1])}, "gave web -1 of type int tasks (an int of 0 or more)"),
        ({"web": series([1.0] * 3, [1, 1.0, 1])}, "gave web 1.0 of type float tasks"),
        ({"web": series([1.0] * 3, [1] * 3), "db": series([1.0] * 3)}, "counted the tasks of some services"),
    ],
)
def test_nonsense_is_refused(answer: Any, words: str) -> None:
    """An answer that would make a wrong window is an error that names the source and says what would be right."""
    with pytest.raises(RefusedError) as raised:
        fetched(lambda: answer)
    assert str(raised.value).startswith("the metric source numbers")
    assert words in str(raised.value)


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), KeyboardInterrupt(), MemoryError(), OSError("no")])
def test_what_a_plugin_raises_is_refused(error: BaseException) -> None:
    """Whatever it is, it ends neither the evaluation nor the daemon."""
    with pytest.raises(RefusedError, match=f"the metric source numbers raised {type(error).__name__}"):
        fetched(lambda: (_ for _ in ()).throw(error))


@pytest.mark.parametrize("kind", [UnreachableError, DeadlineError])
def test_an_unreachable_backend_stays_so(kind: type[UnreachableError]) -> None:
    """A plugin can say that its backend is away: the source is asked nothing more in this evaluation then."""
    with pytest.raises(UnreachableError, match=r"^the metric source numbers: connection refused$"):
        fetched(lambda: (_ for _ in ()).throw(kind("connection refused")))


def test_a_refused_question_stays_so() -> None:
    """A plugin can say that it does not know what a query means."""
    with pytest.raises(RefusedError, match=r"^the metric source numbers: no such number$"):
        fetched(lambda: (_ for _ in ()).throw(RefusedError("no such number")))


def test_a_factory_that_fails_is_asked_again() -> None:
    """A source that cannot be made is an error of each evaluation until it can."""
    attempts: list[int] = []

    def factory() -> Source:
        attempts.append(1)
        if len(attempts) == 1:
            raise FileNotFoundError("numbers.json")
        return Source(dict)

    foreign = ForeignSource("numbers", factory)
    with pytest.raises(RefusedError, match=r"raised FileNotFoundError: numbers\.json"):
        foreign.fetch(QUERY, 0, 30, 15, Deadline(PATIENCE))
    assert foreign.fetch(QUERY, 0, 30, 15, Deadline(PATIENCE)) == {}


def test_what_is_no_source_at_all() -> None:
    """A factory that gives something else is told of when it is asked."""
    foreign = ForeignSource("numbers", lambda: None)
    with pytest.raises(RefusedError, match="AttributeError: 'NoneType' object has no attribute 'fetch'"):
        foreign.fetch(QUERY, 0, 30, 15, Deadline(PATIENCE))


# Hanging


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hanging source waits for; it is opened when the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.fault("plugin-broken")
def test_a_hanging_source(gate: threading.Event) -> None:
    """It is waited for no longer than it may take, and not asked again before it has come back."""
    foreign = ForeignSource("numbers", lambda: Source(lambda: gate.wait(PATIENCE) and {}), at_most=A_MOMENT)
    evaluation = Deadline(PATIENCE)
    with pytest.raises(DeadlineError, match=r"the metric source numbers did not come back within 0\.05 s"):
        foreign.fetch(QUERY, 0, 30, 15, evaluation)
    with pytest.raises(DeadlineError, match="the metric source numbers has used up its time of this evaluation"):
        foreign.fetch(QUERY, 0, 30, 15, evaluation)
    with pytest.raises(DeadlineError, match="the metric source numbers has not come back from an earlier call"):
        foreign.fetch(QUERY, 0, 30, 15, Deadline(PATIENCE))


def test_a_source_leaves_the_others_half_of_the_time(gate: threading.Event) -> None:
    """However many hang, something of the evaluation is left for Prometheus and for writing."""
    evaluation = Deadline(80 * A_MOMENT)  # a quarter is left: more than a busy machine is late
    for _ in range(2):
        with pytest.raises(DeadlineError):
            fetched(lambda: gate.wait(PATIENCE), deadline=evaluation)
    assert evaluation.remaining() > 0


def test_no_time_is_left() -> None:
    """An evaluation whose time is over asks nothing."""
    with pytest.raises(DeadlineError, match="has used up its time"):
        fetched(dict, deadline=Deadline(0))


# Clocks


class Clocked(Source):
    """A source with a clock."""

    def clock_offset(self, now: float, deadline: Deadline) -> Any:  # noqa: ARG002 - the port's signature
        """What the test says."""
        return self.answer()


def test_a_source_needs_no_clock() -> None:
    """Without one its clock is ours."""
    assert ForeignSource("numbers", lambda: Source(dict)).clock_offset(0, Deadline(PATIENCE)) == 0


def test_a_clock_is_asked() -> None:
    """A source that has one is believed."""
    assert ForeignSource("numbers", lambda: Clocked(lambda: -3)).clock_offset(0, Deadline(PATIENCE)) == -3


@pytest.mark.parametrize("offset", [None, "3", nan, inf, True])
def test_a_clock_that_tells_nonsense(offset: Any) -> None:
    """What is no number of seconds is an error."""
    with pytest.raises(BackendError, match=r"says its clock is off by .* \(give seconds\)"):
        ForeignSource("numbers", lambda: Clocked(lambda: offset)).clock_offset(0, Deadline(PATIENCE))
