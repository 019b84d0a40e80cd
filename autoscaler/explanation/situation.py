"""All that an explanation is made from: the inputs of one decision, the decision, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autoscaler.core.model import Outcome, ScaleEvent

if TYPE_CHECKING:
    from autoscaler.core.model import Decision, History, Observation
    from autoscaler.policy.places import Places
    from autoscaler.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Situation:
    """One decision with its inputs."""

    policy: Policy
    observation: Observation
    history: History
    """The past as it was before the decision."""
    decision: Decision
    outcome: Outcome
    interval: int
    """Seconds between two evaluations."""
    places: Places | None = None
    """Where the policy is written; None if that is not known."""

    def afterwards(self) -> tuple[Observation, History]:
        """Return what the next evaluation begins with if nobody else does anything and all replicas start."""
        decision, seen, history = self.decision, self.observation, self.history
        streak = history.streak if decision.changes else decision.streak
        history = replace(history, streak=streak, judged_at=decision.at if decision.judged else history.judged_at)
        if self.outcome not in {Outcome.APPLIED, Outcome.DRY_RUN}:
            return seen, history
        event = ScaleEvent(decision.at, decision.requested, decision.desired)
        history = replace(history, events=(*history.events, event))
        if self.outcome is Outcome.DRY_RUN:
            return seen, history
        asked = None if history.asked is None else min(history.asked, decision.desired)
        gave_back = decision.at if decision.gives_back else history.gave_back
        seen = replace(
            seen,
            requested=decision.desired,
            running=decision.desired,
            pending="",
            stuck=False,
            unplaced_since=(),
            lowered_from=None,
            asleep=decision.desired == 0,
        )
        return seen, replace(history, streak=decision.streak, asked=asked, gave_back=gave_back)
