"""The contract of the lease on the simulated engine, called directly, and through the SDK and a real socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from tests.contract.lease_cases import Engine, LeaseContract
from tests.support.engine_server import EngineServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autoscaler.adapters.docker.engine_api import ConfigApi


@dataclass
class SimulatedConfigs:
    """The simulated engine, seen through *api*."""

    engine: SimulatedEngine
    api: ConfigApi

    def remove(self, name: str) -> None:
        """`docker config rm`."""
        self.engine.remove_config(name)


@pytest.fixture(params=["direct", "http"])
def engine_of_lease(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A simulated Swarm, called directly or through the SDK and a unix socket."""
    engine = SimulatedEngine(ManualClock())
    if request.param == "direct":
        yield SimulatedConfigs(engine, engine)
        return
    with EngineServer(engine, tmp_path / "docker.sock") as server:
        client = DockerEngine(server.url)
        yield SimulatedConfigs(engine, client)
        client.close()


class TestSimulatedLease(LeaseContract):
    pass
