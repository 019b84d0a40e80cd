"""What the tests' own small servers have in common: they answer in a thread, until a test is over."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import socketserver
    from types import TracebackType

_POLL = 0.01
"""Seconds after which a server sees at the latest that it is to end."""


class Serving:
    """Lets *server* answer; a context manager."""

    def __init__(self, server: socketserver.BaseServer) -> None:
        self._serving = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serving.shutdown()
        self._serving.server_close()
        self._thread.join()


class LocalServing(Serving):
    """Answers requests with *handler* on a port of 127.0.0.1, each in a thread of its own; a context manager."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        super().__init__(server)
        self.port = server.server_port

    @property
    def address(self) -> str:
        """Where it listens: "HOST:PORT"."""
        return f"127.0.0.1:{self.port}"


class Answering(BaseHTTPRequestHandler):
    """A request; `reply` is what is done about it. It is logged nowhere, for one a second is no news."""

    def do_GET(self) -> None:
        """Do it."""
        self.reply()

    do_POST = do_GET  # noqa: N815 - the name that the standard library calls

    def reply(self) -> None:
        """Answer, or not: then the connection is cut."""
        raise NotImplementedError

    def answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
        """Answer with *content* of this *kind*."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", f"{len(content)}")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Nothing."""
