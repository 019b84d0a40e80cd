"""An engine upgraded below a running autoscaler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.guide import policy
from tests.e2e.lab import Engine, Prometheus, start_load, wait_for
from tests.e2e.lab.releases import OLDEST, Release

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

SECOND = 1_000_000_000


@pytest.mark.fault("engine-upgraded")
@pytest.mark.only_on("28", reason="it upgrades from the oldest release to this one")
def test_a_scale_after_an_upgrade_of_the_engine_keeps_what_the_old_one_did_not_know(
    release: Release, tmp_path: Path
) -> None:
    """After an upgrade between two evaluations, what only the new engine's API knows survives a scale.

    It was lost while the autoscaler went on in the old API version: the engine then strips such fields, protections of
    the containers among them, and restarts every task.
    """
    with Engine(OLDEST) as engine, Prometheus(release=release) as prometheus:
        load = start_load(engine, "web")
        with Daemon(engine, prometheus, tmp_path, policy(load.name)) as daemon:
            daemon.wait_decision(load.name, bool)
            with daemon.stopped():
                engine.upgrade(release)
            spec = engine.service(load.name)["Spec"]
            container = spec["TaskTemplate"]["ContainerSpec"]
            container["OomScoreAdj"] = 300
            container["Privileges"] = {"NoNewPrivileges": True}
            container["Healthcheck"] = {"Test": ["CMD", "true"], "Interval": 5 * SECOND, "StartInterval": SECOND}
            engine.update_service(load.name, spec)
            wait_for("the rollout", lambda: engine.rollout(load.name) == "completed")
            before, tasks = engine.service(load.name)["Spec"], load.task_ids
            assert before["TaskTemplate"]["ContainerSpec"]["OomScoreAdj"] == 300

            daemon.edit(policy(load.name, low=2))
            daemon.wait_event("service_evaluated", service=load.name, outcome="applied", desired=2)

            assert engine.service(load.name)["Spec"]["TaskTemplate"] == before["TaskTemplate"]
            engine.wait_running(load.name, 2)
            assert tasks < load.task_ids
