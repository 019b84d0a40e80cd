"""Measures a day of history: the size of its file, and what keeping it costs beside an evaluation.

    python -m benchmarks.journal [HOURS] [EVALUATION_MILLISECONDS]

Thirty-two services with different loads live through the hours on the simulated Swarm, and are scaled by the real
cycle. Each of them stands for sixteen of the 512 services whose history is kept. The loads are noisy: quiet services,
daily waves, bursts, values around a bound, lost samples, and services at their maximum. Everything is deployed twice a
day. The CPU of an evaluation of as many services is measured by benchmarks/evaluation.py: 0.34 ms for each.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from math import cos, tau
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoscaler.adapters.docker.orchestrator import DockerSwarm
from autoscaler.core.model import Outcome
from autoscaler.core.records import Evaluation
from autoscaler.evaluation.cycle import Cycle
from autoscaler.journal.chronicle import Chronicle
from autoscaler.journal.store import HistoryStore
from autoscaler.metrics.queries import MetricSettings
from autoscaler.metrics.windows import MetricWindows
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.policy_files import loader
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.simulation.parts import Node
from autoscaler.simulation.prometheus import SimulatedPrometheus
from autoscaler.testing import ManualClock
from autoscaler.views.explanations import kept_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.core.records import Record

STEP = 15
SERVICES, TWINS = 32, 16
DAY = 24 * 3600
_MIB = 2**20
_POLICIES = """\
version: 1
policies:
  - name: web
    services: ["*"]
    replicas: {min: 2, max: 12}
    scale_up: {cooldown: 3m}
    scale_down: {cooldown: 5m}
    rules:
      - {name: cpu-high, metric: cpu, above: 70, for: 1m, add: 1}
      - {name: cpu-low, metric: cpu, below: 30, for: 5m, remove: 1}
      - {name: memory-high, metric: memory, above: 85, for: 2m, add: 1}
"""


class Shop:
    """The services and what their visitors ask of them."""

    def __init__(self, clock: ManualClock, chance: random.Random) -> None:
        self._clock, self._chance = clock, chance
        self.engine = SimulatedEngine(clock, startup=12.0, nodes=[Node(f"node-{number}") for number in range(5)])
        for number in range(SERVICES):
            self.engine.create_service(_spec(f"stack{number % 4}_service{number}", 1))

    def sample(self, metric: str, at: int) -> dict[str, tuple[float, int]]:
        """What each service uses per replica, and how many report."""
        found = {}
        for number in range(SERVICES):
            name = f"stack{number % 4}_service{number}"
            running = self.engine.running(name)
            if not running or (number == SERVICES - 1 and self._chance.random() < 0.05):
                continue
            noise = self._chance.gauss(1, 0.1)
            if metric == "cpu":
                found[name] = max(0.001, min(_cores(number, at) * noise / running, 0.5)), running
            else:
                found[name] = (100 + 40 * noise) * _MIB, running
        return found

    def deploy(self, version: int) -> None:
        """Deploy a new version of everything."""
        for number in range(SERVICES):
            self.engine.change_service(f"stack{number % 4}_service{number}", _version(version))


def _cores(number: int, at: int) -> float:
    """The cores that all visitors of a service need together."""
    wave = (1 - cos(tau * (at + number * 600) / DAY)) / 2
    if number < 14:
        return 0.1  # quiet: always at its minimum
    if number < 24:
        return 0.3 + 2.5 * wave
    if number < 27:
        return 3.0 if at % 2400 < 600 else 0.4  # a burst every 40 minutes
    if number < 30:
        return 0.68 + 0.1 * wave  # around the bound
    return 8.0 if number == 30 else 1.0 + wave


def _spec(name: str, version: int) -> dict[str, Any]:
    return {
        "Name": name,
        "Labels": {},
        "Mode": {"Replicated": {"Replicas": 2}},
        "TaskTemplate": {
            "ContainerSpec": {"Image": f"{name}:{version}"},
            "Resources": {"Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 256 * _MIB}},
        },
        "UpdateConfig": {"Parallelism": 1, "Delay": 20_000_000_000},
    }


def _version(number: int) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = f"app:{number}"

    return change


def _twins(record: Record) -> list[Record]:
    name = record.decision.service
    twins = [replace(record.decision, service=f"{name}_{number}") for number in range(TWINS)]
    return [replace(record, decision=decision) for decision in twins]


def measure(hours: float, evaluation_milliseconds: float) -> dict[str, Any]:
    """The figures of *hours* of history."""
    clock, chance = ManualClock(1_800_000_000.0), random.Random(7)  # noqa: S311 - not a secret
    shop = Shop(clock, chance)
    source = SimulatedPrometheus(clock, shop.sample, step=STEP)
    settings = MetricSettings(scrape_interval=STEP, rate_window=4 * STEP, warmup=30)
    cycle = Cycle(MetricWindows({PROMETHEUS: source}, settings, STEP), DockerSwarm(shop.engine), clock, 20.0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policies.yml"
        file.write_text(_POLICIES)
        policies = loader.load([file])
        path = Path(folder) / "history.sqlite3"
        explaining = 0.0

        def explained(record: Record) -> Mapping[str, Any]:
            nonlocal explaining
            begun = time.process_time()
            document = kept_document(record)
            explaining += time.process_time() - begun
            return document

        store, chronicle = HistoryStore(path), Chronicle(explained)
        store.append(chronicle.started(clock.now(), {"version": "benchmark"}))
        spent, rows, outcomes = [], 0, Counter[Outcome]()
        for number in range(int(hours * 3600 / STEP)):
            clock.time += STEP
            source.record()
            if number % (12 * 3600 // STEP) == 1000:
                shop.deploy(number)
            evaluation = cycle.evaluate(policies)
            records = [twin for record in evaluation.records for twin in _twins(record)]
            outcomes.update(record.outcome for record in records)
            began = time.process_time()
            happenings, beat = chronicle.evaluated(Evaluation(evaluation.at, tuple(records), evaluation.problems))
            store.append(happenings, beat)
            if number % 20 == 0:
                store.expire(beat.at - DAY)
            spent.append(time.process_time() - began)
            rows += sum(happening.document is not None for happening in happenings)
        size, used = path.stat().st_size, store.size()
        asked = time.perf_counter()
        page = store.between(0, clock.now(), limit=500)
        one = time.perf_counter()
        assert store.at("stack0_service16_3", clock.now() - hours * 1800) is not None
        reading = {"page_ms": round(1000 * (one - asked), 1), "at_ms": round(1000 * (time.perf_counter() - one), 2)}
        assert len(page.happenings) == 500
        store.close()
    services = SERVICES * TWINS
    mean = 1000 * (sum(spent) - explaining) / len(spent)
    return {
        "services": services,
        "hours": hours,
        "runs": rows,
        "runs_per_service_and_day": round(rows / services * 24 / hours, 1),
        "file_mb": round(size / 1e6, 2),
        "used_mb": round(used / 1e6, 2),
        "bytes_per_run": round(used / rows),
        "file_mb_of_500_services_a_day": round(size / 1e6 * 500 / services * 24 / hours, 2),
        "cpu_ms_per_evaluation": round(mean, 2),
        "cpu_ms_of_the_slowest": round(1000 * max(spent), 1),
        "explaining_ms_per_run": round(1000 * explaining / rows, 2),
        "explaining_ms_per_evaluation": round(1000 * explaining / len(spent), 2),
        "share_of_an_evaluation": round(mean / evaluation_milliseconds, 4),
        "outcomes": {outcome.value: count for outcome, count in outcomes.items()},
        **reading,
    }


if __name__ == "__main__":
    hours, milliseconds = (float(given) for given in (sys.argv[1:] + ["24", "174"][len(sys.argv) - 1 :]))
    print(json.dumps(measure(hours, milliseconds), indent=2))
