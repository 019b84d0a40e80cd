"""What is known of a service's past: the label that rides on it, and what the daemon remembers.

The scale history rides on the service itself, in one label written in the same update as the scale. A stack deploy
drops the label, an operator's scale keeps it, and Swarm keeps the state before the last update in PreviousSpec; so
what happened can be told without a memory of our own
(docs/facts.md#who-changed-the-count).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from autoscaler.core.model import Direction, History, Observation, Recommended, ScaleEvent, ScaleUpStreak
from autoscaler.swarm.cluster import SETTLE_TIME, STATE_LABEL
from autoscaler.util.durations import words
from autoscaler.util.moments import parse_unix_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.model import Decision
    from autoscaler.core.window import Window
    from autoscaler.swarm.cluster import ServiceView, SpecBefore

_REPAIRED_WITHIN = 3600.0
"""Seconds after a deploy in which the count that it lowered is set again."""
_KEPT_SECONDS = 30 * 60
KEPT_EVENTS = 20
"""How many of the newest changes a service's history keeps."""
_WRITTEN_WITHIN = 20.0
"""Seconds from a decision to the end of its write at most, if nothing holds it up: the longest evaluation."""
_MOST_REPLICAS = 1_000_000
_LONGEST_LABEL = 16 * 1024
"""Characters of a label that may be the autoscaler's: many times its longest, and read in no time."""
_UNREADABLE = f"the label {STATE_LABEL} is not as the autoscaler writes it, so what it told of changes is not known"

_BY_OTHERS = "others"
"""Marks a change in the label that the autoscaler found and did not make."""

_NOT_PAUSED: Mapping[Direction, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ScaleState:
    """What the autoscaler's label says: the count it set last, and the changes before that."""

    replicas: int
    events: tuple[ScaleEvent, ...] = ()
    streak: ScaleUpStreak | None = None
    asked: int | None = None
    """See `History`, for this and the next."""
    gave_back: float | None = None

    def encode(self) -> str:
        """The label's text: JSON, times as Unix seconds to the millisecond, a fourth item at changes by others."""
        changes = [
            [round(event.at, 3), event.before, event.after, *([_BY_OTHERS] if event.by_others else ())]
            for event in self.events
        ]
        document: dict[str, Any] = {"v": 1, "replicas": self.replicas, "changes": changes}
        if self.streak is not None:
            document["streak"] = [self.streak.rule, self.streak.steps, self.streak.value]
        if self.asked is not None:
            document["asked"] = self.asked
        if self.gave_back is not None:
            document["gave_back"] = round(self.gave_back, 3)
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> ScaleState | None:
        """What *text* says, or None where it is not such a label: anybody may have written it.

        Of more changes than the autoscaler keeps, the newest.
        """
        if not text or len(text) > _LONGEST_LABEL:
            return None
        try:
            document = json.loads(text)
            if _count(document["v"]) != 1 or not isinstance(document["changes"], list):
                return None
            events = sorted({_event(*change) for change in document["changes"]})
            streak = _streak(*document["streak"]) if "streak" in document else None
            asked = _count(document["asked"]) if "asked" in document else None
            gave_back = parse_unix_time(document["gave_back"]) if "gave_back" in document else None
            kept = tuple(events[-KEPT_EVENTS - 2 * len(Direction) :])
            return cls(_count(document["replicas"]), kept, streak, asked, gave_back)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None


def _event(at: Any, before: Any, after: Any, by: Any = "") -> ScaleEvent:
    if before == after:
        raise ValueError(f"{before!r} → {after!r} is not a change")
    if by not in ("", _BY_OTHERS):
        raise ValueError(f"{by!r} is nobody who changes counts ({_BY_OTHERS})")
    return ScaleEvent(parse_unix_time(at), _count(before), _count(after), by == _BY_OTHERS)


def _streak(rule: Any, steps: Any, value: Any) -> ScaleUpStreak:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(rule, str) or not number or not isfinite(value):
        raise ValueError(f"{rule!r}, {value!r} is not a streak")
    return ScaleUpStreak(rule, _count(steps), float(value))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_REPLICAS:
        raise ValueError(f"{value!r} is not a count")
    return value


@dataclass(frozen=True, slots=True)
class Lowered:
    """A count that a `docker stack deploy` lowered, to be set again."""

    at: float
    """When the deploy was, Unix seconds."""
    before: int
    """The count before it."""
    after: int
    """The count that its file gave."""


@dataclass(frozen=True, slots=True)
class ServiceHistory:
    """What the daemon remembers of a service between evaluations."""

    requested: int | None = None
    """The count it last saw or set."""
    events: tuple[ScaleEvent, ...] = ()
    proposed: tuple[ScaleEvent, ...] = ()
    """What a dry-run would have done: a cooldown without a change."""
    version: int | None = None
    """The service's version index as it was last seen."""
    version_since: float = 0.0
    """When that version was first seen, by our own clock: Swarm's may be another. At the first look of all it is the
    time of the last update, if that is in the past."""
    label: str = ""
    """The autoscaler's label as it was last seen; what it tells is in `events`."""
    before: SpecBefore | None = None
    """The spec before the last update as it was last seen; what it tells is in `events`."""
    said: Mapping[str, ScaleState | None] = field(default_factory=dict)
    """What the labels last seen say, by their texts: each is decoded once."""
    recommended: tuple[Recommended, ...] = ()
    """What the rules resolved to before, the requested count at the first look included."""
    judged_at: float | None = None
    """When a rule could last judge by its data; the first look, as long as none could."""
    lowered: Lowered | None = None
    """What a deploy did to the count, as long as it is not repaired and nobody else changed it again."""
    ours: bool = False
    """Whether the autoscaler's label was ever seen on the service: deploys drop it."""
    streak: ScaleUpStreak | None = None
    """The increases in a row that have not lowered a rule's metric."""
    asked: int | None = None
    """The count that somebody else asked for last, or the lowest since; None before the first look."""
    gave_back: float | None = None
    """When replicas were last given back for want of room."""
    asleep: bool = False
    """Whether the service has 0 replicas because the autoscaler set it to 0, and nobody else."""
    unplaced: Mapping[str, float] = field(default_factory=dict)
    """When each task was first seen that Swarm has found no node for, by our own clock; at the first look of all since
    when Swarm says that it waits, if that is in the past."""

    @property
    def history(self) -> History:
        """What counts for stabilization and cooldown: what happened, and what a dry-run would have done."""
        events = tuple(sorted({*self.events, *self.proposed}))
        return History(events, self.recommended, self.judged_at, self.streak, self.asked, self.gave_back)

    def with_decision(self, decision: Decision, longest: int) -> ServiceHistory:
        """This memory and what *decision* tells of the rules, without recommendations older than *longest* seconds."""
        at = decision.at
        # Of equal counts the newest tells as much as all: it is within every window that an older one is within.
        count = decision.recommended
        kept = (each for each in self.recommended if at - each.at < longest and each.replicas != count)
        recommended = (*kept, Recommended(at, count)) if longest else ()
        judged_at = at if decision.judged else self.judged_at
        streak = self.streak if decision.changes else decision.streak  # a change counts once it is carried out
        return replace(self, recommended=recommended, judged_at=judged_at, streak=streak)

    def with_change(self, decision: Decision) -> ServiceHistory:
        """This memory once *decision* is carried out."""
        state = self.state_after(decision)
        return replace(
            self,
            requested=state.replicas,
            events=state.events,
            streak=state.streak,
            asked=state.asked,
            gave_back=state.gave_back,
            ours=True,
        )

    def state_after(self, decision: Decision) -> ScaleState:
        """What the service's label is to say once *decision* is carried out."""
        asked = None if self.asked is None else min(self.asked, decision.desired)
        gave_back = decision.at if decision.gives_back else self.gave_back
        return ScaleState(decision.desired, self._events_after(decision), decision.streak, asked, gave_back)

    def _events_after(self, decision: Decision) -> tuple[ScaleEvent, ...]:
        event = ScaleEvent(decision.at, decision.requested, decision.desired)
        return prune((*self.events, event), decision.at)


def look(view: ServiceView, memory: ServiceHistory | None, now: float) -> tuple[ServiceHistory, str]:
    """What is known of the service's past, from memory, its label and its previous label; and an outside change.

    The second value says in words that somebody else changed the count since it was last known, or damaged the label;
    it is empty where nobody did. A changed count becomes an event of the history, at the service's last update (never
    after *now*), or at *now* where that is no later than what was known before. A second look at the same service finds
    nothing new.
    """
    # A first look remembers the count that it found: a restart does not end a stabilization window (as the HPA has it).
    memory = memory or ServiceHistory(
        recommended=(Recommended(now, view.requested),),
        judged_at=now,
        version=view.version,
        version_since=min(view.updated_at, now),
        unplaced={task.id: min(task.since, now) for task in view.unplaced},
    )
    said = _said(view, memory)
    own, previous = _unread(view, memory, said)
    counts = _counts_since(view, memory, own, previous)
    kept, changed = memory.events, ""
    if own or previous or len(counts) > 1:
        kept, changed = _events_since(view, memory, own, previous, said, counts, now)
    elif kept and now - kept[0].at > _KEPT_SECONDS:
        kept = prune(kept, now)
    label = view.labels.get(STATE_LABEL, "")
    lowered = (
        _lowered(view, said, now, ours=memory.ours)
        or _lowered_between(view, memory, said, now)
        or _still_lowered(view, memory.lowered, now)
    )
    readable = said[label] is not None
    damaged = _UNREADABLE if label and label != memory.label and not readable else ""
    streak = own.streak if own else memory.streak
    given = [state.gave_back for state in (own, previous, memory) if state and state.gave_back is not None]
    memory = replace(
        memory,
        streak=streak,
        asked=_asked(view, memory, own, changed),
        asleep=_asleep(view, memory, said, changed),
        unplaced={task.id: memory.unplaced.get(task.id, now) for task in view.unplaced},
        gave_back=min(max(given), now) if given else None,
        requested=view.requested,
        events=kept,
        version=view.version,
        version_since=memory.version_since if view.version == memory.version else now,
        label=label,
        before=view.before,
        said=said,
        lowered=lowered,
        ours=memory.ours or readable,
    )
    return memory, "; ".join(filter(None, (changed, damaged)))


def _events_since(  # noqa: PLR0913, PLR0917 - as many as tell of what happened
    view: ServiceView,
    memory: ServiceHistory,
    own: ScaleState | None,
    previous: ScaleState | None,
    said: Mapping[str, ScaleState | None],
    counts: tuple[int, ...],
    now: float,
) -> tuple[tuple[ScaleEvent, ...], str]:
    """The events to remember, with those that *own* and *previous* tell of and the outside change; that in words."""
    told = {event for state in (own, previous) if state for event in state.events} - set(memory.events)
    # A label's stamp in the future counts as now, once: the label is not read again, so that it cannot hold for ever.
    events = {*memory.events, *(event if event.at <= now else replace(event, at=now) for event in told)}
    if own and (held_up := _held_up(view, own, said, now)):
        events = events - {held_up} | {replace(held_up, at=_updated(view, now))}
    changed = ""
    if len(counts) > 1:
        at = _updated(view, now)
        if events and at <= max(events).at:
            at = now
        for ago, (older, newer) in enumerate(reversed(tuple(pairwise(counts)))):
            # When a count between came to be is not known: just before the last, in the order of what happened.
            events.add(ScaleEvent(round(at - ago / 1000, 3), older, newer, by_others=True))
        changed = f"{' → '.join(map(str, counts))} by somebody else, {words(now - at)} ago"
    return prune(tuple(events), now), changed


def observed(  # noqa: PLR0913 - as many as a decision depends on
    view: ServiceView,
    memory: ServiceHistory,
    windows: Mapping[str, Window],
    changed: str,
    now: float,
    *,
    standby: str = "",
    paused: Mapping[Direction, str] = _NOT_PAUSED,
) -> Observation:
    """What a decision at *now* may depend on; *changed* is the outside change that `remember` found, in words.

    *standby* and *paused* are as in Observation.
    """
    return Observation(
        service=view.name,
        at=now,
        requested=view.requested,
        running=view.running,
        windows=windows,
        mode=view.mode,
        rollout=view.rolling(now) or _settling(view, memory, now),
        pending=view.pending(now) if view.running < view.requested else "",
        stuck=view.stuck(now),
        unplaced_since=tuple(sorted(memory.unplaced.values())),
        changed_externally=changed,
        lowered_from=memory.lowered.before if memory.lowered else None,
        asleep=memory.asleep,
        standby=standby,
        paused=paused,
    )


def _settling(view: ServiceView, memory: ServiceHistory, now: float) -> str:
    """Why a rollout may be about to begin, in words; empty where it has had the time for it."""
    age = now - memory.version_since
    if not view.unsettled or age >= SETTLE_TIME:
        return ""
    return f"deployed {words(age)} ago, settles for {words(SETTLE_TIME)}"


def _asked(view: ServiceView, memory: ServiceHistory, own: ScaleState | None, changed: str) -> int:
    """The count that somebody else asked for last, or the lowest since.

    Somebody who changes the count asks for it. So does a deploy, which drops our label, even if it changes nothing. If
    nothing is known about a service, all its replicas count as requested by somebody else.
    """
    dropped = bool(memory.label) and STATE_LABEL not in view.labels
    known = own.asked if own else memory.asked
    return view.requested if changed or dropped or known is None else min(known, view.requested)


def _asleep(view: ServiceView, memory: ServiceHistory, said: Mapping[str, ScaleState | None], changed: str) -> bool:
    """Whether it was the autoscaler that set the service to 0.

    Our label tells. A deploy whose file says 0, too, drops the label and changes nothing: PreviousSpec tells then, or,
    after another such deploy, what is remembered.
    """
    if view.requested != 0:
        return False
    own = said[view.labels.get(STATE_LABEL, "")]
    if own is not None:
        return own.replicas == 0
    previous = said[view.before.state] if view.before and view.before.requested == 0 else None
    return not changed and (memory.asleep if previous is None else previous.replicas == 0)


def _lowered(view: ServiceView, said: Mapping[str, ScaleState | None], now: float, *, ours: bool) -> Lowered | None:
    """What the service itself tells of a deploy that lowered its count less than an hour ago.

    Our label is gone, or older than in PreviousSpec, and the count is lower and not 0. An operator's scale keeps the
    label, and one to 0 is meant (docs/facts.md#who-changed-the-count). If the deploy before dropped the
    label already, a service that was *ours* shows a deploy by what its tasks are made from.
    """
    before = view.before
    if before is None or before.requested is None or not 0 < view.requested < before.requested:
        return None
    own, previous = said[view.labels.get(STATE_LABEL, "")], said[before.state]
    if previous is None and not (ours and own is None and view.template_changed):
        return None
    if previous is not None and own is not None and _newest(own) >= _newest(previous):
        return None
    if now - view.updated_at >= _REPAIRED_WITHIN:
        return None
    return Lowered(view.updated_at, before.requested, view.requested)


def _lowered_between(
    view: ServiceView, memory: ServiceHistory, said: Mapping[str, ScaleState | None], now: float
) -> Lowered | None:
    """Return what the first of several deploys changed since the last look; None if there was no such deploy.

    Swarm no longer shows that change, because a later deploy replaced the previous spec. Our label was there and is
    gone, also from PreviousSpec, and the count in PreviousSpec is lower than the one last seen. If that count is not
    lower, only the last update lowered the count, and `_lowered` judges it.
    """
    before, known = view.before, memory.requested
    if before is None or before.requested is None or known is None or now - view.updated_at >= _REPAIRED_WITHIN:
        return None
    gone = said[memory.label] and not view.labels.get(STATE_LABEL) and not before.state
    if not gone or not 0 < before.requested < known or not 0 < view.requested < known:
        return None
    return Lowered(view.updated_at, known, view.requested)


def _still_lowered(view: ServiceView, lowered: Lowered | None, now: float) -> Lowered | None:
    """What is left of an earlier deploy's doing: another deploy leaves it, and lets Swarm forget the count before.

    A scale, ours or an operator's, settles it.
    """
    if lowered is None or STATE_LABEL in view.labels or now - lowered.at >= _REPAIRED_WITHIN:
        return None
    deployed_again = view.template_changed and 0 < view.requested < lowered.before
    if view.requested == lowered.after or deployed_again:
        return replace(lowered, after=view.requested)
    return None


def _said(view: ServiceView, memory: ServiceHistory) -> Mapping[str, ScaleState | None]:
    """What the service's labels say, now, before its last update, and as memory has them: each text is decoded once."""
    texts = {view.labels.get(STATE_LABEL, ""), view.before.state if view.before else "", memory.label}
    if texts <= memory.said.keys():
        return memory.said
    known = memory.said
    return {text: known[text] if text in known else ScaleState.decode(text) for text in texts}


def _unread(
    view: ServiceView, memory: ServiceHistory, said: Mapping[str, ScaleState | None]
) -> tuple[ScaleState | None, ScaleState | None]:
    """What the service's label and its previous label say that memory has not read yet."""
    read = {memory.label, memory.before.state if memory.before else ""}
    label = view.labels.get(STATE_LABEL, "")
    before = view.before.state if view.before else ""
    own = None if label in read else said[label]
    return own, None if before in {label, *read} else said[before]


def _counts_since(
    view: ServiceView, memory: ServiceHistory, own: ScaleState | None, previous: ScaleState | None
) -> tuple[int, ...]:
    """The counts that others took the service through since it was last known, that one first, the present one last.

    Just the present one where nobody did. What is known best is the newest label not read yet (a scale of ours whose
    answer was lost, another autoscaler's, or all there is after a restart), else memory. From there the service came
    to the count of PreviousSpec, where an update was seen to have written that, and then to the present one.
    """
    before, label = view.before, view.labels.get(STATE_LABEL, "")
    if own and previous and _newest(own) < _newest(previous):
        own = None  # a rollback brought it back
    if own and before and before.state != label:
        if any((event.before, event.after) == (before.requested, view.requested) for event in own.events):
            return (view.requested,)  # the last update was the scale that wrote the label
        own = None  # it was not: the label was brought back by a rollback, or edited by hand
    newest = own or previous
    counts = [newest.replicas if newest else memory.requested]
    updated = memory.before != before or memory.label != label
    if before and updated:
        counts.append(before.requested)
    known = [count for count in (*counts, view.requested) if count is not None]
    return tuple(count for index, count in enumerate(known) if index == 0 or count != known[index - 1])


def _held_up(
    view: ServiceView, own: ScaleState, said: Mapping[str, ScaleState | None], now: float
) -> ScaleEvent | None:
    """The newest change that the label tells of, where the write that made it was carried out late.

    A write without an answer may be carried out long after it (docs/facts.md#late-writes).

    Its quiet time begins then, and not when it was decided on.
    """
    before, label = view.before, view.labels.get(STATE_LABEL, "")
    if before is None or before.state == label or not own.events:
        return None  # the last update was another one
    earlier, newest = said[before.state], own.events[-1]
    brought_back = earlier is not None and _newest(own) < _newest(earlier)
    by_it = (newest.before, newest.after) == (before.requested, view.requested)
    late = _updated(view, now) - newest.at > _WRITTEN_WITHIN
    return newest if by_it and late and not brought_back else None


def _updated(view: ServiceView, now: float) -> float:
    """When the service was last updated, never after *now*; to the millisecond, as the label will tell it."""
    return round(min(view.updated_at, now), 3)


def _newest(state: ScaleState) -> float:
    return state.events[-1].at if state.events else 0.0


def prune(events: tuple[ScaleEvent, ...], now: float) -> tuple[ScaleEvent, ...]:
    """The events of the last 30 minutes, the newest 20 at most, and the last of each direction however old.

    Of changes by others the last of each direction in these 30 minutes as well, because they have a cooldown of their
    own.
    """
    in_order = tuple(sorted(events))
    last = {direction: History(in_order).last(direction) for direction in Direction}
    recent = [event for event in in_order if now - event.at <= _KEPT_SECONDS]
    by_others = {event.direction: event for event in recent if event.by_others}
    kept = {*recent[-KEPT_EVENTS:], *by_others.values()}
    return tuple(sorted({*kept, *(event for event in last.values() if event is not None)}))
