"""The values that the steps of a decision pass on: the case they judge, and the count that each leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoscaler.core.model import History, Observation, Recommendation, Why
    from autoscaler.policy.policy import Bounds, Policy
    from autoscaler.strategies import Rule


@dataclass(frozen=True, slots=True)
class Case:
    """All that a step may look at, besides the count that it is given."""

    policy: Policy
    observation: Observation
    history: History
    bounds: Bounds
    """The bounds in force at the time of the observation."""
    recommendations: tuple[Recommendation, ...] = ()
    winner: Recommendation | None = None
    """The recommendation that the rules resolved to; None if no rule asks for a count."""

    @property
    def asking(self) -> Rule | None:
        """Return the rule of the winning recommendation; None if no rule asks for a count."""
        return None if self.winner is None else self.policy.rule(self.winner.rule)

    @property
    def requested(self) -> int:
        """Return the count in the service's spec."""
        return self.observation.requested


@dataclass(frozen=True, slots=True)
class Step:
    """A count, the reason if it is not the count that the step was given, and whether the step holds a change."""

    count: int
    why: Why | None = None
    held: bool = False
