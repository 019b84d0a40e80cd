"""A small real HTTP server that speaks Prometheus' query API, and can fail in every way that was ever measured."""

from __future__ import annotations

import collections.abc
import gzip
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from autoscaler.metrics.queries import PLACE_LABEL
from tests.support.serving import Serving
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

DRIP_INTERVAL = 0.01
"""Seconds between two bytes of a drip."""
_SHOW_STOPPER = PATIENCE
"""How many seconds a server waits for its own end at most."""


@dataclass(frozen=True)
class Served:
    """A series of the server: its labels, and its samples by time."""

    labels: Mapping[str, str]
    samples: Mapping[int, float] | Mapping[int, str]


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    path: str
    form: Mapping[str, str]
    headers: Mapping[str, str]
    port: int
    """The client's port: the same for requests on one connection."""


@dataclass
class _State:
    series: Sequence[Served] = ()
    fault: Fault | None = None
    faults_left: int = 0
    authorization: str | None = None
    time: float | None = None
    date: float | None = None
    asked: list[Asked] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Exchange(BaseHTTPRequestHandler):
    """One connection; a fault is a function that is given it in place of an answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client to acknowledge its headers
    state: _State
    form: Mapping[str, str]

    def do_GET(self) -> None:
        """Answer, or fail as told."""
        parts = urlsplit(self.path)
        self.form = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        state = self.state
        state.asked.append(Asked(parts.path, self.form, dict(self.headers), self.client_address[1]))
        if state.fault is not None and state.faults_left:
            state.faults_left -= 1
            state.fault(self)
        elif state.authorization is not None and self.headers.get("Authorization") != state.authorization:
            self.send(401, {"status": "error", "errorType": "unauthorized", "error": "no, you may not"})
        else:
            self.answer()

    def answer(self) -> None:
        """Answer as a Prometheus does that is well."""
        state, path = self.state, urlsplit(self.path).path
        if path == "/api/v1/query":
            now = time.time() if state.time is None else state.time  # noqa: TID251 - a server's own clock
            self.send(200, success([{"metric": {}, "value": [now, f"{now}"]}], "vector"))
        elif path == "/api/v1/query_range":
            self.send(200, success(self.matrix()))
        else:
            self.send(404, "404 page not found\n")

    def matrix(self) -> list[dict[str, Any]]:
        """The samples that the request asks for, as Prometheus puts them."""
        start, end, step = (int(self.form[name]) for name in ("start", "end", "step"))
        moments = range(start, end + 1, step)
        result = []
        # The server knows no PromQL: of starved tasks it knows what is marked as being about them.
        about_places = PLACE_LABEL in self.form.get("query", "")
        for series in self.state.series:
            if (PLACE_LABEL in series.labels) is not about_places:
                continue
            values = [[at, f"{series.samples[at]}"] for at in moments if at in series.samples]
            if values:
                result.append({"metric": dict(series.labels), "values": values})
        return result

    def send(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer: *body* as it is where it is text, else as JSON."""
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(content) > 1000:
            content = gzip.compress(content, 1)
            self.send_header("Content-Encoding", "gzip")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", f"{len(content)}")
        self.end_headers()
        self.wfile.write(content)

    def raw(self, content: bytes) -> None:
        """Bytes as they are, and the connection's end with them."""
        self.wfile.write(content)
        self.close_connection = True

    def drip(self, opening: bytes, drop: bytes) -> None:
        """*opening* at once, and then *drop* again and again until the client or the server ends."""
        self.close_connection = True
        try:
            self.wfile.write(opening)
            while not self.state.ending.wait(DRIP_INTERVAL):
                self.wfile.write(drop)
        finally:
            self.state.ended.release()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The server's clock as its answers show it."""
        return super().date_time_string(self.state.date if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Nothing: the tests look at what was asked."""


Fault: TypeAlias = collections.abc.Callable[[Exchange], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients of a failing server go away in the middle, and a test sees what they make of it."""


class PrometheusServer(Serving):
    """The server on a port of its own; a context manager."""

    def __init__(
        self,
        series: Sequence[Served] = (),
        *,
        tls: ssl.SSLContext | None = None,
        handler: type[Exchange] = Exchange,
    ) -> None:
        self._state = _State(series)
        handler = type("Handler", (handler,), {"state": self._state})
        server = _Server(("127.0.0.1", 0), handler)
        scheme = "http"
        if tls is not None:
            scheme = "https"
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{server.server_port}"
        """Its address, without a path."""
        super().__init__(server)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.ending.set()
        super().__exit__(kind, error, trace)

    @property
    def asked(self) -> list[Asked]:
        """The requests so far, oldest first."""
        return self._state.asked

    def serve(self, series: Sequence[Served]) -> None:
        """Answer with *series* from now on."""
        self._state.series = series

    def fail(self, fault: Fault, times: int = 1_000_000) -> None:
        """Meet the next requests, *times* of them, with *fault*."""
        self._state.fault, self._state.faults_left = fault, times

    def recover(self) -> None:
        """Answer again."""
        self._state.fault = None

    def require(self, authorization: str) -> None:
        """Refuse who does not send this Authorization."""
        self._state.authorization = authorization

    def set_clock(self, now: float | None, *, date: float | None = None) -> None:
        """Stop its clock at *now*, or let it go right; *date* is that of a proxy before it, which dates the answers."""
        self._state.time, self._state.date = now, now if date is None else date

    def saw_drips_end(self, count: int) -> bool:
        """Whether *count* clients have gone away from a drip, waited for if need be."""
        return all(self._state.ended.acquire(timeout=_SHOW_STOPPER) for _ in range(count))


@contextmanager
def refusing_url() -> Iterator[str]:
    """The URL of a port where nobody listens, and nobody will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def success(result: Sequence[Any], kind: str = "matrix", **more: object) -> dict[str, object]:
    """A good answer of the API."""
    return {"status": "success", "data": {"resultType": kind, "result": result}, **more}


def status(code: int, body: object = "", headers: Mapping[str, str] | None = None) -> Fault:
    """A whole answer with this status."""
    return lambda exchange: exchange.send(code, body, headers)


def hang(exchange: Exchange) -> None:
    """No answer, ever."""
    exchange.close_connection = True
    exchange.state.ending.wait(_SHOW_STOPPER)


def cut(exchange: Exchange) -> None:
    """The connection's end in place of an answer."""
    exchange.close_connection = True


def reset(exchange: Exchange) -> None:
    """The connection's violent end in place of an answer."""
    exchange.close_connection = True
    # Not waiting for what is unsent makes the kernel send RST in place of FIN.
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with suppress(OSError):
        exchange.connection.close()


def drip_headers(exchange: Exchange) -> None:
    """A header that never ends."""
    exchange.drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"z")


def drip_body(exchange: Exchange) -> None:
    """A body that never ends, one blank at a time, each of which JSON allows."""
    exchange.drip(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"status": "success", ', b" ")


def short_body(exchange: Exchange) -> None:
    """Fewer bytes than announced."""
    exchange.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"status":"success"')


def truncated_chunk(exchange: Exchange) -> None:
    """A chunk that breaks off."""
    exchange.raw(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{"status":"success"')


def broken_gzip(exchange: Exchange) -> None:
    """A body that is not what its header says."""
    # Closed, so that the next try does not meet a connection that is just being closed, and is seen.
    exchange.raw(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\nContent-Length: 9\r\n\r\nnot gzip!"
    )


def no_http(exchange: Exchange) -> None:
    """An answer of another protocol."""
    exchange.raw(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")


def huge_body(size: int) -> Fault:
    """A good answer of *size* bytes and more."""

    def answer(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"status": "success", ')
        for _ in range(size // 2**16 + 1):
            exchange.wfile.write(b" " * 2**16)

    return answer
