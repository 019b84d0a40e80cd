"""What the journal keeps, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class HappeningKind(StrEnum):
    """What sort of thing happened."""

    CHANGE = "change"
    """The count was changed, or was to be changed: by a decision, an operator or a deploy."""
    HOLD = "hold"
    """A run of decisions that were held for the same reason at the same counts."""
    UNCHANGED = "unchanged"
    """A run of decisions that wanted no change, for the same reason at the same count."""
    PROBLEM = "problem"
    PAUSE = "pause"
    POLICIES = "policies"
    """Policies were loaded, or refused."""
    LEADER = "leader"
    """This autoscaler became the leader or a standby, or the standby saw another leader."""
    STARTED = "started"
    """One run of the process, from its start to its last evaluation."""
    STOPPED = "stopped"
    """The process ended as it was told to. Without this it was killed, or its machine was lost."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened, at one moment or for a while. Times are Unix seconds to the millisecond."""

    kind: HappeningKind
    at: float
    service: str = ""
    """The service that it happened to; empty if it happened to none in particular."""
    subject: str = ""
    """A text that tells apart what happens to the same service at the same time, such as the problem's kind."""
    until: float | None = None
    """The last time at which it was known to be so; None until the store adds it, while it goes on."""
    ongoing: bool = False
    """Whether it still goes on."""
    times: int = 1
    """The number of evaluations in a run of decisions; 1 for anything else."""
    begun: int = 0
    """For a run of decisions the number of the process' evaluation at which it began, from 1 on; 0 for anything else.
    The times of a run that goes on follow from it."""
    facts: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """The facts that a line of text needs, as values that JSON can hold."""
    values: Mapping[str, tuple[float, float]] = field(default_factory=lambda: _NOTHING)
    """The lowest and the highest value that each rule saw within the run."""
    document: Mapping[str, Any] | None = None
    """The first decision of the run as a whole document; None if this is not a run of decisions."""

    @property
    def key(self) -> tuple[float, str, HappeningKind, str]:
        """Return what no two happenings of one journal share."""
        return self.at, self.service, self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Beat:
    """The last evaluation of the running process."""

    at: float
    evaluations: int
    """The number of evaluations since the process started that Swarm answered."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some happenings in the order of time, and where the next ones begin."""

    happenings: tuple[Happening, ...]
    next: str | None = None
    """The cursor of the next page; None if this is the last one."""
