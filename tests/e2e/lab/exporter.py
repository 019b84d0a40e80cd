"""Metrics of a shop that there is not, for Prometheus to scrape."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Exporter:
    """Serves *series* with the values that a test gives them; a context manager.

    A series is written as Prometheus does, `name{label="value"}`; all are gauges. `address` is "HOST:PORT".
    """

    def __init__(self, series: Mapping[str, float]) -> None:
        self._series = dict(series)
        handler = type("Handler", (_Scrape,), {"exporter": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
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
        """Where Prometheus finds it."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def metrics(self) -> str:
        """What a scrape gets now."""
        return "".join(f"{series} {value}\n" for series, value in self._series.items())

    def set(self, series: str, value: float) -> None:
        """Let *series* have this value from the next scrape on."""
        self._series = {**self._series, series: value}  # a new one: a scrape may be reading the old one


class _Scrape(BaseHTTPRequestHandler):
    exporter: Exporter

    def do_GET(self) -> None:
        content = self.exporter.metrics.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", f"{len(content)}")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
        """Nothing: a scrape each second is no news."""
