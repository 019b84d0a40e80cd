"""One evaluation: observe → decide → act → record. The only place that knows this order."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autoscaler.bases import REDISTRIBUTES, Base, base_of
from autoscaler.cluster import ENABLED_LABEL, Memory, ScaleState, prune, remember
from autoscaler.deadline import Deadline
from autoscaler.decide import decide
from autoscaler.durations import words
from autoscaler.errors import BackendError, UnreachableError
from autoscaler.model import Decision, Direction, Observation, Outcome, Recommended, ScaleEvent, Why
from autoscaler.ports import Order, Written
from autoscaler.reasons import Reason
from autoscaler.records import Evaluation, Problem, Record
from autoscaler.window import Window
from autoscaler.window_cache import WindowCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from autoscaler.cluster import Cluster, ServiceView
    from autoscaler.policy import Policy, PolicySet
    from autoscaler.ports import Clock, MetricSource, Orchestrator, Query

_ROUNDS = 3
"""How often a service is read and decided anew within one evaluation, where others write to it at the same time."""
_PART = 22
"""How many window steps one query asks for at most, so that Prometheus answers for 5,000 services within its time-out
(docs/performance.md): a long window is filled in parts, and goes on being filled at the next evaluation should the time
run out."""
_OUTCOMES = {
    Written.APPLIED: Outcome.APPLIED,
    Written.DRY_RUN: Outcome.DRY_RUN,
    Written.CONFLICT: Outcome.CONFLICT,
    Written.UNKNOWN: Outcome.UNKNOWN,
    Written.REFUSED: Outcome.FAILED,
}


@dataclass(frozen=True, slots=True)
class Timing:
    """The times that shape an evaluation, in whole seconds."""

    step: int
    """The window step."""
    warmup: int
    """How long a task runs before its samples count."""
    deadline: float
    """How long one evaluation may take."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """A service and the policy that applies to it."""

    view: ServiceView
    policy: Policy


@dataclass(slots=True)
class Cycle:
    """Evaluates policies against the world, again and again; remembers windows and what it saw of each service.

    Not for use by two threads at once, but for `stop`.
    """

    source: MetricSource
    swarm: Orchestrator
    clock: Clock
    queries: Mapping[str, Query]
    """The query of each metric."""
    timing: Timing
    record: Callable[[Record], None] = lambda _: None
    """Is told of each decision once it is carried out, held, or found to change nothing."""
    _caches: dict[str, WindowCache] = field(default_factory=dict)
    _memories: dict[str, Memory] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Begin no further write; one that is on its way is finished and verified."""
        self._stopping.set()

    def evaluate(self, policies: PolicySet) -> Evaluation:
        """One pass over *policies*. Never raises for what Swarm or Prometheus do; ends within the deadline."""
        deadline = Deadline(self.timing.deadline)
        now = self.clock.now()
        try:
            cluster = self.swarm.read(deadline)
        except BackendError as error:
            return Evaluation(now, problems=(Problem("swarm", str(error)),))
        self._forget_removed(cluster)
        assigned, untouched = assign(policies, cluster, now)
        newest, problems = self._refresh(assigned, now, deadline)
        records = list(untouched)
        for record in untouched:
            self.record(record)
        for record in self._carry_out(policies, assigned, newest, deadline):
            records.append(record)
            self.record(record)
        return Evaluation(now, tuple(records), tuple(problems))

    # observe

    def _refresh(self, assigned: list[Assigned], now: float, deadline: Deadline) -> tuple[int, list[Problem]]:
        """Bring the windows up to date; returns the newest window step, and what went wrong."""
        step = self.timing.step
        look_backs = _look_backs(assigned)
        problems: list[Problem] = []
        try:
            offset = self.source.clock_offset(now, deadline)
        except BackendError as error:
            return int(now // step * step), [Problem("prometheus", str(error))]
        if abs(offset) > step:
            where = "behind" if offset < 0 else "ahead of"
            detail = f"Prometheus' clock is {words(abs(offset))} {where} ours (set both by NTP)"
            problems.append(Problem("clock", detail))
        newest = int((now + min(0.0, offset)) // step * step)
        for metric, look_back in look_backs.items():
            try:
                self._refresh_metric(metric, look_back, newest, deadline)
            except UnreachableError as error:
                # The other metrics would wait for the same silent server, each for its whole time-out.
                problems.append(Problem("prometheus", str(error)))
                break
            except BackendError as error:
                problems.append(Problem("query", str(error), metric))
        return newest, problems

    def _refresh_metric(self, metric: str, look_back: int, newest: int, deadline: Deadline) -> None:
        length = -(-look_back // self.timing.step) + 2  # both ends, and the one before that may stand for the oldest
        cache = self._caches.get(metric)
        if cache is None or cache.length < length:
            cache = WindowCache(self.timing.step, length)
        start, _ = cache.missing(newest)
        for first in range(start, newest + 1, _PART * self.timing.step):
            last = min(first + (_PART - 1) * self.timing.step, newest)
            answer = self.source.fetch(self.queries[metric], first, last, self.timing.step, deadline)
            cache.merge(answer, first, last)
            self._caches[metric] = cache

    def _observe(
        self, item: Assigned, newest: int, now: float, adopted: dict[str, str]
    ) -> tuple[Observation, dict[str, Base]]:
        view = item.view
        memory, changed = remember(view, self._memories.get(view.id), now)
        self._memories[view.id] = memory
        # Memory finds a change once, and a conflict lets it look again within the evaluation.
        adopted[view.id] = "; ".join(filter(None, (adopted.get(view.id), changed)))
        bases = {metric: base for metric in _metrics(item.policy) if (base := base_of(metric, view)) is not None}
        windows = {}
        for metric, base in bases.items():
            cache = self._caches.get(metric)
            held = cache.values(view.name, newest) if cache else None
            if held is not None:
                window = self._window(held, base, newest, view)
                windows[metric] = replace(window, redistributes=metric in REDISTRIBUTES)
        observation = Observation(
            service=view.name,
            at=now,
            requested=view.requested,
            running=view.running,
            windows=windows,
            mode=view.mode,
            rollout=view.rollout(now),
            pending=view.pending(now) if view.running < view.requested else "",
            stuck=view.stuck(now),
            changed_externally=adopted[view.id],
        )
        return observation, bases

    def _window(self, held: tuple[list[float], list[int] | None], base: Base, newest: int, view: ServiceView) -> Window:
        values, tasks = held
        factor = 100 / base.amount
        return Window(
            self.timing.step,
            newest,
            tuple([value * factor for value in values]),
            None if tasks is None else tuple(tasks),
            None if tasks is None else self._owed(tasks, newest, view),
            unit="%",
            base=base.words,
        )

    def _owed(self, tasks: list[int], newest: int, view: ServiceView) -> tuple[int, ...] | None:
        """How many of the tasks that run now should have reported at each step; None where no step lacks any."""
        if min(tasks) >= view.running:
            return None
        step, warmup = self.timing.step, self.timing.warmup
        return tuple(view.running_since(newest - row * step - warmup) for row in reversed(range(len(tasks))))

    # decide and act

    def _carry_out(
        self, policies: PolicySet, assigned: list[Assigned], newest: int, deadline: Deadline
    ) -> Iterator[Record]:
        """Decide on every service and act on it; where somebody else wrote meanwhile, read and decide again."""
        adopted: dict[str, str] = {}
        for last_round in (*[False] * (_ROUNDS - 1), True):
            conflicts: dict[str, Record] = {}
            for item, record, order in self._decide_all(assigned, newest, adopted):
                if order is None:
                    yield record
                    continue
                if self._stopping.is_set():
                    return
                done = self._act(item, record, order, deadline)
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
            again, _ = assign(policies, cluster, self.clock.now())
            assigned = [item for item in again if item.view.name in conflicts]
            for name in conflicts.keys() - {item.view.name for item in assigned}:
                # Removed meanwhile, or taken out of the policies by its label.
                yield conflicts[name] if name in cluster.services else _gone(conflicts[name], "removed meanwhile")

    def _decide_all(
        self, assigned: list[Assigned], newest: int, adopted: dict[str, str]
    ) -> list[tuple[Assigned, Record, Order | None]]:
        """The decision on every service, increases first: should the time run out, they have been made.

        *adopted* holds what others changed since the evaluation began, by service; what is found is added to it.
        """
        now = round(self.clock.now(), 3)
        decided = []
        for item in assigned:
            observation, bases = self._observe(item, newest, now, adopted)
            memory = self._memories[item.view.id]
            decision = decide(item.policy, observation, memory.history)
            made = Recommended(now, decision.recommended)
            self._memories[item.view.id] = memory.with_recommended(made, item.policy.longest_stabilization)
            outcome = Outcome.HELD if decision.held else Outcome.UNCHANGED
            record = Record(decision, outcome, bases={metric: base.words for metric, base in bases.items()})
            decided.append((item, record, self._order(item.view, decision, memory) if decision.changes else None))
        return sorted(decided, key=lambda entry: entry[1].decision.desired < entry[1].decision.requested)

    def _order(self, view: ServiceView, decision: Decision, memory: Memory) -> Order:
        event = ScaleEvent(decision.at, decision.requested, decision.desired)
        state = ScaleState(decision.desired, prune((*memory.events, event), decision.at))
        return Order(view.id, view.name, view.version, decision.requested, decision.desired, state.encode())

    def _act(self, item: Assigned, record: Record, order: Order, deadline: Deadline) -> Record:
        view, decision = item.view, record.decision
        receipt = self.swarm.scale(order, deadline)
        if receipt.written is Written.GONE:
            return _gone(record, receipt.detail)
        memory = self._memories[view.id]
        event = ScaleEvent(decision.at, decision.requested, decision.desired)
        repeated = False
        if receipt.written is Written.APPLIED:
            self._memories[view.id] = replace(
                memory, requested=decision.desired, events=prune((*memory.events, event), decision.at)
            )
        elif receipt.written is Written.DRY_RUN:
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
        )

    def _forget_removed(self, cluster: Cluster) -> None:
        present = {view.id for view in cluster.services.values()}
        for removed in self._memories.keys() - present:
            del self._memories[removed]


def assign(policies: PolicySet, cluster: Cluster, now: float) -> tuple[list[Assigned], list[Record]]:
    """The policy of each service that one applies to; and records of what is named but cannot be decided on."""
    assigned: list[Assigned] = []
    untouched: list[Record] = []
    named = policies.named
    for name, view in cluster.services.items():
        if view.labels.get(ENABLED_LABEL) == "false" or (name == cluster.own_service and name not in named):
            continue
        matching = policies.matching(name)
        if len(matching) == 1:
            assigned.append(Assigned(view, matching[0]))
        elif matching:
            names = ", ".join(policy.name for policy in matching)
            detail = f"matched by the policies {names}; name the service in one of them, or exclude it from the others"
            decision = _unchanged(name, names, now, Why(Reason.POLICY_CONFLICT, detail))
            decision = replace(decision, requested=view.requested, desired=view.requested, running=view.running)
            untouched.append(Record(decision, Outcome.HELD))
    for name, policy in named.items():
        if name not in cluster.services:
            why = Why(Reason.SERVICE_NOT_FOUND, "Swarm has no service of this name")
            untouched.append(Record(_unchanged(name, policy.name, now, why), Outcome.HELD))
    return assigned, untouched


def _unchanged(service: str, policy: str, now: float, why: Why) -> Decision:
    return Decision(service, policy, now, 0, 0, 0, why, (why,), held=True)


def _gone(record: Record, detail: str) -> Record:
    """*record* of a service that Swarm does not have any more."""
    gone = Why(Reason.SERVICE_NOT_FOUND, detail)
    decision = replace(record.decision, primary=gone, reasons=(*record.decision.reasons, gone))
    return replace(record, decision=decision, outcome=Outcome.FAILED, detail=detail)


def _metrics(policy: Policy) -> Iterable[str]:
    return dict.fromkeys(rule.metric for rule in policy.rules)


def _look_backs(assigned: list[Assigned]) -> dict[str, int]:
    """The longest look-back that a rule needs, per metric."""
    longest: dict[str, int] = {}
    for policy in {item.policy.name: item.policy for item in assigned}.values():
        for rule in policy.rules:
            longest[rule.metric] = max(longest.get(rule.metric, 0), rule.look_back)
    return longest


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
        "to go back to the version before, deploy it again (`docker stack deploy` or `docker service update --image`)"
    )
