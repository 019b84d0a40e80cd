"""Since when services are in their states, since when problems last, and how often services were scaled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.core.model import Direction, Outcome
from autoscaler.core.states import State, states

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from autoscaler.core.records import Problem, Record

_MOMENTARY = frozenset({State.CHANGED})


@dataclass(slots=True)
class Marks:
    """What the journal remembers of services and problems beyond their newest records. Not thread-safe."""

    since: dict[str, Mapping[State, float]] = field(default_factory=dict)
    """Since when a service has been in each of its states, Unix seconds; services without a state are absent."""
    scaled: dict[tuple[str, Direction, str], int] = field(default_factory=dict)
    """How often each service was scaled, by service, direction and rule; the rule is empty if none decided. What never
    happened is absent."""
    problems: dict[tuple[str, str], float] = field(default_factory=dict)
    """Since when each problem lasts, Unix seconds, by kind and subject."""

    def note(self, record: Record) -> None:
        """Take note of the newest *record* of a service."""
        decision = record.decision
        service = decision.service
        shown = [state for state in states(record) if state not in _MOMENTARY]
        if shown:
            before = self.since.get(service, {})
            self.since[service] = {state: before.get(state, decision.at) for state in shown}
        else:
            self.since.pop(service, None)
        if record.outcome is Outcome.APPLIED:
            direction = Direction.UP if decision.desired > decision.requested else Direction.DOWN
            key = (service, direction, decision.primary.rule or "")
            self.scaled[key] = self.scaled.get(key, 0) + 1

    def note_problems(self, problems: Iterable[Problem], at: float) -> None:
        """Take note of the *problems* that last at *at*."""
        self.problems = {problem.key: self.problems.get(problem.key, at) for problem in problems}

    def forget_all_but(self, services: set[str]) -> None:
        """Forget services that no policy applies to any more."""
        self.since = {name: marks for name, marks in self.since.items() if name in services}
        self.scaled = {key: count for key, count in self.scaled.items() if key[0] in services}
