"""The directions in which a rule may change a count, as its keys tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Direction
from autoscaler.strategies import Steps, Threshold

if TYPE_CHECKING:
    from autoscaler.strategies import Rule
    from autoscaler.strategies.steps import StepAdjustment


def ways(rule: Rule) -> frozenset[Direction]:
    """Return the directions in which *rule* may change a count."""
    match rule:
        case Threshold():
            return frozenset({Direction.DOWN if rule.add is None else Direction.UP})
        case Steps():
            return frozenset(way for step in rule.steps for way in ways_of_step(step))
        case _:
            return frozenset(Direction)


def ways_of_step(step: StepAdjustment) -> list[Direction]:
    """Return the directions in which one of several steps may change a count."""
    possible = {Direction.UP: step.remove is None, Direction.DOWN: step.add is None}
    return [way for way in Direction if possible[way]]
