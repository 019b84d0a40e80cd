"""A real Prometheus in a temporary directory."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import requests

from .ports import free_port
from .process import PATIENCE, Child, LabError, run, wait_for
from .releases import Release, chosen
from .scratch import Scratch

_TASK_LABEL = "container_label_com_docker_swarm_task_name"


class Sample(NamedTuple):
    """One series of an instant query's answer; *time* is Unix seconds."""

    labels: dict[str, str]
    value: float
    time: float


class Prometheus:
    """Prometheus scraping static targets: {job: [host:port, …]}; a context manager.

    Samples get the time of their scrape, not of their measurement (honor_timestamps: false), else the series of a dead
    container lingers for five minutes. Data survives stop() and start().
    """

    url: str

    def __init__(
        self,
        targets: Mapping[str, Sequence[str]] | None = None,
        *,
        scrape_interval: float = 1,
        listen: str = "127.0.0.1",
        openmetrics: str | None = None,
        release: Release | None = None,
    ) -> None:
        self.release = release or chosen()
        self.targets = dict(targets or {})
        self.scrape_interval = scrape_interval
        self.hidden = ""
        """A regular expression: tasks whose name it fits are left out of the scrapes."""
        self.honors: set[str] = set()
        """The jobs whose samples have the time that the target gives them."""
        self.relabelings: dict[str, list[dict[str, object]]] = {}
        """The metric_relabel_configs of jobs."""
        self._listen = listen
        self._openmetrics = openmetrics
        self._scratch = Scratch()
        self._child: Child | None = None
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy from the environment has no business here

    def __enter__(self) -> Self:
        self._scratch.__enter__()
        try:
            if self._openmetrics is not None:
                self.backfill(self._openmetrics)
            self._address = f"{self._listen}:{free_port(self._listen)}"  # at last, so that nobody takes it before
            self.url = f"http://{self._address}"
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._http.close()
            self._scratch.__exit__(kind, error, trace)

    def start(self) -> None:
        """Run it on its address and data; returns when it answers queries."""
        self._configure()
        self._child = Child(
            "prometheus",
            [
                *self.release.command("prometheus"),
                f"--config.file={self._config}",
                f"--storage.tsdb.path={self._data}",
                "--storage.tsdb.retention.time=10y",  # backfilled samples may be old
                f"--web.listen-address={self._address}",
                "--web.enable-lifecycle",
                "--log.level=warn",
            ],
            self._scratch.path / "prometheus.log",
            keep_fds=[self._scratch.lock_fd],
        )
        try:
            self._child.wait_ready(lambda: self._http.get(f"{self.url}/-/ready", timeout=2).ok)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it: connections are refused. Nothing to do when stopped."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def pause(self) -> None:
        """Leave it hanging: connections are accepted and never answered."""
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        """Let a paused Prometheus go on."""
        if self._child is not None:
            self._child.resume()

    def reload(self) -> None:
        """Take up the present `targets`, `scrape_interval` and `hidden`."""
        self._configure()
        answer = self._http.post(f"{self.url}/-/reload", timeout=60)
        if not answer.ok:
            raise LabError(f"prometheus refused its configuration: {answer.text.strip()}")

    def forget(self) -> None:
        """Remove all the data of the stopped server."""
        if self._child is not None:
            raise LabError("forget while prometheus is stopped")
        shutil.rmtree(self._data)

    def backfill(self, openmetrics: str) -> None:
        """Put samples with time stamps into the stopped server's data; the text ends with "# EOF"."""
        if self._child is not None:
            raise LabError("backfill while prometheus is stopped: a running one does not see the new blocks at once")
        text = self._scratch.path / "samples.openmetrics"
        text.write_text(openmetrics)
        create = ("promtool", "tsdb", "create-blocks-from", "openmetrics", text, self._data)
        run(*self.release.command(*create))

    def query(self, expression: str, *, at: float | None = None) -> list[Sample]:
        """The answer of an instant query *at* Unix seconds or now, one sample per series (a scalar has no labels)."""
        form = {"query": expression} if at is None else {"query": expression, "time": f"{at:.3f}"}
        answer = self._http.post(f"{self.url}/api/v1/query", data=form, timeout=60)
        body = answer.json()
        if body["status"] != "success":
            raise LabError(f"prometheus refused {expression!r}: {body['errorType']}: {body['error']}")
        result = body["data"]["result"]
        if body["data"]["resultType"] == "scalar":
            result = [{"metric": {}, "value": result}]
        return [Sample(series["metric"], float(series["value"][1]), float(series["value"][0])) for series in result]

    def wait_for(
        self, expression: str, holds: Callable[[list[Sample]], object] = bool, timeout: float = PATIENCE
    ) -> list[Sample]:
        """The first answer for which *holds* (by default: any series); a LabError tells the last one otherwise.

        As of the last whole second: at an interval of a second an evaluation that begins afterwards sees no older one.
        """
        seen: list[Sample] = []

        def asked() -> bool:
            seen[:] = self.query(expression, at=time.time() // 1)  # noqa: TID251 - Prometheus' clock is this one
            return bool(holds(seen))

        try:
            wait_for(f"{expression!r} to hold", asked, timeout, interval=0.25)
        except LabError as error:
            raise LabError(f"{error}; last answer: {[(sample.labels, sample.value) for sample in seen]}") from error
        return seen

    def _configure(self) -> None:
        hiding = {"source_labels": [_TASK_LABEL], "regex": self.hidden, "action": "drop"}
        jobs = [
            {
                "job_name": job,
                "honor_timestamps": job in self.honors,
                "static_configs": [{"targets": list(addresses)}],
                "metric_relabel_configs": [*([hiding] if self.hidden else []), *self.relabelings.get(job, [])],
            }
            for job, addresses in self.targets.items()
        ]
        interval = f"{round(self.scrape_interval * 1000)}ms"
        document = {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": jobs}
        self._config.write_text(json.dumps(document, indent=1))  # JSON is YAML

    @property
    def _config(self) -> Path:
        return self._scratch.path / "prometheus.yml"

    @property
    def _data(self) -> Path:
        return self._scratch.path / "data"
