"""How long a breach waits: from the scrape of the sample that completes it to Swarm's taking the update.

    python benchmarks/reaction.py                          at intervals of 15 s, some four minutes
    python benchmarks/reaction.py --interval 5 --runs 8    of eight Prometheuses

A real engine, a real Prometheus, and the daemon as a process; the load is a number that this program lets Prometheus
scrape. When in an interval Prometheus scrapes a target is its own choice, and stays: each run has another target. The
budget is one evaluation interval plus one second. It fails for no figure: a machine may be busy.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from autoscaler.adapters.docker.documents import unix_time
from autoscaler.adapters.system_clock import SystemClock
from tests.e2e.daemon import Daemon
from tests.e2e.lab import Engine, Exporter, Prometheus, start_load, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.lab import Load

_SERVICE = "reacting"
_BUSY, _CALM = 90, 10
_POLICY = f"""
version: 1
metrics:
  demand: {{query: demand}}
policies:
  - name: reaction
    services: [{_SERVICE}]
    replicas: {{min: 1, max: 2}}
    flap_guard: false
    rules:
      - {{name: busy, metric: demand, above: 70, for: 0s, add: 1}}
      - {{name: calm, metric: demand, below: 30, for: 0s, remove: 1}}
    scale_up: {{cooldown: 0s}}
    scale_down: {{cooldown: 0s}}
"""


class Shop(Exporter):
    """Tells of a demand, and notes when Prometheus hears of it first."""

    def __init__(self) -> None:
        super().__init__({"demand": _CALM})
        self.heard: float | None = None
        self._saying = threading.Lock()

    def say(self, demand: int) -> None:
        """Let the demand be so from now on."""
        with self._saying:
            self.set("demand", demand)
            self.heard = None

    @property
    def metrics(self) -> str:
        """What a scrape gets now."""
        with self._saying:
            if self.heard is None:
                self.heard = _now()
            return super().metrics


def waits(interval: int, changes: int) -> Iterator[float]:
    """Seconds from scrape to update, change by change; the changes come at no particular moment of an interval."""
    with (
        Shop() as shop,
        Engine() as engine,
        Prometheus({"shop": [shop.address]}, scrape_interval=interval) as prometheus,
        tempfile.TemporaryDirectory() as directory,
    ):
        load = start_load(engine, _SERVICE)
        seconds = {"INTERVAL": 1, "SCRAPE_INTERVAL": 1, "RATE_WINDOW": 4, "WARMUP": 4}
        settings = {f"AUTOSCALER_{name}": f"{times * interval}s" for name, times in seconds.items()}
        with Daemon(engine, prometheus, Path(directory), _POLICY, **settings) as daemon:
            daemon.wait_decision(
                _SERVICE, lambda decision: decision.get("desired") == 1 and decision["rules"][0]["value"] == _CALM
            )
            for number in range(changes):
                time.sleep(random.uniform(0, interval))  # noqa: S311 - no secret
                wanted, demand = (1, _CALM) if number % 2 else (2, _BUSY)
                shop.say(demand)
                wait_for(f"{wanted} replicas", partial(_has, load, wanted), 4 * interval)
                assert shop.heard is not None
                yield unix_time(engine.service(_SERVICE)["UpdatedAt"]) - shop.heard
                engine.wait_running(_SERVICE, wanted)


def _has(load: Load, replicas: int) -> bool:
    return load.replicas == replicas


def _now() -> float:
    return SystemClock().now()


def main() -> None:
    """Measure, and print the longest and the median wait beside the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", type=int, default=15, help="seconds, of evaluations and of scrapes")
    parser.add_argument("--changes", type=int, default=4, help="in each run")
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    budget = options.interval + 1
    found = []
    for _ in range(options.runs):
        for wait in waits(options.interval, options.changes):
            found.append(wait)
            print(f"{wait:6.2f} s", flush=True)
    print(f"median {median(found):.2f} s, longest {max(found):.2f} s of {budget} s: {max(found) / budget:.2f}")


if __name__ == "__main__":
    main()
