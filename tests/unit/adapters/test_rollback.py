from __future__ import annotations

import re

import pytest

from autoscaler.adapters.docker.orchestrator import DockerSwarm
from autoscaler.errors import RefusedError
from autoscaler.util.deadline import Deadline
from tests.support.simulated_lab import BAD, Lab


@pytest.mark.fault("rollback-point")
def test_while_swarm_rolls_back_itself() -> None:
    """`rollback` leaves a rollback of Swarm's own alone, and says to wait for it: its version before is not known."""
    lab = Lab()
    lab.create(4, action="rollback")
    lab.deploy(BAD)
    while lab.versions()[2] != "rollback_started":
        lab.after(0.5)
    found = lab.engine.service("web")

    said = "web is being rolled back already (wait for it: docker service ps web)"
    with pytest.raises(RefusedError, match=f"^{re.escape(said)}$"):
        DockerSwarm(lab.engine).roll_back("web", Deadline(10))

    assert lab.engine.service("web") == found
