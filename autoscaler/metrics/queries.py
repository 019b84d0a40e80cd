"""The PromQL of metrics: of the built-in `cpu` and `memory`, over the series of cAdvisor, and of custom ones.

Where the tasks behind a metric are known, an answer holds, for each service, its value (averaged over its tasks, their
total, or that of the busiest one) and the number of tasks behind that value, told apart by the label `STAT_LABEL`. The
built-in metrics are cores and bytes; percent is made elsewhere, from Swarm's own limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.policy import promql
from autoscaler.policy.metric import LABEL
from autoscaler.ports import Query
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from autoscaler.policy.metric import Metric

STAT_LABEL = "autoscaler_stat"
"""The label that tells a service's two series apart: its value is `VALUE` or `TASKS`."""
VALUE = "value"
TASKS = "tasks"

SERVICE_LABEL = "container_label_com_docker_swarm_service_name"
TASK_LABEL = "container_label_com_docker_swarm_task_name"

_CPU = "container_cpu_usage_seconds_total"
_MEMORY = "container_memory_working_set_bytes"
_START = "container_start_time_seconds"
_LINGER = 3
"""For how many scrape intervals the last sample of a gauge is believed (SPEC 3)."""
_AGGREGATES = {"average": "avg", "max": "max"}

_RESERVED = frozenset({"cpu", "__name__", STAT_LABEL})

# A label matcher, as the PromQL grammar has it: Go's string escapes, raw strings in backquotes.
_ESCAPE = r"\\(?:[abfnrtv\\{quote}]|x[0-9a-fA-F]{{2}}|[0-3][0-7]{{2}}|u[0-9a-fA-F]{{4}}|U[0-9a-fA-F]{{8}})"
_QUOTED = "|".join(f"{quote}(?:[^{quote}\\\\\n]|{_ESCAPE.format(quote=quote)})*{quote}" for quote in ('"', "'"))
_MATCHER_NAME = re.compile(rf"\s*({LABEL.pattern})\s*")
_MATCHER_REST = re.compile(rf"(?:=~|!~|!=|=)\s*(?:{_QUOTED}|`[^`]*`)\s*")


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """What the built-in metrics need to know of the scrapes; durations are whole seconds.

    Raises ValueError where a value would not make a valid query.
    """

    scrape_interval: int
    rate_window: int
    """Over how long the CPU's speed is measured."""
    warmup: int
    """Tasks younger than this are left out."""
    selector: str = ""
    """Label matchers that every series must satisfy, without braces: ``job="cadvisor",cluster="prod"``."""
    service_label: str = SERVICE_LABEL
    task_label: str = TASK_LABEL

    def __post_init__(self) -> None:
        if self.scrape_interval < 1:
            raise ValueError(f"a scrape interval of {self.scrape_interval} s makes no query (1s at least)")
        if self.warmup < 0:
            raise ValueError(f"a warm-up of {self.warmup} s makes no query (0s at least)")
        if self.rate_window < 2 * self.scrape_interval:
            raise ValueError(
                f"a rate window of {words(self.rate_window)} often holds less than the two samples that a speed takes "
                f"(twice the scrape interval, {words(2 * self.scrape_interval)}, at least; four times is usual)"
            )
        for problem in (
            problems_of_selector(self.selector),
            problems_of_label(self.service_label),
            problems_of_label(self.task_label),
        ):
            if problem is not None:
                raise ValueError(problem)
        if self.service_label == self.task_label:
            raise ValueError(f"the service's label and the task's label are both {self.service_label}")


def query_of(name: str, metric: Metric, settings: MetricSettings, service: str = "") -> Query:
    """The query that gives *metric*, which is called *name*; for *service*, where each service has a query of its own.

    The built-in `cpu` is in cores and `memory` in bytes per task. Raises ValueError where the service's name cannot
    stand in the query.
    """
    if metric.query is None:
        tasks = _warm(_cpu(settings) if name == "cpu" else _memory(settings), settings)
        expression = _with_count(tasks, settings.service_label, _AGGREGATES[metric.aggregate])
        return Query(name, expression, settings.service_label, counts_tasks=True)
    expression = promql.for_service(metric.query, service) if metric.per_service else metric.query
    if metric.task is not None:
        by = ",".join(filter(None, (metric.by, metric.task)))
        # A task that is scraped twice counts once.
        tasks = f"max by ({by}) ({expression}\n)"
        aggregate = "sum" if metric.kind == "total" else _AGGREGATES[metric.aggregate]
        expression = _with_count(tasks, metric.by or "", aggregate)
    of_one = service if metric.per_service else ""
    return Query(name, expression, metric.by, counts_tasks=metric.counts_tasks, service=of_one)


def oldest_task(settings: MetricSettings) -> str:
    """An expression that gives one series of cAdvisor's, of a task that has run for as long as any."""
    return f"bottomk(1, {_series(_START, settings)})"


def problems_of_selector(text: str) -> str | None:
    """What is wrong with label matchers such as ``job="cadvisor",cluster="prod"``, and the cure; None where nothing is.

    No text at all is right: it selects every series. The syntax of regular expressions is left to Prometheus.
    """
    position = 0
    while text[position:].strip():
        name = _MATCHER_NAME.match(text, position)
        if name is None:
            return _selector_problem(text, position, "a label name")
        if name.group(1) == "__name__":
            return _selector_problem(text, name.start(1), "another label than the metric's name")
        rest = _MATCHER_REST.match(text, name.end())
        if rest is None:
            return _selector_problem(text, name.end(), "one of = != =~ !~ and a quoted value")
        position = rest.end()
        if position < len(text):
            if text[position] != ",":
                return _selector_problem(text, position, "a comma")
            position += 1
    return None


def problems_of_label(name: str) -> str | None:
    """What is wrong with *name* as the label of a service or a task, and the cure; None where nothing is."""
    if not LABEL.fullmatch(name):
        return f"{name!r} is no label name of Prometheus (letters, digits and _, no digit first)"
    if name in _RESERVED:
        return f"the label {name} has a meaning of its own here (name the label that carries the service or the task)"
    return None


def _selector_problem(text: str, position: int, needed: str) -> str:
    return (
        f"the selector {text!r} needs {needed} at character {position + 1} "
        '(write label matchers with commas between and without braces, like job="cadvisor",cluster="prod")'
    )


def _cpu(settings: MetricSettings) -> str:
    """The cores that each task uses.

    cAdvisor gives either one series per CPU or, where those are disabled or the cgroup does not tell them apart, one
    with cpu="total"; where two cAdvisors with different options see a task, or one has just been started anew with
    others, both exist, and their sum would be twice the truth.
    """
    total, single = _cpu_over(settings, 'cpu="total"'), _cpu_over(settings, 'cpu!="total"')
    return f"({total} or {single})"


def _cpu_over(settings: MetricSettings, matcher: str) -> str:
    by = _by(settings)
    series = _series(_CPU, settings, matcher)
    # deriv and not rate: rate divides what the samples show by the whole window, so that with a window of four scrapes
    # one missed scrape makes a steady load look a quarter lower, and a lost node half (measured, tests/integration/
    # test_prometheus_real.py): a calm made of missing data. deriv, the slope through the samples that are there, stays.
    # It cannot tell a counter that starts anew, but a task's never does: Swarm starts another task instead.
    speed = f"deriv({series}[{settings.rate_window}s])"
    if settings.rate_window > (_LINGER + 1) * settings.scrape_interval:
        # A longer window would show a dead container for longer; the second-last sample ages out of a shorter one.
        speed = f"({speed} and {_last(_CPU, settings, matcher)})"
    # A task that is scraped twice, under other instances or jobs, has each of its series twice: count it once.
    return f"sum by ({by}) (max by ({by},cpu) ({speed}))"


def _memory(settings: MetricSettings) -> str:
    """The bytes that each task holds, without the page cache it could give back: what `docker stats` shows."""
    return f"max by ({_by(settings)}) ({_last(_MEMORY, settings)})"


def _warm(tasks: str, settings: MetricSettings) -> str:
    """*tasks* without those younger than the warm-up; one whose start is unknown stays."""
    by = _by(settings)
    start = f"max by ({by}) ({_last(_START, settings)})"
    return f"({tasks} unless on ({by}) (time() - {start} < {settings.warmup}))"


def _with_count(tasks: str, label: str, aggregate: str) -> str:
    """What *tasks* come to by *aggregate*, and how many they are, for each value of *label*, or at all without one."""
    value, count = (f"{operator} by ({label}) ({tasks})" for operator in (aggregate, "count"))
    return f"{_labelled(value, VALUE)} or {_labelled(count, TASKS)}"


def _labelled(expression: str, stat: str) -> str:
    return f'label_replace({expression}, "{STAT_LABEL}", "{stat}", "", "")'


def _by(settings: MetricSettings) -> str:
    return f"{settings.service_label},{settings.task_label}"


def _last(metric: str, settings: MetricSettings, matcher: str = "") -> str:
    """The last samples, three scrape intervals old at most; an instant selector would see them for five minutes."""
    return f"last_over_time({_series(metric, settings, matcher)}[{_LINGER * settings.scrape_interval}s])"


def _series(metric: str, settings: MetricSettings, matcher: str = "") -> str:
    # Without the task's label all tasks would look like one: better no data than those.
    matchers = [f'{settings.service_label}!=""', f'{settings.task_label}!=""', matcher]
    matchers.append(settings.selector.strip().rstrip(",").rstrip())
    return f"{metric}{{{','.join(filter(None, matchers))}}}"
