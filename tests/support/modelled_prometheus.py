"""A Prometheus over HTTP that knows a few series and the shapes of the queries that the autoscaler sends: no PromQL."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autoscaler.metrics.queries import (
    PLACE_LABEL,
    SERIES_OF,
    SERVICE_LABEL,
    STAT_LABEL,
    TASK_LABEL,
    TASKS,
    VALUE,
)
from tests.support.prometheus_server import Exchange, PrometheusServer, success

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Labels = dict[str, str]
CPU, MEMORY = SERIES_OF["cpu"], SERIES_OF["memory"]
START, CORES = "container_start_time_seconds", "machine_cpu_cores"
_SELECTOR = r"([a-zA-Z_:]\w*)(?:\{([^{}]*)\})?"
_MATCHER = re.compile(r'(\w+)(=~|!=|=)"((?:[^"\\]|\\.)*)"')
_BY = r"by \(([\w,]+)\)"


@dataclass
class ModelSeries:
    """A series with a steady value."""

    name: str
    labels: Labels
    value: float = 1.0


@dataclass
class Model:
    """What the server knows."""

    series: list[ModelSeries] = field(default_factory=list)
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of the built-in metrics: cores or bytes per task, by metric and service."""
    custom: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of other queries: the value of each service, by expression."""
    every: float = 15.0
    """Seconds between two scrapes."""
    late: float = 0.0
    """Seconds by which samples are dated apart from their scrape."""
    since: float = 3600.0
    """Seconds for which there are samples."""
    errors: dict[str, str] = field(default_factory=dict)
    """What the last scrape of a target met, by instance; such a target is down."""
    version: str = "2.42.0"
    retention: str = "15d"
    refused: str | None = None
    """Queries about this are refused."""

    def task(self, service: str, task: str, *, job: str = "cadvisor", instance: str = "node1:8080") -> None:
        """Know a task, as a job scrapes it of cAdvisor."""
        labels = {SERVICE_LABEL: service, TASK_LABEL: task, "job": job, "instance": instance}
        self.series += [ModelSeries(name, dict(labels)) for name in (CPU, MEMORY, START)]
        if not self.found("up", f'job="{job}",instance="{instance}"'):
            self.target(job, instance)

    def target(self, job: str, instance: str) -> None:
        """Know a target of a job, which is up."""
        self.series += [ModelSeries(name, {"job": job, "instance": instance}) for name in ("up", CORES)]

    def forget(self, **labels: str) -> None:
        """Know no series any more that has all of these labels."""
        self.series = [each for each in self.series if not labels.items() <= each.labels.items()]

    def found(self, name: str, matchers: str = "") -> list[Labels]:
        """Return the labels of the series that a selector gives."""
        wanted = _MATCHER.findall(matchers)
        return [each.labels for each in self.series if each.name == name and all(_fits(each, w) for w in wanted)]


def _fits(series: ModelSeries, matcher: tuple[str, str, str]) -> bool:
    label, operator, value = matcher
    given = series.labels.get(label, "")
    if operator == "=~":
        return re.fullmatch(value.replace("\\\\", "\\"), given) is not None
    return (given == value) is (operator == "=")


def _pick(labels: Labels, names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, labels[name]) for name in names.split(",") if name in labels)


Vector = list[tuple[Labels, float]]


def _counted(rows: Sequence[Labels], names: str) -> Vector:
    return [(dict(key), float(count)) for key, count in Counter(_pick(row, names) for row in rows).items()]


class _Answers:
    """Answers one instant query by its shape."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def of(self, expression: str) -> Vector:
        """Return the series of the *expression*; an expression of no known shape fails the test."""
        shapes: tuple[tuple[str, Callable[..., Vector]], ...] = (
            (rf"topk\(\d+, {_SELECTOR} == 0\)", self._down),
            (rf"topk\(\d+, count {_BY} \({_SELECTOR}\)\)", self._count),
            (rf"(?:topk|bottomk)\(1, {_SELECTOR}\)", lambda *of: [(row, 1.0) for row in self.model.found(*of)[:1]]),
            (rf"count {_BY} \(count {_BY} \({_SELECTOR}\)\)", self._count_of_counts),
            (rf"count\(count {_BY} \(count {_BY} \({_SELECTOR}\)\) > 1\)", self._several),
            (rf"max {_BY} \(abs\(.*timestamp\({_SELECTOR}\)\)\) > ([0-9.]+)", self._late),
            (rf"max {_BY} \(count_over_time\({_SELECTOR}\[(\d+)s\]\)\)", self._samples),
            (rf"count\(last_over_time\({_SELECTOR}\[\d+s\]\)\)", self._number),
            (rf"last_over_time\({_SELECTOR}\[\d+s\]\)", lambda *of: [(row, 1.0) for row in self.model.found(*of)]),
            (r"max\(count_over_time\(up\[3600s:60s\]\)\)", lambda: [({}, min(3600, self.model.since) / 60)]),
        )
        if "autoscaler_step" in expression:
            marked = re.findall(rf'count\({_SELECTOR}\), "autoscaler_step", "(\w+)"', expression)
            counts = [(step, len(self.model.found(name, matchers))) for name, matchers, step in marked]
            return [({"autoscaler_step": step}, float(count)) for step, count in counts if count]
        if CORES in expression:
            (matchers,) = re.findall(rf"{CORES}\{{([^{{}}]*)\}}", expression)[:1]
            return self._number(CORES, matchers)
        for shape, answer in shapes:
            if found := re.fullmatch(shape, expression, re.DOTALL):
                return answer(*(group or "" for group in found.groups()))
        raise AssertionError(f"no shape of this kind is known: {expression}")

    def _down(self, name: str, matchers: str) -> Vector:
        rows = self.model.found(name, matchers)
        return [(row, 0.0) for row in rows if row["instance"] in self.model.errors]

    def _count(self, by: str, name: str, matchers: str) -> Vector:
        return _counted(self.model.found(name, matchers), by)

    def _count_of_counts(self, outer: str, inner: str, name: str, matchers: str) -> Vector:
        groups = [dict(key) for key in {_pick(row, inner) for row in self.model.found(name, matchers)}]
        return _counted(groups, outer)

    def _several(self, outer: str, inner: str, name: str, matchers: str) -> Vector:
        several = [row for row, count in self._count_of_counts(outer, inner, name, matchers) if count > 1]
        return [({}, float(len(several)))] if several else []

    def _late(self, by: str, name: str, matchers: str, least: str) -> Vector:
        late = self.model.late
        return [(row, late) for row, _ in self._count(by, name, matchers)] if late > float(least) else []

    def _samples(self, by: str, name: str, matchers: str, window: str) -> Vector:
        return [(row, int(window) // self.model.every) for row, _ in self._count(by, name, matchers)]

    def _number(self, name: str, matchers: str) -> Vector:
        count = len(self.model.found(name, matchers))
        return [({}, float(count))] if count else []


class _ModelExchange(Exchange):
    """Answers from the model."""

    model: Model

    def answer(self) -> None:
        """Answer, from the model if it is about what the model knows."""
        path, model = urlsplit(self.path).path, self.model
        about: dict[str, Any] = {
            "/api/v1/status/buildinfo": {"version": model.version},
            "/api/v1/status/flags": {
                "storage.tsdb.retention.time": model.retention,
                "storage.tsdb.retention.size": "0B",
            },
            "/api/v1/targets": {
                "activeTargets": [
                    {"labels": row, "lastError": model.errors.get(row["instance"], "")} for row in model.found("up")
                ]
            },
        }
        if model.refused and model.refused in self.form.get("query", ""):
            self.send(422, {"status": "error", "errorType": "execution", "error": "refused by the model"})
        elif path in about:
            self.send(200, {"status": "success", "data": about[path]})
        elif path == "/api/v1/query" and self.form["query"] not in {"vector(time())", "vector(1)"}:
            self._instant(self.form["query"])
        else:
            super().answer()

    def _instant(self, expression: str) -> None:
        now = time.time()  # noqa: TID251 - a server's own clock
        if expression.startswith("{"):  # the samples of one series
            moments = [now - back * self.model.every for back in range(int(900 // self.model.every), -1, -1)]
            self.send(200, success([{"metric": {}, "values": [[at, "1"] for at in moments]}]))
            return
        rows = _Answers(self.model).of(expression)
        self.send(200, success([{"metric": row, "value": [now, f"{value}"]} for row, value in rows], "vector"))

    def matrix(self) -> list[dict[str, Any]]:
        """Return steady samples of each service, of as many tasks as the first selector gives."""
        query = self.form["query"]
        if PLACE_LABEL in query:
            return []
        now = time.time()  # noqa: TID251 - a server's own clock
        start, end, step = (int(self.form[name]) for name in ("start", "end", "step"))
        moments = [at for at in range(start, end + 1, step) if now - self.model.since <= at <= now]
        return [
            {"metric": labels, "values": [[at, f"{value}"] for at in moments]} for labels, value in self._rows(query)
        ]

    def _rows(self, query: str) -> Iterator[tuple[Labels, float]]:
        name = next((name for name in (CPU, MEMORY) if name in query), None)
        if name is None:
            for service, value in self.model.custom.get(query, {}).items():
                yield {"service": service}, value
            return
        label = re.search(r"avg by \((\w+)\)|max by \((\w+)\)", query)
        assert label
        by = label[1] or label[2]
        (matchers,) = re.findall(rf"{name}\{{([^{{}}]*)\}}", query)[:1]
        matchers = re.sub(r'cpu!?="total",?', "", matchers)
        tasks = {(row.get(by, ""), row.get(TASK_LABEL, "")) for row in self.model.found(name, matchers)}
        if name == CPU and 2 * self.model.every > _window(query):
            return
        for service, count in Counter(service for service, _ in tasks).items():
            yield {by: service, STAT_LABEL: VALUE}, self.model.values[name].get(service, 0.5)
            yield {by: service, STAT_LABEL: TASKS}, float(count)


def _window(query: str) -> int:
    found = re.search(r"deriv\([^\[]*\[(\d+)s\]", query)
    assert found
    return int(found[1])


class ModelledPrometheus(PrometheusServer):
    """The server on a port of its own; a context manager."""

    def __init__(self, model: Model) -> None:
        self.model = model
        super().__init__(handler=type("Handler", (_ModelExchange,), {"model": model}))
