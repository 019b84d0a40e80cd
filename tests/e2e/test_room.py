"""Replicas that do not run, and replicas that do not help, on a real engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemon import Daemon, command
from tests.e2e.lab import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="Swarm schedules alike on both")]


def policy(services: str, rule: str, *, high: int = 4, metrics: str = "", give_back: str = "") -> str:
    """A policy of one rule for these services."""
    return f"""
version: 1
{metrics}
policies:
  - name: crowded
    services: ["{services}"]
    replicas: {{min: 1, max: {high}}}
    rules: [{rule}]
    scale_up: {{cooldown: 2s{f", give_back: {give_back}" if give_back else ""}}}
"""


def reserving(cores: float) -> Callable[[dict[str, Any]], None]:
    """Let each task reserve so many cores."""

    def change(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["Resources"]["Reservations"] = {"NanoCPUs": round(cores * 1e9)}

    return change


@pytest.mark.fault("no-room")
def test_a_replica_without_room_is_told_given_back_tried_again_and_runs_once_there_is_room(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """Of replicas that reserve a third of what is free the third finds no room: it is held, counted, given back.

    `plan` adds up what finds room. The next attempt comes after as much time; once another service has left, Swarm
    places the replica by itself, and scaling goes on.
    """
    cores = engine.client.info()["NCPU"]
    other = service(change=reserving(cores * 0.4))
    load = service(change=reserving(cores * 0.25))
    load.set(mem=90)
    rules = policy(load.name, "{name: memory-high, metric: memory, above: 80, for: 2s, add: 1}", give_back="10s")
    with Daemon(engine, prometheus, tmp_path, rules) as daemon:
        held = daemon.wait_event("service_evaluated", service=load.name, reason="tasks_pending", requested=3)
        assert (held["desired"], held["running"]) == (3, 2)
        assert "no suitable node (insufficient resources on 1 node)" in held["why"]
        assert f'autoscaler_unplaced_replicas{{service="{load.name}"}} 1.0' in daemon.get("/metrics").text
        planned = command(engine, prometheus.url, daemon.policies, "plan", "--output", "json")
        capacity = json.loads(planned.stdout)["capacity"]
        (place,) = capacity["services"]
        assert (place["maximum"], place["fitting_now"], place["fits"]) == (4, 2, False)
        assert capacity["total"]["cores"] == cores
        assert capacity["reserved"]["cores"] == pytest.approx(cores * 0.9)

        back = daemon.wait_event("service_evaluated", service=load.name, outcome="applied", reason="no_room")
        assert (back["requested"], back["desired"]) == (3, 2)
        assert "1 replica found no room and is given back: pending for" in back["why"]
        assert json.loads(engine.service(load.name)["Spec"]["Labels"]["autoscaler.state"])["asked"] == 1
        waits = daemon.wait_event("service_evaluated", service=load.name, outcome="held", reason="no_room")
        assert (waits["requested"], waits["desired"]) == (2, 2)
        wait_for("the next attempt", lambda: load.replicas == 3)

        engine.remove_service(other.name)
        engine.wait_running(load.name, 3)
        wait_for("scaling to go on", lambda: load.replicas == 4)
        engine.wait_running(load.name, 4)
        applied = [
            (event["requested"], event["desired"])
            for event in daemon.events("service_evaluated", service=load.name, outcome="applied")
        ]
        assert applied == [(1, 2), (2, 3), (3, 2), (2, 3), (3, 4)]


def one_per_node(spec: dict[str, Any]) -> None:
    """One task on each node, and there is one node."""
    spec["TaskTemplate"]["Placement"] = {"MaxReplicas": 1}


def nowhere(spec: dict[str, Any]) -> None:
    """A constraint that no node meets."""
    spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.gpu == true"]}


def no_image(spec: dict[str, Any]) -> None:
    """An image that nobody has."""
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = "local/nobody-has-it:1"


def crashing(spec: dict[str, Any]) -> None:
    """A command that ends at once, again and again: seldom, as a replica is added where all run at the moment."""
    spec["TaskTemplate"]["ContainerSpec"]["Command"] = ["/bin/sh", "-c", "exit 7"]
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "any", "Delay": 60_000_000_000}


CAUSES = {
    "stuck-too-many": (one_per_node, 2, 1, "no suitable node (max replicas per node limit exceed"),
    "stuck-nowhere": (nowhere, 1, 1, "no suitable node (scheduling constraints not satisfied on 1 node)"),
    "stuck-image": (no_image, 1, 0, "No such image: local/nobody-has-it:1"),
    "stuck-crashing": (crashing, 1, 0, "task: non-zero exit (7)"),
}
"""By service: what is wrong with it, its replicas, how many find no node, and Swarm's words."""


@pytest.mark.fault("no-room")
def test_whatever_keeps_replicas_from_running_holds_increases_in_swarms_words(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """No room, too many on a node, a constraint nobody meets, no image, a crash loop: held, and each is quoted."""
    for name, (change, replicas, _, _) in CAUSES.items():
        service(name, replicas=replicas, change=change, wait=False)
    metrics = "metrics: {demand: {query: vector(9)}}"
    rules = policy("stuck-*", "{name: demand, metric: demand, above: 5, add: 1}", metrics=metrics)
    with Daemon(engine, prometheus, tmp_path, rules) as daemon:
        for name, (_, replicas, unplaced, words) in CAUSES.items():

            def quoted(decision: dict[str, Any], words: str = words, unplaced: int = unplaced) -> bool:
                primary = decision.get("primary", {})  # a task that replaces a failed one has no node for a moment
                told = primary.get("reason") == "tasks_pending" and words in primary["detail"]
                return told and decision["unplaced"] == unplaced

            decision = daemon.wait_decision(name, quoted)
            assert (decision["outcome"], decision["requested"]) == ("held", replicas)
            assert engine.replicas(name) == replicas


@pytest.mark.fault("ineffective")
def test_replicas_that_do_not_help_are_no_longer_added_also_after_a_restart(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """A leak fills each new replica too: after two increases there is none, and a new autoscaler adds none either."""
    load = service()
    load.set(mem=90)
    rules = policy(load.name, "{name: leak, metric: memory, above: 80, for: 2s, add: 1, ineffective_after: 2}", high=6)
    with Daemon(engine, prometheus, tmp_path, rules) as daemon:
        held = daemon.wait_event("service_evaluated", service=load.name, reason="ineffective")
        assert (held["requested"], held["desired"], held["outcome"], held["rule"]) == (3, 3, "held", "leak")
        assert "2 increases since" in held["why"]
        assert daemon.terminate() == 0
        before = len(daemon.events("service_evaluated", service=load.name, reason="ineffective"))
        daemon.start()
        daemon.wait_event("service_evaluated", service=load.name, reason="ineffective", after=before)
        assert load.replicas == 3
