from __future__ import annotations

import gzip
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.errors import BackendError
from autoscaler.ports import Query
from autoscaler.util.deadline import Deadline
from tests.support.commands import Bounds, run
from tests.support.serving import Answering, LocalServing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BOUNDS = Bounds(cpu=60, memory=900 * 2**20)
"""What a process may take; most of the memory is the interpreter's and its libraries'."""
BOMB = gzip.compress(b"[" + b" " * 2**24) * 128
"""Two gigabytes of blanks, in two megabytes."""


def ask() -> None:
    """Ask what is at the port for a list or the like, and print the error."""
    what, port = sys.argv[1:]
    deadline = Deadline(5)
    try:
        if what == "prometheus":
            source = PrometheusSource(ConnectionSettings(f"http://127.0.0.1:{port}"), SystemClock())
            source.fetch(Query("cpu", "x", None), 0, 15, 15, deadline)
        else:
            engine = DockerEngine(f"tcp://127.0.0.1:{port}")
            engine.services(deadline) if what == "list" else engine.config("a", deadline)
    except BackendError as error:
        print(type(error).__name__, error)  # noqa: T201 - what it is for


@contextmanager
def answering(chunks: list[bytes], *, endless: bool, packed: bool, version: bool) -> Iterator[int]:
    """The port of a server that gives *chunks*, the last one for ever where *endless*; a *version* of its own if so."""

    class Handler(Answering):
        def reply(self) -> None:
            if version and self.path == "/version":
                self._send([b'{"ApiVersion": "1.41"}'], packed=False)
            else:
                self._send(chunks, packed=packed)
                with suppress(OSError):
                    while endless:
                        self.wfile.write(chunks[-1])

        def _send(self, given: list[bytes], *, packed: bool) -> None:
            self.send_response(200)
            self.send_header("Connection", "close")
            if packed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            with suppress(OSError):
                for chunk in given:
                    self.wfile.write(chunk)

    with LocalServing(Handler) as server:
        yield server.port


STREAMS: dict[str, tuple[list[bytes], bool, bool]] = {
    "packed blanks": ([BOMB], False, True),
    "endless blanks": ([b"[", b" " * 2**16], True, False),
    "an object without end": ([b'[{"a": "', b"x" * 2**16], True, False),
    "objects without end": ([b"[{}", b", {}" * 2**14], True, False),
    "a nest without end": ([b"[", b'{"a":[' * 2**14], True, False),
}


@pytest.mark.fault("hostile-answers")
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("what", ["prometheus", "list", "config", "version"])
def test_no_answer_takes_more_time_or_memory_than_it_may(what: str, stream: str) -> None:
    """Answers without end and packed ones end by a bound or the deadline, in bounded memory, as no answer."""
    chunks, endless, packed = STREAMS[stream]
    with answering(chunks, endless=endless, packed=packed, version=what != "version") as port:
        done = run(what, str(port), code=ask, bounds=BOUNDS, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(("RefusedError", "UnreachableError", "DeadlineError", "PassingError")), done.stdout
