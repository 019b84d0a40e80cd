from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.cli.main import main
from autoscaler.metrics.queries import SERVICE_LABEL, STAT_LABEL, TASKS, VALUE
from autoscaler.simulation.engine import SimulatedEngine
from tests.support.builders import STEP
from tests.support.clocks import LateClock
from tests.support.engine_server import EngineServer, applied_then_cut, cut, says
from tests.support.prometheus_server import PrometheusServer, Served
from tests.support.stack import ALLOWLIST, allowed_branches
from tests.support.world import service_spec

if TYPE_CHECKING:
    from pathlib import Path

POLICIES = """
version: 1
policies:
  - name: shop
    services: [web]
    replicas: {min: 2, max: 6}
    rules:
      - {name: cpu-high, metric: cpu, above: 70, for: 1m, add: 1}
"""
STACK_FILE = "services: {web: {image: 'app:1', deploy: {replicas: 1}}}\n"


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Method and path of every call that the daemon and all commands make, on their ways through success and faults."""
    directory = tmp_path_factory.mktemp("calls")
    clock = LateClock(behind=3600)
    engine = SimulatedEngine(clock)
    engine.create_service(service_spec("web", 3))
    clock.behind = 0
    with EngineServer(engine, directory / "docker.sock") as swarm, PrometheusServer() as prometheus:
        _load(prometheus)
        (directory / "policies.yml").write_text(POLICIES)
        (directory / "stack.yml").write_text(STACK_FILE)
        settings = {name: None for name in os.environ if name.startswith("AUTOSCALER_") or name == "DOCKER_HOST"} | {
            "AUTOSCALER_DOCKER_HOST": swarm.url,
            "AUTOSCALER_PROMETHEUS_URL": prometheus.url,
            "AUTOSCALER_POLICIES": str(directory / "policies.yml"),
        }
        _use_everything(swarm, engine, directory, settings)
        return {
            (asked.method, f"/v{asked.version}{asked.path}" if asked.version else asked.path)
            for asked in swarm.all_asked
        }


def _load(prometheus: PrometheusServer) -> None:
    """All tasks have used 90 % of a core for long."""
    newest = int(SystemClock().now() // STEP * STEP)
    steps = range(newest - 40 * STEP, newest + 40 * STEP, STEP)
    of_web = {SERVICE_LABEL: "web", STAT_LABEL: VALUE}
    prometheus.serve(
        [
            Served(of_web, dict.fromkeys(steps, 0.9)),
            Served({**of_web, STAT_LABEL: TASKS}, dict.fromkeys(steps, 3.0)),
        ]
    )


def _use_everything(
    swarm: EngineServer, engine: SimulatedEngine, directory: Path, settings: dict[str, str | None]
) -> None:
    def command(*arguments: str) -> None:
        result = CliRunner(env=settings).invoke(main, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception

    command("plan")
    command("check", "--live")
    command("run", "--once", "--dry-run")
    swarm.misbehave(cut, on="POST /services", times=1)
    command("run", "--once")  # creates the lease; the write is lost, and read back
    swarm.misbehave(says(500, "rpc error: code = Unknown desc = update out of sequence"), on="POST /services", times=1)
    command("run", "--once")  # has the lease again; the write meets another one
    swarm.misbehave(applied_then_cut, on="POST /services", times=1)
    command("run", "--once")
    engine.deploy(service_spec("web", 3, image="app:2"))
    command("rollback", "web")
    command("rollback", "nothing")
    command("pause", "web", "--for", "1h")  # creates the pauses
    command("pause", "--direction", "down")
    command("resume", "web")
    command("stack-file", str(directory / "stack.yml"), "--stack", "shop")


def test_every_call_is_let_through_by_the_socket_proxy(calls: set[tuple[str, str]]) -> None:
    """Behind the proxy of deploy/stack.yml the daemon and every command can do all they do."""
    assert {call for call in calls if ALLOWLIST.refusal(*call)} == set()


def test_the_socket_proxy_lets_nothing_through_that_is_not_called(calls: set[tuple[str, str]]) -> None:
    """Every way through the allowlist is one that some call takes: what nobody needs is not allowed."""
    unused = [
        (method, branch.pattern)
        for method, branch in allowed_branches()
        if not any(called == method and branch.fullmatch(path) for called, path in calls)
    ]
    assert unused == []
