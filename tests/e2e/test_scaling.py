"""The main job, on a real engine, a real cAdvisor and a real Prometheus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemon import Daemon, command
from tests.e2e.guide import policy
from tests.e2e.lab import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = pytest.mark.e2e


def minimal(spec: dict[str, Any]) -> None:
    """Leave the spec with what a service cannot do without, and its limits, which the metrics are percentages of."""
    container = spec["TaskTemplate"]["ContainerSpec"]
    container.pop("StopGracePeriod")
    spec.pop("Labels")


def without(spec: dict[str, Any], *, label: str = "autoscaler.state") -> dict[str, Any]:
    """The spec without the two things that a scale may change."""
    copy = json.loads(json.dumps(spec))
    copy["Mode"]["Replicated"].pop("Replicas")
    labels = copy.get("Labels") or {}
    labels.pop(label, None)
    copy["Labels"] = labels
    return dict(copy)


def test_load_adds_a_replica_and_idleness_removes_it_and_no_task_is_restarted(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """A service over 70 % of its CPU limit gains a replica, the cooldown holds the second step, idle it loses one.

    The spec differs in the count and our label only, and no task was restarted, also where the spec is minimal.
    """
    load = service(change=minimal)
    before = engine.service(load.name)["Spec"]
    first = load.task_ids
    load.set(cpu=95)
    with Daemon(engine, prometheus, tmp_path, policy(load.name, up="10m", down="4s")) as daemon:
        up = daemon.wait_event("service_evaluated", service=load.name, outcome="applied")
        assert (up["requested"], up["desired"], up["reason"], up["rule"]) == (1, 2, "above_threshold", "cpu-high")
        held = daemon.wait_event("service_evaluated", service=load.name, reason="cooling_down")
        assert (held["requested"], held["desired"], held["outcome"]) == (2, 2, "held")
        engine.wait_running(load.name, 2)
        two = load.task_ids
        load.set(cpu=0)
        down = daemon.wait_event("service_evaluated", service=load.name, outcome="applied", after=1)
        assert (down["requested"], down["desired"], down["reason"], down["rule"]) == (
            2,
            1,
            "below_threshold",
            "cpu-low",
        )
        engine.wait_running(load.name, 1)
        assert daemon.terminate() == 0
    after = engine.service(load.name)["Spec"]
    assert without(after) == without(before)
    assert json.loads(after["Labels"]["autoscaler.state"])["replicas"] == 1
    assert first < two, "one of them is the task that ran before the first scale"
    assert load.task_ids < two, "one task ended, by the scale-down, and none was replaced"
    assert {task["ID"] for task in engine.tasks(load.name)} <= two, "no other task was ever started"


def test_memory_beyond_80_percent_adds_a_replica_up_to_the_maximum(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """Memory over 80 % of the limit adds replicas, and never beyond the service's maximum."""
    load = service()
    load.set(mem=90, cpu=45)
    with Daemon(engine, prometheus, tmp_path, policy(load.name, high=2)) as daemon:
        up = daemon.wait_event("service_evaluated", service=load.name, outcome="applied")
        assert (up["desired"], up["reason"], up["rule"]) == (2, "above_threshold", "memory-high")
        engine.wait_running(load.name, 2)
        held = daemon.wait_event("service_evaluated", service=load.name, reason="at_max")
        assert (held["requested"], held["desired"], held["outcome"]) == (2, 2, "held")
        assert load.replicas == 2


def test_dry_run_proposes_and_writes_nothing_at_all(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """Dry-run changes nothing: the service's version index is the same after its proposals; each is logged once."""
    load = service()
    load.set(cpu=95)
    version = engine.service(load.name)["Version"]["Index"]
    with Daemon(engine, prometheus, tmp_path, policy(load.name, up="60s"), "--dry-run") as daemon:
        proposal = daemon.wait_event("service_evaluated", service=load.name, outcome="dry_run")
        assert (proposal["requested"], proposal["desired"]) == (1, 2)
        daemon.wait_event("service_evaluated", service=load.name, reason="cooling_down")
        assert len(daemon.events("service_evaluated", service=load.name, outcome="dry_run")) == 1
        assert daemon.terminate() == 0
    assert engine.service(load.name)["Version"]["Index"] == version


@pytest.mark.fault("scaled-to-zero")
def test_a_service_set_to_zero_stays_at_zero(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """A service that an operator set to 0 stays there although the policy's minimum is 1, and says why."""
    load = service()
    engine.docker("service", "scale", "--detach", f"{load.name}=0")
    with Daemon(engine, prometheus, tmp_path, policy(load.name)) as daemon:
        held = daemon.wait_event("service_evaluated", service=load.name)
        assert (held["outcome"], held["reason"], held["desired"]) == ("held", "scaled_to_zero", 0)
        assert load.replicas == 0


def test_a_bound_is_corrected_without_any_data(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """A count below the minimum is raised at once, whatever the metrics say or fail to say."""
    load = service()
    with Daemon(
        engine, prometheus, tmp_path, policy(load.name, low=2), AUTOSCALER_METRIC_SELECTOR='job="nothing"'
    ) as daemon:
        raised = daemon.wait_event("service_evaluated", service=load.name, outcome="applied")
        assert (raised["requested"], raised["desired"], raised["reason"]) == (1, 2, "below_min")
        assert "no_data" in raised["reasons"]


@pytest.mark.fault("killed")
@pytest.mark.one_release(reason="what it holds is decided without the engine")
def test_a_kill_right_after_the_write_brings_no_second_step(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """After SIGKILL behind a write the cooldown is read from the service: no second step for the same breach."""
    load = service()
    load.set(cpu=95)
    with Daemon(engine, prometheus, tmp_path, policy(load.name, up="10m")) as daemon:
        wait_for("the first step", lambda: load.replicas == 2, interval=0.01)  # a lease may be left behind
        daemon.kill()
        engine.wait_running(load.name, 2)
        before = len(daemon.events("service_evaluated", service=load.name, reason="cooling_down"))
        daemon.start()
        daemon.wait_event("service_evaluated", service=load.name, after=before, reason="cooling_down")
        assert load.replicas == 2


@pytest.mark.one_release(reason="what it holds is decided without the engine")
def test_plan_says_what_would_change_and_changes_nothing(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], tmp_path: Path
) -> None:
    """`plan` prints current → desired with reason and values, and exits 2 with changes, 0 without, 1 on an error."""
    load = service()
    load.set(cpu=95)
    busy, calm = tmp_path / "busy.yml", tmp_path / "calm.yml"
    busy.write_text(policy(load.name))
    calm.write_text(policy(load.name).replace("70", "2000").replace("below: 30", "below: 1"))
    wait_for(
        "a change in the plan",
        lambda: command(engine, prometheus.url, busy, "plan").returncode == 2,
    )
    version = engine.service(load.name)["Version"]["Index"]
    told = command(engine, prometheus.url, busy, "plan")
    assert told.returncode == 2, told.stderr
    assert "1 → 2" in told.stdout
    assert "above_threshold" in told.stdout
    assert "of the limit of 0.15 cores" in told.stdout
    assert command(engine, prometheus.url, calm, "plan").returncode == 0
    lost = command(engine, "http://127.0.0.1:9", busy, "plan")
    assert lost.returncode == 1
    assert "prometheus" in lost.stdout
    assert engine.service(load.name)["Version"]["Index"] == version
