"""Sleep by a schedule on a real Swarm, by a policy without rules, and without any Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.system_clock import SystemClock
from tests.e2e.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = pytest.mark.e2e

CLOCK = SystemClock()
NOBODY = "http://127.0.0.1:9"
"""Where no Prometheus is."""


def policy(*services: str, start: float) -> str:
    """A policy whose services sleep for a minute from *start*."""
    times = [datetime.fromtimestamp(at, UTC) for at in (start, start + 60)]
    begins, ends = (f"{at.minute} {at.hour} * * *" for at in times)
    return f"""
version: 1
policies:
  - name: sleepers
    services: [{", ".join(services)}]
    replicas: {{min: 2, max: 2}}
    schedules: [{{name: night, start: "{begins}", end: "{ends}", min: 0, max: 0}}]
"""


def test_a_service_sleeps_and_wakes_by_a_schedule_alone(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """It is set to 0 at the start, corrected to 0 meanwhile, and wakes to its min at the end, also after a restart.

    What an operator had stopped before stays stopped, and nobody misses Prometheus.
    """
    sleeps, stopped = service(replicas=2), service(replicas=2)
    start = (CLOCK.now() + 15) // 60 * 60 + 60
    text = policy(sleeps.name, stopped.name, start=start)
    with Daemon(engine, prometheus, tmp_path, text, AUTOSCALER_PROMETHEUS_URL=NOBODY) as daemon:
        daemon.wait_event("daemon_started")
        engine.docker("service", "scale", "--detach", f"{stopped.name}=0")
        daemon.wait_event("service_evaluated", service=stopped.name, reason="scaled_to_zero")

        slept = daemon.wait_event("service_evaluated", 90, service=sleeps.name, outcome="applied", desired=0)
        assert (slept["reason"], slept["requested"]) == ("schedule_bounds", 2)
        engine.docker("service", "scale", "--detach", f"{sleeps.name}=1")
        daemon.wait_event("service_evaluated", service=sleeps.name, outcome="applied", requested=1, desired=0)
        assert CLOCK.now() < start + 50
        daemon.terminate()
        daemon.start()

        woken = daemon.wait_event("service_evaluated", 90, service=sleeps.name, outcome="applied", requested=0)
        assert (woken["reason"], woken["desired"]) == ("below_min", 2)
        assert CLOCK.now() >= start + 60
        engine.wait_running(sleeps.name, 2)
        daemon.wait_event("service_evaluated", service=stopped.name, after=1, reason="scaled_to_zero")
        assert engine.replicas(stopped.name) == 0
        assert daemon.events("prometheus_lost") == []
