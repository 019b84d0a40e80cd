"""An autoscaler of a small world as a process: with a name, a client and a lease of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.adapters.docker.lease import SwarmLease
from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.lease import Lease
from autoscaler.coordination.pauses import Pauses
from autoscaler.core.model import Direction
from autoscaler.core.reasons import Reason
from autoscaler.evaluation.cycle import Cycle
from autoscaler.swarm.cluster import STATE_LABEL
from autoscaler.util.deadline import Deadline
from tests.support.world import FaultyEngine, WatchedSource, count_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.adapters.docker.engine_api import Document
    from autoscaler.core.model import Decision, Observation
    from autoscaler.core.records import Evaluation, Record
    from autoscaler.metrics.windows import Needed
    from autoscaler.policy.policy import Policy, PolicySet
    from autoscaler.ports import MetricSource, Order, Query, Series
    from autoscaler.testing import ManualClock
    from tests.support.world import World

ENOUGH = Deadline(inf)
_numbers = count(1)


class Killed(BaseException):
    """The end of a process by SIGKILL: nothing catches it, and no clean-up that the process would have done is done."""


class Write(NamedTuple):
    """An update of a service that was carried out."""

    at: float
    """When, in the world's time."""
    by: Process
    before: Document
    spec: Document
    decision: Decision
    policy: Policy
    """The policy that was in force for the decision."""
    paused: bool
    """Whether its direction was paused at run time when the evaluation began that decided on it."""
    blind: bool
    """Whether a query was refused then."""
    skew: float
    """How far its writer's clock was ahead when it was decided on."""

    @property
    def decided(self) -> float:
        """When it was decided on, in the world's time."""
        return self.decision.at - self.skew

    @property
    def counts(self) -> tuple[int, int]:
        """The count before and after."""
        return count_in(self.before), count_in({"Spec": self.spec})

    @property
    def direction(self) -> Direction:
        """The way it moved the count."""
        was, becomes = self.counts
        return Direction.UP if becomes > was else Direction.DOWN

    @property
    def service(self) -> str:
        """The service's id."""
        id_: str = self.before["ID"]
        return id_

    @property
    def restores(self) -> bool:
        """Whether it repairs what a deploy did."""
        return Reason.RESTORED_AFTER_DEPLOY in {why.reason for why in self.decision.reasons}

    @property
    def driven(self) -> bool:
        """Whether a rule asked for it: no bound was corrected, no deploy repaired, and no replica given back."""
        within = self.policy.replicas.min <= self.counts[0] <= self.policy.replicas.max
        return within and not self.restores and not self.decision.gives_back


class Acting(Cycle):
    """A cycle that notes each decision when it begins to carry it out."""

    __slots__ = ("decisions", "looks", "paused", "skew", "source", "watches")
    decisions: dict[str, tuple[Decision, Policy, bool, bool, float]]
    """By the label that is written with them; with the policy, and what Write says of pauses, queries and the clock."""
    looks: dict[tuple[str, str], float]
    """The times, by its own clock, at which it first saw each label of ours; by the service's id and the label."""
    watches: Watches
    source: WatchedSource
    paused: Pauses
    """What was when the evaluation began."""
    skew: float
    """How far the clock was ahead when decisions were made last."""

    def _decide_all(
        self, assigned: list[Needed], policies: PolicySet, adopted: dict[str, str]
    ) -> list[tuple[Needed, Record, Order | None]]:
        self.skew = self.watches.skew
        return super()._decide_all(assigned, policies, adopted)

    def _observe(
        self, item: Needed, policies: PolicySet, now: float, adopted: dict[str, str]
    ) -> tuple[Observation, dict[str, str]]:
        self.looks.setdefault((item.view.id, item.view.labels.get(STATE_LABEL, "")), now)
        return super()._observe(item, policies, now, adopted)

    def _act(self, item: Needed, record: Record, order: Order, deadline: Deadline) -> Record:
        direction = Direction.UP if order.replicas > order.requested else Direction.DOWN
        paused = direction in self.paused.holding(order.service, record.decision.at)
        blind = bool(self.source.errors)
        self.decisions[order.state] = record.decision, item.policy, paused, blind, self.skew
        return super()._act(item, record, order, deadline)


@dataclass
class Watches:
    """The clocks of a process, beside the world's."""

    clock: ManualClock
    skew: float = 0.0
    """How far the time of day that it knows is ahead."""
    stood_still: float = 0.0
    """For how many seconds its machine was paused whole."""
    woke_at: float = -inf
    """When it woke last, having stood still."""
    skews: list[tuple[float, float]] = field(default_factory=list)
    """Until when its clock was ahead by how much, but for now."""

    def set(self, skew: float) -> None:
        """Set the time of day: so far ahead of what it is."""
        self.skews.append((self.clock.time, self.skew))
        self.skew = skew

    def least_skew(self, since: float) -> float:
        """How far it was ahead at least, *since* that time of the world's."""
        return min(self.skew, *(skew for until, skew in self.skews if until >= since), self.skew)

    def now(self) -> float:
        """The time of day, as it knows it."""
        return self.clock.time + self.skew

    def monotonic(self) -> float:
        """Seconds that have passed for it."""
        return self.clock.time - self.stood_still


class Process:
    """An autoscaler that has just been started in *world*; *at* is told of the moments around each of its calls.

    It does nothing by itself: `beat` and `evaluate` are what its threads do.
    """

    def __init__(
        self,
        world: World,
        at: Callable[[str], None] = lambda _: None,
        written: Callable[[Write], None] = lambda _: None,
        watches: Watches | None = None,
        *,
        dry_run: bool = False,
    ) -> None:
        self.name = f"autoscaler-{next(_numbers)}"
        self.writes: list[Write] = []
        self.evaluations = 0
        self.world = world
        self.watches = watches or Watches(world.clock)
        self._tell = written
        self.api = FaultyEngine(world.engine, at=at, written=self._written)
        self.lease = Lease(SwarmLease(self.api), self.name, self.watches.monotonic)
        self.source = WatchedSource(world.prometheus, at=at)
        skewed = SkewedSource(self.source, self.watches)
        self.cycle = world.cycle_on(self.api, skewed, self.watches, Acting, dry_run=dry_run)
        self.cycle.decisions, self.cycle.looks = {}, {}
        self.cycle.source, self.cycle.watches = self.source, self.watches
        if not dry_run:
            self.cycle.standby = self.lease.objection

    def __repr__(self) -> str:
        return self.name

    def beat(self) -> bool:
        """Ask for the lease; whether it has just come."""
        held = self.lease.held
        self.lease.beat(ENOUGH)
        return self.lease.held and not held

    def work(self, *, due: bool) -> None:
        """A beat, and an evaluation where one is *due* or the lease has just come."""
        if self.beat() or due:
            self.evaluate()

    def evaluate(self) -> Evaluation:
        """One evaluation."""
        self.evaluations += 1
        cell = SwarmPauses(self.world.engine).look(ENOUGH)
        self.cycle.paused = Pauses.of_labels(cell.labels if cell else {})
        return self.cycle.evaluate(self.world.policies)

    def stop(self) -> None:
        """End as after SIGTERM."""
        self.lease.give_back(ENOUGH)

    def _written(self, before: Document, spec: Document) -> None:
        facts = self.cycle.decisions[spec["Labels"][STATE_LABEL]]
        self.writes.append(Write(self.world.clock.time, self, before, spec, *facts))
        self._tell(self.writes[-1])


@dataclass
class SkewedSource:
    """A metric source as a process sees it whose clock is another one."""

    source: MetricSource
    watches: Watches

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """How far the source's clock is from the process' own."""
        return self.source.clock_offset(now, deadline) - self.watches.skew

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        """The source's answer."""
        return self.source.fetch(query, start, end, step, deadline)
