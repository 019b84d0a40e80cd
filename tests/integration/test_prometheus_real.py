"""The built-in queries and the adapter on a real Prometheus, with cAdvisor's series backfilled.

The samples have the form that cAdvisor gives them (docs/facts.md#series-and-labels). They have no staleness
markers, as if cAdvisor's own timestamps were honoured: the worst case for what lingers.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.errors import DeadlineError, RefusedError
from autoscaler.metrics.queries import (
    SERVICE_LABEL,
    STAT_LABEL,
    TASK_LABEL,
    TASKS,
    VALUE,
    MetricSettings,
    query_of,
    reporters,
)
from autoscaler.policy.metric import BUILT_IN, Metric
from autoscaler.ports import Query
from autoscaler.util.deadline import Deadline
from tests.contract.metric_source_cases import (
    RECORDINGS,
    START,
    STEP,
    MetricSourceContract,
    Subject,
    World,
    close,
    shown,
)
from tests.e2e.lab import Prometheus, Release
from tests.support.lab import entered, unavailable
from tests.support.prometheus_server import refusing_url
from tests.support.promql_texts import RIGHT_SELECTORS, WRONG_SELECTORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Literal

    from autoscaler.ports import Series

pytestmark = pytest.mark.slow

SCRAPED_AFTER = 7
"""Seconds between a window step and the scrape that follows it."""
ROWS = 81
MIB = 2**20
WEIRD = ("a.b-c_d", "x" * 63, 'quo"ted\\', "größe", "$service}")


@dataclass(frozen=True)
class Task:
    """A task as cAdvisor shows it: cores per CPU, bytes, when it started, and the scrapes that saw it."""

    service: str = "web"
    name: str = "web.1.aaa"
    cores: Mapping[str, float] = field(default_factory=lambda: {"cpu00": 0.5})
    memory: int = 100 * MIB
    started: int | None = -1000
    """Seconds after START; None where nothing tells."""
    rows: Iterable[int] = range(ROWS)
    instance: str = "node1:8080"
    labels: tuple[str, str] = (SERVICE_LABEL, TASK_LABEL)
    falls: Mapping[int, float] = field(default_factory=dict)
    """From which row on its counters show how many seconds less than they should."""


def web(number: int, cores: float, memory: int = 100, **more: object) -> Task:
    """A task of the service `web` with its load on one CPU, and its memory in MiB."""
    return Task(name=f"web.{number}.id{number}", cores={"cpu00": cores}, memory=memory * MIB, **more)  # type: ignore[arg-type]


CASES: Mapping[str, Sequence[Task]] = {
    "steady": [web(1, 0.2, 100), web(2, 0.4, 200), web(3, 0.9, 600)],
    "cpus": [Task(cores={"cpu00": 0.25, "cpu01": 0.5, "cpu02": 0.125, "cpu31": 0.0})],
    "total": [Task(cores={"total": 0.75})],
    "duplicates": [web(1, 0.5), web(1, 0.5, instance="node1:9999"), web(2, 0.25)],
    "both_kinds": [Task(cores={"cpu00": 0.25, "cpu01": 0.5}), Task(cores={"total": 0.75}, instance="node1:9999")],
    "young": [web(1, 0.5, 100), web(2, 0.1, 300, started=20 * STEP, rows=range(20, ROWS))],
    "unknown_start": [web(1, 0.5, started=None)],
    "dead": [web(1, 0.8, 100), web(2, 0.4, 300, rows=range(21))],
    "node_lost": [web(1, 0.8, rows=range(21)), web(2, 0.4, rows=range(21))],
    "missed_scrape": [web(1, 0.8, rows=[row for row in range(ROWS) if row != 20])],
    "idle": [web(1, 0.0), web(2, 0.5)],
    "services": [Task("api", "api.1.a", {"cpu00": 0.25}), Task("db", "db.1.a", {"total": 1.5}), web(1, 0.5)],
    "weird": [Task(name, f"{name}.1.a", {"cpu00": 0.5}) for name in WEIRD],
    "strangers": [web(1, 0.5), Task("", "", {"cpu00": 7.0}), Task("unnamed", "", {"cpu00": 7.0})],
    "restarted": [web(1, 0.8), web(2, 0.6, falls={30: 400.0})],
    "corrected": [web(1, 0.8), web(2, 0.6, falls={30: 20.0, 31: 0.0})],
    "restarted_alone": [web(1, 0.8, falls={30: 400.0})],
    "restarted_on_cpus": [
        web(1, 0.8),
        Task(name="web.2.id2", cores={"cpu00": 0.25, "cpu01": 0.5, "cpu02": 0.0}, falls={30: 400.0}),
    ],
    "restarted_in_total": [Task(cores={"total": 0.75}, falls={30: 400.0}), web(2, 0.8)],
    "restarted_twice_seen": [
        web(1, 0.8),
        web(2, 0.6, falls={30: 400.0}),
        web(2, 0.6, falls={30: 400.0}, instance="node1:9999"),
    ],
    "restarted_both_kinds": [
        web(1, 0.8),
        Task(name="web.2.id2", cores={"cpu00": 0.25, "cpu01": 0.5}, falls={30: 400.0}),
        Task(name="web.2.id2", cores={"total": 0.75}, instance="node1:9999", falls={30: 400.0}),
    ],
    # cAdvisor alone was restarted, with other options: the task's counter goes on, in another series.
    "cadvisor_restarted": [
        web(1, 0.8),
        Task(name="web.2.id2", cores={"cpu00": 0.25, "cpu01": 0.5}, rows=range(30)),
        Task(name="web.2.id2", cores={"total": 0.75}, rows=range(30, ROWS)),
    ],
    "labels": [Task("web", "web.1.a", {"cpu00": 0.5}, labels=("swarm_service", "swarm_task"))],
    "nothing": [],
}


def openmetrics() -> str:
    """All cases' samples, each under the label `case`, and those of the contract's recordings."""
    lines = [line for case, tasks in CASES.items() for task in tasks for line in _lines(case, task)]
    for case, services in RECORDINGS.items():
        for service, samples in services.items():
            for row, (value, count) in samples.items():
                labels = f'{{case="{case}",service="{service}"}}'
                at = START + row * STEP
                lines += [f"contract_value{labels} {value} {at}", f"contract_tasks{labels} {count} {at}"]
    return "\n".join([*lines, "# EOF\n"])


def _lines(case: str, task: Task) -> Iterator[str]:
    names = zip(task.labels, (task.service, task.name), strict=True)
    shared = {"case": case, "id": f"/docker/{task.name}", "image": "shop:1", "instance": task.instance, **dict(names)}
    for row in task.rows:
        at = START + row * STEP + SCRAPED_AFTER
        for cpu, cores in task.cores.items():
            fallen = next((less for since, less in sorted(task.falls.items(), reverse=True) if row >= since), 0.0)
            used = 440 + cores * (row * STEP + SCRAPED_AFTER) - fallen
            yield f"container_cpu_usage_seconds_total{_braces({**shared, 'cpu': cpu})} {used} {at}"
        yield f"container_memory_working_set_bytes{_braces(shared)} {task.memory} {at}"
        if task.started is not None:
            yield f"container_start_time_seconds{_braces(shared)} {START + task.started} {at}"


def _braces(labels: Mapping[str, str]) -> str:
    quoted = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in labels.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in quoted.items()) + "}"


@pytest.fixture(scope="module")
def prometheus(release: Release) -> Iterator[Prometheus]:
    """A real Prometheus that holds every case."""
    if reason := release.missing("prometheus", "promtool"):
        unavailable(reason)
    with ExitStack() as stack:
        yield entered(stack, Prometheus(openmetrics=openmetrics(), release=release))


@dataclass(frozen=True)
class Asker:
    """Asks a real Prometheus for a case's built-in metrics."""

    source: PrometheusSource

    def __call__(  # noqa: PLR0913 - a question's parts have names
        self,
        metric: str,
        case: str,
        first: int,
        last: int,
        *,
        aggregate: Literal["average", "max"] = "average",
        rate_window: int = 4 * STEP,
        labels: tuple[str, str] = (SERVICE_LABEL, TASK_LABEL),
    ) -> Mapping[str, Series]:
        """The samples from row *first* to row *last*, both included."""
        settings = MetricSettings(STEP, rate_window, 4 * STEP, f'case="{case}"', *labels)
        query = query_of(metric, Metric(aggregate=aggregate), settings)
        return self.source.fetch(query, START + first * STEP, START + last * STEP, STEP, Deadline(20))


@pytest.fixture
def ask(prometheus: Prometheus) -> Asker:
    """The question."""
    return Asker(PrometheusSource(ConnectionSettings(prometheus.url), SystemClock()))


class TestPerTask:
    def test_the_average_over_the_tasks(self, ask: Asker) -> None:
        """Cpu is the cores, memory the bytes, that a service's tasks use on average, beside how many they are."""
        cpu, memory = ask("cpu", "steady", 20, 22), ask("memory", "steady", 20, 22)
        assert {"web"} == set(cpu) == set(memory)
        assert shown(cpu["web"]) == close(0.5, 0.5, 0.5)
        assert shown(memory["web"]) == [300.0 * MIB] * 3
        assert cpu["web"].tasks == memory["web"].tasks == [3, 3, 3]

    def test_the_busiest_task(self, ask: Asker) -> None:
        """With aggregate max the value is that of the busiest task; the count is still of all."""
        cpu, memory = (ask(metric, "steady", 20, 20, aggregate="max")["web"] for metric in ("cpu", "memory"))
        assert shown(cpu) == close(0.9)
        assert shown(memory) == [600.0 * MIB]
        assert cpu.tasks == memory.tasks == [3]

    def test_a_task_on_several_cpus(self, ask: Asker) -> None:
        """A task's cores are those of all CPUs it runs on."""
        assert shown(ask("cpu", "cpus", 20, 20)["web"]) == close(0.875)

    def test_cadvisor_without_single_cpus(self, ask: Asker) -> None:
        """Where cAdvisor gives one series with cpu="total", that is the task's."""
        assert shown(ask("cpu", "total", 20, 20)["web"]) == close(0.75)

    def test_an_idle_task_reports(self, ask: Asker) -> None:
        """A task that uses nothing counts, with 0: that is not the same as a task without data."""
        cpu = ask("cpu", "idle", 20, 20)["web"]
        assert shown(cpu) == close(0.25)
        assert cpu.tasks == [2]

    def test_every_service_by_its_name(self, ask: Asker) -> None:
        """One query answers for all services, whatever limits they have: it reads none."""
        answer = ask("cpu", "services", 20, 20)
        assert {name: series.values[0] for name, series in answer.items()} == pytest.approx(
            {"api": 0.25, "db": 1.5, "web": 0.5}
        )

    @pytest.mark.parametrize("metric", ["cpu", "memory"])
    def test_weird_names(self, ask: Asker, metric: str) -> None:
        """A service's name is a value, whatever it is made of."""
        assert set(ask(metric, "weird", 20, 20)) == set(WEIRD)

    def test_other_labels(self, ask: Asker) -> None:
        """The labels that carry the service's and the task's name can be others."""
        assert shown(ask("cpu", "labels", 20, 20, labels=("swarm_service", "swarm_task"))["web"]) == close(0.5)

    @pytest.mark.parametrize("metric", ["cpu", "memory"])
    def test_no_series_at_all(self, ask: Asker, metric: str) -> None:
        """Without series there is no service, and no zero."""
        assert dict(ask(metric, "nothing", 20, 22)) == {}


class TestCountOnce:
    @pytest.mark.parametrize("metric", ["cpu", "memory"])
    def test_duplicate_scrapes(self, ask: Asker, metric: str) -> None:
        """A task that is scraped twice counts once."""
        expected = {"cpu": 0.375, "memory": 100 * MIB}[metric]
        answer = ask(metric, "duplicates", 20, 20)["web"]
        assert shown(answer) == close(expected)
        assert answer.tasks == [2]

    def test_scrapes_of_both_kinds(self, ask: Asker) -> None:
        """A task seen once CPU by CPU and once in total is not added up to twice its load."""
        answer = ask("cpu", "both_kinds", 20, 20)["web"]
        assert shown(answer) == close(0.75)
        assert answer.tasks == [1]

    @pytest.mark.parametrize("metric", ["cpu", "memory"])
    def test_what_is_no_task(self, ask: Asker, metric: str) -> None:
        """Containers and cgroups without a service or a task are not looked at."""
        assert set(ask(metric, "strangers", 20, 20)) == {"web"}


class TestWarmUp:
    @pytest.mark.parametrize(("metric", "alone", "both"), [("cpu", 0.5, 0.3), ("memory", 100 * MIB, 200 * MIB)])
    def test_young_tasks_are_left_out(self, ask: Asker, metric: str, alone: float, both: float) -> None:
        """A task counts from the moment on when it is as old as the warm-up, and neither value nor count before."""
        answer = ask(metric, "young", 20, 25)["web"]
        assert shown(answer) == close(alone, alone, alone, alone, both, both)
        assert answer.tasks == [1, 1, 1, 1, 2, 2]

    @pytest.mark.parametrize("metric", ["cpu", "memory"])
    def test_an_unknown_start(self, ask: Asker, metric: str) -> None:
        """A task whose start nothing tells counts."""
        assert ask(metric, "unknown_start", 20, 20)["web"].tasks == [1]


class TestResets:
    """The counter falls between the rows 30 and 31: its scrape follows row 30 by 7 seconds."""

    @pytest.mark.fault("counter-reset")
    @pytest.mark.parametrize("rate_window", [3 * STEP, 4 * STEP, 20 * STEP])
    @pytest.mark.parametrize(
        ("case", "other"),
        [
            ("restarted", 0.6),
            ("restarted_on_cpus", 0.75),
            ("restarted_in_total", 0.75),
            ("restarted_twice_seen", 0.6),
            ("restarted_both_kinds", 0.75),
        ],
    )
    def test_a_restarted_container_is_left_out(self, ask: Asker, case: str, other: float, rate_window: int) -> None:
        """A task whose counter was reset within the rate window is in neither value nor count; the others are."""
        answer = ask("cpu", case, 28, 56, rate_window=rate_window)["web"]
        rows = rate_window // STEP
        both = (0.8 + other) / 2
        assert answer.tasks is not None
        assert answer.tasks[:3] == [2] * 3
        assert answer.tasks[3 : 2 + rows] == [1] * (rows - 1)
        assert answer.tasks[3 + rows :] == [2] * (26 - rows)
        assert shown(answer)[:3] == close(both, both, both)
        assert shown(answer)[3 : 2 + rows] == close(*[0.8] * (rows - 1))
        assert shown(answer)[3 + rows :] == close(*[both] * (26 - rows))

    @pytest.mark.fault("counter-reset")
    def test_without_it_the_sample_would_be_below_0(self, ask: Asker) -> None:
        """The slope through the step alone, which once was taken for a calm, is far below 0."""
        expression = f'avg by ({SERVICE_LABEL}) (deriv(container_cpu_usage_seconds_total{{case="restarted"}}[1m]))'
        query = Query("cpu", expression, SERVICE_LABEL)
        answer = ask.source.fetch(query, START + 31 * STEP, START + 33 * STEP, STEP, Deadline(20))
        assert max(answer["web"].values) < -1

    @pytest.mark.fault("counter-reset")
    def test_a_service_whose_only_task_was_restarted(self, ask: Asker) -> None:
        """Without any other task there is no sample at all, and no task behind one."""
        answer = ask("cpu", "restarted_alone", 30, 36)["web"]
        assert shown(answer)[1:4] == [None] * 3
        assert answer.tasks == [1, 0, 0, 0, 1, 1, 1]

    @pytest.mark.fault("counter-reset")
    def test_a_counter_that_is_corrected(self, ask: Asker) -> None:
        """A counter that falls and is right again a scrape later has its task left out as long as that shows."""
        answer = ask("cpu", "corrected", 28, 38)["web"]
        assert answer.tasks == [2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2]
        assert all(value is not None and value > 0.6 for value in shown(answer))

    def test_a_restart_of_cadvisor_is_none(self, ask: Asker) -> None:
        """Where cAdvisor alone is restarted, with other options, the task goes on reporting, and never too low."""
        answer = ask("cpu", "cadvisor_restarted", 28, 40)["web"]
        assert answer.tasks is not None
        assert min(answer.tasks) == 2
        assert shown(answer) == close(*[0.775] * 13)

    def test_memory_is_a_gauge(self, ask: Asker) -> None:
        """A counter of CPU that was reset says nothing of the memory."""
        answer = ask("memory", "restarted", 28, 38)["web"]
        assert answer.tasks == [2] * 11


class TestMissingData:
    """The last scrape was 7 seconds after row 20: rows 21 to 23 are within three scrape intervals of it, 24 is not."""

    @pytest.mark.fault("samples-missing")
    @pytest.mark.parametrize("rate_window", [2 * STEP, 4 * STEP, 20 * STEP])
    def test_a_dead_container_does_not_linger(self, ask: Asker, rate_window: int) -> None:
        """A container that is gone is out of value and count after three scrape intervals, however long the window."""
        answer = ask("cpu", "dead", 20, 30, rate_window=rate_window)["web"]
        assert answer.tasks is not None
        assert answer.tasks[4:] == [1] * 7
        assert shown(answer)[4:] == close(*[0.8] * 7)

    def test_a_dead_containers_memory_does_not_linger(self, ask: Asker) -> None:
        """Memory is that of the last three scrape intervals, not of Prometheus' five minutes."""
        answer = ask("memory", "dead", 20, 25)["web"]
        assert answer.tasks == [2, 2, 2, 2, 1, 1]
        assert shown(answer) == [200.0 * MIB] * 4 + [100.0 * MIB] * 2

    @pytest.mark.fault("tasks-silent")
    def test_a_lost_node_never_looks_calm(self, ask: Asker) -> None:
        """While samples are missing, cpu is what it was, and then missing: never lower."""
        answer = ask("cpu", "node_lost", 20, 25)
        assert shown(answer["web"]) == close(0.6, 0.6, 0.6, 0.6, None, None)
        assert answer["web"].tasks == [2, 2, 2, 2, 0, 0]

    def test_rate_would_look_calm(self, ask: Asker) -> None:
        """Why cpu is not made with rate: on the same samples, that falls to 37.5 % of the load before it is missing."""
        expression = f'avg by ({SERVICE_LABEL}) (rate(container_cpu_usage_seconds_total{{case="node_lost"}}[1m]))'
        query = Query("cpu", expression, SERVICE_LABEL)
        answer = ask.source.fetch(query, START + 20 * STEP, START + 24 * STEP, STEP, Deadline(20))
        lowest = min(value for value in answer["web"].values if not isnan(value))
        assert lowest < 0.6 / 2

    @pytest.mark.fault("samples-missing")
    def test_a_missed_scrape_never_looks_calm(self, ask: Asker) -> None:
        """One failed scrape changes nothing."""
        assert shown(ask("cpu", "missed_scrape", 18, 26)["web"]) == close(*[0.8] * 9)


class TestAdapter:
    @pytest.mark.fault("query-fails")
    def test_prometheus_own_words_on_a_wrong_query(self, ask: Asker) -> None:
        """A query that cannot be read is refused, in Prometheus' words."""
        with pytest.raises(RefusedError, match="parse error"):
            ask.source.fetch(Query("load", "sum(", "service"), START, START, STEP, Deadline(20))

    @pytest.mark.fault("query-fails")
    def test_a_query_that_cannot_be_carried_out(self, ask: Asker) -> None:
        """A query that fails in its execution is refused, in Prometheus' words."""
        many = "container_memory_working_set_bytes * on () container_memory_working_set_bytes"
        with pytest.raises(RefusedError, match="422: found duplicate series"):
            ask.source.fetch(Query("load", many, SERVICE_LABEL), START + 300, START + 300, STEP, Deadline(20))

    @pytest.mark.fault("query-fails")
    def test_series_that_must_be_aggregated(self, ask: Asker) -> None:
        """Several series for one service are refused by the service's name, with the cure."""
        query = Query("load", 'container_memory_working_set_bytes{case="steady"}', SERVICE_LABEL)
        with pytest.raises(RefusedError, match=f"web.*sum by \\({SERVICE_LABEL}\\)"):
            ask.source.fetch(query, START + 300, START + 300, STEP, Deadline(20))

    @pytest.mark.fault("query-fails")
    def test_a_query_that_takes_too_long(self, ask: Asker) -> None:
        """A query that takes Prometheus longer than there is time is given up, and the next one is answered."""
        slow = Query("load", "sum(count_over_time(vector(1)[10h:1ms]))", None)
        with pytest.raises(DeadlineError):
            ask.source.fetch(slow, START, START, STEP, Deadline(0.5))
        assert ask("cpu", "steady", 20, 20)["web"].tasks == [3]

    @pytest.mark.parametrize("selector", RIGHT_SELECTORS)
    def test_selectors_that_are_right(self, ask: Asker, selector: str) -> None:
        """Prometheus takes every selector in which no problem is found."""
        settings = MetricSettings(STEP, 4 * STEP, 4 * STEP, selector)
        for query in (query_of(name, metric, settings) for name, metric in BUILT_IN.items()):
            ask.source.fetch(query, START, START, STEP, Deadline(20))

    @pytest.mark.parametrize("selector", [text for text, _ in WRONG_SELECTORS if "vector" not in text])
    def test_selectors_that_are_wrong(self, ask: Asker, selector: str) -> None:
        """Prometheus refuses the selectors in which a problem is found, but for the one that leaves its braces."""
        with pytest.raises(RefusedError, match="parse error"):
            ask.source.fetch(Query("load", f"up{{{selector}}}", "job"), START, START, STEP, Deadline(20))

    def test_more_points_than_prometheus_gives(self, ask: Asker) -> None:
        """A range of more than 11,000 points is asked for in parts, and comes back whole."""
        query = Query("load", f'label_replace(vector(time() - {START}), "service", "web", "", "")', "service")
        answer = ask.source.fetch(query, START, START + 25_000, 1, Deadline(20))
        assert answer["web"].values == [float(second) for second in range(25_001)]

    def test_which_containers_report(self, ask: Asker) -> None:
        """The labels of each container that reports now, by one query for several services with any names."""
        settings = MetricSettings(STEP, 4 * STEP, 4 * STEP, 'case="services"')
        expression = reporters(["db", "web", *WEIRD], settings)
        then = expression.replace("[45s]", f"[45s] @ {START + 20 * STEP}")
        found = ask.source.labels(then, Deadline(20))
        assert {labels[TASK_LABEL] for labels in found} == {"db.1.a", "web.1.id1"}

    def test_one_clock(self, ask: Asker) -> None:
        """On one machine there is no offset between the clocks."""
        now = SystemClock().now()
        assert ask.source.clock_offset(now, Deadline(20)) == 0.0


@dataclass(frozen=True)
class Backfilled:
    """The adapter on a real Prometheus."""

    url: str
    nowhere: str

    def holding(self, case: str, *, counts_tasks: bool = True) -> Subject:
        """One whose Prometheus holds the samples of a case."""
        # One second back and no further, so that a hole is a hole.
        value, count = (f'last_over_time({name}{{case="{case}"}}[1s])' for name in ("contract_value", "contract_tasks"))
        if counts_tasks:
            value = f'label_replace({value}, "{STAT_LABEL}", "{VALUE}", "", "")'
            value += f' or label_replace({count}, "{STAT_LABEL}", "{TASKS}", "", "")'
        return self._subject(self.url, value, counts_tasks=counts_tasks)

    def refusing(self) -> Subject:
        """One whose Prometheus cannot read the query."""
        return self._subject(self.url, "sum(")

    def unreachable(self) -> Subject:
        """One whose Prometheus does not run."""
        return self._subject(self.nowhere, "vector(1)")

    @staticmethod
    def _subject(url: str, expression: str, *, counts_tasks: bool = True) -> Subject:
        source = PrometheusSource(ConnectionSettings(url), SystemClock())
        return Subject(source, Query("load", expression, "service", counts_tasks))


class TestContract(MetricSourceContract):
    @pytest.fixture
    def world(self, prometheus: Prometheus) -> Iterator[World]:
        """Sources on the real Prometheus."""
        with refusing_url() as nowhere:
            yield Backfilled(prometheus.url, nowhere)
