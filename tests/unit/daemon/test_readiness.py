"""What `/-/ready` answers."""

from __future__ import annotations

import pytest

from autoscaler.core.records import Evaluation, Problem
from autoscaler.daemon.readiness import readiness
from autoscaler.evaluation.journal import Journal
from autoscaler.web.app import Health


def after(*problems: Problem) -> Health:
    """The answer after an evaluation that met *problems*."""
    journal = Journal()
    journal.close(Evaluation(1.0, problems=problems))
    return readiness(journal.snapshot(), loaded=True)


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Problem("swarm", "no answer"), "not ready: swarm: no answer"),
        (Problem("prometheus", "refused"), "not ready: prometheus: refused"),
        (Problem("no_data", "no service has data: x"), "not ready: no data: no service has data: x"),
        (Problem("write", "nothing was written: x"), "not ready: writes to Swarm: nothing was written: x"),
    ],
)
def test_no_service_can_be_decided_on_or_written(problem: Problem, said: str) -> None:
    """Only what was tried and keeps all services from being scaled is named."""
    assert after(problem) == Health(good=False, detail=said)


@pytest.mark.parametrize(
    "problem",
    [
        Problem("no_data", "x", "web"),
        Problem("no_data", "x", "metric cpu"),
        Problem("write", "x", "web"),
        Problem("clock", "x"),
        Problem("query", "x", "queue"),
    ],
)
def test_some_services_can(problem: Problem) -> None:
    """Other problems stand in the body, and the autoscaler is ready."""
    health = after(problem)
    assert health.good
    assert health.detail.startswith("ready\n")
    assert health.detail.endswith(": x")


def test_before_the_first_evaluation() -> None:
    """Nothing is said about backends that were not asked yet."""
    assert readiness(Journal().snapshot(), loaded=True).detail == "not ready: the first evaluation has not ended yet"
    assert readiness(Journal().snapshot(), loaded=False).detail == "not ready: no policies are loaded"


def test_no_problem() -> None:
    """Without a problem the answer is one word."""
    assert after() == Health(good=True, detail="ready")
