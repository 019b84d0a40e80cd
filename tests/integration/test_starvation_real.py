"""The query for starved tasks on a real Prometheus, with cAdvisor's series backfilled.

cAdvisor 0.38, and any on cgroups v1, have no series of pressure: those are made up here, as newer ones export them.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.metrics.queries import (
    NODE_LABEL,
    SERVICE_LABEL,
    TASK_LABEL,
    MetricSettings,
    starvation_query,
    starvation_told,
)
from autoscaler.metrics.starvation import Place
from autoscaler.util.deadline import Deadline
from tests.e2e.lab import Prometheus, Release
from tests.support.lab import entered, unavailable
from tests.support.promql_texts import RIGHT_SELECTORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START, STEP, ROWS = 1_700_000_100, 15, 61
ALL = range(ROWS)


@dataclass(frozen=True)
class Node:
    """A node as its cAdvisor shows it: how many of its cores are in use, CPU by CPU, and how many it has."""

    instance: str = "n1:8080"
    used: Mapping[str, float] = field(default_factory=lambda: {"cpu00": 1.0, "cpu01": 0.99})
    cores: int | None = 2
    rows: Sequence[int] = ALL
    before: float = 0.5
    """The part of it that was in use before the first of the rows."""


@dataclass(frozen=True)
class Task:
    """A task, and the part of the time that it stalls, waits, and is throttled, as far as that is told."""

    name: str = "web.1.a"
    node: str = "id1"
    instance: str = "n1:8080"
    stalled: float | None = None
    waiting: float | None = None
    throttled: float | None = None

    @property
    def service(self) -> str:
        """Whose task it is."""
        return self.name.partition(".")[0]


IDLE = Node(used={"cpu00": 0.3, "cpu01": 0.2})
CASES: Mapping[str, Sequence[Node | Task]] = {
    "busy": [Node(), Task(), Task("api.1.b"), Task("db.1.c", "id2", "n2:8080"), Node("n2:8080", IDLE.used)],
    "nearly": [Node(used={"cpu00": 0.95, "cpu01": 0.95}), Task()],
    "total": [Node(used={"total": 3.99}, cores=4), Task()],
    "twice": [Node(), Node("n1:9999"), Task(), Task(instance="n1:9999")],
    "unlabelled": [Node(), Task(node="")],
    "no_cores": [Node(cores=None), Task()],
    "no_root": [Node(used={}), Task()],
    "ended": [Node(rows=range(31)), Task()],
    "waits": [IDLE, Task(stalled=0.8, waiting=0.9), Task("api.1.b", stalled=0.02, waiting=0.3)],
    "throttled": [IDLE, Task(stalled=0.7, waiting=0.72, throttled=0.7)],
    "both": [IDLE, Task(stalled=0.9, waiting=0.9, throttled=0.3), Task("web.2.b", stalled=0, waiting=0)],
    "old_kernel": [IDLE, Task(stalled=0, waiting=0.6)],
    "idle_on_busy": [Node(), Task(stalled=0.01, waiting=0.02), Task("old.1.b")],
    "uncounted": [Node(), Task(stalled=0, waiting=0, throttled=0.2)],
    "uncounted_alone": [Task(stalled=0, waiting=0)],
    "nothing": [],
}


def openmetrics() -> str:
    """All cases' samples, each under the label `case`."""
    lines = [line for case, parts in CASES.items() for part in parts for line in _lines(case, part)]
    return "\n".join([*lines, "# EOF\n"])


def _lines(case: str, part: Node | Task) -> Iterator[str]:
    for row in ALL:
        at, running = START + row * STEP, row * STEP
        if isinstance(part, Node):
            shared = {"case": case, "instance": part.instance}
            if part.cores is not None:
                yield f"machine_cpu_cores{_braces({**shared, 'machine_id': 'm'})} {part.cores} {at}"
            ended = min(running, part.rows[-1] * STEP)
            for cpu, cores in part.used.items():
                used = cores * (ended + (running - ended) * part.before)
                labels = _braces({**shared, "id": "/", "cpu": cpu, SERVICE_LABEL: "", TASK_LABEL: "", NODE_LABEL: ""})
                yield f"container_cpu_usage_seconds_total{labels} {used} {at}"
            continue
        shared = {
            "case": case,
            "id": f"/docker/{part.name}",
            "instance": part.instance,
            SERVICE_LABEL: part.service,
            TASK_LABEL: part.name,
            **({NODE_LABEL: part.node} if part.node else {}),
        }
        yield f"container_start_time_seconds{_braces(shared)} {START - 1000} {at}"
        yield f"container_cpu_usage_seconds_total{_braces({**shared, 'cpu': 'cpu00'})} {0.1 * running} {at}"
        for metric, share, unit in (
            ("container_pressure_cpu_stalled_seconds_total", part.stalled, 1),
            ("container_pressure_cpu_waiting_seconds_total", part.waiting, 1),
            ("container_cpu_cfs_throttled_periods_total", part.throttled, 10),
        ):
            if share is not None:
                yield f"{metric}{_braces(shared)} {share * unit * running} {at}"


def _braces(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


class WallClock:
    def now(self) -> float:
        """The machine's time, which is Prometheus' too."""
        return time.time()  # noqa: TID251 - the clock of a test on a real server


@pytest.fixture(scope="module")
def source(release: Release) -> Iterator[PrometheusSource]:
    """The adapter on a real Prometheus that holds every case."""
    if reason := release.missing("prometheus", "promtool"):
        unavailable(reason)
    with ExitStack() as stack:
        prometheus = entered(stack, Prometheus(openmetrics=openmetrics(), release=release))
        yield PrometheusSource(ConnectionSettings(prometheus.url), WallClock())


def settings(case: str) -> MetricSettings:
    """Those that look at the series of a case."""
    return MetricSettings(STEP, 4 * STEP, 4 * STEP, f'case="{case}"')


def starved(source: PrometheusSource, case: str, first: int = 40, last: int = 40) -> dict[Place, list[float | None]]:
    """What the query gives from row *first* to row *last*, by place."""
    query = starvation_query(settings(case))
    answer = source.fetch(query, START + first * STEP, START + last * STEP, STEP, Deadline(20))
    return {
        place: [round(value, 6) if isfinite(value) else None for value in series.values]
        for key, series in answer.items()
        if (place := Place.of(key)) is not None
    }


WEB, API = (Place("busy", "id1", "n1:8080", service) for service in ("web", "api"))


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("busy", {WEB: [0.995], API: [0.995]}),
        ("nearly", {}),
        ("total", {WEB: [0.9975]}),
        ("twice", {WEB: [0.995], Place("busy", "id1", "n1:9999", "web"): [0.995]}),
        ("unlabelled", {Place("busy", "", "n1:8080", "web"): [0.995]}),
        ("no_cores", {}),
        ("no_root", {}),
        ("waits", {Place("waits", "id1", "n1:8080", "web"): [0.8]}),
        ("throttled", {}),
        ("both", {Place("waits", "id1", "n1:8080", "web"): [0.6]}),
        ("old_kernel", {Place("waits", "id1", "n1:8080", "web"): [0.6]}),
        ("idle_on_busy", {Place("busy", "id1", "n1:8080", "old"): [0.995]}),
        ("uncounted", {WEB: [0.995]}),
        ("uncounted_alone", {}),
        ("nothing", {}),
    ],
)
def test_who_may_be_starved(source: PrometheusSource, case: str, expected: dict[Place, list[float | None]]) -> None:
    """A task is judged by its own waiting where that is told, less what its limit does, and else by its node's use.

    At 95 % a node has CPU to spare. Where a series lacks, nothing is said to be starved. A waiting of 0 tells nothing:
    cAdvisor exports it also where the kernel does not count it (cgroups v1).
    """
    assert starved(source, case) == expected


def test_a_starvation_that_ended_is_told_of_the_time_that_it_lasted(source: PrometheusSource) -> None:
    """The readings of before stay what they were, so that a window that goes back to them is not a calm."""
    (values,) = starved(source, "ended", 26, 40).values()

    assert values[:5] == [0.995] * 5
    assert set(values[8:]) == {None}


@pytest.mark.parametrize("case", CASES)
def test_whether_it_can_be_told(source: PrometheusSource, case: str) -> None:
    """One value where Prometheus has the series of any node or the pressure of any task, and none otherwise."""
    at = START + 40 * STEP
    answer = source.fetch(starvation_told(settings(case)), at, at, STEP, Deadline(20))

    assert bool(answer) is (case not in {"no_cores", "no_root", "uncounted_alone", "nothing"})


@pytest.mark.parametrize("selector", RIGHT_SELECTORS)
def test_every_selector_is_taken(source: PrometheusSource, selector: str) -> None:
    """Prometheus takes the queries with every selector in which no problem is found."""
    narrow = MetricSettings(STEP, 4 * STEP, 4 * STEP, selector)
    for query in (starvation_query(narrow), starvation_told(narrow)):
        source.fetch(query, START, START, STEP, Deadline(20))
