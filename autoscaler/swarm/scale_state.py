"""The autoscaler's label on a service: what it says, and how it is written and read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from sys import intern
from typing import TYPE_CHECKING, Any

from autoscaler.core.model import Direction, ScaleEvent, ScaleUpStreak
from autoscaler.util.moments import parse_unix_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEPT_EVENTS = 20
"""The number of changes that a service's history keeps; the newest are kept."""
LONGEST_WRITTEN = 4 * 1024
"""The most bytes of a label that is written. The label is part of each list of services that Swarm answers with."""
_LONGEST_RULE = 63
"""The most characters of a rule's name."""
_CAUSE = re.compile(r"([a-z_]{1,40})(?: ([a-z0-9][a-z0-9_.-]{0,62}))?")
"""Why a change was made, as the label has it: a reason, and the rule if there was one."""
_MOST_REPLICAS = 1_000_000
_LONGEST_LABEL = 16 * 1024
"""The most characters of a label that is read: many times the autoscaler's longest."""
_BY_OTHERS = "others"
"""Marks a change in the label that somebody else made."""


@dataclass(frozen=True, slots=True)
class ScaleState:
    """The content of the autoscaler's label: the count that it set last, and the changes up to that."""

    replicas: int
    events: tuple[ScaleEvent, ...] = ()
    streak: ScaleUpStreak | None = None
    asked: int | None = None
    """See `History` for this field and the next."""
    gave_back: float | None = None

    def encode(self) -> str:
        """Return the label's text: JSON with Unix seconds to the millisecond. Changes by others have a fourth item.

        The reasons are a list of their own, because earlier versions do not read changes with more items. If the text
        would be longer than LONGEST_WRITTEN, the oldest rules are left out first, and then the oldest reasons.
        """
        causes = [_cause(event) for event in self.events]
        text = self._text(causes)
        for brief in (_without_rule, lambda _: ""):
            for index, cause in enumerate(causes):
                if len(text) <= LONGEST_WRITTEN:
                    return text
                causes[index] = brief(cause)
                text = self._text(causes)
        return text

    def _text(self, causes: list[str]) -> str:
        changes = [
            [round(event.at, 3), event.before, event.after, *([_BY_OTHERS] if event.by_others else ())]
            for event in self.events
        ]
        document: dict[str, Any] = {"v": 1, "replicas": self.replicas, "changes": changes}
        if any(causes):
            document["why"] = causes
        if self.streak is not None:
            document["streak"] = [self.streak.rule, self.streak.steps, self.streak.value]
        if self.asked is not None:
            document["asked"] = self.asked
        if self.gave_back is not None:
            document["gave_back"] = round(self.gave_back, 3)
        return json.dumps(document, separators=(",", ":"))

    @property
    def newest(self) -> float:
        """Return when the newest change was, Unix seconds; 0 if there is none."""
        return self.events[-1].at if self.events else 0.0

    @classmethod
    def decode(cls, text: str) -> ScaleState | None:
        """Return the content of *text*; None if it is not such a label, because anybody may have written it.

        If the text has more changes than the autoscaler keeps, only the newest are returned.
        """
        if not text or len(text) > _LONGEST_LABEL:
            return None
        try:
            document = json.loads(text)
            if _count(document["v"]) != 1 or not isinstance(document["changes"], list):
                return None
            changes = document["changes"]
            events = sorted({_event(*change).caused_by(*why) for change, why in _explained(changes, document)})
            streak = _streak(*document["streak"]) if "streak" in document else None
            asked = _count(document["asked"]) if "asked" in document else None
            gave_back = parse_unix_time(document["gave_back"]) if "gave_back" in document else None
            kept = tuple(events[-KEPT_EVENTS - 2 * len(Direction) :])
            return cls(_count(document["replicas"]), kept, streak, asked, gave_back)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None


def _cause(event: ScaleEvent) -> str:
    return f"{event.reason} {event.rule}".rstrip()


def _without_rule(cause: str) -> str:
    return cause.partition(" ")[0]


def _explained(changes: list[Any], document: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[str, str]]]:
    """Return each change with its reason and its rule; both are empty if the label does not tell them.

    A reason that cannot be read never makes the change unreadable, because cooldowns need the change.
    """
    causes = document.get("why")
    known = causes if isinstance(causes, list) and len(causes) == len(changes) else [""] * len(changes)
    for change, cause in zip(changes, known, strict=True):
        match = _CAUSE.fullmatch(cause) if isinstance(cause, str) else None
        # A label has few different words, and thousands of services have them: each is kept once.
        yield change, (intern(match[1]), intern(match[2] or "")) if match else ("", "")


def _event(at: Any, before: Any, after: Any, by: Any = "") -> ScaleEvent:
    if before == after:
        raise ValueError(f"{before!r} → {after!r} is not a change")
    if by not in ("", _BY_OTHERS):
        raise ValueError(f"{by!r} is nobody who changes counts ({_BY_OTHERS})")
    return ScaleEvent(parse_unix_time(at), _count(before), _count(after), by == _BY_OTHERS)


def _streak(rule: Any, steps: Any, value: Any) -> ScaleUpStreak:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(rule, str) or len(rule) > _LONGEST_RULE or not number or not isfinite(value):
        raise ValueError(f"{rule!r}, {value!r} is not a streak")
    return ScaleUpStreak(rule, _count(steps), float(value))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_REPLICAS:
        raise ValueError(f"{value!r} is not a count")
    return value
