"""Bad nodes: three real managers of one swarm, which are killed, parted, drained and demoted under the autoscaler."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.engine_api import VersionConflictError
from autoscaler.adapters.docker.lease import CONFIG
from autoscaler.util.deadline import Deadline
from tests.e2e.daemon import Daemon
from tests.e2e.lab import (
    Engine,
    LabError,
    Nodes,
    Prometheus,
    Release,
    TaskExporter,
    load_image,
    missing,
    start_load,
    wait_for,
)
from tests.support.lab import entered, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="three engines at once take minutes")]

CORES = 0.2
"""The CPU limit of a task."""
_numbers = itertools.count(1)


@dataclass
class Cluster:
    """Three managers, and a Prometheus that hears of the tasks on each."""

    nodes: Nodes
    prometheus: Prometheus
    cores: dict[str, float]
    """The cores that each task uses, by service."""
    made: list[str] = field(default_factory=list)

    def service(self, cpu: float, replicas: int, *constraints: str) -> str:
        """The name of a new service whose tasks run, each at *cpu* percent of its limit."""
        name = f"load-{next(_numbers)}"
        self.made.append(name)
        self.set(name, cpu)
        place = {"Constraints": list(constraints)}
        start_load(
            self.nodes.engines[0],
            name,
            replicas=replicas,
            cpus=CORES,
            change=lambda spec: spec["TaskTemplate"].update(Placement=place),
        )
        return name

    def set(self, service: str, cpu: float) -> None:
        """Let each task of *service* use *cpu* percent of its limit."""
        self.cores[service] = cpu / 100 * CORES


@pytest.fixture(scope="module")
def cluster(release: Release) -> Iterator[Cluster]:
    """One for all tests here: each begins with three ready managers, and no service."""
    if reason := missing():
        unavailable(reason)
    with contextlib.ExitStack() as stack:
        nodes = entered(stack, Nodes(release))
        nodes.engines[0].docker("swarm", "update", "--dispatcher-heartbeat", "2s")  # nodes are found dead sooner
        for engine in nodes.engines:
            load_image(engine)
        cores: dict[str, float] = {}
        exporters = [stack.enter_context(TaskExporter(engine, cores)) for engine in nodes.engines]
        targets = {"cadvisor": [exporter.address for exporter in exporters]}
        yield Cluster(nodes, entered(stack, Prometheus(targets, scrape_interval=1, release=release)), cores)


@pytest.fixture
def swarm(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster as it should be, before and after the test."""
    yield cluster
    cluster.nodes.recover()
    while cluster.made:
        cluster.nodes.engines[0].remove_service(cluster.made.pop())


def steps(service: str, *, up: str = "5m", low: int = 1, high: int = 8) -> str:
    """A policy in seconds that adds and removes one at a time."""
    return f"""
  - name: {service}
    services: [{service}]
    replicas: {{min: {low}, max: {high}}}
    rules:
      - {{name: cpu-high, metric: cpu, above: 70, for: 3s, add: 1}}
      - {{name: cpu-low, metric: cpu, below: 30, for: 5s, remove: 1}}
    scale_up: {{cooldown: {up}}}
    scale_down: {{cooldown: 2s}}
"""


def target(service: str) -> str:
    """A policy that takes the count which the load asks for, at once and in both directions.

    Three replicas at 52 % stay three from 40 to 66 %: that much a busy machine's scrapes may be off.
    """
    return f"""
  - name: {service}
    services: [{service}]
    replicas: {{min: 1, max: 8}}
    rules:
      - {{name: cpu, metric: cpu, strategy: target, target: 60}}
    scale_up: {{cooldown: 0s}}
    scale_down: {{cooldown: 0s, stabilization: 0s}}
"""


def daemon(engine: Engine, swarm: Cluster, directory: Path, *policies: str) -> Daemon:
    """An autoscaler on *engine*'s socket."""
    directory.mkdir(exist_ok=True)
    return Daemon(engine, swarm.prometheus, directory, file_of(*policies))


def file_of(*policies: str) -> str:
    """A policy file with these."""
    return "version: 1\npolicies:\n" + "".join(policies)


def changes(engine: Engine, service: str) -> list[list[int]]:
    """The changes of the count that the autoscaler's label on the service tells of."""
    labels = engine.service(service)["Spec"]["Labels"]
    return [change[1:] for change in json.loads(labels["autoscaler.state"])["changes"]] if labels else []


def steady(decision: dict[str, Any]) -> bool:
    """Whether a decision was made on data, and changes nothing."""
    return decision.get("primary", {}).get("reason") in {"no_breach", "below_target", "within_tolerance"}


def applied(autoscaler: Daemon, service: str) -> int:
    """How often it scaled the service."""
    return len(autoscaler.events("service_evaluated", service=service, outcome="applied"))


@contextlib.contextmanager
def pair(first: Engine, second: Engine, swarm: Cluster, directory: Path, *policies: str) -> Iterator[Pair]:
    """The autoscaler that acts, on the socket of the *first* engine, and one that stands by on the other's."""
    with daemon(first, swarm, directory / "one", *policies) as one:
        one.wait_event("lease_acquired")
        with daemon(second, swarm, directory / "other", *policies) as other:
            other.wait_event("lease_awaited")
            yield Pair(one, other)


class Pair(NamedTuple):
    """Two autoscalers of one swarm."""

    one: Daemon
    other: Daemon

    def applied(self, service: str) -> tuple[int, int]:
        """How often each of them scaled the service."""
        return applied(self.one, service), applied(self.other, service)


def ghosts(engine: Engine, service: str) -> int:
    """How many tasks Swarm has given up that still say they run: what `docker service ls` counts too."""
    told = [(task["DesiredState"], task["Status"]["State"]) for task in engine.tasks(service)]
    return told.count(("shutdown", "running"))


def lease_version(engine: Engine) -> int:
    """How often the lease was written, in Swarm's own count."""
    version: int = engine.client.inspect_config(CONFIG)["Version"]["Index"]  # type: ignore[no-untyped-call] # no types of it
    return version


def any_on(node: str, tasks: list[dict[str, Any]]) -> bool:
    """Whether one of the tasks is on the node."""
    return any(task["NodeID"] == node for task in tasks)


@pytest.mark.fault("node-lost", "leader-dies")
def test_a_node_dies_with_its_tasks_and_the_autoscaler_that_acts(swarm: Cluster, tmp_path: Path) -> None:
    """The other autoscaler takes over within 30 s; ghosts do not count, and nothing shrinks or doubles."""
    dying, there = swarm.nodes.others(swarm.nodes.leader)
    busy, spread = swarm.service(50, 3), swarm.service(52, 3)
    with pair(dying, there, swarm, tmp_path, steps(busy), target(spread)) as both:
        for service in (busy, spread):
            both.other.wait_decision(service, steady)

        killed = time.monotonic()
        both.one.kill()
        dying.kill()
        swarm.set(busy, 95)
        both.other.wait_event("lease_acquired")
        assert time.monotonic() - killed < 30
        up = both.other.wait_event("service_evaluated", service=busy, outcome="applied")
        there.wait_running(busy, 4)
        there.wait_running(spread, 3)

        assert (up["requested"], up["running"], up["desired"]) == (3, 3, 4), "it waited for the replacements"
        assert ghosts(there, busy) + ghosts(there, spread) > 0
        both.other.wait_decision(busy, lambda decision: decision["running"] == 4)
        both.other.wait_decision(spread, lambda decision: decision["running"] == 3)

        dying.start()
        both.one.start()
        both.one.wait_event("lease_awaited", holder=both.other.events("lease_acquired")[0]["holder"])
        both.one.wait_decision(busy, lambda decision: decision.get("running") == 4)
        assert (both.applied(busy), changes(there, busy)) == ((0, 1), [[3, 4]])
        assert (both.applied(spread), there.replicas(spread)) == ((0, 0), 3)


@pytest.mark.fault("quorum-lost", "write-unanswered")
def test_the_quorum_is_lost_in_the_middle_of_a_step(swarm: Cluster, tmp_path: Path) -> None:
    """A step that the leader takes as its followers fall silent is applied when one is back, and no second follows."""
    leader = swarm.nodes.leader
    first, second = swarm.nodes.others(leader)
    service = swarm.service(50, 2, f"node.id=={swarm.nodes.id(leader)}")
    with daemon(leader, swarm, tmp_path, steps(service)) as autoscaler:
        autoscaler.wait_decision(service, steady)
        # The leader takes one write at a time, and keeps the one on its way when it loses its followers. The next
        # renewal of the lease is 3 s away: the step comes first.
        renewed = lease_version(leader)
        wait_for("a renewal of the lease", lambda: lease_version(leader) > renewed, interval=0.05)
        first.pause()
        second.pause()
        autoscaler.edit(file_of(steps(service, low=3)))

        unknown = autoscaler.wait_event("service_evaluated", service=service, outcome="unknown")
        assert "it may still be" in unknown["detail"]
        autoscaler.wait_event("lease_lost")
        autoscaler.wait_event("swarm_lost")
        said = autoscaler.wait_event("swarm_loss_explained")["detail"]
        assert "the Swarm has no leader, because too few of its managers are online; bring managers back" in said
        assert autoscaler.get("/-/healthy").status_code == 200
        assert applied(autoscaler, service) == 0

        first.resume()
        autoscaler.wait_event("swarm_recovered")
        autoscaler.wait_event("lease_acquired", after=1)
        leader.wait_running(service, 3)
        autoscaler.wait_decision(service, lambda decision: decision.get("requested") == 3)
        assert changes(leader, service) == [[2, 3]]
        assert applied(autoscaler, service) == 0, "the write without an answer was applied, and none followed it"


@pytest.mark.fault("partition", "swarm-leader-lost", "write-unanswered", "two-act", "leader-dies")
def test_the_swarms_leader_is_parted_with_the_autoscaler_that_acts(swarm: Cluster, tmp_path: Path) -> None:
    """Alone, the leader goes on answering with what it knows; its autoscaler scales nothing, the others' takes over.

    Theirs has no leader first, and then one that has not heard of all nodes: that shrinks nothing. Joined again,
    neither the step that the parted leader took and could not pass on nor a second one is carried out.
    """
    parted = swarm.nodes.leader
    there, _ = swarm.nodes.others(parted)
    busy, spread = swarm.service(50, 2, f"node.id=={swarm.nodes.id(there)}"), swarm.service(52, 3)
    with pair(parted, there, swarm, tmp_path, steps(busy), target(spread)) as both:
        for service in (busy, spread):
            both.other.wait_decision(service, steady)

        seen = parted.service(busy)
        swarm.nodes.cut(parted)
        cut = time.time()  # noqa: TID251 - to compare with the log's times
        assert parted.service(busy) == seen, "it still answers"
        for each in both:  # by a bound and not by load, so that it is tried before the lease ends
            each.edit(file_of(steps(busy, low=3), target(spread)))
        both.one.wait_event("service_evaluated", service=busy, outcome="unknown")
        with contextlib.suppress(LabError):  # it does so for some 14 s, then it knows that it leads no more
            assert parted.service(busy) == seen, "its step is not made"
        both.one.wait_event("lease_lost")
        both.other.wait_event("swarm_lost")
        both.other.wait_event("swarm_recovered")
        acquired = both.other.wait_event("lease_acquired")
        assert datetime.fromisoformat(acquired["timestamp"]).timestamp() - cut < 30, "the election included"
        both.other.wait_event("service_evaluated", service=busy, outcome="applied")
        there.wait_running(busy, 3)

        swarm.nodes.mend(parted)
        both.one.wait_event("lease_awaited", holder=both.other.events("lease_acquired")[0]["holder"])
        both.one.wait_decision(busy, lambda decision: decision.get("requested") == 3)
        assert (both.applied(busy), changes(there, busy)) == ((0, 1), [[2, 3]])
        assert (both.applied(spread), there.replicas(spread)) == ((0, 0), 3)
    with contextlib.closing(DockerEngine(parted.socket_url)) as api, pytest.raises(VersionConflictError):
        api.update(seen["ID"], seen["Version"]["Index"], seen["Spec"], Deadline(10))  # what a former leader would write


@pytest.mark.fault("swarm-away")
def test_the_autoscalers_manager_is_paused_drained_and_demoted(swarm: Cluster, tmp_path: Path) -> None:
    """A node's availability is nothing to the autoscaler on it; demoted it says what to do, and promoted it goes on."""
    leader = swarm.nodes.leader
    here, _ = swarm.nodes.others(leader)
    identity = swarm.nodes.id(here)
    busy, spread = swarm.service(50, 2, f"node.id!={identity}"), swarm.service(52, 3)
    with daemon(here, swarm, tmp_path, steps(busy), target(spread)) as autoscaler:
        for service in (busy, spread):
            autoscaler.wait_decision(service, steady)

        for availability in ("pause", "drain"):
            leader.docker("node", "update", "--availability", availability, identity)
        wait_for("the node to be empty", lambda: not any_on(identity, leader.running_tasks(spread)))
        leader.wait_running(spread, 3)
        autoscaler.wait_decision(spread, lambda decision: decision["running"] == 3 and steady(decision))
        leader.docker("node", "update", "--availability", "active", identity)
        assert (autoscaler.events("swarm_lost"), applied(autoscaler, spread)) == ([], 0)

        leader.docker("node", "demote", identity)
        lost = autoscaler.wait_event("swarm_lost")
        assert (
            "this node is a worker, and only managers know the services; run the autoscaler on a manager"
            in lost["detail"]
        )
        swarm.set(busy, 95)
        leader.docker("node", "promote", identity)
        # Engine 28 takes 34 s for a node that was demoted a moment ago; one that was 10 s ago is a manager after 3 s.
        autoscaler.wait_event("swarm_recovered")
        autoscaler.wait_event("service_evaluated", service=busy, outcome="applied")
        leader.wait_running(busy, 3)
        assert changes(leader, busy) == [[2, 3]]
        assert (applied(autoscaler, spread), leader.replicas(spread)) == (0, 3)
