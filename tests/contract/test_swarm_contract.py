"""The contract of DockerSwarm on the simulated engine, called directly, and through the SDK and a real socket."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.orchestrator import DockerSwarm
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from tests.contract.swarm_cases import Document, SwarmContract, World
from tests.support.engine_server import EngineServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autoscaler.adapters.docker.engine_api import EngineApi

_LONGEST = 3600


@dataclass
class SimulatedWorld:
    """The simulated engine, seen through *api*."""

    clock: ManualClock
    engine: SimulatedEngine
    api: EngineApi

    def swarm(self, hostname: str | None = None) -> DockerSwarm:
        """What is tested, for a process on a machine of this name."""
        return DockerSwarm(self.api, hostname)

    def create(self, spec: Document) -> None:
        """Create a service."""
        self.engine.create_service(spec)

    def deploy(self, spec: Document) -> None:
        """Deploy a stack of this one service."""
        self.engine.deploy(spec)

    def change(self, name: str, change: Callable[[Document], None]) -> None:
        """Let *change* edit the service's spec."""
        self.engine.change_service(name, change)

    def remove(self, name: str) -> None:
        """Remove the service."""
        self.engine.remove(name)

    def break_template(self, spec: Document, *, after: int = 0) -> None:
        """Edit the spec so that its tasks end with an error when they start, or when they have run for some seconds."""
        image = f"local/broken:{after}"
        self.engine.break_image(image, "task: non-zero exit (7)", after=after)
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = image

    def fail_task(self, name: str) -> None:
        """Let a running task end with an error."""
        self.engine.fail_task(name, "task: non-zero exit (137)")

    def raw(self, name: str) -> Document:
        """The service as the engine has it; a copy, which an edit of the engine's own documents would not reach."""
        return deepcopy(self.engine.service(name))

    def tasks(self, name: str) -> list[Document]:
        """All its tasks."""
        service_id = self.engine.service(name)["ID"]
        return [task for task in self.engine.tasks(ended=True) if task["ServiceID"] == service_id]

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Let virtual time pass until it holds."""
        for _ in range(_LONGEST):
            if holds():
                return
            self.clock.time += 1
        pytest.fail(f"waited an hour of virtual time in vain for {what}")


@pytest.fixture(params=["direct", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A simulated Swarm, called directly or through the SDK and a unix socket."""
    clock = ManualClock()
    engine = SimulatedEngine(clock)
    engine.break_image("local/missing:1", "No such image: local/missing:1")
    if request.param == "direct":
        yield SimulatedWorld(clock, engine, engine)
        return
    with EngineServer(engine, tmp_path / "docker.sock") as server:
        client = DockerEngine(server.url)
        yield SimulatedWorld(clock, engine, client)
        client.close()


class TestSimulatedSwarm(SwarmContract):
    pass
