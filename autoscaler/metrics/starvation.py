"""Starvation: find out whether a service that uses little CPU is idle, or waits for a CPU of its node.

A task that waits for a CPU uses little of its limit, and looks idle. So a low value of the built-in `cpu` counts as low
load only if no task was starved in the time that the value covers (`queries.starvation_query`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.core.model import Direction
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem
from autoscaler.core.window import Doubt
from autoscaler.metrics.queries import WAITS
from autoscaler.strategies.directions import ways
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from autoscaler.core.window import Window
    from autoscaler.metrics.sample_cache import SampleCache
    from autoscaler.policy.policy import Policy
    from autoscaler.swarm.cluster import ServiceView
    from autoscaler.swarm.placement import NodeView

METRIC = "cpu"
LASTING = 600.0
"""Seconds of starvation after which it is a problem."""
_MOST_NAMES = 3
_CURE = "reserve CPU by deploy.resources.reservations.cpus, or add room"


class Place(NamedTuple):
    """The subject of one series of the query."""

    kind: str
    node: str
    """The node's id; empty if the series do not carry it."""
    instance: str
    """Prometheus' `instance` label of the node's cAdvisor."""
    service: str

    @classmethod
    def of(cls, key: str) -> Place | None:
        """Return the place that the label names; None if it names none."""
        parts = key.split(" ", 3)
        return cls(*parts) if len(parts) == len(cls._fields) else None

    @property
    def where(self) -> str:
        """Return what identifies the node."""
        return self.node or self.instance


@dataclass(frozen=True, slots=True)
class _Seen:
    """A place, when it was last starved, and how much: a share of the node's cores, or of the time."""

    place: Place
    at: int
    share: float


@dataclass(slots=True)
class _Spell:
    """A node's starvation that goes on."""

    since: float
    services: tuple[str, ...] = ()


def looks_back(policy: Policy) -> int | None:
    """Return how far back the rules of *policy* that may remove by `cpu` look; None if no proof is needed."""
    if policy.on_starved == "allow":
        return None
    removing = (rule.look_back for rule in policy.rules if rule.metric == METRIC and Direction.DOWN in ways(rule))
    return max(removing, default=None)


@dataclass(slots=True)
class Starvation:
    """The starved tasks, as known from one evaluation to the next. Times of samples are by Prometheus' clock."""

    rate_window: int
    """Seconds over which the CPU's speed is measured. A value that long after a starvation still covers it."""
    _end: int = field(default=0, init=False)
    _known: bool = field(default=False, init=False)
    _last: dict[str, list[_Seen]] = field(default_factory=dict, init=False)
    """The last starvation of each place, by service."""
    _nodes: Mapping[str, NodeView] = field(default_factory=dict, init=False)
    _spells: dict[str, _Spell] = field(default_factory=dict, init=False)
    """By node, or by instance if no series carries the node."""
    _node_of: dict[str, str] = field(default_factory=dict, init=False)
    """The node of each instance whose series do not carry it, as far as Swarm shows it."""

    def note(
        self,
        cache: SampleCache | None,
        end: int,
        views: Mapping[str, ServiceView],
        nodes: Iterable[NodeView],
        now: float,
    ) -> None:
        """Note the answers in *cache* up to *end* that are about the services of *views*."""
        self._known = cache is not None and cache.covers(end)
        self._end = end
        if cache is None or not self._known:
            return
        self._nodes = {node.id: node for node in nodes}
        self._last = {}
        for key in cache.services:
            place = Place.of(key)
            held = cache.values(key, end)
            if place is None or held is None or place.service not in views:
                continue
            values = held[0]
            back = next((back for back, value in enumerate(reversed(values)) if isfinite(value)), None)
            if back is not None:
                seen = _Seen(place, end - back * cache.step, values[-1 - back])
                self._last.setdefault(place.service, []).append(seen)
        self._find_nodes(views)
        self._count_time(now)

    def doubt(self, view: ServiceView, window: Window) -> Doubt | None:
        """Return why low values in *window* of the service's `cpu` must not justify a scale-down; None if they may."""
        if not self._known:
            said = (
                "Prometheus does not show whether the tasks' nodes have CPU to spare "
                "(set on_starved: allow to do without)"
            )
            return Doubt(Reason.WINDOW_INCOMPLETE, inf, said)
        seen = max(self._last.get(view.name, ()), key=lambda seen: (seen.at, seen.share), default=None)
        if seen is None:
            return None
        value = f"{METRIC} is missing" if window.newest is None else f"{window.newest:.3g} {window.unit}"
        said = f"{self._in_words(seen)}, so {value} may be starved and not idle"
        return Doubt(Reason.STARVED, seen.at + self.rate_window, said)

    def problems(self, now: float) -> Iterator[Problem]:
        """Yield a problem with its cure for each node that has been starved for long."""
        for where, spell in self._spells.items():
            lasting = now - spell.since
            if lasting >= LASTING:
                name, services = self._name(where), spell.services
                more = f" and {len(services) - _MOST_NAMES} more" if len(services) > _MOST_NAMES else ""
                detail = (
                    f"it has had no CPU to spare for {words(lasting)}, so low cpu of its services does not count as "
                    f"idle: {', '.join(services[:_MOST_NAMES])}{more} ({_CURE})"
                )
                yield Problem("starved", detail, name)

    def _find_nodes(self, views: Mapping[str, ServiceView]) -> None:
        """Find the node of each instance whose series do not carry it: all services seen there have a task on it."""
        possible: dict[str, set[str]] = {}
        for seen in (seen for each in self._last.values() for seen in each):
            if not seen.place.node:
                on = {task.node for task in views[seen.place.service].tasks if task.node}
                possible[seen.place.instance] = possible.get(seen.place.instance, on) & on
        self._node_of = {instance: next(iter(nodes)) for instance, nodes in possible.items() if len(nodes) == 1}

    def _count_time(self, now: float) -> None:
        starved: dict[str, set[str]] = {}
        for seen in (seen for each in self._last.values() for seen in each):
            # Readings vary, so one below the bound among others above it does not end a starvation.
            if seen.at >= self._end - self.rate_window:
                starved.setdefault(seen.place.where, set()).add(seen.place.service)
        self._spells = {
            where: _Spell(self._spells[where].since if where in self._spells else now, tuple(sorted(services)))
            for where, services in starved.items()
        }

    def _in_words(self, seen: _Seen) -> str:
        node = f"node {self._name(seen.place.where)}"
        back = self._end - seen.at
        now = not back
        ago = "" if now else f" {words(back)} ago"
        if seen.place.kind == WAITS:
            waits = "waits" if now else "waited"
            return f"a task on {node} {waits} {min(seen.share, 1.0):.0%} of the time for CPU{ago}"
        uses, share = "uses" if now else "used", min(seen.share, 1.0)
        known = self._nodes.get(self._id(seen.place.where))
        if known is None or not known.nano_cpus:
            return f"{node} {uses} {share:.0%} of its CPU{ago}"
        cores = known.nano_cpus / 1e9
        return f"{node} {uses} {share * cores:.3g} of {cores:g} cores{ago}"

    def _id(self, where: str) -> str:
        return self._node_of.get(where, where)

    def _name(self, where: str) -> str:
        node = self._nodes.get(self._id(where))
        return (node.hostname if node else "") or where
