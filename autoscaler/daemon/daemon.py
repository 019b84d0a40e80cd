"""The long-running daemon: schedule, signals, reload, drain. The only asyncio beside `web`."""

from __future__ import annotations

import asyncio
import errno
import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

import autoscaler
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.core.instance import Instance, Mode, Role
from autoscaler.daemon.lease_keeper import LeaseKeeper
from autoscaler.daemon.readiness import readiness
from autoscaler.errors import SettingsError
from autoscaler.journal.keeper import HistoryKeeper
from autoscaler.views.explanations import explained
from autoscaler.views.logs import log_adopted, log_hold_end, log_lacks, log_problems, log_record
from autoscaler.web.app import Health, Views, application
from autoscaler.web.control import Controls
from autoscaler.web.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

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
    history: HistoryKeeper = field(default_factory=HistoryKeeper)
    """Keeps what happened, for those who ask later."""
    controls: Controls = field(default_factory=Controls)
    """What HTTP can change, reloading aside."""
    on_news: Callable[[Record], None] = lambda _: None
    """Is told of each decision that says something new, in the evaluation's thread."""
    on_serving: Callable[[str], None] = lambda _: None
    """Is given the URL of the page once it is served."""
    speed: float = 1.0
    """Seconds of *clock* that pass in one real second (the demo's time is faster)."""
    about: Instance = field(default_factory=Instance)
    """Its mode, and where it looks. What changes while it runs is filled in by `instance`."""
    _stopped: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _reload_forced: bool = field(default=False, init=False)
    _evaluating: asyncio.Task[Any] | None = field(default=None, init=False)
    _keeper: LeaseKeeper | None = field(default=None, init=False)
    """Keeps the lease; None without a lease."""
    _paused_told: tuple[str, ...] = field(default=(), init=False)
    """What the log was told of the pauses."""
    _unmatched_told: set[str] = field(default_factory=set, init=False)
    """The sentences that the log already has about parts of the policies that match no service."""
    _last_end: float = field(default_factory=time.monotonic, init=False)
    address: tuple[str, int] | None = field(default=None, init=False)
    """Where it listens, once it does."""

    def __post_init__(self) -> None:
        self.cycle.record = self._record
        if self.lease is not None:
            self.cycle.standby = self.lease.objection
            self._keeper = LeaseKeeper(self.lease, self._tick_if_idle, self.speed, self._note_role)

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or `stop`; a write on its way is finished first."""
        log = structlog.get_logger()
        self.about = replace(self.about, started=self.clock.now())
        server = await self._serve()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._force_reload)
        if self.address is not None:
            self.on_serving("http://{}:{}/".format(*self.address))
        scheduler = AsyncIOScheduler(timezone=UTC)
        scheduler.add_job(
            self._tick,
            IntervalTrigger(seconds=self.interval / self.speed, start_date=self._first_slot()),
            misfire_grace_time=None,  # late is better than never, and coalesced into one
            coalesce=True,
        )
        self.history.start(self.clock.now())
        self._note_policies()
        if self._keeper is not None:
            await self._keeper.beat()  # so that already the first evaluation may act
        self._log_start(log)
        try:
            async with self._keeping_lease():
                scheduler.start()
                try:
                    await self._tick()  # the first one at once: an operator waits for it
                    await self._stopped.wait()
                finally:
                    scheduler.shutdown(wait=False)
                    await self._drain()
        finally:
            if self._keeper is not None:
                await self._keeper.hand_over()
            if server is not None:
                await server.stop()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
            await asyncio.to_thread(self.history.stop, self.clock.now())
        log.info("daemon_stopped")

    async def run_once(self) -> tuple[Evaluation, str]:
        """One evaluation, and why it had to stand by: empty where the lease was had for it, or none is needed."""
        stood_by = "" if self._keeper is None else await self._keeper.wait()
        try:
            async with self._keeping_lease():
                self._evaluating = evaluating = asyncio.create_task(asyncio.to_thread(self.evaluate_once))
                return await evaluating, stood_by
        finally:
            if self._keeper is not None:
                await self._keeper.give_back()

    def instance(self) -> Instance:
        """Return what this autoscaler is at this moment."""
        role, leader = (None if self.about.mode is Mode.DRY_RUN else Role.LEADER), ""
        if self.lease is not None:
            role, leader = Role.LEADER if self.lease.held else Role.STANDBY, self.lease.holder
        left = self._seconds_left()
        now = self.clock.now()
        return replace(
            self.about,
            role=role,
            leader=leader,
            revision=self.policies.current.revision,
            interval=self.interval,
            next_evaluation=None if left is None else round(now + left * self.speed, 2),
            seconds_left=left,
            now=now,
        )

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
        views = Views(
            self.journal,
            self.telemetry.registry,
            self.healthy,
            self.ready,
            self.policies.document,
            controls,
            instance=self.instance,
            loaded=self.policies.in_force,
            explain=explained,
            history=self.history,
        )
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

    def _seconds_left(self) -> float | None:
        """Return the real seconds until the next evaluation is due; None if none is."""
        if self.about.started is None or self._stopped.is_set():
            return None
        if self.speed != 1:
            last = self.journal.last_evaluation
            began = self.about.started if last is None else last
            return max(0.0, began + self.interval - self.clock.now()) / self.speed
        since_slot = (SystemClock().now() - _AFTER_THE_STEP) % self.interval
        return self.interval - since_slot

    def _log_start(self, log: structlog.stdlib.BoundLogger) -> None:
        instance = self.instance()
        log.info(
            "daemon_started",
            mode=instance.mode.value,
            role=instance.role.value if instance.role else None,
            policies=len(self.policies.current.policies),
            revision=instance.revision,
            prometheus=instance.prometheus,
            docker=instance.docker,
            interval=self.interval,
            listen=self.address,
            version=autoscaler.__version__,
        )

    def _keeping_lease(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._keeper is None else self._keeper.keeping()

    async def _drain(self) -> None:
        """Let the evaluation that runs finish and verify its write."""
        self.cycle.stop()
        if self._evaluating is not None:
            # Never cancelled, as APScheduler would (docs/facts.md#shutdown-does-not-wait).
            await asyncio.wait([self._evaluating])

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

    async def _tick_if_idle(self) -> None:
        """Use a lease that has just come at once, unless an evaluation runs."""
        if not self._busy:
            await self._tick()

    @property
    def _busy(self) -> bool:
        return self._evaluating is not None and not self._evaluating.done()

    # evaluations

    def evaluate_once(self) -> Evaluation:
        """One evaluation under the policies as their files are now, logged and counted."""
        log = structlog.get_logger()
        forced, self._reload_forced = self._reload_forced, False
        if self.policies.reload(forced=forced):
            self._log_reload(log)
        with self.telemetry.duration.time():
            evaluation = self.cycle.evaluate(self.policies.current)
        if (problem := self.history.problem) is not None:
            evaluation = replace(evaluation, problems=(*evaluation.problems, problem))
        began, ended = self.journal.close(evaluation)
        log_problems(log, began, ended)
        self.history.evaluated(evaluation, began, ended)
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

    def _note_role(self, held: bool, holder: str) -> None:  # noqa: FBT001 - as the lease keeper calls it
        self.history.role(self.clock.now(), holder, leads=held)

    def _note_policies(self) -> None:
        current, error = self.policies.current, self.policies.error
        problems = error.problems if error else ()
        self.history.policies(self.clock.now(), current.revision, len(current.policies), problems)

    def _log_reload(self, log: structlog.stdlib.BoundLogger) -> None:
        self._note_policies()
        if self.policies.error is None:
            log.info("policies_reloaded", revision=self.policies.current.revision)
        else:
            log.error(
                "policies_refused",
                problems=self.policies.error.problems,
                consequence=f"the policies of revision {self.policies.current.revision} stay in force",
            )

    def _record(self, record: Record) -> None:
        log = structlog.get_logger()
        ended = self.journal.hold_ended_by(record)
        news = self.journal.add(record)
        log_adopted(log, record)
        log_record(log, record, news=news)
        if ended is not None:
            log_hold_end(log, ended, record)
        if news:
            self.on_news(record)
