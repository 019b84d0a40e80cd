from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from autoscaler.cli.main import main
from autoscaler.journal.keeper import HistoryKeeper
from autoscaler.testing import ManualClock
from autoscaler.views.explanations import kept_document
from tests.support.builders import NOW
from tests.support.daemons import Running, content, make, running
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

ABOUT = {"version": "1", "mode": "live", "interval": 15}


def with_history(tmp_path: Path, folder: Path | None = None, services: int = 1) -> Running:
    """A daemon that keeps its history below *folder*; in memory without one."""
    made = make(tmp_path, services=services)
    made.daemon.history = HistoryKeeper(folder, document=kept_document, about=ABOUT)
    return made


async def asked(made: Running, path: str) -> dict[str, Any]:
    """The document at *path*."""
    status, body = await made.get(path)
    assert status == 200, body
    document: dict[str, Any] = json.loads(body)
    return document


async def told(made: Running, *arguments: str, command: str = "history") -> str:
    """The output of the command with these arguments."""
    assert made.daemon.address is not None
    url = "http://{}:{}".format(*made.daemon.address)
    result = await asyncio.to_thread(CliRunner().invoke, main, [command, *arguments, "--url", url])
    assert result.exit_code == 0, result.output
    return result.output


async def until_kinds(made: Running, *kinds: str) -> list[dict[str, Any]]:
    """Wait until the history has happenings of all *kinds*, and return all that it has."""
    found: list[dict[str, Any]] = []

    async def all_there() -> bool:
        found[:] = (await asked(made, "/api/v1/history?limit=1000"))["happenings"]
        return set(kinds) <= {each["kind"] for each in found}

    for _ in range(2000):
        if await all_there():
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{kinds} are not all in {[each['kind'] for each in found]}")


async def test_what_happens_is_told(tmp_path: Path) -> None:
    """Changes, holds, outside changes, policies and the start are in the API and in the command, a line for each."""
    made = with_history(tmp_path)
    made.world.load["web0", "cpu"] = 90

    async with running(made):
        await until_kinds(made, "started", "policies", "change", "hold")
        made.world.engine.operator_scale("web0", 2)
        await until(lambda: bool(made.events("count_changed_externally")))
        made.edit(content(9))
        await until(lambda: bool(made.events("policies_reloaded")))
        await made.next_evaluations(3)
        happenings = (await asked(made, "/api/v1/services/web0/history"))["happenings"]
        text = await told(made, "web0")
        later = (await asked(made, "/api/v1/services/web0/history?kind=hold"))["happenings"]
        changes = await told(made, "--changes", "--output", "json")

    by = [each["facts"]["by"] for each in happenings if each["kind"] == "change"]
    assert by[0] == "rule"
    assert "operator" in by
    first = next(each for each in happenings if each["kind"] == "change")
    assert (first["facts"]["reason"], first["facts"]["rule"]) == ("above_threshold", "cpu-high")
    lines = text.splitlines()
    assert any("started 1 live" in line for line in lines)
    assert any("policies loaded" in line for line in lines)
    assert any("web0  1 → 2" in line or "by rule  above_threshold [cpu-high]" in line for line in lines)
    assert any("→ 2  applied  by operator" in line for line in lines)
    held = [line for line in lines if "  held " in line]
    assert held
    assert len([each for each in happenings if each["kind"] == "hold"]) <= len(held) <= len(later)
    assert {each["kind"] for each in json.loads(changes)["happenings"]} == {"change", "started"}


async def test_the_decision_at_any_moment(tmp_path: Path) -> None:
    """For the time of any evaluation the whole document of the decision then is found, and no decision for others."""
    made = with_history(tmp_path)
    async with running(made):
        await made.next_evaluations(5)
        happenings = await until_kinds(made, "unchanged")
        run = next(each for each in happenings if each["kind"] == "unchanged")
        found = await asked(made, f"/api/v1/services/web0/decision?at={run['at']}")
        early = await made.get(f"/api/v1/services/web0/decision?at={run['at'] - 3600}")
        unknown = await made.get(f"/api/v1/services/web1/decision?at={run['at']}")

    assert found["document"]["service"] == "web0"
    assert found["document"]["at"] == run["at"]
    assert (early[0], "does not reach back" in early[1]) == (404, True)
    assert (unknown[0], "did you mean web0?" in unknown[1]) == (404, True)


async def test_the_history_survives_a_restart(tmp_path: Path) -> None:
    """With a folder for state the next process knows what the earlier one saw, and shows the gap between them."""
    folder = tmp_path / "state"
    first = with_history(tmp_path, folder)
    first.world.load["web0", "cpu"] = 90
    async with running(first):
        before = [each for each in await until_kinds(first, "change") if each["kind"] == "change"]
    second = with_history(tmp_path, folder)
    second.world.clock.time = first.world.clock.time + 600

    async with running(second):
        await second.next_evaluations(3)
        after = await asked(second, "/api/v1/history?kind=change,started,stopped&limit=1000")
        text = await told(second)

    assert after["kept_in"] == "file"
    kept = [each for each in after["happenings"] if each["kind"] == "change"]
    assert [each["at"] for each in before] == [each["at"] for each in kept[: len(before)]]
    assert [each["kind"] for each in after["happenings"] if each["kind"] != "change"] == [
        "started",
        "stopped",
        "started",
    ]
    assert "not running for" in text
    assert "it was stopped" in text


async def test_a_decision_of_the_past_is_explained_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart `explain --at` has the explanation that the first process gave, number for number."""
    monkeypatch.setattr("autoscaler.cli.commands.explain.SystemClock", lambda: ManualClock(NOW + 1e6))
    folder = tmp_path / "state"
    first = with_history(tmp_path, folder)
    first.world.load["web0", "cpu"] = 90
    async with running(first):
        happenings = await until_kinds(first, "change", "hold")
        held = next(each for each in happenings if each["kind"] == "hold" and each["facts"]["reason"] == "cooling_down")
        before = await asked(first, f"/api/v1/services/web0/decision?at={held['at']}")
    second = with_history(tmp_path, folder)
    second.world.clock.time = first.world.clock.time + 600

    async with running(second):
        await second.next_evaluations(3)
        after = await asked(second, f"/api/v1/services/web0/decision?at={held['at']}")
        moment = datetime.fromtimestamp(held["at"], UTC)
        text = await told(second, "web0", "--at", f"{moment:%Y-%m-%dT%H:%M:%S}", command="explain")

    assert after["document"] == before["document"]
    assert after["document"]["verdict"].lower() in text.lower()
    assert "from the history" in text


async def test_without_a_folder_the_history_begins_with_what_labels_tell(tmp_path: Path) -> None:
    """A new process without state knows the changes that the service's label tells, with their reasons."""
    first = with_history(tmp_path)
    first.world.load["web0", "cpu"] = 90
    async with running(first):
        await until_kinds(first, "change")
    second = with_history(tmp_path)
    second.daemon.cycle.swarm = first.world.cycle.swarm
    second.world.clock.time = first.world.clock.time + 60

    async with running(second):
        happenings = await until_kinds(second, "change")

    change = next(each for each in happenings if each["kind"] == "change")
    assert (change["facts"]["by"], change["facts"]["rule"], change["document"]) == ("rule", "cpu-high", None)


async def test_an_unknown_service_is_told_with_near_names(tmp_path: Path) -> None:
    """The command says that nothing is known of a misspelt service, and which one may be meant."""
    made = with_history(tmp_path)
    async with running(made):
        await until_kinds(made, "unchanged")
        assert made.daemon.address is not None
        url = "http://{}:{}".format(*made.daemon.address)
        result = await asyncio.to_thread(CliRunner().invoke, main, ["history", "wbe0", "--url", url])

    assert result.exit_code == 1
    assert "did you mean web0?" in result.output
    with pytest.raises(json.JSONDecodeError):
        json.loads(result.output)
