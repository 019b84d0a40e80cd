from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.pausing import PauseRequest, Pausing
from autoscaler.core.model import Outcome
from autoscaler.daemon.reload import Policies
from autoscaler.errors import PolicyError, SettingsError
from autoscaler.util.deadline import Deadline
from autoscaler.web.control import Controls
from tests.support.builders import STEP
from tests.support.daemons import FAST, Gate, content, make, running
from tests.support.site import TOKEN
from tests.support.waiting import PATIENCE, until
from tests.support.world import LOST

if TYPE_CHECKING:
    from pathlib import Path

    from autoscaler.core.records import Record

# schedule


async def test_it_evaluates_again_and_again(tmp_path: Path) -> None:
    """The first evaluation is at once, and one follows at every interval until the daemon is stopped."""
    made = make(tmp_path)
    async with running(made):
        await made.next_evaluations(3)
    seen = made.evaluations

    await asyncio.sleep(3 * STEP / FAST)

    assert made.evaluations == seen
    assert (made.logs[0]["event"], made.logs[-1]["event"]) == ("daemon_started", "daemon_stopped")


@pytest.mark.fault("evaluation-late")
async def test_evaluations_never_overlap_and_missed_ones_are_counted(tmp_path: Path, gate: Gate) -> None:
    """While an evaluation takes longer than the interval no other one begins: those are missed, counted and told."""
    made = make(tmp_path)
    made.world.api.before("nodes", gate)
    async with running(made):
        await until(lambda: made.daemon.journal.snapshot().missed >= 3)
        assert made.evaluations == 1
        gate.open()
        await made.next_evaluations()

    missed = made.daemon.journal.snapshot().missed
    assert len(made.events("evaluation_missed")) == missed


@pytest.mark.fault("defect")
async def test_a_defect_costs_one_evaluation(tmp_path: Path) -> None:
    """What an evaluation raises by a defect of ours is logged whole, and the loop goes on."""

    def defect() -> None:
        raise ZeroDivisionError

    made = make(tmp_path)
    made.world.api.before("tasks", defect)
    async with running(made):
        await until(lambda: made.daemon.journal.snapshot().last_evaluation is not None)

    assert [line["exc_info"] for line in made.events("evaluation_failed")] == [True]


# the end


@pytest.mark.fault("asked-to-stop")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_and_lets_a_write_finish(tmp_path: Path, gate: Gate, number: signal.Signals) -> None:
    """A write on its way when the signal comes is finished and recorded; no other one begins, and the daemon ends."""
    made = make(tmp_path, services=2)
    for name in ("web0", "web1"):
        made.world.load[name, "cpu"] = 85
    made.world.settle(120)
    made.world.api.before("update", gate)
    async with running(made) as task:
        await until(gate.reached.is_set)

        os.kill(os.getpid(), number)
        await asyncio.sleep(0.05)
        assert not task.done()
        gate.open()
        async with asyncio.timeout(PATIENCE):
            await task

    assert [name for name, _, _ in made.world.api.updates] == ["web0"]
    outcomes = [record.outcome for record in made.daemon.journal.notable("web0")]
    assert outcomes == [Outcome.APPLIED]
    assert made.events("daemon_stopped")


async def test_stop_before_the_first_evaluation(tmp_path: Path) -> None:
    """A daemon that is told to stop before it began evaluates nothing and ends."""
    made = make(tmp_path)
    made.daemon.stop()

    async with running(made):
        pass

    assert made.evaluations == 0


async def test_signals_are_given_back(tmp_path: Path) -> None:
    """After the end signals mean again what they meant before."""
    before = signal.getsignal(signal.SIGTERM)
    async with running(make(tmp_path)):
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before


# policies


async def test_what_is_paused_is_logged_once(tmp_path: Path) -> None:
    """That something is paused, and that nothing is any more, is told once each, with what is."""
    made = make(tmp_path)
    pausing = Pausing(SwarmPauses(made.world.engine), lambda _: ["web0"])

    async with running(made):
        await made.next_evaluations()
        pausing.pause(PauseRequest(["web0"], by="ana"), made.world.clock.now(), Deadline(5))
        await made.next_evaluations(4)
        pausing.resume(["web0"], made.world.clock.now(), Deadline(5))
        await made.next_evaluations()

    told = [event["paused"] for event in made.events("pauses_changed")]
    assert [[line.partition(" since")[0] for line in lines] for lines in told] == [
        ["web0: up and down paused by ana"],
        [],
    ]


async def test_changed_policies_are_reloaded(tmp_path: Path) -> None:
    """Policy files that say something else are in force at the next evaluation, and the log names the revision."""
    made = make(tmp_path)
    async with running(made):
        made.edit(content(most=2))
        await until(lambda: made.world.replicas("web0") == 2)

    (line,) = made.events("policies_reloaded")
    assert line["revision"] == made.daemon.policies.current.revision


async def test_touched_but_equal_policies_are_not_reloaded(tmp_path: Path) -> None:
    """It is the content that counts, not the time stamp."""
    made = make(tmp_path)
    before = made.daemon.policies.current
    async with running(made):
        made.edit(content())
        await made.next_evaluations()

    assert made.daemon.policies.current is before
    assert not made.events("policies_reloaded")


async def test_a_reload_over_http(tmp_path: Path) -> None:
    """Policies are reloaded over HTTP for the next evaluation; refused ones are told, and the last good set stays."""
    made = make(tmp_path)
    made.daemon.controls = Controls(SecretStr(TOKEN))
    async with running(made):
        await made.next_evaluations()
        made.edit("version: 1\npolicies: 7\n")
        status, refused = await made.post("/-/reload")
        assert (status, refused["problems"][0].partition("policies.yml:")[2][:4]) == (422, "2:11")
        made.edit(content(7))
        status, document = await made.post("/-/reload")
        assert (status, document["problems"]) == (200, [])
        assert document["revision"] != refused["revision"]
        assert made.daemon.policies.current.revision == document["revision"]
    assert [event["revision"] for event in made.events("policies_reloaded")][-1] == document["revision"]
    assert made.events("policies_refused")


async def test_sighup_reloads_whatever_changed(tmp_path: Path) -> None:
    """SIGHUP reads the files anew, once, even where nothing changed; windows and memories are kept."""
    made = make(tmp_path)
    async with running(made):
        await made.next_evaluations()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: bool(made.events("policies_reloaded")))
        await made.next_evaluations()

    assert len(made.events("policies_reloaded")) == 1
    steps = [(last - first) // STEP + 1 for _, first, last in made.world.source.asked]
    assert set(steps[1:]) == {3}


@pytest.mark.fault("policies-broken")
async def test_a_broken_edit_keeps_the_last_good_set(tmp_path: Path) -> None:
    """A broken file changes nothing but says so, once: in the log, in the API and as a metric; repaired, it applies."""
    made = make(tmp_path)
    revision = made.daemon.policies.current.revision
    made.world.load["web0", "cpu"] = 85
    async with running(made):
        made.edit(content().replace("replicas:", "replica:"))
        await until(lambda: bool(made.events("policies_refused")))
        await made.next_evaluations()
        _, metrics = await made.get("/metrics")
        document = made.daemon.policies.document()
        await until(lambda: made.world.replicas("web0") == 4)
        made.edit(content(most=9))
        await until(lambda: bool(made.events("policies_reloaded")))
        _, repaired = await made.get("/metrics")

    (line,) = made.events("policies_refused")
    assert line["problems"][0].startswith(f"{made.file}:")
    assert revision in line["consequence"]
    assert document == {"revision": revision, "problems": line["problems"]}
    assert "autoscaler_policies_last_reload_successful 0.0" in metrics
    assert "autoscaler_policies_last_reload_successful 1.0" in repaired
    assert made.daemon.policies.document()["problems"] == []


async def test_files_that_vanish_keep_the_last_good_set(tmp_path: Path) -> None:
    """A removed policy file is a broken edit like another."""
    made = make(tmp_path)
    async with running(made):
        made.file.unlink()
        await until(lambda: bool(made.events("policies_refused")))
        await made.next_evaluations()

    assert len(made.events("policies_refused")) == 1
    assert len(made.daemon.policies.current.policies) == 1


def test_the_edit_back_to_the_set_in_force_ends_the_error(tmp_path: Path) -> None:
    """Where a broken file becomes again what is in force, there is no error any more."""
    file = tmp_path / "p.yml"
    file.write_text(content())
    policies = Policies([file])
    policies.load()
    revision = policies.current.revision

    file.write_text("version: 2")
    assert policies.reload(forced=True)
    assert policies.error is not None
    assert not policies.reload()
    file.write_text(content())
    assert policies.reload(forced=True)

    assert policies.error is None
    assert policies.current.revision == revision


def test_a_broken_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    """There is no last good set at the start: a broken file is raised."""
    file = tmp_path / "p.yml"
    file.write_text("version: 2")

    with pytest.raises(PolicyError, match=r"p\.yml:1"):
        Policies([file]).load()


# health


async def test_ready_while_any_service_can_be_decided_on(tmp_path: Path) -> None:
    """Not ready while a backend is away, with the reason; health checks ask for the loop's heartbeat instead."""
    made = make(tmp_path)
    made.world.prometheus.fail(LOST)
    async with running(made):
        await made.next_evaluations()
        before = await made.get("/-/ready")
        made.world.prometheus.fail(None)
        await until(lambda: made.daemon.ready().good)
        after = await made.get("/-/ready")
        made.world.api._before.clear()
        made.world.lose_swarm(times=10_000)
        await made.next_evaluations()
        later = await made.get("/-/ready")

    assert before == (503, f"not ready: prometheus: {LOST}\n")
    assert after == (200, "ready\n")
    assert later == (503, f"not ready: swarm: {LOST}\n")


@pytest.mark.fault("prometheus-away")
async def test_healthy_while_both_backends_are_away(tmp_path: Path) -> None:
    """Health is the loop's heartbeat and nothing else."""
    made = make(tmp_path)
    made.world.prometheus.fail(LOST)
    made.world.api._before.clear()
    made.world.lose_swarm(times=10_000)
    async with running(made):
        await made.next_evaluations()

        assert await made.get("/-/healthy") == (200, "healthy\n")


async def test_unhealthy_when_no_evaluation_ends(tmp_path: Path, gate: Gate) -> None:
    """A loop that ends no evaluation for three intervals, or three times its deadline, is dead; it may come back."""
    made = make(tmp_path)
    made.daemon.cycle.deadline = 0.01
    made.world.api.before("nodes", gate)
    async with running(made):
        await until(lambda: not made.daemon.healthy().good)
        status, body = await made.get("/-/healthy")
        gate.open()
        await until(lambda: made.daemon.healthy().good)

    assert status == 503
    assert "no evaluation has ended for" in body


async def test_a_hung_backend_keeps_no_http_request_waiting(tmp_path: Path, gate: Gate) -> None:
    """While a call to a backend hangs, every page answers: none of them asks a backend."""
    made = make(tmp_path)
    made.world.api.before("nodes", gate)
    async with running(made):
        await until(gate.reached.is_set)

        for path in ("/metrics", "/-/healthy", "/api/v1/services"):
            assert (await made.get(path))[0] == 200
        assert (await made.get("/-/ready"))[0] == 503
        gate.open()


async def test_a_taken_port_is_told_before_anything_is_evaluated(tmp_path: Path) -> None:
    """Where another process listens already, the error names the setting, the address and the cure."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        made = make(tmp_path, listen=other.getsockname())

        with pytest.raises(SettingsError, match=r"AUTOSCALER_LISTEN: cannot listen on 127\.0\.0\.1:.*another port"):
            await made.daemon.run()

    assert made.evaluations == 0


async def test_without_an_address_it_does_not_listen(tmp_path: Path) -> None:
    """A daemon without an address evaluates all the same."""
    made = make(tmp_path, listen=None)
    async with running(made):
        await made.next_evaluations()

    assert made.daemon.address is None


def test_an_evaluation_is_logged_and_timed(tmp_path: Path) -> None:
    """An evaluation's problems are logged, its news told, and its duration observed."""
    made = make(tmp_path)
    told: list[Record] = []
    made.daemon.on_news = told.append
    made.world.load["web0", "cpu"] = 85
    made.world.settle(120)
    with capture_logs() as logs:
        made.daemon.evaluate_once()
        made.world.prometheus.fail(LOST)
        made.daemon.evaluate_once()

    assert [line["event"] for line in logs] == ["service_evaluated", "service_evaluated", "prometheus_lost"]
    assert [record.outcome for record in told] == [Outcome.APPLIED, Outcome.HELD]
    observed = made.daemon.telemetry.registry.get_sample_value("autoscaler_evaluation_duration_seconds_count")
    assert observed == 2
