"""Makes happenings of what evaluations leave behind. Reads no clock and does no I/O. For one thread."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import TYPE_CHECKING, Any

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.core.records import NO_DATA, WRITE
from autoscaler.journal.happening import Beat, Happening, HappeningKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from autoscaler.core.model import Decision, ScaleEvent
    from autoscaler.core.records import Evaluation, Problem, Record

    DocumentOf = Callable[[Record], Mapping[str, Any]]

_ROUNDS = 20
"""The values of a run that goes on are handed out once in so many evaluations, so that kill -9 costs few of them."""
_KINDS = {Outcome.HELD: HappeningKind.HOLD, Outcome.UNCHANGED: HappeningKind.UNCHANGED}
_BY = {
    Reason.BELOW_MIN.value: "bounds",
    Reason.ABOVE_MAX.value: "bounds",
    Reason.SCHEDULE_BOUNDS.value: "schedule",
    Reason.RESTORED_AFTER_DEPLOY.value: "restore",
    Reason.FALLBACK.value: "fallback",
    Reason.NO_ROOM.value: "no_room",
}
"""Who made a change, by its primary reason; a rule made all others."""


def changed_by(reason: str, *, by_others: bool = False) -> str:
    """Return who made a change of the count for that *reason*: `rule`, `bounds`, `operator` and so on.

    It is `unknown` if nothing tells the reason.
    """
    return (reason or "unknown") if by_others or not reason else _BY.get(reason, "rule")


@dataclass(slots=True)
class _Run:
    """Decisions on one service in a row that say the same, at neighbouring evaluations."""

    key: tuple[object, ...]
    head: Happening
    """How it began, without its facts and its document."""
    turn: int
    """In which of `_ROUNDS` evaluations its values are handed out."""
    last: int
    """The number of its last evaluation."""
    until: float
    rules: tuple[str, ...]
    lows: list[float]
    highs: list[float]
    stale: bool = True
    """Whether its values have changed since they were handed out."""

    def take(self, decision: Decision, number: int) -> None:
        """Go on with *decision*, the *number*th evaluation's."""
        self.last = number
        self.until = decision.at
        lows, highs = self.lows, self.highs
        for index, item in enumerate(decision.recommendations):
            value = item.value
            if value is None or lows[index] <= value <= highs[index]:
                continue
            # Also if there was none yet: no comparison with NaN is true.
            lows[index] = value if not value >= lows[index] else lows[index]
            highs[index] = value if not value <= highs[index] else highs[index]
            self.stale = True

    def so_far(self, *, ongoing: bool) -> Happening:
        """Return it as it is now."""
        self.stale = False
        values = dict(zip(self.rules, zip(self.lows, self.highs, strict=True), strict=True))
        times = self.last - self.head.begun + 1
        return replace(self.head, until=self.until, ongoing=ongoing, times=times, values=values)


@dataclass(slots=True)
class Chronicle:
    """Follows one process from its start on: its runs of decisions, its problems and its pauses."""

    document: DocumentOf
    earliest: float = -inf
    """The time from which on changes that labels tell are of interest."""
    beat: Beat = field(default_factory=lambda: Beat(0.0, 0), init=False)
    """The last evaluation that Swarm answered."""
    _runs: dict[str, _Run] = field(default_factory=dict, init=False)
    _changes: dict[str, tuple[ScaleEvent, ...]] = field(default_factory=dict, init=False)
    """The changes of each service that are known, as last seen."""
    _problems: dict[tuple[str, str], Happening] = field(default_factory=dict, init=False)
    _pauses: dict[str, Happening] = field(default_factory=dict, init=False)

    def evaluated(
        self, evaluation: Evaluation, began: Iterable[Problem] = (), ended: Iterable[Problem] = ()
    ) -> tuple[list[Happening], Beat]:
        """Return what is new with *evaluation*, with the problems that *began* and *ended* by it; and the beat."""
        new: list[Happening] = []
        if not evaluation.met("swarm"):
            latest = max((record.decision.at for record in evaluation.records), default=evaluation.at)
            self.beat = Beat(latest, self.beat.evaluations + 1)
            for record in evaluation.records:
                self._follow(record, new)
            self._end_absent(len(evaluation.records), new)
            self._follow_pauses(evaluation, new)
        self._follow_problems(evaluation.at, began, ended, new)
        return new, self.beat

    def policies(self, at: float, revision: str, policies: int, problems: Iterable[str] = ()) -> list[Happening]:
        """Return that policies were loaded, or refused for their *problems*; and end all runs if other ones apply."""
        refused = list(problems)
        facts = {"revision": revision, "policies": policies, "refused": bool(refused), "problems": refused[:5]}
        ends = [] if refused else [run.so_far(ongoing=False) for run in self._runs.values()]
        if not refused:
            self._runs.clear()
        return [*ends, Happening(HappeningKind.POLICIES, at, until=at, facts=facts)]

    @staticmethod
    def started(at: float, facts: Mapping[str, Any]) -> list[Happening]:
        """Return that this process started."""
        return [Happening(HappeningKind.STARTED, at, ongoing=True, begun=1, facts=facts)]

    @staticmethod
    def role(at: float, holder: str, *, leads: bool) -> list[Happening]:
        """Return that this autoscaler became the leader, or a standby of *holder*."""
        facts = {"role": "leader" if leads else "standby", "holder": holder}
        return [Happening(HappeningKind.LEADER, at, until=at, facts=facts)]

    def stopped(self, at: float) -> list[Happening]:
        """Return the ends of all runs, and that the process ended as it was told to."""
        ends = [run.so_far(ongoing=False) for run in self._runs.values()]
        return [*ends, Happening(HappeningKind.STOPPED, at, until=at)]

    # decisions

    def _follow(self, record: Record, new: list[Happening]) -> None:
        decision = record.decision
        service, primary, number = decision.service, decision.primary, self.beat.evaluations
        run = self._runs.get(service)
        key = (
            record.outcome,
            primary.reason,
            primary.rule,
            decision.requested,
            decision.desired,
            decision.recommended,
            decision.policy,
            len(decision.recommendations),
        )
        if run is not None and run.key == key and run.last == number - 1 and record.outcome is not Outcome.APPLIED:
            run.take(decision, number)
            if run.stale and number % _ROUNDS == run.turn:
                new.append(run.so_far(ongoing=True))
        else:
            if run is not None:
                new.append(run.so_far(ongoing=False))
            new.append(self._begin(record, key))
        if record.changes is not self._changes.get(service):
            self._tell_changes(record, new)

    def _begin(self, record: Record, key: tuple[object, ...]) -> Happening:
        decision = record.decision
        kind = _KINDS.get(record.outcome, HappeningKind.CHANGE)
        head = Happening(kind, decision.at, decision.service, ongoing=True, begun=self.beat.evaluations)
        count = len(decision.recommendations)
        rules = tuple(item.rule for item in decision.recommendations)
        turn = len(self._runs) % _ROUNDS
        run = _Run(key, head, turn, self.beat.evaluations, decision.at, rules, [nan] * count, [nan] * count)
        run.take(decision, self.beat.evaluations)
        self._runs[decision.service] = run
        return replace(run.so_far(ongoing=True), facts=_facts(record, kind), document=self.document(record) or None)

    def _end_absent(self, decided: int, new: list[Happening]) -> None:
        """End the runs of services that this evaluation did not decide on."""
        if len(self._runs) > decided:
            for service, run in list(self._runs.items()):
                if run.last != self.beat.evaluations:
                    new.append(run.so_far(ongoing=False))
                    del self._runs[service]
                    self._changes.pop(service, None)

    def _tell_changes(self, record: Record, new: list[Happening]) -> None:
        """Tell the changes that labels and looks brought to light, once each; those of decisions are told already."""
        service = record.decision.service
        known = self._changes.get(service, ())
        self._changes[service] = record.changes
        told = {(event.at, event.before, event.after) for event in known}
        for event in record.changes:
            if event.at >= self.earliest and (event.at, event.before, event.after) not in told:
                facts = {
                    "by": changed_by(event.reason, by_others=event.by_others),
                    "reason": event.reason,
                    "rule": event.rule,
                    "before": event.before,
                    "after": event.after,
                    "outcome": Outcome.APPLIED.value,
                }
                new.append(Happening(HappeningKind.CHANGE, event.at, service, until=event.at, facts=facts))

    # problems and pauses

    def _follow_problems(
        self, at: float, began: Iterable[Problem], ended: Iterable[Problem], new: list[Happening]
    ) -> None:
        over = [self._problems.pop(problem.key, None) for problem in ended]
        new.extend(replace(known, until=at, ongoing=False) for known in over if known is not None)
        for problem in began:
            kind = problem.kind.removesuffix("_cause")
            key = (kind, problem.subject)
            if (known := self._problems.pop(key, None)) is not None:
                new.append(replace(known, until=at, ongoing=False))
            service = problem.subject if kind in _OF_SERVICES and " " not in problem.subject else ""
            facts = {"problem": kind, "subject": problem.subject, "detail": problem.detail}
            subject = f"{kind} {problem.subject}".rstrip()
            begun = Happening(HappeningKind.PROBLEM, at, service, subject, ongoing=True, facts=facts)
            self._problems[key] = replace(begun, facts={})
            new.append(begun)

    def _follow_pauses(self, evaluation: Evaluation, new: list[Happening]) -> None:
        paused = dict.fromkeys(evaluation.paused)
        over = [self._pauses.pop(line) for line in self._pauses.keys() - paused.keys()]
        new.extend(replace(known, until=evaluation.at, ongoing=False) for known in over)
        for line in paused.keys() - self._pauses.keys():
            name, _, _ = line.partition(": ")
            service = "" if " " in name else name
            begun = Happening(
                HappeningKind.PAUSE, evaluation.at, service, subject=line, ongoing=True, facts={"detail": line}
            )
            self._pauses[line] = replace(begun, facts={})
            new.append(begun)


_OF_SERVICES = frozenset({"service", NO_DATA, WRITE})
"""The kinds of problems whose subject is a service, if it has no blank in it."""


def _facts(record: Record, kind: HappeningKind) -> dict[str, Any]:
    decision = record.decision
    facts: dict[str, Any] = {
        "outcome": record.outcome.value,
        "policy": decision.policy,
        "reason": decision.primary.reason.value,
        "rule": decision.primary.rule or "",
        "why": decision.primary.detail,
        "before": decision.requested,
        "after": decision.desired,
        "wants": decision.recommended,
        "running": decision.running,
        "rules": [item.rule for item in decision.recommendations],
    }
    if record.detail:
        facts["detail"] = record.detail
    if kind is HappeningKind.CHANGE:
        facts["by"] = changed_by(decision.primary.reason.value)
    return facts
