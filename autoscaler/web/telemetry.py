"""The autoscaler's own metrics, in Prometheus' exposition format.

What belongs to a service is collected from the journal at each scrape, so that a service which no policy applies to
any more leaves no series behind.
"""

from __future__ import annotations

from collections import Counter as Counts
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import autoscaler
from autoscaler.core.model import Direction
from autoscaler.core.reasons import Reason
from autoscaler.core.records import PROBLEM_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from autoscaler.evaluation.journal import Journal, Snapshot

disable_created_metrics()  # type: ignore[no-untyped-call] # the library's own gauges beside each counter, which nobody asked for
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)


class Telemetry:
    """The registry behind `/metrics`, and the counters that the daemon and the adapters feed."""

    def __init__(
        self, journal: Journal, reload_successful: Callable[[], bool], leader: Callable[[], bool] = lambda: True
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
        self.registry.register(_JournalCollector(journal, reload_successful))
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
    def __init__(self, journal: Journal, reload_successful: Callable[[], bool]) -> None:
        self._journal = journal
        self._reload_successful = reload_successful

    def collect(self) -> Iterator[Metric]:
        """The metrics of the journal as it is now."""
        snapshot = self._journal.snapshot()
        yield from _replicas(snapshot)
        yield from _decisions(snapshot)
        yield _paused(snapshot)
        yield _problems(snapshot)
        value = GaugeMetricFamily(
            "autoscaler_rule_value",
            "The newest sample that the rule judged; absent if the sample is missing.",
            labels=["service", "rule"],
        )
        for service, record in snapshot.latest.items():
            for item in record.decision.recommendations:
                if item.value is not None:
                    value.add_metric([service, item.rule], item.value)
        yield value
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


def _replicas(snapshot: Snapshot) -> Iterator[Metric]:
    helps = {
        "requested": "Replicas in the service's spec.",
        "running": "Tasks that run and are meant to run, on a node that is ready.",
        "desired": "Replicas that the last decision asks for.",
        "unplaced": "Replicas that wait for a node: there is no room, or no node meets their placement constraints.",
    }
    for which, text in helps.items():
        gauge = GaugeMetricFamily(f"autoscaler_{which}_replicas", text, labels=["service"])
        for service, record in snapshot.latest.items():
            if record.decision.primary.reason is Reason.SERVICE_NOT_FOUND:
                continue  # none is not 0
            gauge.add_metric([service], getattr(record.decision, which))
        yield gauge


def _paused(snapshot: Snapshot) -> Metric:
    gauge = GaugeMetricFamily(
        "autoscaler_paused",
        "1 if changes of the service in this direction are paused, by its policy or by an operator; else 0.",
        labels=["service", "direction"],
    )
    for service, record in snapshot.latest.items():
        for direction in Direction:
            gauge.add_metric([service, direction.value], direction in record.paused)
    return gauge


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


def _decisions(snapshot: Snapshot) -> Iterator[Metric]:
    decisions = CounterMetricFamily("autoscaler_decisions", "Decisions, by outcome.", labels=["service", "outcome"])
    for (service, outcome), count in snapshot.decisions.items():
        decisions.add_metric([service, outcome.value], count)
    yield decisions
    held = CounterMetricFamily("autoscaler_held", "Held decisions, by primary reason.", labels=["service", "reason"])
    for (service, reason), count in snapshot.held.items():
        held.add_metric([service, reason], count)
    yield held
