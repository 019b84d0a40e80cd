"""The daemon killed around each of the calls that it makes to a real Swarm for one step."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.lease import CONFIG
from tests.e2e.daemon import Daemon
from tests.e2e.guide import changes, policy
from tests.e2e.lab import LabError, Tap, start_load, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="the contracts hold its calls to both")]

VERSION = r"/v1\.\d+"
CALLS = {
    "ask for the lease": rf"GET {VERSION}/configs/{CONFIG}",
    "take the lease": rf"POST {VERSION}/configs/create",
    "list services": rf"GET {VERSION}/services",
    "list tasks": rf"GET {VERSION}/tasks",
    "list nodes": rf"GET {VERSION}/nodes",
    "ask for pauses": rf"GET {VERSION}/configs/autoscaler-pauses",
    "look at the service": rf"GET {VERSION}/services/\w+",
    "scale it": rf"POST {VERSION}/services/\w+/update",
    "renew the lease": rf"POST {VERSION}/configs/{CONFIG}/update",
}
"""All calls around one step, in their order, as the engine hears them."""


@pytest.fixture(scope="module")
def busy(engine: Engine, prometheus: Prometheus) -> Iterator[Load]:
    """A service under a load that asks for one more replica."""
    load = start_load(engine, "busy")
    load.set(mem=90)  # which no other load of the machine changes
    try:
        label = f'container_label_com_docker_swarm_service_name="{load.name}"'
        query = f"count_over_time(container_start_time_seconds{{{label}}}[1m])"
        wait_for("10 s of its series", lambda: [one for one in prometheus.query(query) if one.value >= 10])
        yield load
    finally:
        without_lease(engine)  # the next module has the same engine
        engine.remove_service(load.name)


@pytest.fixture
def fresh(engine: Engine, busy: Load) -> Load:
    """The service as if no autoscaler had ever been: one replica, and no trace of a step in either of its specs."""
    for _ in range(2):
        spec = engine.service(busy.name)["Spec"]
        spec["Mode"]["Replicated"]["Replicas"] = 1
        spec["Labels"] = {}
        engine.update_service(busy.name, spec)
    without_lease(engine)
    engine.wait_running(busy.name, 1)
    return busy


def without_lease(engine: Engine) -> None:
    """Nobody holds the lease: who was killed would keep it for 15 s."""
    with contextlib.suppress(LabError):
        engine.docker("config", "rm", CONFIG)


@pytest.mark.fault("killed")
@pytest.mark.parametrize("passed_on", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_killed_around_a_call(
    prometheus: Prometheus, fresh: Load, tmp_path: Path, call: str, *, passed_on: bool
) -> None:
    """Killed before a call reaches the engine, or after its answer, the daemon has taken one step once it is back."""
    engine, killed = fresh.engine, False

    def kill() -> None:
        nonlocal killed
        daemon.kill()
        killed = True

    def cut() -> None:
        kill()
        raise ConnectionAbortedError

    with Tap(engine) as tap:
        tap.once(CALLS[call], lambda: None if passed_on else cut(), lambda _: kill() if passed_on else None)
        with Daemon(
            engine, prometheus, tmp_path, policy(fresh.name, up="10m"), AUTOSCALER_DOCKER_HOST=tap.url
        ) as daemon:
            wait_for("the end of the daemon", lambda: killed, interval=0.02)
            without_lease(engine)
            seen = len(daemon.events("service_evaluated"))
            daemon.start()
            wait_for("its successor's judgement", lambda: settled(daemon, seen), interval=0.05)
            assert changes(engine, fresh) == [[1, 2]]
            assert fresh.replicas == 2
            daemon.kill()


def settled(daemon: Daemon, seen: int) -> bool:
    """Whether it has told, after so many events, of a step that is made, or was, and that it waits after it."""
    told = daemon.events("service_evaluated")[seen:]
    return any(event["outcome"] == "applied" or event["reason"] == "cooling_down" for event in told)
