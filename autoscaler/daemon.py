"""The long-running daemon: schedule, signals, reload, drain. The only asyncio beside `web`."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from autoscaler import loader
from autoscaler.errors import PolicyError, SettingsError
from autoscaler.logs import log_problems, log_record
from autoscaler.policy import PolicySet
from autoscaler.web.app import Health, Views, application

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from autoscaler.cycle import Cycle
    from autoscaler.journal import Journal
    from autoscaler.ports import Clock
    from autoscaler.records import Evaluation, Record
    from autoscaler.web.metrics import Telemetry

_AFTER_THE_STEP = 0.25
"""Seconds after a window step at which an evaluation begins: the scrapes due at the step have come in by then, and a
sample waits one interval at most to be seen."""
_HEARTBEATS = 3
"""Intervals without the end of an evaluation after which the loop counts as dead."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """The time in Unix seconds."""
        return time.time()  # noqa: TID251 - this is the rim


@dataclass(slots=True)
class Policies:
    """The policies in force and the files they come from; a broken edit leaves the last good set in force."""

    paths: Sequence[Path]
    current: PolicySet = field(default_factory=PolicySet)
    error: PolicyError | None = None
    """What is wrong with the files as they are now; None where they are in force."""
    _fingerprint: str = ""

    def load(self) -> None:
        """Read the files; raises PolicyError, and changes nothing, where they are invalid."""
        self._fingerprint = loader.fingerprint(self.paths)
        self.current = loader.load(self.paths)
        self.error = None

    def reload(self, *, forced: bool = False) -> bool:
        """Read the files anew where their content has changed, or *forced*; whether they were read."""
        if not forced and loader.fingerprint(self.paths) == self._fingerprint:
            return False
        try:
            self.load()
        except PolicyError as error:
            self.error = error
        return True

    def document(self) -> dict[str, Any]:
        """The revision in force, and what is wrong with the files as they are now, as a JSON object."""
        return {"revision": self.current.revision, "problems": self.error.problems if self.error else []}


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
    on_news: Callable[[Record], None] = lambda _: None
    """Is told of each decision that says something new, in the evaluation's thread."""
    speed: float = 1.0
    """Seconds of *clock* that pass in one real second (the demo's time is faster)."""
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _reload_forced: bool = False
    _evaluating: asyncio.Task[None] | None = None
    _last_end: float = field(default_factory=time.monotonic)
    address: tuple[str, int] | None = None
    """Where it listens, once it does."""

    def __post_init__(self) -> None:
        self.cycle.record = self._record

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or `stop`; a write on its way is finished first."""
        log = structlog.get_logger()
        runner = await self._serve()
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
        scheduler.start()
        try:
            await self._tick()  # the first one at once: an operator waits for it
            await self._stopped.wait()
        finally:
            scheduler.shutdown(wait=False)
            self.cycle.stop()
            if self._evaluating is not None:
                # Never cancelled: APScheduler would, and a write must be finished and verified (facts 10).
                await asyncio.wait([self._evaluating])
            if runner is not None:
                await runner.cleanup()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
        log.info("daemon_stopped")

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
        """Whether policies are loaded and both backends have answered once."""
        missing = {"swarm", "prometheus"} - self.journal.snapshot().reached
        if not self.policies.current.policies:
            return Health(good=False, detail="no policies are loaded")
        if missing:
            return Health(good=False, detail=f"not reached yet: {', '.join(sorted(missing))}")
        return Health(good=True, detail="ready")

    async def _serve(self) -> web.AppRunner | None:
        if self.listen is None:
            return None
        views = Views(self.journal, self.telemetry.registry, self.healthy, self.ready, self.policies.document)
        runner = web.AppRunner(application(views), access_log=None)
        await runner.setup()
        host, port = self.listen
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            problem = f"AUTOSCALER_LISTEN: cannot listen on {host}:{port}: {error.strerror}"
            raise SettingsError([f"{problem} (does another autoscaler run here? choose another port)"]) from error
        self.address = runner.addresses[0][:2]
        return runner

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
        if self._evaluating is not None and not self._evaluating.done():
            self.journal.miss()
            structlog.get_logger().warning("evaluation_missed", consequence="the one before is still running")
            return
        self._evaluating = asyncio.create_task(asyncio.to_thread(self._evaluate))

    def evaluate_once(self) -> Evaluation:
        """One evaluation under the policies as their files are now, logged and counted."""
        log = structlog.get_logger()
        forced, self._reload_forced = self._reload_forced, False
        if self.policies.reload(forced=forced):
            self._log_reload(log)
        with self.telemetry.duration.time():
            evaluation = self.cycle.evaluate(self.policies.current)
        log_problems(log, *self.journal.close(evaluation))
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
