"""The contract of DockerSwarm on a real engine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.orchestrator import DockerSwarm
from tests.contract.swarm_cases import Document, SwarmContract, World
from tests.e2e.lab import load_image, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.lab import Engine

pytestmark = pytest.mark.e2e


@dataclass
class RealWorld:
    """A real engine, seen through *api*."""

    engine: Engine
    api: DockerEngine
    created: list[str] = field(default_factory=list)

    def swarm(self, hostname: str | None = None) -> DockerSwarm:
        """What is tested, for a process on a machine of this name."""
        return DockerSwarm(self.api, hostname)

    def create(self, spec: Document) -> None:
        """Create a service."""
        self.created.append(spec["Name"])
        self.engine.create_service(spec)

    def deploy(self, spec: Document) -> None:
        """Replace the spec, as the command line does for a stack."""
        self.engine.update_service(spec["Name"], spec)

    def change(self, name: str, change: Callable[[Document], None]) -> None:
        """Let *change* edit the service's spec."""
        spec = self.engine.service(name)["Spec"]
        change(spec)
        self.engine.update_service(name, spec)

    def remove(self, name: str) -> None:
        """Remove the service."""
        self.engine.remove_service(name)

    def break_template(self, spec: Document, *, after: int = 0) -> None:
        """Edit the spec so that its tasks end with an error when they start, or when they have run for some seconds."""
        spec["TaskTemplate"]["ContainerSpec"]["Command"] = ["/bin/sh", "-c", f"sleep {after}; exit 7"]

    def fail_task(self, name: str) -> None:
        """Kill the container of a running task."""
        self.engine.client.kill(self.engine.running_tasks(name)[0]["Status"]["ContainerStatus"]["ContainerID"])

    def raw(self, name: str) -> Document:
        """The service as the engine has it."""
        return self.engine.service(name)

    def tasks(self, name: str) -> list[Document]:
        """All its tasks."""
        return self.engine.tasks(name)

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until it holds."""
        wait_for(what, holds)


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    """The lab's Swarm; services made in it are removed after the test."""
    load_image(engine)
    with contextlib.ExitStack() as stack:
        api = DockerEngine(engine.socket_url)
        stack.callback(api.close)
        here = RealWorld(engine, api)
        yield here
        for name in here.created:
            stack.callback(engine.remove_service, name)


class TestRealSwarm(SwarmContract):
    pass
