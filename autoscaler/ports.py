"""What the autoscaler needs of the world, as protocols of one or two methods. All of them block."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.swarm.cluster import Cluster
    from autoscaler.util.deadline import Deadline


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """The time in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression: for all services at once, for one of them, or for a value that all share."""

    metric: str
    expression: str
    by: str | None
    """The label of the answer that carries the service's name; None where the answer is about `service`."""
    counts_tasks: bool = False
    """Whether each service has two series: its value, and the number of tasks behind it (see `queries`)."""
    service: str = ""
    """The one service that the answer is about where no label says so; empty where it is about all alike."""


@dataclass(frozen=True, slots=True)
class Series:
    """A service's samples on the grid that was asked for, oldest first; a missing sample is NaN, a missing count 0."""

    values: list[float]
    tasks: list[int] | None = None


class MetricSource(Protocol):
    """Answers PromQL range queries."""

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """How far the source's clock is behind (negative) or ahead of *now*, in seconds; 0 within its precision.

        Raises BackendError.
        """

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        """The samples at *start*, *start* + *step*, … *end* (both included), by service.

        Only complete answers: anything else raises BackendError.
        """


class Written(StrEnum):
    """What became of a write to Swarm."""

    APPLIED = "applied"
    DRY_RUN = "dry_run"
    CONFLICT = "conflict"
    """The service is not what the decision saw; nothing was written."""
    GONE = "gone"
    UNKNOWN = "unknown"
    """No answer came, and a read does not show it (yet): it may still be applied later."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Order:
    """A scale to carry out: valid only for the service as the decision saw it."""

    service_id: str
    service: str
    version: int
    """The version index the decision saw; the write is refused where the service has another."""
    requested: int
    """The count the decision saw."""
    replicas: int
    state: str
    """The text of the autoscaler's label to write in the same update."""


class RefusedBy(StrEnum):
    """Who refuses a write to Swarm."""

    PROXY = "proxy"
    """A socket proxy, or whatever else permits calls. It refuses the writes to all services."""
    ENGINE = "engine"
    """The engine, which does not take the spec of this service."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an order, in a word and, where it was not applied, in words."""

    written: Written
    detail: str = ""
    refused_by: RefusedBy | None = None
    """Who refused the write, if it was refused for another reason than what the order asks for."""


class Orchestrator(Protocol):
    """Lists services and scales one."""

    def read(self, deadline: Deadline) -> Cluster:
        """All services, with their tasks; at most three calls. Raises BackendError."""

    def scale(self, order: Order, deadline: Deadline) -> Receipt:
        """Carry out *order*, changing the count and the autoscaler's label and nothing else. Raises nothing."""
