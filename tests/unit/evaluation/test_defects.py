from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.decision.decide import decide
from autoscaler.evaluation import cycle
from autoscaler.evaluation.journal import Journal
from autoscaler.views import render
from tests.support.world import World, policy_for

if TYPE_CHECKING:
    from autoscaler.core.model import Decision, History, Observation, Recommendation
    from autoscaler.policy.policy import Policy


def defective(
    policy: Policy,
    observation: Observation,
    history: History,
    recommendations: tuple[Recommendation, ...],
) -> Decision:
    """A decision that cannot be made on one of the services."""
    if observation.service == "web":
        raise ZeroDivisionError("division\nby zero")
    return decide(policy, observation, history, recommendations)


@pytest.mark.fault("defect")
def test_a_defect_of_one_service_costs_no_other(defects_are_told: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - it is asked for what it does
    """A service that cannot be decided on, by a defect of ours, is left as it is; the others are scaled.

    It is told once, with the service and the place, and so is that it is over.
    """
    world = World(policy_for("web", "api"))
    for name in ("web", "api"):
        world.service(name, cpu=90)
    world.settle()
    journal, changes = Journal(), list[tuple[Any, ...]]()

    monkeypatch.setattr(cycle, "decide", defective)
    for _ in range(2):
        evaluation = world.next()
        changes.append(journal.close(evaluation))
        assert [record.decision.service for record in evaluation.records] == ["api"]
        assert evaluation.incomplete
    assert (world.replicas("web"), world.replicas("api")) == (3, 4)
    (problem,) = evaluation.problems
    said = render.problem_line(problem)
    assert said.startswith(
        "the service web: a defect of the autoscaler: ZeroDivisionError: division by zero (cycle.py:"
    )
    assert said.endswith("; report it)")

    monkeypatch.setattr(cycle, "decide", decide)
    changes.append(journal.close(world.next()))
    assert world.replicas("web") == 4
    web = [("service", "web")]
    told = [tuple([problem.key for problem in part] for part in change) for change in changes]
    assert told == [(web, []), ([], []), ([], web)]
