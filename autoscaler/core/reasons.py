"""The closed set of reasons that a decision can have."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The closed set of reasons, each with one meaning. The metrics use them as label values."""

    ABOVE_THRESHOLD = "above_threshold"
    BELOW_THRESHOLD = "below_threshold"
    ABOVE_TARGET = "above_target"
    BELOW_TARGET = "below_target"
    WITHIN_TOLERANCE = "within_tolerance"
    STEP_MATCHED = "step_matched"
    TABLE_VALUE = "table_value"
    NO_BREACH = "no_breach"
    NO_DATA = "no_data"
    STALE_DATA = "stale_data"
    PARTIAL_DATA = "partial_data"
    WINDOW_INCOMPLETE = "window_incomplete"
    STARVED = "starved"
    STABILIZED = "stabilized"
    STEP_LIMITED = "step_limited"
    WOULD_FLAP = "would_flap"
    COOLING_DOWN = "cooling_down"
    BELOW_MIN = "below_min"
    ABOVE_MAX = "above_max"
    AT_MIN = "at_min"
    AT_MAX = "at_max"
    SCHEDULE_BOUNDS = "schedule_bounds"
    PAUSED = "paused"
    ROLLOUT_IN_PROGRESS = "rollout_in_progress"
    TASKS_PENDING = "tasks_pending"
    NO_ROOM = "no_room"
    GUARD = "guard"
    NOT_LEADER = "not_leader"
    INEFFECTIVE = "ineffective"
    SCALED_TO_ZERO = "scaled_to_zero"
    RESTORED_AFTER_DEPLOY = "restored_after_deploy"
    CHANGED_EXTERNALLY = "changed_externally"
    FALLBACK = "fallback"
    POLICY_CONFLICT = "policy_conflict"
    UNSUPPORTED_MODE = "unsupported_mode"
    SERVICE_NOT_FOUND = "service_not_found"

    @property
    def meaning(self) -> str:
        """Return the one meaning of this reason, as the documentation prints it."""
        return _MEANINGS[self]

    @property
    def lacks_data(self) -> bool:
        """Return whether the reason is that a rule could not judge: missing, stale, partial or incomplete samples."""
        return self in _DATA_REASONS


_MEANINGS = {
    Reason.ABOVE_THRESHOLD: "every sample of the window was above the rule's bound",
    Reason.BELOW_THRESHOLD: "every sample of the window was below the rule's bound",
    Reason.ABOVE_TARGET: "more replicas are needed to bring the metric down to its target",
    Reason.BELOW_TARGET: "fewer replicas suffice to keep the metric at its target",
    Reason.WITHIN_TOLERANCE: "the metric is near enough to its target",
    Reason.STEP_MATCHED: "the metric is beyond the bound, and one of the rule's steps covers its distance from it",
    Reason.TABLE_VALUE: "the rule's table gives a count for the metric's value",
    Reason.NO_BREACH: "no rule asked for a change",
    Reason.NO_DATA: "the metric has no sample in the window, or a plugin's strategy failed",
    Reason.STALE_DATA: "the window has samples, but the newest one is missing",
    Reason.PARTIAL_DATA: "the number of reporting tasks does not match the number of running tasks",
    Reason.WINDOW_INCOMPLETE: "the window does not reach back far enough, or two neighbouring samples are missing",
    Reason.STARVED: "the service uses little CPU, but its node has no CPU to spare, so it may not be idle",
    Reason.STABILIZED: "a smaller change was recommended within the stabilization window of this direction",
    Reason.STEP_LIMITED: "the policy's limits (the most that may change within a period) allow no larger change now",
    Reason.WOULD_FLAP: "after the removal each replica would carry so much load that a rule would add replicas again",
    Reason.COOLING_DOWN: "the last change is younger than the policy's cooldown in this direction",
    Reason.BELOW_MIN: "the count is below the minimum, and is corrected",
    Reason.ABOVE_MAX: "the count is above the maximum, and is corrected",
    Reason.AT_MIN: "fewer replicas are wanted than the minimum; the count goes no lower (an idle service)",
    Reason.AT_MAX: "more replicas are wanted than the maximum; the count goes no higher",
    Reason.SCHEDULE_BOUNDS: "a schedule's minimum or maximum is in force and decides the count",
    Reason.PAUSED: "the policy or an operator paused changes in this direction, or the pauses in Swarm cannot be read",
    Reason.ROLLOUT_IN_PROGRESS: "a rolling update or rollback runs or is paused, or the service was just deployed",
    Reason.TASKS_PENDING: "replicas that were requested earlier do not run yet",
    Reason.NO_ROOM: "Swarm found no room for added replicas; they are removed again now, or were removed recently",
    Reason.GUARD: "a guard forbids the change: its metric is beyond its bound, or is not known",
    Reason.NOT_LEADER: "another autoscaler of this Swarm is the leader (it holds the lease); this one is on standby",
    Reason.INEFFECTIVE: "the rule's last increases did not lower its metric, so it adds no more",
    Reason.SCALED_TO_ZERO: "somebody set the service to 0 replicas; it stays there until somebody raises it",
    Reason.RESTORED_AFTER_DEPLOY: "a stack deploy lowered the count, and the autoscaler sets the earlier count again",
    Reason.CHANGED_EXTERNALLY: "somebody else changed the count (it is adopted and starts the cooldown) or our label",
    Reason.FALLBACK: "every rule has lacked data for the fallback's time, so the fallback asks for more replicas",
    Reason.POLICY_CONFLICT: (
        "two policies match the service with equal rank, its labels are wrong, or another program scales it; "
        "the service is left alone"
    ),
    Reason.UNSUPPORTED_MODE: "the service is global or a job; only replicated services are scaled",
    Reason.SERVICE_NOT_FOUND: "a policy names a service that Swarm does not have",
}

_DATA_REASONS = frozenset({Reason.NO_DATA, Reason.STALE_DATA, Reason.PARTIAL_DATA, Reason.WINDOW_INCOMPLETE})
