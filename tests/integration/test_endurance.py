from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import engine_server, prometheus_server
from tests.support.engine_server import says
from tests.support.waiting import PATIENCE, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.backends import Backends

pytestmark = pytest.mark.slow

AUTOSCALER = Path(sys.executable).with_name("autoscaler")
STUCK = 3 * 8
"""Calls that may hang at the same time: eight of each client, one of Prometheus and two of Docker."""
ROUNDS = 2


@dataclass(frozen=True)
class Held:
    """What a process holds, as the kernel counts it."""

    files: int
    threads: int
    resident: int
    """Bytes."""

    @classmethod
    def by(cls, pid: int) -> Held:
        """What it holds now."""
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(files, int(status["Threads"]), int(status["VmRSS"].split()[0]) * 1024)


@contextmanager
def daemon(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`autoscaler run` under the settings of the environment, as a process."""
    with log.open("wb") as output:
        argv = [str(AUTOSCALER), "run"]
        process = subprocess.Popen(argv, stdout=output, stderr=output)  # noqa: S603 - our own command line
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_a_process_holds_no_more_after_its_backends_hung_and_came_back(
    backends: Backends,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Backends that hang, drip, refuse and come back leave no file, no thread and no memory behind in the daemon."""
    for name, value in {"INTERVAL": "1s", "LISTEN": "127.0.0.1:0", "PROMETHEUS_TIMEOUT": "1s"}.items():
        monkeypatch.setenv(f"AUTOSCALER_{name}", value)
    docker, prometheus = backends.swarm, backends.prometheus

    def evaluated() -> int:
        return backends.faulty.calls["nodes"]

    def goes_on() -> None:
        already = evaluated()
        wait("three evaluations", lambda: evaluated() >= already + 3)

    with daemon(tmp_path / "log") as process:
        goes_on()
        most = 0
        readings = []
        for _ in range(ROUNDS):
            for fault in (engine_server.hang, engine_server.drip, engine_server.cut, says(503, "no quorum")):
                docker.misbehave(fault)
                time.sleep(3)
                most = max(most, Held.by(process.pid).threads)
                docker.behave()
            for trouble in (prometheus_server.hang, prometheus_server.drip_body, prometheus_server.cut):
                prometheus.fail(trouble)
                time.sleep(3)
                most = max(most, Held.by(process.pid).threads)
                prometheus.fail(prometheus_server.cut, times=0)
            goes_on()
            readings.append(Held.by(process.pid))
        early, late = readings[0], readings[-1]
        print(*readings, f"at most {most} threads", sep="\n")  # noqa: T201 - docs/performance.md quotes it
        assert process.poll() is None
        assert late.threads <= early.threads + STUCK
        assert most <= early.threads + STUCK
        assert late.files <= early.files + STUCK
        assert late.resident < early.resident * 1.1
