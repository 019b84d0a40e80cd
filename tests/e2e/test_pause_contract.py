"""The contract of the pauses on a real engine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pytest
from docker.errors import NotFound

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.pauses import CONFIG
from tests.contract.pause_cases import Engine, PauseContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.lab import Engine as LabEngine

pytestmark = pytest.mark.e2e


@dataclass
class RealConfigs:
    """A real engine, seen through *api*."""

    engine: LabEngine
    clients: contextlib.ExitStack

    @cached_property
    def api(self) -> DockerEngine:
        """What is tested."""
        return self.another()

    def another(self) -> DockerEngine:
        """A client of somebody else's."""
        return self.clients.enter_context(contextlib.closing(DockerEngine(self.engine.socket_url)))

    def remove(self, name: str) -> None:
        """`docker config rm`; nothing to do without one."""
        with contextlib.suppress(NotFound):
            self.engine.client.remove_config(name)  # type: ignore[no-untyped-call] # the stubs know no types of it


@pytest.fixture
def engine_of_pauses(engine: LabEngine) -> Iterator[Engine]:
    """The lab's Swarm, without pauses before and after the test."""
    with contextlib.ExitStack() as clients:
        made = RealConfigs(engine, clients)
        made.remove(CONFIG)
        yield made
        made.remove(CONFIG)


class TestRealPauses(PauseContract):
    pass
