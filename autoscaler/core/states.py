"""The states of services that operators filter by. A service can be in several, or in none."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.core.records import Record

HOUR = 3600.0
"""Seconds for which a change counts as recent."""
_NOT_DONE = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.CONFLICT})
_MISCONFIGURED = frozenset({Reason.POLICY_CONFLICT, Reason.UNSUPPORTED_MODE, Reason.SERVICE_NOT_FOUND})


class State(StrEnum):
    """A state of a service that operators filter by, the most urgent first."""

    FAILING = "failing"
    MISCONFIGURED = "misconfigured"
    LACKS_DATA = "lacks_data"
    NO_ROOM = "no_room"
    AT_MAXIMUM = "at_maximum"
    INEFFECTIVE = "ineffective"
    PAUSED = "paused"
    HELD = "held"
    CHANGED = "changed"

    @property
    def meaning(self) -> str:
        """Return the one meaning of this state, as the documentation prints it."""
        return _MEANINGS[self]

    @property
    def needs_attention(self) -> bool:
        """Return whether an operator should look at a service in this state."""
        return self not in {State.HELD, State.CHANGED}


_MEANINGS = {
    State.FAILING: "the last write to the service failed, was not confirmed, or met somebody else's change",
    State.MISCONFIGURED: "a policy means the service and cannot be applied to it",
    State.LACKS_DATA: "a rule of the service lacks data to judge by",
    State.NO_ROOM: "Swarm finds no room for replicas of the service",
    State.AT_MAXIMUM: "the count is at the maximum, which is above the minimum, and rules want more",
    State.INEFFECTIVE: "the last increases did not help, so no more replicas are added",
    State.PAUSED: "changes of the service are paused, in one direction or in both",
    State.HELD: "the last decision was held",
    State.CHANGED: "the count was changed within the last hour",
}


def states(record: Record) -> tuple[State, ...]:
    """Return the states that *record* shows, the most urgent first."""
    return tuple(_states(record))


def _states(record: Record) -> Iterator[State]:
    decision = record.decision
    if record.outcome in _NOT_DONE:
        yield State.FAILING
    if decision.primary.reason in _MISCONFIGURED:
        yield State.MISCONFIGURED
    if any(item.lacks_data for item in decision.recommendations):
        yield State.LACKS_DATA
    if decision.unplaced or decision.primary.reason is Reason.NO_ROOM:
        yield State.NO_ROOM
    if wants_more(record):
        yield State.AT_MAXIMUM
    if decision.primary.reason is Reason.INEFFECTIVE:
        yield State.INEFFECTIVE
    if record.paused:
        yield State.PAUSED
    if record.outcome is Outcome.HELD:
        yield State.HELD
    if record.last_change is not None and decision.at - record.last_change.at <= HOUR:
        yield State.CHANGED


def wants_more(record: Record) -> bool:
    """Return whether the service is at its maximum and its rules want more.

    A service that is pinned, with a minimum as high as its maximum, is as its operator wants it.
    """
    decision = record.decision
    most = decision.maximum
    if most is None or decision.minimum == most or decision.requested < most:
        return False
    return decision.recommended > decision.requested
