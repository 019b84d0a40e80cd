"""A journal that has seen everything that metrics and documents show."""

from __future__ import annotations

from dataclasses import replace

from autoscaler.core.model import Direction, Outcome, Recommendation, ScaleEvent, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from autoscaler.evaluation.journal import Journal
from autoscaler.policy.policy import PolicySet
from tests.support.builders import NOW, written
from tests.support.world import decided

POLICIES = PolicySet(
    policies=(
        written(
            {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1},
            {"name": "cpu-low", "metric": "cpu", "below": 30, "for": "1m", "remove": 1},
            least=2,
            most=6,
        ).model_copy(update={"name": "shop"}),
    ),
    revision="r1",
)


def full_journal() -> Journal:
    """A journal after an evaluation that applied a change, held another and met a problem."""
    journal = Journal()
    told = (Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 4, 85.5), Recommendation("cpu-low", Reason.NO_BREACH))
    up = decided(Why(Reason.ABOVE_THRESHOLD, "cpu 85.5 %", "cpu-high"), desired=4, at=NOW, recommendations=told)
    waits = Why(Reason.COOLING_DOWN, "wants 5", "cpu-high", until=NOW + 60.0)
    held = decided(waits, service="api", at=NOW, held=True, recommendations=told)
    up, held = (replace(each, minimum=2, maximum=6) for each in (up, replace(held, recommended=5)))
    records = (
        Record(up, Outcome.APPLIED, last_change=ScaleEvent(NOW, 3, 4)),
        Record(held, Outcome.HELD, paused={Direction.UP: "paused by ana"}),
    )
    for record in records:
        journal.add(record)
    journal.close(Evaluation(float(NOW), records, (Problem("query", "HTTP 400", "rps"),)))
    return journal
