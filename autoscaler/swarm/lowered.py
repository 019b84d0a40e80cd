"""Counts that a `docker stack deploy` lowered, which are set again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autoscaler.swarm.cluster import STATE_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.swarm.cluster import ServiceView
    from autoscaler.swarm.scale_state import ScaleState

_REPAIRED_WITHIN = 3600.0
"""Seconds after a deploy in which the count that it lowered is set again."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """A count that a `docker stack deploy` lowered, to be set again."""

    at: float
    """When the deploy was, Unix seconds."""
    before: int
    """The count before the deploy."""
    after: int
    """The count in the deployed file."""


def lowered_by_deploy(
    view: ServiceView, said: Mapping[str, ScaleState | None], now: float, *, ours: bool
) -> Lowered | None:
    """Return the deploy that lowered the count less than an hour ago, as the service itself shows it; None if none did.

    Our label is gone, or older than in PreviousSpec, and the count is lower and not 0. An operator's scale keeps the
    label, and a scale to 0 is intended (docs/facts.md#who-changed-the-count). If the deploy before dropped the
    label already, a service that was *ours* shows a deploy by what its tasks are made from.
    """
    before = view.before
    if before is None or before.requested is None or not 0 < view.requested < before.requested:
        return None
    own, previous = said[view.labels.get(STATE_LABEL, "")], said[before.state]
    if previous is None and not (ours and own is None and view.template_changed):
        return None
    if previous is not None and own is not None and own.newest >= previous.newest:
        return None
    if now - view.updated_at >= _REPAIRED_WITHIN:
        return None
    return Lowered(view.updated_at, before.requested, view.requested)


def lowered_between(view: ServiceView, known: int | None, label: ScaleState | None, now: float) -> Lowered | None:
    """Return what the first of several deploys changed since the last look; None if there was no such deploy.

    *known* is the count and *label* our label as they were at the last look. Swarm no longer shows that change, because
    a later deploy replaced the previous spec. Our label was there and is gone, also from PreviousSpec, and the count in
    PreviousSpec is lower than the one last seen. If that count is not lower, only the last update lowered the count,
    and `lowered_by_deploy` judges it.
    """
    before = view.before
    if before is None or before.requested is None or known is None or now - view.updated_at >= _REPAIRED_WITHIN:
        return None
    gone = label and not view.labels.get(STATE_LABEL) and not before.state
    if not gone or not 0 < before.requested < known or not 0 < view.requested < known:
        return None
    return Lowered(view.updated_at, known, view.requested)


def still_lowered(view: ServiceView, lowered: Lowered | None, now: float) -> Lowered | None:
    """Return what is left of the reduction by an earlier deploy.

    Another deploy leaves the reduction, and makes Swarm forget the count before it. A scale, ours or an operator's,
    ends it.
    """
    if lowered is None or STATE_LABEL in view.labels or now - lowered.at >= _REPAIRED_WITHIN:
        return None
    deployed_again = view.template_changed and 0 < view.requested < lowered.before
    if view.requested == lowered.after or deployed_again:
        return replace(lowered, after=view.requested)
    return None
