"""Two autoscalers of one Swarm: one acts, the other stands by."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from autoscaler.adapters.counted import CountedLease
from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.lease import CONFIG, HOLDER_LABEL, SwarmLease
from autoscaler.coordination.lease import Lease
from autoscaler.core.instance import Mode, Role
from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.daemon.daemon import Daemon
from autoscaler.daemon.reload import Policies
from autoscaler.errors import RefusedError
from autoscaler.evaluation.journal import Journal
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from autoscaler.util.deadline import Deadline
from autoscaler.web.telemetry import Telemetry
from tests.support import engine_server as server_side
from tests.support.backends import Backends, events, invoke
from tests.support.builders import STEP
from tests.support.daemons import FAST, Gate, content
from tests.support.engine_server import EngineServer, says
from tests.support.waiting import PATIENCE, until
from tests.support.world import LOST, FaultyEngine, World, raising

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping, Sequence
    from pathlib import Path

    from tests.support.engine_server import Fault

BLINK = 5
"""Seconds of virtual time that pass at once: who beats meanwhile keeps the lease."""
FORBIDDEN = RefusedError("a proxy in front of the engine refused the request")
OPERATIONS = ("services", "config", "create_config", "update_config", "service", "update")


@dataclass
class Autoscaler:
    """A daemon with an engine client of its own, in which something can go wrong, and a clock of its own."""

    name: str
    daemon: Daemon
    api: FaultyEngine
    lease: Lease
    running: asyncio.Task[None] | None = None

    def fail(self, error: Exception, *operations: str) -> None:
        """Let these calls fail from now on."""
        for operation in operations:
            self.api.before(operation, *[raising(error)] * 10_000)

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        self.daemon.stop()
        if self.running is not None:
            async with asyncio.timeout(PATIENCE):
                await self.running

    @property
    def leads(self) -> bool:
        """What its metric says."""
        return self.daemon.telemetry.registry.get_sample_value("autoscaler_leader") == 1

    def told(self, service: str = "web") -> tuple[Outcome, Reason] | None:
        """Its last decision on the service; None before the first."""
        record = self.daemon.journal.snapshot().latest.get(service)
        return (record.outcome, record.decision.primary.reason) if record else None


@dataclass
class Swarm:
    """A Swarm with a service under too much load, and its autoscalers; time passes when a test says so."""

    world: World
    directory: Path
    autoscalers: list[Autoscaler] = field(default_factory=list)
    logs: list[MutableMapping[str, Any]] = field(default_factory=list)

    def autoscaler(self, name: str) -> Autoscaler:
        """One more autoscaler, which does not run yet."""
        world, offset = self.world, 1e6 * len(self.autoscalers)
        world.api = FaultyEngine(world.engine)
        world.restart()
        policies = Policies([self.directory / "policies.yml"])
        policies.load()
        journal = Journal()
        telemetry = Telemetry(journal, lambda: True, lambda: lease.held)
        store = CountedLease(SwarmLease(world.api), telemetry.count_request)
        lease = Lease(store, name, lambda: world.clock.time + offset)
        daemon = Daemon(
            cycle=world.cycle,
            policies=policies,
            journal=journal,
            clock=world.clock,
            interval=STEP,
            listen=None,
            telemetry=telemetry,
            lease=lease,
            speed=FAST,
        )
        made = Autoscaler(name, daemon, world.api, lease)
        self.autoscalers.append(made)
        return made

    async def start(self, one: Autoscaler) -> None:
        """Start it, and wait until it has evaluated."""
        one.running = asyncio.create_task(one.daemon.run())
        await self.seen(one)

    async def seen(self, *all_: Autoscaler, evaluating: bool = True) -> None:
        """Wait until each of them has seen all there is now: asked for the lease, and then evaluated."""
        for one in all_:
            for operation in ("config", *(["services"] * evaluating)):
                already = one.api.calls[operation]
                await until(lambda: one.api.calls[operation] >= already + 2)  # noqa: B023 - it is waited for here

    async def pass_time(self, seconds: int, *all_: Autoscaler, evaluating: bool = True) -> None:
        """Let time pass, so slowly that each of them sees all of it."""
        for _ in range(seconds // BLINK):
            self.world.clock.time += BLINK
            if self.world.clock.time % STEP == 0:
                self.world.prometheus.record()
            await self.seen(*all_, evaluating=evaluating)

    def events(self, name: str) -> list[MutableMapping[str, Any]]:
        """The log's events of this name."""
        return [line for line in self.logs if line["event"] == name]

    @property
    def updates(self) -> Sequence[int]:
        """The counts that were written, by each autoscaler's client."""
        return [spec["Mode"]["Replicated"]["Replicas"] for one in self.autoscalers for _, _, spec in one.api.updates]


@asynccontextmanager
async def swarm_of(directory: Path, *names: str) -> AsyncIterator[Swarm]:
    """A Swarm whose service wants a replica more, with these autoscalers, none of which runs yet."""
    world = World()
    world.service(cpu=85)
    world.settle()
    (directory / "policies.yml").write_text(content())
    swarm = Swarm(world, directory)
    for name in names:
        swarm.autoscaler(name)
    with capture_logs() as logs:
        swarm.logs = logs
        try:
            yield swarm
        finally:
            for one in swarm.autoscalers:
                await one.stop()


# one acts


@pytest.mark.fault("leader-dies")
async def test_of_two_one_acts(tmp_path: Path) -> None:
    """Of two autoscalers under load exactly one scales; the other one evaluates, says why it waits, writes nothing."""
    async with swarm_of(tmp_path, "one", "other") as swarm:
        one, other = swarm.autoscalers
        await swarm.start(one)
        await swarm.start(other)

        assert (one.leads, other.leads) == (True, False)
        instances = [each.daemon.instance() for each in (one, other)]
        assert [(each.mode, each.role, each.leader) for each in instances] == [
            (Mode.LIVE, Role.LEADER, "one"),
            (Mode.LIVE, Role.STANDBY, "one"),
        ]
        assert swarm.updates == [4]
        await swarm.pass_time(60, one, other)
        assert other.told() == (Outcome.HELD, Reason.NOT_LEADER)
        assert other.api.calls["update"] == other.api.calls["update_config"] == other.api.calls["create_config"] == 0
        assert not [line for line in swarm.events("service_evaluated") if "changed_externally" in line["reasons"]]
        (line,) = swarm.events("lease_acquired")
        assert line["holder"] == "one"
        (line,) = swarm.events("lease_awaited")
        assert (line["holder"], line["log_level"]) == ("one", "info")
        assert line["detail"] == "one holds the lease; this autoscaler is on standby"


async def test_a_stand_by_is_news_once(tmp_path: Path) -> None:
    """That it stands by is told once per change of the service, however many evaluations it goes on for."""
    async with swarm_of(tmp_path, "one", "other") as swarm:
        one, other = swarm.autoscalers
        await swarm.start(one)
        one.fail(LOST, "services")  # so that the load goes on without a change
        await swarm.seen(one)  # none of its evaluations is on its way any more
        swarm.world.service("second", cpu=85)
        swarm.world.settle(300)
        swarm.world.clock.time -= 300 - BLINK  # no beat was missed
        await swarm.start(other)
        for _ in range(3):
            await swarm.seen(other)

        stood_by = [line for line in swarm.events("service_evaluated") if line["reason"] == Reason.NOT_LEADER]
        told = [(line["service"], line["requested"]) for line in stood_by if line["log_level"] != "debug"]
        assert sorted(told) == [("second", 3), ("web", 4)]
        assert len(stood_by) > len(told)


async def test_an_evaluation_asks_three_lists_as_ever(tmp_path: Path) -> None:
    """The lease costs an evaluation no call: it is kept beside it, by one call and at most one more per beat."""
    async with swarm_of(tmp_path, "one") as swarm:
        (one,) = swarm.autoscalers
        await swarm.start(one)
        await swarm.seen(one)
        await one.stop()

        calls = one.api.calls
        assert calls["services"] == calls["tasks"] == calls["nodes"]
        assert calls["create_config"] == 1
        assert calls["update_config"] <= calls["config"]


async def test_beats_do_not_wait_for_an_evaluation(tmp_path: Path, gate: Gate) -> None:
    """While an evaluation hangs, the lease is renewed all the same, and no other one gets it."""
    async with swarm_of(tmp_path, "one", "other") as swarm:
        one, other = swarm.autoscalers
        one.api.before("nodes", gate)
        one.running = asyncio.create_task(one.daemon.run())
        await until(gate.reached.is_set)
        await swarm.start(other)

        await swarm.pass_time(60, one, other, evaluating=False)

        assert (one.leads, other.leads) == (True, False)
        gate.open()


# takeover


@pytest.mark.fault("leader-dies")
async def test_a_leader_that_is_cut_off_is_replaced(tmp_path: Path) -> None:
    """A leader that cannot reach Swarm stops leading by its own clock, and another one leads within 30 s."""
    async with swarm_of(tmp_path, "one", "other") as swarm:
        one, other = swarm.autoscalers
        await swarm.start(one)
        await swarm.start(other)
        one.fail(LOST, *OPERATIONS)

        await swarm.pass_time(15, one, other)
        assert (one.leads, other.leads) == (False, False)
        await swarm.pass_time(15, one, other)

        assert (one.leads, other.leads) == (False, True)
        (line,) = swarm.events("lease_lost")
        assert line["log_level"] == "warning"
        assert line["detail"] == "the lease cannot be used: connection refused"
        assert [line["holder"] for line in swarm.events("lease_acquired")] == ["one", "other"]


async def test_a_leader_that_is_stopped_gives_the_lease_back(tmp_path: Path) -> None:
    """After a clean stop the other one leads at once, and evaluates at once: no time needs to pass."""
    async with swarm_of(tmp_path, "one", "other") as swarm:
        one, other = swarm.autoscalers
        one.fail(LOST, "update")  # it leads, and does not get anything done
        await swarm.start(one)
        await swarm.start(other)
        assert (swarm.world.replicas(), one.leads) == (3, True)
        stopped_at = swarm.world.clock.time

        await one.stop()
        await swarm.seen(other)

        assert other.leads
        assert swarm.updates == [4]
        assert swarm.world.clock.time == stopped_at
        assert len(swarm.events("lease_given_back")) == 1


@pytest.mark.fault("asked-to-stop")
async def test_the_lease_is_given_back_after_the_last_write(tmp_path: Path, gate: Gate) -> None:
    """A leader that is stopped in the middle of a write keeps the lease until the write is over."""
    async with swarm_of(tmp_path, "one", "other") as swarm:
        one, other = swarm.autoscalers
        one.api.before("update", gate)
        one.running = asyncio.create_task(one.daemon.run())
        await until(gate.reached.is_set)
        await swarm.start(other)

        one.daemon.stop()
        await swarm.pass_time(30, one, other, evaluating=False)
        assert (one.lease.held, other.leads) == (True, False)
        gate.open()
        await one.stop()
        await swarm.seen(other)

        assert other.leads
        assert swarm.updates == [4]


async def test_a_stand_by_that_is_stopped_leaves_the_lease_alone(tmp_path: Path) -> None:
    """The end of a stand-by is no news to the leader."""
    async with swarm_of(tmp_path, "one", "other") as swarm:
        one, other = swarm.autoscalers
        await swarm.start(one)
        await swarm.start(other)
        await other.stop()
        await swarm.seen(one)

        assert one.leads
        assert not swarm.events("lease_given_back")
        assert not swarm.events("lease_left_behind")


async def test_what_cannot_be_given_back_is_told(tmp_path: Path) -> None:
    """A leader that cannot reach Swarm at its end says that the next one will have to wait."""
    async with swarm_of(tmp_path, "one") as swarm:
        (one,) = swarm.autoscalers
        await swarm.start(one)
        one.fail(LOST, *OPERATIONS)
        await one.stop()

        (line,) = swarm.events("lease_left_behind")
        assert line["consequence"] == "another autoscaler takes it when it has not been renewed for 18 s"


# no double step


@pytest.mark.fault("two-act")
async def test_a_write_by_a_former_leader_is_refused(tmp_path: Path, gate: Gate) -> None:
    """A leader that is stopped just before its write, and goes on when another one has made it, does not make it again.

    The version index refuses its write; when it decides again it finds that it leads no more.
    """
    async with swarm_of(tmp_path, "one", "other") as swarm:
        one, other = swarm.autoscalers
        one.api.before("update", gate)
        one.running = asyncio.create_task(one.daemon.run())
        await until(gate.reached.is_set)
        one.fail(LOST, "config", "create_config", "update_config")  # its beats are stopped with it
        await swarm.start(other)
        await swarm.pass_time(30, other)
        assert (swarm.updates, one.leads, other.leads) == ([4], False, True)

        gate.open()
        await until(lambda: one.told() == (Outcome.HELD, Reason.NOT_LEADER))

        assert swarm.updates == [4]
        assert swarm.world.replicas() == 4
        assert one.api.calls["update"] == 1


# a lease that cannot be used


@pytest.mark.fault("lease-unusable")
async def test_without_a_lease_nothing_is_scaled(tmp_path: Path) -> None:
    """Where Swarm refuses the lease nothing is scaled, the log says so once, and scaling begins when it is allowed."""
    async with swarm_of(tmp_path, "one") as swarm:
        (one,) = swarm.autoscalers
        one.fail(FORBIDDEN, "config")
        await swarm.start(one)
        await swarm.seen(one)
        await swarm.seen(one)

        assert (one.told(), one.leads, swarm.updates) == ((Outcome.HELD, Reason.NOT_LEADER), False, [])
        (line,) = swarm.events("lease_awaited")
        assert line["log_level"] == "warning"
        assert line["detail"].startswith(
            "the lease cannot be used: a proxy in front of the engine refused the request ("
        )
        one.api._before["config"].clear()
        await until(lambda: swarm.updates == [4])


async def test_a_defect_in_a_beat_costs_one_beat(tmp_path: Path) -> None:
    """What asking for the lease raises by a defect of ours is logged whole, and the beats go on."""
    async with swarm_of(tmp_path, "one") as swarm:
        (one,) = swarm.autoscalers
        one.api.before("config", raising(ZeroDivisionError()))
        await swarm.start(one)
        await until(lambda: one.leads)

        assert [line["exc_info"] for line in swarm.events("lease_failed")] == [True]


@pytest.mark.fault("lease-unusable")
@pytest.mark.parametrize(
    ("fault", "on", "words"),
    [
        (
            lambda exchange: exchange.send(403, "<html>no</html>"),
            "GET /configs",
            f"refused GET /configs/{CONFIG} (let the socket proxy allow it: its path in -allowGET, or CONFIGS=1)",
        ),
        (
            lambda exchange: exchange.send(403, "<html>no</html>"),
            "POST /configs/create",
            (
                "refused POST /configs/create "
                "(let the socket proxy allow it: its path in -allowPOST, or CONFIGS=1 and POST=1)"
            ),
        ),
        (says(403, "forbidden by the proxy"), "GET /configs", "refused with status 403: forbidden by the proxy"),
        (says(403, "forbidden by the proxy"), "POST /configs/create", "refused with status 403"),
        (says(403, "forbidden by the proxy"), f"POST /configs/{CONFIG}/update", "refused with status 403"),
    ],
)
def test_a_proxy_that_forbids_configs(tmp_path: Path, fault: Fault, on: str, words: str) -> None:
    """Where something before the engine forbids the lease's calls, it is said which to allow."""
    engine = SimulatedEngine(ManualClock())
    with EngineServer(engine, tmp_path / "docker.sock") as server:
        client = DockerEngine(server.url)
        lease = Lease(SwarmLease(client), "one", lambda: 0.0)
        if "update" in on:
            SwarmLease(client).write("", None, Deadline(5))
        server.misbehave(fault, on)

        lease.beat(Deadline(5))

        assert not lease.held
        assert words in lease.objection()
        cured = "let the socket proxy allow it" in words
        assert cured or lease.objection().endswith(
            f"(let the autoscaler read, create and update the config {CONFIG}, through a socket proxy too)"
        )
        server.behave()
        lease.beat(Deadline(5))
        assert lease.held
        client.close()


@pytest.mark.parametrize("fault", [server_side.applied_then_cut, server_side.cut])
@pytest.mark.parametrize("on", ["POST /configs/create", f"POST /configs/{CONFIG}/update"])
def test_a_lease_without_an_answer(tmp_path: Path, fault: Fault, on: str) -> None:
    """A renewal whose answer is lost is not counted on, and never sent twice in a beat; the next beat has the lease."""
    engine = SimulatedEngine(ManualClock())
    with EngineServer(engine, tmp_path / "docker.sock") as server:
        client = DockerEngine(server.url)
        lease = Lease(SwarmLease(client), "one", lambda: 0.0)
        if "update" in on:
            SwarmLease(client).write("", None, Deadline(5))
        server.misbehave(fault, on, times=1)

        lease.beat(Deadline(5))
        assert not lease.held
        assert sum(request.method == "POST" and request.path in on for request in server.asked) >= 1
        lease.beat(Deadline(5))

        assert lease.held
        client.close()


@pytest.mark.parametrize("body", [[], {"hello": "world"}, {"Version": {"Index": 1}, "Spec": None}])
def test_an_answer_that_is_none_of_dockers(tmp_path: Path, body: object) -> None:
    """What is no config is no lease."""
    with EngineServer(SimulatedEngine(ManualClock()), tmp_path / "docker.sock") as server:
        client = DockerEngine(server.url)
        lease = Lease(SwarmLease(client), "one", lambda: 0.0)
        server.misbehave(lambda exchange: exchange.send(200, body), "GET /configs")

        lease.beat(Deadline(5))

        assert "the answer is not" in lease.objection() or "Docker's answer is not" in lease.objection()
        client.close()


# run --once, and what needs no lease


def test_run_once_takes_the_lease_and_gives_it_back(backends: Backends) -> None:
    """`run --once` acts under the lease, and leaves it free for the next one."""
    backends.load(85)

    assert [invoke("run", "--once").exit_code, backends.replicas] == [0, 4]

    labels = backends.engine.config(CONFIG)["Spec"]["Labels"]
    assert labels[HOLDER_LABEL] == ""


async def test_run_once_stands_by_for_another_one(tmp_path: Path) -> None:
    """Where another autoscaler keeps the lease, `run --once` scales nothing and says what to do."""
    async with swarm_of(tmp_path, "one", "once") as swarm:
        one, once = swarm.autoscalers
        one.fail(LOST, "update")
        await swarm.start(one)

        async with asyncio.timeout(PATIENCE):
            evaluation, stood_by = await once.daemon.run_once()

        assert stood_by == "one holds the lease; this autoscaler is on standby"
        assert [record.outcome for record in evaluation.records] == [Outcome.HELD]
        assert swarm.updates == []
        line = swarm.events("lease_awaited")[-1]
        assert line["detail"] == f"{stood_by} (stop the other autoscaler first, or look with --dry-run)"
        await swarm.seen(one)
        assert one.leads


async def test_run_once_outlives_a_dead_one(tmp_path: Path) -> None:
    """Where the lease's holder has died, `run --once` waits until it has expired, and acts."""
    async with swarm_of(tmp_path, "dead", "once") as swarm:
        dead, once = swarm.autoscalers
        dead.lease.beat(Deadline(1))

        running = asyncio.create_task(once.daemon.run_once())
        await swarm.seen(once, evaluating=False)
        await swarm.pass_time(15, once, evaluating=False)
        assert not once.lease.held
        swarm.world.clock.time += 3
        async with asyncio.timeout(PATIENCE):
            _, stood_by = await running

        assert (stood_by, swarm.updates) == ("", [4])


def test_run_once_fails_where_the_lease_cannot_be_used(backends: Backends) -> None:
    """Where the lease is forbidden, `run --once` scales nothing, says what to allow, and exits with 1."""
    backends.load(85)
    backends.swarm.misbehave(says(403, "forbidden by the proxy"), on="GET /configs")

    result = invoke("run", "--once")

    assert (result.exit_code, backends.replicas) == (1, 3)
    (line,) = [event for event in events(result.stderr) if event["event"] == "lease_awaited"]
    assert f"let the autoscaler read, create and update the config {CONFIG}" in line["detail"]


@pytest.mark.parametrize("arguments", [("run", "--once", "--dry-run"), ("plan",), ("check", "--live")])
def test_what_writes_nothing_needs_no_lease(backends: Backends, arguments: tuple[str, ...]) -> None:
    """A dry-run, `plan` and `check` leave the lease alone, and decide as its holder would."""
    backends.load(85)
    SwarmLease(backends.engine).write("another", None, Deadline(5))

    result = invoke(*arguments)

    assert "not_leader" not in result.output
    assert not [asked for asked in backends.swarm.asked if CONFIG in asked.path]
    assert result.exit_code == (2 if arguments == ("plan",) else 0)
