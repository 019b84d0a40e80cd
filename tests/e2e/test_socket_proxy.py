"""The autoscaler behind the socket proxy's allowlist of deploy/stack.yml, on a real engine."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.e2e.daemon import Daemon, command
from tests.e2e.guide import policy
from tests.e2e.lab import wait_for
from tests.e2e.lab.ports import free_port
from tests.e2e.lab.process import Child
from tests.support.stack import ALLOWLIST, SERVICES, allowed_branches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = pytest.mark.e2e

PROXY = Path(__file__).parent / "standins" / "socket_proxy.py"
STACK_FILE = "services: {web: {image: 'app:1', deploy: {replicas: 1}}}\n"


@contextmanager
def proxy(engine: Engine, directory: Path) -> Iterator[tuple[str, Path]]:
    """The stand-in with the stack's own flags before the engine: its address, and its log of what it let through."""
    port, log = free_port(), directory / "proxy.log"
    own = (f"-socketpath={engine.socket}", f"-proxyport={port}", "-listenip=127.0.0.1", "-loglevel=debug")
    flags = [flag for flag in SERVICES["socket-proxy"]["command"] if flag.startswith("-allow")]
    child = Child("socket-proxy", [sys.executable, PROXY, *own, *flags], log)
    try:
        address = f"127.0.0.1:{port}"
        child.wait_ready(lambda: requests.get(f"http://{address}/version", timeout=5).ok)
        yield address, log
    finally:
        child.stop()


@pytest.mark.fault("socket-proxy")
def test_the_daemon_and_every_command_work_behind_the_socket_proxy(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """Daemon, `plan`, `check --live`, `rollback` and `stack-file` do their work through it, and use all it allows.

    What is dangerous is refused before it reaches the engine.
    """
    load = service()
    load.set(cpu=95)
    (tmp_path / "stack.yml").write_text(STACK_FILE)
    with proxy(engine, tmp_path) as (address, log):
        env = {"AUTOSCALER_DOCKER_HOST": f"tcp://{address}"}
        with Daemon(engine, prometheus, tmp_path, policy(load.name, up="10m"), **env) as daemon:
            daemon.wait_event("service_evaluated", service=load.name, outcome="applied", desired=2)
            wait_for("the lease to be renewed", lambda: "autoscaler-lease/update" in log.read_text())

            def run(*arguments: str) -> tuple[int, str]:
                done = command(engine, prometheus.url, daemon.policies, *arguments, **env)
                return done.returncode, done.stdout + done.stderr

            assert run("plan")[0] in {0, 2}
            assert "Prometheus scrapes cAdvisor every 1s." in run("check", "--live")[1]
            assert run("stack-file", str(tmp_path / "stack.yml"), "--stack", "shop")[1].startswith(STACK_FILE)
            assert "has no version to go back to" in run("rollback", load.name)[1]
            for words in (["pause", load.name], ["pause", "--direction", "down"], ["resume", load.name], ["resume"]):
                assert run(*words)[0] == 0  # nothing stays paused for the engine's next test
        calls = [tuple(line.split()[2:4]) for line in log.read_text().splitlines() if line.startswith("allowed")]
        for method, branch in allowed_branches():
            assert any(called == method and branch.fullmatch(path.partition("?")[0]) for called, path in calls), branch
        for method, path in (
            ("GET", "/v1.41/containers/json"),
            ("GET", "/v1.41/services%2f..%2fsecrets"),
            ("GET", "/v1.41/swarm"),
            ("POST", "/v1.41/services/create"),
            ("DELETE", f"/v1.41/services/{load.name}"),
        ):
            answer = requests.request(method, f"http://{address}{path}", json={}, timeout=60)
            assert (answer.status_code, answer.text) == (ALLOWLIST.refusal(method, path), "refused by the proxy\n")
    assert engine.service(load.name)["Spec"]["Name"] == load.name
