"""Pauses at run time on a real Swarm: by command, through crashes and takeovers."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
import requests
from docker.errors import NotFound

from autoscaler.adapters.docker.pauses import CONFIG
from tests.e2e.daemon import Daemon, command
from tests.e2e.guide import policy
from tests.e2e.lab import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="the contract holds its calls to both")]

EVALUATIONS = 5


@pytest.fixture
def operator(engine: Engine, prometheus: Prometheus, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """What `autoscaler ARGUMENTS` prints, run beside the daemon; nothing is paused after the test."""

    def run(*arguments: str) -> str:
        result = command(engine, prometheus.url, tmp_path, *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    yield run
    with contextlib.suppress(NotFound):
        engine.client.remove_config(CONFIG)  # type: ignore[no-untyped-call] # the stubs know no types of it


def stays_paused(daemon: Daemon, load: Load) -> None:
    """The daemon holds the service as paused, for some evaluations."""
    for _ in range(EVALUATIONS):
        at = daemon.decision(load.name).get("at", 0)
        decision = daemon.wait_decision(
            load.name,
            lambda decision, at=at: decision.get("at", 0) > at and decision["primary"]["reason"] == "paused",  # type: ignore[misc]
        )
        assert (decision["outcome"], decision["desired"]) == ("held", 1)
    assert load.replicas == 1


@pytest.mark.fault("paused")
def test_a_pause_survives_a_killed_daemon_and_ends_by_command(
    engine: Engine,
    prometheus: Prometheus,
    service: Callable[..., Load],
    operator: Callable[..., str],
    tmp_path: Path,
) -> None:
    """Paused by command under load nothing is scaled, also by the daemon that follows a killed one; resumed, it is."""
    load = service()
    load.set(cpu=50)
    with Daemon(engine, prometheus, tmp_path, policy(load.name, up="10m")) as daemon:
        daemon.wait_decision(load.name, lambda decision: decision.get("primary", {}).get("reason") == "no_breach")
        version = engine.service(load.name)["Version"]["Index"]
        said = operator("pause", load.name, "--for", "1h", "--by", "ana", "--reason", "database moves")
        assert said.startswith(f"{load.name}: up and down paused by ana since ")
        daemon.wait_event("pauses_changed")
        load.set(cpu=95)
        stays_paused(daemon, load)
        assert f'autoscaler_paused{{direction="up",service="{load.name}"}} 1.0' in daemon.get("/metrics").text

        daemon.kill()
        daemon.start()
        daemon.wait_event("lease_acquired", after=1)
        stays_paused(daemon, load)
        held = daemon.wait_event("service_evaluated", service=load.name, reason="paused")
        assert "database moves (autoscaler resume" in held["why"]
        assert engine.service(load.name)["Version"]["Index"] == version

        assert operator("resume", load.name) == "Nothing is paused.\n"
        wait_for("the held step", lambda: load.replicas == 2)


@pytest.mark.fault("paused")
def test_a_pause_survives_a_takeover(
    engine: Engine,
    service: Callable[..., Load],
    start: Callable[[str], tuple[Daemon, Daemon]],
    operator: Callable[..., str],
) -> None:
    """What is paused under one autoscaler is paused under the one that takes over; all services, in one direction."""
    load = service()
    load.set(cpu=95)
    operator("pause", "--direction", "up")
    leader, standby = start(policy(load.name, up="10m"))
    stays_paused(leader, load)

    leader.kill()
    standby.wait_event("lease_acquired")
    stays_paused(standby, load)

    assert json.loads(engine.docker("config", "inspect", CONFIG))[0]["Spec"]["Labels"].keys() == {"autoscaler.pause.*"}
    operator("resume")
    wait_for("the held step", lambda: load.replicas == 2)


@pytest.mark.fault("http-stranger")
def test_a_pause_over_http_is_answered_once_swarm_has_it(
    engine: Engine, prometheus: Prometheus, service: Callable[..., Load], operator: Callable[..., str], tmp_path: Path
) -> None:
    """With the token a service is paused and resumed over HTTP, and without it nothing is; the token is in no log."""
    load = service()
    load.set(cpu=50)
    token = "e2e-token-0123456789"  # noqa: S105 - nobody's
    with Daemon(engine, prometheus, tmp_path, policy(load.name, up="10m"), AUTOSCALER_HTTP_TOKEN=token) as daemon:
        daemon.wait_decision(load.name, lambda decision: decision.get("primary", {}).get("reason") == "no_breach")
        url = daemon.url

        def ask(path: str, bearing: str = token, **more: str) -> requests.Response:
            body = {"services": [load.name], **more}
            return requests.post(url + path, json=body, headers={"Authorization": f"Bearer {bearing}"}, timeout=60)

        assert ask("/api/v1/pause", "another-token-0123456789").status_code == 401
        paused = ask("/api/v1/pause", reason="over HTTP")
        assert (paused.status_code, paused.json()["changed"]) == (200, [load.name])
        labels = json.loads(engine.docker("config", "inspect", CONFIG))[0]["Spec"]["Labels"]
        assert "over HTTP" in labels[f"autoscaler.pause.{load.name}"]
        load.set(cpu=95)
        stays_paused(daemon, load)
        assert ask("/api/v1/resume").json()["paused"] == []
        wait_for("the held step", lambda: load.replicas == 2)
        assert daemon.events("pause_requested")[0]["services"] == [load.name]
        assert token not in daemon.log.read_text()
    assert operator("resume").splitlines()[-1] == "Nothing is paused."
