"""What becomes of a simulated Swarm's tasks: they are placed, start, fail and are followed by others, and stop.

Simplified: tasks of jobs run for ever; placement knows reservations, constraints, MaxReplicas and whether nodes are
ready; a restart policy's window is not looked at.
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
"""Swarm's default: seconds from a failed task to the next."""
_REJECTED = "No such image"
"""How Swarm's words begin on a task that never came to start."""


class Fault(NamedTuple):
    """How tasks of an image fail: with these *words* of Swarm's, after they have run for so many seconds."""

    words: str
    after: float


class Tasks:
    """The tasks on *nodes*; they take *startup* seconds to run and *shutdown* seconds to stop.

    *changed* is told of each task that has begun to run, or whose container has gone.
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
        """How tasks fail, by image."""
        self._waiting: dict[Task, None] = {}
        """The tasks that have no room, in the order of their coming."""

    def start(self, service: SimulatedService, slot: Slot, *, ready_only: bool = False) -> Task:
        """A new task of the service's template in *slot*; where *ready_only*, it is prepared and waits to `run`."""
        now = self._timeline.now
        task = Task(f"task{self._timeline.number():021d}", service, slot, service.spec["TaskTemplate"], now, now)
        service.enter(task)
        if ready_only:
            task.want("ready")
        self._place(task)
        return task

    def run(self, task: Task) -> None:
        """Let a task run that was prepared, if it is still wanted."""
        if task.desired != "ready":
            return
        task.want("running")
        if task.state == "ready":
            task.become(self._timeline.now, "starting", "starting")
            self._timeline.after(self.startup, partial(self._started, task))

    def run_after(self, task: Task, other: Task | None) -> None:
        """Let *task* run as soon as the *other* one's container has gone."""
        if other is None or other.is_gone:
            self.run(task)
        else:
            other.then.append(task)

    def end(self, task: Task, desired: str) -> None:
        """Take the task out of its slot; one that runs goes on for the time it takes to stop, or as a ghost."""
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
        """The container is gone, and what it held is free; of a node that is down nothing is known."""
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
        """End the task with an error, in Swarm's *words*; another follows it as its restart policy says."""
        rejected = words.startswith(_REJECTED)
        message = "preparing" if rejected else "started"
        task.become(self._timeline.now, "rejected" if rejected else "failed", message, words)
        self.replace(task)

    def replace(self, task: Task) -> None:
        """End the task, and let another one follow it in its slot, after a delay in which that is desired `ready`.

        Where its restart policy lets none follow it, the slot stays its own: no scale fills it (measured, 20.10).
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
        """Try again what had no room."""
        for task in list(self._waiting):
            self._place(task)

    def give_up_waiting(self, service: SimulatedService) -> None:
        """Leave the service's tasks that wait pending for ever: Swarm never tries them again (moby#53722, measured)."""
        for task in service.live:
            self._waiting.pop(task, None)

    def _place(self, task: Task) -> None:
        """Give the task the node with the fewest tasks that has room, or else Swarm's words for that none has."""
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
