"""The words of the autoscaler as frozen values: reasons, scale events, observations, recommendations, decisions.

Times are Unix seconds as floats, replica counts are whole numbers. Nothing here reads a clock or does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.window import Window


class Reason(StrEnum):
    """The closed set of reasons, each with one meaning; also the metric label and the CSS class."""

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
    STABILIZED = "stabilized"
    STEP_LIMITED = "step_limited"
    WOULD_FLAP = "would_flap"
    COOLING_DOWN = "cooling_down"
    TOO_FEW_REPLICAS = "too_few_replicas"
    TOO_MANY_REPLICAS = "too_many_replicas"
    SCHEDULE_BOUNDS = "schedule_bounds"
    PAUSED = "paused"
    ROLLOUT_IN_PROGRESS = "rollout_in_progress"
    TASKS_PENDING = "tasks_pending"
    SCALED_TO_ZERO = "scaled_to_zero"
    CHANGED_EXTERNALLY = "changed_externally"
    POLICY_CONFLICT = "policy_conflict"
    UNSUPPORTED_MODE = "unsupported_mode"
    SERVICE_NOT_FOUND = "service_not_found"

    @property
    def meaning(self) -> str:
        """The one meaning of this reason, as documentation and pages print it."""
        return _MEANINGS[self]

    @property
    def lacks_data(self) -> bool:
        """Whether it says that a rule could not judge: missing, stale, partial or incomplete samples."""
        return self in _DATA_REASONS


_MEANINGS = {
    Reason.ABOVE_THRESHOLD: "every sample of the window was above the rule's bound",
    Reason.BELOW_THRESHOLD: "every sample of the window was below the rule's bound",
    Reason.ABOVE_TARGET: "more replicas are needed to bring the metric down to its target",
    Reason.BELOW_TARGET: "fewer replicas suffice to keep the metric at its target",
    Reason.WITHIN_TOLERANCE: "the metric is near enough to its target",
    Reason.STEP_MATCHED: "the metric is beyond the bound, in the interval of one of the rule's steps",
    Reason.TABLE_VALUE: "the rule's table gives a count for the metric's value",
    Reason.NO_BREACH: "no rule asked for a change",
    Reason.NO_DATA: "the metric has no sample in the window",
    Reason.STALE_DATA: "the metric has samples in the window, but not the newest one",
    Reason.PARTIAL_DATA: "fewer tasks report than have run longer than the warm-up",
    Reason.WINDOW_INCOMPLETE: "the window does not reach back far enough, or has two neighbouring samples missing",
    Reason.STABILIZED: "a lesser change was recommended within the direction's stabilization window",
    Reason.STEP_LIMITED: "the policy's limits allow no larger change in their periods",
    Reason.WOULD_FLAP: "fewer replicas would carry so much load each that a rule would add them again",
    Reason.COOLING_DOWN: "the last change is younger than the policy's cooldown in this direction",
    Reason.TOO_FEW_REPLICAS: "the policy's minimum asks for more replicas",
    Reason.TOO_MANY_REPLICAS: "the policy's maximum allows no more replicas",
    Reason.SCHEDULE_BOUNDS: "a schedule's minimum or maximum is in force and decides",
    Reason.PAUSED: "the policy is paused in this direction",
    Reason.ROLLOUT_IN_PROGRESS: "a rolling update or rollback runs, is paused, or has only just been deployed",
    Reason.TASKS_PENDING: "replicas that were asked for before do not run yet",
    Reason.SCALED_TO_ZERO: "somebody set the service to 0 replicas; it stays there until somebody raises it",
    Reason.CHANGED_EXTERNALLY: "somebody else changed the count; it is adopted, and starts the cooldown",
    Reason.POLICY_CONFLICT: "two policies match the service with equal rank; it is left as it is",
    Reason.UNSUPPORTED_MODE: "the service is global or a job; only replicated services are scaled",
    Reason.SERVICE_NOT_FOUND: "a policy names a service that Swarm does not have",
}

_DATA_REASONS = frozenset({Reason.NO_DATA, Reason.STALE_DATA, Reason.PARTIAL_DATA, Reason.WINDOW_INCOMPLETE})


class Direction(StrEnum):
    """The way a count moves."""

    UP = "up"
    DOWN = "down"


class Outcome(StrEnum):
    """What became of a decision."""

    APPLIED = "applied"
    DRY_RUN = "dry_run"
    UNCHANGED = "unchanged"
    HELD = "held"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, order=True)
class ScaleEvent:
    """A change of a service's requested replicas, whoever made it."""

    at: float
    before: int
    after: int

    @property
    def direction(self) -> Direction:
        """Up where the count rose, else down."""
        return Direction.UP if self.after > self.before else Direction.DOWN


@dataclass(frozen=True, slots=True, order=True)
class Recommended:
    """What the rules of a policy resolved to at an earlier evaluation, before stabilization."""

    at: float
    replicas: int


@dataclass(frozen=True, slots=True)
class History:
    """What changed a service's replica count before now, and what was recommended, oldest first."""

    events: tuple[ScaleEvent, ...] = ()
    recommended: tuple[Recommended, ...] = ()

    def last(self, direction: Direction | None = None) -> ScaleEvent | None:
        """The newest event, or the newest in *direction*; None where there is none."""
        for event in reversed(self.events):
            if direction is None or event.direction is direction:
                return event
        return None

    def with_event(self, event: ScaleEvent) -> History:
        """This history and one more event, still in the order of time."""
        return History(tuple(sorted({*self.events, event})), self.recommended)


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of one service at one evaluation: all that a decision may depend on beside policy and history."""

    service: str
    at: float
    requested: int
    running: int
    windows: Mapping[str, Window] = field(default_factory=dict)
    """The window of each metric that a rule names; a metric that is absent has no data."""
    expected: int = 0
    """How many tasks have run longer than WARMUP at the windows' end, and so must be reporting."""
    mode: str = "replicated"
    rollout: str = ""
    """Why the service counts as rolling out, in words; empty where it does not."""
    pending: str = ""
    """What Swarm says of the replicas that do not run, with their age; empty where it says nothing."""
    stuck: bool = False
    """Whether replicas that do not run have no room, fail, or have been starting for longer than is usual."""
    changed_externally: str = ""
    """The outside change that this evaluation adopted, in words; empty where there was none."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What one rule makes of its window: a count it asks for, no opinion, or lacking data."""

    rule: str
    reason: Reason
    replicas: int | None = None
    """The count asked for; None where the rule has no opinion or lacks data."""
    value: float | None = None
    """The newest sample; None where it is missing."""
    detail: str = ""
    relative: bool = False
    """Whether the rule asks for so many replicas more or fewer, and not for a count of its own making."""
    group: str | None = None
    """The rules that must agree with this one to scale down."""

    @property
    def lacks_data(self) -> bool:
        """Whether the rule could not judge."""
        return self.reason.lacks_data


@dataclass(frozen=True, slots=True)
class Why:
    """One reason that shaped a decision, with its facts in words, and the rule it came from, if any."""

    reason: Reason
    detail: str = ""
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The count a policy resolves to for a service, with every reason that shaped it."""

    service: str
    policy: str
    at: float
    requested: int
    running: int
    desired: int
    primary: Why
    """The last step that changed or held the number, else the winning rule's, else a data reason, else no breach."""
    reasons: tuple[Why, ...]
    recommendations: tuple[Recommendation, ...] = ()
    held: bool = False
    """Whether a change was wanted, or could not be judged, and the count stays as it is."""
    recommended: int = 0
    """What the rules resolved to, before the steps that followed."""

    @property
    def changes(self) -> bool:
        """Whether the count is to change."""
        return self.desired != self.requested
