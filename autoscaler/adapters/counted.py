"""Ports that count the calls through them, for the autoscaler's own metrics."""

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
    """A metric source that passes the result of each query to *count*: success, refused or unreachable."""

    source: MetricSource
    count: Callable[[str], None]

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """Return the source's own answer. It is not counted, because it is not a query of a metric."""
        return self.source.clock_offset(now, deadline)

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        """Return the source's own answer."""
        return _counted(self.count, lambda: self.source.fetch(query, start, end, step, deadline))


@dataclass(frozen=True, slots=True)
class CountedSwarm:
    """An orchestrator that passes to *count* the operation, `read` or `scale`, and its result."""

    swarm: Orchestrator
    count: Callable[[str, str], None]

    def read(self, deadline: Deadline) -> Cluster:
        """Return the orchestrator's own answer."""
        return _counted(partial(self.count, "read"), lambda: self.swarm.read(deadline))

    def scale(self, order: Order, deadline: Deadline) -> Receipt:
        """Return the orchestrator's own answer."""
        return _counted(
            partial(self.count, "scale"),
            lambda: self.swarm.scale(order, deadline),
            lambda receipt: receipt.written.value,
        )


@dataclass(frozen=True, slots=True)
class CountedLease:
    """A lease store that passes to *count* the operation, `read_lease` or `write_lease`, and its result."""

    store: LeaseStore
    count: Callable[[str, str], None]

    def look(self, deadline: Deadline) -> Cell | None:
        """Return the store's own answer."""
        return _counted(partial(self.count, "read_lease"), lambda: self.store.look(deadline))

    def write(self, holder: str, seen: Cell | None, deadline: Deadline, *, renewal: bool = False) -> bool:
        """Return the store's own answer."""
        write = partial(self.store.write, holder, seen, deadline, renewal=renewal)
        return _counted(partial(self.count, "write_lease"), write, _written)


@dataclass(frozen=True, slots=True)
class CountedPauses:
    """A pause store that passes to *count* the operation, `read_pauses` or `write_pauses`, and its result."""

    store: PauseStore
    count: Callable[[str, str], None]

    def look(self, deadline: Deadline) -> PauseCell | None:
        """Return the store's own answer."""
        return _counted(partial(self.count, "read_pauses"), lambda: self.store.look(deadline))

    def write(self, labels: Mapping[str, str], seen: PauseCell | None, deadline: Deadline) -> bool:
        """Return the store's own answer."""
        return _counted(partial(self.count, "write_pauses"), lambda: self.store.write(labels, seen, deadline), _written)


def _counted(
    count: Callable[[str], None], call: Callable[[], T], result: Callable[[T], str] = lambda _: "success"
) -> T:
    """Return or raise what *call* does, once its *result* is passed to *count*."""
    try:
        answer = call()
    except BackendError as error:
        count("refused" if isinstance(error, RefusedError) else "unreachable")
        raise
    count(result(answer))
    return answer


def _written(written: bool) -> str:  # noqa: FBT001 - the answer of a write is a truth value
    return "success" if written else "conflict"
