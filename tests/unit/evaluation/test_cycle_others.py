from __future__ import annotations

import pytest

from autoscaler.core.model import BY_OPERATOR, Outcome
from autoscaler.core.reasons import Reason
from autoscaler.swarm.cluster import ROLLBACK_LABEL, STATE_LABEL
from autoscaler.swarm.history import ScaleState
from tests.support.world import (
    FREE,
    LOST,
    only,
    policy_for,
    raising,
    reasons,
    said,
    settled_world,
)


@pytest.mark.fault("write-conflict")
def test_an_operators_scale_between_read_and_write_is_decided_on_anew() -> None:
    """Where an operator scales between the look and the write, the service is read and decided on again at once."""
    world = settled_world(cpu=85)
    world.api.before("service", lambda: world.engine.operator_scale("web", 6))

    record = only(world.next())

    assert said(record) == (Outcome.HELD, Reason.COOLING_DOWN, 6, 6)
    assert Reason.CHANGED_EXTERNALLY in reasons(record)
    assert (world.replicas(), world.api.calls["services"]) == (6, 2)


def test_the_same_at_the_moment_of_the_write() -> None:
    """An operator's scale after the last look is met by the version index, and decided on again just so."""
    world = settled_world(cpu=85)
    world.api.before("update", lambda: world.engine.operator_scale("web", 6))

    record = only(world.next())

    assert said(record) == (Outcome.HELD, Reason.COOLING_DOWN, 6, 6)
    assert world.replicas() == 6


@pytest.mark.fault("write-conflict")
def test_deciding_anew_is_bounded() -> None:
    """Against somebody who writes all the time an evaluation gives up after three rounds, and says conflict."""
    world = settled_world(FREE, cpu=85)
    touch = [
        lambda: world.engine.change_service("web", lambda spec: spec["Labels"].update(note=f"{world.version()}"))
    ] * 9
    world.api.before("update", *touch)

    record = only(world.next())

    assert said(record) == (Outcome.CONFLICT, Reason.ABOVE_THRESHOLD, 3, 4)
    assert "out of sequence" in record.detail
    assert (world.api.calls["update"], world.replicas()) == (3, 3)


def test_a_change_by_others_is_told_whatever_round_decides() -> None:
    """An outside change that the first look adopted is a reason of the decision that a conflict made anew."""
    world = settled_world(cpu=50)
    world.next()
    world.engine.operator_scale("web", 12)
    world.api.before("update", lambda: world.engine.change_service("web", lambda spec: spec["Labels"].update(a="b")))

    record = only(world.next())

    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_MAX, 12, 10)
    assert Reason.CHANGED_EXTERNALLY in reasons(record)
    assert [(event.before, event.after, event.reason) for event in record.adopted] == [(3, 12, BY_OPERATOR)]


def test_a_change_by_others_is_found_by_one_evaluation() -> None:
    """The record of one evaluation has the change that it found; later records have it among the known changes."""
    world = settled_world(cpu=50)
    world.next()
    world.engine.operator_scale("web", 5)

    found, later = only(world.next()), only(world.next())

    assert [(event.before, event.after) for event in found.adopted] == [(3, 5)]
    assert later.adopted == ()
    assert later.changes == found.changes == found.adopted


@pytest.mark.fault("rollout")
def test_a_rollout_between_read_and_write_is_respected() -> None:
    """A deploy between the look and the write holds the decision: the write would take its rollback away."""
    world = settled_world(cpu=85)
    world.api.before("service", lambda: world.deploy(image="app:2"))

    record = only(world.next())

    assert said(record)[:2] == (Outcome.HELD, Reason.ROLLOUT_IN_PROGRESS)
    assert world.api.calls["update"] == 0


def test_where_the_second_look_fails_the_conflict_is_told() -> None:
    """Where Swarm goes away after a conflict, the record says that nothing was written, and nothing is raised."""
    world = settled_world(cpu=85)
    world.api.before("update", lambda: world.engine.operator_scale("web", 6))
    world.api.before("services", lambda: None, raising(LOST))

    record = only(world.next())

    assert said(record)[0] is Outcome.CONFLICT
    assert world.replicas() == 6


@pytest.mark.fault("service-removed")
@pytest.mark.parametrize("call", ["service", "update"])
@pytest.mark.parametrize("pattern", ["web", "w*"], ids=["named", "by a glob"])
def test_a_service_that_is_removed_between_read_and_write(call: str, pattern: str) -> None:
    """A service that is removed between the look and the write is not found; nothing is raised."""
    world = settled_world(policy_for(pattern, name="p"), cpu=85)
    world.api.before(call, lambda: world.engine.remove("web"))

    record = only(world.next())

    assert said(record)[:2] == (Outcome.FAILED, Reason.SERVICE_NOT_FOUND)
    assert reasons(record)[-1] is Reason.SERVICE_NOT_FOUND


@pytest.mark.fault("service-removed")
@pytest.mark.parametrize("pattern", ["web", "w*"], ids=["named", "by a glob"])
def test_a_service_that_is_removed_after_a_conflict(pattern: str) -> None:
    """A service that somebody writes to and then removes within one evaluation is not found, and not passed over."""
    world = settled_world(policy_for(pattern, name="p"), cpu=85)
    world.api.before("update", lambda: world.engine.operator_scale("web", 6))
    world.api.before("services", lambda: None, lambda: world.engine.remove("web"))

    record = only(world.next())

    assert said(record)[1] is Reason.SERVICE_NOT_FOUND


@pytest.mark.fault("service-removed")
def test_a_service_that_is_recreated_between_read_and_write() -> None:
    """A service of the same name is another service: the order for the first one is not carried out on it."""
    world = settled_world(cpu=85)

    def recreate() -> None:
        world.engine.remove("web")
        world.service(replicas=1, cpu=85)

    world.api.before("service", recreate)

    record = only(world.next())

    assert said(record)[:2] == (Outcome.FAILED, Reason.SERVICE_NOT_FOUND)
    assert world.replicas() == 1


@pytest.mark.fault("operator-scales")
def test_an_operators_scale_is_adopted_and_starts_the_cooldown() -> None:
    """An outside count is adopted, told of once, and no rule removes replicas within the cooldown after it."""
    world = settled_world(cpu=10, replicas=2)
    world.load["web", "cpu"] = 50
    world.next()
    world.load["web", "cpu"] = 10
    world.pass_step()
    scaled_at = world.clock.time
    world.engine.operator_scale("web", 5)

    adopted = only(world.evaluate())
    down = world.until_changed()

    assert Reason.CHANGED_EXTERNALLY in reasons(adopted)
    assert said(down) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 5, 4)
    assert down.decision.at - scaled_at == 300


@pytest.mark.fault("labels-damaged")
def test_a_service_whose_own_labels_somebody_damaged_is_scaled_as_ever() -> None:
    """Labels of the autoscaler's that it cannot read, of a megabyte each, are told, and replaced by the next scale."""
    world = settled_world(cpu=85)
    damaged = {STATE_LABEL: "7" * 10**6, ROLLBACK_LABEL: "A" * 400_000}
    world.engine.change_service("web", lambda spec: spec["Labels"].update(damaged))
    world.settle(60)

    record = only(world.evaluate())

    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
    told = [why.detail for why in record.decision.reasons if why.reason is Reason.CHANGED_EXTERNALLY]
    assert told == [
        f"the label {STATE_LABEL} is not in the autoscaler's format, so the changes that it recorded are not known"
    ]
    labels = world.engine.service("web")["Spec"]["Labels"]
    assert (ScaleState.decode(labels[STATE_LABEL]), labels[ROLLBACK_LABEL]) == (world.state(), "")
    assert Reason.CHANGED_EXTERNALLY not in reasons(only(world.next()))
