"""The moments since which services have their present limits.

Percent is of the present limit (ADR 3). Use under a lower limit says little about use under the higher one. The tasks
may have used less because no more was allowed. Measured against the higher limit, the service then looks idle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autoscaler.swarm.cluster import ServiceView


@dataclass(frozen=True, slots=True)
class _Known:
    """A service's limits of CPU and memory, infinite without one."""

    limits: tuple[float, float]
    raised: tuple[float, float] = (-inf, -inf)
    """The last moment at which tasks may have had a lower limit."""
    rolls: bool = False
    """Whether the rollout that followed goes on. Tasks with a lower limit may then still report."""


@dataclass(slots=True)
class LimitChanges:
    """The limits of services as they are seen at evaluations, by service id."""

    _known: dict[str, _Known] = field(default_factory=dict, init=False)

    def note(self, views: Iterable[ServiceView], now: float) -> None:
        """Note the limits of *views*, and forget all other services."""
        self._known = {view.id: _noted(view, self._known.get(view.id), now) for view in views}

    def raised(self, view: ServiceView, metric: str) -> float:
        """Return the last moment at which tasks may have had a lower limit of *metric*; -inf if there is none.

        At the first look the previous version shows it, if only that one deploy was written to the service.
        """
        known = self._known.get(view.id)
        return known.raised[metric != "cpu"] if known else -inf


def _noted(view: ServiceView, known: _Known | None, now: float) -> _Known:
    limits = _of(view.cpu_limit, view.memory_limit)
    if known is None:
        before = _of(view.before.cpu_limit, view.before.memory_limit) if view.before else limits
        known, seen = _Known(before), min(view.updated_at, now)
    else:
        seen = now
    raised = [seen if new > old else since for new, old, since in zip(limits, known.limits, known.raised, strict=True)]
    rolls = limits != known.limits or known.rolls
    if rolls and view.rollout:
        raised = [now if since > -inf else since for since in raised]
    # Swarm may not show the rollout of a change yet that was just seen.
    return _Known(limits, (raised[0], raised[1]), rolls and (limits != known.limits or bool(view.rollout)))


def _of(cpu: float | None, memory: float | None) -> tuple[float, float]:
    return cpu or inf, memory or inf
