"""The autoscaler's own metrics, in Prometheus' exposition format.

A standby exports its mode, its role and its health, and no series by service: those would repeat the leader's.
"""

from __future__ import annotations

from collections import Counter as Counts
from dataclasses import replace
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import autoscaler
from autoscaler.core.instance import Mode
from autoscaler.core.records import PROBLEM_KINDS
from autoscaler.web.service_metrics import service_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from autoscaler.evaluation.journal import Journal, Snapshot
    from autoscaler.policy.policy import PolicySet

disable_created_metrics()  # type: ignore[no-untyped-call] # the library's own gauges beside each counter, which nobody asked for
_RESULTS = ("success", "refused", "unreachable")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)


class Telemetry:
    """The registry behind `/metrics`, and the counters that the daemon and the adapters feed."""

    def __init__(
        self,
        journal: Journal,
        reload_successful: Callable[[], bool],
        leader: Callable[[], bool] = lambda: True,
        *,
        mode: Mode = Mode.LIVE,
        policies: Callable[[], PolicySet] | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self.duration = Histogram(
            "autoscaler_evaluation_duration_seconds",
            "Duration of an evaluation, in seconds.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._queries = Counter(
            "autoscaler_prometheus_queries",
            "Queries sent to Prometheus, by result: success, refused or unreachable.",
            ["result"],
            registry=self.registry,
        )
        self._requests = Counter(
            "autoscaler_swarm_requests",
            "Requests sent to Swarm, by operation and result.",
            ["operation", "result"],
            registry=self.registry,
        )
        for result in _RESULTS:
            self._queries.labels(result)
        self.registry.register(
            _JournalCollector(journal, reload_successful, policies, lambda: mode is Mode.DRY_RUN or leader())
        )
        modes = Gauge(
            "autoscaler_mode",
            "1 for the mode in force, 0 for the other: live or dry_run.",
            ["mode"],
            registry=self.registry,
        )
        for each in Mode:
            modes.labels(each.value).set(each is mode)
        Gauge(
            "autoscaler_leader",
            "1 if this autoscaler is the leader (it holds the lease) and may scale; 0 on standby and in a dry-run.",
            registry=self.registry,
        ).set_function(leader)

    def count_query(self, result: str) -> None:
        """Count a query to Prometheus."""
        self._queries.labels(result).inc()

    def count_request(self, operation: str, result: str) -> None:
        """Count a request to Swarm."""
        self._requests.labels(operation, result).inc()


class _JournalCollector(Collector):
    def __init__(
        self,
        journal: Journal,
        reload_successful: Callable[[], bool],
        policies: Callable[[], PolicySet] | None,
        exports_services: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._reload_successful = reload_successful
        self._policies = policies
        self._exports_services = exports_services

    def collect(self) -> Iterator[Metric]:
        """The metrics of the journal as it is now."""
        snapshot = self._journal.snapshot()
        shown = snapshot if self._exports_services() else replace(snapshot, latest={}, decisions={}, held={}, scaled={})
        yield from service_metrics(shown, None if self._policies is None else self._policies())
        yield _problems(snapshot)
        yield GaugeMetricFamily(
            "autoscaler_last_evaluation_timestamp_seconds",
            "Time at which the last evaluation began, in Unix seconds; 0 before the first one.",
            value=snapshot.last_evaluation or 0,
        )
        yield CounterMetricFamily(
            "autoscaler_evaluations_missed",
            "Evaluations that were left out because the previous one was still running.",
            value=snapshot.missed,
        )
        yield GaugeMetricFamily(
            "autoscaler_policies_last_reload_successful",
            "1 if the policy files as they are now are in force; 0 if they are invalid and an older set is in force.",
            value=self._reload_successful(),
        )
        info = GaugeMetricFamily("autoscaler_build_info", "1, labelled with the version.", labels=["version"])
        info.add_metric([autoscaler.__version__], 1)
        yield info


def _problems(snapshot: Snapshot) -> Metric:
    gauge = GaugeMetricFamily(
        "autoscaler_problems",
        "Problems that are going on now, by kind. Most of them keep services from being scaled. The kinds clock and "
        "scrape_interval mean that samples may look late or incomplete; starved is a node without CPU to spare.",
        labels=["kind"],
    )
    met = Counts(problem.kind for problem in snapshot.problems)
    for kind in PROBLEM_KINDS:
        gauge.add_metric([kind], met[kind])
    return gauge
