"""The last decisions in memory: what the API and the metrics show. Safe to read from any thread."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autoscaler.core.model import Outcome
from autoscaler.core.records import NO_DATA, WRITE
from autoscaler.evaluation.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.lacks import Lack
    from autoscaler.core.model import Direction
    from autoscaler.core.records import Evaluation, Problem, Record
    from autoscaler.core.states import State

_KEPT = 20
_OF_PROMETHEUS = frozenset({"query", "clock", "scrape_interval", "starved", NO_DATA})
"""The kinds of problems that only an answer of Prometheus can show to be over."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The journal at one moment."""

    latest: Mapping[str, Record]
    """The newest record of each service that the last evaluation decided on, by name."""
    decisions: Mapping[tuple[str, Outcome], int]
    """How many decisions of each outcome there were, by service and outcome, dry-run repetitions left out."""
    held: Mapping[tuple[str, str], int]
    """How many decisions were held, by service and primary reason."""
    problems: tuple[Problem, ...]
    """What the last evaluation met."""
    paused: tuple[str, ...]
    """What was paused at run time at the last evaluation that Swarm answered, a sentence each."""
    last_evaluation: float | None
    """When the last evaluation began, Unix seconds; None before the first."""
    missed: int
    """How many evaluations were due while one was still running."""
    lacks: tuple[Lack, ...] = ()
    """The data that lacked at the last evaluation that Swarm answered, and why."""
    unmatched: tuple[str, ...] = ()
    """What in the policies matched no service then, a sentence each."""
    since: Mapping[str, Mapping[State, float]] = field(default_factory=dict)
    """Since when each service has been in its states, Unix seconds; services without a state are absent."""
    scaled: Mapping[tuple[str, Direction, str], int] = field(default_factory=dict)
    """How often each service was scaled, by service, direction and rule; the rule is empty if none decided."""
    problems_since: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Since when each problem lasts, Unix seconds, by its key."""


@dataclass(frozen=True, slots=True)
class EndedHold:
    """A hold that is over although the count did not change: nothing is wanted any more."""

    last: Record
    """The last record of the hold."""
    since: float
    """The time of its first record: when the service was first held for this reason."""


@dataclass(slots=True)
class Journal:
    """Keeps what evaluations leave behind, bounded, and forgets services that no policy applies to any more."""

    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _latest: dict[str, Record] = field(default_factory=dict, init=False)
    _notable: dict[str, deque[Record]] = field(default_factory=dict, init=False)
    _held_since: dict[str, float] = field(default_factory=dict, init=False)
    """When the hold of each held service began."""
    _decisions: dict[tuple[str, Outcome], int] = field(default_factory=dict, init=False)
    _held: dict[tuple[str, str], int] = field(default_factory=dict, init=False)
    _problems: tuple[Problem, ...] = field(default=(), init=False)
    _paused: tuple[str, ...] = field(default=(), init=False)
    _last_evaluation: float | None = field(default=None, init=False)
    _missed: int = field(default=0, init=False)
    _lacks: tuple[Lack, ...] = field(default=(), init=False)
    _unmatched: tuple[str, ...] = field(default=(), init=False)
    _marks: Marks = field(default_factory=Marks, init=False)
    _closed: int = field(default=0, init=False)

    @property
    def closed(self) -> int:
        """Return how many evaluations are over: what is made of the journal once for each can be kept until then."""
        return self._closed

    @property
    def last_evaluation(self) -> float | None:
        """Return when the last evaluation began, in Unix seconds; None before the first."""
        return self._last_evaluation

    def add(self, record: Record) -> bool:
        """Keep *record*; true where it says something that the service's last record did not.

        A decision that was carried out, or failed, is always news, except for a write that is refused again. One that
        is held is news if it is held for another reason or at other counts than before.
        """
        service = record.decision.service
        with self._lock:
            before = self._latest.get(service)
            news = _is_news(record, before)
            self._latest[service] = record
            if record.outcome is not Outcome.HELD:
                self._held_since.pop(service, None)
            elif news or service not in self._held_since:
                self._held_since[service] = record.decision.at
            self._marks.note(record)
            if news and record.outcome is not Outcome.UNCHANGED:
                # Without its windows: those of 20 decisions on a thousand services would fill the memory.
                self._notable.setdefault(service, deque(maxlen=_KEPT)).append(record.without_inputs())
            if not record.repeated:
                count = (service, record.outcome)
                self._decisions[count] = self._decisions.get(count, 0) + 1
            if record.outcome is Outcome.HELD:
                reason = (service, record.decision.primary.reason.value)
                self._held[reason] = self._held.get(reason, 0) + 1
        return news

    def hold_ended_by(self, record: Record) -> EndedHold | None:
        """Return the hold that *record*, which is not added yet, ends without a change; None if it ends none."""
        service = record.decision.service
        with self._lock:
            last = self._latest.get(service)
            if last is None or last.outcome is not Outcome.HELD or record.outcome is not Outcome.UNCHANGED:
                return None
            return EndedHold(last, self._held_since.get(service, last.decision.at))

    def close(self, evaluation: Evaluation) -> tuple[list[Problem], list[Problem]]:
        """Take note that *evaluation* is over; returns the problems that began with it, and those that ended."""
        with self._lock:
            before = {problem.key: problem for problem in self._problems}
            now = {problem.key: problem for problem in evaluation.problems}
            # What was not looked at may still be as it was: without Swarm Prometheus is not asked, and without an
            # answer of Prometheus its clock and the other queries are not known.
            unknown = {"prometheus", "pauses", "service", WRITE, *_OF_PROMETHEUS} if evaluation.met("swarm") else set()
            unknown |= _OF_PROMETHEUS if evaluation.met("prometheus") else set()
            now = {key: problem for key, problem in before.items() if problem.kind in unknown} | now
            # A cause that is known is kept while nothing more is heard: a manager without a leader hangs now and then.
            now = {key: before.get(key, problem) if problem.silent else problem for key, problem in now.items()}
            if not evaluation.met("swarm"):
                self._paused = evaluation.paused
                self._lacks = evaluation.lacks
                self._unmatched = evaluation.unmatched
                self._forget_all_but({record.decision.service for record in evaluation.records})
            self._problems = tuple(now.values())
            self._marks.note_problems(self._problems, evaluation.at)
            self._last_evaluation = evaluation.at
            self._closed += 1
        began = [problem for key, problem in now.items() if key not in before]
        began += [
            replace(problem, kind="swarm_cause")
            for key, problem in now.items()
            if problem.kind == "swarm" and key in before and before[key].silent and not problem.silent
        ]
        began += [
            replace(problem, kind="no_data_cause")
            for key, problem in now.items()
            if problem.kind == NO_DATA and key in before and before[key].cause != problem.cause
        ]
        ended = [problem for key, problem in before.items() if key not in now]
        return began, ended

    def miss(self) -> None:
        """Count an evaluation that was due while another one was running."""
        with self._lock:
            self._missed += 1

    def snapshot(self) -> Snapshot:
        """What the journal holds now."""
        with self._lock:
            return Snapshot(
                dict(self._latest),
                dict(self._decisions),
                dict(self._held),
                self._problems,
                self._paused,
                self._last_evaluation,
                self._missed,
                self._lacks,
                self._unmatched,
                dict(self._marks.since),
                dict(self._marks.scaled),
                dict(self._marks.problems),
            )

    def notable(self, service: str) -> tuple[Record, ...]:
        """The last 20 records of *service* that changed something or were held anew, oldest first."""
        with self._lock:
            return tuple(self._notable.get(service, ()))

    def _forget_all_but(self, services: set[str]) -> None:
        self._marks.forget_all_but(services)
        self._latest = {name: record for name, record in self._latest.items() if name in services}
        self._notable = {name: records for name, records in self._notable.items() if name in services}
        self._held_since = {name: since for name, since in self._held_since.items() if name in services}
        self._decisions = {key: count for key, count in self._decisions.items() if key[0] in services}
        self._held = {key: count for key, count in self._held.items() if key[0] in services}


def _is_news(record: Record, before: Record | None) -> bool:
    if record.repeated:
        return False
    if record.refused and before is not None and before.refused and before.detail == record.detail:
        return False  # the problem `write` goes on
    if record.outcome not in {Outcome.HELD, Outcome.UNCHANGED} or before is None:
        return True
    new, old = record.decision, before.decision
    return (record.outcome, new.primary.reason, new.primary.rule, new.requested) != (
        before.outcome,
        old.primary.reason,
        old.primary.rule,
        old.requested,
    )
