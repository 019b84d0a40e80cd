"""A small world in virtual time: a clock set by hand, a simulated Swarm and Prometheus, and a Cycle between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from autoscaler.adapters.docker.engine_api import NO_TEMPLATES
from autoscaler.adapters.docker.orchestrator import DockerSwarm, DryRun
from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.pauses import KnownPauses
from autoscaler.core.model import Decision
from autoscaler.errors import BackendError, UnreachableError
from autoscaler.evaluation.cycle import Cycle
from autoscaler.metrics.queries import BUSY, STARVATION, MetricSettings
from autoscaler.metrics.windows import MetricWindows
from autoscaler.policy.metric import PROMETHEUS, Metric, with_built_in
from autoscaler.policy.policy import Policy, PolicySet, Replicas, ScaleDown, ScaleUp
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.simulation.prometheus import SimulatedPrometheus
from autoscaler.swarm.cluster import STATE_LABEL
from autoscaler.swarm.scale_state import ScaleState
from autoscaler.testing import ManualClock
from tests.support.builders import CPU_HIGH, CPU_LOW, STEP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from autoscaler.adapters.docker.engine_api import Document, Templates
    from autoscaler.core.model import Outcome, Recommendation, Why
    from autoscaler.core.reasons import Reason
    from autoscaler.core.records import Evaluation, Record
    from autoscaler.ports import Clock, MetricSource, Orchestrator, Query, Series
    from autoscaler.simulation.parts import Node
    from autoscaler.strategies import Threshold
    from autoscaler.util.deadline import Deadline
    from tests.support.engine_server import WholeApi

WARMUP = 30
SETTINGS = MetricSettings(scrape_interval=STEP, rate_window=4 * STEP, warmup=WARMUP)
MEMORY_LIMIT = 2**20
LOST = UnreachableError("connection refused")

C = TypeVar("C", bound=Cycle)
Moment = Callable[[str], None]
"""Is told of a moment such as `before update` or `after fetch cpu`."""


def policy_for(  # noqa: PLR0913 - as many as a policy has keys
    *services: str,
    name: str = "",
    rules: Sequence[Threshold] = (CPU_HIGH, CPU_LOW),
    least: int = 1,
    most: int = 10,
    up_cooldown: int = 180,
    down_cooldown: int = 300,
) -> Policy:
    """A policy for *services*, named as the first of them is unless told otherwise; cooldowns in seconds."""
    return Policy(
        name=name or services[0],
        services=services,
        replicas=Replicas(min=least, max=most),
        rules=tuple(rules),
        scale_up=ScaleUp.model_construct(cooldown=up_cooldown),
        scale_down=ScaleDown.model_construct(cooldown=down_cooldown),
    )


FREE = policy_for("web", up_cooldown=0, down_cooldown=0)
"""A policy whose rules may act at every evaluation."""


def service_spec(name: str, replicas: int, labels: Mapping[str, str] | None = None, image: str = "app:1") -> Document:
    """A service without a CPU limit, so that a core is 100 %, and with a small memory limit."""
    return {
        "Name": name,
        "Labels": dict(labels or {}),
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {
            "ContainerSpec": {"Image": image},
            "Resources": {"Limits": {"MemoryBytes": MEMORY_LIMIT}},
        },
        "UpdateConfig": {"Parallelism": 1, "Delay": 20_000_000_000},
    }


def count_in(document: Document) -> int:
    """The count that a service's spec asks for."""
    count: int = document["Spec"]["Mode"]["Replicated"]["Replicas"]
    return count


def label_in(document: Document) -> ScaleState | None:
    """What the autoscaler's label on a service says; None where there is none."""
    return ScaleState.decode((document["Spec"].get("Labels") or {}).get(STATE_LABEL, ""))


@dataclass
class FaultyEngine:
    """An engine's API on another one, in whose calls something can come between or go wrong; it counts them."""

    engine: WholeApi
    at: Moment = lambda _: None
    """Is told of the moments before and after each call; what it raises ends the caller."""
    written: Callable[[Document, Document], None] = lambda _before, _spec: None
    """Is told of each update that was carried out: the service before, and the spec that was written."""
    calls: Counter[str] = field(default_factory=Counter)
    """How often each operation was called."""
    updates: list[tuple[str, Document, Document]] = field(default_factory=list)
    """Each update that was carried out: the service's name, its document before, and the spec that was written."""
    late: list[Callable[[], None]] = field(default_factory=list)
    """Updates that their caller has given up, and that are still to be carried out (docs/facts.md#late-writes)."""
    _late: int = 0
    """How many of the next updates are."""
    _before: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    _after: dict[str, list[Callable[[], None]]] = field(default_factory=dict)

    def before(self, operation: str, *actions: Callable[[], None]) -> None:
        """Do the next of *actions* before each of the next calls of *operation*; what it raises, the call raises."""
        self._before.setdefault(operation, []).extend(actions)

    def after(self, operation: str, *actions: Callable[[], None]) -> None:
        """Do the next of *actions* after each of the next calls of *operation*; raising takes the answer away."""
        self._after.setdefault(operation, []).extend(actions)

    def services(self, deadline: Deadline, /) -> Sequence[Document]:
        """The engine's answer, or what was injected."""
        with self._call("services"):
            return self.engine.services(deadline)

    def tasks(self, deadline: Deadline, /, *, ended: bool, templates: Templates = NO_TEMPLATES) -> Sequence[Document]:
        """The engine's answer, or what was injected."""
        with self._call("tasks"):
            return self.engine.tasks(deadline, ended=ended, templates=templates)

    def nodes(self, deadline: Deadline, /) -> Sequence[Document]:
        """The engine's answer, or what was injected."""
        with self._call("nodes"):
            return self.engine.nodes(deadline)

    def service(self, service_id: str, deadline: Deadline, /) -> Document:
        """The engine's answer, or what was injected."""
        with self._call("service"):
            return self.engine.service(service_id, deadline)

    def update(self, service_id: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """The engine's answer, or what was injected."""
        with self._call("update"):
            if not self._late:
                self._update(service_id, version, spec, deadline)
                return
            self._late -= 1
            self.late.append(lambda: self._update(service_id, version, spec, deadline))
            raise LOST

    def hold_up(self, updates: int = 1) -> None:
        """Let the caller of the next update, or of more, wait in vain; it stays to be carried out."""
        self._late += updates

    def catch_up(self) -> None:
        """Carry the late updates out, as far as the services still are what they were."""
        while self.late:
            with suppress(BackendError):
                self.late.pop(0)()

    def _update(self, service_id: str, version: int, spec: Document, deadline: Deadline) -> None:
        before = self.engine.service(service_id, deadline)
        self.engine.update(service_id, version, spec, deadline)
        self.updates.append((spec["Name"], before, spec))
        self.written(before, spec)

    def config(self, name: str, deadline: Deadline, /) -> Document:
        """The engine's answer, or what was injected."""
        with self._call("config"):
            return self.engine.config(name, deadline)

    def create_config(self, spec: Document, deadline: Deadline, /) -> None:
        """The engine's answer, or what was injected."""
        with self._call("create_config"):
            self.engine.create_config(spec, deadline)

    def update_config(self, name: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """The engine's answer, or what was injected."""
        with self._call("update_config"):
            self.engine.update_config(name, version, spec, deadline)

    @contextmanager
    def _call(self, operation: str) -> Iterator[None]:
        with told(self.at, operation):
            self.calls[operation] += 1
            if waiting := self._before.get(operation):
                waiting.pop(0)()
            yield
            if waiting := self._after.get(operation):
                waiting.pop(0)()


@contextmanager
def told(at: Moment, operation: str) -> Iterator[None]:
    """A call of *operation*, of which *at* is told the moments before and after, also where it fails."""
    at(f"before {operation}")
    try:
        yield
    finally:
        at(f"after {operation}")


def raised(error: Exception) -> None:
    """Raise *error*: a defect that costs a service its decision must fail the test that comes upon it."""
    raise error


def raising(error: Exception) -> Callable[[], None]:
    """An action that raises *error*."""

    def action() -> None:
        raise error.with_traceback(None)  # else it would keep the frames of every time it is raised

    return action


@dataclass
class WatchedSource:
    """A metric source that notes what is asked of it, and refuses the queries of some metrics."""

    source: MetricSource
    at: Moment = lambda _: None
    """Is told of the moments before and after each call; what it raises ends the caller."""
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    """The metric, the first and the last step of each query of a metric's values."""
    looked: list[tuple[int, int]] = field(default_factory=list)
    """The first and the last step of each query for starved tasks."""
    errors: dict[str, BackendError] = field(default_factory=dict)
    """What the query of a metric raises."""
    offset: float | None = None
    """What it says of its clock; the source's own answer where there is none."""
    _answers: float = float("inf")
    """How many more queries are answered before one is lost."""

    def lose_after(self, answers: int) -> None:
        """Lose one query, after so many that are answered."""
        self._answers = answers

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """The source's answer."""
        with told(self.at, "clock_offset"):
            return self.source.clock_offset(now, deadline) if self.offset is None else self.offset

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        """The source's answer, or the metric's error."""
        with told(self.at, f"fetch {query.metric}"):
            return self._fetch(query, start, end, step, deadline)

    def _fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        if query.metric == STARVATION:
            self.looked.append((start, end))
        else:
            self.asked.append((query.metric, start, end))
        if query.metric in self.errors:
            raise self.errors[query.metric]
        self._answers -= 1
        if self._answers < 0:
            self._answers = float("inf")
            raise LOST
        return self.source.fetch(query, start, end, step, deadline)


class World:
    """Services under policies, in virtual time. Their load is a percentage per replica, 50 unless set otherwise."""

    def __init__(  # noqa: PLR0913 - a world has that many facts; all by keyword, all with a default
        self,
        *policies: Policy,
        metrics: Mapping[str, Metric] | None = None,
        plugged: Mapping[str, MetricSource] | None = None,
        dry_run: bool = False,
        offset: float = 0.0,
        nodes: Sequence[Node] | None = None,
        reserves: float = 0.0,
    ) -> None:
        self.clock = ManualClock()
        self.reserves = reserves
        """How many cores each replica reserves."""
        self.plugged = dict(plugged or {})
        """Metric sources beside Prometheus, by name."""
        known = with_built_in(metrics or {})
        self.policies = PolicySet(policies=policies or (policy_for("web"),), metrics=known, revision="r1")
        self.engine = SimulatedEngine(self.clock, nodes=nodes)
        self.api = FaultyEngine(self.engine)
        self.load: dict[tuple[str, str], float] = {}
        self.total: dict[str, float] = {}
        """The CPU that all replicas of a service share, in percent of a core: what a load that reacts is set by."""
        self.silent: dict[str, int] = {}
        """How many tasks of a service do not report."""
        self.truth: dict[tuple[str, str], dict[int, tuple[float, int]]] = {}
        """What was sampled of each metric of each service, by step: percent and tasks."""
        self.starved: dict[str, float] = {}
        """Which part of the cores is in use on the node of each service that is on a node without any to spare."""
        self.shared: dict[str, float] = {}
        """The value of each metric that is the same for every service; missing where it is not here."""
        self.prometheus = SimulatedPrometheus(self.clock, self._sample, (*known, STARVATION), step=STEP, offset=offset)
        self.source = WatchedSource(self.prometheus)
        self.records: list[Record] = []
        """All that the cycle told of, oldest first."""
        self._dry_run = dry_run
        self.cycle = self._new_cycle()

    def service(
        self, name: str = "web", replicas: int = 3, *, cpu: float = 50, labels: Mapping[str, str] | None = None
    ) -> None:
        """Create a service under a load."""
        self.engine.create_service(self.spec(name, replicas, labels))
        self.load[name, "cpu"] = cpu

    def spec(self, name: str, replicas: int, labels: Mapping[str, str] | None = None, image: str = "app:1") -> Document:
        """A service as it is deployed in this world."""
        spec = service_spec(name, replicas, labels, image)
        if self.reserves:
            spec["TaskTemplate"]["Resources"]["Reservations"] = {"NanoCPUs": round(self.reserves * 1e9)}
        return spec

    def settle(self, seconds: int = 30 * STEP) -> None:
        """Let time pass with nobody evaluating: tasks start and warm up, deploys settle, windows fill."""
        for _ in range(seconds // STEP):
            self.pass_step()

    def pass_step(self) -> None:
        """Let time go on to the next window step, and Prometheus sample the world then."""
        self.clock.time = (self.clock.time // STEP + 1) * STEP
        self.prometheus.record()

    def evaluate(self) -> Evaluation:
        """What one evaluation leaves behind, now."""
        return self.cycle.evaluate(self.policies)

    def next(self) -> Evaluation:
        """What the evaluation at the next window step leaves behind."""
        self.pass_step()
        return self.evaluate()

    def run(self, seconds: int) -> list[Evaluation]:
        """The evaluations of the next *seconds*, one at each window step."""
        return [self.next() for _ in range(seconds // STEP)]

    def until_changed(self, at_most: int = 3600) -> Record:
        """The first record from now on whose decision changes the count."""
        for _ in range(at_most // STEP):
            for record in self.next().records:
                if record.decision.changes:
                    return record
        raise AssertionError(f"no change was decided on within {at_most} s")

    def until_reason(self, reason: Reason, at_most: int = 3600) -> Record:
        """The first record from now on with this primary reason."""
        for _ in range(at_most // STEP):
            for record in self.next().records:
                if record.decision.primary.reason is reason:
                    return record
        raise AssertionError(f"no decision was {reason} within {at_most} s")

    def restart(self) -> None:
        """Put a new autoscaler in the place of this one."""
        self.cycle = self._new_cycle()

    def replicas(self, name: str = "web") -> int:
        """The count that the service asks for."""
        return count_in(self.engine.service(name))

    def state(self, name: str = "web") -> ScaleState | None:
        """What the autoscaler's label on the service says."""
        return label_in(self.engine.service(name))

    def version(self, name: str = "web") -> int:
        """The service's version index."""
        version: int = self.engine.service(name)["Version"]["Index"]
        return version

    def deploy(self, name: str = "web", replicas: int = 3, image: str = "app:1") -> None:
        """A `docker stack deploy` of the service as its file has it."""
        self.engine.deploy(self.spec(name, replicas, image=image))

    def lose_swarm(self, *, times: int = 1) -> None:
        """Let the next reads of Swarm fail."""
        self.api.before("services", *[raising(LOST)] * times)

    def _new_cycle(self) -> Cycle:
        return self.cycle_on(self.api, self.source, self.clock)

    def cycle_on(
        self,
        api: WholeApi,
        source: MetricSource,
        clock: Clock,
        kind: type[C] = Cycle,  # type: ignore[assignment] # mypy knows no default of a type variable
        *,
        dry_run: bool | None = None,
    ) -> C:
        """A cycle without a past, with backends and a clock of its own; dry as the world is, unless told."""
        dry = self._dry_run if dry_run is None else dry_run
        swarm: Orchestrator = DockerSwarm(api)
        return kind(
            windows=MetricWindows({PROMETHEUS: source, **self.plugged}, SETTINGS, STEP),
            swarm=DryRun(swarm) if dry else swarm,
            pauses=KnownPauses(SwarmPauses(api)),
            clock=clock,
            deadline=10.0,
            record=self.records.append,
            on_defect=raised,
        )

    def _sample(self, metric: str, at: int) -> dict[str, tuple[float, int]]:
        if metric == STARVATION:
            told = {"": (1.0, 0)} if self.starved else {}
            return told | {f"{BUSY}  node:8080 {name}": (share, 0) for name, share in self.starved.items()}
        if self.policies.metrics[metric].one_value:
            return {"": (self.shared[metric], 0)} if metric in self.shared else {}
        samples = {}
        for document in self.engine.services():
            name = document["Spec"]["Name"]
            running = self.engine.running(name)
            reporting = max(0, running - self.silent.get(name, 0))
            if not reporting:
                continue
            percent = self.load.get((name, metric), 50.0)
            if metric == "cpu" and name in self.total:
                percent = self.total[name] / running
            if isfinite(percent):
                self.truth.setdefault((name, metric), {})[at] = (percent, reporting)
            whole = {"cpu": 1.0, "memory": MEMORY_LIMIT}.get(metric, 100.0)
            samples[name] = (percent / 100 * whole, reporting)
        return samples


def decided(  # noqa: PLR0913 - a decision has that many facts
    why: Why,
    *others: Why,
    service: str = "web",
    requested: int = 3,
    running: int | None = None,
    desired: int | None = None,
    at: float = 0.0,
    held: bool = False,
    recommendations: Sequence[Recommendation] = (),
) -> Decision:
    """A decision of the policy `shop`, *why* its primary reason and the last one; it changes nothing unless told."""
    return Decision(
        service=service,
        policy="shop",
        at=at,
        requested=requested,
        running=requested if running is None else running,
        desired=requested if desired is None else desired,
        recommended=requested if desired is None else desired,
        primary=why,
        reasons=(*others, why),
        recommendations=tuple(recommendations),
        held=held,
    )


def only(evaluation: Evaluation) -> Record:
    """The evaluation's record, where there is just one."""
    assert len(evaluation.records) == 1, evaluation
    return evaluation.records[0]


def said(record: Record) -> tuple[Outcome, Reason, int, int]:
    """What became of a decision: outcome, primary reason, the count before and the count decided on."""
    decision = record.decision
    return record.outcome, decision.primary.reason, decision.requested, decision.desired


def reasons(record: Record) -> list[Reason]:
    """All reasons of a decision, in their order."""
    return [why.reason for why in record.decision.reasons]


def settled_world(*policies: Policy, replicas: int = 3, cpu: float = 50, **options: Any) -> World:
    """A world whose policies' service `web` runs, is warm, and has complete windows."""
    world = World(*policies, **options)
    world.service(replicas=replicas, cpu=cpu)
    world.settle()
    return world
