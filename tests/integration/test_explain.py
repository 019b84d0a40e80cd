from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from autoscaler.core.instance import Role
from autoscaler.daemon.daemon import Daemon
from autoscaler.views.story import MOST_LINES, WIDTH
from autoscaler.web.answers import HEADERS
from tests.support.backends import invoke
from tests.support.daemons import Running, make, running
from tests.support.serving import Answering, LocalServing
from tests.support.situations import document_of
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from click.testing import Result

    from tests.support.backends import Backends


async def asked(made: Running, *arguments: str) -> Result:
    """What `autoscaler explain ARGUMENTS` says of the daemon, asked in another thread."""
    assert made.daemon.address is not None
    url = "http://{}:{}".format(*made.daemon.address)
    return await asyncio.to_thread(lambda: invoke("explain", *arguments, "--url", url))


async def test_explain_asks_the_daemon(tmp_path: Path) -> None:
    """Explain prints the daemon's last decision in at most 16 lines of 100 columns, with the policy's line."""
    made = make(tmp_path)
    async with running(made):
        await made.next_evaluations()
        result = await asked(made, "web0", "--exit-code")
        document = json.loads((await asked(made, "web0", "--output", "json")).stdout)

    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.output
    assert lines[0] == f"web0: {document['explanation']['verdict']}"
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= WIDTH
    assert document["explanation"]["written"].endswith(".yml:4")
    assert document["daemon"]["role"] == "leader"
    assert any(line.startswith("next") for line in lines)


async def test_a_standby_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby explains what it sees, and names the leader."""
    own = Daemon.instance
    monkeypatch.setattr(Daemon, "instance", lambda self: replace(own(self), role=Role.STANDBY, leader="autoscaler.1"))
    made = make(tmp_path)
    async with running(made):
        await made.next_evaluations()
        lines = (await asked(made, "web0")).stdout.splitlines()
    assert lines[-1] == "standby    this autoscaler shows what it sees; the leader is autoscaler.1"


async def test_an_unknown_service_gets_near_names(tmp_path: Path) -> None:
    """A name that no policy matches is an error with near names."""
    made = make(tmp_path)
    async with running(made):
        await made.next_evaluations()
        result = await asked(made, "wbe0")
    assert result.exit_code == 1
    assert "did you mean web0?" in result.output


async def test_refused_policies_need_attention(tmp_path: Path) -> None:
    """While the policy files are refused, explain says so, and exits with 2 if that is asked for."""
    made = make(tmp_path)
    async with running(made):
        await made.next_evaluations()
        made.edit("version: 1\npolicies: 5\n")
        await until(lambda: bool(made.events("policies_refused")))
        await made.next_evaluations()
        result, calm = await asked(made, "web0", "--exit-code"), await asked(made, "web0")
    assert (result.exit_code, calm.exit_code) == (2, 0)
    assert "the files are refused" in result.stdout.splitlines()[-1]


async def test_nobody_answers() -> None:
    """Without a daemon explain says how to reach one, or how to do without."""
    result = await asyncio.to_thread(lambda: invoke("explain", "web", "--url", "http://127.0.0.1:9"))
    assert result.exit_code == 1
    assert "nothing answers" in result.output


async def test_offline_asks_no_daemon() -> None:
    """Offline contradicts the options that choose a daemon and a time."""
    result = await asyncio.to_thread(lambda: invoke("explain", "web", "--offline", "--at", "08:25"))
    assert result.exit_code == 1
    assert "--offline asks no daemon" in result.output


def test_offline_evaluates_once(backends: Backends) -> None:
    """Offline, explain reads Swarm and Prometheus itself, tells the same story, and writes nothing."""
    backends.load(85)
    text, document = invoke("explain", "web", "--offline"), invoke("explain", "web", "--offline", "--output", "json")
    unknown = invoke("explain", "wbe", "--offline")

    explanation = json.loads(document.stdout)["explanation"]
    assert text.exit_code == 0, text.output
    assert text.stdout.splitlines()[0].startswith("web: would scale 3 → 4 (dry-run). cpu-high: cpu 85 %")
    assert (explanation["requested"], explanation["desired"], explanation["written"]) == (3, 4, "policies.yml:4")
    assert backends.writes == 0
    assert (unknown.exit_code, "did you mean web?" in unknown.output) == (1, True)


class _Historian(Answering):
    """A daemon that knows one decision of the past."""

    def reply(self) -> None:
        """Answer with the decision, whatever is asked."""
        at = document_of("cooling_down")["at"]
        happening = {"kind": "hold", "at": at, "until": at + 60, "times": 5, "document": document_of("cooling_down")}
        self.answer(200, json.dumps(happening).encode())

    def version_string(self) -> str:
        """The header `Server`."""
        return HEADERS["Server"]


def test_an_earlier_decision_comes_from_the_history() -> None:
    """With a time, explain tells the decision of that time as the history has it, and how long it stayed so."""
    with LocalServing(_Historian) as serving:
        result = invoke("explain", "shop_checkout", "--at", "5m", "--url", f"http://{serving.address}")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.output
    assert lines[0] == f"shop_checkout: HELD at 4. {document_of('cooling_down')['verdict'].partition('4. ')[2]}"
    assert lines[-1] == "run        the first of 5 evaluations in 1m that decided the same"
    assert len(lines) <= MOST_LINES
