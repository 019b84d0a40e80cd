"""The PromQL of metrics: the built-in `cpu` and `memory`, over the series of cAdvisor, and custom ones.

If the tasks behind a metric are known, an answer has two series for each service: its value, and the number of tasks
behind that value. The value is the average or the total of the tasks, or that of the busiest one. The label
`STAT_LABEL` distinguishes the two series. The built-in metrics are in cores and bytes. Percent is computed elsewhere,
from Swarm's own limits.
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
"""The label that distinguishes a service's two series: its value is `VALUE` or `TASKS`."""
VALUE = "value"
TASKS = "tasks"

SERVICE_LABEL = "container_label_com_docker_swarm_service_name"
TASK_LABEL = "container_label_com_docker_swarm_task_name"

STARVATION = "cpu/starvation"
"""The name of the query for starved tasks. No policy file can give this name to a metric."""
PLACE_LABEL = "autoscaler_place"
"""The label that identifies a series of that query: `BUSY` or `WAITS`, the id of the node as far as the series carry
it, the instance and the service, with blanks between them."""
BUSY = "busy"
WAITS = "waits"
NODE_LABEL = "container_label_com_docker_swarm_node_id"

_CPU = "container_cpu_usage_seconds_total"
_MEMORY = "container_memory_working_set_bytes"
SERIES_OF = {"cpu": _CPU, "memory": _MEMORY}
"""Prometheus' name of each built-in metric's series."""
_START = "container_start_time_seconds"
_CORES = "machine_cpu_cores"
_STALLED = "container_pressure_cpu_stalled_seconds_total"
_WAITING = "container_pressure_cpu_waiting_seconds_total"
_THROTTLED = "container_cpu_cfs_throttled_periods_total"
_PERIOD = 0.1
"""The length in seconds of the periods in which the kernel counts a task's CPU against its limit, as Docker sets it."""
_BUSY_NODE = 0.97
"""The share of its cores from which on a node has no CPU to spare. While tasks wait for a CPU, cores are idle only for
moments. At 95 % a task that wants a CPU still finds one."""
_LONG_WAIT = 0.1
"""The share of the time that a task must wait for a CPU to count as starved."""
_LINGER = 3
"""The number of scrape intervals for which the last sample of a gauge is believed (docs/facts.md#lingering-gauges)."""
_AGGREGATES = {"average": "avg", "max": "max"}

_RESERVED = frozenset({"cpu", "__name__", STAT_LABEL, PLACE_LABEL})

# A label matcher, as the PromQL grammar has it: Go's string escapes, raw strings in backquotes.
_ESCAPE = r"\\(?:[abfnrtv\\{quote}]|x[0-9a-fA-F]{{2}}|[0-3][0-7]{{2}}|u[0-9a-fA-F]{{4}}|U[0-9a-fA-F]{{8}})"
_QUOTED = "|".join(f"{quote}(?:[^{quote}\\\\\n]|{_ESCAPE.format(quote=quote)})*{quote}" for quote in ('"', "'"))
_MATCHER_NAME = re.compile(rf"\s*({LABEL.pattern})\s*")
_MATCHER_REST = re.compile(rf"(?:=~|!~|!=|=)\s*(?:{_QUOTED}|`[^`]*`)\s*")


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """The facts about scrapes that the built-in metrics need; durations are whole seconds.

    A value that would not make a valid query raises ValueError.
    """

    scrape_interval: int
    rate_window: int
    """The time over which the CPU's speed is measured."""
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
    """Return the query of the *metric* called *name*; for *service*, if each service has its own query.

    The built-in `cpu` is in cores and `memory` in bytes per task. Raise ValueError if the service's name cannot be
    written into the query.
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
    """Return the query for tasks that may be starved of CPU: a series for each service on each node with such tasks.

    Its value is the share of the time that a task of the service waits for a CPU, or the share of the node's cores that
    is in use. There is no series if no task is starved, or if neither share is known.
    """
    service = settings.service_label
    # A task whose own waiting is known is judged by that, and not by its node. cAdvisor also exports 0 if the kernel
    # does not count the waiting, as on cgroups v1. If the kernel counts it, every task has waited at some time.
    told = f"max by ({service},instance) ({_last(_WAITING, settings)}) > 0"
    busy = f"({_on_busy_nodes(settings)} unless on ({service},instance) ({told}))"
    places = (_placed(_waits(settings), WAITS, service), _placed(busy, BUSY, service))
    return Query(STARVATION, " or ".join(places), PLACE_LABEL)


def starvation_told(settings: MetricSettings) -> Query:
    """Return a query that has a value if Prometheus has series that show starvation on any node, and none otherwise."""
    told = f"count({_use_of_nodes(settings)}) or count({_last(_WAITING, settings)} > 0)"
    return Query(STARVATION, told, None)


def span_of(name: str, metric: Metric, settings: MetricSettings) -> tuple[Part, ...]:
    """Return the parts of the time that a sample of the *metric* called *name* is about.

    That time is the longest range of the query, or the rate window of the built-in `cpu`; without any range it is a
    moment. Each part ends a scrape interval before the sample, because the time of the last scrape is not known, and a
    later end would count tasks that have begun since. In the slope through samples, each gap has the weight (samples
    before it) x (samples after it).
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
    """Return the seconds after its end for which a task still reports, at least and at most.

    A container that is gone is certainly shown for two scrapes, and no longer at the third. For a custom query only one
    thing is certain: a range selector shows the container for the length of the range.
    """
    scrape = settings.scrape_interval
    if metric.query is not None:
        return 0, max(promql.longest_range(metric.query), _LINGER * scrape) + scrape
    return (_LINGER - 1) * scrape, max(settings.rate_window, _LINGER * scrape) + scrape


def reporters(services: Iterable[str], settings: MetricSettings) -> str:
    """Return an expression with a series for each container that reports as a task of one of *services*."""
    names = f"{settings.service_label}=~{promql.any_of(services)}"
    return f"{_last(_MEMORY, settings, names)}"


def starts(settings: MetricSettings) -> str:
    """Return an expression for the number of series that tell when a task started."""
    return f"count({_last(_START, settings)})"


def oldest_task(settings: MetricSettings) -> str:
    """Return an expression with one series of cAdvisor's: that of the task that has run longest."""
    return f"bottomk(1, {series(_START, settings)})"


def problems_of_selector(text: str) -> str | None:
    """Return what is wrong with label matchers such as ``job="cadvisor"``, and the cure; None if they are valid.

    An empty text is valid: it selects every series. Prometheus checks the syntax of regular expressions.
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
    """Return what is wrong with *name* as the label of a service or task, and the cure; None if it is valid."""
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
    """Return an expression for the cores that each task uses.

    cAdvisor gives one series per CPU. It gives one series with cpu="total" if those are disabled, or if the cgroup does
    not distinguish CPUs. Both exist if two cAdvisors with different options see a task, or if one was restarted with
    other options. Their sum would then be twice the truth.
    """
    total, single = _cpu_over(settings, 'cpu="total"'), _cpu_over(settings, 'cpu!="total"')
    # A container that was restarted by hand counts from 0 again in the same series. The slope through that step is too
    # low, and may be below 0. The sample of this task is then missing, and partial data remove no replica.
    reset = f"resets({series(_CPU, settings)}[{settings.rate_window}s]) > 0"
    return f"((({total} or {single}) unless on ({_by(settings)}) {reset}) >= 0)"


def _cpu_over(settings: MetricSettings, matcher: str) -> str:
    by = _by(settings)
    chosen = series(_CPU, settings, matcher)
    # deriv and not rate: rate divides what the samples show by the whole window, so that with a window of four scrapes
    # one missed scrape makes a steady load look a quarter lower, and a lost node half (measured, tests/integration/
    # test_prometheus_real.py): a calm made of missing data. deriv, the slope through the samples that are there, stays.
    # It takes no notice of a counter that was reset, which `_cpu` leaves out.
    speed = f"deriv({chosen}[{settings.rate_window}s])"
    if settings.rate_window > (_LINGER + 1) * settings.scrape_interval:
        # A longer window would show a dead container for longer; the second-last sample ages out of a shorter one.
        speed = f"({speed} and {_last(_CPU, settings, matcher)})"
    # A task that is scraped twice, under other instances or jobs, has each of its series twice: count it once.
    return f"sum by ({by}) (max by ({by},cpu) ({speed}))"


def _waits(settings: MetricSettings) -> str:
    """Return an expression for the longest wait of a service's task, as a share of the time, if it is long.

    The kernel counts a task as stalled while it could run and others have the CPU, and also while it has used up its
    limit. A task that was throttled in a period has had all that its limit allows, so such periods do not count.
    Kernels before 5.13 report 0 for the stalled time. The waiting time is used then, which also counts a task that
    waits for itself.
    """
    by = f"{settings.service_label},{NODE_LABEL},instance"
    of_task = f"{by},{settings.task_label}"

    def speed(metric: str) -> str:
        return f"max by ({of_task}) (deriv({series(metric, settings)}[{settings.rate_window}s]))"

    waiting = f"(({speed(_STALLED)} > 0) or {speed(_WAITING)})"
    throttled = _labelled(f"(-{_PERIOD} * {speed(_THROTTLED)})", "throttled")
    return f"(max by ({by}) (sum by ({of_task}) ({waiting} or {throttled})) >= {_LONG_WAIT})"


def _on_busy_nodes(settings: MetricSettings) -> str:
    """Return an expression for services with tasks on a node without CPU to spare; its value is the node's CPU use."""
    here = f"max by ({settings.service_label},{NODE_LABEL},instance) ({_last(_START, settings)})"
    return f"({here} * 0 + on (instance) group_left () ({_use_of_nodes(settings)} >= {_BUSY_NODE}))"


def _use_of_nodes(settings: MetricSettings) -> str:
    """Return an expression for the share of its cores that each node uses, by the instance that reports it.

    cAdvisor exports the root cgroup and `machine_cpu_cores` with --docker_only as well. It measures a container every
    one to two housekeeping intervals. At 10 s and scrapes of 15 s, a steady use over one rate window reads 14 % more or
    less (one standard deviation), and over two rate windows 5 %.
    """

    def used(matcher: str) -> str:
        of_node = selected(_CPU, settings, 'id="/"', matcher)
        return f"sum by (instance) (max by (instance,cpu) (deriv({of_node}[{2 * settings.rate_window}s])))"

    total, single = used('cpu="total"'), used('cpu!="total"')
    cores = f"last_over_time({selected(_CORES, settings)}[{_LINGER * settings.scrape_interval}s])"
    return f"(({total} or {single}) / on (instance) max by (instance) ({cores}))"


def _placed(expression: str, kind: str, service: str) -> str:
    labels = ", ".join(f'"{label}"' for label in (STAT_LABEL, NODE_LABEL, "instance", service))
    return f'label_join({_labelled(expression, kind)}, "{PLACE_LABEL}", " ", {labels})'


def _memory(settings: MetricSettings) -> str:
    """Return an expression for the bytes of each task, without page cache it could free, as in `docker stats`."""
    return f"max by ({_by(settings)}) ({_last(_MEMORY, settings)})"


def _warm(tasks: str, settings: MetricSettings) -> str:
    """Return *tasks* without those younger than the warm-up; a task whose start is unknown stays."""
    by = _by(settings)
    start = f"max by ({by}) ({_last(_START, settings)})"
    return f"({tasks} unless on ({by}) (time() - {start} < {settings.warmup}))"


def _with_count(tasks: str, label: str, aggregate: str) -> str:
    """Return an expression for the *aggregate* of *tasks* and their number, by *label*, or over all without a label."""
    value, count = (f"{operator} by ({label}) ({tasks})" for operator in (aggregate, "count"))
    return f"{_labelled(value, VALUE)} or {_labelled(count, TASKS)}"


def _labelled(expression: str, stat: str) -> str:
    return f'label_replace({expression}, "{STAT_LABEL}", "{stat}", "", "")'


def _by(settings: MetricSettings) -> str:
    return f"{settings.service_label},{settings.task_label}"


def _last(metric: str, settings: MetricSettings, matcher: str = "") -> str:
    """Return an expression for the last samples, at most three scrape intervals old.

    An instant selector would see them for five minutes.
    """
    return f"last_over_time({series(metric, settings, matcher)}[{_LINGER * settings.scrape_interval}s])"


def series(metric: str, settings: MetricSettings, matcher: str = "") -> str:
    """Return a selector of the *metric*'s series under the settings, with both labels."""
    # Without the task's label all tasks would look like one. No data are better than that.
    return selected(metric, settings, f'{settings.service_label}!=""', f'{settings.task_label}!=""', matcher)


def selected(metric: str, settings: MetricSettings, *matchers: str) -> str:
    """Return a selector of the *metric*'s series that satisfy the settings' selector and *matchers*."""
    selector = settings.selector.strip().rstrip(",").rstrip()
    return f"{metric}{{{','.join(filter(None, (*matchers, selector)))}}}"
