"""The steps between what the rules want and the bounds: stabilization, limits, flap guard, cooldown.

Each step takes a count and returns a count, with the reason if the count changed. All steps are pure. No step turns a
reduction into an increase, or an increase into a reduction.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, isclose
from typing import TYPE_CHECKING

from autoscaler.core.model import Direction, Why
from autoscaler.core.reasons import Reason
from autoscaler.decision.steps import Step
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.core.model import History, Observation
    from autoscaler.decision.steps import Case
    from autoscaler.policy.policy import Behaviour, Limit, Policy

_ROUNDING = 1e-9
"""The most that floating point may add to a whole number without making it the next one."""


def stabilize(case: Case, count: int) -> Step:
    """Take the smallest change that was recommended within the direction's window, this evaluation included.

    An increase becomes the smallest count recommended within `scale_up.stabilization`. A reduction becomes the largest
    count recommended within `scale_down.stabilization`. The requested count is never crossed. If the policy gives no
    stabilization, the rule that asks for the count gives the length of the window. Source: Kubernetes HPA,
    stabilizationWindowSeconds.
    """
    policy, observation, history = case.policy, case.observation, case.history
    requested = observation.requested
    if count == requested:
        return Step(count)
    up = count > requested
    window = policy.stabilization(_direction(up), case.asking)
    recent = [made.replicas for made in history.recommended if observation.at - made.at < window]
    stable = max(requested, min([count, *recent])) if up else min(requested, max([count, *recent]))
    if stable == count:
        return Step(count)
    lesser = f"{stable} was recommended within the {words(window)} of stabilization"
    until = window + max(
        made.at for made in history.recommended if (made.replicas < count if up else made.replicas > count)
    )
    return Step(stable, Why(Reason.STABILIZED, f"wants {count}; {lesser}", until=until), held=stable == requested)


def limit(case: Case, count: int) -> Step:
    """Allow only the change that the direction's limits leave after the changes within their periods.

    Each limit counts from the replicas at the beginning of its period. It allows a number of replicas, or a percentage
    of those replicas. The percentage is rounded to the larger change, and an increase of 0 replicas by a percentage is
    one replica. `select` takes the limit that allows the most (`max`) or the least (`min`), or forbids the direction
    (`disabled`). Source: Kubernetes HPA, scaling policies.
    """
    policy, observation, history = case.policy, case.observation, case.history
    requested = observation.requested
    if count == requested:
        return Step(count)
    up = count > requested
    behaviour = policy.behaviour(_direction(up))
    if behaviour.select == "disabled":
        detail = f"wants {count}; scale_{_direction(up)} is disabled"
        return Step(requested, Why(Reason.STEP_LIMITED, detail), held=True)
    if not behaviour.limits:
        return Step(count)
    limited = _limited(case, count, behaviour, observation.at)
    if limited == count:
        return Step(count)
    detail = f"wants {count}; the limit of {_in_words(behaviour)} allows {limited} now"
    ends = sorted({event.at + each.per for event in history.events for each in behaviour.limits})
    later = (at for at in ends if at > observation.at and _limited(case, count, behaviour, at) != limited)
    return Step(limited, Why(Reason.STEP_LIMITED, detail, until=next(later, None)), held=limited == requested)


def guard_against_flapping(case: Case, count: int) -> Step:
    """Remove only as many replicas as keep the load of the others from passing a bound that adds replicas.

    This concerns only metrics whose load moves to the remaining replicas. The newest value grows by tasks / remaining.
    The tasks are the most that may have carried the load.
    """
    policy, observation = case.policy, case.observation
    requested = observation.requested
    left = max(count, case.bounds.min)  # the bounds will leave no fewer
    if left >= requested or not policy.flap_guard:
        return Step(count)
    bounds = list(_upper_bounds(policy, observation))
    passed = next((each for each in bounds if each.passed(observation, left)), None)
    if passed is None:
        return Step(count)
    why = Why(Reason.WOULD_FLAP, f"wants {count}; {passed.in_words(observation, left)}")
    for safe in range(left + 1, requested):
        if not any(each.passed(observation, safe) for each in bounds):
            return Step(safe, why)
    return Step(requested, why, held=True)


def cool_down(case: Case, count: int) -> Step:
    """Hold an increase soon after an increase, and a reduction soon after any change.

    Some rules pace themselves: they size the service and correct their own count. A cooldown that the policy does not
    give holds such a rule only after changes by others, because it must not undo at once what somebody set by hand. A
    change that is exactly as old as the cooldown no longer holds. A change with a time in the future counts as made
    now.
    """
    policy, observation, history = case.policy, case.observation, case.history
    requested = observation.requested
    if count == requested:
        return Step(count)
    direction = _direction(count > requested)
    behaviour = policy.behaviour(direction)
    cooldown, by_others = behaviour.cooldown, not behaviour.holds_own_changes_of(case.asking)
    last = history.last(Direction.UP if direction is Direction.UP else None, by_others=by_others)
    if last is None:
        return Step(count)
    age = observation.at - min(last.at, observation.at)
    if age >= cooldown:
        return Step(count)
    detail = (
        f"wants {count}; scale-{direction} cooldown {words(cooldown)}, {words(cooldown - age)} left "
        f"since {last.before} → {last.after}{' by somebody else' if last.by_others else ''}"
        f"{' (proposed)' if last.proposed else ''}"
    )
    return Step(requested, Why(Reason.COOLING_DOWN, detail, until=last.at + cooldown), held=True)


def _direction(up: bool) -> Direction:  # noqa: FBT001 - a name for a truth value is what this is
    return Direction.UP if up else Direction.DOWN


def _limited(case: Case, count: int, behaviour: Behaviour, at: float) -> int:
    """Return the part of the change to *count* that the limits of *behaviour* leave at *at*."""
    requested = case.requested
    up = count > requested
    allowed = [_allowed(each, requested, case.history, at, up=up) for each in behaviour.limits]
    farthest = max if up == (behaviour.select == "max") else min
    return max(requested, min(count, farthest(allowed))) if up else min(requested, max(count, farthest(allowed)))


def _allowed(limit: Limit, requested: int, history: History, at: float, *, up: bool) -> int:
    """Return the farthest count that *limit* allows at *at*, from the count at the beginning of its period."""
    changes = (event.after - event.before for event in history.events if at - event.at < limit.per)
    began = requested - sum(changes)
    if limit.replicas is not None:
        return began + limit.replicas if up else began - limit.replicas
    share = (limit.percent or 0) / 100
    if up:
        return max(began + 1, ceil(began * (1 + share) - _ROUNDING))  # a percentage of 0 would stay 0 for ever
    return floor(began * (1 - share) + _ROUNDING)


def _in_words(behaviour: Behaviour) -> str:
    limits = ", ".join(f"{each.replicas or f'{each.percent}%'} per {words(each.per)}" for each in behaviour.limits)
    return f"{behaviour.select} of ({limits})" if len(behaviour.limits) > 1 else limits


@dataclass(frozen=True, slots=True)
class _UpperBound:
    """A bound above which a rule adds replicas, and the newest value of its metric."""

    metric: str
    above: float
    value: float
    behind: float
    """The most tasks that carried the load of the value."""

    def projected(self, observation: Observation, count: int) -> float:
        """Return the value that is expected once *count* replicas carry the load.

        Swarm first removes the replicas that do not run (docs/facts.md#removal-order).
        """
        remaining = min(observation.running, count)
        if not self.value:
            return 0.0
        return self.value * self.behind / remaining if remaining > 0 else float("inf")

    def passed(self, observation: Observation, count: int) -> bool:
        """Return whether each of *count* replicas would carry more than the bound."""
        projected = self.projected(observation, count)
        return projected > self.above and not isclose(projected, self.above)

    def in_words(self, observation: Observation, count: int) -> str:
        """Return in words what the value would be with *count* replicas."""
        there = f"from {self.value:.4g} to {self.projected(observation, count):.4g}"
        return f"with {count} replicas {self.metric} would go {there}, above {self.above:g}"


def _upper_bounds(policy: Policy, observation: Observation) -> Iterator[_UpperBound]:
    for rule in policy.rules:
        window = observation.windows.get(rule.metric)
        above = rule.adds_above
        if above is not None and window is not None and window.redistributes and window.newest is not None:
            yield _UpperBound(rule.metric, above, window.newest, window.behind_at_most(observation.running))
