from __future__ import annotations

from math import nan

import pytest

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem
from autoscaler.errors import RefusedError
from tests.support.builders import STEP
from tests.support.world import (
    FREE,
    LOST,
    World,
    only,
    policy_for,
    raising,
    reasons,
    said,
    settled_world,
)

# lost answers


@pytest.mark.fault("write-unanswered")
@pytest.mark.parametrize("restarted", [False, True], ids=["the same daemon", "a new daemon"])
def test_a_lost_answer_to_a_write_that_was_applied_is_read_back(*, restarted: bool) -> None:
    """A write that was applied, though its answer was lost, counts as the step it is: no second one follows."""
    world = settled_world(cpu=85)
    world.api.after("update", raising(LOST))

    first = only(world.next())
    if restarted:
        world.restart()
    second = world.until_changed()

    assert said(first) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
    assert "read back: it is applied" in first.detail
    assert second.decision.requested == 4
    assert second.decision.at - first.decision.at == 180


@pytest.mark.fault("write-unanswered")
@pytest.mark.parametrize("restarted", [False, True], ids=["the same daemon", "a new daemon"])
def test_a_lost_answer_that_cannot_be_read_back_is_unknown_and_never_doubles_the_step(*, restarted: bool) -> None:
    """A write that was applied unseen is found at the next look by its label, and starts the cooldown as any other."""
    world = settled_world(FREE.model_copy(update={"scale_up": policy_for("web").scale_up}), cpu=85)
    world.api.after("update", raising(LOST))
    # The first call of `service` is the look before the write; the two after it are the reading back.
    world.api.before("service", lambda: None, raising(LOST), raising(LOST))

    first = only(world.next())
    if restarted:
        world.restart()
    second = world.until_changed()

    assert said(first) == (Outcome.UNKNOWN, Reason.ABOVE_THRESHOLD, 3, 4)
    assert (second.decision.requested, second.decision.desired) == (4, 5)
    assert second.decision.at - first.decision.at == 180


def test_a_lost_write_that_was_not_applied_is_decided_anew() -> None:
    """A write that never arrived is unknown at first, and made at the next evaluation: it started no cooldown."""
    world = settled_world(cpu=85)
    world.api.before("update", raising(LOST))

    records = [only(world.next()), only(world.next())]

    assert [said(record)[0] for record in records] == [Outcome.UNKNOWN, Outcome.APPLIED]
    assert (world.replicas(), len(world.api.updates)) == (4, 1)


@pytest.mark.fault("write-unanswered")
def test_a_write_that_is_carried_out_late_is_not_made_a_second_time() -> None:
    """A write that arrives after it was given up meets no second one: it counts as made, and starts the cooldown."""
    world = settled_world(cpu=85)
    world.api.before("update", raising(LOST))
    first = only(world.next())

    late = world.engine.service("web")
    event = {"autoscaler.state": f'{{"v":1,"replicas":4,"changes":[[{first.decision.at},3,4]]}}'}
    world.engine.update(
        "web",
        late["Version"]["Index"],
        late["Spec"] | {"Mode": {"Replicated": {"Replicas": 4}}, "Labels": event},
    )
    second = world.until_changed()

    assert said(first)[0] is Outcome.UNKNOWN
    assert (second.decision.requested, second.decision.desired) == (4, 5)
    assert second.decision.at - first.decision.at == 180
    assert Reason.CHANGED_EXTERNALLY not in reasons(second)


@pytest.mark.fault("write-unanswered")
@pytest.mark.parametrize("restarted", [False, True], ids=["the same daemon", "a new daemon"])
def test_a_write_that_was_held_up_starts_the_cooldown_when_it_is_carried_out(*, restarted: bool) -> None:
    """While Swarm had no quorum nothing changed: the quiet time after a write begins when it is carried out."""
    world = settled_world(cpu=85)
    world.api.hold_up()
    first = only(world.next())
    world.lose_swarm(times=6)
    world.run(6 * STEP)

    carried_out = world.clock.time
    world.api.catch_up()
    if restarted:
        world.restart()
    second = world.until_changed()

    assert said(first)[0] is Outcome.UNKNOWN
    assert (second.decision.requested, second.decision.desired) == (4, 5)
    assert second.decision.at - carried_out == 180
    assert Reason.CHANGED_EXTERNALLY not in reasons(second)


def test_a_late_write_between_the_look_and_the_second_write_is_a_conflict_at_most() -> None:
    """A write that arrives while the next evaluation decides makes that one read anew, and take no second step."""
    world = settled_world(cpu=85)
    world.api.before("update", raising(LOST))
    first = only(world.next())
    late = world.engine.service("web")
    event = {"autoscaler.state": f'{{"v":1,"replicas":4,"changes":[[{first.decision.at},3,4]]}}'}
    spec = late["Spec"] | {"Mode": {"Replicated": {"Replicas": 4}}, "Labels": event}
    world.api.before("update", lambda: world.engine.update("web", late["Version"]["Index"], spec))

    second = only(world.next())

    assert said(second)[:2] in {(Outcome.HELD, Reason.COOLING_DOWN), (Outcome.HELD, Reason.TASKS_PENDING)}
    assert world.replicas() == 4


@pytest.mark.fault("swarm-away")
def test_an_unreachable_swarm_is_a_problem_and_no_more() -> None:
    """Without an answer of Swarm's an evaluation says so, decides nothing, and the next one goes on."""
    world = settled_world(cpu=85)
    world.lose_swarm()

    lost, back = world.next(), world.next()

    assert (lost.records, lost.problems) == ((), (Problem("swarm", str(LOST)),))
    assert world.source.asked[0][0] == "cpu"
    assert said(only(back))[0] is Outcome.APPLIED


@pytest.mark.fault("swarm-away")
def test_a_swarm_lost_before_the_write_fails_the_step_and_starts_no_cooldown() -> None:
    """A step that could not be written is failed, and taken at the next evaluation."""
    world = settled_world(cpu=85)
    world.api.before("service", raising(LOST))

    records = [only(world.next()), only(world.next())]

    assert [said(record)[0] for record in records] == [Outcome.FAILED, Outcome.APPLIED]
    assert "nothing was written" in records[0].detail


def test_a_refused_write_is_failed_and_the_other_services_are_served() -> None:
    """What Swarm refuses for one service does not keep the others from their steps."""
    world = World(policy_for("*", name="all"))
    for name in ("api", "web"):
        world.service(name, cpu=85)
    world.settle()
    world.api.before("update", raising(RefusedError("invalid spec")))

    assert {record.decision.service: record.outcome for record in world.next().records} == {
        "api": Outcome.FAILED,
        "web": Outcome.APPLIED,
    }


# restart


@pytest.mark.fault("killed")
def test_after_a_restart_the_cooldown_is_read_from_the_service() -> None:
    """A new daemon takes no second step for the same breach within the cooldown: the label tells of the first."""
    world = settled_world(cpu=85)
    first = world.until_changed()

    world.restart()
    second = world.until_changed()

    assert second.decision.at - first.decision.at == 180


def test_after_a_restart_windows_are_refilled_at_once() -> None:
    """A first look has complete windows, as Prometheus has them."""
    world = settled_world(cpu=10)
    world.restart()

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


@pytest.mark.fault("killed")
def test_a_first_look_shrinks_only_on_complete_windows() -> None:
    """Where Prometheus itself holds less than the window, a first look does not shrink."""
    world = World()
    world.load["web", "cpu"] = nan
    world.service(replicas=3, cpu=nan)
    world.settle()
    world.load["web", "cpu"] = 10

    records = [only(evaluation) for evaluation in world.run(5 * STEP)]

    assert [said(record)[:2] for record in records] == [
        *[(Outcome.HELD, Reason.WINDOW_INCOMPLETE)] * 4,
        (Outcome.APPLIED, Reason.BELOW_THRESHOLD),
    ]
