from __future__ import annotations

import pytest

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.util.durations import words
from tests.support.builders import STEP
from tests.support.world import (
    only,
    said,
    settled_world,
)


@pytest.mark.fault("clock-skew")
@pytest.mark.parametrize(
    ("offset", "newest"), [(-3600.0, -3600), (-20.0, -2 * STEP), (-1.0, -STEP), (0.0, 0), (20.0, STEP), (3600.0, 3600)]
)
def test_windows_end_by_prometheus_clock(offset: float, newest: int) -> None:
    """A Prometheus is asked for the steps that its own clock has reached, which dates its samples, and no others."""
    world = settled_world(offset=offset)

    world.next()

    assert world.source.asked[-1][2] - world.clock.time == newest


@pytest.mark.fault("clock-skew")
@pytest.mark.parametrize(
    ("offset", "told"),
    [(-15.0, None), (-40.0, "40s behind ours"), (15.0, None), (40.0, "40s ahead of ours")],
)
def test_more_than_a_step_of_skew_is_a_problem(offset: float, told: str | None) -> None:
    """Clocks that are more than one window step apart are reported, and windows go on being judged."""
    world = settled_world(cpu=85, offset=offset)

    evaluation = world.next()

    assert [problem.kind for problem in evaluation.problems] == ([] if told is None else ["clock"])
    assert told is None or told in evaluation.problems[0].detail
    assert said(only(evaluation))[0] is Outcome.APPLIED


def test_what_to_do_about_a_skew_is_the_sources_word() -> None:
    """The problem ends with the cure that the source of the clock knows, by how far it is off."""
    world = settled_world(cpu=50, offset=-30.0)
    world.cycle.windows.clock_cure = lambda offset: f"set the flag for {offset:g} s"

    (problem,) = world.next().problems

    assert problem.detail == "Prometheus' clock is 30s behind ours (set the flag for -30 s)"


@pytest.mark.fault("clock-skew")
@pytest.mark.parametrize("offset", [-600.0, -40.0, 40.0, 600.0])
def test_what_is_decided_is_about_now_whatever_the_clocks_say(offset: float) -> None:
    """With clocks that differ a calm that is over is over: nothing is removed for a load of some minutes ago."""
    world = settled_world(cpu=10, offset=offset)
    world.load["web", "cpu"] = 60
    world.settle(4 * STEP)

    assert {only(evaluation).decision.primary.reason for evaluation in world.run(600)} == {Reason.NO_BREACH}


@pytest.mark.fault("clock-skew")
@pytest.mark.parametrize("back", [40.0, 600.0])
def test_a_prometheus_whose_clock_is_set_back_shrinks_nothing(back: float) -> None:
    """What it has of the time that comes again is not new: nothing is removed on it until the time is over."""
    world = settled_world(cpu=10)
    world.load["web", "cpu"] = 60
    world.next()
    world.prometheus.offset = -back

    set_back = world.evaluate()
    again = world.run(int(back))
    world.load["web", "cpu"] = 10

    assert [problem.kind for problem in set_back.problems] == ["prometheus"]
    assert f"went back by {words(back)}" in set_back.problems[0].detail
    assert {only(each).decision.primary.reason for each in (set_back, *again[:-2])} <= {
        Reason.STALE_DATA,
        Reason.NO_DATA,
    }
    assert world.replicas() == 3
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


def test_a_clock_that_was_wrong_for_a_moment_costs_that_moment() -> None:
    """Where Prometheus' clock is said to be an hour ahead, where it has no samples, scaling waits until it is right."""
    world = settled_world(cpu=50)
    world.next()
    world.load["web", "cpu"] = 85
    world.source.offset = 3600.0
    assert {said(only(evaluation))[:2] for evaluation in world.run(600)} == {(Outcome.HELD, Reason.NO_DATA)}
    world.source.offset = None

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
