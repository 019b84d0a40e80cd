from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.evaluation.cycle import assign
from autoscaler.policy.matching import ENABLED_LABEL, Matcher
from autoscaler.policy.policy import PolicySet
from autoscaler.util.deadline import Deadline
from tests.support.world import (
    World,
    only,
    policy_for,
    reasons,
    said,
    settled_world,
)


@pytest.mark.fault("policies-conflict")
def test_two_globs_that_match_leave_that_one_service_untouched() -> None:
    """Where two policies match a service with equal rank, it is left as it is, and the others are served."""
    world = World(policy_for("*-api", name="apis"), policy_for("shop-*", name="shop"))
    for name in ("shop-api", "shop-web"):
        world.service(name, cpu=85)
    world.settle()

    records = {record.decision.service: record for record in world.next().records}

    assert said(records["shop-api"]) == (Outcome.HELD, Reason.POLICY_CONFLICT, 3, 3)
    assert records["shop-api"].decision.running == 3
    assert "apis, shop" in records["shop-api"].decision.primary.detail
    assert said(records["shop-web"])[0] is Outcome.APPLIED


def test_a_service_that_is_named_but_not_there() -> None:
    """A service that a policy names and Swarm does not have is told of at every evaluation."""
    world = World(policy_for("web", "wbe", name="p"))
    world.service(cpu=50)

    records = {record.decision.service: record for record in world.next().records}

    assert said(records["wbe"]) == (Outcome.HELD, Reason.SERVICE_NOT_FOUND, 0, 0)


def test_the_label_takes_a_service_out() -> None:
    """`autoscaler.enabled=false` takes a service out, even one that a policy names."""
    world = World()
    world.service(cpu=85, labels={ENABLED_LABEL: "false"})
    world.settle()

    assert world.next().records == ()


@pytest.mark.parametrize(("pattern", "matched"), [("*", False), ("web", True)], ids=["glob", "name"])
def test_the_autoscalers_own_service_is_matched_by_its_name_only(pattern: str, *, matched: bool) -> None:
    """The autoscaler's own service never matches a glob; a policy that names it means it."""
    world = settled_world()
    policies = PolicySet(policies=(policy_for(pattern, name="p"),))
    cluster = world.cycle.swarm.read(Deadline(10))

    assigned, _ = assign(Matcher(policies), replace(cluster, own_service="web"), world.clock.now())

    assert [item.view.name for item in assigned] == (["web"] if matched else [])


def test_a_service_without_a_policy_is_left_alone() -> None:
    """A service that no policy matches is neither decided on nor written to."""
    world = settled_world()
    world.service("other", cpu=95)
    world.settle()

    assert [record.decision.service for record in world.next().records] == ["web"]


def test_a_removed_service_is_forgotten() -> None:
    """A service created anew under the name of a removed one has no past."""
    world = settled_world(cpu=85)
    world.next()
    world.engine.remove("web")
    world.next()
    world.service(replicas=3, cpu=85)
    world.settle(60)

    record = world.until_changed()

    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
    assert Reason.CHANGED_EXTERNALLY not in reasons(record)
    assert len(world.cycle._memories) == 1


@pytest.mark.fault("unscalable")
def test_a_global_service_is_refused() -> None:
    """A service of another mode is held as that, and not written to."""
    world = World()
    world.engine.create_service({"Name": "web", "Mode": {"Global": {}}, "TaskTemplate": {}, "Labels": {}})
    world.settle()

    assert said(only(world.next()))[:2] == (Outcome.HELD, Reason.UNSUPPORTED_MODE)
