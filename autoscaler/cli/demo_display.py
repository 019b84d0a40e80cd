"""`autoscaler demo`: the real daemon on a simulated Swarm and Prometheus, in time that runs faster."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from autoscaler.adapters.counted import CountedSource, CountedSwarm
from autoscaler.adapters.docker.orchestrator import DockerSwarm
from autoscaler.core.instance import Instance
from autoscaler.core.model import Outcome
from autoscaler.daemon.daemon import Daemon
from autoscaler.daemon.reload import Policies
from autoscaler.evaluation.cycle import Cycle
from autoscaler.evaluation.journal import Journal
from autoscaler.metrics import queries
from autoscaler.metrics.windows import MetricWindows
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.simulation.prometheus import SimulatedPrometheus
from autoscaler.simulation.shop import Shop
from autoscaler.util.amounts import plural
from autoscaler.util.durations import words
from autoscaler.views import render
from autoscaler.views.board import board
from autoscaler.views.grid import Hanging
from autoscaler.views.logs import configure
from autoscaler.views.moments import clock_face
from autoscaler.views.overview import Facts, overview_document
from autoscaler.web.telemetry import Telemetry

if TYPE_CHECKING:
    from rich.console import RenderableType

    from autoscaler.core.records import Record

_OPENING = datetime(2026, 1, 5, 8, 0, tzinfo=UTC).timestamp()
_INTERVAL = 15
_STEPS_BEFORE = 80
_DEADLINE = 10.0
_SETTINGS = queries.MetricSettings(scrape_interval=15, rate_window=60, warmup=30)
_SHOWN_EVENTS = 8
_FEWEST_EVENTS = 3
_OTHER_LINES = 6
"""Lines beside the rows and the events."""
_WIDE = 110
"""Columns from which on an event or a row hardly takes two lines."""
_REFRESHED = 4
"""Times per second."""


class VirtualClock:
    """A clock that begins on a Monday morning and runs *speed* times as fast as real time."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._skipped = 0.0

    def now(self) -> float:
        """The virtual time in Unix seconds."""
        return _OPENING + (time.monotonic() - self._began) * self._speed + self._skipped

    def skip(self, seconds: float) -> None:
        """Let *seconds* of virtual time pass at once."""
        self._skipped += seconds


async def run_demo(lasting: int | None, listen: tuple[str, int], speed: float) -> None:
    """Run the demo for *lasting* real seconds, or until it is interrupted."""
    configure("auto", "error")
    with as_file(files("autoscaler.simulation") / "demo.yml") as file:
        policies = Policies([file])
        policies.load()
        await _run(policies, lasting, listen, speed)


async def _run(policies: Policies, lasting: int | None, listen: tuple[str, int], speed: float) -> None:
    clock = VirtualClock(speed)
    shop = Shop(clock, demo_begins=_OPENING + _STEPS_BEFORE * _INTERVAL)
    journal = Journal()
    telemetry = Telemetry(journal, lambda: policies.error is None, policies=lambda: policies.current)
    source = SimulatedPrometheus(clock, shop.sample, step=_INTERVAL)
    for _ in range(_STEPS_BEFORE):  # so that windows are complete from the beginning
        clock.skip(_INTERVAL)
        source.record()
    daemon = Daemon(
        cycle=Cycle(
            windows=MetricWindows({PROMETHEUS: CountedSource(source, telemetry.count_query)}, _SETTINGS, _INTERVAL),
            swarm=CountedSwarm(DockerSwarm(shop.engine), telemetry.count_request),
            clock=clock,
            deadline=_DEADLINE,
        ),
        policies=policies,
        journal=journal,
        clock=clock,
        interval=_INTERVAL,
        listen=listen,
        telemetry=telemetry,
        any_port=True,  # a newcomer needs no particular one
        speed=speed,
        about=Instance(prometheus="simulated", docker="simulated"),
    )
    display = Display(daemon, Console(highlight=False))
    daemon.on_news, daemon.on_serving = display.tell, display.invite
    if lasting is not None:
        asyncio.get_running_loop().call_later(lasting, daemon.stop)
    await display.show()


@dataclass(slots=True)
class Display:
    """What the demo prints: a live table on a terminal, a line per event elsewhere."""

    daemon: Daemon
    console: Console
    _events: deque[str] = field(default_factory=lambda: deque(maxlen=_SHOWN_EVENTS), init=False)
    _changes: int = field(default=0, init=False)
    _holds: int = field(default=0, init=False)
    _page: str = field(default="", init=False)

    def tell(self, record: Record) -> None:
        """Take note of a decision that is news."""
        if record.outcome is Outcome.UNCHANGED:
            return
        self._changes += record.outcome is Outcome.APPLIED
        self._holds += record.outcome is Outcome.HELD
        event = f"{clock_face(record.decision.at)}  {render.line(record)}"
        self._events.append(event)
        if not self.console.is_terminal:
            # Without rich's folding: a line is an event.
            print(event, file=self.console.file, flush=True)

    def invite(self, page: str) -> None:
        """Say where the page is; on a terminal the table says it as long as it is there."""
        self._page = page
        if not self.console.is_terminal:
            print(f"Open {page} in a browser.", file=self.console.file, flush=True)

    async def show(self) -> None:
        """Run the daemon and show what it does until it ends."""
        began = self.daemon.clock.now()
        services = len(self.daemon.policies.current.named)
        self.console.print(
            f"A shop of {services} services on a simulated Swarm; time runs {self.daemon.speed:g} times as fast. "
            "Ctrl-C ends.",
            soft_wrap=not self.console.is_terminal,
        )
        if self.console.is_terminal:
            with Live(
                get_renderable=self._screen, console=self.console, refresh_per_second=_REFRESHED, transient=False
            ):
                await self.daemon.run()
        else:
            await self.daemon.run()
        lasted = words(self.daemon.clock.now() - began)
        done = f"{plural(self._changes, 'change')} applied, {plural(self._holds, 'decision')} held"
        self.console.print(
            f"{lasted} of simulated time: {done}. README.md says how to go on: dry-run first, on your own Swarm.",
            soft_wrap=not self.console.is_terminal,
        )

    def _screen(self) -> RenderableType:
        where = f"open {self._page} in a browser" if self._page else ""
        policies = self.daemon.policies.in_force()
        facts = Facts(self.daemon.journal.snapshot(), self.daemon.instance(), policies.policies, policies.problems)
        rows = overview_document(facts)["services"]
        below = 1 if self.console.width >= _WIDE else 2
        left = max(_FEWEST_EVENTS, (self.console.height - len(rows) * below - _OTHER_LINES) // below)
        return Group(
            Text(f"{clock_face(self.daemon.clock.now())}  {where}", "dim"),
            board(rows),
            Text(),
            *(Hanging(event, "dim") for event in list(self._events)[-left:]),
        )
