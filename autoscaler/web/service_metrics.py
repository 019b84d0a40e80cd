"""The metrics by service, made from the journal at each scrape.

A service that no policy applies to any more leaves no series behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from autoscaler.core.model import Direction, Outcome
from autoscaler.core.reasons import Reason
from autoscaler.views.overview import hold_ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

    from autoscaler.core.records import Record
    from autoscaler.evaluation.journal import Snapshot
    from autoscaler.policy.policy import Policy, PolicySet
    from autoscaler.strategies import Rule

_COUNTS = {
    "requested": "Replicas in the service's spec.",
    "running": "Tasks that run and are meant to run, on a node that is ready.",
    "desired": "Replicas that the last decision asks for.",
    "unplaced": "Replicas that wait for a node: there is no room, or no node meets their placement constraints.",
}
_BOUNDS = {
    "recommended": ("recommended", "Replicas that the rules want, before bounds, cooldowns and other holds."),
    "min": ("minimum", "The minimum in force, schedules and labels included."),
    "max": ("maximum", "The maximum in force, schedules and labels included."),
}
_WATCHED = (Outcome.APPLIED, Outcome.FAILED, Outcome.UNKNOWN)
"""Outcomes with a series from the first evaluation on, so that their first increase is seen."""


def service_metrics(snapshot: Snapshot, policies: PolicySet | None) -> Iterator[Metric]:
    """Yield every metric that has the label `service`. The bounds of rules are those of *policies*."""
    records = tuple(snapshot.latest.values())
    yield from _replicas(records)
    yield _decisions(snapshot)
    yield _held(snapshot)
    yield from _holds(records)
    yield from _changes(snapshot, records, policies)
    yield _paused(records)
    yield from _rules(records, policies)


def _replicas(records: Iterable[Record]) -> Iterator[Metric]:
    there = [each for each in records if each.decision.primary.reason is not Reason.SERVICE_NOT_FOUND]  # none is not 0
    for which, text in _COUNTS.items():
        gauge = GaugeMetricFamily(f"autoscaler_{which}_replicas", text, labels=["service"])
        for record in there:
            gauge.add_metric([record.decision.service], getattr(record.decision, which))
        yield gauge
    bounded = [each for each in there if each.decision.maximum is not None]
    for which, (attribute, text) in _BOUNDS.items():
        gauge = GaugeMetricFamily(f"autoscaler_{which}_replicas", text, labels=["service"])
        for record in bounded:
            gauge.add_metric([record.decision.service], getattr(record.decision, attribute))
        yield gauge


def _decisions(snapshot: Snapshot) -> Metric:
    family = CounterMetricFamily("autoscaler_decisions", "Decisions, by outcome.", labels=["service", "outcome"])
    counts = {(service, outcome): 0 for service in snapshot.latest for outcome in _WATCHED} | dict(snapshot.decisions)
    for (service, outcome), count in counts.items():
        family.add_metric([service, outcome.value], count)
    return family


def _held(snapshot: Snapshot) -> Metric:
    family = CounterMetricFamily("autoscaler_held", "Held decisions, by primary reason.", labels=["service", "reason"])
    for (service, reason), count in snapshot.held.items():
        family.add_metric([service, reason], count)
    return family


def _holds(records: Iterable[Record]) -> Iterator[Metric]:
    hold = GaugeMetricFamily(
        "autoscaler_hold", "1 while the last decision is held, by primary reason.", labels=["service", "reason"]
    )
    ends = GaugeMetricFamily(
        "autoscaler_hold_ends_timestamp_seconds",
        "Time at which the hold ends by itself, in Unix seconds; absent if nothing holds, or the end is not known.",
        labels=["service"],
    )
    for record in records:
        decision = record.decision
        if record.outcome is Outcome.HELD:
            hold.add_metric([decision.service, decision.primary.reason.value], 1)
        if (until := hold_ends(record)) is not None:
            ends.add_metric([decision.service], until)
    yield hold
    yield ends


def _changes(snapshot: Snapshot, records: Iterable[Record], policies: PolicySet | None) -> Iterator[Metric]:
    scaled = CounterMetricFamily(
        "autoscaler_scaled",
        "Changes of the count that were applied, by direction and deciding rule. The rule is empty if bounds, a "
        "schedule, a deploy or the fallback decided.",
        labels=["service", "direction", "rule"],
    )
    last = GaugeMetricFamily(
        "autoscaler_last_change_timestamp_seconds",
        "Time of the last change of the count, by whomever, in Unix seconds; absent if none is known.",
        labels=["service"],
    )
    counts = {
        (record.decision.service, direction, rule): 0
        for record in records
        for direction, rule in _possible(_policy_of(record, policies))
    } | dict(snapshot.scaled)
    for (service, direction, rule), count in counts.items():
        scaled.add_metric([service, direction.value, rule], count)
    for record in records:
        if record.last_change is not None:
            last.add_metric([record.decision.service], record.last_change.at)
    yield scaled
    yield last


def _possible(policy: Policy | None) -> Iterator[tuple[Direction, str]]:
    """Yield the changes that may come, so that their series begin at 0."""
    for direction in Direction:
        yield direction, ""
    for rule in () if policy is None else policy.rules:
        for direction in _directions(rule):
            yield direction, rule.name


def _directions(rule: Rule) -> Iterable[Direction]:
    """Return the directions in which *rule* changes counts: a threshold has one, and others may have both."""
    if not rule.relative or not hasattr(rule, "remove"):
        return Direction
    return (Direction.UP,) if getattr(rule, "add", None) is not None else (Direction.DOWN,)


def _paused(records: Iterable[Record]) -> Metric:
    gauge = GaugeMetricFamily(
        "autoscaler_paused",
        "1 if changes of the service in this direction are paused, by its policy or by an operator; else 0.",
        labels=["service", "direction"],
    )
    for record in records:
        for direction in Direction:
            gauge.add_metric([record.decision.service, direction.value], direction in record.paused)
    return gauge


def _rules(records: Iterable[Record], policies: PolicySet | None) -> Iterator[Metric]:
    value = GaugeMetricFamily(
        "autoscaler_rule_value",
        "The newest sample that the rule judged; absent if the sample is missing.",
        labels=["service", "rule"],
    )
    bound = GaugeMetricFamily(
        "autoscaler_rule_bound",
        "A value that the rule compares its metric with, by side: above, below, target and others.",
        labels=["service", "rule", "side"],
    )
    for record in records:
        policy = _policy_of(record, policies)
        for item in record.decision.recommendations:
            if item.value is not None:
                value.add_metric([record.decision.service, item.rule], item.value)
            rule = None if policy is None else policy.rule(item.rule)
            for side, at in rule.shown_bounds.items() if rule is not None else ():
                bound.add_metric([record.decision.service, item.rule, side], at)
    yield value
    yield bound


def _policy_of(record: Record, policies: PolicySet | None) -> Policy | None:
    return None if policies is None else policies.by_name.get(record.decision.policy)
