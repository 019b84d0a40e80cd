"""The results of an evaluation, as values: a record per service, and the problems that it met."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.explanation import Explanation
    from autoscaler.core.lacks import Lack
    from autoscaler.core.model import Decision, Direction, Outcome, ScaleEvent
    from autoscaler.core.window import Window


class Explains(Protocol):
    """Explains a record."""

    def __call__(self, record: Record, *, outlook: bool) -> Explanation:
        """Return the explanation of *record*, with the next changes if *outlook* is true."""


@dataclass(frozen=True, slots=True)
class Record:
    """A decision and its outcome."""

    decision: Decision
    outcome: Outcome
    detail: str = ""
    """Why the outcome is not what was decided, in words; empty if it is."""
    bases: Mapping[str, str] = field(default_factory=dict)
    """What 100 % is, in words, for each metric that is a share of something."""
    paused: Mapping[Direction, str] = field(default_factory=dict)
    """Why changes of the service are paused, in words; only for the directions that are paused, wanted or not."""
    rollback_warning: str = ""
    """The effect of `docker service rollback` after this scale, if the scale replaces the rollback point; else
    empty."""
    repeated: bool = False
    """Whether a dry-run already proposed the same change within the cooldown."""
    changes: tuple[ScaleEvent, ...] = ()
    """The changes of the service's count that were known before this decision, oldest first."""
    adopted: tuple[ScaleEvent, ...] = ()
    """The changes by others that this evaluation found; they are in `changes` too."""
    refused: bool = False
    """Whether a write was refused. The problem `write` then reports it, once for all services."""
    last_change: ScaleEvent | None = None
    """The service's last change, by whomever, with this one if it was applied; None if none is known."""
    windows: Mapping[str, Window] = field(default_factory=dict, repr=False, compare=False)
    """The window of each metric that the rules judged, for people to look at."""
    explained: Explains | None = field(default=None, repr=False, compare=False)
    """Explains this record from the inputs of its decision, which it holds; None for a record that holds none."""

    def explanation(self, *, outlook: bool = True) -> Explanation | None:
        """Return the decision explained, which takes some milliseconds; None if the inputs are not kept.

        Without *outlook* the next changes are left out, which take almost all of that time.
        """
        return None if self.explained is None else self.explained(self, outlook=outlook)

    def without_inputs(self) -> Record:
        """Return this record without the inputs of its decision, which need much more memory than the record."""
        return replace(self, windows={}, explained=None)


NO_DATA, WRITE = "no_data", "write"
PROBLEM_KINDS = (
    "swarm",
    "pauses",
    "prometheus",
    "source",
    "query",
    NO_DATA,
    WRITE,
    "clock",
    "scrape_interval",
    "service",
    "starved",
    "history",
)
"""All kinds of problems."""
_HINDERS_NOTHING = frozenset({"clock", "scrape_interval", "starved", "history"})
"""Kinds that do not keep an evaluation from any of its work."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept an evaluation from all of its work. It is over once an evaluation no longer meets it."""

    kind: str
    """One of PROBLEM_KINDS. The journal also uses `swarm_cause`, if a Swarm that was silent has given the cause
    since, and `no_data_cause`, if data lack for another cause than before."""
    detail: str
    subject: str = ""
    """The subject by kind: `query`: the metric whose query failed; `source`: the plugin's source that does not answer;
    `service`: the service that could not be decided on; `starved`: the node; `no_data`: the service, or `metric NAME`
    if it lacks for many services, or empty if all services lack data; `write`: the service, or empty if it is about
    all."""
    silent: bool = False
    """Whether no answer came in time. The detail then says little about the cause."""
    cause: str = ""
    """A word for the cause of a problem that may go on for another cause; empty if it has one cause only."""

    @property
    def key(self) -> tuple[str, str]:
        """Return a key that is equal for two problems if they are the same one that goes on."""
        return self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One pass over all policies."""

    at: float
    records: tuple[Record, ...] = ()
    problems: tuple[Problem, ...] = ()
    paused: tuple[str, ...] = ()
    """The pauses that are set at run time, one sentence each."""
    lacks: tuple[Lack, ...] = ()
    """The missing data, each with the first broken link of its chain."""
    lack_news: tuple[Lack, ...] = ()
    """Those of them that began, or whose link changed, since the evaluation before."""
    unmatched: tuple[str, ...] = ()
    """The policies, and the globs in them, that match no service; a sentence each."""

    @property
    def incomplete(self) -> bool:
        """Return whether a problem kept the evaluation from a decision. A doubtful clock or a starved node does not."""
        return any(problem.kind not in _HINDERS_NOTHING for problem in self.problems)

    def met(self, kind: str) -> bool:
        """Return whether the evaluation met a problem of *kind*."""
        return any(problem.kind == kind for problem in self.problems)
