"""A service's past: the label that is kept on it, and what the daemon remembers.

The scale history is kept on the service itself, in one label that is written in the same update as the scale. A stack
deploy drops the label. An operator's scale keeps it. Swarm keeps the state before the last update in PreviousSpec. So
the label and PreviousSpec show what happened, even without a memory of our own (docs/facts.md#who-changed-the-count).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isfinite
from sys import intern
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from autoscaler.core.model import (
    BY_DEPLOY,
    BY_OPERATOR,
    Direction,
    History,
    Observation,
    Recommended,
    ScaleEvent,
    ScaleUpStreak,
)
from autoscaler.swarm.cluster import SETTLE_TIME, STATE_LABEL
from autoscaler.util.durations import words
from autoscaler.util.moments import parse_unix_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from autoscaler.core.model import Decision
    from autoscaler.core.window import Window
    from autoscaler.swarm.cluster import ServiceView, SpecBefore

_REPAIRED_WITHIN = 3600.0
"""Seconds after a deploy in which the count that it lowered is set again."""
_KEPT_SECONDS = 30 * 60
"""Seconds for which the last change by others in each direction is kept, even if it is not among the newest."""
KEPT_EVENTS = 20
"""The number of changes that a service's history keeps; the newest are kept."""
LONGEST_WRITTEN = 4 * 1024
"""The most bytes of a label that is written. The label is part of each list of services that Swarm answers with."""
_LONGEST_RULE = 63
"""The most characters of a rule's name."""
_CAUSE = re.compile(r"([a-z_]{1,40})(?: ([a-z0-9][a-z0-9_.-]{0,62}))?")
"""Why a change was made, as the label has it: a reason, and the rule if there was one."""
_WRITTEN_WITHIN = 20.0
"""The most seconds from a decision to the end of its write, if nothing delays it: the longest evaluation."""
_MOST_REPLICAS = 1_000_000
_LONGEST_LABEL = 16 * 1024
"""The most characters of a label that is read: many times the autoscaler's longest."""
_UNREADABLE = (
    f"the label {STATE_LABEL} is not in the autoscaler's format, so the changes that it recorded are not known"
)

_BY_OTHERS = "others"
"""Marks a change in the label that somebody else made."""

_NOT_PAUSED: Mapping[Direction, str] = MappingProxyType({})
_NO_ENDS: Mapping[Direction, float] = MappingProxyType({})


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


@dataclass(frozen=True, slots=True)
class Lowered:
    """A count that a `docker stack deploy` lowered, to be set again."""

    at: float
    """When the deploy was, Unix seconds."""
    before: int
    """The count before the deploy."""
    after: int
    """The count in the deployed file."""


@dataclass(frozen=True, slots=True)
class ServiceHistory:
    """The facts that the daemon remembers about a service between evaluations."""

    requested: int | None = None
    """The count that the daemon last saw or set."""
    events: tuple[ScaleEvent, ...] = ()
    proposed: tuple[ScaleEvent, ...] = ()
    """The changes that a dry-run would have made. They start cooldowns without a change."""
    version: int | None = None
    """The service's version index, as last seen."""
    version_since: float = 0.0
    """When that version was first seen, by our own clock, because Swarm's may differ. At the very first look it is the
    time of the last update, if that is in the past."""
    label: str = ""
    """The autoscaler's label, as last seen; its changes are in `events`."""
    before: SpecBefore | None = None
    """The spec before the last update, as last seen; its changes are in `events`."""
    said: Mapping[str, ScaleState | None] = field(default_factory=dict)
    """The content of the labels last seen, by their texts. Each text is decoded once."""
    recommended: tuple[Recommended, ...] = ()
    """The counts that the rules resolved to earlier, with the requested count at the first look."""
    judged_at: float | None = None
    """The last time at which a rule had data to judge by; the time of the first look as long as none had."""
    lowered: Lowered | None = None
    """The count that a deploy lowered, until it is repaired or somebody changes the count again."""
    ours: bool = False
    """Whether the autoscaler's label was ever seen on the service. Deploys drop the label."""
    streak: ScaleUpStreak | None = None
    """The increases in a row that have not lowered a rule's metric."""
    asked: int | None = None
    """The count that somebody else last asked for, or a lower one since; None before the first look."""
    gave_back: float | None = None
    """The last time at which replicas without room were given back."""
    asleep: bool = False
    """Whether the service has 0 replicas because the autoscaler set it to 0, and nobody else."""
    unplaced: Mapping[str, float] = field(default_factory=dict)
    """When each task without a node was first seen, by our own clock. At the very first look it is the time since which
    Swarm reports the task as waiting, if that is in the past."""
    found: tuple[ScaleEvent, ...] = field(default=(), compare=False)
    """The changes by others that the last look found; they are in `events` too."""

    @property
    def history(self) -> History:
        """Return the history for stabilization and cooldown, with the changes that a dry-run would have made."""
        events = tuple(sorted({*self.events, *self.proposed}))
        return History(events, self.recommended, self.judged_at, self.streak, self.asked, self.gave_back)

    def with_decision(self, decision: Decision, longest: int) -> ServiceHistory:
        """Return this memory with the rules' result in *decision*; results older than *longest* seconds are dropped."""
        at = decision.at
        # The newest of equal counts suffices: it is within every window that an older one is within.
        count = decision.recommended
        kept = (each for each in self.recommended if at - each.at < longest and each.replicas != count)
        recommended = (*kept, Recommended(at, count)) if longest else ()
        judged_at = at if decision.judged else self.judged_at
        streak = self.streak if decision.changes else decision.streak  # a change counts once it is carried out
        return replace(self, recommended=recommended, judged_at=judged_at, streak=streak)

    def with_change(self, decision: Decision) -> ServiceHistory:
        """Return this memory once *decision* is carried out."""
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
        """Return the content of the service's label once *decision* is carried out."""
        asked = None if self.asked is None else min(self.asked, decision.desired)
        gave_back = decision.at if decision.gives_back else self.gave_back
        return ScaleState(decision.desired, self._events_after(decision), decision.streak, asked, gave_back)

    def _events_after(self, decision: Decision) -> tuple[ScaleEvent, ...]:
        event = ScaleEvent(decision.at, decision.requested, decision.desired).caused_by(*decision.cause)
        return prune((*self.events, event), decision.at)


def look(view: ServiceView, memory: ServiceHistory | None, now: float) -> tuple[ServiceHistory, str]:
    """Return the service's past, from memory, its label and its previous label; and the outside change in words.

    The second value is empty if nobody else changed the count since it was last known, or damaged the label. A changed
    count becomes an event of the history. Its time is that of the service's last update (never after *now*), or *now*
    if that update is not later than what was known before. A second look at the same service finds nothing new.

    The cases, by the label, the spec before the last update (PreviousSpec) and the count. The facts are measured
    (docs/facts.md#who-changed-the-count).

    ==============  ================  ===============  ==========================================================
    label           PreviousSpec      count            what happened
    ==============  ================  ===============  ==========================================================
    as read         as read           as known         nothing
    new             older label       as in label      a scale: ours after a restart or a lost answer, or another
                                                       autoscaler's; its changes become known, nobody else's did
    new             other than that   other            that scale, and then a change by somebody else
                    of the scale
    as read         same label        other            an operator's scale, which keeps the label
    gone            has the label     lower, above 0   a stack deploy that lowered the count: `_lowered`
    gone            has the label     same or higher   a stack deploy that did not lower the count
    gone            no label either   lower than       several deploys, of which Swarm shows the last one; memory
                                      known, above 0   shows the first: `_lowered_between`
    older           newer label       other            a rollback, which brought the older label and count back
    unreadable      any               any              somebody edited the label by hand: said in words, and the
                                                       count is judged as if there were no label
    any             any               0                the autoscaler's sleep or somebody's stop: `_asleep`
    ==============  ================  ===============  ==========================================================
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
    elif len(kept) > KEPT_EVENTS:
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
        found=_found(memory, kept, len(counts) - 1),
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
    """Return the events to remember, with those in *own* and *previous* and the outside change; and that in words."""
    told = {event for state in (own, previous) if state for event in state.events} - set(memory.events)
    # A time in the future counts as now, once. The label is not read again, so the time cannot hold changes for ever.
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
            who = _who(view, memory) if ago == 0 else ""
            events.add(ScaleEvent(round(at - ago / 1000, 3), older, newer, by_others=True, reason=who))
        changed = f"{' → '.join(map(str, counts))} by somebody else, {words(now - at)} ago"
    return prune(tuple(events), now), changed


def _found(memory: ServiceHistory, kept: tuple[ScaleEvent, ...], changes: int) -> tuple[ScaleEvent, ...]:
    """Return the newest *changes* by others that *memory* does not have yet."""
    if not changes:
        return ()
    return tuple(event for event in kept if event.by_others and event not in memory.events)[-changes:]


def _who(view: ServiceView, memory: ServiceHistory) -> str:
    """Return who made the last change by others: a deploy drops our label, and an operator's command keeps it.

    If the service never had our label, a deploy is known by a changed task template.
    """
    if STATE_LABEL in view.labels:
        return BY_OPERATOR
    had_label = bool(memory.label or (view.before and view.before.state))
    return BY_DEPLOY if had_label or view.template_changed else BY_OPERATOR


def observed(  # noqa: PLR0913 - as many as a decision depends on
    view: ServiceView,
    memory: ServiceHistory,
    windows: Mapping[str, Window],
    changed: str,
    now: float,
    *,
    standby: str = "",
    paused: Mapping[Direction, str] = _NOT_PAUSED,
    paused_until: Mapping[Direction, float] = _NO_ENDS,
) -> Observation:
    """Return the facts for a decision at *now*; *changed* is the outside change that `remember` found, in words.

    *standby*, *paused* and *paused_until* are as in Observation.
    """
    rolling = view.rolling(now)
    settling = "" if rolling else _settling(view, memory, now)
    return Observation(
        service=view.name,
        at=now,
        requested=view.requested,
        running=view.running,
        windows=windows,
        mode=view.mode,
        rollout=rolling or settling,
        rollout_until=memory.version_since + SETTLE_TIME if settling else None,
        pending=view.pending(now) if view.running < view.requested else "",
        stuck=view.stuck(now),
        unplaced_since=tuple(sorted(memory.unplaced.values())),
        changed_externally=changed,
        lowered_from=memory.lowered.before if memory.lowered else None,
        asleep=memory.asleep,
        standby=standby,
        paused=paused,
        paused_until=paused_until,
    )


def _settling(view: ServiceView, memory: ServiceHistory, now: float) -> str:
    """Return why a rollout may be about to begin, in words; empty if the time for that is over."""
    age = now - memory.version_since
    if not view.unsettled or age >= SETTLE_TIME:
        return ""
    return f"deployed {words(age)} ago, settles for {words(SETTLE_TIME)}"


def _asked(view: ServiceView, memory: ServiceHistory, own: ScaleState | None, changed: str) -> int:
    """Return the count that somebody else last asked for, or a lower one since.

    Somebody who changes the count asks for it. So does a deploy, which drops our label, even if it changes nothing. If
    nothing is known about a service, all its replicas count as requested by somebody else.
    """
    dropped = bool(memory.label) and STATE_LABEL not in view.labels
    known = own.asked if own else memory.asked
    return view.requested if changed or dropped or known is None else min(known, view.requested)


def _asleep(view: ServiceView, memory: ServiceHistory, said: Mapping[str, ScaleState | None], changed: str) -> bool:
    """Return whether the autoscaler set the service to 0.

    Our label shows it. A deploy whose file also gives 0 drops the label and changes nothing. PreviousSpec shows it
    then. After another such deploy only our memory does.
    """
    if view.requested != 0:
        return False
    own = said[view.labels.get(STATE_LABEL, "")]
    if own is not None:
        return own.replicas == 0
    previous = said[view.before.state] if view.before and view.before.requested == 0 else None
    return not changed and (memory.asleep if previous is None else previous.replicas == 0)


def _lowered(view: ServiceView, said: Mapping[str, ScaleState | None], now: float, *, ours: bool) -> Lowered | None:
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


def _said(view: ServiceView, memory: ServiceHistory) -> Mapping[str, ScaleState | None]:
    """Return the content of the labels: now, before the last update, and in memory. Each text is decoded once."""
    texts = {view.labels.get(STATE_LABEL, ""), view.before.state if view.before else "", memory.label}
    if texts <= memory.said.keys():
        return memory.said
    known = memory.said
    return {text: known[text] if text in known else ScaleState.decode(text) for text in texts}


def _unread(
    view: ServiceView, memory: ServiceHistory, said: Mapping[str, ScaleState | None]
) -> tuple[ScaleState | None, ScaleState | None]:
    """Return the content of the service's label and of its previous label, if memory has not read them yet."""
    read = {memory.label, memory.before.state if memory.before else ""}
    label = view.labels.get(STATE_LABEL, "")
    before = view.before.state if view.before else ""
    own = None if label in read else said[label]
    return own, None if before in {label, *read} else said[before]


def _counts_since(
    view: ServiceView, memory: ServiceHistory, own: ScaleState | None, previous: ScaleState | None
) -> tuple[int, ...]:
    """Return the counts since the service was last known: the known count first, the present one last.

    If nobody changed the count, only the present one is returned. The known count is that of the newest label that was
    not read yet, else that of memory. Such a label is from a scale of ours whose answer was lost, from another
    autoscaler, or from before a restart. From there the service came to the count of PreviousSpec, if an update was
    seen to have written it, and then to the present count.
    """
    before, label = view.before, view.labels.get(STATE_LABEL, "")
    if own and previous and _newest(own) < _newest(previous):
        own = None  # a rollback brought it back
    if own and before and before.state != label:
        if any((event.before, event.after) == (before.requested, view.requested) for event in own.events):
            return (view.requested,)  # the last update was the scale that wrote the label
        own = None  # a rollback brought the label back, or somebody edited it by hand
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
    """Return the newest change in the label if its write was carried out late; else None.

    A write without an answer may be carried out much later (docs/facts.md#late-writes). The cooldown then begins at the
    write, and not at the decision.
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
    """Return when the service was last updated, never after *now*; to the millisecond, as in the label."""
    return round(min(view.updated_at, now), 3)


def _newest(state: ScaleState) -> float:
    return state.events[-1].at if state.events else 0.0


def prune(events: tuple[ScaleEvent, ...], now: float) -> tuple[ScaleEvent, ...]:
    """Return the newest 20 events, and the last event of each direction, whatever their age.

    The last change by others in each direction within 30 minutes is kept too, because it has its own cooldown.
    """
    in_order = tuple(sorted(events))
    last = {direction: History(in_order).last(direction) for direction in Direction}
    by_others = {event.direction: event for event in in_order if event.by_others and now - event.at <= _KEPT_SECONDS}
    kept = {*in_order[-KEPT_EVENTS:], *by_others.values()}
    return tuple(sorted({*kept, *(event for event in last.values() if event is not None)}))
