"""A whole installation on fakes over real sockets: Swarm, Prometheus, policies, settings, and a daemon's overview."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.core.instance import Instance
from autoscaler.core.records import Evaluation
from autoscaler.doctor.catalogue import CHECKS
from autoscaler.doctor.checks import examine
from autoscaler.doctor.gather import Asking, gather
from autoscaler.errors import DaemonError
from autoscaler.evaluation.journal import Journal
from autoscaler.policy_files import loader
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.simulation.parts import Node
from autoscaler.util.deadline import Deadline
from autoscaler.views.overview import Facts, overview_document
from autoscaler.wiring.installation import installation_parts
from tests.support.clocks import LateClock
from tests.support.engine_server import EngineServer
from tests.support.modelled_prometheus import Model, ModelledPrometheus, ModelSeries
from tests.support.world import FaultyEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from autoscaler.doctor.checks import CheckResult, Examination
    from autoscaler.doctor.facts import Installation
    from autoscaler.doctor.gather import InstallationParts
    from autoscaler.evaluation.cycle import Cycle
    from autoscaler.ports import Clock
    from autoscaler.settings import Settings

Document = dict[str, Any]
QUEUE = "sum by (service) (rabbitmq_queue_messages)"
POLICIES = f"""
version: 1
metrics:
  queue: {{query: "{QUEUE}"}}
policies:
  - name: shop
    services: [web]
    replicas: {{min: 2, max: 6}}
    rules:
      - {{name: cpu-high, metric: cpu, above: 70, for: 1m, add: 1}}
      - {{name: cpu-low, metric: cpu, below: 30, for: 1m, remove: 1}}
      - {{name: memory-high, metric: memory, above: 80, for: 1m, add: 1}}
      - {{name: queue-high, metric: queue, above: 100, for: 1m, add: 1}}
"""
MIB = 2**20


def limited(name: str, replicas: int = 3, *, cores: float = 0.5, mib: int = 64) -> Document:
    """A service whose tasks have limits."""
    return {
        "Name": name,
        "Labels": {},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "app:1"},
            "Resources": {"Limits": {"NanoCPUs": round(cores * 1e9), "MemoryBytes": mib * MIB}},
        },
    }


@dataclass
class FakeInstallation:
    """It is healthy until something is broken."""

    engine: SimulatedEngine
    swarm: EngineServer
    prometheus: ModelledPrometheus
    folder: Path
    clock: LateClock
    env: dict[str, str] = field(default_factory=dict)
    """The settings."""
    daemon: Document | None = None
    """What the daemon's overview says; None if none answers."""
    url_given: bool = False
    nodes: list[Node] = field(default_factory=list)
    _dropped: list[ModelSeries] = field(default_factory=list)

    @property
    def model(self) -> Model:
        """What Prometheus knows."""
        return self.prometheus.model

    @property
    def policies(self) -> Path:
        """The policy file."""
        return self.folder / "policies.yml"

    @property
    def secrets(self) -> Path:
        """The folder of the secrets."""
        return self.folder / "secrets"

    def edit(self, before: str, after: str) -> None:
        """Replace a part of the policy file."""
        text = self.policies.read_text()
        assert before in text, text
        self.policies.write_text(text.replace(before, after))

    def change(self, service: str, **template: Any) -> None:
        """Change the count, the labels, the environment or the resources of a service."""

        def apply(spec: Document) -> None:
            if "replicas" in template:
                spec["Mode"] = {"Replicated": {"Replicas": template["replicas"]}}
            if "labels" in template:
                spec["Labels"] = template["labels"]
            if "resources" in template:
                spec["TaskTemplate"]["Resources"] = template["resources"]

        self.engine.change_service(service, apply)
        self.wait(5)

    def wait(self, seconds: float) -> None:
        """Let time pass for the engine, which is some way behind."""
        assert self.clock.behind >= seconds
        self.clock.behind -= seconds
        self.engine.tasks()

    def pause(self, label: str) -> None:
        """Write the pauses of `web` as they are stored."""
        store = SwarmPauses(self.engine)
        assert store.write({"autoscaler.pause.web": label}, store.look(Deadline(5)), Deadline(5))

    def resume(self, service: str) -> None:
        """End the pause of a service, as `autoscaler resume` does."""
        store = SwarmPauses(self.engine)
        cell = store.look(Deadline(5))
        assert cell
        assert f"autoscaler.pause.{service}" in cell.labels
        assert store.write({}, cell, Deadline(5))

    def managers(self, count: int) -> None:
        """Have so many managers among the nodes; the others are workers."""
        for number, node in enumerate(self.nodes):
            node.role = "manager" if number < count else "worker"

    def prometheus_ahead(self, seconds: float | None) -> None:
        """Let Prometheus' clock be ahead, or right again."""
        self.prometheus.set_clock(None if seconds is None else SystemClock().now() + seconds)

    def drop_series(self, name: str) -> None:
        """Keep no series of this name."""
        self._dropped += [series for series in self.model.series if series.name == name]
        self.model.series = [series for series in self.model.series if series.name != name]

    def keep_series(self, name: str) -> None:
        """Keep the series of this name again."""
        self.model.series += [series for series in self._dropped if series.name == name]

    def refuse_queries(self, about: str | None) -> None:
        """Let Prometheus refuse queries about this, or none any more."""
        self.model.refused = about

    def give_url(self) -> None:
        """Stop the daemon, and name its address with --url all the same."""
        self.daemon, self.url_given = None, True

    def start_daemon(self) -> None:
        """Start this version of the daemon, live, on the policy files."""
        self.daemon = overview(loader.load([self.policies]).revision)

    def facts(self, cycle: Callable[[], Cycle] | None = None, clock: Clock | None = None) -> Installation:
        """What the doctor gathers, with a cycle of a test's own perhaps."""

        def parts(settings: Settings) -> InstallationParts:
            made = installation_parts(settings)
            return made if cycle is None else replace(made, cycle=cycle)

        return gather(
            Asking(
                {},
                parts,
                self._overview,
                clock or SystemClock(),
                "http://127.0.0.1:9595",
                url_given=self.url_given,
                secrets=self.secrets,
            )
        )

    def examine(self, cycle: Callable[[], Cycle] | None = None, clock: Clock | None = None) -> Examination:
        """What the doctor finds."""
        before = dict(os.environ)
        for name in before:
            if name.startswith("AUTOSCALER_") or name == "DOCKER_HOST":
                del os.environ[name]
        os.environ.update(self.env)
        try:
            return examine(self.facts(cycle, clock), CHECKS)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def result(self, code: str) -> CheckResult:
        """What became of one check."""
        return next(result for result in self.examine().results if result.check.code == code)

    def _overview(self) -> Mapping[str, Any]:
        if self.daemon is None:
            raise DaemonError("nothing answers at http://127.0.0.1:9595 (is `autoscaler run` running here?)")
        return self.daemon


def overview(revision: str) -> Document:
    """What a live daemon says that is well."""
    journal = Journal()
    journal.close(Evaluation(SystemClock().now() - 5))
    document = overview_document(Facts(journal.snapshot(), Instance(leader="manager-1", revision=revision)))
    return dict(json.loads(json.dumps(document)))


@contextmanager
def installation(folder: Path) -> Iterator[FakeInstallation]:
    """Three replicas of `web` at half their limits, for an hour, and a live daemon."""
    clock = LateClock(behind=3600)
    nodes = [Node("node-1"), Node("node-2", role="worker"), Node("node-3", role="worker")]
    engine = SimulatedEngine(clock, nodes=nodes)
    engine.create_service(limited("web"))
    clock.behind = 60
    model = Model(values={"container_cpu_usage_seconds_total": {"web": 0.25}})
    model.values["container_memory_working_set_bytes"] = {"web": 32.0 * MIB}
    model.custom[QUEUE] = {"web": 10.0}
    for number in (1, 2, 3):
        model.task("web", f"web.{number}.x", instance=f"node{number}:8080")
    (folder / "secrets").mkdir()
    with ExitStack() as stack:
        swarm = stack.enter_context(EngineServer(FaultyEngine(engine), folder / "docker.sock"))
        prometheus = stack.enter_context(ModelledPrometheus(model))
        made = FakeInstallation(engine, swarm, prometheus, folder, clock, nodes=nodes)
        made.policies.write_text(POLICIES)
        made.env |= {
            "AUTOSCALER_DOCKER_HOST": swarm.url,
            "AUTOSCALER_PROMETHEUS_URL": prometheus.url,
            "AUTOSCALER_POLICIES": str(made.policies),
            "AUTOSCALER_LISTEN": "127.0.0.1:9",  # nobody listens there
        }
        made.daemon = overview(loader.load([made.policies]).revision)
        yield made
