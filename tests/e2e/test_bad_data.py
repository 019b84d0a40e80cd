"""Bad data from a real Prometheus, on a service that is idle all the time: any calm that is believed removes a task."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.lab import Load, Prometheus, Skew, start_load, wait_for
from tests.e2e.lab.process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.lab import CAdvisor, Engine

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="the metrics are asked for on both Prometheus")]

LOST = {"stale_data", "no_data"}
HOLES = {*LOST, "window_incomplete"}
HELD = 5
"""Seconds for which bad data are looked at: more than the cooldown, and more than the calm has to last."""
REPLICAS = 7
POLICY = """
version: 1
policies:
  - name: idle
    services: [bad-data]
    replicas: {min: 1, max: 9}
    rules:
      - {name: cpu-high, metric: cpu, above: 70, for: 3s, add: 1}
      - {name: cpu-low, metric: cpu, below: 30, for: 4s, remove: 1}
    on_starved: allow  # the machine that runs the tests is often busy
    scale_up: {cooldown: 2s}
    scale_down: {cooldown: 3s}
"""


@dataclass
class Bench:
    """A daemon that removes an idle service's replicas one by one, every few seconds."""

    engine: Engine
    load: Load
    prometheus: Prometheus
    skew: Skew
    daemon: Daemon

    def reason(self) -> str:
        """Why the newest decision is as it is."""
        return str(self.daemon.decision(self.load.name).get("primary", {}).get("reason"))

    @contextmanager
    def nothing_shrinks(self, reasons: set[str]) -> Iterator[None]:
        """With what the context is entered for, decisions come to have one of *reasons*, and the count stays.

        When the context is left, what it was entered for is over: then the next replica is removed.
        """
        self.ready()
        yield
        self.stays(reasons, 2)  # one alone may be of before
        count, until = self.load.replicas, time.monotonic() + HELD
        seen = set()
        while time.monotonic() < until:
            seen.add(self.reason())
            assert self.load.replicas == count, seen
            time.sleep(0.25)
        assert seen <= reasons

    def stays(self, reasons: set[str], seconds: float) -> None:
        """Decisions come to have one of *reasons*, for so many seconds on end."""
        since = time.monotonic()
        until = since + PATIENCE
        while time.monotonic() - since < seconds:
            if self.reason() not in reasons:
                since = time.monotonic()
            assert since < until, f"not one of {reasons} for {seconds} s"
            time.sleep(0.25)

    def scales_on(self) -> None:
        """A calm is believed again, and the next replica removed."""
        count = self.load.replicas
        assert count > 1
        wait_for(
            f"fewer than {count} replicas; the last reason was {self.reason()}", lambda: self.load.replicas < count
        )

    def ready(self) -> None:
        """There is something to remove, and the tasks that run report."""
        if self.load.replicas < REPLICAS - 3:
            self.engine.docker("service", "scale", "--detach", f"{self.load.name}={REPLICAS}")
            wait_for("tasks", lambda: len(self.engine.running_tasks(self.load.name)) >= REPLICAS - 1)


@pytest.fixture(scope="module")
def bench(engine: Engine, cadvisor: CAdvisor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The bench, with a Prometheus of its own, behind what shifts its clock."""
    with ExitStack() as stack:
        stack.callback(engine.remove_service, "bad-data")
        load = start_load(engine, "bad-data", replicas=REPLICAS, cpus=0.1, mib=16)
        prometheus = stack.enter_context(Prometheus({"cadvisor": [cadvisor.address]}, scrape_interval=1))
        skew = stack.enter_context(Skew(prometheus))
        daemon = Daemon(
            engine,
            prometheus,
            tmp_path_factory.mktemp("bad-data"),
            POLICY,
            AUTOSCALER_PROMETHEUS_URL=skew.url,
            AUTOSCALER_PROMETHEUS_TIMEOUT="1s",
        )
        stack.enter_context(daemon)
        made = Bench(engine, load, prometheus, skew, daemon)
        made.scales_on()
        yield made


@pytest.mark.fault("prometheus-away")
def test_a_prometheus_that_hangs(bench: Bench) -> None:
    """While Prometheus takes connections and never answers, nothing shrinks, and that is told once."""
    lost = len(bench.daemon.events("prometheus_lost"))
    try:
        with bench.nothing_shrinks(LOST):
            bench.prometheus.pause()
    finally:
        bench.prometheus.resume()
    bench.scales_on()
    assert len(bench.daemon.events("prometheus_lost")) == lost + 1
    assert len(bench.daemon.events("prometheus_recovered")) == lost + 1


@pytest.mark.fault("samples-missing")
def test_a_prometheus_that_loses_its_targets(bench: Bench) -> None:
    """When a reload takes the targets away nothing shrinks; when the next one brings them back, scaling goes on."""
    targets = bench.prometheus.targets
    try:
        with bench.nothing_shrinks(LOST):
            bench.prometheus.targets = {}
            bench.prometheus.reload()
    finally:
        bench.prometheus.targets = targets
        bench.prometheus.reload()
    bench.scales_on()


@pytest.mark.fault("tasks-silent")
def test_a_prometheus_that_loses_part_of_its_targets(bench: Bench) -> None:
    """While all tasks of the service but one are scraped no more, nothing shrinks."""
    try:
        with bench.nothing_shrinks({"partial_data", *HOLES}):
            slots = sorted(task["Slot"] for task in bench.engine.running_tasks(bench.load.name))
            bench.prometheus.hidden = rf"{bench.load.name}\.({'|'.join(map(str, slots[:-1]))})\..*"
            bench.prometheus.reload()
        told = re.compile(r"cpu is known for only 1 of \d tasks")
        bench.daemon.wait_decision(
            bench.load.name, lambda decision: bool(told.fullmatch(decision["primary"]["detail"]))
        )
    finally:
        bench.prometheus.hidden = ""
        bench.prometheus.reload()
    bench.scales_on()


@pytest.mark.fault("scrape-interval")
def test_a_prometheus_that_scrapes_a_fourth_as_often_as_the_settings_say(bench: Bench) -> None:
    """With scrapes every 4 s where the settings say 1 s nothing shrinks."""
    try:
        with bench.nothing_shrinks({*HOLES, "partial_data"}):
            bench.prometheus.scrape_interval = 4
            bench.prometheus.reload()
            # Until then samples of the second-wise scrapes fill the windows, once more at the next scrape too.
            bench.stays(HOLES, 5)
    finally:
        bench.prometheus.scrape_interval = 1
        bench.prometheus.reload()
    bench.scales_on()


@pytest.mark.fault("clock-skew")
def test_clocks_that_are_off(bench: Bench) -> None:
    """A proxy's clock changes nothing; with Prometheus' own clock ahead scaling goes on, set back nothing shrinks."""
    bench.ready()
    bench.skew.date = -3600
    bench.scales_on()
    assert bench.daemon.events("clock_skew_found") == []
    bench.skew.date = 0

    bench.skew.clock = 90
    bench.daemon.wait_event("clock_skew_found")
    bench.scales_on()

    try:
        with bench.nothing_shrinks(LOST):
            bench.skew.clock = 30
        assert "went back by" in bench.daemon.events("prometheus_lost")[-1]["detail"]
    finally:
        bench.skew.clock = 120
    bench.scales_on()


@pytest.mark.fault("store-empty", "killed")
def test_a_prometheus_with_an_empty_store(bench: Bench) -> None:
    """With a store that was lost, and an autoscaler that starts anew, nothing shrinks before windows are complete."""
    bench.skew.clock = 0
    bench.daemon.terminate()
    bench.prometheus.stop()
    bench.prometheus.forget()
    bench.ready()
    before = len(bench.daemon.events("service_evaluated"))
    count = bench.load.replicas
    bench.daemon.start()
    bench.daemon.wait_event("daemon_started", after=1)
    bench.prometheus.start()  # then, so that no window is complete when the daemon looks at it first
    bench.scales_on()

    events = bench.daemon.events("service_evaluated")[before:]
    first = next(number for number, event in enumerate(events) if event["outcome"] == "applied")
    assert {event["reason"] for event in events[:first]} <= HOLES | {"partial_data", "cooling_down"}
    assert "window_incomplete" in {event["reason"] for event in events[:first]}
    assert events[first]["requested"] == count
