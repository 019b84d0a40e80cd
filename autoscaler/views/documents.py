"""Records as plain documents: what `--output json` prints and the API serves.

The types say what the documents of the API are made of; its description is made from them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from autoscaler.coordination.pauses import damage
from autoscaler.core.lacks import Link
from autoscaler.core.model import Direction, Outcome
from autoscaler.core.reasons import Reason

if TYPE_CHECKING:
    from autoscaler.coordination.pauses import Pause
    from autoscaler.coordination.pausing import PauseResult
    from autoscaler.core.lacks import Lack
    from autoscaler.core.model import Recommendation, Why
    from autoscaler.core.records import Problem, Record
    from autoscaler.evaluation.survey import Survey
    from autoscaler.swarm.capacity import Capacity, ServiceCapacity
    from autoscaler.util.amounts import Amount


documented = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
"""Marks a type of the API: its docstrings are the description of its keys, and it has no other keys."""


@documented
class WhyDocument(TypedDict):
    """One reason that shaped a decision."""

    reason: Reason
    rule: str | None
    detail: str


@documented
class RuleDocument(TypedDict):
    """What one rule made of its metric."""

    rule: str
    reason: Reason
    replicas: int | None
    """The count it asks for; null where it has no opinion or lacks data."""
    value: float | None
    """The newest sample; null where it is missing."""
    detail: str


@documented
class RecordDocument(TypedDict):
    """A decision and what became of it."""

    service: str
    policy: str
    at: float
    """Unix seconds."""
    requested: int
    running: int
    desired: int
    recommended: int
    """The count that the rules want, before bounds and holds."""
    min: int | None
    """The minimum in force, schedules and labels included; null if no policy could be applied."""
    max: int | None
    """The maximum in force; null as in `min`."""
    unplaced: int
    """Replicas that find no room."""
    outcome: Outcome
    detail: str
    """Why the outcome is not what was decided; empty where it is."""
    primary: WhyDocument
    reasons: list[WhyDocument]
    rules: list[RuleDocument]
    bases: dict[str, str]
    """What 100 % is, for each metric that is a share of something."""
    paused: dict[Direction, str]
    """Why changes are paused, by direction, wanted or not."""
    rollback_warning: str


@documented
class ProblemDocument(TypedDict):
    """What kept an evaluation from doing all of its work."""

    kind: str
    subject: str | None
    detail: str


@documented
class LackDocument(TypedDict):
    """Missing data, and the first broken link between the metric and the service."""

    service: str
    metric: str
    link: Link
    cause: str
    cure: str
    setting: str
    """The setting that the link depends on; empty if there is none."""
    passes: bool
    """Whether the lack ends by itself."""


@documented
class PoliciesDocument(TypedDict):
    """The policies."""

    revision: str
    """Names the content of those in force."""
    problems: list[str]
    """What is wrong with the files as they are now; the last good set stays in force."""


@documented
class PauseDocument(TypedDict):
    """A pause in force."""

    service: str
    """`*` stands for all services."""
    direction: Direction
    since: float | None
    """Unix seconds; null where nothing but the pause itself can be read."""
    until: float | None
    """Unix seconds; null where somebody has to end it."""
    by: str | None
    reason: str


@documented
class DoneDocument(TypedDict):
    """What was done to the pauses, and those in force."""

    changed: list[str]
    """The services of which something was changed; `*` stands for all services."""
    unchanged: list[str]
    """The services that were as asked for already."""
    paused: list[PauseDocument]


def record_document(record: Record) -> RecordDocument:
    """*record* as a JSON object; times are Unix seconds, missing values null."""
    decision = record.decision
    return {
        "service": decision.service,
        "policy": decision.policy,
        "at": decision.at,
        "requested": decision.requested,
        "running": decision.running,
        "desired": decision.desired,
        "recommended": decision.recommended,
        "min": decision.minimum,
        "max": decision.maximum,
        "unplaced": decision.unplaced,
        "outcome": record.outcome,
        "detail": record.detail,
        "primary": _why(decision.primary),
        "reasons": [_why(why) for why in decision.reasons],
        "rules": [_rule(item) for item in decision.recommendations],
        "bases": dict(record.bases),
        "paused": dict(record.paused),
        "rollback_warning": record.rollback_warning,
    }


def problem_document(problem: Problem) -> ProblemDocument:
    """*problem* as a JSON object."""
    return {"kind": problem.kind, "subject": problem.subject or None, "detail": problem.detail}


def lack_document(lack: Lack) -> LackDocument:
    """*lack* as a JSON object."""
    return {
        "service": lack.service,
        "metric": lack.metric,
        "link": lack.link,
        "cause": lack.sentence,
        "cure": lack.cure,
        "setting": lack.setting,
        "passes": lack.passes,
    }


def survey_document(found: Survey) -> dict[str, Any]:
    """*found* as a JSON object; ages and intervals are seconds, missing values null."""
    return {
        "good": found.good,
        "readings": [asdict(reading) for reading in found.readings],
        "untouched": [record_document(record) for record in found.untouched],
        "asleep": list(found.asleep),
        "unmatched": list(found.unmatched),
        "warnings": list(found.doubtful),
        "problems": [problem_document(problem) for problem in found.problems],
        "scrape_interval": found.scrape_interval,
        "remarks": list(found.remarks),
        "lacks": [lack_document(lack) for lack in found.lacks],
        "nothing_matched": list(found.nothing_matched),
        "capacity": None if found.capacity is None else capacity_document(found.capacity),
    }


def capacity_document(capacity: Capacity) -> dict[str, Any]:
    """*capacity* as a JSON object; CPU in cores, memory in bytes, null for any number of replicas."""
    return {
        "fits": capacity.fits,
        "nodes": capacity.nodes,
        "closed_nodes": list(capacity.closed),
        "total": _amount(capacity.total),
        "reserved": _amount(capacity.reserved),
        "reserved_at_maxima": _amount(capacity.at_maxima),
        "limits_at_maxima": _amount(capacity.limits_at_maxima),
        "services": [_place(place) for place in capacity.places],
    }


def _place(place: ServiceCapacity) -> dict[str, Any]:
    return {
        "service": place.service,
        "policy": place.policy,
        "requested": place.requested,
        "maximum": place.maximum,
        "fits": place.fits,
        "fitting_now": place.now,
        "fitting_with_others_at_maximum": place.with_others,
        "reserves": _amount(place.reserves),
        "limits": _amount(place.limits),
        "waiting_with_room": place.forgotten,
        "obstacle": place.obstacle,
        "cure": place.cure,
    }


def _amount(amount: Amount) -> dict[str, Any]:
    return {"cores": amount.cores, "memory": amount.memory}


def done_document(done: PauseResult, now: float) -> DoneDocument:
    """*done*, and the pauses in force at *now*, as a JSON object."""
    return {
        "changed": list(done.changed),
        "unchanged": list(done.unchanged),
        "paused": [_pause(*each) for each in done.pauses.in_force(now)],
    }


def _pause(service: str, direction: Direction, pause: Pause | None) -> PauseDocument:
    return {
        "service": service,
        "direction": direction,
        "since": pause.since if pause else None,
        "until": pause.until if pause else None,
        "by": pause.by if pause else None,
        "reason": pause.reason if pause else damage(service),
    }


def _why(why: Why) -> WhyDocument:
    return {"reason": why.reason, "rule": why.rule, "detail": why.detail}


def _rule(item: Recommendation) -> RuleDocument:
    return {
        "rule": item.rule,
        "reason": item.reason,
        "replicas": item.replicas,
        "value": item.value,
        "detail": item.detail,
    }
