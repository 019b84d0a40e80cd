"""The PromQL of metrics: of the built-in `cpu` and `memory`, over the series of cAdvisor, and of custom ones.

Where the tasks behind a metric are known, an answer holds, for each service, its value (averaged over its tasks, their
total, or that of the busiest one) and the number of tasks behind that value, told apart by the label `STAT_LABEL`. The
built-in metrics are cores and bytes; percent is made elsewhere, from Swarm's own limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.core.window import Part
from autoscaler.policy import promql
from autoscaler.policy.metric import LABEL
from autoscaler.ports import Query
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autoscaler.policy.metric import Metric

STAT_LABEL = "autoscaler_stat"
"""The label that tells a service's two series apart: its value is `VALUE` or `TASKS`."""
VALUE = "value"
TASKS = "tasks"

SERVICE_LABEL = "container_label_com_docker_swarm_service_name"
TASK_LABEL = "container_label_com_docker_swarm_task_name"

STARVATION = "cpu/starvation"
"""What the query for starved tasks is called; no policy file can call a metric so."""
PLACE_LABEL = "autoscaler_place"
"""The label that says what a series of that query is about: `BUSY` or `WAITS`, the id of the node as far as the series
tell it, the instance and the service, with blanks between them."""
BUSY = "busy"
WAITS = "waits"
NODE_LABEL = "container_label_com_docker_swarm_node_id"

_CPU = "container_cpu_usage_seconds_total"
_MEMORY = "container_memory_working_set_bytes"
_START = "container_start_time_seconds"
_CORES = "machine_cpu_cores"
_STALLED = "container_pressure_cpu_stalled_seconds_total"
_WAITING = "container_pressure_cpu_waiting_seconds_total"
_THROTTLED = "container_cpu_cfs_throttled_periods_total"
_PERIOD = 0.1
"""Seconds of the periods in which the kernel counts a task's CPU against its limit, as Docker sets them."""
_BUSY_NODE = 0.97
"""The share of its cores from which on a node has none to spare: while tasks wait for a CPU, none is idle but for
moments; at 95 % a task that wants one still finds it."""
_LONG_WAIT = 0.1
"""The share of the time from which on a task that waits for a CPU is starved."""
_LINGER = 3
"""For how many scrape intervals the last sample of a gauge is believed (docs/facts.md#lingering-gauges)."""
_AGGREGATES = {"average": "avg", "max": "max"}

_RESERVED = frozenset({"cpu", "__name__", STAT_LABEL, PLACE_LABEL})

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


def starvation_query(settings: MetricSettings) -> Query:
    """The query for tasks that may be starved of CPU: a series for each service on each node where they may be.

    Its value is the share of the time that a task of the service waits for a CPU, or the share of the node's cores that
    is in use. There is no series where nothing is starved, nor where neither can be told.
    """
    service = settings.service_label
    # A task whose own waiting is known is judged by it, whatever its node is like. cAdvisor exports 0 also where the
    # kernel does not count it, as on cgroups v1; where it does, no task has never waited.
    told = f"max by ({service},instance) ({_last(_WAITING, settings)}) > 0"
    busy = f"({_on_busy_nodes(settings)} unless on ({service},instance) ({told}))"
    places = (_placed(_waits(settings), WAITS, service), _placed(busy, BUSY, service))
    return Query(STARVATION, " or ".join(places), PLACE_LABEL)


def starvation_told(settings: MetricSettings) -> Query:
    """A query with one value where Prometheus has series that tell of starvation, of any node; with none otherwise."""
    told = f"count({_use_of_nodes(settings)}) or count({_last(_WAITING, settings)} > 0)"
    return Query(STARVATION, told, None)


def span_of(name: str, metric: Metric, settings: MetricSettings) -> tuple[Part, ...]:
    """Return which parts of the time before a sample of *metric*, which is called *name*, the sample is about.

    It is the longest range of the query, the rate window of the built-in `cpu`; without any it is a moment. Each ends a
    scrape interval before the sample: nobody knows how long ago the last scrape was, and a later end would count tasks
    that have begun since. The slope through samples counts the gaps between them as the products of how many samples
    are before and after them.
    """
    scrape = settings.scrape_interval
    if metric.query is not None:
        longest = promql.longest_range(metric.query)
        return (Part(max(longest, scrape), scrape),)
    if name != "cpu":
        return (Part(scrape, scrape),)
    gaps = settings.rate_window // scrape - 1
    window = settings.rate_window
    return tuple(
        Part(window - number * scrape, window - (number + 1) * scrape, (number + 1) * (gaps - number))
        for number in range(gaps)
    )


def lingers(metric: Metric, settings: MetricSettings) -> tuple[int, int]:
    """Return for how many seconds after its end a task reports at least, and at most.

    A container that is gone is shown for two scrapes certainly, and by the third not any more. Of a query of the
    user's own nothing is certain but that a range selector shows it as long as the range.
    """
    scrape = settings.scrape_interval
    if metric.query is not None:
        return 0, max(promql.longest_range(metric.query), _LINGER * scrape) + scrape
    return (_LINGER - 1) * scrape, max(settings.rate_window, _LINGER * scrape) + scrape


def reporters(services: Iterable[str], settings: MetricSettings) -> str:
    """Return an expression that gives a series for each container that reports as a task of one of *services*."""
    names = f"{settings.service_label}=~{promql.any_of(services)}"
    return f"{_last(_MEMORY, settings, names)}"


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
        return f"{name!r} is not a label name of Prometheus (letters, digits and _, no digit first)"
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
    # A container that was restarted by hand counts from 0 again in the same series, and the slope through that step is
    # too low, below 0 even. Its sample is missing then: the others count, and what is partial removes nothing.
    reset = f"resets({_series(_CPU, settings)}[{settings.rate_window}s]) > 0"
    return f"((({total} or {single}) unless on ({_by(settings)}) {reset}) >= 0)"


def _cpu_over(settings: MetricSettings, matcher: str) -> str:
    by = _by(settings)
    series = _series(_CPU, settings, matcher)
    # deriv and not rate: rate divides what the samples show by the whole window, so that with a window of four scrapes
    # one missed scrape makes a steady load look a quarter lower, and a lost node half (measured, tests/integration/
    # test_prometheus_real.py): a calm made of missing data. deriv, the slope through the samples that are there, stays.
    # It takes no notice of a counter that was reset, which `_cpu` leaves out.
    speed = f"deriv({series}[{settings.rate_window}s])"
    if settings.rate_window > (_LINGER + 1) * settings.scrape_interval:
        # A longer window would show a dead container for longer; the second-last sample ages out of a shorter one.
        speed = f"({speed} and {_last(_CPU, settings, matcher)})"
    # A task that is scraped twice, under other instances or jobs, has each of its series twice: count it once.
    return f"sum by ({by}) (max by ({by},cpu) ({speed}))"


def _waits(settings: MetricSettings) -> str:
    """How long the task of a service waits that waits longest, as a share of the time, if that is long.

    The kernel counts a task as stalled while it could run and others have the CPU, and also while it has used up its
    limit; a task that was throttled in a period has had all that it may have in it, so those periods do not count.
    Kernels before 5.13 do not tell how long a task was stalled, and say 0; it was waiting then, also for itself.
    """
    by = f"{settings.service_label},{NODE_LABEL},instance"
    of_task = f"{by},{settings.task_label}"

    def speed(metric: str) -> str:
        return f"max by ({of_task}) (deriv({_series(metric, settings)}[{settings.rate_window}s]))"

    waiting = f"(({speed(_STALLED)} > 0) or {speed(_WAITING)})"
    throttled = _labelled(f"(-{_PERIOD} * {speed(_THROTTLED)})", "throttled")
    return f"(max by ({by}) (sum by ({of_task}) ({waiting} or {throttled})) >= {_LONG_WAIT})"


def _on_busy_nodes(settings: MetricSettings) -> str:
    """The services that have a task on a node without CPU to spare, with what that uses of its cores."""
    here = f"max by ({settings.service_label},{NODE_LABEL},instance) ({_last(_START, settings)})"
    return f"({here} * 0 + on (instance) group_left () ({_use_of_nodes(settings)} >= {_BUSY_NODE}))"


def _use_of_nodes(settings: MetricSettings) -> str:
    """The share of its cores that each node uses, by the instance that tells of it.

    cAdvisor exports the root cgroup and `machine_cpu_cores` with --docker_only as well. It measures a container every
    one to two housekeeping intervals: over one rate window, at 10 s and scrapes of 15 s, a steady use reads 14 % more
    or less (one standard deviation), over two of them 5 %.
    """

    def used(matcher: str) -> str:
        series = _selected(_CPU, settings, 'id="/"', matcher)
        return f"sum by (instance) (max by (instance,cpu) (deriv({series}[{2 * settings.rate_window}s])))"

    total, single = used('cpu="total"'), used('cpu!="total"')
    cores = f"last_over_time({_selected(_CORES, settings)}[{_LINGER * settings.scrape_interval}s])"
    return f"(({total} or {single}) / on (instance) max by (instance) ({cores}))"


def _placed(expression: str, kind: str, service: str) -> str:
    labels = ", ".join(f'"{label}"' for label in (STAT_LABEL, NODE_LABEL, "instance", service))
    return f'label_join({_labelled(expression, kind)}, "{PLACE_LABEL}", " ", {labels})'


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
    return _selected(metric, settings, f'{settings.service_label}!=""', f'{settings.task_label}!=""', matcher)


def _selected(metric: str, settings: MetricSettings, *matchers: str) -> str:
    selector = settings.selector.strip().rstrip(",").rstrip()
    return f"{metric}{{{','.join(filter(None, (*matchers, selector)))}}}"
