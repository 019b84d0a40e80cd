"""The life of a simulated Swarm's tasks: they are placed, start, fail, are followed by others, and stop.

It is simplified. Tasks of jobs run for ever. Placement only knows reservations, constraints, MaxReplicas and whether
nodes are ready. The window of a restart policy is ignored.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.simulation.parts import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.simulation.parts import Node, SimulatedService, Slot
    from autoscaler.simulation.timeline import EventQueue

_RESTART_DELAY = 5.0
"""Swarm's default of the seconds from a failed task to the next one."""
_REJECTED = "No such image"
"""The beginning of Swarm's message on a task that never started."""


class Fault(NamedTuple):
    """The failure of an image's tasks: Swarm's *words*, and the seconds that they run before."""

    words: str
    after: float


class Tasks:
    """The tasks on *nodes*. They take *startup* seconds to run and *shutdown* seconds to stop.

    *changed* is called with each task that has begun to run, or whose container is gone.
    """

    def __init__(
        self,
        timeline: EventQueue,
        nodes: Mapping[str, Node],
        *,
        startup: float,
        shutdown: float,
        changed: Callable[[Task], None],
    ) -> None:
        self._timeline = timeline
        self._nodes = nodes
        self._changed = changed
        self.startup = startup
        self.shutdown = shutdown
        self.faults: dict[str, Fault] = {}
        """The failures of tasks, by image."""
        self._waiting: dict[Task, None] = {}
        """The tasks without room, oldest first."""

    def start(self, service: SimulatedService, slot: Slot, *, ready_only: bool = False) -> Task:
        """Return a new task of the service in *slot*. With *ready_only* it is prepared, and waits for `run`."""
        now = self._timeline.now
        task = Task(f"task{self._timeline.number():021d}", service, slot, service.spec["TaskTemplate"], now, now)
        service.enter(task)
        if ready_only:
            task.want("ready")
        self._place(task)
        return task

    def run(self, task: Task) -> None:
        """Let a prepared task run, if it is still wanted."""
        if task.desired != "ready":
            return
        task.want("running")
        if task.state == "ready":
            task.become(self._timeline.now, "starting", "starting")
            self._timeline.after(self.startup, partial(self._started, task))

    def run_after(self, task: Task, other: Task | None) -> None:
        """Let *task* run as soon as the *other* one's container is gone."""
        if other is None or other.is_gone:
            self.run(task)
        else:
            other.then.append(task)

    def end(self, task: Task, desired: str) -> None:
        """Remove the task from its slot. A running one goes on for the time that it takes to stop, or as a ghost."""
        task.service.leave(task)
        self._stop(task, desired)

    def _stop(self, task: Task, desired: str) -> None:
        if task not in task.service.ended:
            task.service.ended.append(task)
        self._waiting.pop(task, None)
        task.want(desired)
        if task.state == "running" and task.node is not None and task.node.ready:
            self._timeline.after(self.shutdown, partial(self.gone, task))
        else:
            self.gone(task)

    def gone(self, task: Task) -> None:
        """End the container and free its room. On a node that is down nothing changes."""
        then, task.then = task.then, []
        if task.node is not None:
            task.node.free(task)
        if task.node is None or task.node.ready:
            if not task.is_over:
                task.become(self._timeline.now, "shutdown", "shutdown")
            task.service.forget(task.slot)
            self._changed(task)
            self.place_waiting()
        for follower in then:
            self.run(follower)

    def fail(self, task: Task, words: str) -> None:
        """End the task with an error, in Swarm's *words*. Another one follows by its restart policy."""
        rejected = words.startswith(_REJECTED)
        message = "preparing" if rejected else "started"
        task.become(self._timeline.now, "rejected" if rejected else "failed", message, words)
        self.replace(task)

    def replace(self, task: Task) -> None:
        """End the task, and let another one follow in its slot after a delay, in which its desired state is `ready`.

        If its restart policy allows no other, the task keeps its slot, and no scale fills it (measured, 20.10).
        """
        service, policy = task.service, task.restart_policy
        if task.is_over and task.node is not None:
            task.node.free(task)
        most = policy.get("MaxAttempts", 0)
        if policy.get("Condition", "any") != "none" and not (most and task.attempt >= most):
            service.leave(task)
            follower = self.start(service, task.slot, ready_only=True)
            follower.attempt = task.attempt + 1
            delay = policy["Delay"] / 1e9 if "Delay" in policy else _RESTART_DELAY
            self._timeline.after(delay, partial(self.run, follower))
        self._stop(task, "shutdown")

    def place_waiting(self) -> None:
        """Try to place the tasks without room again."""
        for task in list(self._waiting):
            self._place(task)

    def give_up_waiting(self, service: SimulatedService) -> None:
        """Leave the service's waiting tasks pending, because Swarm never tries them again (moby#53722, measured)."""
        for task in service.live:
            self._waiting.pop(task, None)

    def _place(self, task: Task) -> None:
        """Place the task on the node with room that has the fewest tasks. If none has room, set Swarm's message."""
        eligible = [self._nodes[task.slot]] if isinstance(task.slot, str) else self._nodes.values()
        objections = {node: node.objection(task) for node in eligible}
        fitting = [node for node, objection in objections.items() if not objection]
        now = self._timeline.now
        if not fitting:
            counted = Counter(objections.values())
            reasons = "; ".join(said.format(f"{n} node" if n == 1 else f"{n} nodes") for said, n in counted.items())
            task.become(now, "pending", "pending task scheduling", f"no suitable node ({reasons})")
            self._waiting[task] = None
            return
        min(fitting, key=lambda node: node.tasks).hold(task)
        self._waiting.pop(task, None)
        if task.desired == "ready":
            task.become(now, "ready", "prepared")
        else:
            task.become(now, "preparing", "preparing")
            self._timeline.after(self.startup, partial(self._started, task))

    def _started(self, task: Task) -> None:
        if task.desired != "running":
            return
        fault = self.faults.get(task.image)
        if fault is not None and not fault.after:
            self.fail(task, fault.words)
            return
        task.become(self._timeline.now, "running", "started")
        if fault is not None:
            self._timeline.after(fault.after, partial(self._fail_late, task, fault.words))
        self._changed(task)

    def _fail_late(self, task: Task, words: str) -> None:
        if task.desired == "running" and task.state == "running":
            self.fail(task, words)
