"""The command, or the line of a policy, that would change the count at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Direction
from autoscaler.core.reasons import Reason

if TYPE_CHECKING:
    from autoscaler.explanation.situation import Situation

_BY_HAND = "docker service scale {service}={count}"
_CURES = {
    Reason.COOLING_DOWN: _BY_HAND + ", or a shorter {way}.cooldown ({cooldown})",
    Reason.STABILIZED: _BY_HAND + ", or a shorter {way}.stabilization ({stabilization})",
    Reason.STEP_LIMITED: _BY_HAND + ", or other {way}.limits ({limits})",
    Reason.WOULD_FLAP: _BY_HAND + ", or flap_guard: false ({flap_guard})",
    Reason.AT_MAX: "a larger replicas.max ({max})",
    Reason.AT_MIN: "a smaller replicas.min ({min})",
    Reason.SCHEDULE_BOUNDS: "another bound in the schedule {schedule} ({schedule_at})",
    Reason.NO_BREACH: _BY_HAND + ", or other bounds of the rules ({rules})",
    Reason.WITHIN_TOLERANCE: _BY_HAND + ", or another target ({rule_at})",
    Reason.PAUSED: "autoscaler resume {service}",
    Reason.ROLLOUT_IN_PROGRESS: "docker service ps {service} shows what the rollout waits for",
    Reason.TASKS_PENDING: "docker service ps {service} shows why replicas do not run",
    Reason.NO_ROOM: "docker service ps {service} shows why replicas do not run",
    Reason.GUARD: _BY_HAND + ", or another bound of the guard ({guards})",
    Reason.INEFFECTIVE: _BY_HAND + ", or a larger ineffective_after ({rule_at})",
    Reason.SCALED_TO_ZERO: "docker service scale {service}={least}",
    Reason.STARVED: "more CPU for the node, or on_starved: allow ({on_starved})",
    Reason.NOT_LEADER: "the leader acts: ask it with --url",
}
"""What somebody can do now, by the reason that holds the count."""


def sooner(situation: Situation, wanted: int) -> str:
    """Return what somebody can do now; *wanted* is the count before the step that holds. Empty if there is nothing."""
    decision, policy = situation.decision, situation.policy
    why = decision.primary
    if decision.changes:
        return ""
    rule = policy.rule(why.rule) if why.rule else None
    if why.reason.lacks_data:
        return f"autoscaler check --live tells why {rule.metric if rule else 'the metric'} has no data"
    up = wanted >= decision.requested
    way, direction = ("scale_up", Direction.UP) if up else ("scale_down", Direction.DOWN)
    if why.reason is Reason.PAUSED and policy.paused in {True, direction}:
        return f"paused: false in the policy ({_place(situation, 'paused')})"
    bounds = policy.bounds(decision.at)
    schedule = bounds.max_by if up or bounds.asleep else bounds.min_by
    return _CURES.get(why.reason, "").format(
        service=decision.service,
        count=wanted if wanted != decision.requested else "N",
        least=max(policy.replicas.min, 1),
        way=way,
        cooldown=_place(situation, way, "cooldown"),
        stabilization=_place(situation, way, "stabilization"),
        limits=_place(situation, way, "limits"),
        min=_place(situation, "replicas", "min"),
        max=_place(situation, "replicas", "max"),
        rules=_place(situation, "rules"),
        guards=_place(situation, "guards"),
        rule_at=_place(situation, "rules", why.rule or ""),
        flap_guard=_place(situation, "flap_guard"),
        on_starved=_place(situation, "on_starved"),
        schedule=schedule,
        schedule_at=_place(situation, "schedules", schedule),
    )


def _place(situation: Situation, *keys: str) -> str:
    """Return where the part of the policy at *keys* is written, or the policy's name if that is not known."""
    places = situation.places
    return f"policy {situation.policy.name}" if places is None else str(places.of(*keys))
