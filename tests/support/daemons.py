"""A daemon in this process, on a world in which time passes fast."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from structlog.testing import capture_logs

from autoscaler.daemon.daemon import Daemon
from autoscaler.daemon.reload import Policies
from autoscaler.evaluation.journal import Journal
from autoscaler.web.telemetry import Telemetry
from tests.support.builders import STEP
from tests.support.site import bearing
from tests.support.waiting import PATIENCE, until
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping
    from pathlib import Path

FAST = 500.0
"""Seconds of virtual time in a real one: an evaluation every 30 ms."""
POLICIES = """
version: 1
policies:
  - name: web
    services: ["*"]
    replicas: {min: 1, max: MAX}
    rules:
      - {name: cpu-high, metric: cpu, above: 70, for: 1m, add: 1}
      - {name: cpu-low, metric: cpu, below: 30, for: 1m, remove: 1}
"""


def content(most: int = 10) -> str:
    """A policy file with this maximum."""
    return POLICIES.replace("MAX", str(most))


class Gate:
    """An action that waits until it is let through."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self) -> None:
        """Wait."""
        self.reached.set()
        assert self._open.wait(PATIENCE)

    def open(self) -> None:
        """Let through whoever waits, and whoever comes."""
        self._open.set()


@dataclass
class Running:
    """A daemon on a world in which a window step passes with every evaluation."""

    world: World
    daemon: Daemon
    file: Path
    logs: list[MutableMapping[str, Any]]

    @property
    def evaluations(self) -> int:
        """How many were begun."""
        return self.world.api.calls["services"]

    def events(self, name: str) -> list[MutableMapping[str, Any]]:
        """The log's events of this name."""
        return [line for line in self.logs if line["event"] == name]

    def edit(self, content: str) -> None:
        """Put a policy file of this content in its place, whole: one that is being written is another for a moment."""
        written = self.file.with_suffix(".new")
        written.write_text(content)
        os.utime(written, (0, 0))  # it is the content that counts
        written.replace(self.file)

    async def next_evaluations(self, count: int = 2) -> None:
        """Wait until as many more evaluations have begun: the second one after now saw all there was now."""
        already = self.evaluations
        await until(lambda: self.evaluations >= already + count)

    async def get(self, path: str) -> tuple[int, str]:
        """The answer of its HTTP server: status and body."""
        assert self.daemon.address is not None
        host, port = self.daemon.address
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as response:
            return response.status, await response.text()

    async def post(self, path: str) -> tuple[int, Any]:
        """The answer to a request that bears the token."""
        assert self.daemon.address is not None
        host, port = self.daemon.address
        async with (
            aiohttp.ClientSession(headers=bearing()) as session,
            session.post(f"http://{host}:{port}{path}") as response,
        ):
            return response.status, await response.json()


def make(tmp_path: Path, *, listen: tuple[str, int] | None = ("127.0.0.1", 0), services: int = 1) -> Running:
    """A daemon that does not run yet."""
    world = World()
    for number in range(services):
        world.service(f"web{number}")
    world.settle()
    world.api.before("services", *[world.pass_step] * 10_000)
    file = tmp_path / "policies.yml"
    file.write_text(content())
    policies = Policies([file])
    policies.load()
    journal = Journal()
    telemetry = Telemetry(journal, lambda: policies.error is None)
    daemon = Daemon(
        cycle=world.cycle,
        policies=policies,
        journal=journal,
        clock=world.clock,
        interval=STEP,
        listen=listen,
        telemetry=telemetry,
        speed=FAST,
    )
    return Running(world, daemon, file, [])


@asynccontextmanager
async def running(made: Running) -> AsyncIterator[asyncio.Task[None]]:
    """Run the daemon; it is stopped at the end, and must end well."""
    with capture_logs() as logs:
        made.logs = logs
        task = asyncio.create_task(made.daemon.run())
        try:
            await until(lambda: bool(made.events("daemon_started")) or task.done())
            yield task
        finally:
            made.daemon.stop()
            async with asyncio.timeout(PATIENCE):
                await task
