"""No room: replicas without a node are given back after a time, and then no rule adds replicas for the same time.

Swarm's own state decides, and no metric does. So missing data neither cause nor prevent it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Why
from autoscaler.core.reasons import Reason
from autoscaler.decision.steps import Step
from autoscaler.util.amounts import plural
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from autoscaler.core.model import Observation
    from autoscaler.decision.steps import Case
    from autoscaler.policy.policy import Policy


def unplaced_too_long(policy: Policy, observation: Observation) -> int:
    """Return how many replicas have waited for room so long that the policy gives them back: all that wait, or 0.

    If the count changes, Swarm never retries replicas that still wait, even if room appears
    (docs/facts.md#waiting-replicas). If several replicas do not run, Swarm may remove any of them first
    (docs/facts.md#removal-order). So all waiting replicas must have waited that long, and all others must run.
    """
    patience, since = policy.scale_up.give_back, observation.unplaced_since
    if patience is None or not since or observation.running + len(since) < observation.requested:
        return 0
    return len(since) if observation.at - max(since) >= patience else 0


def release_unplaced(case: Case, count: int, waiting: int, least: int) -> Step:
    """Lower *count* by the *waiting* replicas if the autoscaler added all of them.

    The count never falls below the running replicas. It stays if somebody else asked for some of the waiting replicas,
    or if the *least* allowed count needs them.
    """
    observation, history = case.observation, case.history
    requested = observation.requested
    asked = requested if history.asked is None else history.asked
    left = max(requested - waiting, observation.running)
    if left >= min(requested, count) or left < max(asked, least):
        return Step(count)
    back = requested - left
    wanted = f"wants {count}; " if count > requested else ""
    found = f"{plural(back, 'replica')} found no room and {'is' if back == 1 else 'are'} given back"
    return Step(left, Why(Reason.NO_ROOM, f"{wanted}{found}: {observation.pending}"))


def wait_for_room(case: Case, count: int) -> Step:
    """Hold increases after replicas were given back, for the time that replicas may wait for room.

    Without this hold the same replica would be added and given back at every cooldown.
    """
    policy, observation, history = case.policy, case.observation, case.history
    patience, gave_back = policy.scale_up.give_back, history.gave_back
    if patience is None or gave_back is None or count <= observation.requested:
        return Step(count)
    age = observation.at - min(gave_back, observation.at)
    if age >= patience:
        return Step(count)
    ago = f"replicas that found no room were given back {words(age)} ago"
    detail = f"wants {count}; {ago}, the next attempt is in {words(patience - age)}"
    return Step(observation.requested, Why(Reason.NO_ROOM, detail, until=gave_back + patience), held=True)
