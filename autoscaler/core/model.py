"""The words of the autoscaler as frozen values: scale events, observations, recommendations, decisions.

Times are Unix seconds as floats, replica counts are whole numbers. Nothing here reads a clock or does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.reasons import Reason
    from autoscaler.core.window import Window


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
    by_others: bool = field(default=False, compare=False)
    """Whether somebody else made it: an operator, a stack deploy. Two that differ in this alone are the same change."""

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
class ScaleUpStreak:
    """Increases in a row that one rule made and that did not lower its metric."""

    rule: str
    steps: int
    value: float
    """The metric before the first of them."""


@dataclass(frozen=True, slots=True)
class History:
    """What changed a service's replica count before now, and what was recommended, oldest first."""

    events: tuple[ScaleEvent, ...] = ()
    recommended: tuple[Recommended, ...] = ()
    judged_at: float | None = None
    """When a rule could last judge by its data, or else the first look was; None where there was no look before."""
    streak: ScaleUpStreak | None = None
    """What the increases since the count was last lowered have come to; None where none goes on."""
    asked: int | None = None
    """The count that somebody else asked for last, or the lowest since; what is above it, the autoscaler added."""
    gave_back: float | None = None
    """When replicas were last given back for want of room; None where none were."""

    def last(self, direction: Direction | None = None, *, by_others: bool = False) -> ScaleEvent | None:
        """The newest event, or the newest in *direction*, or of those *by_others* alone; None where there is none."""
        for event in reversed(self.events):
            if (direction is None or event.direction is direction) and (event.by_others or not by_others):
                return event
        return None


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of one service at one evaluation: all that a decision may depend on beside policy and history."""

    service: str
    at: float
    requested: int
    running: int
    windows: Mapping[str, Window] = field(default_factory=dict)
    """The window of each metric that a rule or a guard names; a metric that is absent has no data."""
    mode: str = "replicated"
    rollout: str = ""
    """Why the service counts as rolling out, in words; empty where it does not."""
    pending: str = ""
    """What Swarm says of the replicas that do not run, with their age; empty where it says nothing."""
    stuck: bool = False
    """Whether replicas that do not run have no room, fail, or have been starting for longer than is usual."""
    unplaced_since: tuple[float, ...] = ()
    """Since when each replica waits that Swarm has found no node for."""
    standby: str = ""
    """Why this autoscaler must not act, in words; empty where it may: it holds the lease, or needs none."""
    paused: Mapping[Direction, str] = field(default_factory=dict)
    """Who paused changes of the service at run time, and why, in words, by direction; without those that are not."""
    changed_externally: str = ""
    """The outside change that this evaluation adopted, in words; empty where there was none."""
    lowered_from: int | None = None
    """The count that a deploy lowered and that was not set again yet; None where none did."""
    asleep: bool = False
    """Whether the service has 0 replicas because the autoscaler set it to 0, and nobody else."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What one rule makes of its window: a count it asks for, no opinion, or lacking data."""

    rule: str
    reason: Reason
    replicas: int | None = None
    """The count asked for; None where the rule has no opinion or lacks data."""
    value: float | None = None
    """The newest sample; None where it is missing."""
    seen: str = ""
    """The metric and its value in words, as ``cpu 60 %``; or all that the rule has to say."""
    bound: str = ""
    """What the value is held against, and what follows, in words, as ``not above 70 % for 5m``."""
    relative: bool = False
    """Whether the rule asks for so many replicas more or fewer, and not for a count of its own making."""
    group: str | None = None
    """The rules that must agree with this one to scale down."""
    doubt: Why | None = None
    """Why these samples must not justify a scale-down although none is missing; None if they may."""

    @property
    def detail(self) -> str:
        """Both in one text: ``cpu 60 %, not above 70 % for 5m``."""
        return f"{self.seen}, {self.bound}" if self.bound else self.seen

    @property
    def lacks_data(self) -> bool:
        """Whether the rule could not judge."""
        return self.reason.lacks_data

    def of_rule(self, *, relative: bool, group: str | None, doubt: Why | None = None) -> Recommendation:
        """This recommendation with what the decision must know of its rule and of its samples.

        Not by `replace`, which takes five times as long: a thousand services have some four thousand of them.
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
    """The last step that changed or held the number, else the winning rule's, else a data reason, else no breach."""
    reasons: tuple[Why, ...]
    recommendations: tuple[Recommendation, ...] = ()
    path: tuple[TakenStep, ...] = ()
    """The count after each step, from what the rules ask for to what the gates leave."""
    held: bool = False
    """Whether a change was wanted, or could not be judged, and the count stays as it is."""
    recommended: int = 0
    """What the rules resolved to, before the steps that followed."""
    streak: ScaleUpStreak | None = None
    """What to remember of the increases in a row, once the decision is carried out."""
    unplaced: int = 0
    """Replicas that Swarm has found no node for."""
    gives_back: bool = False
    """Whether it lowers the count because Swarm finds no room, whatever else may lower it too."""

    @property
    def judged(self) -> bool:
        """Whether at least one rule had the data to judge by, or none was asked: there are none, or it sleeps."""
        return not self.recommendations or not all(item.lacks_data for item in self.recommendations)

    @property
    def changes(self) -> bool:
        """Whether the count is to change."""
        return self.desired != self.requested
