"""Ports that count what passes through them, for the autoscaler's own metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.errors import BackendError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.cluster import Cluster
    from autoscaler.deadline import Deadline
    from autoscaler.lease import Cell, LeaseStore
    from autoscaler.pauses import PauseCell, PauseStore
    from autoscaler.ports import MetricSource, Orchestrator, Order, Query, Receipt, Series


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
        try:
            answer = self.source.fetch(query, start, end, step, deadline)
        except BackendError as error:
            self.count(_result(error))
            raise
        self.count("success")
        return answer


@dataclass(frozen=True, slots=True)
class CountedSwarm:
    """An orchestrator that tells *count* the operation, `read` or `scale`, and its result."""

    swarm: Orchestrator
    count: Callable[[str, str], None]

    def read(self, deadline: Deadline) -> Cluster:
        """The orchestrator's own answer."""
        try:
            cluster = self.swarm.read(deadline)
        except BackendError as error:
            self.count("read", _result(error))
            raise
        self.count("read", "success")
        return cluster

    def scale(self, order: Order, deadline: Deadline) -> Receipt:
        """The orchestrator's own answer."""
        receipt = self.swarm.scale(order, deadline)
        self.count("scale", receipt.written.value)
        return receipt


@dataclass(frozen=True, slots=True)
class CountedLease:
    """A lease store that tells *count* the operation, `read_lease` or `write_lease`, and its result."""

    store: LeaseStore
    count: Callable[[str, str], None]

    def look(self, deadline: Deadline) -> Cell | None:
        """The store's own answer."""
        try:
            cell = self.store.look(deadline)
        except BackendError as error:
            self.count("read_lease", _result(error))
            raise
        self.count("read_lease", "success")
        return cell

    def write(self, holder: str, seen: Cell | None, deadline: Deadline, *, renewal: bool = False) -> bool:
        """The store's own answer."""
        try:
            written = self.store.write(holder, seen, deadline, renewal=renewal)
        except BackendError as error:
            self.count("write_lease", _result(error))
            raise
        self.count("write_lease", "success" if written else "conflict")
        return written


@dataclass(frozen=True, slots=True)
class CountedPauses:
    """A pause store that tells *count* the operation, `read_pauses` or `write_pauses`, and its result."""

    store: PauseStore
    count: Callable[[str, str], None]

    def look(self, deadline: Deadline) -> PauseCell | None:
        """The store's own answer."""
        try:
            cell = self.store.look(deadline)
        except BackendError as error:
            self.count("read_pauses", _result(error))
            raise
        self.count("read_pauses", "success")
        return cell

    def write(self, labels: Mapping[str, str], seen: PauseCell | None, deadline: Deadline) -> bool:
        """The store's own answer."""
        try:
            written = self.store.write(labels, seen, deadline)
        except BackendError as error:
            self.count("write_pauses", _result(error))
            raise
        self.count("write_pauses", "success" if written else "conflict")
        return written


def _result(error: BackendError) -> str:
    return "refused" if isinstance(error, RefusedError) else "unreachable"
