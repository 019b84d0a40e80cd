"""A `docker stack deploy` that lowered the count is repaired; operators' scales and deploys to 0 are respected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.orchestrator import DryRun
from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.policy.metric import Metric
from autoscaler.policy.policy import PolicySet
from tests.support.builders import STEP, written
from tests.support.world import World, only, reasons, said, settled_world

if TYPE_CHECKING:
    from autoscaler.policy.policy import Policy

CPU = {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1}


def scaled_world(policy: Policy | None = None, *, replicas: int = 5, **options: bool) -> World:
    """A world in which the autoscaler took `web` from 3 to *replicas* replicas, and all is calm since."""
    world = settled_world(policy or written(CPU, most=8), cpu=90, **options)
    while world.replicas() < replicas:
        world.until_changed()
    world.load["web", "cpu"] = 50
    world.settle()
    world.next()
    return world


@pytest.mark.fault("deploy-lowers")
def test_a_deploy_that_lowers_the_count_is_repaired() -> None:
    """Our label is gone and the count is lower: set once to PreviousSpec's count."""
    world = scaled_world()
    world.deploy(replicas=3)

    record = only(world.next())

    assert said(record) == (Outcome.APPLIED, Reason.RESTORED_AFTER_DEPLOY, 3, 5)
    assert reasons(record) == [Reason.CHANGED_EXTERNALLY, Reason.RESTORED_AFTER_DEPLOY]
    assert record.decision.primary.detail == "a deploy lowered 5 → 3; 5 are set again"
    assert world.replicas() == 5


@pytest.mark.fault("deploy-lowers")
def test_also_when_the_daemon_was_down_meanwhile() -> None:
    """The service itself tells of it: PreviousSpec holds the count and our label."""
    world = scaled_world()
    world.deploy(replicas=3)
    world.settle(600)
    world.restart()

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.RESTORED_AFTER_DEPLOY, 3, 5)


@pytest.mark.fault("deploy-lowers")
def test_after_any_rollout_is_over() -> None:
    """A deploy with a new version rolls out first; nothing is written meanwhile."""
    world = scaled_world()
    world.deploy(replicas=3, image="app:2")

    first = only(world.next())
    assert said(first) == (Outcome.HELD, Reason.ROLLOUT_IN_PROGRESS, 3, 3)
    version = world.version()
    record = world.until_changed()

    assert record.decision.primary.reason == Reason.RESTORED_AFTER_DEPLOY
    assert world.version() > version
    assert world.replicas() == 5
    assert world.engine.service("web")["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "app:2"


@pytest.mark.fault("deploy-repeated")
@pytest.mark.parametrize("restarted", [False, True])
def test_the_same_deploy_again_in_its_rollout(*, restarted: bool) -> None:
    """While a rollout goes on of which Swarm says nothing, as the same was deployed again, nothing is written."""
    world = settled_world(written(CPU | {"for": "0s"}, most=8), cpu=50, replicas=4)
    world.load["web", "cpu"] = 85
    for _ in range(2):
        world.deploy(replicas=4, image="app:2")
        world.settle(STEP)
    if restarted:
        world.restart()
    held = world.until_reason(Reason.ROLLOUT_IN_PROGRESS)
    assert "UpdateStatus" not in world.engine.service("web")
    assert "Swarm no longer reports on their rollout" in held.decision.primary.detail

    applied = world.until_changed()

    tasks = [task for task in world.engine.tasks() if task["Status"]["State"] == "running"]
    assert said(applied)[1:] == (Reason.ABOVE_THRESHOLD, 4, 5)
    assert {task["Spec"]["ContainerSpec"]["Image"] for task in tasks} == {"app:2"}


def test_a_second_deploy_before_the_repair() -> None:
    """When a second deploy follows, Swarm has forgotten the count before the first; the daemon has not."""
    world = scaled_world()
    world.deploy(replicas=3, image="app:2")
    world.next()
    world.deploy(replicas=3, image="app:3")

    record = world.until_changed()

    assert (record.decision.primary.reason, world.replicas()) == (Reason.RESTORED_AFTER_DEPLOY, 5)


@pytest.mark.fault("deploy-lowers")
@pytest.mark.parametrize("images", [("app:1", "app:1"), ("app:2", "app:3")], ids=["same version", "new versions"])
def test_two_deploys_between_two_looks(images: tuple[str, str]) -> None:
    """Swarm has forgotten the count before the first of two quick deploys; the daemon saw it, and our label with it."""
    world = scaled_world()
    for image in images:
        world.deploy(replicas=3, image=image)

    assert world.until_changed().decision.primary.reason == Reason.RESTORED_AFTER_DEPLOY
    assert world.replicas() == 5


@pytest.mark.parametrize("first", ["deploy", "operator"])
def test_a_deploy_and_an_operators_scale_between_two_looks(first: str) -> None:
    """Of a deploy and an operator's scale it is the operator's that lowered the count, in whichever order they came."""
    world = scaled_world()
    if first == "deploy":
        world.deploy(replicas=5)
        world.engine.operator_scale("web", 3)
    else:
        world.engine.operator_scale("web", 3)
        world.deploy(replicas=3)

    assert {record.decision.desired for evaluation in world.run(300) for record in evaluation.records} == {3}


def test_it_is_repaired_once() -> None:
    """An operator who scales down after the repair is respected."""
    world = scaled_world()
    world.deploy(replicas=3)
    world.next()
    world.engine.operator_scale("web", 2)

    counts = {record.decision.desired for evaluation in world.run(1800) for record in evaluation.records}

    assert counts == {2}


def test_an_operators_scale_right_after_the_deploy_is_respected() -> None:
    """Whoever scales before the repair comes to it settles the count."""
    world = scaled_world()
    world.deploy(replicas=3, image="app:2")
    world.next()
    world.engine.operator_scale("web", 2)
    world.settle(300)

    assert only(world.next()).decision.desired == 2


@pytest.mark.parametrize("count", [1, 4])
def test_an_operators_scale_is_no_deploy(count: int) -> None:
    """An operator's `docker service scale` keeps our label, and is adopted."""
    world = scaled_world()
    world.engine.operator_scale("web", count)

    assert only(world.next()).decision.desired == count


@pytest.mark.fault("deploy-lowers")
def test_a_deploy_to_zero_is_respected() -> None:
    """A count of 0 is meant, whoever set it."""
    world = scaled_world()
    world.deploy(replicas=0)

    assert said(only(world.next())) == (Outcome.HELD, Reason.SCALED_TO_ZERO, 0, 0)


def test_a_deploy_that_raises_the_count_is_accepted() -> None:
    """Raised by a deploy: accepted."""
    world = scaled_world()
    world.deploy(replicas=7)

    assert only(world.next()).decision.desired == 7


def test_within_the_bounds_in_force() -> None:
    """What an operator scaled beyond the maximum is not set again beyond it."""
    world = scaled_world(written(CPU, most=5))
    world.engine.operator_scale("web", 5)
    world.policies = PolicySet(policies=(written(CPU, most=4),))
    world.deploy(replicas=3)

    record = only(world.next())

    assert (record.decision.desired, record.decision.primary.reason) == (4, Reason.AT_MAX)
    assert Reason.RESTORED_AFTER_DEPLOY in reasons(record)


def test_on_deploy_accept_turns_it_off() -> None:
    """`on_deploy: accept` takes the file's count."""
    world = scaled_world(written(CPU, most=8, on_deploy="accept"))
    world.deploy(replicas=3)

    assert {record.decision.desired for evaluation in world.run(600) for record in evaluation.records} == {3}


def test_a_deploy_more_than_an_hour_ago_is_left() -> None:
    """The daemon was down for longer than an hour: somebody has got used to the count."""
    world = scaled_world()
    world.deploy(replicas=3)
    world.settle(3600)
    world.restart()

    assert only(world.next()).decision.desired == 3


def test_without_data_too() -> None:
    """A repair needs no data: it undoes what no rule asked for."""
    world = scaled_world()
    world.prometheus.lose("web")
    world.deploy(replicas=3)
    world.settle(STEP)

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.RESTORED_AFTER_DEPLOY, 3, 5)


def test_in_dry_run_it_is_proposed_once_in_a_cooldown() -> None:
    """Dry-run writes nothing, and does not repeat itself."""
    world = scaled_world(written(CPU, most=8, scale_up={"cooldown": "3m"}))
    world.deploy(replicas=3)
    world.cycle.swarm = DryRun(world.cycle.swarm)

    first, second = only(world.next()), only(world.next())

    assert (first.outcome, first.repeated) == (Outcome.DRY_RUN, False)
    assert (second.outcome, second.repeated) == (Outcome.DRY_RUN, True)
    assert world.replicas() == 3


def test_a_service_that_we_never_scaled_is_left_to_its_deploys() -> None:
    """Where our label never was there is nothing of ours to repair."""
    world = settled_world(written(CPU, most=8), replicas=5)
    world.next()
    world.deploy(replicas=3)

    assert only(world.next()).decision.desired == 3


def test_a_service_that_we_put_to_sleep_wakes_by_its_schedule() -> None:
    """0 by hand stays 0; a 0 of our own making comes to a schedule's minimum when that begins."""
    jobs = {"name": "jobs", "metric": "jobs", "strategy": "target", "target": 10}
    office = {"name": "office", "start": "0 9 * * *", "end": "0 17 * * *", "min": 3}  # NOW is 08:00
    policy = written(jobs, least=0, schedules=[office])
    world = World(policy, metrics={"jobs": Metric(query="sum(jobs)", kind="total")})
    world.shared["jobs"] = 0
    world.service(replicas=1)
    world.settle()
    assert said(only(world.next())) == (Outcome.APPLIED, Reason.BELOW_TARGET, 1, 0)

    woken = world.until_changed()

    assert said(woken) == (Outcome.APPLIED, Reason.SCHEDULE_BOUNDS, 0, 3)
    world.engine.operator_scale("web", 0)
    assert said(only(world.next())) == (Outcome.HELD, Reason.SCALED_TO_ZERO, 0, 0)


def test_the_deploy_after_one_that_dropped_the_label_only() -> None:
    """A deploy with the live count leaves no trace of ours; a later one that lowers it is a deploy by its new version.

    Without a new version it cannot be told from an operator's scale, which is respected.
    """
    world = scaled_world()
    world.deploy(replicas=5, image="app:2")
    world.run(300)
    world.deploy(replicas=3, image="app:3")
    assert world.until_changed().decision.primary.reason == Reason.RESTORED_AFTER_DEPLOY

    world.deploy(replicas=5, image="app:3")
    world.run(300)
    world.engine.operator_scale("web", 3)
    assert {record.decision.desired for evaluation in world.run(300) for record in evaluation.records} == {3}


def test_deploys_right_after_our_scale() -> None:
    """What we wrote is ours also where a deploy dropped the label before we saw it again."""
    world = settled_world(written(CPU, most=8), cpu=90)
    world.until_changed()
    world.load["web", "cpu"] = 50
    world.deploy(replicas=4, image="app:1")
    world.deploy(replicas=3, image="app:2")

    assert world.until_changed().decision.primary.reason == Reason.RESTORED_AFTER_DEPLOY
