"""The times at which a service's tasks ran: tasks that run now, tasks that were seen to run, and known scale events.

Swarm forgets the tasks of a slot that a scale removed, while Prometheus still shows them for some scrapes. So tasks
that were seen are remembered. The known changes of the count show what was before the first look.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING

from autoscaler.core.model import ScaleEvent
from autoscaler.swarm.cluster import STATE_LABEL
from autoscaler.swarm.history import ScaleState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from autoscaler.core.window import Part
    from autoscaler.swarm.cluster import ServiceView

KEPT = 1800.0
"""Seconds after which a task that is gone is forgotten."""
_MOST = 200
"""The most gone tasks that are remembered for each service, because a crash loop makes new ones for ever."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that was seen to run and no longer runs."""

    id: str
    since: float
    """When the task began to run; minus infinity if it is not known."""
    until: float
    """When the task was last seen to run."""
    missed: float
    """When the task was first seen not to run."""
    removed: bool
    """Whether a reduction of the count meanwhile explains the end of the task."""


@dataclass(slots=True)
class _Known:
    """The known facts about a service's tasks."""

    view: ServiceView
    running: Mapping[str, float]
    """The time since which each running task runs, by id."""
    first: float
    """When the service was first looked at."""
    looked: float
    before: tuple[ScaleEvent, ...]
    """The changes of the count before the first look that the service itself shows, oldest first."""
    ended: tuple[Ended, ...] = ()
    changed: float = -inf
    """The last moment at which a task began or stopped to run."""


@dataclass(slots=True)
class Runs:
    """The tasks of services as they are seen at evaluations, by service id. Times are by our own clock."""

    _known: dict[str, _Known] = field(default_factory=dict, init=False)

    def note(self, views: Iterable[ServiceView], now: float) -> None:
        """Note the running tasks of *views*, and forget all other services."""
        before, self._known = self._known, {}
        for view in views:
            known = before.get(view.id)
            self._known[view.id] = _first_look(view, now) if known is None else _again(known, view, now)

    def any_ended(self, view: ServiceView) -> bool:
        """Return whether a task of the service is remembered that no longer runs."""
        known = self._known.get(view.id)
        return known is not None and bool(known.ended)

    def removed(self, view: ServiceView, since: float) -> int:
        """Return how many running tasks were ended by reductions of the count after the moment *since*.

        The reductions before the first look that the service itself shows are included.
        """
        known = self._known.get(view.id)
        if known is None:
            return 0
        told = sum(max(0, each.before - each.after) for each in known.before if each.at > since)
        return told + sum(each.removed and each.missed > since for each in known.ended)

    def shown(self, view: ServiceView, at: float, warmup: float, lasting: float) -> int:
        """Return how many ended tasks must still be behind a sample of the moment *at*.

        These are the tasks that reported, because they were older than the *warmup*, and that ran until at most
        *lasting* seconds before the sample.
        """
        known = self._known.get(view.id)
        if known is None or not known.ended:
            return 0
        return sum(at - each.until <= lasting and each.since <= min(each.until, at) - warmup for each in known.ended)

    def replaced(self, view: ServiceView, warm: float) -> bool:
        """Return whether a task that began after the moment *warm* may have replaced a task that just ended.

        The ended task may then report in its place, because its container may have been restarted by hand. A task that
        a reduction ended is not replaced.
        """
        known = self._known.get(view.id)
        if known is None or all(each.removed for each in known.ended):
            return False
        return view.running_since(warm) < view.running

    def behind(self, view: ServiceView, parts: Sequence[Part], end: float, step: int, rows: int) -> tuple[float, ...]:
        """Return how many tasks ran on average over the *parts* of the time before each sample.

        *rows* is the number of samples. The newest one is of the moment *end*.

        The average is the harmonic mean of the count; it is 0 if no task ran. Each of n tasks that share a steady load
        carries 1 / n of it. So the average of a task over that time, times this mean, is the load.
        """
        known = self._known.get(view.id)
        first = end - (rows - 1) * step
        oldest = first - parts[0].begins
        if known is not None and known.view is view and known.changed <= oldest:
            return (float(view.running),) * rows
        count = _Counts.of(view, known, oldest)
        return tuple([count.mean(parts, first + row * step) for row in range(rows)])


def _first_look(view: ServiceView, now: float) -> _Known:
    running = _running(view)
    before = _told(view, now)
    changed = max(max(running.values(), default=-inf), before[-1].at if before else -inf)
    return _Known(view, running, now, now, before, changed=changed)


def _again(known: _Known, view: ServiceView, now: float) -> _Known:
    """Return the known facts after another look, which usually finds no change."""
    lowered, known.looked, looked = known.view.requested - view.requested, now, known.looked
    known.view = view
    running = _running(view)
    if known.ended or running != known.running:
        gone = ((id_, since) for id_, since in known.running.items() if id_ not in running)
        new = (Ended(id_, since, looked, now, number < lowered) for number, (id_, since) in enumerate(gone))
        kept = (each for each in known.ended if now - each.missed < KEPT and each.id not in running)
        known.ended = (*kept, *new)[-_MOST:]
        moments = [*running.values(), *(each.until for each in known.ended), *(each.at for each in known.before[-1:])]
        known.changed = max(moments, default=-inf)
        known.running = running
    return known


def _running(view: ServiceView) -> dict[str, float]:
    return {task.id: task.since for task in view.tasks if task.state == "running" and task.on_ready_node}


def _told(view: ServiceView, now: float) -> tuple[ScaleEvent, ...]:
    """Return the earlier changes that the label and the previous spec show."""
    state = ScaleState.decode(view.labels.get(STATE_LABEL, ""))
    events = [event for event in state.events if now - KEPT < event.at < now] if state else []
    before = view.before.requested if view.before else None
    if before is not None and before != view.requested and now - KEPT < view.updated_at < now:
        last = (events[-1].before, events[-1].after) if events else None
        if last != (before, view.requested):
            events.append(ScaleEvent(view.updated_at, before, view.requested))
    return tuple(sorted(events))


@dataclass(frozen=True, slots=True)
class _Counts:
    """The number of tasks that ran at each moment: the first count before all moments, and one from each moment on."""

    moments: Sequence[float]
    counts: Sequence[int]

    @classmethod
    def of(cls, view: ServiceView, known: _Known | None, oldest: float) -> _Counts:
        """Return the counts since *oldest*."""
        running = _running(view)
        spans = [(since, inf) for since in running.values()]
        if known is not None:
            spans += [(each.since, each.until) for each in known.ended if each.id not in running]
            spans += _before(known.before, known.first, [since for since, _ in spans])
        base, changes = 0, dict[float, int]()
        for since, until in spans:
            if until <= max(since, oldest):
                continue
            if since <= oldest:
                base += 1
            else:
                changes[since] = changes.get(since, 0) + 1
            if until < inf:
                changes[until] = changes.get(until, 0) - 1
        moments = sorted(changes)
        return cls(moments, list(accumulate((changes[moment] for moment in moments), initial=base)))

    def mean(self, parts: Sequence[Part], end: float) -> float:
        """Return the harmonic mean of the counts over *parts* of the time before *end*; 0 if none ran."""
        shares = weights = 0.0
        for part in parts:
            begins, ends = end - part.begins, end - part.ends
            first, last = bisect_right(self.moments, begins), bisect_right(self.moments, ends)
            if first == last:
                pieces = [(self.counts[first], 1.0)]
            else:
                edges = [begins, *self.moments[first:last], ends]
                pieces = [
                    (self.counts[first + number], (edges[number + 1] - edges[number]) / (ends - begins))
                    for number in range(last - first + 1)
                ]
            for count, share in pieces:
                if count > 0:
                    shares += part.weight * share / count
                    weights += part.weight * share
        return weights / shares if shares else 0.0


def _before(events: Sequence[ScaleEvent], first: float, sinces: Sequence[float]) -> list[tuple[float, float]]:
    """Return when tasks ran that were ended by reductions before the *first* look, as far as *events* show.

    A task that an earlier increase added began with that increase, unless it is one of those that still ran later.
    """
    ended: list[float] = []
    spans: list[tuple[float, float]] = []
    later = first
    for event in reversed(events):
        if event.after < event.before:
            ended += [event.at] * (event.before - event.after)
        else:
            stayed = sum(event.at <= since < later for since in sinces)
            added = min(len(ended), max(0, event.after - event.before - stayed))
            spans += [(event.at, ended.pop()) for _ in range(added)]
        later = event.at
    return spans + [(-inf, until) for until in ended]
