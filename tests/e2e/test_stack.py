"""deploy/stack.yml as an operator deploys it, with local stand-ins for the images this machine cannot pull."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.lab import LabError, wait_for
from tests.e2e.lab.cadvisor import PROGRAM as CADVISOR
from tests.e2e.lab.process import tool
from tests.e2e.test_image import BASE, IMAGE, ROOT, image  # noqa: F401 - a fixture
from tests.e2e.test_scaling import policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.lab import Engine, Load

pytestmark = pytest.mark.e2e

STACK = "autoscaler"
STANDINGS = {"lease_acquired", "lease_awaited"}
OVERRIDE = """
version: "3.8"
services:
  socket-proxy:
    volumes:
      - {{type: bind, source: {socket}, target: /var/run/docker.sock}}
  cadvisor:
    command: [--docker_only=true, --housekeeping_interval=1s, --docker=unix:///mnt/engine.sock]
    volumes:
      - {{type: bind, source: {socket}, target: /mnt/engine.sock}}
      - {{type: bind, source: {data}, target: {data}, read_only: true}}
configs:
  prometheus:
    file: {prometheus}
"""


def stand_in(engine: Engine, directory: Path, name: str, program: Path, entrypoint: str) -> str:
    """An image of that name with the program, on the base image's stand-in."""
    context = directory / name
    context.mkdir()
    shutil.copy(program, context / program.name)
    (context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY {program.name} /usr/local/bin/\nENTRYPOINT {entrypoint}\n")
    return engine.build(context, f"standin/{name}:1") and f"standin/{name}:1"


@pytest.fixture
def settings(engine: Engine, image: str, tmp_path: Path) -> dict[str, str]:  # noqa: F811 - the fixture
    """The environment of `docker stack deploy`: stand-ins, and seconds for minutes."""
    faster = tmp_path / "prometheus.yml"
    faster.write_text((ROOT / "deploy" / "prometheus.yml").read_text().replace("15s", "1s"))
    override = OVERRIDE.format(socket=engine.socket, data=engine.directory / "data", prometheus=faster)
    (tmp_path / "override.yml").write_text(override)
    proxy = ROOT / "tests" / "e2e" / "standins" / "socket_proxy.py"
    return {
        "AUTOSCALER_IMAGE": image,
        "SOCKET_PROXY_IMAGE": stand_in(
            engine, tmp_path, "proxy", proxy, '["python3", "/usr/local/bin/socket_proxy.py"]'
        ),
        "CADVISOR_IMAGE": stand_in(engine, tmp_path, "cadvisor", CADVISOR, '["cadvisor"]'),
        "PROMETHEUS_IMAGE": stand_in(engine, tmp_path, "prometheus", Path(tool("prometheus")), '["prometheus"]'),
        "DOCKER_GID": str(engine.socket.stat().st_gid),
        "AUTOSCALER_INTERVAL": "1s",
        "AUTOSCALER_SCRAPE_INTERVAL": "1s",
        "POLICIES_FILE": str(tmp_path / "policies.yml"),
        "POLICIES_REV": "1",
    }


@pytest.fixture
def deploy(engine: Engine, settings: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., None]]:
    """`docker stack deploy -c deploy/stack.yml`, with the stand-ins; removed after the test."""

    def run(policies: str, **more: str) -> None:
        Path(settings["POLICIES_FILE"]).write_text(policies)
        files = ("-c", ROOT / "deploy" / "stack.yml", "-c", tmp_path / "override.yml")
        engine.docker("stack", "deploy", "--resolve-image", "never", *files, STACK, env=settings | more)

    yield run
    engine.docker("stack", "rm", STACK)
    wait_for("the stack's tasks to end", lambda: not engine.client.containers(filters={"name": f"{STACK}_"}), 60)
    wait_for("its networks to go", lambda: not engine.client.networks(names=[f"{STACK}_metrics"]), 60)


def test_the_stack_starts_in_dry_run_and_scales_once_it_goes_live(
    engine: Engine, deploy: Callable[..., None], service: Callable[..., Load]
) -> None:
    """The stack deployed as README.md says proposes in dry-run and, redeployed live, scales a service."""
    load = service()
    load.set(cpu=95)
    version = engine.service(load.name)["Version"]["Index"]
    deploy(policy(load.name, up="10m"))
    for name, count in {"autoscaler": 2, "socket-proxy": 2, "prometheus": 1, "cadvisor": 1}.items():
        engine.wait_running(f"{STACK}_{name}", count, timeout=60)

    def proposed() -> bool:
        return '"dry_run"' in _logs(engine)

    try:
        wait_for("a proposal in dry-run", proposed, 90)
    except LabError as error:
        raise AssertionError(f"{error}; the autoscaler said: {_logs(engine)[-3000:]}") from error
    assert engine.service(load.name)["Version"]["Index"] == version
    deploy(policy(load.name, up="10m"), AUTOSCALER_DRY_RUN="false")
    wait_for("the service to be scaled", lambda: load.replicas == 2, 90)
    state = json.loads(engine.service(load.name)["Spec"]["Labels"]["autoscaler.state"])
    assert [change[1:] for change in state["changes"]] == [[1, 2]]
    wait_for("one to lead and the other to stand by", lambda: _lease_events(engine) == STANDINGS, 90)


def _lease_events(engine: Engine) -> set[str]:
    """What the log tells of the lease, through the proxy that lets only its calls through."""
    return {event for event in ("lease_acquired", "lease_awaited", "lease_failed") if event in _logs(engine)}


def _logs(engine: Engine) -> str:
    containers = engine.client.containers(filters={"label": f"com.docker.swarm.service.name={STACK}_autoscaler"})
    return "".join(engine.client.logs(container["Id"]).decode() for container in containers)
