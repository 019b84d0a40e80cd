"""A Swarm and a Prometheus behind real sockets, for commands that run in this process or in one of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.cli.main import main
from autoscaler.metrics.queries import SERVICE_LABEL, STAT_LABEL, TASKS, VALUE
from tests.support.builders import STEP
from tests.support.prometheus_server import PrometheusServer, Served
from tests.support.world import FaultyEngine, count_in

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from autoscaler.simulation.engine import SimulatedEngine
    from tests.support.engine_server import EngineServer

POLICIES = """
version: 1
policies:
  - name: shop
    services: [web]
    replicas: {min: 2, max: 6}
    rules:
      - {name: cpu-high, metric: cpu, above: 70, for: 1m, add: 1}
      - {name: cpu-low, metric: cpu, below: 30, for: 1m, remove: 1}
"""


@dataclass
class Backends:
    """A Swarm and a Prometheus behind real sockets, and the policies in a directory."""

    engine: SimulatedEngine
    faulty: FaultyEngine
    swarm: EngineServer
    prometheus: PrometheusServer
    directory: Path

    def load(self, percent: float) -> None:
        """All tasks of the service have used so much of a core for long, and will for a while."""
        newest = int(SystemClock().now() // STEP * STEP)
        steps = range(newest - 40 * STEP, newest + 40 * STEP, STEP)
        self.prometheus.serve(
            [
                Served({SERVICE_LABEL: "web", STAT_LABEL: VALUE}, dict.fromkeys(steps, percent / 100)),
                Served({SERVICE_LABEL: "web", STAT_LABEL: TASKS}, dict.fromkeys(steps, 3.0)),
            ]
        )

    @property
    def replicas(self) -> int:
        """The count that the service asks for."""
        return count_in(self.engine.service("web"))

    @property
    def writes(self) -> int:
        """How many updates came."""
        return self.faulty.calls["update"]


def invoke(*arguments: str) -> Result:
    """What `autoscaler ARGUMENTS` prints, and its exit code; a traceback is none of its answers."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def events(text: str) -> list[dict[str, Any]]:
    """The log lines in *text*."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
