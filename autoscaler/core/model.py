"""The autoscaler's basic values, frozen: scale events, observations, recommendations, decisions.

Times are Unix seconds as floats, replica counts are whole numbers. Nothing here reads a clock or does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.reasons import Reason
    from autoscaler.core.window import Window


BY_OPERATOR = "operator"
BY_DEPLOY = "deploy"
"""What a `ScaleEvent` has for its reason if somebody else made the change."""


class Direction(StrEnum):
    """The direction in which a count changes."""

    UP = "up"
    DOWN = "down"


class Outcome(StrEnum):
    """The result of a decision."""

    APPLIED = "applied"
    DRY_RUN = "dry_run"
    UNCHANGED = "unchanged"
    HELD = "held"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, order=True)
class ScaleEvent:
    """A change of a service's requested replicas, by the autoscaler or by somebody else."""

    at: float
    before: int
    after: int
    by_others: bool = field(default=False, compare=False)
    """Whether somebody else made the change: an operator or a stack deploy. Comparisons leave this field out."""
    reason: str = field(default="", compare=False)
    """The primary reason of the decision that made the change; BY_OPERATOR or BY_DEPLOY if somebody else made it; empty
    if it is not known. It is text, because a later version may have other reasons. Comparisons leave it out too."""
    rule: str = field(default="", compare=False)
    """The rule behind the change; empty if there was none, or it is not known. Comparisons leave it out too."""
    proposed: bool = field(default=False, compare=False)
    """True if a dry-run would have made the change, so that nothing changed. Comparisons leave it out too."""

    @property
    def direction(self) -> Direction:
        """Return UP if the count rose, else DOWN."""
        return Direction.UP if self.after > self.before else Direction.DOWN

    def caused_by(self, reason: str, rule: str) -> ScaleEvent:
        """Return this change with the *reason* and the *rule* behind it."""
        return replace(self, reason=reason, rule=rule)


@dataclass(frozen=True, slots=True, order=True)
class Recommended:
    """The count that a policy's rules resolved to at an earlier evaluation, before stabilization."""

    at: float
    replicas: int


@dataclass(frozen=True, slots=True)
class ScaleUpStreak:
    """Increases in a row that one rule made and that did not lower its metric."""

    rule: str
    steps: int
    value: float
    """The metric's value before the first increase."""


@dataclass(frozen=True, slots=True)
class History:
    """The earlier changes of a service's replica count, and the earlier recommendations, oldest first."""

    events: tuple[ScaleEvent, ...] = ()
    recommended: tuple[Recommended, ...] = ()
    judged_at: float | None = None
    """The last time at which a rule had data to judge by, or else that of the first look; None before the first
    look."""
    streak: ScaleUpStreak | None = None
    """The streak of increases since the count was last lowered; None if there is none."""
    asked: int | None = None
    """The count that somebody else last asked for, or a lower one since. The autoscaler added the replicas above it."""
    gave_back: float | None = None
    """The last time at which replicas without room were given back; None if that never happened."""

    def last(self, direction: Direction | None = None, *, by_others: bool = False) -> ScaleEvent | None:
        """Return the newest event, optionally only in *direction* or only *by_others*; None if there is none."""
        for event in reversed(self.events):
            if (direction is None or event.direction is direction) and (event.by_others or not by_others):
                return event
        return None


@dataclass(frozen=True, slots=True)
class Observation:
    """The facts about one service at one evaluation. A decision depends only on these, the policy and the history."""

    service: str
    at: float
    requested: int
    running: int
    windows: Mapping[str, Window] = field(default_factory=dict)
    """The window of each metric that a rule or a guard names; a metric that is absent has no data."""
    mode: str = "replicated"
    rollout: str = ""
    """Why the service counts as rolling out, in words; empty if it does not."""
    rollout_until: float | None = None
    """When a service that was just deployed has settled, Unix seconds; None if that is not known."""
    pending: str = ""
    """Swarm's message on the replicas that do not run, with their age; empty if there is none."""
    stuck: bool = False
    """Whether replicas that do not run have no room, fail, or take longer than usual to start."""
    unplaced_since: tuple[float, ...] = ()
    """The time since which each replica without a node has been waiting."""
    standby: str = ""
    """Why this autoscaler must not act, in words; empty if it holds the lease or needs none."""
    paused: Mapping[Direction, str] = field(default_factory=dict)
    """Who paused changes of the service at run time, and why, in words; only for the directions that are paused."""
    paused_until: Mapping[Direction, float] = field(default_factory=dict)
    """When each run-time pause ends by itself, Unix seconds; without the directions whose pause has no end."""
    changed_externally: str = ""
    """The outside change that this evaluation adopted, in words; empty if there was none."""
    lowered_from: int | None = None
    """The count before a deploy lowered it, if it was not set again yet; None if no deploy did."""
    asleep: bool = False
    """Whether the service has 0 replicas because the autoscaler set it to 0, and nobody else."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer of one rule about its window: a count that it asks for, no opinion, or a lack of data."""

    rule: str
    reason: Reason
    replicas: int | None = None
    """The count asked for; None if the rule has no opinion or lacks data."""
    value: float | None = None
    """The newest sample; None if it is missing."""
    seen: str = ""
    """The metric and its value in words, like ``cpu 60 %``; or the whole message of the rule."""
    bound: str = ""
    """The bound that the value is compared with, in words, like ``not above 70 % for 5m``."""
    relative: bool = False
    """Whether the rule asks for a number of replicas more or fewer, and not for a count that it computed."""
    group: str | None = None
    """The rules that must agree with this one to scale down."""
    doubt: Why | None = None
    """Why these samples must not justify a scale-down although none is missing; None if they may."""

    @property
    def detail(self) -> str:
        """Return `seen` and `bound` in one text: ``cpu 60 %, not above 70 % for 5m``."""
        return f"{self.seen}, {self.bound}" if self.bound else self.seen

    @property
    def lacks_data(self) -> bool:
        """Return whether the rule lacked the data to judge by."""
        return self.reason.lacks_data

    def of_rule(self, *, relative: bool, group: str | None, doubt: Why | None = None) -> Recommendation:
        """Return this recommendation with the facts about its rule and its samples that the decision needs.

        `replace` is not used, because it takes five times as long. A thousand services have about four thousand
        recommendations.
        """
        return Recommendation(
            self.rule, self.reason, self.replicas, self.value, self.seen, self.bound, relative, group, doubt
        )


@dataclass(frozen=True, slots=True)
class Why:
    """One reason that shaped a decision, with its facts in words, and the rule it came from, if any."""

    reason: Reason
    detail: str = ""
    rule: str | None = None
    until: float | None = field(default=None, compare=False)
    """When the hold ends by itself, Unix seconds; None if that is not known. Comparisons leave this field out."""


@dataclass(frozen=True, slots=True)
class TakenStep:
    """One step of a decision: the count after it, and the reason if the step changed or held it."""

    name: str
    count: int
    why: Why | None = None


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
    """The reason of the last step that changed or held the count, else the winning rule's, else that of a lack of data,
    else `no_breach`."""
    reasons: tuple[Why, ...]
    recommendations: tuple[Recommendation, ...] = ()
    path: tuple[TakenStep, ...] = ()
    """The count after each step, from the rules to the gates."""
    held: bool = False
    """Whether the count stays although a change was wanted, or could not be judged."""
    recommended: int = 0
    """The count that the rules resolved to, before the later steps."""
    streak: ScaleUpStreak | None = None
    """The streak of increases to remember once the decision is carried out."""
    unplaced: int = 0
    """Replicas that Swarm has found no node for."""
    gives_back: bool = False
    """Whether the decision lowers the count because Swarm finds no room, perhaps among other reasons."""
    minimum: int | None = None
    """The least count allowed at that time, schedules included; None if no policy could be applied."""
    maximum: int | None = None
    """The largest count allowed at that time; None as in `minimum`."""

    @property
    def judged(self) -> bool:
        """Return whether a rule had data to judge by, or no rule was asked (none is there, or the service sleeps)."""
        return not self.recommendations or not all(item.lacks_data for item in self.recommendations)

    @property
    def cause(self) -> tuple[str, str]:
        """Return the primary reason and the rule behind it, as a change keeps them; the rule may be empty."""
        return self.primary.reason.value, self.primary.rule or ""

    @property
    def changes(self) -> bool:
        """Return whether the count is to change."""
        return self.desired != self.requested
