"""The long-running daemon: schedule, signals, reload, lease, drain. The only asyncio beside `web`."""

from __future__ import annotations

import asyncio
import errno
import signal
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.coordination.lease import EXPIRY, LONGEST_BEAT
from autoscaler.daemon.readiness import readiness
from autoscaler.errors import SettingsError
from autoscaler.util.deadline import Deadline
from autoscaler.views.logs import log_lacks, log_problems, log_record
from autoscaler.web.app import Health, Views, application
from autoscaler.web.control import Controls
from autoscaler.web.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.coordination.lease import Lease
    from autoscaler.core.records import Evaluation, Record
    from autoscaler.daemon.reload import Policies
    from autoscaler.evaluation.cycle import Cycle
    from autoscaler.evaluation.journal import Journal
    from autoscaler.ports import Clock
    from autoscaler.views.documents import PoliciesDocument
    from autoscaler.web.telemetry import Telemetry

_AFTER_THE_STEP = 0.25
"""Seconds after a window step at which an evaluation begins: the scrapes due at the step have come in by then, and a
sample waits one interval at most to be seen."""
_HEARTBEATS = 3
"""Intervals without the end of an evaluation after which the loop counts as dead."""


@dataclass(slots=True)
class Daemon:
    """Evaluates at every interval until it is told to stop, and answers HTTP meanwhile."""

    cycle: Cycle
    policies: Policies
    journal: Journal
    clock: Clock
    interval: float
    """Seconds of *clock* between two evaluations."""
    listen: tuple[str, int] | None
    telemetry: Telemetry
    any_port: bool = False
    """Whether it listens at any other port where the port of `listen` is taken, or not allowed."""
    lease: Lease | None = None
    """Says whether this autoscaler may act; one without a lease may always (a dry-run writes nothing anyway)."""
    controls: Controls = field(default_factory=Controls)
    """What HTTP can change, reloading aside."""
    on_news: Callable[[Record], None] = lambda _: None
    """Is told of each decision that says something new, in the evaluation's thread."""
    speed: float = 1.0
    """Seconds of *clock* that pass in one real second (the demo's time is faster)."""
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _reload_forced: bool = False
    _evaluating: asyncio.Task[Any] | None = None
    _drained: asyncio.Event = field(default_factory=asyncio.Event)
    """Is set when no write is on its way any more, and none will be."""
    _lease_told: tuple[bool, str, bool] | None = None
    """What the log was told of the lease: whether it is held, who holds it, and whether it cannot be used."""
    _paused_told: tuple[str, ...] = ()
    """What the log was told of the pauses."""
    _unmatched_told: set[str] = field(default_factory=set)
    """What the log was told of parts of the policies that match no service."""
    _last_end: float = field(default_factory=time.monotonic)
    address: tuple[str, int] | None = None
    """Where it listens, once it does."""

    def __post_init__(self) -> None:
        self.cycle.record = self._record
        if self.lease is not None:
            self.cycle.standby = self.lease.objection

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or `stop`; a write on its way is finished first."""
        log = structlog.get_logger()
        server = await self._serve()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._force_reload)
        scheduler = AsyncIOScheduler(timezone=UTC)
        scheduler.add_job(
            self._tick,
            IntervalTrigger(seconds=self.interval / self.speed, start_date=self._first_slot()),
            misfire_grace_time=None,  # late is better than never, and coalesced into one
            coalesce=True,
        )
        log.info(
            "daemon_started",
            policies=len(self.policies.current.policies),
            revision=self.policies.current.revision,
            interval=self.interval,
            listen=self.address,
        )
        await self._beat()  # so that already the first evaluation may act
        keeping = asyncio.create_task(self._keep_lease())
        scheduler.start()
        try:
            await self._tick()  # the first one at once: an operator waits for it
            await self._stopped.wait()
        finally:
            scheduler.shutdown(wait=False)
            self.cycle.stop()
            if self._evaluating is not None:
                # Never cancelled: APScheduler would (docs/facts.md#shutdown-does-not-wait), and a write must be
                # finished and verified.
                await asyncio.wait([self._evaluating])
            self._drained.set()
            await keeping
            await self._give_back()
            if server is not None:
                await server.stop()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
        log.info("daemon_stopped")

    async def run_once(self) -> tuple[Evaluation, str]:
        """One evaluation, and why it had to stand by: empty where the lease was had for it, or none is needed."""
        stood_by = await self._await_lease()
        keeping = asyncio.create_task(self._keep_lease())
        self._evaluating = evaluating = asyncio.create_task(asyncio.to_thread(self.evaluate_once))
        try:
            return await evaluating, stood_by
        finally:
            self._drained.set()
            await keeping
            if self.lease is not None:
                await asyncio.to_thread(self.lease.give_back, Deadline(LONGEST_BEAT))

    def stop(self) -> None:
        """Stop soon: no further evaluation begins, and no further write in the one that runs."""
        self.cycle.stop()
        self._stopped.set()

    def healthy(self) -> Health:
        """Whether the loop goes on, whatever it meets outside."""
        silent = time.monotonic() - self._last_end
        bound = _HEARTBEATS * max(self.interval / self.speed, self.cycle.deadline)
        if silent > bound:
            return Health(good=False, detail=f"no evaluation has ended for {silent:.0f} s")
        return Health(good=True, detail="healthy")

    def ready(self) -> Health:
        """Return whether any service can be decided on and written."""
        return readiness(self.journal.snapshot(), loaded=bool(self.policies.current.policies))

    def reload(self) -> PoliciesDocument:
        """Read the policy files anew, for the next evaluation; what came of it."""
        self.policies.reload(forced=True)
        self._log_reload(structlog.get_logger())
        return self.policies.document()

    async def _serve(self) -> Server | None:
        if self.listen is None:
            return None
        controls = replace(self.controls, reload=self.reload, now=self.clock.now)
        views = Views(self.journal, self.telemetry.registry, self.healthy, self.ready, self.policies.document, controls)
        host, port = self.listen
        try:
            server = await Server.start(application(views), host, port)
        except OSError as error:
            if self.any_port and port and error.errno in {errno.EADDRINUSE, errno.EACCES}:
                self.listen = (host, 0)
                return await self._serve()
            problem = f"AUTOSCALER_LISTEN: cannot listen on {host}:{port}: {error.strerror}"
            raise SettingsError([f"{problem} (does another autoscaler run here? choose another port)"]) from error
        self.address = server.address
        return server

    def _first_slot(self) -> datetime:
        """The next moment just after a window step, in real time."""
        real = SystemClock().now()
        if self.speed != 1:
            return datetime.fromtimestamp(real + self.interval / self.speed, UTC)
        step = self.interval
        return datetime.fromtimestamp((real // step + 1) * step + _AFTER_THE_STEP, UTC)

    def _force_reload(self) -> None:
        self._reload_forced = True

    async def _tick(self) -> None:
        """Begin an evaluation, unless one is running: then this one is missed, and counted."""
        if self._stopped.is_set():
            return
        if self._busy:
            self.journal.miss()
            structlog.get_logger().warning("evaluation_missed", consequence="the one before is still running")
            return
        self._evaluating = asyncio.create_task(asyncio.to_thread(self._evaluate))

    @property
    def _busy(self) -> bool:
        return self._evaluating is not None and not self._evaluating.done()

    # the lease

    async def _keep_lease(self) -> None:
        """Ask for the lease at every beat until the last evaluation is over; one that comes is used at once."""
        while self.lease is not None and not await self._drains_within(self.lease.rest):
            if await self._beat() and not self._busy:
                await self._tick()

    async def _drains_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds / self.speed):
                return await self._drained.wait()
        except TimeoutError:
            return False

    async def _beat(self) -> bool:
        """Ask for the lease, and log what is new of it; whether it has just come."""
        if self.lease is None:
            return False
        await self._ask(self.lease)
        told, self._lease_told = self._lease_told, _state(self.lease)
        if told == self._lease_told:
            return False
        log = structlog.get_logger()
        held, holder, troubled = self._lease_told
        had = told is not None and told[0]
        if held:
            log.info("lease_acquired", holder=holder)
        elif had:
            consequence = "nothing is scaled by this autoscaler until it has the lease again"
            log.warning("lease_lost", holder=holder, detail=self.lease.objection(), consequence=consequence)
        else:
            (log.warning if troubled else log.info)("lease_awaited", holder=holder, detail=self.lease.objection())
        return held and not had

    async def _ask(self, lease: Lease) -> None:
        try:
            await asyncio.to_thread(lease.beat, Deadline(LONGEST_BEAT))
        except Exception:  # noqa: BLE001 - a defect of ours costs one beat, not the daemon; it is logged whole
            structlog.get_logger().exception("lease_failed")

    async def _await_lease(self) -> str:
        """Ask for the lease until it is had, is seen to be another's, or cannot be used; why it is not had."""
        if self.lease is None:
            return ""
        await self._ask(self.lease)
        first = self.lease.cell
        while not self.lease.held and not self.lease.trouble and self.lease.cell == first:
            await asyncio.sleep(self.lease.rest / self.speed)
            await self._ask(self.lease)
        self._lease_told = _state(self.lease)
        if objection := self.lease.objection():
            cure = "" if self.lease.trouble else " (stop the other autoscaler first, or look with --dry-run)"
            structlog.get_logger().warning("lease_awaited", holder=self.lease.holder, detail=f"{objection}{cure}")
            return objection
        return ""

    async def _give_back(self) -> None:
        """Let another autoscaler act at once."""
        if self.lease is None:
            return
        held = self.lease.held
        if await asyncio.to_thread(self.lease.give_back, Deadline(LONGEST_BEAT)):
            structlog.get_logger().info("lease_given_back")
        elif held:
            consequence = f"another autoscaler takes it when it has not been renewed for {EXPIRY:.0f} s"
            structlog.get_logger().warning("lease_left_behind", consequence=consequence)

    # evaluations

    def evaluate_once(self) -> Evaluation:
        """One evaluation under the policies as their files are now, logged and counted."""
        log = structlog.get_logger()
        forced, self._reload_forced = self._reload_forced, False
        if self.policies.reload(forced=forced):
            self._log_reload(log)
        with self.telemetry.duration.time():
            evaluation = self.cycle.evaluate(self.policies.current)
        log_problems(log, *self.journal.close(evaluation))
        log_lacks(log, evaluation.lack_news)
        for said in evaluation.unmatched:
            if said not in self._unmatched_told:
                log.warning("policy_unmatched", detail=said, consequence="this part of the policies does nothing")
        if not evaluation.met("swarm"):
            self._unmatched_told = set(evaluation.unmatched)
        if not evaluation.met("swarm") and evaluation.paused != self._paused_told:
            self._paused_told = evaluation.paused
            log.info("pauses_changed", paused=list(evaluation.paused))
        return evaluation

    def _evaluate(self) -> None:
        try:
            self.evaluate_once()
        except Exception:  # noqa: BLE001 - a defect of ours costs one evaluation, not the daemon; it is logged whole
            structlog.get_logger().exception("evaluation_failed")
        finally:
            self._last_end = time.monotonic()

    def _log_reload(self, log: structlog.stdlib.BoundLogger) -> None:
        if self.policies.error is None:
            log.info("policies_reloaded", revision=self.policies.current.revision)
        else:
            log.error(
                "policies_refused",
                problems=self.policies.error.problems,
                consequence=f"the policies of revision {self.policies.current.revision} stay in force",
            )

    def _record(self, record: Record) -> None:
        news = self.journal.add(record)
        log_record(structlog.get_logger(), record, news=news)
        if news:
            self.on_news(record)


def _state(lease: Lease) -> tuple[bool, str, bool]:
    """Whether *lease* is held, who holds it, and whether it cannot be used: what makes news of it."""
    held = lease.held
    return held, lease.holder, bool(lease.trouble) and not held
