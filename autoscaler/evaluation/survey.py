"""A survey of what policies need: data of each metric for each service, and room for the replicas they may ask for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem
from autoscaler.errors import BackendError
from autoscaler.evaluation.cycle import assign, look_at_metrics
from autoscaler.evaluation.lack_watch import Look
from autoscaler.policy.matching import Matcher
from autoscaler.swarm.capacity import Maximum, add_up
from autoscaler.util.deadline import Deadline
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from autoscaler.core.lacks import Lack
    from autoscaler.core.records import Evaluation, Record
    from autoscaler.core.window import Window
    from autoscaler.evaluation.cycle import Cycle
    from autoscaler.metrics.windows import Needed
    from autoscaler.policy.policy import PolicySet
    from autoscaler.ports import Orchestrator, Order, Receipt
    from autoscaler.swarm.capacity import Capacity
    from autoscaler.swarm.cluster import Cluster

_BACK = 300
"""For how many seconds back samples are looked for."""
_UNTOLD = (
    "Prometheus has no series that show whether a node has CPU to spare, so a starved task looks idle "
    '(keep cAdvisor\'s container_cpu_usage_seconds_total{id="/"} and machine_cpu_cores, or its '
    "container_pressure_cpu_* series, under the selector of the settings)"
)

_STARTS_UNTOLD = (
    "Prometheus has no container_start_time_seconds of any task, so samples of new tasks count before the warm-up is "
    "over (keep that metric of cAdvisor, under the selector of the settings)"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric says of a service now."""

    metric: str
    service: str
    policy: str
    value: float | None = None
    """The newest sample of the last five minutes; None where there is none."""
    unit: str = ""
    base: str = ""
    """What 100 % is, in words, for a metric that is a share of something."""
    age: float | None = None
    """How many seconds old the newest window step with a sample is."""
    reporting: int | None = None
    """How many tasks stand behind the newest sample; None for a metric that has no tasks behind it."""
    running: int = 0
    lack: str = "no data"
    """What is not as it should be, in words; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Every metric that a policy looks at, by service; and what could not be looked at."""

    readings: tuple[Reading, ...] = ()
    """Without those of services that a schedule lets sleep: what has no replicas has no data."""
    untouched: tuple[Record, ...] = ()
    """Services that a policy means and that cannot be decided on: missing ones, and those in conflict."""
    unmatched: tuple[str, ...] = ()
    """Services that no policy applies to."""
    problems: tuple[Problem, ...] = ()
    scrape_interval: float | None = None
    """The real one, in seconds, as far as it can be told."""
    capacity: Capacity | None = None
    """Whether every policy's maximum finds room; None where Swarm gave no answer."""
    doubtful: tuple[str, ...] = ()
    """What is doubtful about services that a policy applies to, with the cure."""
    asleep: tuple[str, ...] = ()
    """The services that a schedule lets sleep."""
    remarks: tuple[str, ...] = ()
    """What is not known, and is nothing wrong."""
    lacks: tuple[Lack, ...] = ()
    """The first broken link of each reading, and of each window, that lacks data."""
    nothing_matched: tuple[str, ...] = ()
    """The policies, and the globs in them, that match no service; a sentence each."""

    @property
    def good(self) -> bool:
        """Whether every metric has data for every service that needs it."""
        lacking = any(each.lack for each in self.readings) or any(not lack.passes for lack in self.lacks)
        return not self.problems and not self.untouched and not lacking


def survey(cycle: Cycle, policies: PolicySet) -> Survey:
    """Asks Swarm and the metric sources of *cycle* once; changes nothing, never raises for what they do."""
    deadline = Deadline(cycle.deadline)
    now = cycle.clock.now()
    try:
        cluster = cycle.swarm.read(deadline)
    except BackendError as error:
        return Survey(problems=(Problem("swarm", str(error)),))
    matcher = Matcher(policies)
    assigned, untouched = assign(matcher, cluster, now)
    problems: list[Problem] = []
    if look_at_metrics(assigned):
        problems += cycle.windows.refresh(
            assigned, policies.metrics, now, deadline, at_least=_BACK, nodes=cluster.nodes
        )
    readings = [
        reading
        for item in sorted(assigned, key=lambda item: item.view.name)
        for reading in _readings(cycle, policies, item, now)
    ]
    asleep = sorted(item.view.name for item in assigned if item.policy.bounds(now).asleep)
    meant = {item.view.name for item in assigned} | {record.decision.service for record in untouched}
    views = (item.view for item in assigned)
    doubts = {
        view.name: matcher.find(view.name, view.labels, own=view.name == cluster.own_service).doubt for view in views
    }
    look = Look(assigned, policies, cycle.windows, cluster, now, problems)
    lacks = cycle.lacks.look_once(look, deadline).lacks
    used = frozenset(item.policy.name for item in assigned)
    labels = {name: view.labels for name, view in cluster.services.items()}
    unmatched = sorted(cluster.services.keys() - meant - {cluster.own_service})
    return Survey(
        tuple(readings),
        tuple(untouched),
        tuple(unmatched),
        tuple(problems),
        cycle.windows.scrape_interval,
        _capacity(cluster, assigned),
        tuple(f"{name} {doubt}" for name, doubt in sorted(doubts.items()) if doubt),
        tuple(asleep),
        tuple(_remarks(cycle, policies, problems, readings, deadline)),
        lacks,
        cycle.unmatched.look(policies, labels, used),
    )


def _remarks(
    cycle: Cycle, policies: PolicySet, problems: list[Problem], readings: Iterable[Reading], deadline: Deadline
) -> Iterator[str]:
    """Yield what Prometheus does not tell although rules have data."""
    if any(problem.kind == "prometheus" for problem in problems):
        return  # it gives no answer
    with suppress(BackendError):
        if not cycle.windows.tells_of_starvation(policies.metrics, deadline):
            yield _UNTOLD
    built_in = any(policies.metrics[each.metric].query is None and each.value is not None for each in readings)
    with suppress(BackendError):
        if built_in and cycle.lacks.asked is not None and not cycle.lacks.asked.tells_starts(deadline):
            yield _STARTS_UNTOLD


@dataclass(slots=True)
class Plan:
    """What an evaluation would do now, and whether every policy's maximum finds room."""

    evaluation: Evaluation
    capacity: Capacity | None = None
    """None where Swarm gave no answer."""


def plan(cycle: Cycle, policies: PolicySet) -> Plan:
    """One evaluation of *cycle*, whose orchestrator writes nothing, and the sums over what it read: no further call."""
    swarm = _Kept(cycle.swarm)
    evaluation = replace(cycle, swarm=swarm).evaluate(policies, once=True)
    if swarm.cluster is None:
        return Plan(evaluation)
    assigned, _ = assign(Matcher(policies), swarm.cluster, evaluation.at)
    return Plan(evaluation, _capacity(swarm.cluster, assigned))


@dataclass(slots=True)
class _Kept:
    """An orchestrator that keeps what it read last."""

    swarm: Orchestrator
    cluster: Cluster | None = None

    def read(self, deadline: Deadline) -> Cluster:
        """What the orchestrator behind it reads."""
        self.cluster = self.swarm.read(deadline)
        return self.cluster

    def scale(self, order: Order, deadline: Deadline) -> Receipt:
        """What the orchestrator behind it does."""
        return self.swarm.scale(order, deadline)


def _capacity(cluster: Cluster, assigned: Iterable[Needed]) -> Capacity:
    return add_up(cluster, {item.view.name: Maximum(item.policy.highest, item.policy.name) for item in assigned})


def _readings(cycle: Cycle, policies: PolicySet, item: Needed, now: float) -> list[Reading]:
    if item.policy.bounds(now).asleep:
        return []
    windows, bases = cycle.windows.of(item.view, item.policy, policies.metrics)
    return [
        _reading(metric, item, windows.get(metric), bases.get(metric, ""), now) for metric in item.policy.look_backs
    ]


def _reading(metric: str, item: Needed, window: Window | None, base: str, now: float) -> Reading:
    service, policy, running = item.view.name, item.policy.name, item.view.running
    rows = range(len(window.values) if window else 0)
    found = next((row for row in reversed(rows) if window and isfinite(window.values[row])), None)
    if window is None or found is None:
        return Reading(metric, service, policy, base=base, running=running)
    missed = len(window.values) - 1 - found
    return Reading(
        metric,
        service,
        policy,
        window.values[found],
        window.unit,
        base,
        max(0.0, now - (window.end - missed * window.step)),
        None if window.reporting is None else window.reporting[found],
        running,
        _lack(window, found, missed),
    )


def _lack(window: Window, found: int, missed: int) -> str:
    """What the sample in row *found* lacks, after which *missed* ones are missing."""
    if missed > 1:
        return f"no sample for {words(missed * window.step)}"
    if window.reporting is not None and window.owed is not None:
        reporting, owed = window.reporting[found], window.owed[found]
        if reporting < owed:
            return f"{owed - reporting} of {owed} tasks do not report"
    doubts = (doubt.detail for doubt in window.doubts if doubt.reason is Reason.PARTIAL_DATA)
    return next((f"{detail}; nothing is removed" for detail in doubts), "")
