"""An engine's API served as a Docker Engine over real HTTP, on a unix socket or a port; it fails in measured ways."""

from __future__ import annotations

import collections.abc
import json
import re
import socket
import socketserver
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from autoscaler.adapters.docker.engine_api import (
    AlreadyExistsError,
    ConfigApi,
    EngineApi,
    NotFoundError,
    VersionConflictError,
)
from autoscaler.errors import RefusedError
from autoscaler.util.deadline import Deadline
from tests.support.serving import Serving

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from autoscaler.adapters.docker.engine_api import Document

API_VERSION = "1.41"
DRIP_INTERVAL = 0.01
"""Seconds between two bytes of a drip."""
_AGES = 60.0
_VERSIONED = re.compile(r"(?:/v(1\.\d+))?(/.*)")
_OBJECT = re.compile(r"/(services|configs)/([^/]+)(/update)?")


class WholeApi(EngineApi, ConfigApi, Protocol):
    """All that is asked of an engine."""


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    method: str
    version: str
    """The API version that it names, empty without one."""
    path: str
    """Without that version."""
    query: dict[str, str]
    headers: dict[str, str]
    body: Document | None

    @property
    def target(self) -> str:
        """The path as it was asked for, with the version."""
        return f"/v{self.version}{self.path}" if self.version else self.path


@dataclass
class _State:
    api: WholeApi
    api_version: str = API_VERSION
    fault: Fault | None = None
    fault_on: str = ""
    faults_left: float = 0
    asked: list[Asked] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    connections: list[socket.socket] = field(default_factory=list)
    ahead: float = 0.0


class Exchange(BaseHTTPRequestHandler):
    """One connection; a fault is a function that is given it in place of an answer."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, else the body waits 40 ms for the client to acknowledge the head
    state: _State
    asked: Asked

    def do_GET(self) -> None:
        """Answer, or fail as told."""
        parts = urlsplit(self.path)
        found = _VERSIONED.fullmatch(parts.path)
        version, path = found.groups(default="") if found else ("", parts.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(content) if content else None
        self.asked = Asked(self.command, version, path, query, dict(self.headers), body)
        state = self.state
        state.asked.append(self.asked)
        if state.fault is not None and state.faults_left and f"{self.command} {path}".startswith(state.fault_on):
            state.faults_left -= 1
            state.fault(self)
        else:
            self.answer()

    do_POST = do_GET  # noqa: N815 - the base class looks for this name

    def answer(self) -> None:
        """What the engine answers, in its status codes and words (docs/facts.md#dockers-errors)."""
        try:
            answer = self.result()
            self.send(201 if self.asked.path == "/configs/create" else 200, answer)
        except NotFoundError as error:
            self.send(404, {"message": str(error)})
        except AlreadyExistsError as error:
            self.send(409, {"message": str(error)})
        except VersionConflictError as error:
            self.send(500, {"message": str(error)})
        except RefusedError as error:
            status = 501 if "mode change" in str(error) else 500 if "raft" in str(error) else 400
            self.send(status, {"message": str(error)})

    def result(self) -> Any:
        """What the API behind the server says to the request."""
        about_engine = {
            "/version": {"ApiVersion": self.state.api_version, "MinAPIVersion": "1.12", "Version": "20.10.24"},
            "/_ping": "OK",
            "/info": {"Swarm": {"LocalNodeState": "active", "ControlAvailable": True, "Error": ""}},
        }
        return about_engine.get(self.asked.path) or self._of_the_swarm(self.state.api, Deadline(_AGES))

    def _of_the_swarm(self, api: WholeApi, deadline: Deadline) -> Any:
        asked = self.asked
        if asked.path == "/services":
            return api.services(deadline)
        if asked.path == "/nodes":
            return api.nodes(deadline)
        if asked.path == "/tasks":
            return api.tasks(deadline, ended="desired-state" not in json.loads(asked.query.get("filters", "{}")))
        if asked.path == "/configs/create":
            api.create_config(asked.body or {}, deadline)
            return {"ID": "created"}
        return self._of_one(api, deadline)

    def _of_one(self, api: WholeApi, deadline: Deadline) -> Any:
        """What the API says to a request about one service or config."""
        asked = self.asked
        found = _OBJECT.fullmatch(asked.path)
        if found is None:
            raise NotFoundError("page not found")
        kind, name = found.group(1), unquote(found.group(2))
        if found.group(3) is None:
            return api.service(name, deadline) if kind == "services" else api.config(name, deadline)
        if "version" not in asked.query or asked.body is None:
            raise RefusedError(f'invalid {kind[:-1]} version: strconv.ParseUint: parsing "": invalid syntax')
        if kind == "configs":
            api.update_config(name, int(asked.query["version"]), asked.body, deadline)
            return ""  # as the engine does
        api.update(name, int(asked.query["version"]), asked.body, deadline)
        return {"Warnings": None}

    def send(self, status: int, body: object) -> None:
        """A whole answer: *body* as it is where it is text, else as JSON."""
        # Without blanks, as the engine does.
        content = (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()
        self.send_response(status)
        self.send_header("Api-Version", self.state.api_version)
        self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", f"{len(content)}")
        self.end_headers()
        self.wfile.write(content)

    def wait_for_the_end(self) -> None:
        """Say nothing until the server ends or behaves again."""
        self.state.ending.wait(_AGES)
        self.close_connection = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The engine's clock, as its answers show it."""
        return super().date_time_string(time.time() + self.state.ahead if timestamp is None else timestamp)  # noqa: TID251 - a server's own clock

    def address_string(self) -> str:
        """Nothing: peers on a unix socket have no address."""
        return ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Nothing: the tests look at what was asked."""


Fault: TypeAlias = collections.abc.Callable[[Exchange], None]


def hang(exchange: Exchange) -> None:
    """Never answer."""
    exchange.wait_for_the_end()


def drip(exchange: Exchange) -> None:
    """Answer byte by byte, for ever: no read is ever without one."""
    exchange.close_connection = True
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
    while not exchange.state.ending.wait(DRIP_INTERVAL):
        exchange.wfile.write(b" ")
        exchange.wfile.flush()


def cut(exchange: Exchange) -> None:
    """Close the connection instead of an answer."""
    exchange.close_connection = True
    with suppress(OSError):
        exchange.connection.shutdown(socket.SHUT_RDWR)


def truncated(exchange: Exchange) -> None:
    """Close the connection in the middle of the answer."""
    exchange.wfile.write(
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n[{"ID": "abc", '
    )
    cut(exchange)


def broken_json(exchange: Exchange) -> None:
    """A whole answer of half a document."""
    exchange.send(200, '[{"ID": "abc", ')


def html(exchange: Exchange) -> None:
    """Answer as some other web server would."""
    exchange.send(200, "<html><body>It works!</body></html>")


def other_json(exchange: Exchange) -> None:
    """Answer with JSON that is none of Docker's."""
    exchange.send(200, [{"hello": "world"}])


def bad_gateway(exchange: Exchange) -> None:
    """Answer as a proxy before a dead engine would."""
    exchange.send(502, "<html><body>502 Bad Gateway</body></html>")


def says(status: int, message: str) -> Fault:
    """Answer with an error of the engine's."""
    return lambda exchange: exchange.send(status, {"message": message})


def redirects(status: int, url: str) -> Fault:
    """Send whoever asks to the same path at *url*."""

    def redirect(exchange: Exchange) -> None:
        exchange.send_response(status)
        exchange.send_header("Location", f"{url}{exchange.path}")
        exchange.send_header("Content-Length", "0")
        exchange.end_headers()

    return redirect


NO_SWARM = says(
    503,
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again.",
)
WORKER = says(
    503,
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager.",
)
NO_LEADER = says(
    500,
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are "
    "online. Make sure more than half of the managers are online.",
)


def applied_then_cut(exchange: Exchange) -> None:
    """Do what is asked, and let the answer be lost."""
    exchange.result()
    cut(exchange)


def applied_then_hang(exchange: Exchange) -> None:
    """Do what is asked, and never answer."""
    exchange.result()
    hang(exchange)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 32
    state: _State

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own; the connection is noted, to be cut when the server ends."""
        self.state.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients go away in the middle, and a test sees what they make of it."""


class _UnixServer(_Server):
    address_family = socket.AF_UNIX
    allow_reuse_address = False


class EngineServer(Serving):
    """*api* as a Docker Engine on the unix *socket*, or on a port of 127.0.0.1 without one; a context manager."""

    def __init__(self, api: WholeApi, socket_path: Path | None = None, *, api_version: str = API_VERSION) -> None:
        self._state = _State(api, api_version)
        handler = type("Handler", (Exchange,), {"state": self._state})
        if socket_path is None:
            server: _Server = _Server(("127.0.0.1", 0), handler)
            host, port = server.server_address[:2]
            self.url = f"tcp://{host!s}:{port}"
        else:
            server = _UnixServer(str(socket_path), handler)  # type: ignore[arg-type] # the stubs know ports only
            self.url = f"unix://{socket_path}"
        server.state = self._state
        super().__init__(server)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.ending.set()
        super().__exit__(kind, error, trace)
        for connection in self._state.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def change(self, *, api_version: str | None = None, ahead: float | None = None) -> None:
        """Speak another API version from now on, or have a clock that is so many seconds *ahead*."""
        self._state.api_version = api_version or self._state.api_version
        self._state.ahead = self._state.ahead if ahead is None else ahead

    def misbehave(self, fault: Fault, on: str = "", times: float = float("inf")) -> None:
        """Answer the next *times* requests that begin with *on* ("POST /services", say) with *fault*."""
        self._state.ending.clear()
        self._state.fault, self._state.fault_on, self._state.faults_left = fault, on, times

    def behave(self) -> None:
        """Answer as the engine again; whoever hangs is let go."""
        self._state.fault = None
        self._state.ending.set()

    def all_closed(self, seconds: float) -> bool:
        """Whether its clients have closed all connections, or do within so many *seconds*."""
        ends = time.monotonic() + seconds
        while any(connection.fileno() != -1 for connection in self._state.connections):
            if time.monotonic() > ends:
                return False
            time.sleep(0.01)
        return True

    @property
    def all_asked(self) -> list[Asked]:
        """The requests so far."""
        return list(self._state.asked)

    @property
    def asked(self) -> list[Asked]:
        """The requests so far, without the clients' questions for the version."""
        return [request for request in self._state.asked if request.path != "/version"]

    @property
    def negotiations(self) -> int:
        """How often a client asked for the version."""
        return sum(request.path == "/version" for request in self._state.asked)
