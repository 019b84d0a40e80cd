"""The parts of a simulated Swarm: nodes, services, tasks and configs, with the engine's documents of them."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from autoscaler.adapters.docker.documents import node_view
from autoscaler.errors import RefusedError
from autoscaler.swarm.placement import satisfies

if TYPE_CHECKING:
    from autoscaler.adapters.docker.engine_api import Document
    from autoscaler.swarm.placement import NodeView

_HISTORY = 5
"""Ended tasks that Swarm keeps per slot."""
_OVER = ("shutdown", "failed", "rejected")
_WANTED = ("running", "ready")
_COUNTS = {"Replicated": "Replicas", "ReplicatedJob": "TotalCompletions"}

Slot = int | str
"""A number, or for global services the name of the node."""


@dataclass(slots=True, eq=False)
class Node:
    """A machine of the Swarm; memory in bytes."""

    name: str
    cores: float = 8.0
    memory: int = 16 * 2**30
    ready: bool = True
    """True if the node is up, and not `down`."""
    heard: bool = True
    """True if the node has reported to the leader. Before that it is `unknown`, and its tasks go on."""
    role: str = "manager"
    labels: Document = field(default_factory=dict)
    tasks: int = 0
    """The number of tasks that hold room here."""
    nano_cpus_reserved: int = 0
    memory_reserved: int = 0
    _view: NodeView | None = field(default=None, init=False)

    @property
    def document(self) -> Document:
        """Return the node as the engine lists it."""
        return {
            "ID": self.name,
            "Version": {"Index": 1},
            "Spec": {"Role": self.role, "Availability": "active", "Labels": self.labels},
            "Description": {
                "Hostname": self.name,
                "Platform": {"OS": "linux", "Architecture": "x86_64"},
                "Resources": {"NanoCPUs": round(self.cores * 1e9), "MemoryBytes": self.memory},
            },
            "Status": {"State": ("ready" if self.heard else "unknown") if self.ready else "down"},
        }

    def objection(self, task: Task) -> str:
        """Return why *task* cannot be placed here, in Swarm's words for *{}* nodes; empty if it can."""
        nano_cpus, memory = task.reservations
        if not self.ready or not self.heard:
            return "{} not available for new tasks"
        if nano_cpus > round(self.cores * 1e9) - self.nano_cpus_reserved or memory > self.memory - self.memory_reserved:
            return "insufficient resources on {}"
        placement = task.template.get("Placement") or {}
        if constraints := placement.get("Constraints"):
            if self._view is None:
                self._view = node_view(self.document)  # what constraints are about does not change
            if not all(satisfies(self._view, each) for each in constraints):
                return "scheduling constraints not satisfied on {}"
        most = placement.get("MaxReplicas", 0)
        if most and sum(other.node is self for other in task.service.live) >= most:
            return "max replicas per node limit exceed"
        return ""

    def hold(self, task: Task) -> None:
        """Give the task the room that it reserves."""
        task.node, task.holds = self, True
        self._count(task, 1)

    def free(self, task: Task) -> None:
        """Take back the room that the task holds, if any."""
        if task.holds:
            task.holds = False
            self._count(task, -1)

    def _count(self, task: Task, sign: int) -> None:
        nano_cpus, memory = task.reservations
        self.tasks += sign
        self.nano_cpus_reserved += sign * nano_cpus
        self.memory_reserved += sign * memory


@dataclass(slots=True, eq=False)
class Task:
    """A task and its document, which is built again only when the task changes."""

    id: str
    service: SimulatedService
    slot: Slot
    template: Document
    created: float
    since: float
    state: str = "new"
    desired: str = "running"
    message: str = "created"
    error: str = ""
    node: Node | None = None
    holds: bool = False
    """True if the task holds room on its node."""
    attempt: int = 0
    """The number of failed tasks that it follows."""
    then: list[Task] = field(default_factory=list)
    """The tasks that run once its container has gone."""
    _document: Document | None = field(default=None, init=False)

    @property
    def reservations(self) -> tuple[int, int]:
        """Return the nano-CPUs and bytes that a node must have free for the task."""
        reserved = (self.template.get("Resources") or {}).get("Reservations") or {}
        return reserved.get("NanoCPUs", 0), reserved.get("MemoryBytes", 0)

    @property
    def image(self) -> str:
        """Return the image that the task runs."""
        image: str = (self.template.get("ContainerSpec") or {}).get("Image", "")
        return image

    @property
    def is_over(self) -> bool:
        """Return whether its container is gone for good."""
        return self.state in _OVER

    @property
    def is_wanted(self) -> bool:
        """Return whether Swarm wants it to run, or to be ready to run."""
        return self.desired in _WANTED

    @property
    def is_gone(self) -> bool:
        """Return whether nothing waits for its container, because it is gone or its node is down."""
        return self.is_over or (self.node is not None and not self.node.ready)

    @property
    def restart_policy(self) -> Document:
        """Return whether and when another task follows it."""
        return self.template.get("RestartPolicy") or {}

    def become(self, now: float, state: str, message: str, error: str = "") -> None:
        """Enter a state."""
        self.state, self.since, self.message, self.error = state, now, message, error
        self._document = None

    def want(self, desired: str) -> None:
        """Enter another desired state."""
        self.desired = desired
        self._document = None

    @property
    def document(self) -> Document:
        """Return the task as the engine lists it."""
        if self._document is None:
            self._document = self._build()
        return self._document

    def _build(self) -> Document:
        status: Document = {"Timestamp": iso(self.since), "State": self.state, "Message": self.message}
        if self.error:
            status["Err"] = self.error
        if self.state == "running":
            status["ContainerStatus"] = {"ContainerID": hashlib.sha256(self.id.encode()).hexdigest()}
        document: Document = {
            "ID": self.id,
            "Version": {"Index": 1},
            "CreatedAt": iso(self.created),
            "UpdatedAt": iso(self.since),
            "Spec": self.template,
            "ServiceID": self.service.id,
            "Status": status,
            "DesiredState": self.desired,
        }
        if isinstance(self.slot, int):
            document["Slot"] = self.slot
        if self.node is not None:
            document["NodeID"] = self.node.name
        return document


@dataclass(slots=True, eq=False)
class SimulatedService:
    """A service and its document, which is built again only when the service changes."""

    id: str
    spec: Document
    created: float
    version: int = 0
    updated: float = 0.0
    previous: Document | None = None
    status: Document | None = None
    iteration: int = 0
    """The number of repeated executions of a job."""
    slots: dict[Slot, list[Task]] = field(default_factory=dict)
    """The tasks that Swarm wants in each slot: one, or both while one replaces another start-first. A failed task
    that none is to follow stays in its slot."""
    ended: list[Task] = field(default_factory=list)
    """Stopping, failed and replaced tasks, and ghosts on nodes that are down."""
    _document: Document | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """Return its name."""
        name: str = self.spec["Name"]
        return name

    @property
    def is_job(self) -> bool:
        """Return whether each update executes it again (docs/facts.md#global-services-and-jobs)."""
        return kind(self.spec).endswith("Job")

    @property
    def count(self) -> int | None:
        """Return how many tasks its spec asks for; None for one per node."""
        return count_of(self.spec)

    @property
    def live(self) -> list[Task]:
        """Return the tasks that Swarm wants."""
        return [task for slot in self.slots.values() for task in slot if task.is_wanted]

    def enter(self, task: Task) -> None:
        """Add a new task to its slot."""
        slot = self.slots.setdefault(task.slot, [])
        slot[:] = [*(other for other in slot if other.is_wanted), task]

    def leave(self, task: Task) -> None:
        """Remove the task from a slot that is for others."""
        slot = self.slots.get(task.slot, [])
        if task in slot:
            slot.remove(task)
        if not slot:
            self.slots.pop(task.slot, None)

    def is_clean(self, task: Task) -> bool:
        """Return whether the task is made from the present spec."""
        template = self.spec["TaskTemplate"]
        return task.template is template or bool(task.template == template)

    @property
    def dirty(self) -> list[Slot]:
        """Return the slots in which a rollout has work: with a task of another template, or with more than one."""
        return [slot for slot, tasks in self.slots.items() if len(tasks) > 1 or not self.is_clean(tasks[0])]

    def abandon_failed(self) -> None:
        """Empty the slots with a failed task that none is to follow."""
        self.slots = {slot: tasks for slot, tasks in self.slots.items() if any(task.is_wanted for task in tasks)}

    def touch(self, now: float, version: int) -> None:
        """Note a change."""
        self.version, self.updated = version, now
        self._document = None

    def report(self, now: float, state: str, message: str) -> None:
        """Show the state of the rollout."""
        started = (self.status or {}).get("StartedAt", iso(now))
        self.status = {"State": state, "StartedAt": started, "Message": message}

    def forget(self, slot: Slot) -> None:
        """Drop removed tasks of *slot*, and all but the newest few ended ones."""
        over = [task for task in self.ended if task.slot == slot and task.is_over]
        dropped = {*over[:-_HISTORY], *(task for task in over if task.desired == "remove")}
        self.ended = [task for task in self.ended if task not in dropped]

    @property
    def document(self) -> Document:
        """Return the service as the engine lists it."""
        if self._document is None:
            self._document = self._build()
        return self._document

    def _build(self) -> Document:
        document: Document = {
            "ID": self.id,
            "Version": {"Index": self.version},
            "CreatedAt": iso(self.created),
            "UpdatedAt": iso(self.updated),
            "Spec": self.spec,
        }
        if self.previous is not None:
            document["PreviousSpec"] = self.previous
        if self.status is not None:
            document["UpdateStatus"] = self.status
        if self.is_job:
            document["JobStatus"] = {"JobIteration": {"Index": self.iteration}}
        return document


@dataclass(slots=True, eq=False)
class Config:
    """A config, whose labels change and whose data do not."""

    id: str
    spec: Document
    created: float
    version: int
    updated: float

    @property
    def document(self) -> Document:
        """Return the config as the engine shows it."""
        return {
            "ID": self.id,
            "Version": {"Index": self.version},
            "CreatedAt": iso(self.created),
            "UpdatedAt": iso(self.updated),
            "Spec": self.spec,
        }


def stored(spec: Document) -> Document:
    """Return a spec as the engine stores it, with 1 replica if the mode or count is missing; raise RefusedError."""
    mode = spec.get("Mode") or {"Replicated": {}}
    if len(mode) != 1:
        raise RefusedError("must specify either replicated or global mode")
    (name, settings), *_ = mode.items()
    settings = dict(settings or {})
    if name in _COUNTS:
        count = settings.setdefault(_COUNTS[name], 1)
        count = settings[_COUNTS[name]] = 1 if count is None else count
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise RefusedError(f"json: cannot unmarshal {count!r} into Go struct field of type uint64")
    copy = deepcopy(spec) | {"Mode": {name: settings}, "Labels": dict(spec.get("Labels") or {})}
    copy.setdefault("TaskTemplate", {})
    return copy


def count_of(spec: Document) -> int | None:
    """Return how many tasks a stored spec asks for; None for one per node."""
    mode = kind(spec)
    return spec["Mode"][mode][_COUNTS[mode]] if mode in _COUNTS else None


def kind(spec: Document) -> str:
    """Return the mode of a stored spec in the engine's word."""
    mode: str = next(iter(spec["Mode"]))
    return mode


def iso(moment: float) -> str:
    """Return Unix seconds as Docker writes times."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
