"""An autoscaler of a small world as a process: with a name, a client and a lease of its own."""

from __future__ import annotations

from itertools import count
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.adapters.swarm_lease import SwarmLease
from autoscaler.cycle import Cycle
from autoscaler.deadline import Deadline
from autoscaler.lease import Lease
from autoscaler.model import Direction
from autoscaler.reasons import Reason
from tests.support.world import FaultyEngine, WatchedSource, count_in, label_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.adapters.engine_api import Document
    from autoscaler.model import Decision
    from autoscaler.policy import Policy
    from autoscaler.ports import Order
    from autoscaler.records import Evaluation, Record
    from autoscaler.windows import Needed
    from tests.support.world import World

ENOUGH = Deadline(inf)
_numbers = count(1)


class Killed(BaseException):
    """The end of a process by SIGKILL: nothing catches it, and no clean-up that the process would have done is done."""


class Write(NamedTuple):
    """An update of a service that was carried out."""

    at: float
    """When, in the world's time."""
    by: str
    before: Document
    spec: Document
    decision: Decision

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
        """The service's name."""
        name: str = self.spec["Name"]
        return name

    def driven(self, policy: Policy) -> bool:
        """Whether a rule of *policy* asked for it: no bound was corrected, and no deploy repaired."""
        reasons = {why.reason for why in self.decision.reasons}
        within = policy.replicas.min <= self.counts[0] <= policy.replicas.max
        return within and Reason.RESTORED_AFTER_DEPLOY not in reasons


class Acting(Cycle):
    """A cycle that notes each decision when it begins to carry it out."""

    __slots__ = ("decisions",)
    decisions: dict[float, Decision]
    """By their time, which the label tells."""

    def _act(self, item: Needed, record: Record, order: Order, deadline: Deadline) -> Record:
        self.decisions[record.decision.at] = record.decision
        return super()._act(item, record, order, deadline)


class Process:
    """An autoscaler that has just been started in *world*; *at* is told of the moments around each of its calls.

    It does nothing by itself: `beat` and `evaluate` are what its threads do.
    """

    def __init__(self, world: World, at: Callable[[str], None] = lambda _: None) -> None:
        self.name = f"autoscaler-{next(_numbers)}"
        self.writes: list[Write] = []
        self.evaluations = 0
        self.world = world
        self.api = FaultyEngine(world.engine, at=at, written=self._written)
        self.lease = Lease(SwarmLease(self.api), self.name, lambda: world.clock.time)
        self.cycle = world.cycle_on(self.api, WatchedSource(world.prometheus, at=at), world.clock, Acting)
        self.cycle.decisions = {}
        self.cycle.standby = self.lease.objection

    def beat(self) -> None:
        """Ask for the lease; one that comes is used at once."""
        held = self.lease.held
        self.lease.beat(ENOUGH)
        if self.lease.held and not held:
            self.evaluate()

    def evaluate(self) -> Evaluation:
        """One evaluation."""
        self.evaluations += 1
        return self.cycle.evaluate(self.world.policies)

    def stop(self) -> None:
        """End as after SIGTERM."""
        self.lease.give_back(ENOUGH)

    def _written(self, before: Document, spec: Document) -> None:
        state = label_in({"Spec": spec})
        assert state is not None
        decision = self.cycle.decisions[state.events[-1].at]
        self.writes.append(Write(self.world.clock.time, self.name, before, spec, decision))
