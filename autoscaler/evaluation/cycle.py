"""One evaluation: observe → decide → act → record. The only place that knows this order."""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autoscaler.coordination.pauses import KnownPauses
from autoscaler.core.kept_windows import KeptWindows
from autoscaler.core.model import Decision, Direction, Outcome, ScaleEvent, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from autoscaler.decision.decide import decide
from autoscaler.decision.gates import paused
from autoscaler.decision.recommend import recommend_all
from autoscaler.diagnosis.unmatched import UnmatchedPolicies
from autoscaler.errors import BackendError, DeadlineError
from autoscaler.evaluation.lack_watch import LOOKED_BACK, LackWatch, Look, combined
from autoscaler.evaluation.refusals import Refusals
from autoscaler.explanation.explain import Explainer, explain_untouched
from autoscaler.metrics.windows import Needed
from autoscaler.plugins.isolation import PluginGuard
from autoscaler.policy.matching import Matcher
from autoscaler.ports import Order, Written
from autoscaler.swarm.history import ServiceHistory, look, observed, prune
from autoscaler.util.deadline import Deadline
from autoscaler.util.text import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autoscaler.core.model import Observation
    from autoscaler.decision.recommend import Asker
    from autoscaler.metrics.windows import MetricWindows
    from autoscaler.policy.policy import Policy, PolicySet
    from autoscaler.ports import Clock, Orchestrator
    from autoscaler.swarm.cluster import Cluster, ServiceView

_ROUNDS = 3
"""How often a service is read and decided anew within one evaluation, where others write to it at the same time."""
_LONGEST_LOOK = 2.0
"""Seconds of an evaluation that reading the pauses may take."""
_FRAMES = 4
"""How many places of a traceback are told, the innermost."""
_OUTCOMES = {
    Written.APPLIED: Outcome.APPLIED,
    Written.DRY_RUN: Outcome.DRY_RUN,
    Written.CONFLICT: Outcome.CONFLICT,
    Written.UNKNOWN: Outcome.UNKNOWN,
    Written.REFUSED: Outcome.FAILED,
}


@dataclass(slots=True)
class Cycle:
    """Evaluates policies against the world, again and again; remembers what it saw of each service.

    Not for use by two threads at once, but for `stop`.
    """

    windows: MetricWindows
    swarm: Orchestrator
    clock: Clock
    deadline: float
    """How many seconds one evaluation may take."""
    standby: Callable[[], str] = lambda: ""
    """Says why this autoscaler must not write now, as it does not hold the lease; empty where it may."""
    asker: Asker = field(default_factory=PluginGuard)
    """Asks rules for their opinions; those of plugins with a time limit."""
    pauses: KnownPauses = field(default_factory=KnownPauses)
    """What operators paused at run time."""
    lacks: LackWatch = field(default_factory=LackWatch)
    """Finds out why data are missing."""
    refusals: Refusals = field(default_factory=Refusals)
    """Remembers the writes that were refused."""
    unmatched: UnmatchedPolicies = field(default_factory=UnmatchedPolicies)
    """Finds what in the policies matches no service."""
    record: Callable[[Record], None] = lambda _: None
    """Is told of each decision once it is carried out, held, or found to change nothing."""
    on_defect: Callable[[Exception], None] = lambda _: None
    """Is called with each defect that keeps a service from being decided on; what it raises ends the evaluation."""
    interval: int = 15
    """Seconds between two evaluations, which explanations of decisions count with."""
    _memories: dict[str, ServiceHistory] = field(default_factory=dict, init=False)
    _matcher: Matcher | None = field(default=None, init=False)
    _found: dict[str, tuple[ScaleEvent, ...]] = field(default_factory=dict, init=False)
    """The changes by others that this evaluation found, by the service's id."""
    _defects: list[Problem] = field(default_factory=list, init=False)
    """What kept services from being decided on in this evaluation."""
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def stop(self) -> None:
        """Begin no further write; one that is on its way is finished and verified."""
        self._stopping.set()

    def evaluate(self, policies: PolicySet, *, once: bool = False) -> Evaluation:
        """One pass over *policies*. Never raises for what Swarm or Prometheus do; ends within the deadline.

        With *once* nothing is remembered of missing data, so windows reach farther back to show how long they lack.
        """
        deadline = Deadline(self.deadline)
        now = self.clock.now()
        try:
            cluster = self.swarm.read(deadline)
        except BackendError as error:
            return Evaluation(now, problems=(Problem("swarm", str(error), silent=isinstance(error, DeadlineError)),))
        self._forget_removed(cluster)
        assigned, untouched = assign(self._matcher_of(policies), cluster, now)
        problems: list[Problem] = []
        if look_at_metrics(assigned):
            back = LOOKED_BACK if once else 0
            problems += self.windows.refresh(
                assigned, policies.metrics, now, deadline, at_least=back, nodes=cluster.nodes
            )
        # The last thing that is read, so that a pause is as new as can be when writing begins.
        if trouble := self.pauses.look(Deadline(deadline.remaining(at_most=_LONGEST_LOOK))):
            problems.append(Problem("pauses", trouble))
        self._defects.clear()
        self._found.clear()
        needed, records = assigned, list(untouched)
        for record in untouched:
            self.record(record)
        for record in self._carry_out(policies, assigned, deadline):
            records.append(record)
            self.record(record)
        problems += self.refusals.problems(view.name for view in cluster.services.values())
        # At last, so that nothing waits for it.
        look = Look(needed, policies, self.windows, cluster, now, problems, records)
        found = self.lacks.look_once(look, deadline) if once else self.lacks.look(look, deadline)
        used = frozenset(item.policy.name for item in needed)
        return Evaluation(
            now,
            tuple(records),
            (*combined(problems, found.problems), *self._defects),
            self.pauses.lines(now),
            found.lacks,
            found.news,
            self.unmatched.look(policies, {name: view.labels for name, view in cluster.services.items()}, used),
        )

    # observe

    def _observe(
        self, item: Needed, policies: PolicySet, now: float, adopted: dict[str, str]
    ) -> tuple[Observation, dict[str, str]]:
        view = item.view
        memory, changed = look(view, self._memories.get(view.id), now)
        self._memories[view.id] = memory
        if memory.found:
            self._found[view.id] = (*self._found.get(view.id, ()), *memory.found)
        # Memory finds a change once, and a conflict lets it look again within the evaluation.
        adopted[view.id] = "; ".join(filter(None, (adopted.get(view.id), changed)))
        windows, bases = self.windows.of(view, item.policy, policies.metrics)
        paused_by = self.pauses.holding(view.name, now)
        ends = self.pauses.ends(view.name, now) if paused_by else {}
        observation = observed(
            view,
            memory,
            windows,
            adopted[view.id],
            now,
            standby=self.standby(),
            paused=paused_by,
            paused_until=ends,
        )
        return observation, bases

    # decide and act

    def _carry_out(self, policies: PolicySet, assigned: list[Needed], deadline: Deadline) -> Iterator[Record]:
        """Decide on every service and act on it; where somebody else wrote meanwhile, read and decide again."""
        adopted: dict[str, str] = {}
        for last_round in (*[False] * (_ROUNDS - 1), True):
            conflicts: dict[str, Record] = {}
            for item, record, order in self._decide_all(assigned, policies, adopted):
                if order is None:
                    self.refusals.not_wanted(item.view.name)
                    yield record
                    continue
                if self._stopping.is_set():
                    return
                lost = self.standby()
                done = _stood_by(record, lost) if lost else self._act(item, record, order, deadline)
                if done.outcome is Outcome.CONFLICT and not last_round:
                    conflicts[item.view.name] = done
                else:
                    yield done
            if not conflicts:
                return
            try:
                cluster = self.swarm.read(deadline)
            except BackendError:
                yield from conflicts.values()
                return  # the next evaluation meets the same trouble first thing, and says so
            again, _ = assign(self._matcher_of(policies), cluster, self.clock.now())
            assigned = [item for item in again if item.view.name in conflicts]
            for name in conflicts.keys() - {item.view.name for item in assigned}:
                # Removed meanwhile, or taken out of the policies by its label.
                yield conflicts[name] if name in cluster.services else _gone(conflicts[name], "removed meanwhile")

    def _decide_all(
        self, assigned: list[Needed], policies: PolicySet, adopted: dict[str, str]
    ) -> list[tuple[Needed, Record, Order | None]]:
        """The decision on every service, increases first: should the time run out, they have been made.

        *adopted* holds what others changed since the evaluation began, by service; what is found is added to it.
        """
        now = round(self.clock.now(), 3)
        decided = []
        for item in assigned:
            try:
                decided.append((item, *self._decide(item, policies, now, adopted)))
            except Exception as error:  # noqa: BLE001 - a defect of ours costs this service, and not all of them
                self.on_defect(error)
                self._defects.append(Problem("service", _defect(error), item.view.name))
        return sorted(decided, key=lambda entry: entry[1].decision.desired < entry[1].decision.requested)

    def _decide(
        self, item: Needed, policies: PolicySet, now: float, adopted: dict[str, str]
    ) -> tuple[Record, Order | None]:
        observation, bases = self._observe(item, policies, now, adopted)
        memory = self._memories[item.view.id]
        recommendations = recommend_all(item.policy, observation, self.asker)
        decision = decide(item.policy, observation, memory.history, recommendations)
        self._memories[item.view.id] = memory.with_decision(decision, item.policy.longest_stabilization)
        outcome = Outcome.HELD if decision.held else Outcome.UNCHANGED
        found = self._found.get(item.view.id, ())
        last = memory.events[-1] if memory.events else None
        kept = KeptWindows(observation.windows)
        record = Record(
            decision,
            outcome,
            bases=bases,
            paused=paused(item.policy, observation),
            changes=memory.events,
            adopted=found,
            last_change=last,
            windows=kept,
            explained=Explainer(
                item.policy,
                replace(observation, windows=kept),
                memory.history,
                self.interval,
                policies.places.get(item.policy.name),
            ),
        )
        return record, self._order(item.view, decision, memory) if decision.changes else None

    def _order(self, view: ServiceView, decision: Decision, memory: ServiceHistory) -> Order:
        state = memory.state_after(decision)
        return Order(view.id, view.name, view.version, decision.requested, decision.desired, state.encode())

    def _act(self, item: Needed, record: Record, order: Order, deadline: Deadline) -> Record:
        view, decision = item.view, record.decision
        receipt = self.swarm.scale(order, deadline)
        self.refusals.note(view.name, receipt)
        if receipt.written is Written.GONE:
            return _gone(record, receipt.detail)
        memory = self._memories[view.id]
        repeated, last_change = False, record.last_change
        if receipt.written is Written.APPLIED:
            self._memories[view.id] = memory.with_change(decision)
            last_change = ScaleEvent(decision.at, decision.requested, decision.desired)
        elif receipt.written is Written.DRY_RUN:
            event = ScaleEvent(decision.at, decision.requested, decision.desired, proposed=True)
            repeated = _repeats(event, memory.proposed, item.policy)
            if not repeated:
                proposed = prune((*memory.proposed, event), decision.at)
                self._memories[view.id] = replace(memory, proposed=proposed)
        return replace(
            record,
            outcome=_OUTCOMES[receipt.written],
            detail=receipt.detail,
            rollback_warning=_rollback_warning(view),
            repeated=repeated,
            refused=receipt.refused_by is not None,
            last_change=last_change,
        )

    def _matcher_of(self, policies: PolicySet) -> Matcher:
        if self._matcher is None or self._matcher.policies is not policies:
            self._matcher = Matcher(policies)
        return self._matcher

    def _forget_removed(self, cluster: Cluster) -> None:
        present = {view.id for view in cluster.services.values()}
        for removed in self._memories.keys() - present:
            del self._memories[removed]


def assign(matcher: Matcher, cluster: Cluster, now: float) -> tuple[list[Needed], list[Record]]:
    """The policy of each service that one applies to; and records of what is meant but cannot be decided on."""
    assigned: list[Needed] = []
    untouched: list[Record] = []
    for name, view in cluster.services.items():
        match = matcher.find(name, view.labels, own=name == cluster.own_service)
        if match.policy is not None:
            assigned.append(Needed(view, match.policy))
        elif match.conflict:
            decision = _unchanged(name, match.names, now, Why(Reason.POLICY_CONFLICT, match.conflict))
            decision = replace(decision, requested=view.requested, desired=view.requested, running=view.running)
            untouched.append(Record(decision, Outcome.HELD, explained=explain_untouched))
    for name, policy in matcher.policies.named.items():
        if name not in cluster.services:
            why = Why(Reason.SERVICE_NOT_FOUND, matcher.missing(name, cluster.services))
            missing = _unchanged(name, policy.name, now, why)
            untouched.append(Record(missing, Outcome.HELD, explained=explain_untouched))
    return assigned, untouched


def look_at_metrics(assigned: list[Needed]) -> bool:
    """Whether there is something to ask Prometheus: schedules alone need no metric, wherever they are all there is."""
    return not assigned or any(item.policy.look_backs for item in assigned)


def _unchanged(service: str, policy: str, now: float, why: Why) -> Decision:
    return Decision(service, policy, now, 0, 0, 0, why, (why,), held=True)


def _gone(record: Record, detail: str) -> Record:
    """*record* of a service that Swarm does not have any more."""
    gone = Why(Reason.SERVICE_NOT_FOUND, detail)
    decision = replace(record.decision, primary=gone, reasons=(*record.decision.reasons, gone))
    return replace(record, decision=decision, outcome=Outcome.FAILED, detail=detail)


def _stood_by(record: Record, lost: str) -> Record:
    """*record* where the lease was *lost* between decision and write: nothing is written."""
    decision = record.decision
    why = Why(Reason.NOT_LEADER, f"wants {decision.desired}; {lost}", decision.primary.rule)
    held = replace(decision, desired=decision.requested, primary=why, reasons=(*decision.reasons, why), held=True)
    return replace(record, decision=held, outcome=Outcome.HELD)


def _defect(error: Exception) -> str:
    """What *error* is and where it came about, on one line, for whoever is to find it."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = ", ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
    return f"a defect of the autoscaler: {describe_error(error)} ({places}; report it)"


def _repeats(event: ScaleEvent, proposed: tuple[ScaleEvent, ...], policy: Policy) -> bool:
    cooldown = policy.scale_up.cooldown if event.direction is Direction.UP else policy.scale_down.cooldown
    return any(
        (earlier.before, earlier.after) == (event.before, event.after) and event.at - earlier.at < cooldown
        for earlier in proposed
    )


def _rollback_warning(view: ServiceView) -> str:
    if not view.loses_rollback_point:
        return ""
    return (
        "after this scale `docker service rollback` undoes the scale, not the last deploy; "
        f"`autoscaler rollback {view.name}` goes back to the version before it"
    )
