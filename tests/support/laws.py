"""What must hold of every write to a service, whatever came before it (SPEC 4, SPEC 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.adapters.swarm_documents import service_view
from autoscaler.cluster import ROLLBACK_LABEL, SETTLE_TIME, STATE_LABEL
from autoscaler.model import Direction
from tests.support.builders import STEP
from tests.support.world import WARMUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autoscaler.adapters.engine_api import Document
    from autoscaler.simulation.parts import Task
    from tests.support.process import Write
    from tests.support.world import World


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

    def hold_for(self, write: Write, slack: float = 0.0) -> None:
        """What must hold of a write by itself, where clocks were set by *slack* seconds at most."""
        was, becomes = write.counts
        bounds = write.policy.bounds(write.at)
        view = service_view(write.before)
        assert only_count_and_label_differ(write.before["Spec"], write.spec)
        assert was != becomes
        assert was != 0, "a count of 0 was set by hand, and stays"
        assert bounds.min <= becomes <= bounds.max
        assert not view.rollout
        assert not view.unsettled or write.at - view.updated_at >= SETTLE_TIME - slack, "a rollout is about to begin"
        assert write.policy.paused not in (True, write.direction), "it is paused by its policy"
        assert not write.paused, "it was paused at run time"
        if write.direction is Direction.DOWN and write.driven:
            assert self.calm_is_known(write)

    def hold_between(self, write: Write, earlier: Iterable[Write], slack: float = 0.0) -> None:
        """What must hold of a write and those *earlier* ones to the same service that its writer knew of."""
        if not write.driven:
            return
        up = write.direction is Direction.UP
        for other in earlier:
            if not up or other.direction is Direction.UP:
                ago = write.at - other.at
                said = f"{write.counts} by {write.by}, {ago} s after {other.counts} by {other.by}"
                assert ago >= write.policy.behaviour(write.direction).cooldown - slack, said

    def calm_is_known(self, write: Write) -> bool:
        """Whether what Prometheus held of the look-back, when it was decided, is complete and calm."""
        name, decided = write.spec["Name"], write.decision.at
        newest = int(
            (decided - write.skew) // STEP * STEP
        )  # windows go by Prometheus' clock, whatever the writer's says
        truth = self.world.truth.get((name, "cpu"), {})
        steps = range(newest - self.look_back, newest + STEP, STEP)
        missing = [at for at in steps if at not in truth]
        two_in_a_row = any(at + STEP in missing for at in missing)
        known = all(newest in self.world.truth.get((name, metric), {}) for metric in self.metrics)
        warm = sum(task.state == "running" and task.since <= newest - WARMUP for task in self._tasks(write.service))
        known = known and truth[newest][1] >= warm and not write.blind
        return known and not two_in_a_row and max(truth[at][0] for at in steps if at in truth) < self.calm

    def _tasks(self, service: str) -> Iterable[Task]:
        found = self.world.engine._services.get(service)
        return found.live if found else ()
