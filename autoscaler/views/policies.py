"""The policies in force as a document: where they stand, which services they apply to, and their schedules."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from autoscaler.policy.policy import PolicySet
from autoscaler.policy.schedules import firings
from autoscaler.views.documents import documented
from autoscaler.views.overview import DaemonDocument, Facts, daemon_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autoscaler.policy.policy import Policy
    from autoscaler.policy.schedules import Schedule
    from autoscaler.strategies import Rule


@documented
class ScheduleDocument(TypedDict):
    """A schedule of a policy."""

    name: str
    min: int | None
    max: int | None
    timezone: str
    active: bool
    """Whether it is in force."""
    next_start: float | None
    """When it begins next, Unix seconds; null if it never does."""
    next_end: float | None
    """When its end comes next, Unix seconds; null if it never does."""


@documented
class PolicyRuleDocument(TypedDict):
    """A rule of a policy."""

    name: str
    metric: str
    strategy: str
    bounds: dict[str, float]
    """The values that the metric is compared with, by their side, such as `above`."""
    look_back: int
    """Seconds of samples that the rule judges."""


@documented
class PolicyDocument(TypedDict):
    """A policy as it is in force."""

    name: str
    place: str
    """Where it stands: file and line."""
    services: list[str]
    """The names and globs that it gives."""
    match_labels: dict[str, str]
    exclude: list[str]
    applies_to: list[str]
    """The services that it applied to at the last evaluation."""
    min: int
    """Its own minimum, without schedules."""
    max: int
    """Its own maximum, without schedules."""
    paused: bool | str
    """true for both directions, or the direction: up or down."""
    rules: list[PolicyRuleDocument]
    schedules: list[ScheduleDocument]


@documented
class LoadedPoliciesDocument(TypedDict):
    """The policies in force, and what is wrong with the files as they are now."""

    daemon: DaemonDocument
    problems: list[str]
    """What is wrong with the files as they are now; the last valid set stays in force."""
    policies: list[PolicyDocument]


@dataclass(frozen=True, slots=True)
class PoliciesInForce:
    """The policies in force, and what is known about their files."""

    policies: PolicySet = field(default_factory=PolicySet)
    places: Mapping[str, str] = field(default_factory=dict)
    """File and line of each policy, by its name."""
    problems: Sequence[str] = ()
    """What is wrong with the files as they are now."""


def loaded_policies_document(facts: Facts, loaded: PoliciesInForce) -> LoadedPoliciesDocument:
    """Return the policies in force as a JSON object, in the order of their files."""
    latest = facts.snapshot.latest
    applies: dict[str, list[str]] = {}
    for service, record in sorted(latest.items()):
        applies.setdefault(record.decision.policy, []).append(service)
    at = facts.snapshot.last_evaluation or facts.instance.started or 0.0
    return {
        "daemon": daemon_document(facts),
        "problems": list(loaded.problems),
        "policies": [
            _policy(each, loaded.places.get(each.name, ""), applies.get(each.name, []), at)
            for each in loaded.policies.policies
        ],
    }


def _policy(policy: Policy, place: str, applies_to: list[str], at: float) -> PolicyDocument:
    return {
        "name": policy.name,
        "place": place,
        "services": list(policy.services),
        "match_labels": dict(policy.match_labels),
        "exclude": list(policy.exclude),
        "applies_to": applies_to,
        "min": policy.replicas.min,
        "max": policy.replicas.max,
        "paused": policy.paused,
        "rules": [_rule(rule) for rule in policy.rules],
        "schedules": [_schedule(schedule, at) for schedule in policy.schedules],
    }


def _rule(rule: Rule) -> PolicyRuleDocument:
    return {
        "name": rule.name,
        "metric": rule.metric,
        "strategy": rule.strategy_name,
        "bounds": dict(rule.shown_bounds),
        "look_back": rule.look_back,
    }


def _schedule(schedule: Schedule, at: float) -> ScheduleDocument:
    return {
        "name": schedule.name,
        "min": schedule.min,
        "max": schedule.max,
        "timezone": schedule.timezone,
        "active": schedule.active(at),
        "next_start": _known(firings(schedule.start, schedule.timezone).next(at)),
        "next_end": _known(firings(schedule.end, schedule.timezone).next(at)),
    }


def _known(moment: float) -> float | None:
    return moment if isfinite(moment) else None
