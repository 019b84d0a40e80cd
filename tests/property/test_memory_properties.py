from __future__ import annotations

import json
from math import isfinite

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autoscaler.core.model import Direction, History, ScaleEvent, ScaleUpStreak
from autoscaler.core.reasons import Reason
from autoscaler.swarm.cluster import STATE_LABEL, ServiceView, SpecBefore
from autoscaler.swarm.history import LONGEST_WRITTEN, ScaleState, ServiceHistory, look, prune
from tests.support.builders import NOW, FakeService

KEPT = 22
"""The newest 20 changes, and the last of each direction."""

counts = st.integers(0, 9)
times = st.integers(-4_000_000, 1_000_000).map(lambda milliseconds: round(NOW + milliseconds / 1000, 3))
events = st.builds(ScaleEvent, times, counts, counts).filter(lambda event: event.before != event.after)
some_events = st.lists(events, max_size=30, unique=True).map(lambda some: tuple(sorted(some)))

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([NOW, 0, 1, 3, 1e300, 10**30, -1])
)
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["v", "replicas", "changes"]), inner),
    max_leaves=12,
)
almost = st.builds(
    lambda replicas, changes: json.dumps({"v": 1, "replicas": replicas, "changes": changes}),
    counts | leaves,
    st.lists(st.tuples(times | leaves, counts | leaves, counts | leaves), max_size=4),
)
labels = (
    st.text()
    | documents.map(json.dumps)
    | almost
    | st.builds(lambda replicas, some: ScaleState(replicas, some).encode(), counts, some_events)
)


@given(counts, some_events)
def test_round_trip(replicas: int, some: tuple[ScaleEvent, ...]) -> None:
    """What one label says is what the next look reads."""
    state = ScaleState(replicas, prune(some, NOW))

    assert ScaleState.decode(state.encode()) == state


longest_names = st.builds(str.__mul__, st.sampled_from("az09"), st.integers(1, 63))
explained = st.builds(
    ScaleEvent,
    times,
    st.integers(0, 1_000_000),
    st.integers(0, 1_000_000),
    st.booleans(),
    st.sampled_from([*(reason.value for reason in Reason), "x" * 40, ""]),
    longest_names,
).filter(lambda event: event.before != event.after)


@given(
    st.lists(explained, max_size=24),
    longest_names,
    st.integers(0, 1_000_000),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_no_label_is_longer_than_it_may_be(some: list[ScaleEvent], rule: str, count: int, value: float) -> None:
    """A label has at most 4 kB, whatever the names; all its changes are read back, and each reason is the real one."""
    kept = prune(tuple(some), NOW)
    state = ScaleState(count, kept, ScaleUpStreak(rule, count, value), count, NOW)

    text = state.encode()
    read = ScaleState.decode(text)

    assert len(text.encode()) <= LONGEST_WRITTEN
    assert read == state
    assert read is not None
    for event, written in zip(read.events, kept, strict=True):
        assert event.reason in {"", written.reason}
        assert event.rule in {"", written.rule}


@given(labels)
def test_any_label_is_read_safely(text: str) -> None:
    """Anybody may have written the label: it is bounded, sane history, or none."""
    state = ScaleState.decode(text)

    if state is not None:
        assert 0 <= state.replicas <= 1_000_000
        assert len(state.events) <= KEPT
        assert list(state.events) == sorted(state.events)
        for event in state.events:
            assert isfinite(event.at)
            assert event.before != event.after
            assert 0 <= min(event.before, event.after) <= max(event.before, event.after) <= 1_000_000


@st.composite
def views(draw: st.DrawFn) -> ServiceView:
    """A service with any labels and any past."""
    label = draw(st.just("") | labels)
    before = draw(st.none() | st.builds(SpecBefore, st.none() | counts, st.just("") | st.just(label) | labels))
    service = FakeService(draw(counts), draw(times), label, before)
    return service.view()


@st.composite
def memories(draw: st.DrawFn) -> ServiceHistory:
    """Anything that may be remembered."""
    return ServiceHistory(draw(counts), prune(draw(some_events), NOW), label=draw(st.just("") | labels))


@given(views(), st.none() | memories(), st.integers(0, 5000))
def test_a_second_look_finds_nothing_new(view: ServiceView, memory: ServiceHistory | None, later: int) -> None:
    """A change is adopted once: a second look at the same service finds no outside change, now or later."""
    known, _ = look(view, memory, NOW)

    assert look(view, known, NOW) == (known, "")
    again, changed = look(view, known, NOW + later)
    assert changed == ""
    assert set(again.events) <= set(known.events)


@given(views(), st.none() | memories())
def test_what_is_remembered_is_sane(view: ServiceView, memory: ServiceHistory | None) -> None:
    """History is in the order of time, bounded, and ends with the outside change where one is told."""
    known, changed = look(view, memory, NOW)

    assert known.requested == view.requested
    assert list(known.events) == sorted(set(known.events))
    assert len(known.events) <= KEPT
    held = set(memory.events) if memory else set()
    new = [event for event in known.events if event not in held]
    assert all(event.at <= NOW for event in new)
    if "by somebody else" in changed:
        assert view.requested in [event.after for event in known.events]
    assert known.label == view.labels.get(STATE_LABEL, "")


@given(some_events, st.integers(0, 10_000))
def test_prune_keeps_what_cooldowns_need(some: tuple[ScaleEvent, ...], later: int) -> None:
    """However old, the last change of each direction is kept; pruning twice prunes no more."""
    now = NOW + later

    kept = prune(some, now)

    assert set(kept) <= set(some)
    assert len(kept) <= KEPT
    for direction in (None, *Direction):
        assert History(kept).last(direction) == History(some).last(direction)
    assert prune(kept, now) == kept


ACTIONS = st.tuples(
    st.sampled_from(["ours", "lost", "operator", "deploy", "rollback", "swarm's rollback", "completed", "restart"]),
    st.integers(1, 9),
    st.integers(1, 60_000).map(lambda milliseconds: milliseconds / 1000),
)


@settings(max_examples=300)
@given(st.lists(ACTIONS, max_size=15))
def test_every_change_is_counted_once(actions: list[tuple[str, int, float]]) -> None:
    """Every applied change counts, an operator's included: none is lost, none counted twice, none invented."""
    service, now = FakeService(3, NOW - 86_400), float(NOW)
    memory, _ = look(service.view(), None, now)
    happened: list[ScaleEvent] = []

    for what, count, pause in actions:
        now = round(now + pause, 3)
        before = service.requested
        ours = what in {"ours", "lost"} and count != before
        restarted = what == "restart" and bool(service.label)
        if ours:
            answered = service.scaled_by_us(now, count, memory)
            memory = answered if what == "ours" else memory
        elif what == "operator":
            service.scaled_by_operator(now, count)
        elif what == "deploy":
            service.deployed(now, count)
        elif "rollback" in what and service.before is not None:
            (service.rolled_back if what == "rollback" else service.rolled_back_by_swarm)(now)
        elif what == "completed":
            service.rollout_completed(now)
        if service.requested != before:
            happened.append(ScaleEvent(now, before, service.requested))

        memory, changed = look(service.view(), memory, now)

        assert list(memory.events) == happened
        assert bool(changed) == (service.requested != before and not ours)
        assert not restarted or memory.requested == service.requested


def let_others(service: FakeService, actions: list[tuple[str, int]], now: float) -> float:
    """Let others do these things to the service, a while apart; returns when they are done."""
    for what, count in actions:
        now += 20
        if what == "operator":
            service.scaled_by_operator(now, count)
        elif what == "deploy":
            service.deployed(now, count)
        elif service.before is not None:
            service.rolled_back(now)
    return now


@given(
    ours=st.integers(1, 9),
    actions=st.lists(st.tuples(st.sampled_from(["operator", "deploy", "rollback"]), st.integers(1, 9)), max_size=6),
    restarted=st.booleans(),
)
def test_a_change_that_nobody_watched_starts_the_cooldown(
    *, ours: int, actions: list[tuple[str, int]], restarted: bool
) -> None:
    """The last change of a service is known after any absence, be it with memory or without."""
    service = FakeService(3, NOW - 86_400)
    memory, _ = look(service.view(), None, NOW)
    if ours != service.requested:
        memory = service.scaled_by_us(NOW, ours, memory)
    start = (service.requested, service.label, service.before)
    now = let_others(service, actions[:-1], NOW)
    before_last = service.requested
    now = let_others(service, actions[-1:], now)
    # Changes that lead back to the very same spec and previous spec cannot be told from none.
    assume((service.requested, service.label, service.before) != start)

    known, _ = look(service.view(), None if restarted else memory, now + 5)

    if service.requested != before_last:
        assert known.history.last() == ScaleEvent(now, before_last, service.requested)
