"""What commands and daemons of several modules run on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from autoscaler.cli.main import main
from autoscaler.simulation.engine import SimulatedEngine
from tests.support.backends import POLICIES, Backends
from tests.support.clocks import LateClock
from tests.support.daemons import Gate
from tests.support.engine_server import EngineServer
from tests.support.prometheus_server import PrometheusServer
from tests.support.world import FaultyEngine, service_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings of the machine's."""
    for name in os.environ:
        if name.startswith("AUTOSCALER_") or name in {"DOCKER_HOST", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
    yield
    for command in main.commands.values():
        command._help_option = None  # click keeps the first one asked for, and other tests ask in other words


@pytest.fixture
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backends]:
    """Three replicas of `web` at 50 %, running for an hour, and settings that lead there."""
    clock = LateClock(behind=3600)
    engine = SimulatedEngine(clock)
    engine.create_service(service_spec("web", 3))
    clock.behind = 0
    faulty = FaultyEngine(engine)
    (tmp_path / "policies.yml").write_text(POLICIES)
    with EngineServer(faulty, tmp_path / "docker.sock") as swarm, PrometheusServer() as prometheus:
        monkeypatch.setenv("AUTOSCALER_DOCKER_HOST", swarm.url)
        monkeypatch.setenv("AUTOSCALER_PROMETHEUS_URL", prometheus.url)
        monkeypatch.setenv("AUTOSCALER_POLICIES", str(tmp_path / "policies.yml"))
        monkeypatch.setenv("AUTOSCALER_LOG_FORMAT", "json")
        made = Backends(engine, faulty, swarm, prometheus, tmp_path)
        made.load(50)
        yield made


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end, whatever happens."""
    gate = Gate()
    yield gate
    gate.open()
