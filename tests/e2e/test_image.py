"""The image built from the Dockerfile, run as Swarm would run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemon import FAST
from tests.e2e.guide import policy
from tests.e2e.lab import LabError, Prometheus, python_base, wait_for
from tests.e2e.lab.images import BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.lab import CAdvisor, Engine, Load

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
IMAGE = "swarm-autoscaler:test"
NAME = "autoscaler"


@pytest.fixture
def image(engine: Engine) -> str:
    """The image, built as README.md says, on a stand-in for its base image that has the same name."""
    python_base(engine, BASE)
    engine.build(ROOT, IMAGE)
    return IMAGE


@pytest.fixture
def outward_prometheus(engine: Engine, cadvisor: CAdvisor) -> Iterator[Prometheus]:
    """A Prometheus where containers can reach it."""
    with Prometheus({"cadvisor": [cadvisor.address]}, listen=engine.network.host_address) as started:
        yield started


def test_the_image_runs_as_a_swarm_service_and_scales_another(
    engine: Engine, image: str, outward_prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """The image built from the Dockerfile runs as a Swarm service, read-only, without capabilities, not as root.

    It becomes healthy and does the main job once; asked to stop, it ends by itself within its grace period. The volume
    for its history belongs to its user, and the next task of the slot knows what the task before did.
    """
    load = service()
    load.set(cpu=95)
    (tmp_path / "policies.yml").write_text(policy(load.name, up="10m"))
    settings = FAST | {
        "AUTOSCALER_PROMETHEUS_URL": outward_prometheus.url,
        "AUTOSCALER_DOCKER_HOST": "unix:///run/docker.sock",
        "AUTOSCALER_LISTEN": "0.0.0.0:9595",
        "AUTOSCALER_STATE_DIR": "/var/lib/autoscaler/{{.Task.Slot}}",
    }
    engine.docker("config", "create", "autoscaler_policies_1", tmp_path / "policies.yml")
    group = engine.socket.stat().st_gid
    environment = [argument for name, value in settings.items() for argument in ("--env", f"{name}={value}")]
    engine.docker(
        *("service", "create", "--detach", "--no-resolve-image", "--name", NAME, "--endpoint-mode", "dnsrr"),
        *("--config", "source=autoscaler_policies_1,target=/policies/policies.yml"),
        *("--mount", f"type=bind,source={engine.socket},target=/run/docker.sock"),
        *("--mount", "type=volume,source=autoscaler-state,target=/var/lib/autoscaler"),
        *("--group", str(group), "--read-only", "--cap-drop", "ALL", "--stop-grace-period", "30s"),
        *environment,
        image,
    )
    try:
        # Swarm counts a task with a health check as running only once it is healthy.
        engine.wait_running(NAME, 1)
        wait_for("the autoscaler to scale", lambda: load.replicas == 2)
        engine.wait_running(load.name, 2)
        state = json.loads(engine.service(load.name)["Spec"]["Labels"]["autoscaler.state"])
        assert [change[1:] for change in state["changes"]] == [[1, 2]]
        assert state["why"] == ["above_threshold cpu-high"]
        # Of a task that is replaced Swarm keeps what became of it; one of a service scaled to 0 it soon forgets.
        engine.docker("service", "update", "--detach", "--force", NAME)
        ended = wait_for("its task to end", lambda: [task for task in engine.tasks(NAME) if _ended(task)])
        assert [task["Status"]["ContainerStatus"]["ExitCode"] for task in ended] == [0]
        engine.wait_running(NAME, 1)
        history = wait_for("the new task's history", lambda: _history(engine, starts=2))
        kinds = [item["kind"] for item in history["happenings"]]
        assert (history["problem"], kinds.count("stopped")) == (None, 1)
        (change,) = (item for item in history["happenings"] if item["kind"] == "change")
        assert (change["service"], change["facts"]["rule"], change["facts"]["after"]) == (load.name, "cpu-high", 2)
    finally:
        engine.remove_service(NAME)
        engine.docker("config", "rm", "autoscaler_policies_1")


def _history(engine: Engine, starts: int) -> Any:
    """What the running task answers to `autoscaler history`, once it knows of so many starts; else None."""
    container = engine.docker("ps", "--quiet", "--filter", f"name={NAME}.").split()
    try:
        text = engine.docker("exec", container[0], "autoscaler", "history", "--output", "json")
    except (IndexError, LabError):
        return None  # it does not listen yet
    history = json.loads(text)
    known = [item for item in history["happenings"] if item["kind"] == "started"]
    return history if len(known) == starts else None


def _ended(task: dict[str, dict[str, str]]) -> bool:
    return task["Status"]["State"] in {"complete", "shutdown", "failed"}
