"""Records as plain documents: what `--output json` prints and the API serves."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autoscaler.pauses import damage

if TYPE_CHECKING:
    from autoscaler.amounts import Amount
    from autoscaler.capacity import Capacity, Place
    from autoscaler.model import Recommendation, Why
    from autoscaler.pauses import Pauses
    from autoscaler.pausing import Done
    from autoscaler.records import Problem, Record
    from autoscaler.survey import Survey


def record_document(record: Record) -> dict[str, Any]:
    """*record* as a JSON object; times are Unix seconds, missing values null."""
    decision = record.decision
    return {
        "service": decision.service,
        "policy": decision.policy,
        "at": decision.at,
        "requested": decision.requested,
        "running": decision.running,
        "desired": decision.desired,
        "unplaced": decision.unplaced,
        "outcome": record.outcome.value,
        "detail": record.detail,
        "primary": _why(decision.primary),
        "reasons": [_why(why) for why in decision.reasons],
        "rules": [_rule(item) for item in decision.recommendations],
        "bases": dict(record.bases),
        "paused": {direction.value: said for direction, said in record.paused.items()},
        "rollback_warning": record.rollback_warning,
    }


def problem_document(problem: Problem) -> dict[str, Any]:
    """*problem* as a JSON object."""
    return {"kind": problem.kind, "subject": problem.subject or None, "detail": problem.detail}


def survey_document(found: Survey) -> dict[str, Any]:
    """*found* as a JSON object; ages and intervals are seconds, missing values null."""
    return {
        "good": found.good,
        "readings": [asdict(reading) for reading in found.readings],
        "untouched": [record_document(record) for record in found.untouched],
        "unmatched": list(found.unmatched),
        "problems": [problem_document(problem) for problem in found.problems],
        "scrape_interval": found.scrape_interval,
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


def _place(place: Place) -> dict[str, Any]:
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


def done_document(done: Done, now: float) -> dict[str, Any]:
    """What was done to the pauses, and those in force at *now*, as a JSON object; `*` stands for all services."""
    return {
        "changed": list(done.changed),
        "unchanged": list(done.unchanged),
        "paused": pauses_document(done.pauses, now),
    }


def pauses_document(pauses: Pauses, now: float) -> list[dict[str, Any]]:
    """The pauses in force at *now*: a JSON object for each service and direction."""
    return [
        {
            "service": name,
            "direction": direction.value,
            "since": pause.since if pause else None,
            "until": pause.until if pause else None,
            "by": pause.by if pause else None,
            "reason": pause.reason if pause else damage(name),
        }
        for name, direction, pause in pauses.in_force(now)
    ]


def _why(why: Why) -> dict[str, Any]:
    return {"reason": why.reason.value, "rule": why.rule, "detail": why.detail}


def _rule(item: Recommendation) -> dict[str, Any]:
    return {
        "rule": item.rule,
        "reason": item.reason.value,
        "replicas": item.replicas,
        "value": item.value,
        "detail": item.detail,
    }
