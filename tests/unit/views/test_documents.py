from __future__ import annotations

import json

from autoscaler.core.model import Outcome, Recommendation, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem, Record
from autoscaler.views.documents import problem_document, record_document
from tests.support.world import decided

HIGH = Why(Reason.ABOVE_THRESHOLD, "cpu 85 %, above 70 % for 1m", "cpu-high")
PENDING = Why(Reason.TASKS_PENDING, "2 of 3 run")
RECORD = Record(
    decided(
        PENDING,
        HIGH,
        at=1_800_000_000.125,
        running=2,
        recommendations=(
            Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 4, 85.5, HIGH.detail),
            Recommendation("memory-high", Reason.NO_DATA, None, None, "memory has no samples"),
        ),
        held=True,
    ),
    Outcome.HELD,
    detail="nothing was written",
    bases={"cpu": "1 core (no limit)"},
    rollback_warning="it undoes the scale",
)


def test_a_record_is_a_document_with_every_fact() -> None:
    """The document of a record holds all that was seen and decided, every reason, and what became of it."""
    assert record_document(RECORD) == {
        "service": "web",
        "policy": "shop",
        "at": 1_800_000_000.125,
        "requested": 3,
        "running": 2,
        "desired": 3,
        "recommended": 3,
        "min": None,
        "max": None,
        "unplaced": 0,
        "outcome": "held",
        "detail": "nothing was written",
        "primary": {"reason": "tasks_pending", "rule": None, "detail": "2 of 3 run"},
        "reasons": [
            {"reason": "above_threshold", "rule": "cpu-high", "detail": "cpu 85 %, above 70 % for 1m"},
            {"reason": "tasks_pending", "rule": None, "detail": "2 of 3 run"},
        ],
        "rules": [
            {
                "rule": "cpu-high",
                "reason": "above_threshold",
                "replicas": 4,
                "value": 85.5,
                "detail": "cpu 85 %, above 70 % for 1m",
            },
            {
                "rule": "memory-high",
                "reason": "no_data",
                "replicas": None,
                "value": None,
                "detail": "memory has no samples",
            },
        ],
        "bases": {"cpu": "1 core (no limit)"},
        "paused": {},
        "rollback_warning": "it undoes the scale",
    }


def test_a_document_is_json() -> None:
    """A document survives being written and read as JSON, which knows no NaN."""
    document = record_document(RECORD)

    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_problem_names_its_metric_where_it_has_one() -> None:
    """The document of a problem says what kind it is, and of which metric, null where of none."""
    assert problem_document(Problem("query", "bad_data", "memory")) == {
        "kind": "query",
        "subject": "memory",
        "detail": "bad_data",
    }
    assert problem_document(Problem("swarm", "no quorum"))["subject"] is None
