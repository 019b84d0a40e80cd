from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.decision.decide import decide
from autoscaler.evaluation import cycle
from autoscaler.evaluation.journal import Journal
from autoscaler.views.problems import problem_line
from tests.support.policy_files import POLICIES, TEST, run
from tests.support.world import World, policy_for

if TYPE_CHECKING:
    from pathlib import Path

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
def test_a_defect_of_one_service_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that cannot be decided on, by a defect of ours, is left as it is; the others are scaled.

    It is told once, with the service and the place, and so is that it is over.
    """
    world = World(policy_for("web", "api"))
    defects: list[Exception] = []
    world.cycle.on_defect = defects.append
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
    assert [str(defect) for defect in defects] == ["division\nby zero"] * 2
    (problem,) = evaluation.problems
    said = problem_line(problem)
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


def test_a_policy_test_neither_passes_nor_fails_on_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect ends `autoscaler test`: a service without a decision is not taken for one that is held."""
    monkeypatch.setattr(cycle, "decide", defective)

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, TEST.replace("backend", "web"), POLICIES.replace("backend", "web"))
