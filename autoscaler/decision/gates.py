"""Gates: they hold changes that must not happen to a service now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Direction, Why
from autoscaler.core.reasons import Reason
from autoscaler.decision.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.core.model import Observation
    from autoscaler.decision.steps import Case
    from autoscaler.policy.policy import Policy

_STANDING = frozenset({Reason.UNSUPPORTED_MODE, Reason.SCALED_TO_ZERO})
"""Gates that are also reported while nothing would change, because the policy cannot do its work at all."""


def gate(case: Case, count: int, due: int) -> Step:
    """Hold a change that must not happen now.

    A closed gate holds every change. Guards and pending tasks hold only what rules want beyond what is *due*. A guard
    forbids changes in its direction. Tasks that do not run yet forbid an increase. A rule that adds a number of
    replicas waits until all replicas run. A rule that asks for a count waits only while replicas are stuck, because its
    count already takes the running replicas into account.
    """
    observation, requested = case.observation, case.requested
    for closed in _closed(case, count):
        if count != requested or closed.reason in _STANDING:
            return Step(requested, closed, held=True)
    if count != due:
        direction = Direction.UP if count > due else Direction.DOWN
        for guard in case.policy.guards:
            if said := guard.blocks(direction, observation.windows.get(guard.metric)):
                return Step(due, Why(Reason.GUARD, f"wants {count}; {said}"), held=due == requested)
    counted = max((item.replicas or 0 for item in case.recommendations if not item.relative), default=0)
    passes = max(due, case.bounds.clamp(0 if observation.stuck else counted))
    if count > passes and observation.running < requested:
        detail = f"wants {count}; {observation.running} of {requested} replicas run"
        if observation.pending:
            detail += f": {observation.pending}"
        return Step(passes, Why(Reason.TASKS_PENDING, detail), held=True)
    return Step(count)


def stand_by(observation: Observation, gated: Step, *, held: bool) -> Step:
    """Return *gated*, or hold it while another autoscaler leads and a change is wanted or *held*.

    A gate that no autoscaler could pass is still reported, also on standby.
    """
    wanted = gated.count != observation.requested
    impossible = gated.why is not None and gated.why.reason in _STANDING
    if not observation.standby or impossible or not (wanted or held):
        return gated
    detail = f"wants {gated.count}; {observation.standby}" if wanted else observation.standby
    return Step(observation.requested, Why(Reason.NOT_LEADER, detail), held=True)


def paused(policy: Policy, observation: Observation) -> dict[Direction, str]:
    """Return why changes are paused, by direction, in words: by the policy, or at run time by an operator."""
    written = f"the policy says paused: {str(policy.paused).lower()}"
    both = {
        each: (written if policy.paused in {True, each} else "", observation.paused.get(each, "")) for each in Direction
    }
    return {each: "; ".join(filter(None, said)) for each, said in both.items() if any(said)}


def _closed(case: Case, count: int) -> Iterator[Why]:
    observation = case.observation
    if observation.mode != "replicated":
        yield Why(Reason.UNSUPPORTED_MODE, f"the service's mode is {observation.mode}; only replicated ones are scaled")
    if observation.requested == 0 and case.bounds.min > 0 and not observation.asleep:
        yield Why(Reason.SCALED_TO_ZERO, "somebody set the service to 0 replicas; scale it to 1 or more to resume")
    if observation.rollout:
        yield Why(Reason.ROLLOUT_IN_PROGRESS, observation.rollout, until=observation.rollout_until)
    direction = Direction.UP if count > observation.requested else Direction.DOWN
    if said := paused(case.policy, observation).get(direction):
        written = case.policy.paused in {True, direction}
        until = None if written else observation.paused_until.get(direction)
        yield Why(Reason.PAUSED, f"wants {count}; {said}", until=until)
