"""`target` counts a load once: a small plant whose load reacts to the count, measured as Prometheus measures it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil, isnan, nan
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.evaluation.cycle import Cycle
from autoscaler.metrics.queries import MetricSettings
from autoscaler.metrics.windows import MetricWindows
from autoscaler.policy.metric import PROMETHEUS, Metric, with_built_in
from autoscaler.policy.policy import PolicySet
from autoscaler.ports import Receipt, Series, Written
from autoscaler.swarm.cluster import Cluster, ServiceView, TaskView
from tests.support.builders import NOW, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.ports import Order, Query
    from autoscaler.util.deadline import Deadline

SCRAPE = 15
SETTINGS = MetricSettings(scrape_interval=SCRAPE, rate_window=60, warmup=60)
TARGET = 60
TOTAL = Metric.model_validate({"query": "sum by (s) (rate(used[1m]))", "by": "s", "kind": "total"})
PER_TASK = {"query": "rate(used[1m])", "by": "s", "task": "t", "redistributes": True}


@dataclass
class _Task:
    """A task: when it was made, runs and ends, and the CPU that it has used, by scrape."""

    made: float
    runs: float
    ends: float = float("inf")
    used: float = 0.0
    scrapes: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=8))

    def speed(self, at: float) -> float:
        """The least-squares slope through the scrapes of the last minute, as `deriv`; NaN of fewer than two."""
        known = [(time - at, used) for time, used in self.scrapes if at - 60 < time <= at]
        if len(known) < 2:
            return nan
        mean_x = sum(x for x, _ in known) / len(known)
        mean_y = sum(y for _, y in known) / len(known)
        return sum((x - mean_x) * (y - mean_y) for x, y in known) / sum((x - mean_x) ** 2 for x, _ in known)


@dataclass
class Plant:
    """A service whose tasks share the *load* in cores, each limited to one: the swarm, the clock and the source.

    A scrape is *phase* seconds after each window step; a removed task is shown as long as its scrapes are in the query.
    """

    load: Callable[[float], float]
    count: int
    startup: float = 0.0
    phase: int = 7
    metric: str = "cpu"
    time: float = NOW
    state: str = ""
    version: int = 1
    tasks: list[_Task] = field(default_factory=list)
    ended: list[_Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tasks = [_Task(NOW - 9999, NOW - 9999) for _ in range(self.count)]

    def now(self) -> float:
        """The time."""
        return self.time

    def running(self) -> list[_Task]:
        """The tasks that run."""
        return [task for task in self.tasks if task.runs <= self.time]

    def second(self) -> None:
        """Let a second pass: tasks share the load, and are scraped."""
        if running := self.running():
            each = min(1.0, self.load(self.time - NOW) / len(running))
            for task in running:
                task.used += each
        self.time += 1
        if (self.time - self.phase) % SCRAPE == 0:
            for task in self.running():
                task.scrapes.append((self.time, task.used))

    def read(self, deadline: Deadline) -> Cluster:  # noqa: ARG002 - the port's signature
        """The service."""
        tasks = tuple(
            TaskView(str(id(task)), "running" if task.runs <= self.time else "starting", task.runs, on_ready_node=True)
            for task in self.tasks
        )
        labels = {"autoscaler.state": self.state} if self.state else {}
        before = NOW - 9999.0
        view = ServiceView(
            "id", "web", self.version, "replicated", self.count, before, before, labels, tasks, cpu_limit=1
        )
        return Cluster({"web": view})

    def scale(self, order: Order, deadline: Deadline) -> Receipt:  # noqa: ARG002 - likewise
        """Carry *order* out at once; what does not run goes first."""
        self.tasks.sort(key=lambda task: task.runs)
        for task in self.tasks[order.replicas :]:
            task.ends = self.time
            self.ended.append(task)
        self.tasks = self.tasks[: order.replicas]
        self.tasks += [_Task(self.time, self.time + self.startup) for _ in range(order.replicas - len(self.tasks))]
        self.count, self.state = order.replicas, order.state
        self.version += 1
        return Receipt(Written.APPLIED)

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - likewise
        """No offset."""
        return 0.0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - likewise
        """What the query gives; samples of long ago are those of now, for nobody looks at them."""
        values, counts = [], []
        for at in range(start, end + 1, step):
            warm = SETTINGS.warmup if query.metric == "cpu" else 0
            speeds = [task.speed(at) for task in (*self.tasks, *self.ended) if at - task.made >= warm]
            known = [speed for speed in speeds if not isnan(speed)]
            total = sum(known) * (1 if query.metric == "cpu" else 100)
            values.append((total if "sum" in query.expression.split("(")[0] else total / len(known)) if known else nan)
            counts.append(len(known))
        return {"web": Series(values, counts if query.counts_tasks else None)}


def counts(plant: Plant, seconds: int, *, metric: Metric | None = None) -> list[int]:
    """The counts that the product's own cycle asks for, in their order, each once."""
    rule = {"name": "t", "metric": "load" if metric else "cpu", "strategy": "target", "target": TARGET}
    known = with_built_in({"load": metric} if metric else {})
    policies = PolicySet(policies=(written(rule, most=60),), metrics=known, revision="r")
    cycle = Cycle(MetricWindows({PROMETHEUS: plant}, SETTINGS, SCRAPE), plant, plant, deadline=60)
    seen = [plant.count]
    for second in range(seconds):
        plant.second()
        if second % SCRAPE == SCRAPE - 1 and second > 120:
            cycle.evaluate(policies)
            if plant.count != seen[-1]:
                seen.append(plant.count)
    return seen


def step(before: float, after: float, at: float = 300) -> Callable[[float], float]:
    """A load of *before* cores, and *after* from then on."""
    return lambda time: after if time >= at else before


@pytest.mark.parametrize("phase", [0, 1, 4, 7, 11, 14])
@pytest.mark.parametrize("startup", [0, 10, 30, 75])
def test_a_step_of_load_that_needs_ten_replicas(startup: int, phase: int) -> None:
    """From 2 to 6 cores at 60 %: ten are needed, and asked for. It once was 4 6 7 10 12 17 20 28, and back."""
    seen = counts(Plant(step(2, 6), 4, startup, phase), 1500)

    assert max(seen) <= 11
    assert seen == sorted(seen), "nothing is removed while the load is steady"
    assert seen[-1] == 10


@pytest.mark.parametrize("metric", [TOTAL, Metric.model_validate(PER_TASK)], ids=["total", "per task"])
@pytest.mark.parametrize("startup", [0, 30])
def test_a_step_of_load_on_a_metric_of_ones_own(metric: Metric, startup: int) -> None:
    """The same by a total over the service, and by an average over tasks that are not left out while they are young.

    A sum of slopes counts a load twice for a moment, while it moves to tasks that have just begun: one more is kept
    then, within the tolerance.
    """
    seen = counts(Plant(step(2, 6), 4, startup), 1500, metric=metric)

    assert max(seen) <= 11
    assert seen[-1] in ((10, 11) if metric is TOTAL else (10,))


@given(
    st.floats(0.5, 12),
    st.floats(0.5, 12),
    st.sampled_from([0, 5, 15, 40, 90]),
    st.integers(0, 14),
)
def test_a_steady_step_of_load_is_counted_once(before: float, after: float, startup: int, phase: int) -> None:
    """Whatever the step, the count never is more than one beyond the formula's at the true load, nor too small for it.

    What is too small is what leaves tasks above the target by more than the tolerance.
    """
    first, last = (ceil(load * 100 / TARGET - 1e-9) for load in (before, after))
    plant = Plant(step(before, after), first, startup, phase)

    seen = counts(plant, 1500)

    assert max(seen) <= max(first, last) + 1
    assert min(seen) >= min(first, ceil(after * 100 / TARGET / 1.1 - 1e-9))
    assert seen[-1] >= ceil(after * 100 / TARGET / 1.1 - 1e-9)
    assert seen[-1] <= max(last, ceil(after * 100 / TARGET / 0.9)) + 1
