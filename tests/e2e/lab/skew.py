"""A Prometheus whose clock is off, or that stands behind a proxy whose clock is."""

import json
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import requests

from .prometheus import Prometheus


class Skew:
    """Passes queries on to *prometheus*, and shows its clock and its samples shifted; a context manager.

    (A program in Go takes the time from the kernel, where no library can shift it.) `clock` is by how many seconds the
    clock is ahead that dates the samples, `date` the one that dates the answers.
    """

    def __init__(self, prometheus: Prometheus) -> None:
        self.clock = 0
        self.date = 0
        handler = type("Handler", (_Query,), {"skew": self, "prometheus": prometheus})
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
    def url(self) -> str:
        """Where the autoscaler finds it."""
        return f"http://127.0.0.1:{self._server.server_port}"


class _Query(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    skew: Skew
    prometheus: Prometheus

    def do_GET(self) -> None:
        parts, clock = urlsplit(self.path), self.skew.clock
        form = dict(parse_qsl(parts.query))
        for name in form.keys() & {"start", "end", "time"}:
            form[name] = f"{float(form[name]) - clock}"
        if form["query"] == "vector(time())":
            form["query"] = f"vector(time() + {clock})"
        # Without an answer there is none here either: http.server cuts the connection.
        answer = requests.get(f"{self.prometheus.url}{parts.path}", params=form, timeout=30)
        content = answer.content
        if clock and answer.ok:
            content = json.dumps(_shifted(answer.json(), clock)).encode()
        self.send_response(answer.status_code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", f"{len(content)}")
        self.end_headers()
        self.wfile.write(content)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The date of an answer."""
        now = time.time()  # noqa: TID251 -- the clock that is shifted
        return formatdate(now + self.skew.clock + self.skew.date if timestamp is None else timestamp, usegmt=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
        """Nothing: a query each second is no news."""


def _shifted(document: dict[str, Any], seconds: int) -> dict[str, Any]:
    for series in document["data"]["result"]:
        for sample in series.get("values", []):
            sample[0] += seconds
        if "value" in series:
            series["value"][0] += seconds
    return document
