"""What must hold of every write to a service, whatever came before it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from autoscaler.adapters.docker.documents import service_view
from autoscaler.core.model import Direction
from autoscaler.swarm.cluster import ROLLBACK_LABEL, SETTLE_TIME, STATE_LABEL
from tests.support.builders import STEP
from tests.support.world import WARMUP, count_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autoscaler.adapters.docker.engine_api import Document
    from autoscaler.simulation.parts import Task
    from tests.support.process import Write
    from tests.support.world import World

HELD_UP = 20.0
"""Seconds after its decision until which a write counts from that: the longest evaluation."""
MILLISECOND = 0.001
"""To which labels tell times."""


def only_count_and_label_differ(before: Document, after: Document) -> bool:
    """Whether a scale made no other difference between two specs."""
    ours = {label: after["Labels"][label] for label in (STATE_LABEL, ROLLBACK_LABEL) if label in after["Labels"]}
    labels = {**(before.get("Labels") or {}), **ours}
    return after == before | {"Mode": after["Mode"], "Labels": labels} and list(after["Mode"]["Replicated"]) == [
        "Replicas"
    ]


@dataclass(frozen=True)
class Laws:
    """The laws of a world whose rules see a calm in *look_back* seconds of CPU below *calm* percent."""

    world: World
    metrics: Sequence[str] = ("cpu",)
    """All that rules look at."""
    look_back: int = 60
    calm: float = 30.0

    def hold_for(self, write: Write) -> None:
        """What must hold of a write by itself."""
        was, becomes = write.counts
        bounds = write.policy.bounds(write.at)
        view = service_view(write.before)
        assert only_count_and_label_differ(write.before["Spec"], write.spec)
        assert was != becomes
        assert was != 0, "a count of 0 was set by hand, and stays"
        assert bounds.min <= becomes <= bounds.max
        assert not view.rollout
        told = view.unsettled or view.update_state
        assert told or not self._of_another_version(write), "a rollout goes on of which Swarm says nothing"
        assert not view.unsettled or write.at - view.updated_at >= SETTLE_TIME - _unseen(write, view.updated_at), (
            "a rollout is about to begin"
        )
        assert write.policy.paused not in (True, write.direction), "it is paused by its policy"
        assert not write.paused, "it was paused at run time"
        if write.direction is Direction.DOWN and write.driven:
            assert self.calm_is_known(write)

    def hold_between(self, write: Write, earlier: Iterable[Write], updates: Sequence[float] = ()) -> None:
        """What must hold of a write and those *earlier* ones to the same service that its writer knew of, in order.

        *updates* is when somebody else updated the service.
        """
        if not write.driven:
            return
        up, writes = write.direction is Direction.UP, list(earlier)
        for number, other in enumerate(writes, 1):
            if not up or other.direction is Direction.UP:
                ago = write.at - other.at
                said = f"{write.counts} by {write.by}, {ago} s after {other.counts} by {other.by}"
                cooldown = write.policy.behaviour(write.direction).cooldown
                read = _first_read(other, (write, *writes[number:]))
                assert ago >= cooldown - _forgiven(write, other, read, updates) - MILLISECOND, said

    def hold_after(self, write: Write, update: float) -> None:
        """What must hold of a write where the last *update* of the service was somebody else's."""
        previous = write.before.get("PreviousSpec")
        if previous is None or not write.driven:
            return
        theirs = count_in(write.before) - count_in({"Spec": previous})
        if theirs > 0 or (theirs < 0 and write.direction is Direction.DOWN):
            cooldown = write.policy.behaviour(write.direction).cooldown
            said = f"{write.counts} by {write.by}, {write.at - update} s after somebody else's {theirs:+}"
            assert write.at - update >= cooldown - _unseen(write, update) - MILLISECOND, said

    def calm_is_known(self, write: Write) -> bool:
        """Whether what Prometheus held of the look-back, when it was decided, is complete and calm.

        A step counts as missing where fewer tasks reported than run now that were warm then. One missing step is
        forgiven, if it is not the newest.
        """
        name = write.spec["Name"]
        newest = int(write.decided // STEP * STEP)  # windows go by Prometheus' clock, whatever the writer's says
        truth = self.world.truth.get((name, "cpu"), {})
        steps = range(newest - self.look_back, newest + STEP, STEP)
        since = [task.since for task in self._tasks(write.service) if task.state == "running"]
        warm = {at: sum(each <= at - WARMUP for each in since) for at in (newest - self.look_back - STEP, *steps)}
        complete = {at for at, owed in warm.items() if at in truth and truth[at][1] >= owed}
        holes = any(at not in complete and at - STEP not in complete for at in steps)
        known = all(newest in self.world.truth.get((name, metric), {}) for metric in self.metrics)
        known = known and newest in complete and not holes and not write.blind
        return known and max(truth[at][0] for at in steps if at in truth) < self.calm

    def _of_another_version(self, write: Write) -> list[Task]:
        """The tasks that a rollout has still to replace.

        Not those that a start-first one left beside new ones that failed: they end once it is completed.
        """
        template = write.before["Spec"]["TaskTemplate"]
        return [task for task in self._tasks(write.service) if task.template != template]

    def _tasks(self, service: str) -> Iterable[Task]:
        found = self.world.engine._services.get(service)
        return found.live if found else ()


def _unseen(write: Write, since: float) -> float:
    """How many seconds of a time that began at *since* may not have passed, as its writer's clock runs ahead.

    The clock counts as it is now where the writer had the beginning from Swarm, and where it saw the beginning itself,
    as it was set forward since then. Nothing is forgiven where the clock is right and was.
    """
    return max(0.0, write.skew, write.skew - write.by.watches.least_skew(since))


def _first_read(other: Write, readers: Iterable[Write]) -> float:
    """Return when the label of the *other* write was first read, by its reader's clock.

    The first of *readers* whose writer saw that label counts. A later one knows of the write by what that one wrote.
    """
    label = other.service, other.spec["Labels"][STATE_LABEL]
    return next((each.by.cycle.looks[label] for each in readers if label in each.by.cycle.looks), inf)


def _forgiven(write: Write, other: Write, read: float, updates: Sequence[float]) -> float:
    """By how many seconds the cooldown between two writes may be too short; 0 where clocks are right and writes prompt.

    It is counted from the stamp that the *other* one's writer gave it when it decided, by its own clock. A write that
    is carried out more than `HELD_UP` seconds after its stamp counts from Swarm's time of it, unless somebody else
    updated the service since: then Swarm does not tell that time any more. Swarm's time and the stamp both count as
    the time at which they were *read*, if they are in the future by the clock of their reader.
    """
    held_up = min(other.at, read) - other.decision.at > HELD_UP
    dated = held_up and not any(other.at <= at <= write.at for at in updates)
    stamp = other.at if dated else other.decision.at
    early = max(0.0, write.skew + other.at - stamp)
    return max(early, write.skew - write.by.watches.least_skew(other.at))
