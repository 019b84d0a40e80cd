"""The rollout of a simulated Swarm: it replaces a service's tasks after an update, and reacts if the new ones fail.

It works like Swarm's updater (20.10; tests/contract/swarm_cases.py). Each of several workers takes one slot after the
other. It waits until the new task runs or has failed, and then for the delay. A new task that ends within the monitor
time after it began to run counts as failed. The tasks that follow it do not. Failures while the workers wait for the
last slots are noticed after that, and count however long the task ran.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.adapters.docker.engine_api import Document
    from autoscaler.simulation.parts import SimulatedService, Slot, Task
    from autoscaler.simulation.tasks import Tasks
    from autoscaler.simulation.timeline import EventQueue

_MONITOR = 5.0
"""Swarm's default of the seconds for which a new task is watched."""


class Rollout:
    """Brings the slots of *service* to its spec, or *back* to it after a rollback.

    *report* is called with each new state of the rollout and its message. An automatic rollback is reported as
    `rollback_started`. The caller then restores the spec, and begins another rollout.
    """

    def __init__(
        self,
        timeline: EventQueue,
        tasks: Tasks,
        service: SimulatedService,
        report: Callable[[str, str], None],
        *,
        back: bool,
    ) -> None:
        self._timeline = timeline
        self._tasks = tasks
        self._service = service
        self._report = report
        self._back = back
        self.spec = service.spec
        """The spec that the rollout works towards."""
        self._queue: deque[list[Task]] = deque()
        """The tasks in the slots that are still to do, as they were when the rollout began."""
        self._slots = self._idle = self._workers = 0
        self._made: dict[Task, float] = {}
        """The new tasks, and when each was made or began to run."""
        self._waited_for: dict[Task, list[Task]] = {}
        """The new tasks that workers wait for, and the tasks that end when they run."""
        self._kept: dict[Slot, Task] = {}
        """The tasks that fitted the spec when the rollout began."""
        self._unheard: list[Task] = []
        self._failed = 0
        self._monitoring = False
        self._stopped = False
        self._cancelled = False
        self._completed = False

    def begin(self) -> None:
        """Let the workers take their first slots. Without slots the rollout ends."""
        if self._cancelled:
            return
        self._queue.extend(list(self._service.slots[slot]) for slot in self._service.dirty)
        self._slots = len(self._queue)
        self._idle = self._workers = self._config.get("Parallelism", 0) or self._slots
        self._kept.update((task.slot, task) for tasks in self._queue for task in tasks if self._is_good(task))
        if not self._slots:
            self._complete()
            return
        if self._service.status is None:
            self._report("updating", "update in progress")
        self._go_on()

    @property
    def over(self) -> bool:
        """Return whether the rollout does nothing any more."""
        return self._cancelled or self._completed or (self._stopped and self._idle == self._workers)

    def cancel(self) -> None:
        """Stop. New tasks that wait for old ones to stop still run afterwards."""
        self._cancelled = True

    def hear(self, task: Task) -> None:
        """Note a task that has begun to run or has ended."""
        if self._cancelled or task not in self._made:
            return
        if task in self._waited_for:
            before = self._waited_for.pop(task)
            self._made[task] = self._timeline.now
            if task.state == "running":
                self._end(before)
            self._rest()
        if task.is_over and self._action != "continue" and not self._stopped:
            if not self._queue and not self._monitoring:
                self._unheard.append(task)
            elif self._timeline.now - self._made[task] <= self._monitor:
                self._judge(task)

    @property
    def _config(self) -> Document:
        """Return the spec's settings of the rollout, with Swarm's defaults."""
        return self._service.spec.get("RollbackConfig" if self._back else "UpdateConfig") or {"Parallelism": 1}

    @property
    def _action(self) -> str:
        action: str = self._config.get("FailureAction") or "pause"
        return action

    @property
    def _monitor(self) -> float:
        nanoseconds: int = self._config.get("Monitor") or 0
        return nanoseconds / 1e9 or _MONITOR

    def _go_on(self) -> None:
        """Give the remaining slots to idle workers. After the last worker's delay the new tasks are monitored."""
        while self._queue and self._idle and not self._stopped and not self._cancelled:
            self._idle -= 1
            self._work_on(self._queue.popleft())
        if self._idle < self._workers or self._stopped or self._cancelled or self._monitoring:
            return
        self._monitoring = True
        self._timeline.after(self._monitor, self._complete)
        for task in self._unheard:
            self._judge(task)

    def _is_good(self, task: Task) -> bool:
        """Return whether the task fits the present spec."""
        return task.is_wanted and self._service.is_clean(task)

    def _work_on(self, before: list[Task]) -> None:
        """Replace the tasks that were in a slot when the rollout began, or leave it one task."""
        slot = before[0].slot
        start_first = self._config.get("Order") == "start-first"
        kept = self._kept.get(slot)
        if kept is not None:
            self._tasks.run_after(kept, self._end([task for task in before if task is not kept]))
            self._rest()
        elif not start_first and before[0] not in self._service.slots.get(slot, ()):
            self._rest()  # it failed since, and another one follows it already
        else:
            new = self._tasks.start(self._service, slot, ready_only=True)
            self._made[new] = self._timeline.now
            self._waited_for[new] = before if start_first else []
            self._tasks.run_after(new, None if start_first else self._end(before))

    def _end(self, tasks: list[Task]) -> Task | None:
        """Shut down the tasks that are still wanted, and return the last of them."""
        last = None
        for task in tasks:
            if task.is_wanted:
                self._tasks.end(task, "shutdown")
                last = task
        return last

    def _rest(self) -> None:
        """Let a worker rest after its slot; it takes the next one after the delay."""
        self._timeline.after(self._config.get("Delay", 0) / 1e9, self._rested)

    def _rested(self) -> None:
        self._idle += 1
        self._go_on()

    def _judge(self, task: Task) -> None:
        """Pause (the default) or roll back after a failed task, if more failed than allowed."""
        self._failed += 1
        if self._stopped or self._cancelled or self._failed / self._slots <= self._config.get("MaxFailureRatio", 0.0):
            return
        self._stopped = True
        cause = f"due to failure or early termination of task {task.id}"
        if self._action == "rollback" and not self._back:
            self._report("rollback_started", f"update rolled back {cause}")
        else:
            self._report("rollback_paused" if self._back else "paused", f"update paused {cause}")

    def _complete(self) -> None:
        if not self._stopped and not self._cancelled:
            self._completed = True
            state, what = ("rollback_completed", "rollback") if self._back else ("completed", "update")
            self._report(state, f"{what} completed")
