"""Two autoscalers of one real Swarm: one acts, and the other one takes over."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.lease import CONFIG, HOLDER_LABEL
from tests.e2e.daemon import Daemon
from tests.e2e.guide import changes, policy
from tests.e2e.lab import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.daemon import Daemon, Event
    from tests.e2e.lab import Engine, Load

pytestmark = pytest.mark.e2e


def applied(daemon: Daemon) -> int:
    """How often it scaled."""
    return len(daemon.events("service_evaluated", outcome="applied"))


def moment(event: Event) -> float:
    """When it was logged, in Unix seconds."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def leads(daemon: Daemon) -> bool:
    """What its metric says."""
    return "autoscaler_leader 1.0" in daemon.get("/metrics").text


@pytest.mark.fault("leader-dies")
def test_one_of_two_scales_and_the_other_within_30_seconds_of_its_death(
    engine: Engine, service: Callable[..., Load], start: Callable[[str], tuple[Daemon, Daemon]]
) -> None:
    """Of two autoscalers under load one scales; 30 s after it was killed, the other one has made the next step."""
    load = service()
    load.set(cpu=95)
    leader, standby = start(policy(load.name, up="15s"))
    leader.wait_event("service_evaluated", service=load.name, outcome="applied")
    standby.wait_event("service_evaluated", service=load.name, outcome="held", reason="not_leader")
    assert (leads(leader), leads(standby), applied(standby)) == (True, False, 0)

    killed = time.monotonic()
    leader.kill()
    before = load.replicas  # 2, or more where the machine was slow
    wait_for("the other one's step", lambda: load.replicas > before, 30)

    assert time.monotonic() - killed < 30
    standby.wait_event("service_evaluated", service=load.name, outcome="applied")  # Swarm has it before the log
    assert (leads(standby), applied(standby)) == (True, 1)
    assert changes(engine, load) == [[count, count + 1] for count in range(1, before + 1)]


@pytest.mark.fault("leader-dies")
@pytest.mark.one_release(reason="who may act is decided without the engine")
def test_a_leader_that_was_stopped_makes_no_second_step(
    engine: Engine, service: Callable[..., Load], start: Callable[[str], tuple[Daemon, Daemon]]
) -> None:
    """A leader that does nothing for 40 s and then goes on finds itself replaced, and repeats no step of the other."""
    load = service()
    load.set(cpu=50)
    leader, standby = start(policy(load.name, up="10m"))
    leader.wait_decision(load.name, lambda decision: decision.get("primary", {}).get("reason") == "no_breach")
    with leader.stopped():
        ends = time.monotonic() + 40
        load.set(cpu=95)
        standby.wait_event("service_evaluated", service=load.name, outcome="applied")
        wait_for("the leader's 40 seconds", lambda: time.monotonic() >= ends)

    leader.wait_event("lease_lost")
    # Stopped in the middle of a renewal, it learns at the next one who holds it.
    holder = standby.events("lease_acquired")[0]["holder"]
    told = ("lease_lost", "lease_awaited")
    wait_for("its successor's name", lambda: any(leader.events(name, holder=holder) for name in told))
    leader.wait_event("service_evaluated", service=load.name, outcome="held", reason="not_leader")
    assert (leads(leader), leads(standby)) == (False, True)
    assert (applied(leader), applied(standby), load.replicas) == (0, 1, 2)
    assert changes(engine, load) == [[1, 2]]


@pytest.mark.fault("asked-to-stop")
def test_a_leader_that_is_asked_to_stop_is_replaced_at_once(
    engine: Engine, service: Callable[..., Load], start: Callable[[str], tuple[Daemon, Daemon]]
) -> None:
    """A leader that ends by itself gives its lease back, and the other one has it at its next beat."""
    load = service()
    load.set(cpu=50)
    leader, standby = start(policy(load.name))

    assert leader.terminate() == 0

    acquired = standby.wait_event("lease_acquired")
    (given_back,) = leader.events("lease_given_back")
    assert moment(acquired) - moment(given_back) < 10, "it did not wait for the lease to expire"
    assert standby.terminate() == 0
    lease = json.loads(engine.docker("config", "inspect", CONFIG))[0]["Spec"]["Labels"]
    assert lease[HOLDER_LABEL] == ""
