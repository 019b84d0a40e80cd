"""What the lab's own small HTTP servers have in common."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Serving:
    """Answers requests with *handler* on a port of its own, a thread each; a context manager."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Where it listens: "HOST:PORT"."""
        return f"127.0.0.1:{self._server.server_port}"


class Answering(BaseHTTPRequestHandler):
    """A request; `reply` is what is done about it. It is logged nowhere, for one a second is no news."""

    def do_GET(self) -> None:
        """Do it."""
        self.reply()

    do_POST = do_GET  # noqa: N815 -- the name that the standard library calls

    def reply(self) -> None:
        """Answer, or not: then the connection is cut."""
        raise NotImplementedError

    def answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
        """Answer with *content* of this *kind*."""
        self.send_response(HTTPStatus(status))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", f"{len(content)}")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
        """Nothing."""
