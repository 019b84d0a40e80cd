"""A decision as tests ask for it: the policy's rules are asked first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.decision import decide as decision
from autoscaler.decision.recommend import DIRECTLY, recommend_all

if TYPE_CHECKING:
    from autoscaler.core.model import Decision, History, Observation
    from autoscaler.core.reasons import Reason
    from autoscaler.decision.recommend import Asker
    from autoscaler.policy.policy import Policy


def decide(policy: Policy, observation: Observation, history: History, asker: Asker = DIRECTLY) -> Decision:
    """Return the decision on what the rules of *policy* recommend, as the cycle asks for it."""
    return decision.decide(policy, observation, history, recommend_all(policy, observation, asker))


def summed(decision: Decision) -> tuple[int, Reason, str | None, bool]:
    """Return the count, the primary reason, its rule, and whether the count is held."""
    return decision.desired, decision.primary.reason, decision.primary.rule, decision.held
