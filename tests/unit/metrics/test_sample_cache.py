from __future__ import annotations

from math import isnan, nan

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.metrics.sample_cache import SampleCache
from autoscaler.ports import Series

STEP = 15


def times(start: int, end: int) -> range:
    """The steps from *start* to *end*, both included."""
    return range(start, end + STEP, STEP)


def truth(start: int, end: int) -> dict[str, Series]:
    """What a source without holes answers: the sample at t is t, and t/15 tasks stand behind it."""
    steps = times(start, end)
    return {"web": Series([float(t) for t in steps], [t // STEP for t in steps])}


def shown(values: list[float]) -> list[float | None]:
    """*values* with None for what is missing, which can be compared."""
    return [None if isnan(value) else value for value in values]


def test_first_fill_asks_for_the_whole_window() -> None:
    """At first, as after a restart, the whole window is asked for."""
    assert SampleCache(STEP, 4).missing(150) == (105, 150)


def test_later_only_the_missing_and_the_two_newest_steps_are_asked_for() -> None:
    """After the first fill an evaluation asks only for the steps it does not have and the newest two again."""
    cache = SampleCache(STEP, 10)
    cache.merge(truth(0, 135), 0, 135)
    assert cache.missing(150) == (120, 150)


def test_the_same_step_again_asks_for_the_two_newest_again() -> None:
    """An evaluation within the same window step refreshes the two newest samples: they were provisional."""
    cache = SampleCache(STEP, 10)
    cache.merge(truth(0, 135), 0, 135)
    assert cache.missing(135) == (120, 135)


def test_a_late_sample_replaces_the_hole_it_left() -> None:
    """A sample that arrived late stands in the window once the provisional steps are asked for again."""
    cache = SampleCache(STEP, 3)
    cache.merge({"web": Series([1.0, 2.0, nan])}, 0, 30)
    cache.merge({"web": Series([2.0, 3.0, 4.0])}, 15, 45)
    held = cache.values("web", 45)
    assert held is not None
    assert shown(held[0]) == [2.0, 3.0, 4.0]


def test_a_sample_that_vanished_becomes_a_hole() -> None:
    """A provisional sample that the source takes back is a hole, and not remembered."""
    cache = SampleCache(STEP, 4)
    cache.merge(truth(0, 45), 0, 45)
    cache.merge({}, 30, 60)
    held = cache.values("web", 60)
    assert held is not None
    assert shown(held[0]) == [15.0, None, None, None]


def test_a_hole_in_the_answer_stays_a_hole() -> None:
    """Holes stay holes: nothing is filled in for a missing sample."""
    cache = SampleCache(STEP, 4)
    cache.merge({"web": Series([1.0, nan, nan, 4.0], [2, 0, 0, 2])}, 0, 45)
    held = cache.values("web", 45)
    assert held is not None
    assert shown(held[0]) == [1.0, None, None, 4.0]
    assert held[1] == [2, 0, 0, 2]


def test_after_a_gap_longer_than_the_window_nothing_old_is_left() -> None:
    """After an outage longer than the window all of it is asked for, and no old sample stands in it."""
    cache = SampleCache(STEP, 4)
    cache.merge(truth(0, 45), 0, 45)
    assert cache.missing(300) == (255, 300)
    cache.merge({"web": Series([nan, nan, nan, 9.0])}, 255, 300)
    held = cache.values("web", 300)
    assert held is not None
    assert shown(held[0]) == [None, None, None, 9.0]


def test_when_no_answer_came_the_newest_steps_are_missing() -> None:
    """While the source does not answer, the window moves on and its newest samples are missing."""
    cache = SampleCache(STEP, 4)
    cache.merge(truth(0, 45), 0, 45)
    held = cache.values("web", 75)
    assert held is not None
    assert shown(held[0]) == [30.0, 45.0, None, None]
    assert held[1] == [2, 3, 0, 0]


def test_a_service_without_samples_left_is_forgotten() -> None:
    """A service whose last sample has left the window takes no memory any more."""
    cache = SampleCache(STEP, 3)
    cache.merge(truth(0, 30), 0, 30)
    for end in (45, 60, 75, 90):
        cache.merge({}, end - STEP * 2, end)
    assert cache.values("web", 90) is None


def test_a_clock_that_went_back_empties_the_window() -> None:
    """Samples from a future that is no more are not judged by: the window is filled anew."""
    cache = SampleCache(STEP, 3)
    cache.merge(truth(300, 330), 300, 330)
    assert cache.missing(60) == (30, 60)
    assert cache.values("web", 60) is None
    cache.merge(truth(30, 60), 30, 60)
    held = cache.values("web", 60)
    assert held is not None
    assert shown(held[0]) == [30.0, 45.0, 60.0]


@given(
    length=st.integers(1, 12),
    moves=st.lists(st.tuples(st.integers(0, 15), st.booleans()), min_size=1, max_size=12),
)
def test_the_window_is_what_one_query_would_have_filled(length: int, moves: list[tuple[int, bool]]) -> None:
    """However evaluations and outages follow each other, a window equals the one a restart would refill."""
    cache = SampleCache(STEP, length)
    end = 3000
    for steps, answered in moves:
        end += steps * STEP
        if answered:
            start, newest = cache.missing(end)
            cache.merge(truth(start, newest), start, newest)
    start, newest = cache.missing(end)
    cache.merge(truth(start, newest), start, newest)
    fresh = SampleCache(STEP, length)
    whole = fresh.missing(end)
    fresh.merge(truth(*whole), *whole)
    assert cache.values("web", end) == fresh.values("web", end)
