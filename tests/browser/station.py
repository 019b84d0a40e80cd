"""An autoscaler's server over a made-up journal, which a test stops and starts again at the same address."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from math import nan, sin
from typing import TYPE_CHECKING, Any

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.core.instance import Instance
from autoscaler.core.model import Outcome, Recommendation, ScaleEvent, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from autoscaler.core.window import Window
from autoscaler.evaluation.journal import Journal
from autoscaler.journal.keeper import HistoryKeeper
from autoscaler.policy.policy import PolicySet
from autoscaler.views.policies import PoliciesInForce
from autoscaler.web.app import Health, Views, application
from autoscaler.web.server import Server
from autoscaler.web.telemetry import Telemetry
from tests.support.builders import CPU_HIGH, STEP, written
from tests.support.waiting import PATIENCE
from tests.support.world import decided

if TYPE_CHECKING:
    from aiohttp import web

CLOCK = SystemClock()
POLL = 0.2
"""Seconds that the server gives as the time until its next evaluation: a page asks about twice a second."""
SAMPLES = tuple(nan if number % 13 == 5 else 60 + 25 * sin(number / 6) for number in range(60))


class Station:
    """The real application at an address; what it shows is made up."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.history = HistoryKeeper()
        self.began = CLOCK.now()
        self.instance = Instance(
            leader="one-1", revision="r1", prometheus="http://prometheus:9090", docker="unix:///docker.sock"
        )
        self.problems: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server: Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Serve at a free port, and after a stop at the same one."""
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(PATIENCE)
        self._port = self._server.address[1]

    def stop(self) -> None:
        """Serve no longer."""
        if self._server is not None:
            asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(PATIENCE)
        self._server = None

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def evaluated(self, *records: Record, problems: tuple[Problem, ...] = (), paused: tuple[str, ...] = ()) -> None:
        """An evaluation ends with these."""
        for each in records:
            self.journal.add(each)
        evaluation = Evaluation(CLOCK.now(), records, problems, paused)
        self.history.evaluated(evaluation, *self.journal.close(evaluation))

    async def _serve(self) -> Server:
        return await Server.start(self._application(), "127.0.0.1", self._port)

    def _application(self) -> web.Application:
        good = Health(good=True, detail="good")
        rule = CPU_HIGH.model_dump(mode="json", by_alias=True, exclude_none=True) | {"for": "1m"}
        rule = {key: rule[key] for key in ("name", "metric", "above", "for", "add")}
        policy = written(rule, least=2, most=6).model_copy(update={"name": "shop"})
        policies = PolicySet(policies=(policy,), revision="r1")
        views = Views(
            self.journal,
            Telemetry(self.journal, lambda: True).registry,
            lambda: good,
            lambda: good,
            lambda: {"revision": "r1", "problems": []},
            instance=self._now,
            loaded=lambda: PoliciesInForce(policies, {"shop": "/etc/autoscaler/shop.yml:3"}, self.problems),
            history=self.history,
        )
        return application(views)

    def _now(self) -> Instance:
        return replace(
            self.instance,
            started=self.began,
            next_evaluation=CLOCK.now() + POLL,
            seconds_left=POLL,
            now=CLOCK.now(),
        )


def record(service: str = "web", outcome: Outcome = Outcome.HELD, **more: Any) -> Record:
    """A decision on *service*: 3 replicas, 2 running, 4 wanted of 2 to 6, with a window of sixty samples."""
    now = CLOCK.now()
    why = more.pop("why", Why(Reason.COOLING_DOWN, "wants 4; the cooldown ends in 1m15s", "cpu-high"))
    asks = Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 4, 85.5234, "cpu 85.52 %", "above 70 % for 1m")
    decision = decided(why, service=service, running=2, desired=3, at=now, recommendations=[asks], held=True)
    facts: dict[str, Any] = {"minimum": 2, "maximum": 6, "recommended": 4}
    facts |= {name: more.pop(name) for name in ("maximum", "recommended", "requested", "desired") if name in more}
    change = ScaleEvent(now - 600, 2, 3)
    return Record(
        replace(decision, **facts),
        outcome,
        windows={"cpu": Window(end=int(now) // STEP * STEP, step=STEP, values=SAMPLES, unit="%")},
        bases={"cpu": "the limit of 1 core"},
        last_change=change,
        changes=(change,),
        **more,
    )
