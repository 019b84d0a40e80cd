"""The world of a test: a Swarm in virtual time, and a metric source that answers with the test's series."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from math import inf, isfinite, lcm
from typing import TYPE_CHECKING

from autoscaler.core.model import ScaleEvent
from autoscaler.core.window import MISSING
from autoscaler.policy.metric import Metric
from autoscaler.ports import Receipt, Series, Written
from autoscaler.swarm.cluster import STATE_LABEL, Cluster, ServiceView, SpecBefore, TaskView
from autoscaler.swarm.history import ScaleState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.policy_tests.files import Event, LastChange, PolicyTest, Tested
    from autoscaler.ports import Order, Query
    from autoscaler.util.deadline import Deadline

_LONG_AGO = 86400


_ANY = 10_000
"""Room for as many tasks as a test can have."""
_NO_ROOM = "no suitable node (insufficient resources on all nodes)"
_numbers = count(1)


@dataclass(slots=True)
class _Task:
    """A task of the virtual Swarm."""

    created: float
    runs: float = inf
    """The time at which the task begins to run; infinite if it never does, or has no room."""
    placed: bool = True
    """True if the task has room on a node."""
    id: str = field(default_factory=lambda: str(next(_numbers)))

    def view(self, now: float) -> TaskView:
        """Return the task as Swarm would list it at *now*."""
        if not self.placed:
            return TaskView(self.id, "pending", self.created, on_ready_node=False, words=_NO_ROOM)
        running = self.runs <= now
        state, since = ("running", self.runs) if running else ("starting", self.created)
        return TaskView(self.id, state, since, on_ready_node=True, node="node")


@dataclass(slots=True)
class TestedService:
    """A service of the virtual Swarm; times are Unix seconds."""

    name: str
    labels: Mapping[str, str]
    requested: int
    tasks: list[_Task]
    startup: int
    created_at: float
    updated_at: float
    room: int = _ANY
    """The number of tasks that have room."""
    state: str = ""
    """The autoscaler's label."""
    before: SpecBefore | None = None
    version: int = 1

    @classmethod
    def at_the_beginning(cls, tested: Tested, start: float) -> TestedService:
        """Return the service as the test has it at 0, which is *start* on the wall clock."""
        said = tested.said
        room = _ANY if said.room is None else said.room
        running = min(said.replicas, room) if said.running is None else said.running
        arrival = start + tested.startup if tested.startup else inf
        long_ago = start - _LONG_AGO
        tasks = [_Task(long_ago, long_ago) for _ in range(running)]
        tasks += [
            _Task(start, arrival) if number < room else _Task(start, placed=False)
            for number in range(running, said.replicas)
        ]
        state = "" if said.last_change is None else _state(said.last_change, said.replicas, start)
        return cls(tested.name, said.labels, said.replicas, tasks, tested.startup, long_ago, long_ago, room, state)

    def happens(self, event: Event, at: float) -> None:
        """Carry out an action. An operator's scale keeps the autoscaler's label, and a deploy drops it."""
        if event.room is not None:
            self.room = event.room
            self._place(at)
        if event.deploy is not None:
            self.scale(event.deploy, at, "")
        if event.scale is not None:
            self.scale(event.scale, at, self.state)

    def scale(self, count: int, at: float, state: str) -> None:
        """Set the count. New tasks run after the startup time. Tasks without room go first, then the newest ones."""
        self.before = SpecBefore(self.requested, self.state)
        self.state = state
        self.updated_at = at
        self.version += 1
        self.tasks = sorted(self.tasks, key=lambda task: (not task.placed, task.runs))[:count]
        self.tasks += [_Task(at, placed=False) for _ in range(count - len(self.tasks))]
        self.requested = count
        self._place(at)

    def _place(self, at: float) -> None:
        """Give room to those that wait, the longest first; or take it from those that run last, whose node is gone."""
        placed = [task for task in self.tasks if task.placed]
        waiting = [task for task in self.tasks if not task.placed]
        for task in waiting[: max(0, self.room - len(placed))]:
            task.placed, task.runs = True, at + self.startup
        for task in sorted(placed, key=lambda task: task.runs)[self.room :]:
            self.tasks[self.tasks.index(task)] = _Task(at, placed=False)

    def running(self, now: float) -> int:
        """Return how many tasks run at *now*."""
        return sum(task.runs <= now for task in self.tasks)

    def view(self, now: float) -> ServiceView:
        """Return the service as Swarm would list it at *now*."""
        return ServiceView(
            id=self.name,
            name=self.name,
            version=self.version,
            mode="replicated",
            requested=self.requested,
            created_at=self.created_at,
            updated_at=self.updated_at,
            labels={**self.labels, STATE_LABEL: self.state} if self.state else self.labels,
            tasks=tuple(task.view(now) for task in self.tasks),
            before=self.before,
        )


def _state(change: LastChange, replicas: int, start: float) -> str:
    """Return the label that the autoscaler wrote at a change before the test."""
    before = replicas + (-1 if change.direction == "up" else 1)
    return ScaleState(replicas, (ScaleEvent(start - change.ago, before, replicas),)).encode()


@dataclass(slots=True)
class VirtualSwarm:
    """An Orchestrator and the Clock. Its time stands still until somebody sets it."""

    time: float
    services: Mapping[str, TestedService] = field(default_factory=dict)

    def now(self) -> float:
        """Return the time in Unix seconds."""
        return self.time

    def read(self, deadline: Deadline) -> Cluster:  # noqa: ARG002 - the port's signature
        """Return all services."""
        return Cluster({name: service.view(self.time) for name, service in self.services.items()})

    def scale(self, order: Order, deadline: Deadline) -> Receipt:  # noqa: ARG002 - likewise
        """Carry out *order*, because nobody else writes at the same time."""
        self.services[order.service].scale(order.replicas, self.time, order.state)
        return Receipt(Written.APPLIED)


class SeriesSource:
    """A MetricSource that answers with the series of a test, without samples before its beginning or past their ends.

    It tells of no tasks behind the samples, so that none can be missing.
    """

    def __init__(self, case: PolicyTest, metrics: Mapping[str, Metric], interval: int) -> None:
        self._case = case
        self._metrics = metrics
        self._interval = interval
        steps = lcm(interval, *(metric.step or 1 for metric in metrics.values()))
        self._late = case.start % steps
        self._begins = case.start - self._late
        """The time of the first samples. A window's grid is that of Unix time, whenever the test begins."""

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """Return how far the grid is behind the test's clock, because windows end at the grid."""
        return -float(self._late)

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - likewise
        """Return the samples of the query's metric: those of one service, of all together, or of each."""
        times = range(start, end + 1, step)
        if self._metrics[query.metric].one_value:
            whose = {"": self._case.services[0]}  # they all share it
        else:
            whose = {tested.name: tested for tested in self._case.services if query.service in ("", tested.name)}
        return {
            name: Series([self._sample(tested, query.metric, at) for at in times])
            for name, tested in whose.items()
            if query.metric in tested.series
        }

    def newest(self, tested: Tested, metric: str, at: int) -> float | None:
        """Return the newest sample of *metric* at the evaluation *at* a number of seconds; None if it is missing."""
        known = self._metrics[metric]
        step = known.step or self._interval
        value = self._sample(tested, metric, (self._begins + at - known.offset) // step * step)
        return None if not isfinite(value) or (known.never_negative and value < 0) else value

    def _sample(self, tested: Tested, metric: str, time: int) -> float:
        row = (time - self._begins) // self._interval
        samples = tested.series.get(metric, ())
        return samples[row] if 0 <= row < len(samples) else MISSING


class _GivenPercent(Metric):
    """A built-in metric whose percent is given by a test, as by a custom query."""

    @property
    def never_negative(self) -> bool:
        """Return whether a value below 0 counts as missing. It does, as for the built-in metric."""
        return True


def with_given_percent(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return *metrics* in which the built-in ones are asked for by name, because a test gives their percent."""
    return {name: metric if metric.query else _given_percent(name, metric) for name, metric in metrics.items()}


def _given_percent(name: str, metric: Metric) -> Metric:
    own = {"query": name, "by": "service", "unit": "%"}
    keys = {key: getattr(metric, key) for key in Metric.model_fields} | own
    return _GivenPercent.model_construct(metric.model_fields_set | own.keys(), **keys)
