"""Pauses at run time, by which operators hold changes without a policy edit or a running daemon. Pure.

The pauses are labels of a cell in Swarm. The cell is written only if it is still as it was read. Each service has a
label of its own, and so do all services together. So no operator's pause overwrites another's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from autoscaler.core.model import Direction
from autoscaler.errors import BackendError
from autoscaler.util.moments import parse_unix_time
from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from autoscaler.util.deadline import Deadline

ALL = "*"
"""The name that stands for all services."""
LABEL = "autoscaler.pause."
"""The beginning of a label with pauses; the name of the service follows."""
LONGEST_REASON = 200
LONGEST_NAME = 64
_KEPT_AFTER_THE_END = 3600.0
"""Seconds for which a pause is kept after its end, because a writer's clock may be ahead of the daemon's."""
_LONGEST_LABEL = 4096


@dataclass(frozen=True, slots=True)
class Pause:
    """A hold of all changes in one direction, from a beginning to an end."""

    since: float
    """Unix seconds, by the clock of the one who began it."""
    until: float | None
    """Unix seconds; None if somebody must end it."""
    by: str
    reason: str = ""

    def over(self, now: float) -> bool:
        """Return whether the pause has ended by itself."""
        return self.until is not None and now >= self.until

    def outlasts(self, other: Pause) -> bool:
        """Return whether this pause ends later than *other*."""
        return (inf if self.until is None else self.until) > (inf if other.until is None else other.until)

    def __str__(self) -> str:
        """Return ``paused by ana@manager-1 since 2026-01-05 08:00 UTC until 2026-01-05 10:00 UTC: database moves``."""
        until = "" if self.until is None else f" until {_moment(self.until)}"
        reason = f": {self.reason}" if self.reason else ""
        return f"paused by {self.by} since {_moment(self.since)}{until}{reason}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Pauses:
    """All pauses by service, with ALL as a service of its own. Pauses that ended by themselves may be included."""

    of: Mapping[str, Mapping[Direction, Pause]] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    """The labels that cannot be read, by service. Such a service counts as paused in both directions without an end."""
    foreign: Mapping[str, str] = field(default_factory=dict)
    """The labels of somebody else, which are kept."""

    def holding(self, service: str, now: float) -> dict[Direction, str]:
        """Return who holds changes of *service* at *now* and why, in words, by direction that is held."""
        words = {direction: "; ".join(self._words(service, direction, now)) for direction in Direction}
        return {direction: said for direction, said in words.items() if said}

    def ends(self, service: str, now: float) -> dict[Direction, float]:
        """Return when changes of *service* that are paused at *now* are free again, by direction, if that is known."""
        if service in self.damaged or ALL in self.damaged:
            return {}
        found: dict[Direction, float] = {}
        for direction in Direction:
            known = (self.of.get(name, {}).get(direction) for name in (service, ALL))
            ends = [inf if pause.until is None else pause.until for pause in known if pause and not pause.over(now)]
            if ends and max(ends) < inf:
                found[direction] = max(ends)
        return found

    def _words(self, service: str, direction: Direction, now: float) -> Iterator[str]:
        for name in (service, ALL):
            if name in self.damaged:
                yield f"{damage(name)} ({resuming(name)})"
            pause = self.of.get(name, {}).get(direction)
            if pause is not None and not pause.over(now):
                yield f"{pause} ({resuming(name)})"

    def in_force(self, now: float) -> Iterator[tuple[str, Direction, Pause | None]]:
        """Yield the pauses at *now*, by service and direction, ALL first; None for a label that cannot be read."""
        for name in sorted({*self.of, *self.damaged}, key=lambda name: (name != ALL, name)):
            for direction in Direction:
                pause = self.of.get(name, {}).get(direction)
                if name in self.damaged or (pause is not None and not pause.over(now)):
                    yield name, direction, pause

    def lines(self, now: float) -> tuple[str, ...]:
        """Return a sentence about the pauses at *now* for each service, and for each direction if the two differ."""
        grouped: dict[tuple[str, Pause | None], list[str]] = {}
        for name, direction, pause in self.in_force(now):
            grouped.setdefault((name, pause), []).append(direction.value)
        return tuple(
            f"{shown(name)}: {' and '.join(directions)} {pause or damage(name)}"
            for (name, pause), directions in grouped.items()
        )

    def with_pause(self, service: str, directions: Collection[Direction], pause: Pause) -> Pauses:
        """Return these with *service* paused in *directions*. A pause that lasts as long or longer is kept."""
        own = dict(self.of.get(service, {}))
        if service in self.damaged:
            return self
        for direction in directions:
            if direction not in own or pause.outlasts(own[direction]):
                own[direction] = pause
        return Pauses({**self.of, service: own}, self.damaged, self.foreign)

    def without(self, service: str) -> Pauses:
        """Return these without the pauses of *service* itself."""
        return Pauses(
            {name: own for name, own in self.of.items() if name != service},
            {name: text for name, text in self.damaged.items() if name != service},
            self.foreign,
        )

    def pruned(self, now: float) -> Pauses:
        """Return these without the pauses that ended long before *now*."""
        kept = {
            name: {way: pause for way, pause in own.items() if not pause.over(now - _KEPT_AFTER_THE_END)}
            for name, own in self.of.items()
        }
        return Pauses({name: own for name, own in kept.items() if own}, self.damaged, self.foreign)

    def labels(self) -> dict[str, str]:
        """Return these as labels."""
        own = {LABEL + name: _encode(pauses) for name, pauses in self.of.items()}
        damaged = {LABEL + name: text for name, text in self.damaged.items()}
        return {**self.foreign, **own, **damaged}

    @classmethod
    def of_labels(cls, labels: Mapping[str, str]) -> Pauses:
        """Return the pauses in *labels*; never raise, because anybody may have written them."""
        of: dict[str, Mapping[Direction, Pause]] = {}
        damaged: dict[str, str] = {}
        foreign: dict[str, str] = {}
        for label, text in labels.items():
            name = label.removeprefix(LABEL)
            if not label.startswith(LABEL) or not name:
                foreign[label] = text
                continue
            try:
                of[name] = _decode(text)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                damaged[name] = text
        return cls(of, damaged, foreign)


_BOTH = "both"


def _encode(pauses: Mapping[Direction, Pause]) -> str:
    """Return the pauses as JSON, both directions as one if they are the same."""
    up, down = (pauses.get(direction) for direction in (Direction.UP, Direction.DOWN))
    said = {_BOTH: up} if up == down else {direction.value: pause for direction, pause in pauses.items()}
    document = {way: _document(pause) for way, pause in said.items() if pause is not None}
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _document(pause: Pause) -> dict[str, Any]:
    document: dict[str, Any] = {"since": pause.since, "by": pause.by}
    if pause.until is not None:
        document["until"] = pause.until
    if pause.reason:
        document["reason"] = pause.reason
    return document


def _decode(text: str) -> dict[Direction, Pause]:
    """Return the pauses in a label. Unknown keys belong to a later version. Raise what parsing raises."""
    if len(text) > _LONGEST_LABEL:
        raise ValueError("too long")
    document = json.loads(text)
    if not document:
        raise ValueError("says nothing")
    pauses: dict[Direction, Pause] = {}
    for way, said in document.items():
        until = said.get("until")
        pause = Pause(
            parse_unix_time(said["since"]),
            None if until is None else parse_unix_time(until),
            _text(said["by"], LONGEST_NAME),
            _text(said.get("reason", ""), LONGEST_REASON),
        )
        for direction in Direction if way == _BOTH else (Direction(way),):
            pauses[direction] = pause
    return pauses


def _text(value: Any, longest: int) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return tidy(value, longest)


def shown(service: str) -> str:
    """Return the name of the service, or "all services"."""
    return "all services" if service == ALL else tidy(service, LONGEST_NAME)


def damage(service: str) -> str:
    """Return why *service* counts as paused although its label cannot be read."""
    return f"paused, because the label {LABEL}{tidy(service, LONGEST_NAME)} cannot be read"


def resuming(service: str) -> str:
    """Return the command that ends a pause of *service*."""
    return "autoscaler resume" if service == ALL else f"autoscaler resume {tidy(service, LONGEST_NAME)}"


# The cell


@dataclass(frozen=True, slots=True)
class PauseCell:
    """The labels as they are in Swarm."""

    version: int
    """A version that changes with every write."""
    labels: Mapping[str, str]


class PauseStore(Protocol):
    """Keeps the labels."""

    def look(self, deadline: Deadline) -> PauseCell | None:
        """Return the labels; None if nothing was ever paused. Raise BackendError."""

    def write(self, labels: Mapping[str, str], seen: PauseCell | None, deadline: Deadline) -> bool:
        """Replace the labels if the cell is still the one *seen*. Return whether they were written.

        Raise BackendError. After UnreachableError the labels may be written already, or later.
        """


class KnownPauses:
    """The pauses as an autoscaler knows them. The last ones that were read stay in force until the next read.

    Everything is held until the first read. Without a store there are no pauses. Two threads must not use it at once.
    """

    def __init__(self, store: PauseStore | None = None) -> None:
        self._store = store
        self._known: Pauses | None = Pauses() if store is None else None
        self._trouble = "they were not read yet"

    def look(self, deadline: Deadline) -> str:
        """Read the pauses. Return why that failed, in words; empty if it did not. Never raise for what Swarm does."""
        if self._store is None:
            return ""
        try:
            cell = self._store.look(deadline)
        except BackendError as error:
            self._trouble = str(error)
            return self._trouble
        self._known = Pauses.of_labels(cell.labels) if cell else Pauses()
        return ""

    def holding(self, service: str, now: float) -> dict[Direction, str]:
        """Return the same as Pauses.holding."""
        if self._known is None:
            said = f"this autoscaler could not read the pauses in Swarm since it was started: {self._trouble}"
            return dict.fromkeys(Direction, said)
        return self._known.holding(service, now)

    def ends(self, service: str, now: float) -> dict[Direction, float]:
        """Return the same as `Pauses.ends`; nothing if the pauses were never read."""
        return {} if self._known is None else self._known.ends(service, now)

    def lines(self, now: float) -> tuple[str, ...]:
        """Return the same as Pauses.lines."""
        return self._known.lines(now) if self._known else ()
