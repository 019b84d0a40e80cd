"""Metrics for Prometheus to scrape: of a shop that there is not, and of tasks whose load a test gives."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus

from tests.support.serving import Answering, LocalServing

from .engine import Document, Engine


class Exporter(LocalServing):
    """Serves *series* with the values that a test gives them; a context manager.

    A series is written as Prometheus does, `name{label="value"}`; all are gauges. `address` is "HOST:PORT".
    """

    def __init__(self, series: Mapping[str, float]) -> None:
        self._series = dict(series)
        super().__init__(type("Handler", (_Scrape,), {"exporter": self}))

    @property
    def metrics(self) -> str:
        """What a scrape gets now."""
        return "".join(f"{series} {value}\n" for series, value in self._series.items())

    def set(self, series: str, value: float) -> None:
        """Let *series* have this value from the next scrape on."""
        self._series = {**self._series, series: value}  # a new one: a scrape may be reading the old one


class TaskExporter(Exporter):
    """Tells in cAdvisor's form of the tasks that really run on *engine*'s node, with the *cores* that each one uses.

    The load is given by the test, by service, and nothing burns it: three cAdvisors and three nodes' loads would be
    more than two cores carry. Which tasks there are the engine is asked at each scrape; while it does not answer, as
    the node is gone, the target is down.
    """

    def __init__(self, engine: Engine, cores: Mapping[str, float]) -> None:
        super().__init__({})
        self._engine = engine
        self._cores = cores
        self._used: dict[str, float] = {}
        self._at = time.monotonic()

    @property
    def metrics(self) -> str:
        """What a scrape gets now; an OSError or HTTPException where the engine does not answer."""
        now = time.monotonic()  # before the engine answers: Prometheus dates the samples so
        containers = self._containers()
        passed, self._at = now - self._at, now
        lines = []
        for container in containers:
            service = container["Labels"].get("com.docker.swarm.service.name", "")
            name = container["Labels"].get("com.docker.swarm.task.name", "")
            labels = (
                f'container_label_com_docker_swarm_service_name="{service}",'
                f'container_label_com_docker_swarm_task_name="{name}"'
            )
            self._used[name] = self._used.get(name, 0.0) + self._cores.get(service, 0.0) * passed
            lines += [
                f'container_cpu_usage_seconds_total{{{labels},cpu="total"}} {self._used[name]}',
                f"container_memory_working_set_bytes{{{labels}}} {2**20}",
                f"container_start_time_seconds{{{labels}}} {container['Created']}",
            ]
        return "".join(f"{line}\n" for line in lines)

    def _containers(self) -> list[Document]:
        # Not by the SDK: of a socket that it cannot connect it forgets to close its own end.
        with contextlib.closing(http.client.HTTPConnection("engine", timeout=1)) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(1)
            connection.sock.connect(str(self._engine.socket))
            connection.request("GET", "/containers/json")
            found: list[Document] = json.loads(connection.getresponse().read())
            return found


class _Scrape(Answering):
    exporter: Exporter

    def reply(self) -> None:
        with contextlib.suppress(ConnectionError):  # Prometheus has given up waiting
            try:
                self.answer(HTTPStatus.OK, self.exporter.metrics.encode(), "text/plain; version=0.0.4")
            except (OSError, http.client.HTTPException) as error:
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, str(error)[:100])
