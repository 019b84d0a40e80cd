"""What an evaluation leaves behind, as values: a record per service, and the problems it met."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.model import Decision, Direction, Outcome


@dataclass(frozen=True, slots=True)
class Record:
    """A decision and what became of it."""

    decision: Decision
    outcome: Outcome
    detail: str = ""
    """Why the outcome is not what was decided, in words; empty where it is."""
    bases: Mapping[str, str] = field(default_factory=dict)
    """What 100 % is, in words, for each metric that is a share of something."""
    paused: Mapping[Direction, str] = field(default_factory=dict)
    """Why changes of the service are paused, in words, by direction, wanted or not; without those that are not."""
    rollback_warning: str = ""
    """What `docker service rollback` would do after this scale, where the scale takes the rollback point away."""
    repeated: bool = False
    """Whether a dry-run proposed the same within its cooldown before."""


PROBLEM_KINDS = ("swarm", "pauses", "prometheus", "source", "query", "clock", "scrape_interval", "service", "starved")
"""All there are."""
_HINDERS_NOTHING = frozenset({"clock", "scrape_interval", "starved"})
"""Kinds that keep an evaluation from nothing."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept an evaluation from doing all of its work; it is over when an evaluation meets it no more."""

    kind: str
    """One of PROBLEM_KINDS; in the journal's words also `swarm_cause`, where a Swarm that was silent has said why it is
    lost."""
    detail: str
    subject: str = ""
    """The metric whose query failed, for kind `query`; the plugin's source that gives no answer, for kind `source`; the
    service that could not be decided on, for kind `service`; the node, for kind `starved`."""
    silent: bool = False
    """Whether no answer came in time, so that the words say little of the cause."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes two problems the same one, going on."""
        return self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One pass over all policies."""

    at: float
    records: tuple[Record, ...] = ()
    problems: tuple[Problem, ...] = ()
    paused: tuple[str, ...] = ()
    """What is paused at run time, a sentence each."""

    @property
    def incomplete(self) -> bool:
        """Whether a problem kept it from deciding on all it should; a doubtful clock or a starved node does not."""
        return any(problem.kind not in _HINDERS_NOTHING for problem in self.problems)

    def met(self, kind: str) -> bool:
        """Whether it met a problem of *kind*."""
        return any(problem.kind == kind for problem in self.problems)
