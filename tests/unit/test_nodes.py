from __future__ import annotations

import pytest

from autoscaler.model import Outcome
from autoscaler.reasons import Reason
from autoscaler.simulation.parts import Node
from tests.support.builders import written
from tests.support.world import World, only, said

TARGET = written({"name": "cpu", "metric": "cpu", "strategy": "target", "target": 60}, most=10)
"""A count by the load, without cooldowns or stabilization: whatever it sees it acts on at once."""


def loaded_world(*nodes: str, replicas: int) -> World:
    """Replicas spread over *nodes* that carry 50 % each: one fewer would be too few."""
    world = World(TARGET, nodes=[Node(name) for name in nodes])
    world.service(replicas=replicas, cpu=50)
    world.settle()
    world.next()
    assert world.replicas() == replicas
    return world


@pytest.mark.fault("node-lost")
def test_what_is_left_when_a_node_dies_proves_no_calm() -> None:
    """With half of the replicas gone, the half of the load that is left does not shrink the service."""
    world = loaded_world("n1", "n2", replicas=4)
    world.engine.startup = 3600  # the replacements pull their image
    world.engine.stop_node("n1")

    record = only(world.next())

    assert (record.decision.running, record.decision.requested, record.outcome) == (2, 4, Outcome.UNCHANGED)
    assert record.decision.primary.detail.endswith("1.667 of 2 running replicas needed, and 2 that do not run")
    assert all(evaluation.records[0].decision.desired == 4 for evaluation in world.run(600))


@pytest.mark.fault("swarm-leader-lost")
def test_a_new_leader_that_knows_no_node_yet_shrinks_nothing() -> None:
    """While the Swarm's new leader has not heard of all nodes, few replicas count as running; none is removed."""
    world = loaded_world("n1", "n2", "n3", replicas=3)
    world.engine.change_leader(seconds=45)

    running = []
    for _ in range(4):
        record = only(world.next())
        running.append(record.decision.running)
        assert said(record)[2:] == (3, 3)

    assert running == [1, 2, 3, 3]
    assert only(world.next()).decision.primary.reason is Reason.BELOW_TARGET
