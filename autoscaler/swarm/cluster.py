"""Swarm's services as frozen values, and what follows from them: rollout, running and pending tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.swarm.placement import Demand
from autoscaler.util.durations import words
from autoscaler.util.suggestions import near
from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from autoscaler.swarm.placement import NodeView


STATE_LABEL = "autoscaler.state"
"""The label that records what the autoscaler did to a service; see `history.ScaleState`."""
ROLLBACK_LABEL = "autoscaler.rollback"
"""The label that records the version before the last deploy, because Swarm forgets that version at the first scale."""
SETTLE_TIME = 10.0
"""Seconds after a new task template was seen in which Swarm may not show its rollout yet
(docs/facts.md#late-status)."""

STARTUP_GRACE = 120.0
"""Seconds that a task may take to start before it counts as stuck."""
_STUCK = frozenset({"pending", "failed", "rejected"})
_UNSCHEDULED = frozenset({"new", "pending"})
_ROOMLESS = _UNSCHEDULED | {"failed", "rejected"}
"""States before a node is found and after it is left; a global service's tasks name their node from the beginning."""
_NO_NODE = "no suitable node"
"""The beginning of Swarm's message on a task that it found no node for."""
_ANY = Demand()
_LONGEST_NAME = 64
"""Characters of a service's name: Swarm takes 63."""

_BUSY = {
    "updating": "a rolling update is in progress",
    "paused": "a rolling update is paused",
    "rollback_started": "a rollback is in progress",
    "rollback_paused": "a rollback is paused",
}
_OVER = frozenset({"", "completed", "rollback_completed"})
"""Any other state, of an engine newer than this, may be one of a rollout that a write would break."""
_UNTOLD = (
    "tasks of another version run, and Swarm no longer reports on their rollout, "
    "because the same version was deployed again in its middle (deploy a change if the rollout has stopped)"
)


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task that Swarm wants to run."""

    id: str
    state: str
    since: float
    """When the task came into this state, Unix seconds."""
    on_ready_node: bool
    words: str = ""
    """Swarm's own message on the state: its error, if there is one."""
    node: str = ""
    """The id of its node; empty if Swarm has found none for it."""

    @property
    def running(self) -> bool:
        """Return whether the task counts as a running replica: in state running, on a ready node."""
        return self.state == "running" and self.on_ready_node

    @property
    def unplaced(self) -> bool:
        """Return whether Swarm has found no node for the task."""
        return not self.node and self.state in _UNSCHEDULED

    @property
    def refused(self) -> bool:
        """Return whether Swarm has looked for a node and found none. It has not tried a new task yet."""
        return self.unplaced and self.words.startswith(_NO_NODE)

    @property
    def holds_room(self) -> bool:
        """Return whether Swarm has given the task a node, and with it the room that it reserves."""
        return bool(self.node) and self.state not in _ROOMLESS


@dataclass(frozen=True, slots=True)
class SpecBefore:
    """The service's spec before its last update."""

    requested: int | None
    state: str
    """The autoscaler's label then; empty if there was none."""
    cpu_limit: float | None = None
    memory_limit: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service as Swarm lists it."""

    id: str
    name: str
    version: int
    mode: str
    """`replicated`, `global`, `replicated-job`, `global-job`, or `replicated without a count`."""
    requested: int
    """The count in the spec; 0 in every mode but `replicated`, because only that mode has one."""
    created_at: float
    updated_at: float
    labels: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[TaskView, ...] = ()
    update_state: str = ""
    update_message: str = ""
    update_started: float | None = None
    """When the update or rollback began that Swarm reports, Unix seconds."""
    template_changed: bool = False
    """Whether the last write (or the creation) changed what tasks are made from, so that a rollout follows."""
    before: SpecBefore | None = None
    cpu_limit: float | None = None
    """Cores per task; None without a limit."""
    memory_limit: float | None = None
    """Bytes per task; None without a limit."""
    node_memory: float | None = None
    """Bytes of memory of the smallest node that runs a task, else of the smallest ready node; None if there is none."""
    demand: Demand = _ANY
    """The demand of each task on its node."""
    mixed: bool = False
    """Whether tasks of another version than the spec's run after an update that changed nothing."""
    running: int = field(init=False)
    """Tasks desired running, in state running, on a ready node."""

    def __post_init__(self) -> None:
        # The count is computed once, because each decision reads it a dozen times.
        object.__setattr__(self, "running", sum(task.running for task in self.tasks))

    def running_since(self, moment: float) -> int:
        """Return how many running tasks already ran at *moment*."""
        return sum(task.running and task.since <= moment for task in self.tasks)

    @property
    def rollout(self) -> str:
        """Return Swarm's report on a rollout or rollback that runs or is paused, in words; empty if there is none."""
        if self.mixed:
            return _UNTOLD
        if self.update_state in _OVER:
            return ""
        unknown = f"Swarm reports the update state {self.update_state}, which this version does not know"
        message = f": {self.update_message}" if self.update_message else ""
        return _BUSY.get(self.update_state, unknown) + message

    def rolling(self, now: float) -> str:
        """Return `rollout` with its age, and Swarm's message on tasks that do not run yet; empty without a rollout."""
        said = self.rollout
        if said and not self.mixed and self.update_started is not None:
            said += f", for {words(max(0.0, now - self.update_started))}"
        return "; ".join(filter(None, (said, self.pending(now)))) if said else ""

    @property
    def unsettled(self) -> bool:
        """Return whether a rollout may follow that Swarm does not report yet; it does within milliseconds."""
        return self.template_changed and not self.update_state

    def pending(self, now: float) -> str:
        """Return Swarm's message on the tasks that do not run; empty if all run.

        The oldest task without room, or that fails, is quoted with its age; if there is none, the oldest that starts.
        """
        waiting = [task for task in self.tasks if not task.running]
        if not waiting:
            return ""
        oldest = min(waiting, key=lambda task: (task.state not in _STUCK, task.since))
        said = oldest.words or oldest.state
        if not oldest.on_ready_node and oldest.state == "running":
            said = "its node is not ready"
        return f"{oldest.state} for {words(max(0.0, now - oldest.since))}: {said}"

    def stuck(self, now: float) -> bool:
        """Return whether a task that does not run has no room, fails, or takes longer than usual to start."""
        waiting = [task for task in self.tasks if not task.running]
        return any(task.state in _STUCK or now - task.since > STARTUP_GRACE for task in waiting)

    @property
    def unplaced(self) -> tuple[TaskView, ...]:
        """Return the tasks that Swarm has found no node for."""
        return tuple(task for task in self.tasks if task.unplaced)

    @property
    def loses_rollback_point(self) -> bool:
        """Return whether, after a scale, `docker service rollback` would undo the scale and not the last deploy."""
        return self.before is not None and self.template_changed


@dataclass(frozen=True, slots=True)
class Cluster:
    """All services of the Swarm at one moment."""

    services: Mapping[str, ServiceView]
    own_service: str | None = None
    """The name of the service that this process runs in; None if it does not run in one."""
    nodes: tuple[NodeView, ...] = ()


def unknown_service(name: str, known: Iterable[str]) -> str:
    """Return the message that Swarm has no service *name*, and which *known* services may be meant."""
    found = near(name, known, most=3, likeness=0.5)
    cure = f"did you mean {' or '.join(found)}?" if found else "docker service ls shows those that there are"
    return f"Swarm has no service {tidy(name, _LONGEST_NAME)!r} ({cure})"
