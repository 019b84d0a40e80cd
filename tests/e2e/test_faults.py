"""What goes wrong on a living Swarm, and what the autoscaler does then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemon import Daemon
from tests.e2e.guide import policy
from tests.e2e.lab import LabError, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = pytest.mark.e2e

GOOD, BAD = "GOOD", "BAD"


@pytest.mark.fault("prometheus-away")
def test_prometheus_stopped_shrinks_nothing_and_scaling_goes_on_when_it_is_back(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """With Prometheus away no service shrinks, the log says so once, health stays good; back, scaling goes on."""
    load = service(replicas=2)
    load.set(cpu=50)
    with Daemon(engine, prometheus, tmp_path, policy(load.name)) as daemon:
        daemon.wait_decision(load.name, lambda decision: decision.get("primary", {}).get("reason") == "no_breach")
        prometheus.stop()
        try:
            load.set(cpu=0)
            daemon.wait_event("prometheus_lost")
            daemon.wait_decision(load.name, lambda decision: decision["primary"]["reason"] in {"stale_data", "no_data"})
            for _ in range(3):
                at = daemon.decision(load.name)["at"]
                daemon.wait_decision(load.name, lambda decision, at=at: decision["at"] > at)  # type: ignore[misc]
            assert daemon.get("/-/healthy").status_code == 200
            assert load.replicas == 2
            assert len(daemon.events("prometheus_lost")) == 1
        finally:
            prometheus.start()
        daemon.wait_event("prometheus_recovered")
        down = daemon.wait_event("service_evaluated", service=load.name, outcome="applied")
        assert (down["desired"], down["reason"]) == (1, "below_threshold")


@pytest.mark.fault("swarm-away")
def test_the_docker_socket_gone_stops_nothing_but_the_scaling(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """With the Docker socket away the log says so once and health stays good; back, scaling goes on."""
    load = service(replicas=1)
    load.set(cpu=95)
    with Daemon(engine, prometheus, tmp_path, policy(load.name)) as daemon:
        daemon.wait_decision(load.name, bool)
        engine.stop()
        try:
            daemon.wait_event("swarm_lost")
            assert daemon.get("/-/healthy").status_code == 200
        finally:
            engine.start()
        daemon.wait_event("swarm_recovered")
        assert len(daemon.events("swarm_lost")) == 1
        engine.wait_running(load.name, load.replicas)
        load.set(cpu=95)
        wait_for("a step up", lambda: load.replicas >= 2)


def rollback_on_failure(spec: dict[str, Any]) -> None:
    """Roll out one task at a time, and back by itself when a task fails soon."""
    second = 1_000_000_000
    spec["UpdateConfig"] = {
        "Parallelism": 1,
        "Monitor": 4 * second,
        "Delay": second,
        "FailureAction": "rollback",
        "MaxFailureRatio": 0,
        "Order": "stop-first",
    }
    spec["RollbackConfig"] = {"Parallelism": 1, "Monitor": 5 * second, "Order": "stop-first"}
    spec["TaskTemplate"]["RestartPolicy"] = {"Condition": "any", "Delay": second // 2}
    spec["TaskTemplate"]["ContainerSpec"]["Env"].append(f"V={GOOD}")


@pytest.mark.fault("automatic-rollback")
def test_an_automatic_rollback_ends_well_with_the_daemon_running_under_load(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """A bad deploy under load is rolled back to the good version by Swarm, for nothing is written meanwhile (B1)."""
    load = service(replicas=3, cpus=0.1, change=rollback_on_failure)
    load.set(cpu=95)
    # The cooldown is shorter than update and rollback (4 s), else it is what holds the next step, and no gate is asked.
    with Daemon(engine, prometheus, tmp_path, policy(load.name, low=3, high=6, up="2s")) as daemon:
        daemon.wait_event("service_evaluated", service=load.name, outcome="applied")
        with daemon.stopped():  # so that no step comes between
            engine.wait_running(load.name, load.replicas)
            bad = engine.service(load.name)["Spec"]
            container = bad["TaskTemplate"]["ContainerSpec"]
            container["Command"] = ["/bin/false"]
            container["Env"] = [entry for entry in container["Env"] if not entry.startswith("V=")] + [f"V={BAD}"]
            written = len(daemon.events("service_evaluated", service=load.name, outcome="applied"))
            held = len(daemon.events("service_evaluated", service=load.name, reason="rollout_in_progress"))
            engine.update_service(load.name, bad)
        daemon.wait_event("service_evaluated", service=load.name, reason="rollout_in_progress", after=held)

        counts: dict[str, set[int]] = {"updating": set(), "rollback_started": set()}
        seen: list[tuple[int, str, int]] = []

        def over() -> bool:
            found = engine.service(load.name)
            state = (found.get("UpdateStatus") or {}).get("State", "")
            count = found["Spec"]["Mode"]["Replicated"]["Replicas"]
            if state in counts:
                counts[state].add(count)
            if (now := (found["Version"]["Index"], state, count)) not in seen:
                seen.append(now)
            rolled_back = state == "rollback_completed" or counts["rollback_started"]
            return bool(rolled_back) and state not in counts  # the next step clears what it ended with

        try:
            wait_for("the rollback to end", over)
        except LabError as error:
            raise AssertionError(f"{error}; version, state and count were {seen}") from error
        deployed = {bad["Mode"]["Replicated"]["Replicas"]}
        assert all(seen <= deployed for seen in counts.values()), "nothing was written while it ran"
        spec = engine.service(load.name)["Spec"]["TaskTemplate"]["ContainerSpec"]
        assert f"V={GOOD}" in spec["Env"]
        assert spec.get("Command") == ["/bin/load"]
        daemon.wait_event("service_evaluated", service=load.name, outcome="applied", after=written)


@pytest.mark.fault("policies-broken")
@pytest.mark.one_release(reason="what it holds is decided without the engine")
def test_a_broken_edit_leaves_the_last_good_policies_in_force(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """A running daemon keeps its last good policies on a broken edit, says where it is wrong, and takes a good one."""
    load = service()
    load.set(cpu=50)
    with Daemon(engine, prometheus, tmp_path, policy(load.name)) as daemon:
        daemon.wait_decision(load.name, bool)
        daemon.edit(policy(load.name).replace("above", "abvoe"))
        refused = daemon.wait_event("policies_refused")
        assert any("policies.yml:8:" in problem and "abvoe" in problem for problem in refused["problems"])
        assert "autoscaler_policies_last_reload_successful 0.0" in daemon.get("/metrics").text
        at = daemon.decision(load.name)["at"]
        daemon.wait_decision(load.name, lambda decision: decision["at"] > at)
        daemon.edit(policy(load.name, low=2))
        daemon.wait_event("policies_reloaded")
        wait_for("the new minimum", lambda: load.replicas == 2)
        assert "autoscaler_policies_last_reload_successful 1.0" in daemon.get("/metrics").text
