"""The contract of the lease on a real engine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from docker.errors import NotFound

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.lease import CONFIG
from tests.contract.lease_cases import Engine, LeaseContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.lab import Engine as LabEngine

pytestmark = pytest.mark.e2e


@dataclass
class RealConfigs:
    """A real engine, seen through *api*."""

    engine: LabEngine
    api: DockerEngine

    def remove(self, name: str) -> None:
        """`docker config rm`; nothing to do without one."""
        with contextlib.suppress(NotFound):
            self.engine.client.remove_config(name)  # type: ignore[no-untyped-call] # the stubs know no types of it


@pytest.fixture
def engine_of_lease(engine: LabEngine) -> Iterator[Engine]:
    """The lab's Swarm, without a lease before and after the test."""
    api = DockerEngine(engine.socket_url)
    made = RealConfigs(engine, api)
    made.remove(CONFIG)
    yield made
    made.remove(CONFIG)
    api.close()


class TestRealLease(LeaseContract):
    pass
