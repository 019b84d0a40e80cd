"""Replicas added for a metric that does not fall stop after a set number of steps, with a reason that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.core.model import Outcome, ScaleEvent, ScaleUpStreak
from autoscaler.core.reasons import Reason
from autoscaler.swarm.scale_state import ScaleState
from tests.support.builders import STEP, written
from tests.support.world import World, only, said, settled_world

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAK = {"name": "memory-high", "metric": "memory", "above": 80, "add": 1, "ineffective_after": 3}
CPU = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 1}


def leaking(*more: Mapping[str, Any], memory: float = 90) -> World:
    """A world whose service leaks: each replica soon holds as much as the others."""
    world = World(written(LEAK, *more, most=12))
    world.service(replicas=2, cpu=50)
    world.load["web", "memory"] = memory
    world.settle()
    return world


@pytest.mark.fault("ineffective")
def test_it_stops_instead_of_running_to_the_maximum() -> None:
    """After three increases that did not lower the metric there is none, however long it stays."""
    world = leaking()

    world.run(3600)

    record = world.records[-1]
    assert said(record) == (Outcome.HELD, Reason.INEFFECTIVE, 5, 5)
    assert record.decision.primary.rule == "memory-high"
    assert record.decision.primary.detail == (
        "memory 90 % of the limit of 1 MiB, above 80 %; 3 increases since 90 did not lower it (look for another cause)"
    )


def test_without_the_setting_the_maximum_is_the_end() -> None:
    """A rule that was not told to stop does not."""
    rule = {key: value for key, value in LEAK.items() if key != "ineffective_after"}
    world = settled_world(written(rule, most=12), cpu=50)
    world.load["web", "memory"] = 90

    world.run(3600)

    assert world.replicas() == 12


def test_increases_that_help_go_on() -> None:
    """Each increase that brought the metric down begins the count anew."""
    world = leaking()
    for load in (100, 94, 88, 83, 82.9):
        world.load["web", "memory"] = load
        world.run(600)

    counts = [record.decision.desired for record in world.records if record.decision.changes]
    assert counts[:6] == [3, 4, 5, 6, 7, 8]


def test_a_calm_in_between_begins_anew() -> None:
    """Once the metric was below the bound, a new surge has all its steps."""
    world = leaking()
    world.run(3600)
    world.load["web", "memory"] = 50
    world.run(60)
    world.load["web", "memory"] = 90

    world.run(3600)

    assert world.replicas() == 8


def test_another_rule_still_adds() -> None:
    """Only the rule whose increases do not help stops."""
    world = leaking(CPU)
    world.run(3600)
    assert world.replicas() == 5

    world.load["web", "cpu"] = 90
    record = only(world.next())

    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 5, 6)
    assert record.decision.primary.rule == "cpu-high"


def test_a_rule_that_stopped_still_holds_a_reduction() -> None:
    """A reduction needs a rule that wants fewer and none that wants more; the one that stopped still would."""
    idle = {"name": "cpu-low", "metric": "cpu", "below": 30, "remove": 1}
    world = leaking(idle)
    world.run(3600)

    world.load["web", "cpu"] = 10

    assert said(only(world.next())) == (Outcome.HELD, Reason.INEFFECTIVE, 5, 5)


def test_a_restart_forgets_nothing() -> None:
    """The steps ride on the service's label."""
    world = leaking()
    world.run(600)
    while world.replicas() < 4:
        world.next()
    world.restart()

    world.run(3600)

    assert world.replicas() == 5
    state = world.state()
    assert state is not None
    assert state.streak == ScaleUpStreak("memory-high", 3, 90.0)


def test_a_dry_run_counts_no_steps() -> None:
    """What was only proposed cannot have helped."""
    world = World(written(LEAK, most=12, scale_up={"cooldown": "15s"}), dry_run=True)
    world.service(replicas=2)
    world.load["web", "memory"] = 90
    world.settle()

    records = [only(evaluation) for evaluation in world.run(100 * STEP)]

    assert {record.decision.primary.reason for record in records} <= {Reason.ABOVE_THRESHOLD, Reason.COOLING_DOWN}


def test_the_label_tells_of_it() -> None:
    """What is written is what is read; a label without it, and one that somebody damaged, is understood too."""
    state = ScaleState(3, (ScaleEvent(1.0, 2, 3),), ScaleUpStreak("memory-high", 2, 90.5))
    assert ScaleState.decode(state.encode()) == state
    assert ScaleState.decode(ScaleState(3).encode()) == ScaleState(3)
    assert ScaleState.decode('{"v":1,"replicas":3,"changes":[],"streak":["a",1]}') is None
    assert ScaleState.decode('{"v":1,"replicas":3,"changes":[],"streak":["a",1,NaN]}') is None
