"""No room: replicas that Swarm finds no node for are given back after a time, and none are added for as long again.

It is Swarm's own word that decides, not a metric's, so that missing data neither cause nor prevent it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.behaviour import Step
from autoscaler.durations import words
from autoscaler.model import Why
from autoscaler.reasons import Reason

if TYPE_CHECKING:
    from autoscaler.model import History, Observation
    from autoscaler.policy import Policy


def overdue(policy: Policy, observation: Observation) -> int:
    """How many replicas wait for room for so long that the policy gives them back; all that do not run wait for room.

    Where others have a node and do not run yet, none is overdue: of what does not run, Swarm takes any first (facts 6).
    """
    patience = policy.scale_up.give_back
    if patience is None or observation.running + len(observation.unplaced_since) < observation.requested:
        return 0
    return sum(observation.at - since >= patience for since in observation.unplaced_since)


def give_back(observation: Observation, history: History, count: int, waiting: int, least: int) -> Step:
    """Lower *count* by the *waiting* replicas, as far as the autoscaler added them, and not below *least*.

    Never below the replicas that run, nor below what somebody else asked for last.
    """
    requested = observation.requested
    asked = requested if history.asked is None else history.asked
    left = max(requested - waiting, observation.running, asked, least)
    if left >= min(requested, count):
        return Step(count)
    back = requested - left
    wanted = f"wants {count}; " if count > requested else ""
    found = f"{back} replica{'s' if back > 1 else ''} found no room and {'are' if back > 1 else 'is'} given back"
    return Step(left, Why(Reason.NO_ROOM, f"{wanted}{found}: {observation.pending}"))


def wait_for_room(policy: Policy, observation: Observation, history: History, count: int) -> Step:
    """Hold an increase for as long after giving back as replicas may wait for room before it.

    Without this the same replica would be added and given back at every cooldown.
    """
    patience, gave_back = policy.scale_up.give_back, history.gave_back
    if patience is None or gave_back is None or count <= observation.requested:
        return Step(count)
    age = observation.at - min(gave_back, observation.at)
    if age >= patience:
        return Step(count)
    ago = f"replicas that found no room were given back {words(age)} ago"
    detail = f"wants {count}; {ago}, the next attempt is in {words(patience - age)}"
    return Step(observation.requested, Why(Reason.NO_ROOM, detail), held=True)
