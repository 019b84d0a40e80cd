"""A Docker Swarm in memory and in virtual time: an EngineApi and ConfigApi with a real engine's semantics (facts).

Nothing happens between two calls but what the clock brings: each call first lets the events that are due happen, in
their order. Simplified: tasks of jobs run for ever; a task that fails never runs before; placement knows reservations,
constraints, MaxReplicas and whether nodes are ready; only a changed task template replaces tasks, the old one always
stopping first.
"""

from __future__ import annotations

import heapq
import json
import threading
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING

from autoscaler.adapters.engine_api import AlreadyExistsError, NotFoundError, VersionConflictError
from autoscaler.errors import RefusedError
from autoscaler.simulation.parts import Config, Node, Rollout, Service, Task, count_of, kind, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from autoscaler.adapters.engine_api import Document
    from autoscaler.deadline import Deadline
    from autoscaler.ports import Clock
    from autoscaler.simulation.parts import Slot

_OUT_OF_SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"
_INVALID = "rpc error: code = InvalidArgument desc = "
_TOO_LARGE = "rpc error: code = Unknown desc = raft: raft message is too large and can't be sent"
_LARGEST = 1.5 * 2**20
"""Bytes of a service that raft passes on, with its spec before (facts 4)."""
_BEGIN = 0.005
"""Seconds from a deploy to its UpdateStatus (facts 2)."""
_RESTART_DELAY = 5.0
_MONITOR = 5.0
"""Swarm's defaults: seconds from a failed task to the next, and from the last replaced task to `completed`."""


class SimulatedEngine:
    """The Swarm. *startup* and *shutdown* are how many seconds a task takes to run and to stop.

    Safe to use from several threads. What its calls return is shared, and never to be changed.
    """

    def __init__(
        self, clock: Clock, *, startup: float = 2.0, shutdown: float = 1.0, nodes: Sequence[Node] | None = None
    ) -> None:
        self._clock = clock
        self.startup = startup
        self.shutdown = shutdown
        given = [Node("node-1"), Node("node-2"), Node("node-3")] if nodes is None else nodes
        self._nodes = {node.name: node for node in given}
        self._services: dict[str, Service] = {}
        self._by_name: dict[str, Service] = {}
        self._configs: dict[str, Config] = {}
        self._waiting: dict[Task, None] = {}
        """The tasks that have no room, in the order of their coming."""
        self._broken: dict[str, str] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._now = clock.now()
        self._count = 0
        self._lock = threading.RLock()

    # The engine's API.

    def services(self, _deadline: Deadline | None = None, /) -> list[Document]:
        """All services, of every mode."""
        with self._present():
            return [service.document for service in self._services.values()]

    def tasks(self, _deadline: Deadline | None = None, /, *, ended: bool = False) -> list[Document]:
        """The tasks desired running; with *ended*, all that Swarm remembers."""
        with self._present():
            live = [task for service in self._services.values() for task in service.live.values()]
            if not ended:
                return [task.document for task in live if task.desired == "running"]
            over = [task for service in self._services.values() for task in service.ended]
            return [task.document for task in (*live, *over)]

    def nodes(self, _deadline: Deadline | None = None, /) -> list[Document]:
        """All nodes."""
        with self._present():
            return [node.document for node in self._nodes.values()]

    def service(self, service_id: str, _deadline: Deadline | None = None, /) -> Document:
        """One service by its id or name; NotFoundError without one."""
        with self._present():
            return self._find(service_id).document

    def update(self, service_id: str, version: int, spec: Document, _deadline: Deadline | None = None, /) -> None:
        """Replace the spec where the version index is the present one, with all that follows from it."""
        with self._present():
            service = self._find(service_id)
            if version != service.version:
                raise VersionConflictError(_OUT_OF_SEQUENCE)
            if len(json.dumps(spec)) + len(json.dumps(service.spec)) > _LARGEST:
                raise RefusedError(_TOO_LARGE)
            self._replace_spec(service, stored(spec))

    def config(self, name: str, _deadline: Deadline | None = None, /) -> Document:
        """One config by its name; NotFoundError without one."""
        with self._present():
            return self._find_config(name).document

    def configs(self, _deadline: Deadline | None = None, /) -> list[Document]:
        """All configs."""
        with self._present():
            return [config.document for config in self._configs.values()]

    def create_config(self, spec: Document, _deadline: Deadline | None = None, /) -> None:
        """Create a config, of which there is none of this name yet."""
        with self._present():
            name = spec["Name"]
            if name in self._configs:
                raise AlreadyExistsError(f"rpc error: code = AlreadyExists desc = config {name} already exists")
            if not spec.get("Data"):
                raise RefusedError(f"{_INVALID}config data must be larger than 0 and less than 1024000 bytes")
            stored_spec = {"Name": name, "Labels": dict(spec.get("Labels") or {}), "Data": spec["Data"]}
            number = self._next()
            self._configs[name] = Config(f"config{number:019d}", stored_spec, self._now, number, self._now)

    def update_config(self, name: str, version: int, spec: Document, _deadline: Deadline | None = None, /) -> None:
        """Replace the labels where the version index is the present one; also the same labels are a new version."""
        with self._present():
            config = self._find_config(name)
            if version != config.version:
                raise VersionConflictError(_OUT_OF_SEQUENCE)
            data = config.spec["Data"]
            if spec.get("Name") != name or spec.get("Data", data) != data:
                raise RefusedError(f"{_INVALID}only updates to Labels are allowed")
            config.spec = config.spec | {"Labels": dict(spec.get("Labels") or {})}
            config.version, config.updated = self._next(), self._now

    # What operators do.

    def remove_config(self, name: str) -> None:
        """`docker config rm`."""
        with self._present():
            del self._configs[self._find_config(name).spec["Name"]]

    def create_service(self, spec: Document) -> str:
        """Create a service from a spec as the API takes it; returns its id."""
        with self._present():
            service = Service(f"service{self._next():018d}", stored(spec), self._now)
            if service.name in self._by_name:
                raise RefusedError(
                    "rpc error: code = AlreadyExists desc = name conflicts with an existing object: "
                    f"service {service.name} already exists"
                )
            self._services[service.id] = self._by_name[service.name] = service
            service.touch(self._now, self._next())
            self._fill(service)
            return service.id

    def deploy(self, spec: Document) -> str:
        """`docker stack deploy`: the file's spec as it is, count and labels included; 1 replica where it says none."""
        with self._present():
            service = self._by_name.get(spec["Name"])
            if service is None:
                return self.create_service(spec)
            self._replace_spec(service, stored(spec))
            return service.id

    def change_service(self, name: str, change: Callable[[Document], None]) -> None:
        """`docker service update`: *change* edits the spec; labels and all else stay."""
        with self._present():
            service = self._find(name)
            spec = deepcopy(service.spec)
            change(spec)
            self._replace_spec(service, stored(spec))

    def operator_scale(self, name: str, replicas: int) -> None:
        """`docker service scale`."""
        self.change_service(name, lambda spec: spec["Mode"]["Replicated"].update(Replicas=replicas))

    def rollback(self, name: str) -> None:
        """`docker service rollback`: spec and previous spec change places; a scale is undone like any other update."""
        with self._present():
            service = self._find(name)
            if service.previous is None:
                raise RefusedError(f"service {service.id} does not have a previous spec")
            self._replace_spec(service, service.previous, back=True)

    def remove(self, name: str) -> None:
        """`docker service rm`."""
        with self._present():
            service = self._find(name)
            service.rollout = None
            for task in list(service.live.values()):
                self._end(task, "remove")
            del self._services[service.id], self._by_name[service.name]

    def break_image(self, image: str, words: str) -> None:
        """Let tasks of *image* fail when they start, with Swarm's *words* for it, such as `No such image: app:2`."""
        with self._present():
            self._broken[image] = words

    def stop_node(self, name: str) -> None:
        """Let a node go down: its tasks stay `running` as ghosts desired shutdown, and are replaced elsewhere."""
        with self._present():
            node = self._nodes[name]
            node.ready = False
            for service in self._services.values():
                for task in [task for task in service.live.values() if task.node is node]:
                    self._end(task, "shutdown")
                    if isinstance(task.slot, int):
                        self._start(service, task.slot, instead_of=task)

    def start_node(self, name: str) -> None:
        """Let a node come back: its ghosts are shut down."""
        with self._present():
            node = self._nodes[name]
            node.ready = True
            for service in self._services.values():
                for ghost in [task for task in service.ended if task.node is node and not task.is_over]:
                    self._stopped(ghost)
                self._fill(service)
            self._place_waiting()

    def change_leader(self, seconds: float) -> None:
        """Let another manager lead: it knows of no node until that reports, the last of them after *seconds*."""
        with self._present():
            for number, node in enumerate(self._nodes.values(), start=1):
                node.heard = False
                self._after(seconds * number / len(self._nodes), partial(self._hear, node))

    def running(self, name: str) -> int:
        """How many tasks of the service really run: desired running and running, on a node that is ready."""
        with self._present():
            return sum(task.state == "running" for task in self._find(name).live.values())

    def _hear(self, node: Node) -> None:
        node.heard = True
        self._place_waiting()

    # Time.

    @contextmanager
    def _present(self) -> Iterator[None]:
        """Alone, and after everything that the clock has brought."""
        with self._lock:
            end = self._clock.now()
            while self._events and self._events[0][0] <= end:
                self._now, _, happen = heapq.heappop(self._events)
                happen()
            self._now = max(self._now, end)
            yield

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + seconds, self._next(), happen))

    def _next(self) -> int:
        self._count += 1
        return self._count

    # Services.

    def _find(self, name: str) -> Service:
        service = self._services.get(name) or self._by_name.get(name)
        if service is None:
            raise NotFoundError(f"service {name} not found")
        return service

    def _find_config(self, name: str) -> Config:
        if name not in self._configs:
            raise NotFoundError(f"config {name} not found")
        return self._configs[name]

    def _replace_spec(self, service: Service, spec: Document, *, back: bool = False) -> None:
        """Any update: the old spec becomes PreviousSpec, UpdateStatus is cleared, a rollout begins anew (facts 2)."""
        if kind(spec) != kind(service.spec):
            raise RefusedError("rpc error: code = Unimplemented desc = service mode change is not allowed")
        service.spec, service.previous, service.status, service.rollout = spec, service.spec, None, None
        service.touch(self._now, self._next())
        if service.previous is not None and service.count != count_of(service.previous):
            for task in service.live.values():
                self._waiting.pop(task, None)  # it stays pending, and is never tried again (moby#53722, measured)
        if service.is_job:
            service.iteration += 1
            for task in list(service.live.values()):
                self._end(task, "remove")
        self._fill(service)
        if back or service.outdated:
            rollout = service.rollout = Rollout(back)
            self._after(_BEGIN, lambda: self._begin(service, rollout))

    def _fill(self, service: Service) -> None:
        """Make the tasks as many as the spec asks for."""
        if service.count is None:
            for node in self._nodes.values():
                if node.ready and node.name not in service.live:
                    self._start(service, node.name)
            return
        surplus = len(service.live) - service.count
        if surplus > 0:
            # Tasks that do not run go first (facts 6), then the newest.
            newest_first = sorted(service.live.values(), key=lambda task: (task.created, task.id), reverse=True)
            for task in sorted(newest_first, key=lambda task: task.state == "running")[:surplus]:
                self._end(task, "remove")
        slot = 0
        while len(service.live) < service.count:
            slot += 1
            if slot not in service.live:
                self._start(service, slot)

    # Rollouts.

    def _begin(self, service: Service, rollout: Rollout) -> None:
        if service.rollout is rollout:
            words = ("rollback_started", "rollback in progress") if rollout.back else ("updating", "update in progress")
            self._report(service, *words)
            self._next_batch(service, rollout)

    def _next_batch(self, service: Service, rollout: Rollout) -> None:
        if service.rollout is not rollout:
            return
        outdated = service.outdated
        if not outdated:
            self._after(_MONITOR, lambda: self._complete(service, rollout))
            return
        at_once = service.update_config.get("Parallelism", 1) or len(outdated)
        rollout.batch = {self._replace(task) for task in outdated[:at_once]}

    def _replace(self, task: Task) -> Task:
        self._end(task, "shutdown")
        return self._start(task.service, task.slot)

    def _complete(self, service: Service, rollout: Rollout) -> None:
        if service.rollout is rollout:
            service.rollout = None
            state, what = ("rollback_completed", "rollback") if rollout.back else ("completed", "update")
            self._report(service, state, f"{what} completed")

    def _leave_batch(self, task: Task) -> None:
        """The replacement runs, or is left to itself; after the last one of its batch comes the next."""
        service, rollout = task.service, task.service.rollout
        if rollout is not None and task in rollout.batch:
            rollout.batch.discard(task)
            if not rollout.batch:
                self._after(service.update_config.get("Delay", 0) / 1e9, lambda: self._next_batch(service, rollout))

    def _judge_failure(self, task: Task) -> None:
        """A replacement failed: pause (the default), go on or roll back, as the spec says."""
        service, rollout = task.service, task.service.rollout
        if rollout is None or task not in rollout.batch:
            return
        action = service.update_config.get("FailureAction", "pause")
        cause = f"due to failure or early termination of task {task.id}"
        if action == "continue":
            self._leave_batch(task)
        elif action == "rollback" and not rollout.back and service.previous is not None:
            service.spec, service.previous = service.previous, None
            service.rollout = again = Rollout(back=True)
            self._report(service, "rollback_started", f"update rolled back {cause}")
            self._fill(service)
            self._next_batch(service, again)
        else:
            service.rollout = None
            self._report(service, "rollback_paused" if rollout.back else "paused", f"update paused {cause}")

    def _report(self, service: Service, state: str, message: str) -> None:
        service.report(self._now, state, message)
        service.touch(self._now, self._next())

    # Tasks.

    def _start(self, service: Service, slot: Slot, *, ready_only: bool = False, instead_of: Task | None = None) -> Task:
        """A new task in *slot*; in a rollout it is waited for as the one it comes *instead of* was."""
        task = Task(f"task{self._next():021d}", service, slot, service.spec["TaskTemplate"], self._now, self._now)
        service.live[slot] = task
        rollout = service.rollout
        if rollout is not None and instead_of in rollout.batch:
            rollout.batch = {*rollout.batch, task} - {instead_of}
        if ready_only:
            task.want("ready")
            task.become(self._now, "ready", "prepared")
        else:
            self._place(task)
        return task

    def _place(self, task: Task) -> None:
        """Give the task the node with the fewest tasks that has room, or else Swarm's words for that none has."""
        eligible = [self._nodes[task.slot]] if isinstance(task.slot, str) else self._nodes.values()
        objections = {node: node.objection(task) for node in eligible}
        fitting = [node for node, objection in objections.items() if not objection]
        if not fitting:
            counted: dict[str, int] = {}
            for objection in objections.values():
                counted[objection] = counted.get(objection, 0) + 1
            reasons = "; ".join(said.format(f"{n} node" if n == 1 else f"{n} nodes") for said, n in counted.items())
            task.become(self._now, "pending", "pending task scheduling", f"no suitable node ({reasons})")
            self._waiting[task] = None
            return
        min(fitting, key=lambda node: node.tasks).hold(task)
        self._waiting.pop(task, None)
        task.become(self._now, "preparing", "preparing")
        self._after(self.startup, lambda: self._started(task))

    def _place_waiting(self) -> None:
        for task in list(self._waiting):
            self._place(task)

    def _started(self, task: Task) -> None:
        if task.service.live.get(task.slot) is not task:
            return
        words = self._broken.get(task.image)
        if words is None:
            task.become(self._now, "running", "started")
            self._leave_batch(task)
        else:
            self._fail(task, words)

    def _fail(self, task: Task, words: str) -> None:
        """A task that fails is followed by another in its slot, after a delay in which that is desired `ready`."""
        rejected = words.startswith("No such image")
        task.become(self._now, "rejected" if rejected else "failed", "preparing" if rejected else "started", words)
        self._end(task, "shutdown")
        follower = self._start(task.service, task.slot, ready_only=True)

        def restart() -> None:
            if task.service.live.get(task.slot) is follower:
                follower.want("running")
                self._place(follower)

        self._after(_RESTART_DELAY, restart)
        self._judge_failure(task)

    def _end(self, task: Task, desired: str) -> None:
        """Take the task out of its slot; one that runs goes on for the time it takes to stop, or as a ghost."""
        del task.service.live[task.slot]
        task.service.ended.append(task)
        self._waiting.pop(task, None)
        task.want(desired)
        if task.state == "running" and task.node is not None and task.node.ready:
            self._after(self.shutdown, lambda: self._stopped(task))
        else:
            self._stopped(task)

    def _stopped(self, task: Task) -> None:
        """The container is gone, and what it held is free; of a node that is down nothing is known."""
        if task.node is not None:
            task.node.free(task)
            if not task.node.ready:
                return
        if not task.is_over:
            task.become(self._now, "shutdown", "shutdown")
        task.service.forget(task.slot)
        self._place_waiting()
