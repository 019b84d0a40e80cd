"""What Swarm says of its services, as frozen values, and what follows from it: history, rollout, pending tasks.

The scale history rides on the service itself, in one label written in the same update as the scale. A stack deploy
drops the label, an operator's scale keeps it, and Swarm keeps the state before the last update in PreviousSpec; so
what happened can be told without a memory of our own (facts 12).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.durations import words
from autoscaler.model import Direction, History, ScaleEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_LABEL = "autoscaler.state"
ENABLED_LABEL = "autoscaler.enabled"
SETTLE_TIME = 10.0
"""Seconds after a new task template was written in which Swarm may not have begun its rollout yet (facts 2)."""

_BUSY = {
    "updating": "a rolling update is in progress",
    "paused": "a rolling update is paused",
    "rollback_started": "a rollback is in progress",
    "rollback_paused": "a rollback is paused",
}
_KEPT_SECONDS = 30 * 60
_KEPT_EVENTS = 20


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task that Swarm wants to run."""

    id: str
    state: str
    since: float
    """When the task came into this state, Unix seconds."""
    on_ready_node: bool
    words: str = ""
    """Swarm's own words on the state: its error, or else its message."""

    @property
    def running(self) -> bool:
        """Whether it counts as a running replica: in state running, on a ready node."""
        return self.state == "running" and self.on_ready_node


@dataclass(frozen=True, slots=True)
class SpecBefore:
    """What the service's spec was before its last update."""

    requested: int | None
    state: str
    """The autoscaler's label then; empty where there was none."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service as Swarm lists it."""

    id: str
    name: str
    version: int
    mode: str
    """`replicated`, `global`, `replicated-job` or `global-job`."""
    requested: int
    created_at: float
    updated_at: float
    labels: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[TaskView, ...] = ()
    update_state: str = ""
    update_message: str = ""
    template_changed: bool = False
    """Whether the last update changed the task template, so that a rollout follows and can be rolled back."""
    before: SpecBefore | None = None
    cpu_limit: float | None = None
    """Cores per task; None without a limit."""
    memory_limit: float | None = None
    """Bytes per task; None without a limit."""
    node_memory: float | None = None
    """Bytes of memory of the smallest node that runs a task; None where none does."""

    @property
    def running(self) -> int:
        """Tasks desired running, in state running, on a ready node."""
        return sum(task.running for task in self.tasks)

    def running_since(self, moment: float) -> int:
        """How many tasks run that already ran at *moment*."""
        return sum(task.running and task.since <= moment for task in self.tasks)

    def rollout(self, now: float) -> str:
        """Why the service counts as rolling out at *now*, in words; empty where it does not."""
        if self.update_state in _BUSY:
            message = f": {self.update_message}" if self.update_message else ""
            return _BUSY[self.update_state] + message
        if self.template_changed and now - self.updated_at < SETTLE_TIME:
            return f"deployed {words(max(0.0, now - self.updated_at))} ago, settles for {words(SETTLE_TIME)}"
        return ""

    def pending(self, now: float) -> str:
        """What Swarm says of the tasks that do not run, with the age of the oldest; empty where all run."""
        waiting = [task for task in self.tasks if not task.running]
        if not waiting:
            return ""
        oldest = min(waiting, key=lambda task: task.since)
        said = oldest.words or oldest.state
        if not oldest.on_ready_node and oldest.state == "running":
            said = "its node is not ready"
        return f"{oldest.state} for {words(max(0.0, now - oldest.since))}: {said}"

    @property
    def loses_rollback_point(self) -> bool:
        """Whether the next scale would make `docker service rollback` undo that scale instead of the last deploy."""
        return self.before is not None and self.template_changed


@dataclass(frozen=True, slots=True)
class Cluster:
    """All services of the Swarm at one moment."""

    services: Mapping[str, ServiceView]
    own_service: str | None = None
    """The name of the service this process runs in, where it runs in one."""


@dataclass(frozen=True, slots=True)
class ScaleState:
    """What the autoscaler's label says: the count it set last, and the changes before that."""

    replicas: int
    events: tuple[ScaleEvent, ...] = ()

    def encode(self) -> str:
        """The label's text: JSON, times as Unix seconds to the millisecond."""
        changes = [[round(event.at, 3), event.before, event.after] for event in self.events]
        return json.dumps({"v": 1, "replicas": self.replicas, "changes": changes}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> ScaleState | None:
        """What *text* says, or None where it is empty or not such a label: anybody may have written it."""
        if not text:
            return None
        try:
            document = json.loads(text)
            events = tuple(
                ScaleEvent(float(at), int(before), int(after))
                for at, before, after in document["changes"][-_KEPT_EVENTS:]
            )
            return cls(int(document["replicas"]), events)
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the daemon remembers of a service between evaluations."""

    requested: int | None = None
    """The count it last saw or set."""
    events: tuple[ScaleEvent, ...] = ()
    proposed: tuple[ScaleEvent, ...] = ()
    """What a dry-run would have done: a cooldown without a change."""

    @property
    def history(self) -> History:
        """What counts for the cooldown: what happened, and what a dry-run would have done."""
        return History(tuple(sorted({*self.events, *self.proposed})))


def remember(view: ServiceView, memory: Memory | None, now: float) -> tuple[Memory, str]:
    """What is known of the service's past, from memory, its label and its previous label; and an outside change.

    The second value says in words that somebody else changed the count since it was last known; it is empty where
    nobody did. That change becomes an event of the history, at the service's last update (never after *now*), or at
    *now* where only memory shows it.
    """
    memory = memory or Memory()
    labels = (view.labels.get(STATE_LABEL, ""), view.before.state if view.before else "")
    states = [state for state in map(ScaleState.decode, labels) if state is not None]
    events = tuple(sorted({*memory.events, *(event for state in states for event in state.events)}))
    known = _last_known(view, memory, states)
    changed = ""
    if known is not None and known != view.requested:
        event = ScaleEvent(min(view.updated_at, now), known, view.requested)
        if events and event.at <= events[-1].at:
            event = ScaleEvent(now, known, view.requested)
        events = (*events, event)
        changed = f"{known} → {view.requested} by somebody else, {words(now - event.at)} ago"
    return Memory(view.requested, prune(events, now), memory.proposed), changed


def _last_known(view: ServiceView, memory: Memory, states: list[ScaleState]) -> int | None:
    """The count that the newest knowledge of a change, ours or remembered, left the service with."""
    if memory.requested is None:
        if states:
            return max(states, key=lambda state: state.events[-1].at if state.events else 0.0).replicas
        return view.before.requested if view.before else None
    own = ScaleState.decode(view.labels.get(STATE_LABEL, ""))
    if own is not None and not set(own.events) <= set(memory.events):
        return own.replicas  # a scale whose answer was lost, or another autoscaler's
    return memory.requested


def prune(events: tuple[ScaleEvent, ...], now: float) -> tuple[ScaleEvent, ...]:
    """The events of the last 30 minutes, the newest 20 at most, and the last of each direction however old."""
    last = {direction: History(events).last(direction) for direction in Direction}
    recent = [event for event in events if now - event.at <= _KEPT_SECONDS or event in last.values()]
    kept = recent[-_KEPT_EVENTS:]
    return tuple(sorted({*kept, *(event for event in last.values() if event is not None)}))
