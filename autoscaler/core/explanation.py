"""The explanation of one decision, as values: what was seen and decided, and what would change the count next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoscaler.core.model import Direction, Outcome, ScaleEvent
    from autoscaler.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule: what it saw, what it compares that with, and what it asks for."""

    rule: str
    metric: str
    reason: Reason
    saw: str
    """The newest value with its unit, rounded: ``100 %``; empty if it is missing."""
    value: float | None
    base: str
    """What 100 % is, in words; empty if the metric is not a share of anything."""
    bound: str
    """What the value is compared with, in words: ``above 70 % for 45s``."""
    asks: int | None
    """The count asked for; None if the rule has no opinion or lacks data."""
    since: float | None
    """Since when the metric has been beyond the bound without a break, Unix seconds; None if it is not beyond it."""
    since_or_earlier: bool
    """Whether the window begins with `since`, so that it may be longer ago."""
    samples: int
    """Samples of the rule's time that are there."""
    expected: int
    """Samples of the rule's time that there should be."""
    decides: bool
    """Whether the rules resolved to the count of this one."""
    lack: str
    """Why the rule lacks data, in words; empty if it has data."""
    written: str
    """Where the rule is written: ``shop.yml:14``; empty if that is not known."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a metric must do for a change to come."""

    metric: str
    rule: str
    """The rule or the guard that looks at the metric."""
    side: str
    """``above``, ``below``, ``from`` or ``up to`` the bound; ``at`` if the metric must stay as it is."""
    bound: float
    unit: str
    lasting: int
    """For how many seconds."""
    already: bool = False
    """Whether the newest value fulfils the condition, so that it must only stay so."""


@dataclass(frozen=True, slots=True)
class Chance:
    """The next change in one direction, as far as it can be known."""

    direction: Direction
    at: float | None = None
    """The earliest moment, Unix seconds; None if no change can come by itself."""
    count: int | None = None
    """The count after it; None if that depends on values that are not known yet."""
    expected: bool = False
    """Whether the change comes at that moment if all metrics stay as they are."""
    conditions: tuple[Condition, ...] = ()
    """What metrics must do, all of it."""
    requires: tuple[str, ...] = ()
    """What else must happen before, in words. The moment counts from the next evaluation as if it had happened."""
    obstacle: str = ""
    """Why no change can come by itself, in words."""
    otherwise: tuple[Chance, ...] = ()
    """The same change by other rules, each with its own conditions, the earliest first."""


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """One step of the decision: the count after it, and the reason if the step changed or held it."""

    name: str
    count: int
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, explained."""

    service: str
    policy: str
    at: float
    outcome: Outcome
    reason: Reason
    verdict: str
    """One or two sentences: the count, and why it changes or stays."""
    requested: int
    running: int
    desired: int
    minimum: int | None
    maximum: int | None
    attention: str
    """Why somebody should look at the service, in words; empty if nothing needs attention."""
    rules: tuple[RuleRow, ...] = ()
    steps: tuple[ExplainedStep, ...] = ()
    chances: tuple[Chance, ...] = ()
    """The next change up and the next one down; empty if the service is not scaled at all."""
    sooner: str = ""
    """The command, or the line of a policy, that would change the count at once."""
    written: str = ""
    """Where the policy is written."""
    before: tuple[ScaleEvent, ...] = ()
    """The last changes, newest first."""
