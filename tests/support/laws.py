"""What must hold of every write to a service, whatever came before it (SPEC 4, SPEC 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.adapters.swarm_documents import service_view
from autoscaler.cluster import ROLLBACK_LABEL, SETTLE_TIME, STATE_LABEL
from autoscaler.model import Direction
from tests.support.builders import STEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoscaler.adapters.engine_api import Document
    from autoscaler.policy import Policy
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
    look_back: int = 60
    calm: float = 30.0

    def hold_for(self, write: Write, policy: Policy) -> None:
        """What must hold of a write by itself, made under *policy*."""
        was, becomes = write.counts
        bounds = policy.bounds(write.at)
        assert only_count_and_label_differ(write.before["Spec"], write.spec)
        assert was != becomes
        assert was != 0, "a count of 0 was set by hand, and stays"
        assert bounds.min <= becomes <= bounds.max
        view = service_view(write.before)
        assert not view.rollout
        assert not view.unsettled or write.at - view.updated_at >= SETTLE_TIME, "a rollout may be about to begin"
        assert policy.paused is not True, "the policy is paused"
        if write.direction is Direction.DOWN and write.driven(policy):
            assert calm_is_known(self.world, write.service, write.decision.at, self.look_back, self.calm)

    def hold_between(self, write: Write, earlier: Sequence[Write], policy: Policy) -> None:
        """What must hold of a write and those to the same service *earlier*."""
        if not write.driven(policy):
            return
        up = write.direction is Direction.UP
        for other in earlier:
            if not up or other.direction is Direction.UP:
                ago = write.at - other.at
                said = f"{write.counts} by {write.by}, {ago} s after {other.counts} by {other.by}"
                assert ago >= policy.behaviour(write.direction).cooldown, said


def calm_is_known(world: World, service: str, moment: float, look_back: int, calm: float) -> bool:
    """Whether what Prometheus holds of the look-back at *moment* is complete and calm."""
    newest = int(moment // STEP * STEP)
    truth = world.truth.get((service, "cpu"), {})
    steps = range(newest - look_back, newest + STEP, STEP)
    missing = [at for at in steps if at not in truth]
    two_in_a_row = any(at + STEP in missing for at in missing)
    return newest in truth and max(truth[at][0] for at in steps if at in truth) < calm and not two_in_a_row
