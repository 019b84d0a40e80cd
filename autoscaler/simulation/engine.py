"""A Docker Swarm in memory and in virtual time: an EngineApi and ConfigApi with a real engine's semantics.

The measurements on a real engine are in docs/facts.md. Each call first lets the events that are due happen, in their
order. Nothing else happens between two calls. `tasks` and `rollouts` have the rest of the simulation.
"""

from __future__ import annotations

import json
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING

from autoscaler.adapters.docker.engine_api import NO_TEMPLATES, AlreadyExistsError, NotFoundError, VersionConflictError
from autoscaler.errors import RefusedError
from autoscaler.simulation.parts import Config, Node, SimulatedService, kind, stored
from autoscaler.simulation.rollouts import Rollout
from autoscaler.simulation.tasks import Fault, Tasks
from autoscaler.simulation.timeline import EventQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.adapters.docker.engine_api import Document, Templates
    from autoscaler.ports import Clock
    from autoscaler.simulation.parts import Task
    from autoscaler.util.deadline import Deadline

_OUT_OF_SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"
_INVALID = "rpc error: code = InvalidArgument desc = "
_TOO_LARGE = "rpc error: code = Unknown desc = raft: raft message is too large and can't be sent"
_LARGEST = 1.5 * 2**20
"""The most bytes of a service and its previous spec that raft accepts (docs/facts.md#label-sizes)."""
_BEGIN = 0.005
"""Seconds from a deploy to its UpdateStatus (docs/facts.md#late-status)."""


class SimulatedEngine:
    """The Swarm. *startup* and *shutdown* are the seconds that a task takes to start and to stop.

    Several threads may use it at once. The results of its calls are shared, and must not be changed.
    """

    def __init__(
        self, clock: Clock, *, startup: float = 2.0, shutdown: float = 1.0, nodes: Sequence[Node] | None = None
    ) -> None:
        given = [Node("node-1"), Node("node-2"), Node("node-3")] if nodes is None else nodes
        self._nodes = {node.name: node for node in given}
        self._timeline = EventQueue(clock)
        self._tasks = Tasks(self._timeline, self._nodes, startup=startup, shutdown=shutdown, changed=self._changed)
        self._services: dict[str, SimulatedService] = {}
        self._by_name: dict[str, SimulatedService] = {}
        self._rollouts: dict[str, Rollout] = {}
        """The newest rollout of each service, by its id."""
        self._configs: dict[str, Config] = {}

    @property
    def startup(self) -> float:
        """The seconds that a task takes to start."""
        return self._tasks.startup

    @startup.setter
    def startup(self, seconds: float) -> None:
        self._tasks.startup = seconds

    # The engine's API.

    def services(self, _deadline: Deadline | None = None, /) -> list[Document]:
        """Return all services of every mode."""
        with self._timeline.present():
            return [service.document for service in self._services.values()]

    def tasks(
        self,
        _deadline: Deadline | None = None,
        /,
        *,
        ended: bool = False,
        templates: Templates = NO_TEMPLATES,  # noqa: ARG002 - all are as they are
    ) -> list[Document]:
        """Return the tasks with the desired state running; with *ended*, all that Swarm remembers."""
        with self._timeline.present():
            live = [task for service in self._services.values() for task in service.live]
            if not ended:
                return [task.document for task in live if task.desired == "running"]
            over = [task for service in self._services.values() for task in service.ended]
            return [task.document for task in (*live, *over)]

    def nodes(self, _deadline: Deadline | None = None, /) -> list[Document]:
        """Return all nodes."""
        with self._timeline.present():
            return [node.document for node in self._nodes.values()]

    def service(self, service_id: str, _deadline: Deadline | None = None, /) -> Document:
        """Return one service by its id or name; raise NotFoundError without one."""
        with self._timeline.present():
            return self._find(service_id).document

    def update(self, service_id: str, version: int, spec: Document, _deadline: Deadline | None = None, /) -> None:
        """Replace the spec if *version* is the present version index, with all consequences."""
        with self._timeline.present():
            service = self._find(service_id)
            if version != service.version:
                raise VersionConflictError(_OUT_OF_SEQUENCE)
            if len(json.dumps(spec)) + len(json.dumps(service.spec)) > _LARGEST:
                raise RefusedError(_TOO_LARGE)
            self._replace_spec(service, stored(spec))

    def config(self, name: str, _deadline: Deadline | None = None, /) -> Document:
        """Return one config by its name; raise NotFoundError without one."""
        with self._timeline.present():
            return self._find_config(name).document

    def configs(self, _deadline: Deadline | None = None, /) -> list[Document]:
        """Return all configs."""
        with self._timeline.present():
            return [config.document for config in self._configs.values()]

    def create_config(self, spec: Document, _deadline: Deadline | None = None, /) -> None:
        """Create a config whose name is new."""
        with self._timeline.present():
            name = spec["Name"]
            if name in self._configs:
                raise AlreadyExistsError(f"rpc error: code = AlreadyExists desc = config {name} already exists")
            if not spec.get("Data"):
                raise RefusedError(f"{_INVALID}config data must be larger than 0 and less than 1024000 bytes")
            stored_spec = {"Name": name, "Labels": dict(spec.get("Labels") or {}), "Data": spec["Data"]}
            now, number = self._timeline.now, self._timeline.number()
            self._configs[name] = Config(f"config{number:019d}", stored_spec, now, number, now)

    def update_config(self, name: str, version: int, spec: Document, _deadline: Deadline | None = None, /) -> None:
        """Replace the labels if *version* is the present version index. Equal labels make a new version, too."""
        with self._timeline.present():
            config = self._find_config(name)
            if version != config.version:
                raise VersionConflictError(_OUT_OF_SEQUENCE)
            data = config.spec["Data"]
            if spec.get("Name") != name or spec.get("Data", data) != data:
                raise RefusedError(f"{_INVALID}only updates to Labels are allowed")
            config.spec = config.spec | {"Labels": dict(spec.get("Labels") or {})}
            config.version, config.updated = self._timeline.number(), self._timeline.now

    # What operators do.

    def remove_config(self, name: str) -> None:
        """Do what `docker config rm` does."""
        with self._timeline.present():
            del self._configs[self._find_config(name).spec["Name"]]

    def create_service(self, spec: Document) -> str:
        """Create a service from a spec of the API. Return its id."""
        with self._timeline.present():
            service = SimulatedService(f"service{self._timeline.number():018d}", stored(spec), self._timeline.now)
            if service.name in self._by_name:
                raise RefusedError(
                    "rpc error: code = AlreadyExists desc = name conflicts with an existing object: "
                    f"service {service.name} already exists"
                )
            self._services[service.id] = self._by_name[service.name] = service
            service.touch(self._timeline.now, self._timeline.number())
            self._fill(service)
            return service.id

    def deploy(self, spec: Document) -> str:
        """Do what `docker stack deploy` does: write the file's spec, with 1 replica if it has no count."""
        with self._timeline.present():
            service = self._by_name.get(spec["Name"])
            if service is None:
                return self.create_service(spec)
            self._replace_spec(service, stored(spec))
            return service.id

    def change_service(self, name: str, change: Callable[[Document], None]) -> None:
        """Do what `docker service update` does: *change* edits the spec, and everything else stays."""
        with self._timeline.present():
            service = self._find(name)
            spec = deepcopy(service.spec)
            change(spec)
            self._replace_spec(service, stored(spec))

    def operator_scale(self, name: str, replicas: int) -> None:
        """Do what `docker service scale` does."""
        self.change_service(name, lambda spec: spec["Mode"]["Replicated"].update(Replicas=replicas))

    def rollback(self, name: str) -> None:
        """Do what `docker service rollback` does: swap spec and previous spec. That also undoes a scale."""
        with self._timeline.present():
            service = self._find(name)
            if service.previous is None:
                raise RefusedError(f"service {service.id} does not have a previous spec")
            self._replace_spec(service, service.previous, back=True)

    def remove(self, name: str) -> None:
        """Do what `docker service rm` does."""
        with self._timeline.present():
            service = self._find(name)
            if rollout := self._rollouts.pop(service.id, None):
                rollout.cancel()
            for task in service.live:
                self._tasks.end(task, "remove")
            del self._services[service.id], self._by_name[service.name]

    def break_image(self, image: str, words: str, *, after: float = 0.0) -> None:
        """Let tasks of *image* fail with Swarm's *words*, such as `No such image: app:2`.

        They fail when they start, or after they have run for a number of seconds.
        """
        with self._timeline.present():
            self._tasks.faults[image] = Fault(words, after)

    def fail_task(self, name: str, words: str, image: str | None = None) -> None:
        """Let the oldest running task of the service with that *image* end with an error."""
        with self._timeline.present():
            live = self._find(name).live
            running = [task for task in live if task.state == "running" and image in (None, task.image)]
            if running:
                self._tasks.fail(min(running, key=lambda task: (task.created, task.id)), words)

    def stop_node(self, name: str) -> None:
        """Let a node go down. Its tasks stay `running` as ghosts to be shut down, and are replaced elsewhere."""
        with self._timeline.present():
            node = self._nodes[name]
            node.ready = False
            for service in self._services.values():
                for task in [task for task in service.live if task.node is node]:
                    if isinstance(task.slot, int):
                        self._tasks.replace(task)
                    else:
                        self._tasks.end(task, "shutdown")

    def start_node(self, name: str) -> None:
        """Let a node come back, which shuts its ghosts down."""
        with self._timeline.present():
            node = self._nodes[name]
            node.ready = True
            for service in self._services.values():
                for ghost in [task for task in service.ended if task.node is node and not task.is_over]:
                    self._tasks.gone(ghost)
                if service.count is None:
                    self._fill(service)
            self._tasks.place_waiting()

    def change_leader(self, seconds: float) -> None:
        """Let another manager lead. It knows a node once the node reports; the last one does after *seconds*."""
        with self._timeline.present():
            for number, node in enumerate(self._nodes.values(), start=1):
                node.heard = False
                self._timeline.after(seconds * number / len(self._nodes), partial(self._hear, node))

    def running(self, name: str) -> int:
        """Return how many tasks of the service really run, wanted and on a node that is ready."""
        with self._timeline.present():
            return sum(task.state == "running" for task in self._find(name).live)

    def _hear(self, node: Node) -> None:
        node.heard = True
        self._tasks.place_waiting()

    # Services.

    def _find(self, name: str) -> SimulatedService:
        service = self._services.get(name) or self._by_name.get(name)
        if service is None:
            raise NotFoundError(f"service {name} not found")
        return service

    def _find_config(self, name: str) -> Config:
        if name not in self._configs:
            raise NotFoundError(f"config {name} not found")
        return self._configs[name]

    def _replace_spec(self, service: SimulatedService, spec: Document, *, back: bool = False) -> None:
        """Carry out an update: the old spec becomes PreviousSpec, UpdateStatus is cleared, a rollout begins again."""
        if kind(spec) != kind(service.spec):
            raise RefusedError("rpc error: code = Unimplemented desc = service mode change is not allowed")
        before = service.count
        service.spec, service.previous, service.status = spec, service.spec, None
        if back:
            service.report(self._timeline.now, "rollback_started", "manually requested rollback")
        service.touch(self._timeline.now, self._timeline.number())
        if service.count != before:
            self._tasks.give_up_waiting(service)
        if service.is_job:
            service.iteration += 1
            for task in service.live:
                self._tasks.end(task, "remove")
        self._reconcile(service, back=back)

    def _reconcile(self, service: SimulatedService, *, back: bool) -> None:
        """Adapt the number of tasks to the spec, and let a rollout replace those with another template.

        A rollout towards the same spec goes on, but Swarm no longer shows it.
        """
        if back:
            service.abandon_failed()
        self._fill(service)
        present = self._rollouts.get(service.id)
        if present is not None and not present.over:
            if present.spec == service.spec:
                return
            present.cancel()
        if back or service.dirty:
            self._rollouts[service.id] = rollout = Rollout(
                self._timeline, self._tasks, service, partial(self._report, service), back=back
            )
            self._timeline.after(_BEGIN, rollout.begin)

    def _fill(self, service: SimulatedService) -> None:
        """Adapt the number of slots to the spec."""
        if service.count is None:
            for node in self._nodes.values():
                if node.ready and node.name not in service.slots:
                    self._tasks.start(service, node.name)
            return
        surplus = len(service.slots) - service.count
        if surplus > 0:
            # Slots without a task that runs go first, then the newest (docs/facts.md#removal-order).
            newest_first = sorted(service.slots.values(), key=lambda slot: (slot[0].created, slot[0].id), reverse=True)
            for slot in sorted(newest_first, key=lambda slot: any(task.state == "running" for task in slot))[:surplus]:
                del service.slots[slot[0].slot]
                for task in slot:
                    self._tasks.end(task, "remove")
        number = 0
        while len(service.slots) < service.count:
            number += 1
            if number not in service.slots:
                self._tasks.start(service, number)

    def _changed(self, task: Task) -> None:
        """Report a task that has begun to run or has ended to the service's rollout."""
        if rollout := self._rollouts.get(task.service.id):
            rollout.hear(task)

    def _report(self, service: SimulatedService, state: str, message: str) -> None:
        """Show the state of the rollout, unless somebody has updated the service to the same spec since."""
        if service.status is None and state != "updating":
            return
        service.report(self._timeline.now, state, message)
        back = state == "rollback_started"
        if back and service.previous is not None:
            service.spec, service.previous = service.previous, None
        service.touch(self._timeline.now, self._timeline.number())
        if back or state.endswith("completed"):
            self._reconcile(service, back=back)  # at its end too: slots that were left with two tasks are left one
