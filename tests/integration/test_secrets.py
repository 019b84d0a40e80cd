from __future__ import annotations

import base64
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

import pytest
import requests
from pydantic import SecretStr

from autoscaler.errors import SettingsError
from autoscaler.settings import Settings
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from tests.support.commands import run, started
from tests.support.engine_server import EngineServer
from tests.support.serving import Answering, LocalServing
from tests.support.waiting import PATIENCE, wait
from tests.support.world import service_spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.slow

CANARY = "Canary7x9qPlantedHere"
"""What no text holds but the secrets that are planted here."""
POLICIES = """
version: 1
policies:
- {name: shop, services: [web], replicas: {min: 4, max: 6}, rules: [{name: r, metric: cpu, above: 1, add: 1}]}
"""


def _holds_secrets(annotation: Any) -> bool:
    return annotation is SecretStr or any(_holds_secrets(part) for part in get_args(annotation))


SECRETS = [name for name, info in Settings.model_fields.items() if _holds_secrets(info.annotation)]
"""Every setting that is a secret, so that a new one is looked at by itself."""
_WAYS_IN = {"prometheus_password", "prometheus_bearer_token"}
"""Of these one goes without the other."""


def planted(name: str) -> str:
    """A value for the secret *name*."""
    secret = f"{CANARY}{name.replace('_', '')}"
    return f"X-Tenant={secret};X-Other={secret}two" if name == "prometheus_headers" else secret


def settings(way_in: str, url: str) -> dict[str, str]:
    """The environment with every secret that goes together with *way_in*, for the Prometheus at *url*."""
    given = {name: planted(name) for name in SECRETS if name not in _WAYS_IN or name == way_in}
    if way_in == "prometheus_password":
        given["prometheus_username"] = "someone"
    if way_in == "url":
        url = url.replace("://", f"://someone:{CANARY}url@")
    return {f"AUTOSCALER_{name.upper()}": value for name, value in (given | {"prometheus_url": url}).items()}


def forms() -> list[str]:
    """How a secret looks where it is shown, also in the disguise of basic authentication."""
    basic = [f"someone:{secret}" for secret in (planted("prometheus_password"), f"{CANARY}url")]
    return [CANARY, CANARY.lower(), *(base64.b64encode(text.encode()).decode().rstrip("=")[:-2] for text in basic)]


class Echo(Answering):
    """A Prometheus that sends back what it was sent, in every place where somebody might quote it."""

    status = 500

    def reply(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = " ".join(f"{name}: {value}" for name, value in self.headers.items())
        body = json.dumps({"status": "error", "errorType": said, "error": said, "warnings": [said]}).encode()
        self.send_response(self.status, "odd")
        self.send_header("Location", f"http://{said.split()[-1]}@127.0.0.1:9/?{said.split()[-1]}")
        self.send_header("Content-Length", f"{len(body)}")
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def echoing(status: int) -> Iterator[str]:
    """The URL of a Prometheus that answers with *status* and with what it was sent."""
    with LocalServing(type("Handler", (Echo,), {"status": status})) as server:
        yield f"http://{server.address}"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Swarm with a service, and policies for it."""
    engine = SimulatedEngine(ManualClock())
    engine.create_service(service_spec("web", 3))
    (tmp_path / "p.yml").write_text(POLICIES)
    (tmp_path / "stack.yml").write_text("services: {web: {image: 'app:1'}}\n")
    with EngineServer(engine, tmp_path / "docker.sock") as swarm:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTOSCALER_")}
        yield inherited | {
            "AUTOSCALER_DOCKER_HOST": swarm.url,
            "AUTOSCALER_POLICIES": str(tmp_path / "p.yml"),
            "AUTOSCALER_LOG_LEVEL": "debug",
            "AUTOSCALER_LISTEN": "127.0.0.1:0",
        }


def said_by(env: Mapping[str, str], *arguments: str) -> str:
    """All that `autoscaler ARGUMENTS` prints."""
    done = run(*arguments, env=env)
    return done.stdout + done.stderr


def served(env: Mapping[str, str], log: Path) -> str:
    """All that a daemon logs and serves in its first evaluation."""
    log.touch()
    with started("run", env=env, log=log) as runs:

        def evaluated() -> bool:
            assert runs(), log.read_text()
            return "prometheus_lost" in log.read_text() or "query_failed" in log.read_text()

        wait("an evaluation", evaluated)
        begun = next(json.loads(line) for line in log.read_text().splitlines() if "daemon_started" in line)
        host, port = begun["listen"]
        paths = ("/", "/metrics", "/api/v1/services", "/api/v1/policies", "/-/healthy", "/-/ready", "/openapi.json")
        answers = [requests.get(f"http://{host}:{port}{path}", timeout=PATIENCE) for path in paths]
        answers.append(
            requests.post(f"http://{host}:{port}/-/reload", headers={"Authorization": "x"}, timeout=PATIENCE)
        )
        return "".join(f"{answer.headers}{answer.text}" for answer in answers)


@pytest.mark.fault("secrets")
@pytest.mark.parametrize("status", [302, 401, 500])
@pytest.mark.parametrize("way_in", [*sorted(_WAYS_IN), "url"])
def test_no_secret_is_logged_printed_or_served(
    environment: dict[str, str], way_in: str, status: int, tmp_path: Path
) -> None:
    """Whatever goes wrong, also where a server sends secrets back, no log at debug, error, answer or metric has one."""
    with echoing(status) as url:
        env = environment | settings(way_in, url)
        said = served(env | {"AUTOSCALER_LOG_FORMAT": "json"}, tmp_path / "log") + (tmp_path / "log").read_text()
        said += said_by(env | {"AUTOSCALER_LOG_FORMAT": "console"}, "run", "--once")
        said += said_by(env, "plan", "--output", "json") + said_by(env, "check", "--live")
    assert "prometheus" in said
    assert "***" in said or status == 302, "the server's words were quoted, and masked"
    assert [form for form in forms() if form in said] == []


@pytest.mark.parametrize("way_in", [*sorted(_WAYS_IN), "url"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_no_secret_is_told_where_prometheus_is_away(environment: dict[str, str], way_in: str, url: str) -> None:
    """No connection, no TLS and no such host are told without the credentials."""
    said = said_by(environment | settings(way_in, url), "plan")
    assert "Prometheus at " in said
    assert [form for form in forms() if form in said] == []


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("wrong", ["", "\n", "\x00", "\u00e9", " =", ";;=", "\n\nX: y", "\ud800"])
def test_no_settings_error_tells_a_secret(name: str, wrong: str) -> None:
    """What is wrong with a secret is told without it, together with whatever else is wrong; its repr hides it too."""
    for value in (planted(name) + wrong, wrong + planted(name)):
        try:
            told = repr(Settings.read({name: value, "interval": "x", "docker_host": f"tcp://a:{CANARY}@b"}))
        except SettingsError as error:
            told = str(error)
        assert CANARY not in told
        try:
            read = Settings.read({name: value} | ({"prometheus_username": "u"} if "password" in name else {}))
            told = f"{read!r}{read!s}{read.model_dump_json()}"
        except SettingsError as error:
            told = str(error)
        assert CANARY not in told


def test_there_are_secrets_to_look_at() -> None:
    """The settings that are secrets are found by what they are."""
    assert {"prometheus_password", "prometheus_bearer_token", "prometheus_headers"} <= set(SECRETS)
