"""A node without CPU to give, on a real engine: what waits for a CPU looks idle, and is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.metrics.queries import SERVICE_LABEL
from tests.e2e.daemon import Daemon
from tests.e2e.lab import starving, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = pytest.mark.e2e

CORES = 0.25
USED = f"sum(rate(container_cpu_usage_seconds_total{{{{{SERVICE_LABEL}='{{}}'}}}}[4s])) / {CORES}"
"""What a service uses, in tasks that use all of their limit."""
POLICIES = """
version: 1
defaults:
  replicas: {{min: 1, max: 4}}
  rules: [{{name: cpu-low, metric: cpu, below: 40, for: 4s, remove: 1}}]
  scale_down: {{cooldown: 2s}}
policies:
  - {{name: trusting, services: [{trusting}], on_starved: allow}}
  - name: wary
    services: [{wary}]
"""


@pytest.mark.fault("node-starved")
def test_a_starved_service_is_not_taken_for_an_idle_one(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """Busy tasks that get no CPU read as idle: `starved` keeps all of them, where `on_starved: allow` removes one.

    The reason names the node and its cores. Idle, the wary service shrinks once the node has CPU to spare; where others
    keep the machine busy, that is what is said.
    """
    wary, trusting = service(replicas=3, cpus=CORES), service(replicas=2, cpus=CORES)
    hostname = engine.client.info()["Name"]
    for load in (wary, trusting):
        load.set(cpu=90)
    prometheus.wait_for(f"({USED.format(wary.name)} > 2) * on () ({USED.format(trusting.name)} > 1.4)", timeout=60)
    with Daemon(engine, prometheus, tmp_path, POLICIES.format(wary=wary.name, trusting=trusting.name)) as daemon:
        for load in (wary, trusting):
            daemon.wait_decision(load.name, lambda seen: bool(seen) and seen["primary"]["reason"] == "no_breach")
        with starving(tmp_path) as really:
            if not really:
                for load in (wary, trusting):
                    load.set(cpu=5)
            try:
                removed = daemon.wait_event("service_evaluated", timeout=90, service=trusting.name, outcome="applied")
            except AssertionError:  # the loops starve these tasks too little, so that neither bound is passed
                for load in (wary, trusting):
                    load.set(cpu=5)
                removed = daemon.wait_event("service_evaluated", service=trusting.name, outcome="applied")
            assert (removed["reason"], removed["requested"], removed["desired"]) == ("below_threshold", 2, 1)
            held = daemon.wait_event("service_evaluated", service=wary.name, reason="starved")
            assert (held["outcome"], held["rule"], held["requested"], held["desired"]) == ("held", "cpu-low", 3, 3)
            assert f"cpu: node {hostname} use" in held["why"]
            assert "may be starved and not idle" in held["why"]
            assert wary.replicas == 3
            wary.set(cpu=90)

        daemon.wait_decision(wary.name, lambda seen: seen["primary"]["reason"] == "no_breach")
        assert daemon.events("service_evaluated", service=wary.name, outcome="applied") == []
        wary.set(cpu=0)
        try:
            daemon.wait_event("service_evaluated", timeout=45, service=wary.name, outcome="applied")
        except AssertionError:
            seen = daemon.decision(wary.name)["primary"]
            assert (seen["reason"], f"node {hostname} use" in seen["detail"]) == ("starved", True), seen
        daemon.edit(POLICIES.format(wary=wary.name, trusting=trusting.name) + "    on_starved: allow\n")
        wait_for("the last replica but one to go", lambda: wary.replicas == 1, 60)
