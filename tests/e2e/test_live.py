"""`autoscaler check --live` on a real engine, a real cAdvisor and a real Prometheus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemon import command
from tests.e2e.lab import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="what it holds is decided without the engine")]

POLICIES = """
version: 1
metrics:
  queue: {{query: 'sum(rabbitmq_queue_messages{{queue="$service"}})'}}
policies:
  - name: shop
    services: [{service}]
    replicas: {{min: 1, max: 4}}
    rules:
      - {{name: cpu-high, metric: cpu, above: 70, for: 3s, add: 1}}
      - {{name: queue-high, metric: queue, above: 100, add: 1}}
"""


def test_whether_each_metric_has_data_for_each_service(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """`--live` prints a table of metric by service: value, age, tasks reporting; and the real scrape interval."""
    load = service(replicas=2)
    load.set(cpu=40)
    policies = tmp_path / "shop.yml"
    policies.write_text(POLICIES.format(service=load.name))

    def surveyed() -> dict[str, Any]:
        done = command(engine, prometheus.url, policies, "check", "--live", "--output", "json")
        assert done.returncode == 1, done.stdout + done.stderr  # the queue has no data
        return dict(json.loads(done.stdout)["live"])

    found = wait_for(
        "both tasks to report",
        lambda: live if (live := surveyed())["readings"][0]["reporting"] == 2 and live["scrape_interval"] else None,
    )

    cpu, queue = found["readings"]
    assert (cpu["metric"], cpu["service"], cpu["policy"], cpu["unit"]) == ("cpu", load.name, "shop", "%")
    assert cpu["value"] > 0
    assert cpu["age"] < 5
    assert (cpu["reporting"], cpu["running"], cpu["lack"]) == (2, 2, "")
    assert (queue["metric"], queue["value"], queue["lack"]) == ("queue", None, "no data")
    assert found["scrape_interval"] == pytest.approx(1, abs=0.1)
    assert found["problems"] == []

    text = command(engine, prometheus.url, policies, "check", "--live").stdout
    assert "Prometheus scrapes cAdvisor every 1s." in text
    assert "Checked 2 readings, one for each metric of a service. 1 lacks data." in text


@pytest.mark.fault("scrape-interval")
def test_another_scrape_interval_than_the_settings_say(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """SCRAPE_INTERVAL: the real one, or the first evaluation says so, with the cure."""
    load = service()
    policies = tmp_path / "shop.yml"
    policies.write_text(POLICIES.format(service=load.name))

    def said() -> str:
        return command(engine, prometheus.url, policies, "plan", "--scrape-interval", "2s").stdout

    wait_for(
        "the difference to be told",
        lambda: "Prometheus scrapes every 1s, the settings say every 2s (set AUTOSCALER_SCRAPE_INTERVAL=1s)" in said(),
    )
