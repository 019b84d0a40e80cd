"""Puts the parts together as the settings say."""

from __future__ import annotations

import gc
import socket
from functools import partial
from typing import TYPE_CHECKING

from autoscaler import queries
from autoscaler.adapters.counted import CountedSource, CountedSwarm
from autoscaler.adapters.engine import DockerEngine
from autoscaler.adapters.prometheus import ConnectionSettings, PrometheusSource
from autoscaler.adapters.swarm import DockerSwarm, DryRun
from autoscaler.cycle import Cycle
from autoscaler.daemon import Daemon, Policies, SystemClock
from autoscaler.journal import Journal
from autoscaler.metrics import PROMETHEUS
from autoscaler.web.metrics import Telemetry
from autoscaler.windows import Windows

if TYPE_CHECKING:
    from autoscaler.ports import Orchestrator
    from autoscaler.settings import Settings

_SHORTEST_DEADLINE = 10.0
_LONGEST_DEADLINE = 20.0
"""Seconds; the stack's stop_grace_period is longer, so that an evaluation can end before the daemon does."""


def collect_garbage_rarely() -> None:
    """Let Python look for reference cycles seldom: an evaluation makes many values and no cycles.

    A third of the CPU of an evaluation of 1,000 services went into looking (docs/performance.md).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def deadline(settings: Settings) -> float:
    """How many seconds an evaluation may take under *settings*."""
    return min(max(float(settings.interval), _SHORTEST_DEADLINE), _LONGEST_DEADLINE)


def cycle(settings: Settings, telemetry: Telemetry, *, dry_run: bool) -> Cycle:
    """An evaluation cycle on the Swarm and the Prometheus of *settings*; it writes nothing where *dry_run*."""
    clock = SystemClock()
    swarm: Orchestrator = DockerSwarm(DockerEngine(settings.docker_host), clock, hostname=socket.gethostname())
    source = PrometheusSource(_connection(settings), clock)
    metric_settings = _metric_settings(settings)
    return Cycle(
        windows=Windows(
            sources={PROMETHEUS: CountedSource(source, telemetry.count_query)},
            settings=metric_settings,
            step=settings.window_step,
            probe=partial(source.scrape_interval, queries.oldest_task(metric_settings)),
        ),
        swarm=CountedSwarm(DryRun(swarm) if dry_run else swarm, telemetry.count_request),
        clock=clock,
        deadline=deadline(settings),
    )


def daemon(settings: Settings, policies: Policies) -> Daemon:
    """The daemon under *settings*, with *policies* already loaded."""
    journal = Journal()
    telemetry = Telemetry(journal, lambda: policies.error is None)
    return Daemon(
        cycle=cycle(settings, telemetry, dry_run=settings.dry_run),
        policies=policies,
        journal=journal,
        clock=SystemClock(),
        interval=settings.interval,
        listen=settings.listen_address,
        telemetry=telemetry,
    )


def _connection(settings: Settings) -> ConnectionSettings:
    return ConnectionSettings(
        url=settings.prometheus_url,
        username=settings.prometheus_username,
        password=settings.prometheus_password,
        bearer_token=settings.prometheus_bearer_token,
        ca_file=settings.prometheus_ca_file,
        cert_file=settings.prometheus_cert_file,
        key_file=settings.prometheus_key_file,
        headers={name: value.get_secret_value() for name, value in settings.prometheus_headers.items()},
        timeout=settings.prometheus_timeout,
    )


def _metric_settings(settings: Settings) -> queries.MetricSettings:
    return queries.MetricSettings(
        scrape_interval=settings.scrape_interval,
        rate_window=settings.rate_window,
        warmup=settings.warmup,
        selector=settings.metric_selector,
        service_label=settings.service_label,
        task_label=settings.task_label,
    )
