from __future__ import annotations

import pytest

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.policy.policy import PolicySet
from autoscaler.util.durations import words
from tests.support.builders import STEP
from tests.support.laws import Laws
from tests.support.process import Process, Watches
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


@pytest.mark.fault("clock-skew")
@pytest.mark.fault("write-unanswered")
@pytest.mark.parametrize(
    ("skew", "lag", "short"),
    [(0.0, 15, 15), (0.0, 30, 0), (-20.0, 15, 15), (-20.0, 30, 0), (20.0, 15, 15), (20.0, 30, 30)],
)
def test_a_write_up_to_20_s_late_by_the_clock_that_reads_it_starts_the_cooldown_at_its_decision(
    skew: float, lag: int, short: int
) -> None:
    """The lag is Swarm's time of the write, at most now, minus the decision; past 20 s the cooldown begins then."""
    process = held_up(lag, skew)
    until_written(process)

    first, second = process.writes
    laws = Laws(process.world)

    assert second.at - first.at == 180 - short
    laws.hold_between(second, [first])
    with pytest.raises(AssertionError, match="s after"):
        laws.hold_between(second._replace(at=second.at - 1), [first])


@pytest.mark.fault("clock-skew")
@pytest.mark.fault("write-unanswered")
def test_a_late_write_that_was_read_by_a_right_clock_is_late_whatever_the_clock_is_set_to_later() -> None:
    """The clock counts as it was when the label was read: setting it back afterwards shortens no cooldown."""
    process = held_up(15, -20.0)
    process.watches.set(0.0)
    process.work(due=True)
    process.watches.set(-20.0)
    until_written(process)

    first, second = process.writes
    laws = Laws(process.world)

    assert second.at - first.at >= 180
    laws.hold_between(second, [first])
    with pytest.raises(AssertionError, match="s after"):
        laws.hold_between(second._replace(at=first.at + 179), [first])


@pytest.mark.fault("clock-skew")
@pytest.mark.fault("write-unanswered")
def test_a_successor_counts_a_late_write_as_the_one_did_that_read_it_first() -> None:
    """A restarted autoscaler has the time of an earlier write from the newest label, as its predecessor took it."""
    process = held_up(15, -20.0)
    world = process.world
    bounds = world.policies
    (policy,) = bounds.policies
    lower = policy.model_copy(update={"replicas": policy.replicas.model_copy(update={"max": 3})})
    world.policies = PolicySet(policies=(lower,), metrics=bounds.metrics, revision="r2")
    until_written(process)
    world.policies = bounds
    process.stop()
    successor = Process(world, watches=process.watches)
    until_written(successor)

    first, corrected = process.writes
    (second,) = successor.writes
    laws = Laws(world)

    assert [write.counts for write in (first, corrected, second)] == [(3, 4), (4, 3), (3, 4)]
    assert second.at - first.at == 180 - 15
    laws.hold_between(second, [first, corrected])
    with pytest.raises(AssertionError, match="s after"):
        laws.hold_between(second._replace(at=second.at - 1), [first, corrected])


def held_up(lag: int, skew: float) -> Process:
    """Return an autoscaler whose clock is *skew* seconds ahead, just as its write is carried out *lag* seconds late."""
    world = settled_world(cpu=85)
    process = Process(world, watches=Watches(world.clock, skew))
    process.api.hold_up()
    process.work(due=True)
    for _ in range(lag // STEP):
        world.pass_step()
        process.beat()
    process.api.catch_up()
    return process


def until_written(process: Process) -> None:
    """Let it evaluate, now and at the next steps, until it has written once more."""
    written = len(process.writes)
    for _ in range(3600 // STEP):
        process.work(due=True)
        if len(process.writes) > written:
            return
        process.world.pass_step()
    raise AssertionError("nothing was written within 3600 s")
