"""One service as documents: its last decision, its decisions before, and the windows of its rules."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from autoscaler.util.amounts import rounded
from autoscaler.views.documents import LackDocument, RecordDocument, documented, lack_document, record_document
from autoscaler.views.explanations import ExplanationDocument
from autoscaler.views.overview import DaemonDocument, Facts, ServiceRow, bounds_of, daemon_document, service_row
from autoscaler.views.story import render_story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from autoscaler.core.model import Recommendation
    from autoscaler.core.records import Record

_MOST_SAMPLES = 60
"""Samples of a window that a small chart shows."""


@documented
class ServicesDocument(TypedDict):
    """A page of services, by name."""

    daemon: DaemonDocument
    total: int
    """How many services there are with the given state, or in all."""
    next: str | None
    """The value of `after` for the next page; null on the last page."""
    services: list[RecordDocument]


@documented
class ServiceDocument(TypedDict):
    """A service at the last evaluation."""

    daemon: DaemonDocument
    service: ServiceRow
    place: str
    """Where its policy stands: file and line; empty if no policy applies."""
    decision: RecordDocument
    lacks: list[LackDocument]
    """The data that are missing, each with the first broken link and the cure."""
    explanation: ExplanationDocument | None
    """The decision explained step by step; null if this version cannot."""
    story: str
    """The explanation as `autoscaler explain` prints it; empty without one."""


@documented
class DecisionsDocument(TypedDict):
    """The last decisions on a service that said something new, the newest first."""

    daemon: DaemonDocument
    decisions: list[RecordDocument]
    """The last decision of all, and at most 20 that changed something or were held for another reason than before."""


@documented
class WindowDocument(TypedDict):
    """What a rule judged."""

    rule: str
    metric: str
    unit: str
    base: str
    """What 100 % is, for a metric that is a share of something."""
    bounds: dict[str, float]
    """The values that the metric is compared with, by their side, such as `above`."""
    look_back: int
    """Seconds that the rule judges, up to `end`: its `for`."""
    step: int
    """Seconds between two samples."""
    end: float | None
    """The time of the last sample, Unix seconds; null if there is no window."""
    samples: list[float | None]
    """The samples up to `end`, oldest first, rounded; null where one is missing."""
    lacking: str
    """The reason why the rule cannot judge by them, in words; empty if it can."""


@documented
class WindowsDocument(TypedDict):
    """The windows of a service's rules at the last evaluation."""

    daemon: DaemonDocument
    service: str
    windows: list[WindowDocument]


@documented
class SparkDocument(TypedDict):
    """The newest samples of a metric."""

    metric: str
    samples: list[float | None]
    """The last 60 samples, oldest first, rounded to three digits; null where one is missing."""
    shaded: int
    """How many steps back the rule with the shortest time judges."""


@documented
class SparksDocument(TypedDict):
    """The newest samples of several services, by name."""

    daemon: DaemonDocument
    services: dict[str, list[SparkDocument]]


def services_document(facts: Facts, chosen: Iterable[Record], total: int, following: str | None) -> ServicesDocument:
    """Return a page of records as a JSON object."""
    return {
        "daemon": daemon_document(facts),
        "total": total,
        "next": following,
        "services": [record_document(record) for record in chosen],
    }


def service_document(
    facts: Facts, record: Record, place: str, explain: Callable[[Record], ExplanationDocument | None]
) -> ServiceDocument:
    """Return everything about the service of *record* as a JSON object."""
    lacks = [lack_document(lack) for lack in facts.snapshot.lacks if lack.service == record.decision.service]
    explanation = explain(record)
    whole: ExplanationDocument | None = None if explanation is None else {**explanation, "lacks": lacks}
    return {
        "daemon": daemon_document(facts),
        "service": service_row(facts, record),
        "place": place,
        "decision": record_document(record),
        "lacks": lacks,
        "explanation": whole,
        "story": "" if whole is None else render_story(whole),
    }


def decisions_document(facts: Facts, latest: Record, notable: Iterable[Record]) -> DecisionsDocument:
    """Return the last decisions on a service as a JSON object."""
    earlier = [record for record in notable if record.decision.at != latest.decision.at]
    return {
        "daemon": daemon_document(facts),
        "decisions": [record_document(record) for record in (latest, *reversed(earlier))],
    }


def windows_document(facts: Facts, record: Record) -> WindowsDocument:
    """Return the windows of the rules of a service as a JSON object."""
    return {
        "daemon": daemon_document(facts),
        "service": record.decision.service,
        "windows": [_window(facts, record, item) for item in record.decision.recommendations],
    }


def sparks_document(facts: Facts, records: Iterable[Record]) -> SparksDocument:
    """Return the newest samples of the metrics of several services as a JSON object."""
    return {
        "daemon": daemon_document(facts),
        "services": {record.decision.service: list(_sparks(facts, record)) for record in records},
    }


def _sparks(facts: Facts, record: Record) -> Iterator[SparkDocument]:
    policy = facts.policy_of(record.decision)
    rules = [] if policy is None else policy.rules
    for metric in dict.fromkeys(rule.metric for rule in rules):
        window = record.windows.get(metric)
        if window is None:
            continue
        judged = min(rule.look_back for rule in rules if rule.metric == metric)
        samples = [float(f"{value:.3g}") if isfinite(value) else None for value in window.values[-_MOST_SAMPLES:]]
        yield {"metric": metric, "samples": samples, "shaded": min(judged // window.step, len(samples) - 1)}


def _window(facts: Facts, record: Record, item: Recommendation) -> WindowDocument:
    policy = facts.policy_of(record.decision)
    rule = None if policy is None else policy.rule(item.rule)
    metric = "" if rule is None else rule.metric
    window = record.windows.get(metric)
    return {
        "rule": item.rule,
        "metric": metric,
        "unit": "" if window is None else window.unit,
        "base": record.bases.get(metric, ""),
        "bounds": bounds_of(item, policy),
        "look_back": 0 if rule is None else rule.look_back,
        "step": 0 if window is None else window.step,
        "end": None if window is None else window.end,
        "samples": [] if window is None else [_sample(value) for value in window.values],
        "lacking": item.detail if item.lacks_data else "",
    }


def _sample(value: float) -> float | None:
    return rounded(value) if isfinite(value) else None
