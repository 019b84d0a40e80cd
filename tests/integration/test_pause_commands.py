from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from autoscaler.adapters.docker.pauses import CONFIG
from autoscaler.cli.commands.run import daemon_of
from autoscaler.coordination.pauses import LABEL
from autoscaler.coordination.pausing import PauseRequest
from autoscaler.daemon.reload import Policies
from autoscaler.settings import Settings
from tests.support.backends import events, invoke
from tests.support.engine_server import applied_then_cut, cut, says
from tests.support.site import TOKEN

if TYPE_CHECKING:
    from tests.support.backends import Backends

MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2} UTC"


def labels(backends: Backends) -> dict[str, str]:
    """The labels of the pauses in Swarm."""
    found: dict[str, str] = backends.engine.config(CONFIG)["Spec"]["Labels"]
    return found


def test_pause_and_resume(backends: Backends) -> None:
    """`pause` says what is paused, by whom, since and until when and why, and `resume` what is left."""
    paused = invoke("pause", "web", "--for", "2h", "--reason", "database moves", "--by", "ana")
    assert paused.exit_code == 0
    assert re.fullmatch(
        f"web: up and down paused by ana since {MOMENT} until {MOMENT}: database moves\n", paused.stdout
    )
    assert list(labels(backends)) == [f"{LABEL}web"]

    also = invoke("pause", "--direction", "up")
    assert re.fullmatch(
        rf"all services: up paused by \S+@\S+ since {MOMENT}\nweb: up and down paused by ana .*\n", also.stdout
    )
    assert re.fullmatch(rf"all services: up paused by \S+@\S+ since {MOMENT}\n", invoke("resume", "web").stdout)
    assert invoke("resume").stdout == "Nothing is paused.\n"
    assert labels(backends) == {}


def test_twice_is_told(backends: Backends) -> None:
    """Who pauses or resumes what is so already is told, with exit code 0, and nothing is written."""
    invoke("pause", "web", "--by", "ana")
    again = invoke("pause", "web", "--for", "1h", "--by", "bob")
    assert again.exit_code == 0
    assert again.stdout.startswith("web: was paused already, for as long or longer\nweb: up and down paused by ana")
    invoke("resume", "web")

    assert invoke("resume", "web").stdout == "web: was not paused\nNothing is paused.\n"
    assert (backends.faulty.calls["create_config"], backends.faulty.calls["update_config"]) == (1, 1)


def test_the_document(backends: Backends) -> None:
    """`--output json` tells what was changed, and each pause in force by service and direction."""
    document = json.loads(invoke("pause", "web", "--for", "1h", "--by", "ana", "--output", "json").stdout)

    assert (document["changed"], document["unchanged"]) == (["web"], [])
    assert [(each["service"], each["direction"], each["by"], each["reason"]) for each in document["paused"]] == [
        ("web", "up", "ana", ""),
        ("web", "down", "ana", ""),
    ]
    assert {each["until"] - each["since"] for each in document["paused"]} == {3600}
    assert json.loads(invoke("resume", "web", "--output", "json").stdout)["paused"] == []
    assert backends.writes == 0


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_service_that_is_not_there(backends: Backends, command: str) -> None:
    """A name that no service has is an error that shows those that are near; nothing is written."""
    result = invoke(command, "wbe")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Swarm has no service 'wbe' (did you mean web?)\n"
    assert backends.faulty.calls["create_config"] == 0


@pytest.mark.parametrize(("option", "value"), [("--for", "soon"), ("--for", "7200"), ("--direction", "left")])
def test_a_wrong_option(backends: Backends, option: str, value: str) -> None:
    """A duration without a unit and a direction that is none are errors; nobody is asked anything."""
    assert invoke("pause", "web", option, value).exit_code == 2
    assert backends.swarm.asked == []


def test_a_pause_of_no_time_is_an_error(backends: Backends) -> None:
    """A pause that would be over at once is not begun."""
    result = invoke("pause", "--for", "0s")

    assert result.exit_code == 2
    assert "0s is too short (write 1s or more)" in result.stderr
    assert backends.swarm.asked == []


@pytest.mark.parametrize("fault", [cut, applied_then_cut])
def test_a_pause_whose_answer_is_lost_is_looked_after(backends: Backends, fault: object) -> None:
    """Where the answer to the write is lost, the pause is there once the command ends with 0."""
    backends.swarm.misbehave(fault, on="POST /configs/create", times=1)  # type: ignore[arg-type] # a Fault

    result = invoke("pause", "web")

    assert result.exit_code == 0
    assert result.stdout.startswith("web: up and down paused by")
    assert list(labels(backends)) == [f"{LABEL}web"]


@pytest.mark.parametrize(
    ("on", "cure"),
    [
        ("GET /configs", f"(let the autoscaler read the config {CONFIG}, through a socket proxy too)"),
        ("POST /configs", f"(let those who pause create and update the config {CONFIG}, through a socket proxy too)"),
    ],
)
def test_a_pause_that_is_forbidden(backends: Backends, on: str, cure: str) -> None:
    """Where something forbids the calls, the command ends with 1 and says which to allow."""
    backends.swarm.misbehave(says(403, "forbidden by the proxy"), on=on)

    result = invoke("pause")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(f"{cure}\n")


def test_plan_tells_what_is_paused(backends: Backends) -> None:
    """`plan` holds what is paused, says by whom, and lists all that is; it exits with 0, for nothing would change."""
    backends.load(85)
    invoke("pause", "--by", "ana", "--reason", "incident")

    plan = invoke("plan")
    document = json.loads(invoke("plan", "--output", "json").stdout)

    assert plan.exit_code == 0
    assert "paused" in plan.stdout
    assert "wants 4; paused by ana since" in plan.stdout
    assert "paused: all services: up and down paused by ana since" in plan.stdout
    (service,) = document["services"]
    assert (service["primary"]["reason"], service["outcome"]) == ("paused", "held")
    assert set(service["paused"]) == {"up", "down"}
    assert "incident (autoscaler resume)" in service["paused"]["up"]
    assert [line.partition(" by")[0] for line in document["paused"]] == ["all services: up and down paused"]


@pytest.mark.fault("paused")
def test_a_paused_autoscaler_writes_nothing(backends: Backends) -> None:
    """`run --once` on a paused service holds it, ends with 0, and tells of the pause; resumed, it scales."""
    backends.load(85)
    invoke("pause", "web", "--by", "ana")

    result = invoke("run", "--once", "--log-format", "json")

    assert result.exit_code == 0
    (told,) = [event for event in events(result.stderr) if event["event"] == "pauses_changed"]
    assert told["paused"][0].startswith("web: up and down paused by ana")
    assert (backends.replicas, backends.writes) == (3, 0)
    invoke("resume", "web")
    invoke("run", "--once")
    assert (backends.replicas, backends.writes) == (4, 1)


def test_what_the_daemon_pauses_over_http(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's HTTP side has the token of the settings, and pauses and resumes the same; in dry-run it cannot."""
    monkeypatch.setenv("AUTOSCALER_HTTP_TOKEN", TOKEN)
    controls = daemon_of(Settings.read(), Policies([])).controls
    assert (controls.token, controls.pause is None, controls.resume is None) == (SecretStr(TOKEN), False, False)
    assert controls.pause is not None
    assert controls.resume is not None

    assert controls.pause(PauseRequest(["web"], by="ana")).changed == ("web",)
    assert list(labels(backends)) == [f"{LABEL}web"]
    assert controls.resume(["web"]).changed == ("web",)

    dry = daemon_of(Settings.read({"dry_run": True}), Policies([])).controls
    assert (dry.token, dry.pause, dry.resume) == (SecretStr(TOKEN), None, None)


@pytest.mark.fault("pauses-unreadable")
def test_a_fresh_autoscaler_that_cannot_read_the_pauses(backends: Backends) -> None:
    """Where the pauses were never read nothing is scaled; the log says what to allow."""
    backends.load(85)
    backends.swarm.misbehave(says(403, "forbidden by the proxy"), on=f"GET /configs/{CONFIG}")

    result = invoke("run", "--once", "--log-format", "json")

    assert (result.exit_code, backends.writes) == (1, 0)
    (lost,) = [event for event in events(result.stderr) if event["event"] == "pauses_lost"]
    assert lost["detail"].endswith(f"(let the autoscaler read the config {CONFIG}, through a socket proxy too)")
    assert "nothing is scaled" in lost["consequence"]
