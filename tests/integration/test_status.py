from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autoscaler.coordination.pauses import KnownPauses
from autoscaler.core.instance import Instance, Mode
from autoscaler.core.model import Direction
from tests.support.backends import invoke
from tests.support.daemons import Running, make, running
from tests.support.waiting import PATIENCE, until

if TYPE_CHECKING:
    from click.testing import Result

AUTOSCALER = Path(sys.executable).with_name("autoscaler")


@pytest.fixture(autouse=True)
def _no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off a terminal nothing is wrapped, unless COLUMNS says so."""
    monkeypatch.delenv("COLUMNS", raising=False)


def url(made: Running) -> str:
    """Where its API is."""
    assert made.daemon.address is not None
    return "http://{}:{}".format(*made.daemon.address)


async def asked(made: Running, *arguments: str) -> Result:
    """What `autoscaler ARGUMENTS` says of the daemon, asked in another thread."""
    return await asyncio.to_thread(lambda: invoke(*arguments, "--url", url(made)))


async def test_status_of_a_calm_daemon_is_short(tmp_path: Path) -> None:
    """Status says mode, role, revision and backends; if nothing needs attention, one line says so."""
    made = make(tmp_path, services=3)
    made.daemon.about = Instance(prometheus="http://prometheus:9090", docker="unix:///docker.sock")
    async with running(made):
        await made.next_evaluations()
        result = await asked(made, "status", "--exit-code")

    first, second, third, *others = result.stdout.splitlines()
    assert result.exit_code == 0
    assert first == f"live, leader  revision {made.daemon.policies.current.revision}"
    assert second.startswith("Prometheus http://prometheus:9090  Docker unix:///docker.sock  version ")
    assert re.match(r"evaluated at \d\d:\d\d:\d\d UTC, \d+s ago  every 15s", third)
    assert others == ["", "3 services, nothing to do."]


async def test_status_has_a_line_for_what_needs_attention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is paused and a refused policy file are told, with exit code 2 if that is asked for."""
    made = make(tmp_path, services=3)
    async with running(made):
        await made.next_evaluations()
        said = "paused by ana until 12:00: maintenance"
        monkeypatch.setattr(KnownPauses, "holding", lambda _, name, __: {Direction.UP: said} if name == "web1" else {})
        made.edit("version: 1\npolicies: 5\n")
        await until(lambda: bool(made.events("policies_refused")))
        await made.next_evaluations()
        text, code = await asked(made, "status"), (await asked(made, "status", "--exit-code")).exit_code
        document = json.loads((await asked(made, "status", "--output", "json")).stdout)

    lines = text.stdout.splitlines()
    assert (text.exit_code, code) == (0, 2)
    assert any(line.startswith("policies refused: ") for line in lines)
    assert any("web1" in line for line in lines)
    assert said in " ".join(text.stdout.split())
    assert lines[-1] == "and 2 more, nothing to do"
    assert document["attention"] == [row["service"] for row in document["services"]] == ["web1"]


async def test_status_shows_everything_if_it_is_asked_to(tmp_path: Path) -> None:
    """With --all each service has a line."""
    made = make(tmp_path, services=3)
    async with running(made):
        await made.next_evaluations()
        text = await asked(made, "status", "--all")
        document = json.loads((await asked(made, "status", "--all", "--output", "json")).stdout)

    assert [row["service"] for row in document["services"]] == ["web0", "web1", "web2"]
    assert all(name in text.stdout for name in ("web0", "web1", "web2"))
    assert text.stdout.splitlines()[-1] == "3 services, nothing to do."


async def test_a_dry_run_is_told_first(tmp_path: Path) -> None:
    """Status of a dry-run begins with that, and the log of its start says so too."""
    made = make(tmp_path)
    made.daemon.about = replace(made.daemon.about, mode=Mode.DRY_RUN)
    async with running(made):
        await made.next_evaluations()
        result = await asked(made, "status")

    (started,) = made.events("daemon_started")
    assert result.stdout.startswith("dry-run: nothing is written to Swarm  revision ")
    assert (started["mode"], started["role"]) == ("dry_run", None)
    assert {"revision", "prometheus", "docker", "version", "interval", "listen"} <= started.keys()


def test_status_without_a_daemon_says_the_cure() -> None:
    """If nothing listens, status exits with 1 and says how to reach a daemon."""
    result = invoke("status", "--url", "http://127.0.0.1:1")

    assert result.exit_code == 1
    assert "nothing answers at http://127.0.0.1:1" in result.stderr


async def test_watch_prints_each_evaluation_off_a_terminal(tmp_path: Path) -> None:
    """Off a terminal watch prints the status after each evaluation, until its time is over."""
    made = make(tmp_path, services=2)
    async with running(made):
        await made.next_evaluations()
        result = await asked(made, "watch", "--for", "3s")

    assert result.exit_code == 0
    assert result.stdout.count("2 services, nothing to do.") >= 2


async def test_watch_shows_a_table_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal watch draws the table of the services that are named; Ctrl-C ends it with 0."""
    made = make(tmp_path, services=3)
    async with running(made):
        await made.next_evaluations()
        shown, code = await asyncio.to_thread(_on_terminal, "watch", "web[12]", "--url", url(made))

    assert code == 0
    for part in ("SERVICE", "REPLICAS", "web1", "web2", "█", "live, leader"):
        assert part in shown
    assert "web0" not in shown


@pytest.mark.parametrize("arguments", [("status",), ("watch",)])
def test_a_wrong_url_is_refused_with_an_example(arguments: tuple[str, ...]) -> None:
    """A --url that is not one is refused with an example."""
    result = invoke(*arguments, "--url", "localhost:9595")

    assert (result.exit_code, "write http://127.0.0.1:9595" in result.stderr) == (1, True)


def _on_terminal(*arguments: str) -> tuple[str, int]:
    """What `autoscaler ARGUMENTS` shows on a terminal until its table is there, and its exit code after Ctrl-C."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [AUTOSCALER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"},
        )
        os.close(theirs)
        shown, interrupted = b"", False
        try:
            while part := screen.read(65536):
                shown += part
                if b"nothing to do" in shown and not interrupted:
                    process.send_signal(signal.SIGINT)
                    interrupted = True
        except OSError:
            pass  # the other end is closed
        return shown.decode(), process.wait(PATIENCE)
