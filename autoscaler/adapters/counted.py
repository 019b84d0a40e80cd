"""Ports that count what passes through them, for the autoscaler's own metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from autoscaler.errors import BackendError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.coordination.lease import Cell, LeaseStore
    from autoscaler.coordination.pauses import PauseCell, PauseStore
    from autoscaler.ports import MetricSource, Orchestrator, Order, Query, Receipt, Series
    from autoscaler.swarm.cluster import Cluster
    from autoscaler.util.deadline import Deadline


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CountedSource:
    """A metric source that tells *count* the result of each query: success, refused or unreachable."""

    source: MetricSource
    count: Callable[[str], None]

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """The source's own answer; not a query of any metric, so not counted."""
        return self.source.clock_offset(now, deadline)

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        """The source's own answer."""
        return _counted(self.count, lambda: self.source.fetch(query, start, end, step, deadline))


@dataclass(frozen=True, slots=True)
class CountedSwarm:
    """An orchestrator that tells *count* the operation, `read` or `scale`, and its result."""

    swarm: Orchestrator
    count: Callable[[str, str], None]

    def read(self, deadline: Deadline) -> Cluster:
        """The orchestrator's own answer."""
        return _counted(partial(self.count, "read"), lambda: self.swarm.read(deadline))

    def scale(self, order: Order, deadline: Deadline) -> Receipt:
        """The orchestrator's own answer."""
        return _counted(
            partial(self.count, "scale"),
            lambda: self.swarm.scale(order, deadline),
            lambda receipt: receipt.written.value,
        )


@dataclass(frozen=True, slots=True)
class CountedLease:
    """A lease store that tells *count* the operation, `read_lease` or `write_lease`, and its result."""

    store: LeaseStore
    count: Callable[[str, str], None]

    def look(self, deadline: Deadline) -> Cell | None:
        """The store's own answer."""
        return _counted(partial(self.count, "read_lease"), lambda: self.store.look(deadline))

    def write(self, holder: str, seen: Cell | None, deadline: Deadline, *, renewal: bool = False) -> bool:
        """The store's own answer."""
        write = partial(self.store.write, holder, seen, deadline, renewal=renewal)
        return _counted(partial(self.count, "write_lease"), write, _written)


@dataclass(frozen=True, slots=True)
class CountedPauses:
    """A pause store that tells *count* the operation, `read_pauses` or `write_pauses`, and its result."""

    store: PauseStore
    count: Callable[[str, str], None]

    def look(self, deadline: Deadline) -> PauseCell | None:
        """The store's own answer."""
        return _counted(partial(self.count, "read_pauses"), lambda: self.store.look(deadline))

    def write(self, labels: Mapping[str, str], seen: PauseCell | None, deadline: Deadline) -> bool:
        """The store's own answer."""
        return _counted(partial(self.count, "write_pauses"), lambda: self.store.write(labels, seen, deadline), _written)


def _counted(
    count: Callable[[str], None], call: Callable[[], T], result: Callable[[T], str] = lambda _: "success"
) -> T:
    """What *call* gives or raises, once *count* is told the *result* of it."""
    try:
        answer = call()
    except BackendError as error:
        count("refused" if isinstance(error, RefusedError) else "unreachable")
        raise
    count(result(answer))
    return answer


def _written(written: bool) -> str:  # noqa: FBT001 - what a write answers is a truth value
    return "success" if written else "conflict"
