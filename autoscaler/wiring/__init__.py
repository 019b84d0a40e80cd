"""Puts the parts together as the settings say."""

from __future__ import annotations

import socket
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from autoscaler.adapters.counted import CountedPauses, CountedSource, CountedSwarm
from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.orchestrator import DockerSwarm, DryRun, RolledBack
from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.coordination.pauses import KnownPauses
from autoscaler.coordination.pausing import Pausing
from autoscaler.diagnosis.evidence import Witness
from autoscaler.evaluation.cycle import Cycle
from autoscaler.evaluation.journal import Journal
from autoscaler.evaluation.lack_watch import LackWatch
from autoscaler.metrics import queries
from autoscaler.metrics.windows import MetricWindows
from autoscaler.plugins import entry_points as plugins
from autoscaler.plugins.metric_source import ForeignSource
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.util.deadline import Deadline
from autoscaler.web.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoscaler.coordination.pausing import PauseRequest, PauseResult
    from autoscaler.ports import MetricSource, Orchestrator
    from autoscaler.settings import Settings
    from autoscaler.swarm.cluster import Cluster

_SHORTEST_DEADLINE = 10.0
_LONGEST_DEADLINE = 20.0
"""Seconds; the stack's stop_grace_period is longer, so that an evaluation can end before the daemon does."""
_LONGEST_CHANGE = 10.0
"""Seconds that beginning or ending pauses may take: less than an HTTP connection waits for its answer."""


def deadline(settings: Settings) -> float:
    """How many seconds an evaluation may take under *settings*."""
    return min(max(float(settings.interval), _SHORTEST_DEADLINE), _LONGEST_DEADLINE)


def cycle(settings: Settings, telemetry: Telemetry, *, dry_run: bool) -> Cycle:
    """An evaluation cycle on the Swarm and the Prometheus of *settings*; it writes nothing where *dry_run*."""
    clock = SystemClock()
    engine = DockerEngine(settings.docker_host)
    swarm: Orchestrator = _swarm(engine)
    source = PrometheusSource(connection(settings), clock)
    asked = metric_settings(settings)
    return Cycle(
        windows=MetricWindows(
            sources={
                name: CountedSource(each, telemetry.count_query)
                for name, each in {PROMETHEUS: source, **_plugged_sources()}.items()
            },
            settings=asked,
            step=settings.window_step,
            reporters=source.labels,
            probe=partial(source.scrape_interval, queries.oldest_task(asked)),
            clock_cure=source.clock_cure,
        ),
        swarm=CountedSwarm(DryRun(swarm) if dry_run else swarm, telemetry.count_request),
        pauses=KnownPauses(CountedPauses(SwarmPauses(engine), telemetry.count_request)),
        clock=clock,
        deadline=deadline(settings),
        lacks=LackWatch(Witness(source.values, asked)),
        interval=settings.interval,
    )


def cycle_for_a_look(settings: Settings) -> Cycle:
    """A cycle that writes nothing, and whose counts nobody reads."""
    return cycle(settings, Telemetry(Journal(), lambda: True), dry_run=True)


def _plugged_sources() -> dict[str, MetricSource]:
    return {name: ForeignSource(name, factory) for name, factory in plugins.metric_sources().items()}


def roll_back(settings: Settings, service: str) -> RolledBack:
    """Give *service* the version before its last deploy back. Raises BackendError."""
    return _swarm(DockerEngine(settings.docker_host)).roll_back(service, Deadline(_LONGEST_DEADLINE))


def read_swarm(settings: Settings) -> Cluster:
    """The Swarm of *settings* as it is now. Raises BackendError."""
    return _swarm(DockerEngine(settings.docker_host)).read(Deadline(_LONGEST_DEADLINE))


def _swarm(engine: DockerEngine) -> DockerSwarm:
    return DockerSwarm(engine, hostname=socket.gethostname())


def pause(settings: Settings, wish: PauseRequest) -> PauseResult:
    """Begin pauses in the Swarm of *settings*. Raises BackendError."""
    with closing(DockerEngine(settings.docker_host)) as engine:
        return _pausing(engine).pause(wish, SystemClock().now(), Deadline(_LONGEST_CHANGE))


def resume(settings: Settings, services: Sequence[str]) -> PauseResult:
    """End pauses in the Swarm of *settings*. Raises BackendError."""
    with closing(DockerEngine(settings.docker_host)) as engine:
        return _pausing(engine).resume(services, SystemClock().now(), Deadline(_LONGEST_CHANGE))


def _pausing(engine: DockerEngine) -> Pausing:
    return Pausing(SwarmPauses(engine), lambda deadline: _swarm(engine).read(deadline).services)


def connection(settings: Settings) -> ConnectionSettings:
    """Return how Prometheus is reached."""
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


def metric_settings(settings: Settings) -> queries.MetricSettings:
    """Return what the queries of the built-in metrics depend on."""
    return queries.MetricSettings(
        scrape_interval=settings.scrape_interval,
        rate_window=settings.rate_window,
        warmup=settings.warmup,
        selector=settings.metric_selector,
        service_label=settings.service_label,
        task_label=settings.task_label,
    )
