"""The autoscaler as its operator runs it: a process, its policy file, its log and its HTTP endpoints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests

from tests.e2e.lab import LabError, wait_for
from tests.e2e.lab.process import PATIENCE, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.e2e.lab import Engine, Prometheus

AUTOSCALER = Path(sys.executable).with_name("autoscaler")
FAST = {
    "AUTOSCALER_INTERVAL": "1s",
    "AUTOSCALER_SCRAPE_INTERVAL": "1s",
    "AUTOSCALER_RATE_WINDOW": "4s",
    "AUTOSCALER_WARMUP": "5s",
    "AUTOSCALER_LISTEN": "127.0.0.1:0",
    "AUTOSCALER_LOG_FORMAT": "json",
}
"""Seconds instead of minutes: by settings and policy, not by a special build."""

Event = dict[str, Any]


def environment(engine: Engine, prometheus_url: str, policies: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of an autoscaler on *engine* and Prometheus."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTOSCALER_")}
    own = {
        "AUTOSCALER_DOCKER_HOST": engine.socket_url,
        "AUTOSCALER_PROMETHEUS_URL": prometheus_url,
        "AUTOSCALER_POLICIES": str(policies),
    }
    return inherited | own | FAST | dict(more)


class Daemon:
    """`autoscaler run` as a process; ended by its pid when the test is over."""

    def __init__(
        self, engine: Engine, prometheus: Prometheus, directory: Path, policies: str, *arguments: str, **env: str
    ) -> None:
        self.policies = directory / "policies.yml"
        self.policies.write_text(policies)
        self.log = directory / "autoscaler.log"
        # It goes with the tests also where they are killed: it would go on scaling nothing, for ever.
        self._argv = [tool("setpriv"), "--pdeathsig", "KILL", "--", str(AUTOSCALER), "run", *arguments]
        self._env = environment(engine, prometheus.url, self.policies, env)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process.poll() is None:
                self.terminate()  # killed, it would leave its lease for the next test to wait for
        finally:
            self.process.kill()
            self.process.wait(PATIENCE)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; it must have been started."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it, again perhaps; its log goes on."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, env=self._env, stdout=log, stderr=log)  # noqa: S603

    def edit(self, policies: str) -> None:
        """Put another policy file in its place, whole: one that is being written is another for a moment."""
        written = self.policies.with_suffix(".new")
        written.write_text(policies)
        written.replace(self.policies)

    def terminate(self, timeout: float = PATIENCE) -> int:
        """Ask it to stop, as Swarm does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it do nothing for the time of the context."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def events(self, name: str | None = None, **facts: Any) -> list[Event]:
        """The log's events of that name with these facts, in order."""
        return [
            event
            for event in self._lines()
            if name in {None, event.get("event")} and all(event.get(fact) == value for fact, value in facts.items())
        ]

    def wait_event(self, name: str, timeout: float = PATIENCE, after: int = 0, **facts: Any) -> Event:
        """The first such event behind the first *after* ones, waited for."""
        try:
            return wait_for(f"{name} {facts}", lambda: self.events(name, **facts)[after:], timeout)[0]
        except Exception as error:
            tail = "\n".join(self.log.read_text().splitlines()[-25:])
            raise AssertionError(f"{error}\n{tail}") from error

    @property
    def url(self) -> str:
        """Where its HTTP server is, which may listen elsewhere after each start."""
        self.wait_event("daemon_started")
        host, port = self.events("daemon_started")[-1]["listen"]
        return f"http://{host}:{port}"

    def get(self, path: str) -> requests.Response:
        """The answer of its HTTP server."""
        return requests.get(f"{self.url}{path}", timeout=60)

    def decision(self, service: str) -> Event:
        """The newest decision on *service* as the API tells it."""
        services = self.get("/api/v1/services").json()["services"]
        return next((entry for entry in services if entry["service"] == service), {})

    def wait_decision(self, service: str, holds: Callable[[Event], bool], timeout: float = PATIENCE) -> Event:
        """The first decision on *service* that *holds*."""
        seen: Event = {}

        def held() -> Event | None:
            seen.update(decision := self.decision(service))
            return decision if holds(decision) else None

        try:
            return wait_for(f"a decision on {service}", held, timeout)
        except LabError as error:
            raise AssertionError(f"{error}; the last was {seen}") from error

    def _lines(self) -> Iterator[Event]:
        whole, _, _ = self.log.read_text().rpartition("\n")  # a line may be being written
        for line in whole.splitlines():
            if line.startswith("{"):
                yield json.loads(line)


def command(
    engine: Engine, prometheus_url: str, policies: Path, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """What `autoscaler ARGUMENTS` prints, and its exit code."""
    return subprocess.run(  # noqa: S603 - our own command line
        [str(AUTOSCALER), *arguments],
        env=environment(engine, prometheus_url, policies, {"COLUMNS": "200"} | env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
