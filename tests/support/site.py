"""The HTTP application on a simulated Swarm, served over real sockets."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from pydantic import SecretStr

from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.pauses import Pauses
from autoscaler.coordination.pausing import Pausing
from autoscaler.evaluation.journal import Journal
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock
from autoscaler.util.deadline import Deadline
from autoscaler.views.documents import PoliciesDocument
from autoscaler.web.app import Health, Views, application
from autoscaler.web.control import Controls
from autoscaler.web.server import ConnectionLimits, Server
from autoscaler.web.telemetry import Telemetry
from tests.support.waiting import PATIENCE
from tests.support.world import FaultyEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from autoscaler.coordination.pausing import PauseRequest, PauseResult

TOKEN = "0123456789-a-token-of-tests"  # noqa: S105 - nobody's


@dataclass
class Site:
    """An application over a journal, and over a Swarm with the services `web` and `api`."""

    token: str | None = TOKEN
    dry_run: bool = False
    bounds: ConnectionLimits = field(default_factory=ConnectionLimits)
    journal: Journal = field(default_factory=Journal)
    policies: PoliciesDocument = field(default_factory=lambda: PoliciesDocument(revision="r1", problems=[]))
    gate: threading.Event = field(default_factory=threading.Event)
    """What changes something waits for it."""

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.engine = SimulatedEngine(self.clock)
        self.api = FaultyEngine(self.engine)
        self.gate.set()
        self._store = SwarmPauses(self.api)

    @property
    def pauses(self) -> Pauses:
        """What Swarm holds."""
        cell = SwarmPauses(self.engine).look(Deadline(5))
        return Pauses.of_labels(cell.labels) if cell else Pauses()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Server]:
        """Serve it on any port."""
        telemetry = Telemetry(self.journal, lambda: True)
        good = Health(good=True, detail="good")
        controls = Controls(
            token=SecretStr(self.token) if self.token else None,
            reload=self._reload,
            pause=None if self.dry_run else self._pause,
            resume=None if self.dry_run else self._resume,
            now=self.clock.now,
        )
        views = Views(self.journal, telemetry.registry, lambda: good, lambda: good, lambda: self.policies, controls)
        server = await Server.start(application(views), "127.0.0.1", 0, self.bounds)
        try:
            yield server
        finally:
            self.gate.set()
            await server.stop()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A client of it, served."""
        async with (
            self.served() as server,
            aiohttp.ClientSession(
                base_url="http://{}:{}".format(*server.address), timeout=aiohttp.ClientTimeout(PATIENCE)
            ) as session,
        ):
            yield session

    def _reload(self) -> PoliciesDocument:
        assert self.gate.wait(PATIENCE)
        return self.policies

    def _pause(self, wish: PauseRequest) -> PauseResult:
        assert self.gate.wait(PATIENCE)
        return self._pausing.pause(wish, self.clock.now(), Deadline(5))

    def _resume(self, services: Sequence[str]) -> PauseResult:
        assert self.gate.wait(PATIENCE)
        return self._pausing.resume(services, self.clock.now(), Deadline(5))

    @property
    def _pausing(self) -> Pausing:
        return Pausing(self._store, lambda _: ["web", "api"])


def bearing(token: str = TOKEN) -> dict[str, Any]:
    """The header of a request with the token."""
    return {"Authorization": f"Bearer {token}"}
