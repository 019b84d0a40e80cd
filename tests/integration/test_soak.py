from __future__ import annotations

import gc
import sys
from dataclasses import dataclass, field
from itertools import count
from math import pi, sin
from typing import TYPE_CHECKING

import pytest
import structlog

from autoscaler.adapters.counted import CountedLease, CountedSource, CountedSwarm
from autoscaler.adapters.docker.lease import CONFIG, SwarmLease
from autoscaler.adapters.docker.orchestrator import DockerSwarm
from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.lease import Lease
from autoscaler.coordination.pauses import KnownPauses, Pause, Pauses
from autoscaler.core.model import Direction, Outcome
from autoscaler.daemon.daemon import Daemon
from autoscaler.daemon.reload import Policies
from autoscaler.evaluation.cycle import Cycle
from autoscaler.evaluation.journal import Journal
from autoscaler.metrics.queries import MetricSettings
from autoscaler.metrics.windows import MetricWindows
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.simulation.prometheus import SimulatedPrometheus
from autoscaler.swarm.cluster import ROLLBACK_LABEL, STATE_LABEL
from autoscaler.testing import ManualClock
from autoscaler.web.telemetry import Telemetry
from tests.support.builders import NOW
from tests.support.process import ENOUGH
from tests.support.world import LOST, FaultyEngine, raised, raising, service_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

INTERVAL = 3600
"""Seconds between two evaluations."""
DAY = 86_400
SERVICES = 4
"""How many there are at any time; every day the oldest one goes and another one comes."""
CACHES = 2 + SERVICES
"""Of cpu, of starved tasks, and of each service's queue."""
WARM_UP = 45
"""Days after which nothing may grow any more: histories are as long as they get, and so is what Prometheus keeps."""
POLICIES = """
version: 1
metrics:
  queue: {{query: 'queue_length{{{{service="$service"}}}}', kind: total}}
policies:
  - name: policy-{edition}
    services: ["shop-*"]
    replicas: {{min: 2, max: 12}}
    rules:
      - {{name: cpu-high, metric: cpu, above: 70, for: 1h, add: 1}}
      - {{name: cpu-low, metric: cpu, below: 30, for: 1h, remove: 1}}
      - {{name: queue-{edition}, metric: queue, target: 50, strategy: target}}
    scale_up: {{cooldown: 30m}}
    scale_down: {{cooldown: 1h, stabilization: 3h}}
"""


@dataclass
class Sizes:
    """What is held at one time."""

    blocks: int
    """Blocks of memory that Python has allocated."""
    series: int
    """Series of the autoscaler's own metrics."""
    memories: int
    caches: int
    labels: int
    """The length of the longest label on a service that the autoscaler wrote."""
    lease: int
    """The length of the lease's labels."""


@dataclass
class Year:
    """A daemon in a Swarm whose services come and go, in virtual time."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    names: list[str] = field(default_factory=list)
    applied: int = 0
    longest_label: int = 0

    def __post_init__(self) -> None:
        self.engine = SimulatedEngine(self.clock)
        self.api = FaultyEngine(self.engine)
        self.prometheus = SimulatedPrometheus(self.clock, self._sample, ("cpu", "memory", "queue"), step=INTERVAL)
        self.edit(0)
        policies = Policies([self.folder / "policies.yml"])
        policies.load()
        self.journal = Journal()
        self.telemetry = Telemetry(self.journal, lambda: True)
        count_request = self.telemetry.count_request
        source = CountedSource(self.prometheus, self.telemetry.count_query)
        self.cycle = Cycle(
            windows=MetricWindows({PROMETHEUS: source}, MetricSettings(INTERVAL, 4 * INTERVAL, 60), INTERVAL),
            swarm=CountedSwarm(DockerSwarm(self.api), count_request),
            pauses=KnownPauses(SwarmPauses(self.api)),
            clock=self.clock,
            deadline=20.0,
            on_defect=raised,
        )
        self.lease = Lease(CountedLease(SwarmLease(self.api), count_request), "one", lambda: self.clock.time)
        self.daemon = Daemon(
            self.cycle, policies, self.journal, self.clock, INTERVAL, None, self.telemetry, lease=self.lease
        )
        for _ in range(SERVICES):
            self.come()

    def come(self) -> None:
        """A new service is deployed."""
        self.names.append(f"shop-{next(self.numbers)}")
        self.engine.deploy(service_spec(self.names[-1], 3))

    def edit(self, edition: int) -> None:
        """The policy file is edited: names, and with them what is known by name, are others."""
        (self.folder / "policies.yml").write_text(POLICIES.format(edition=edition))

    def day(self, number: int) -> None:
        """What happens on this day, and 24 evaluations."""
        self.engine.remove(self.names.pop(0))
        self.come()
        self.engine.deploy(service_spec(self.names[0], 2, image=f"app:{number}"))
        if number % 7 == 0:
            self.engine.operator_scale(self.names[1], 1 + number % 9)
        if number % 30 == 0:
            self.edit(number)
        pause = Pause(self.clock.time, self.clock.time + DAY / 4, "ana", "for the night")
        pauses = Pauses().with_pause(self.names[2], list(Direction), pause) if number % 5 == 0 else Pauses()
        store = SwarmPauses(self.engine)
        store.write(pauses.labels(), store.look(ENOUGH), ENOUGH)
        for evaluation in range(DAY // INTERVAL):
            self.clock.time += INTERVAL
            self.prometheus.record()
            if number % 10 == 0:
                self.prometheus.fail(LOST if 10 <= evaluation < 16 else None)
            if number % 17 == 0 and 20 <= evaluation < 24:
                self.api.before("services", raising(LOST))
            if number % 13 == 0 and evaluation == 5:
                self.api.after("update", raising(LOST))
            self.lease.beat(ENOUGH)
            told = self.daemon.evaluate_once()
            self.applied += sum(record.outcome is Outcome.APPLIED for record in told.records)
        for document in self.engine.services():
            labels = document["Spec"]["Labels"]
            length = max(len(labels.get(STATE_LABEL, "")), len(labels.get(ROLLBACK_LABEL, "")))
            self.longest_label = max(self.longest_label, length)

    def sizes(self) -> Sizes:
        """What is held now; the longest label since this was last asked."""
        longest, self.longest_label = self.longest_label, 0
        self.api.updates.clear()  # the test's own
        gc.collect()
        return Sizes(
            blocks=sys.getallocatedblocks(),
            series=sum(len(metric.samples) for metric in self.telemetry.registry.collect()),
            memories=len(self.cycle._memories),
            caches=len(self.cycle.windows._caches),
            labels=longest,
            lease=len(str(self.engine.config(CONFIG)["Spec"]["Labels"])),
        )

    def _sample(self, metric: str, at: int) -> dict[str, tuple[float, int]]:
        """A load that follows the hour of the day, shared by the replicas."""
        samples = {}
        for place, document in enumerate(self.engine.services()):
            name = document["Spec"]["Name"]
            if running := self.engine.running(name):
                load = 3 + 2.5 * sin(2 * pi * (at / DAY + place / SERVICES))
                value = {"cpu": load / running, "memory": 2.0**19, "queue": 60 * load}[metric]
                samples[name] = (value, running)
        return samples


@pytest.fixture
def quiet() -> Iterator[None]:
    """Nothing is logged: a test that captured it would hold it."""

    def drop(*_: object) -> dict[str, object]:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("quiet")
def test_nothing_grows_in_a_year(tmp_path: Path) -> None:
    """In a year of services that come and go, deploys, outages, pauses and edits, what is held does not grow.

    Not memory, not what is known of services that are gone, not the autoscaler's labels, not its series.
    """
    year = Year(tmp_path)
    for number in range(1, WARM_UP + 1):
        year.day(number)
    early = year.sizes()
    for number in range(WARM_UP + 1, 365 + 1):
        year.day(number)
    late = year.sizes()

    assert late.blocks < early.blocks * 1.01, (early, late)
    assert late.series <= early.series + SERVICES * len(Outcome)
    assert (late.memories, late.caches) == (early.memories, early.caches) == (SERVICES, CACHES)
    assert late.labels < 4096
    assert late.lease <= early.lease + 1
    assert year.applied > 200
    assert year.lease.cell is not None
    assert year.clock.time == NOW + 365 * DAY
