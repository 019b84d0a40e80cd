"""Pauses at run time: what operators hold without a policy edit, and without a running daemon. Pure.

They are the labels of a cell in Swarm that is written only where it still is as it was read. A label is a service's
(or that of all services), so that what one operator pauses is never lost to another's.
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
"""Stands for all services, in the place of a service's name."""
LABEL = "autoscaler.pause."
"""What a label begins with that holds the pauses of the service it ends with."""
LONGEST_REASON = 200
LONGEST_NAME = 64
_KEPT_AFTER_THE_END = 3600.0
"""Seconds for which a pause that is over is kept, as the clock of whoever writes may be ahead of the daemon's."""
_LONGEST_LABEL = 4096


@dataclass(frozen=True, slots=True)
class Pause:
    """Changes in one direction are held, from when it was begun until it ends."""

    since: float
    """Unix seconds, by the clock of whoever began it."""
    until: float | None
    """Unix seconds; None where somebody has to end it."""
    by: str
    reason: str = ""

    def over(self, now: float) -> bool:
        """Whether it has ended by itself."""
        return self.until is not None and now >= self.until

    def outlasts(self, other: Pause) -> bool:
        """Whether it ends later than *other*."""
        return (inf if self.until is None else self.until) > (inf if other.until is None else other.until)

    def __str__(self) -> str:
        """``paused by ana@manager-1 since 2026-01-05 08:00 UTC until 2026-01-05 10:00 UTC: database moves``."""
        until = "" if self.until is None else f" until {_moment(self.until)}"
        reason = f": {self.reason}" if self.reason else ""
        return f"paused by {self.by} since {_moment(self.since)}{until}{reason}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Pauses:
    """All pauses there are, by service; ALL is a service of its own. What is over by itself may still be among them."""

    of: Mapping[str, Mapping[Direction, Pause]] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    """The labels that cannot be read, by service: it counts as paused, in both directions and without an end."""
    foreign: Mapping[str, str] = field(default_factory=dict)
    """Labels of somebody else's, which are kept."""

    def holding(self, service: str, now: float) -> dict[Direction, str]:
        """Who holds changes of *service* at *now* and why, in words, by direction; without those that are not held."""
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
        """What is paused at *now*, by service and direction, ALL first; None instead of what cannot be read."""
        for name in sorted({*self.of, *self.damaged}, key=lambda name: (name != ALL, name)):
            for direction in Direction:
                pause = self.of.get(name, {}).get(direction)
                if name in self.damaged or (pause is not None and not pause.over(now)):
                    yield name, direction, pause

    def lines(self, now: float) -> tuple[str, ...]:
        """What is paused at *now*, a sentence for each service and, where they differ, direction."""
        grouped: dict[tuple[str, Pause | None], list[str]] = {}
        for name, direction, pause in self.in_force(now):
            grouped.setdefault((name, pause), []).append(direction.value)
        return tuple(
            f"{shown(name)}: {' and '.join(directions)} {pause or damage(name)}"
            for (name, pause), directions in grouped.items()
        )

    def with_pause(self, service: str, directions: Collection[Direction], pause: Pause) -> Pauses:
        """These, and *service* paused in *directions*; a pause that lasts as long or longer stays what it is."""
        own = dict(self.of.get(service, {}))
        if service in self.damaged:
            return self
        for direction in directions:
            if direction not in own or pause.outlasts(own[direction]):
                own[direction] = pause
        return Pauses({**self.of, service: own}, self.damaged, self.foreign)

    def without(self, service: str) -> Pauses:
        """These, without what was said of *service* itself."""
        return Pauses(
            {name: own for name, own in self.of.items() if name != service},
            {name: text for name, text in self.damaged.items() if name != service},
            self.foreign,
        )

    def pruned(self, now: float) -> Pauses:
        """These, without what has long been over at *now*."""
        kept = {
            name: {way: pause for way, pause in own.items() if not pause.over(now - _KEPT_AFTER_THE_END)}
            for name, own in self.of.items()
        }
        return Pauses({name: own for name, own in kept.items() if own}, self.damaged, self.foreign)

    def labels(self) -> dict[str, str]:
        """The labels that say the same."""
        own = {LABEL + name: _encode(pauses) for name, pauses in self.of.items()}
        damaged = {LABEL + name: text for name, text in self.damaged.items()}
        return {**self.foreign, **own, **damaged}

    @classmethod
    def of_labels(cls, labels: Mapping[str, str]) -> Pauses:
        """What *labels* say. Anybody may have written them; never raises."""
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
    """JSON, both directions as one where they are the same."""
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
    """What a label says; keys of a pause that are not known are a later version's. Raises what parsing raises."""
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
    """The service, or all of them, in words."""
    return "all services" if service == ALL else tidy(service, LONGEST_NAME)


def damage(service: str) -> str:
    """Why *service* counts as paused though nothing that can be read says so."""
    return f"paused, for the label {LABEL}{tidy(service, LONGEST_NAME)} cannot be read"


def resuming(service: str) -> str:
    """The command that ends a pause of *service*."""
    return "autoscaler resume" if service == ALL else f"autoscaler resume {tidy(service, LONGEST_NAME)}"


# The cell


@dataclass(frozen=True, slots=True)
class PauseCell:
    """The labels as they are in Swarm."""

    version: int
    """Another one after every write."""
    labels: Mapping[str, str]


class PauseStore(Protocol):
    """Keeps the labels."""

    def look(self, deadline: Deadline) -> PauseCell | None:
        """The labels; None where nothing was ever paused. Raises BackendError."""

    def write(self, labels: Mapping[str, str], seen: PauseCell | None, deadline: Deadline) -> bool:
        """Replace the labels where the cell still is the one *seen*; whether it was written.

        Raises BackendError; after UnreachableError they may have been written, or still be.
        """


class KnownPauses:
    """The pauses as an autoscaler knows them: what was read last stays in force until it is read anew.

    Where they were never read everything is held. Without a store there are none. For one thread.
    """

    def __init__(self, store: PauseStore | None = None) -> None:
        self._store = store
        self._known: Pauses | None = Pauses() if store is None else None
        self._trouble = "they were not looked at"

    def look(self, deadline: Deadline) -> str:
        """Read the pauses; why that could not be done, in words, or empty. Never raises for what Swarm does."""
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
        """As Pauses.holding."""
        if self._known is None:
            said = f"the pauses in Swarm could not be read since this autoscaler was started: {self._trouble}"
            return dict.fromkeys(Direction, said)
        return self._known.holding(service, now)

    def ends(self, service: str, now: float) -> dict[Direction, float]:
        """Return the same as `Pauses.ends`; nothing if the pauses were never read."""
        return {} if self._known is None else self._known.ends(service, now)

    def lines(self, now: float) -> tuple[str, ...]:
        """As Pauses.lines."""
        return self._known.lines(now) if self._known else ()
