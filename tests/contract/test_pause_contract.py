"""The contract of the pauses on the simulated engine, called directly, and through the SDK and a real socket."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from tests.contract.pause_cases import Engine, PauseContract
from tests.support.engine_server import EngineServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from autoscaler.adapters.docker.engine_api import ConfigApi


@dataclass
class SimulatedConfigs:
    """The simulated engine, seen through *api*."""

    engine: SimulatedEngine
    clients: Callable[[], ConfigApi]

    @cached_property
    def api(self) -> ConfigApi:
        """What is tested."""
        return self.another()

    def another(self) -> ConfigApi:
        """A client of somebody else's."""
        return self.clients()

    def remove(self, name: str) -> None:
        """`docker config rm`."""
        self.engine.remove_config(name)


@pytest.fixture(params=["direct", "http"])
def engine_of_pauses(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A simulated Swarm, called directly or through the SDK and a unix socket."""
    engine = SimulatedEngine(ManualClock())
    if request.param == "direct":
        yield SimulatedConfigs(engine, lambda: engine)
        return
    with ExitStack() as stack:
        server = stack.enter_context(EngineServer(engine, tmp_path / "docker.sock"))
        yield SimulatedConfigs(engine, lambda: stack.enter_context(closing(DockerEngine(server.url))))


class TestSimulatedPauses(PauseContract):
    pass
