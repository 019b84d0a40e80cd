"""Containers that Swarm runs no longer and that report all the same, on a real engine, cAdvisor and Prometheus."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemon import Daemon, command
from tests.e2e.lab import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = pytest.mark.e2e

SPANS = {"AUTOSCALER_RATE_WINDOW": "8s", "AUTOSCALER_WARMUP": "8s"}
"""Longer than in other tests, so that what the container's restart does is seen for some evaluations."""


def policy(service: str, rule: str, *, high: int = 3) -> str:
    """One rule, and a cooldown that holds nothing for long."""
    return f"""
version: 1
policies:
  - name: w
    services: [{service}]
    replicas: {{min: 1, max: {high}}}
    rules: [{rule}]
    on_starved: allow  # the machine that runs the tests is often busy
    scale_up: {{cooldown: 0s}}
    scale_down: {{cooldown: 0s, stabilization: 0s}}
"""


def reason(decision: dict[str, Any]) -> str:
    """The primary reason of a decision as the API tells it; empty before the first one."""
    return str(decision.get("primary", {}).get("reason", ""))


@contextmanager
def restarted(engine: Engine, load: Load) -> Iterator[str]:
    """Restart the container of one of the tasks by hand; the container's name. It is removed in the end."""
    task = engine.running_tasks(load.name)[0]
    container = task["Status"]["ContainerStatus"]["ContainerID"]
    name = f"{load.name}.{task['Slot']}.{task['ID']}"
    engine.docker("restart", "--time", "0", container)
    try:
        yield name
    finally:
        engine.docker("rm", "--force", container)


@pytest.mark.fault("counter-reset", "others-report")
def test_a_container_that_is_restarted_by_hand_under_load_lowers_nothing(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """Swarm starts a new task, the old container counts from 0 in its series, and all replicas are as busy as before.

    Nothing is removed through it, and once the rate window is past the step the container is named.
    """
    load = service(replicas=3, cpus=0.3)
    load.set(cpu=95)
    rule = "{name: t, metric: cpu, strategy: target, target: 20}"
    with Daemon(engine, prometheus, tmp_path, policy(load.name, rule), **SPANS) as daemon:
        daemon.wait_decision(load.name, lambda now: reason(now) == "at_max")
        time.sleep(20)  # so that there is something to lose: a counter of more than five seconds
        with restarted(engine, load) as stray:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                assert load.replicas == 3, daemon.events("service_evaluated")[-5:]
                time.sleep(0.5)
            load.set(cpu=0)
            held = daemon.wait_decision(load.name, lambda now: reason(now) == "partial_data")
            assert stray in held["primary"]["detail"]
            assert "docker rm -f" in held["primary"]["detail"]
            looked = command(engine, prometheus.url, daemon.policies, "check", "--live", **SPANS)
            assert looked.returncode == 1, looked.stdout
            assert stray in "".join(looked.stdout.split())
            assert load.replicas == 3
        wait_for("fewer replicas once the container is gone", lambda: load.replicas == 1, 60)
        seen = (event["values"]["t"] for event in daemon.events("service_evaluated"))
        values = [value for value in seen if value is not None]
        assert min(values, default=0) >= 0


def test_removals_in_a_row_are_not_held_by_what_was_just_removed(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """An idle service goes from five replicas to one a replica at a time, while Prometheus still shows the removed."""
    load = service(replicas=5, cpus=0.1, mib=16)
    rule = "{name: t, metric: cpu, strategy: target, target: 60}"
    policies = policy(load.name, rule, high=5).replace(
        "stabilization: 0s}", "stabilization: 0s, limits: [{replicas: 1, per: 1s}]}"
    )
    with Daemon(engine, prometheus, tmp_path, policies) as daemon:
        wait_for("one replica", lambda: load.replicas == 1, 120)
        events = daemon.events("service_evaluated", service=load.name)
        applied = [number for number, event in enumerate(events) if event["outcome"] == "applied"]
        assert [(events[number]["requested"], events[number]["desired"]) for number in applied] == [
            (5, 4),
            (4, 3),
            (3, 2),
            (2, 1),
        ]
        between = [event["reason"] for event in events[applied[0] : applied[-1] + 1]]
        assert "partial_data" not in between, between
