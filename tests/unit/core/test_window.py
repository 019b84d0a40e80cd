from __future__ import annotations

from math import inf, nan

import pytest

from autoscaler.core.reasons import Reason
from autoscaler.core.window import Window
from tests.support.builders import MISSING, NOW, STEP, window

COMPLETE = None


def drawn(picture: str) -> Window:
    """The window of a picture, oldest sample first: `x` is a sample, `.` a missing one."""
    return window([1.0 if mark == "x" else MISSING for mark in picture])


@pytest.mark.fault("samples-missing")
@pytest.mark.parametrize(
    ("look_back", "picture", "lacking"),
    [
        pytest.param(60, "xxxxx", COMPLETE, id="a sample at every step"),
        pytest.param(60, "..xxxxx", COMPLETE, id="what lies before the window does not matter"),
        pytest.param(60, "x.xxx", COMPLETE, id="one missing sample is forgiven"),
        pytest.param(60, "x.x.x", COMPLETE, id="one missing sample is forgiven again after a sample"),
        pytest.param(60, "xxx.x", COMPLETE, id="the one before the newest may be missing"),
        pytest.param(60, "x..xx", Reason.WINDOW_INCOMPLETE, id="two missing in a row are not forgiven"),
        pytest.param(60, "xx..x", Reason.WINDOW_INCOMPLETE, id="two missing in a row next to the newest"),
        pytest.param(60, "x.xxxx", COMPLETE, id="none at t - for but one a step before"),
        pytest.param(60, "x.x.xx", COMPLETE, id="none at t - for but one a step before, and one more missing"),
        pytest.param(60, ".xxxx", Reason.WINDOW_INCOMPLETE, id="none at t - for and no older one held"),
        pytest.param(60, "..xxxx", Reason.WINDOW_INCOMPLETE, id="none at t - for nor a step before"),
        pytest.param(60, "x..xxxx", Reason.WINDOW_INCOMPLETE, id="none at t - for, one two steps before is too old"),
        pytest.param(60, "x..xxx", Reason.WINDOW_INCOMPLETE, id="none at t - for nor after it, one a step before"),
        pytest.param(60, "xxxx", Reason.WINDOW_INCOMPLETE, id="one step too short"),
        pytest.param(60, "x", Reason.WINDOW_INCOMPLETE, id="only the newest sample"),
        pytest.param(60, "xxxx.", Reason.STALE_DATA, id="the newest is missing"),
        pytest.param(60, "x....", Reason.STALE_DATA, id="only the sample at t - for"),
        pytest.param(60, ".....", Reason.NO_DATA, id="no sample"),
        pytest.param(60, "x.....", Reason.NO_DATA, id="the only sample lies a step before the window"),
        pytest.param(60, "", Reason.NO_DATA, id="no steps at all"),
        pytest.param(50, "xxxxx", COMPLETE, id="no multiple of the step: a sample less than a step before t - for"),
        pytest.param(50, "x.xxx", COMPLETE, id="no multiple of the step, one missing"),
        pytest.param(50, "xxxx", Reason.WINDOW_INCOMPLETE, id="no multiple of the step, none at or before t - for"),
        pytest.param(50, "x.xxxx", Reason.WINDOW_INCOMPLETE, id="no multiple of the step, one 25 s before t - for"),
        pytest.param(50, "x....", Reason.NO_DATA, id="no multiple of the step, the only sample lies before t - for"),
        pytest.param(10, "xx", COMPLETE, id="shorter than the step"),
        pytest.param(10, "x", Reason.WINDOW_INCOMPLETE, id="shorter than the step, none at or before t - for"),
        pytest.param(10, "x.x", Reason.WINDOW_INCOMPLETE, id="shorter than the step, one 20 s before t - for"),
        pytest.param(15, "xx", COMPLETE, id="one step long"),
        pytest.param(15, "x.x", COMPLETE, id="one step long, none at t - for but one a step before"),
        pytest.param(0, "x", COMPLETE, id="without for, the sample at t"),
        pytest.param(0, ".x", COMPLETE, id="without for, nothing before t matters"),
        pytest.param(0, "x.", Reason.NO_DATA, id="without for, the window is t alone"),
    ],
)
def test_complete(look_back: int, picture: str, lacking: Reason | None) -> None:
    """Complete: a sample at t, one at t - for or at most one step before it, no neighbours over two steps apart."""
    assert drawn(picture).lacking(look_back) == lacking


@pytest.mark.fault("samples-missing")
@pytest.mark.parametrize("odd", [nan, inf, -inf])
def test_odd_samples_are_missing(odd: float) -> None:
    """NaN and infinite samples are missing."""
    held = window([5, 5, odd, 5, 5])

    assert held.lacking(60) is None
    assert held.span(60) == (5, 5, 5, 5)
    assert window([5, 5, odd, odd, 5]).lacking(60) == Reason.WINDOW_INCOMPLETE
    assert window([5, 5, 5, 5, odd]).lacking(60) == Reason.STALE_DATA
    assert window([odd] * 5).lacking(60) == Reason.NO_DATA
    assert window([5, odd]).newest is None


def test_span_begins_at_the_sample_for_the_oldest_time() -> None:
    """Every sample counts from the one that stands for t - for: a breach that began after it is too young."""
    assert window([1, 2, 3, 4, 5, 6]).span(60) == (2, 3, 4, 5, 6)
    assert window([1, MISSING, 3, 4, 5, 6]).span(60) == (1, 3, 4, 5, 6)
    assert window([1, 2, 3, 4, 5, 6]).span(50) == (2, 3, 4, 5, 6)
    assert window([1, 2, 3]).span(0) == (3,)
    assert window([]).span(60) == ()


def test_newest() -> None:
    """The newest sample is the one at t, and no older one in its place."""
    assert window([1, 2]).newest == 2
    assert window([1, MISSING]).newest is None
    assert window([]).newest is None


@pytest.mark.fault("tasks-silent")
@pytest.mark.parametrize(
    ("reporting", "owed", "lacking"),
    [
        ([5, 5, 5, 5, 4], 5, Reason.PARTIAL_DATA),
        ([5, 5, 5, 5, 5], 5, None),
        ([5, 5, 5, 5, 6], 5, None),
        (None, 5, None),
    ],
)
def test_partial(reporting: list[int] | None, owed: int, lacking: Reason | None) -> None:
    """Lacking data: fewer tasks reporting than have run longer than WARMUP is `partial_data`."""
    assert window([1] * 5, reporting=reporting, owed=owed).lacking(60) == lacking


@pytest.mark.parametrize(
    ("picture", "lacking"),
    [
        (".....", Reason.NO_DATA),
        ("xxxx.", Reason.STALE_DATA),
        ("x..xx", Reason.PARTIAL_DATA),
        ("xxxx", Reason.PARTIAL_DATA),
    ],
)
def test_order_of_what_is_lacking(picture: str, lacking: Reason) -> None:
    """None in the window `no_data`; none at t `stale_data`; fewer tasks `partial_data`; incomplete otherwise."""
    held = drawn(picture)
    few = Window(STEP, NOW, held.values, (1,) * len(held.values), (2,) * len(held.values))

    assert few.lacking(60) == lacking


def test_absent_tasks_count_as_zero() -> None:
    """4 of 5 tasks at 95 % are at least 76 %."""
    held = window([95, 50, MISSING], reporting=[4, 5, 4], owed=5)

    certain = held.with_absent_as_zero()

    assert certain.values[:2] == (76, 50)
    assert certain.newest is None
    assert certain.reporting is None
    assert (certain.unit, certain.end) == ("%", NOW)


def test_more_reporting_than_expected_do_not_raise_an_average() -> None:
    """The missing tasks are counted as 0, and young ones that report already never as more than they are."""
    assert window([60, 60], reporting=[6, 5], owed=5).with_absent_as_zero().values == (60, 60)
    assert window([60, 60], reporting=[1, 0], owed=0).with_absent_as_zero().values == (60, 60)


def test_absent_tasks_change_no_maximum() -> None:
    """Partial data let an `above` on an average fire with missing tasks as 0; a maximum has nothing to share out."""
    busiest = Window(STEP, NOW, (95.0,), (4,), (5,), averaged=False)

    assert busiest.with_absent_as_zero() == Window(STEP, NOW, (95.0,), averaged=False)


def partly(values: tuple[float, ...], reporting: tuple[int, ...], owed: tuple[int, ...]) -> Window:
    """A window behind whose samples so many tasks stand, and so many should."""
    return Window(15, 150, values, reporting, owed)


def test_one_older_sample_that_lacks_tasks_is_forgiven() -> None:
    """A sample behind which tasks are missing counts as a missing one: one is forgiven, and not judged by."""
    window = partly((20.0, 5.0, 20.0, 20.0), (5, 3, 5, 5), (5, 5, 5, 5))
    assert window.lacking(45) is None
    assert window.span(45) == (20.0, 20.0, 20.0)


def test_older_samples_that_lack_tasks_in_a_row_are_partial_data() -> None:
    """A calm that not all tasks were seen in is none: two such samples in a row make the data partial."""
    window = partly((20.0, 5.0, 5.0, 20.0), (5, 3, 3, 5), (5, 5, 5, 5))
    assert window.lacking(45) is Reason.PARTIAL_DATA


def test_a_task_is_not_owed_before_it_was_warm() -> None:
    """Fewer tasks in older samples lack nothing where fewer tasks were due then."""
    window = partly((20.0, 20.0, 20.0, 20.0), (3, 3, 4, 5), (3, 3, 4, 5))
    assert window.lacking(45) is None


def test_holes_and_partial_samples_together_are_incomplete_where_the_holes_alone_are() -> None:
    """Two missing samples in a row are an incomplete window, whatever the others lack."""
    window = partly((20.0, nan, nan, 20.0), (3, 0, 0, 5), (5, 5, 5, 5))
    assert window.lacking(45) is Reason.WINDOW_INCOMPLETE


def test_tasks_missing_in_older_samples_count_as_0_for_a_breach() -> None:
    """Each sample is lowered by the tasks missing behind it, and by no others."""
    window = partly((95.0, 95.0, 95.0), (4, 5, 4), (5, 5, 5))
    assert window.with_absent_as_zero().values == (76.0, 95.0, 76.0)
