from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.model import Outcome, Recommendation, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from autoscaler.journal.chronicle import Chronicle
from autoscaler.journal.happening import Happening, HappeningKind
from autoscaler.journal.store import HistoryStore
from tests.support.builders import NOW
from tests.support.world import decided

STEP = 15
FOREVER = 1e11
services = st.sampled_from(["web", "shop", "", "ä\x00\u202e"])
moments = st.integers(-5_000_000, 5_000_000).map(lambda number: round(NOW + number / 1000, 3))
facts = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9) | st.none(), min_size=1, max_size=4)
documents = st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=200), min_size=1, max_size=4)


@st.composite
def happenings(draw: st.DrawFn) -> Happening:
    """Anything that may happen."""
    at, ongoing = draw(moments), draw(st.booleans())
    return Happening(
        draw(st.sampled_from(HappeningKind)),
        at,
        draw(services),
        draw(st.text(max_size=5)),
        until=None if ongoing else round(at + draw(st.integers(0, 10_000)), 3),
        ongoing=ongoing,
        times=draw(st.integers(1, 99)),
        begun=draw(st.integers(0, 99)),
        facts=draw(facts),
        document=draw(documents),
    )


some = st.lists(happenings(), max_size=30, unique_by=lambda each: each.key)


@given(some, st.integers(1, 7), st.booleans())
def test_all_that_is_kept_is_read_once(kept: list[Happening], limit: int, newest: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Whatever is kept is read back whole, each thing once, in the order of time, however it is paged."""
    store = HistoryStore()
    store.append(kept)
    found: list[Happening] = []
    cursor: str | None = ""
    while cursor is not None:
        page = store.between(0, FOREVER, after=cursor or None, limit=limit, newest_first=newest)
        found, cursor = [*found, *page.happenings], page.next
    store.close()

    assert [each.at for each in found] == sorted((each.at for each in kept), reverse=newest)
    expected = {each.key: each for each in kept}
    assert len(found) == len(expected)
    for each in found:
        told = expected[each.key]
        assert (each.facts, each.document, each.ongoing) == (told.facts, told.document, told.ongoing)
        assert each.until == (told.at if told.ongoing else told.until)


@given(some, moments)
def test_what_is_over_is_forgotten_and_nothing_else(kept: list[Happening], before: float) -> None:
    """Expiry forgets exactly what was over before its time; doing it again forgets no more."""
    store = HistoryStore()
    store.append(kept)

    for _ in range(2):
        store.expire(before)
        left = {each.key for each in store.between(0, FOREVER, limit=1000).happenings}
        assert left == {each.key for each in kept if each.ongoing or (each.until or 0) >= before}
    store.close()


@settings(max_examples=20)
@given(st.integers(50, 400), st.integers(100_000, 300_000))
def test_a_store_is_bounded(batches: int, largest: int) -> None:
    """However much happens, a store is no larger than it may be after each look for what is too old."""
    store = HistoryStore(largest=largest)
    for batch in range(batches // 10):
        at = NOW + batch
        store.append(
            Happening(HappeningKind.PROBLEM, at, f"w{index}", f"s{batch}", facts={"t": f"{batch * index:0200d}"})
            for index in range(100)
        )
        store.expire(0)
        assert store.size() <= largest
    store.close()


decisions = st.tuples(
    st.sampled_from([Outcome.HELD, Outcome.UNCHANGED, Outcome.APPLIED, Outcome.FAILED, Outcome.DRY_RUN]),
    st.sampled_from([Reason.COOLING_DOWN, Reason.NO_BREACH]),
    st.integers(1, 3),
    st.none() | st.floats(0, 100),
)
steps = st.lists(st.tuples(st.sampled_from(["web", "shop", "both", "none", "swarm is lost"]), decisions), max_size=40)


def made(service: str, at: float, what: tuple[Outcome, Reason, int, float | None]) -> Record:
    """A record of a service: its outcome, its reason, its count and the value that its rule saw."""
    outcome, reason, count, value = what
    told = (Recommendation("cpu-high", reason, None, value),)
    decision = decided(Why(reason, f"at {at}"), requested=count, desired=count, recommendations=told)
    return Record(replace(decision, service=service, at=at), outcome)


def document(record: Record) -> dict[str, Any]:
    """A document that tells what a record says."""
    decision = record.decision
    return {"outcome": record.outcome.value, "reason": decision.primary.reason.value, "count": decision.requested}


@given(steps, st.integers(0, 60))
def test_every_decision_is_found_again(lived: list[Any], killed_after: int) -> None:
    """For each evaluation the store has the decisions, and it counts each evaluation once, also after kill -9.

    The range of a rule's values holds all of them, unless the process was killed within the run.
    """
    store, chronicle, killed_at = HistoryStore(), Chronicle(document), -1.0
    lives: dict[str, list[Record]] = {"web": [], "shop": []}
    for index, (who, what) in enumerate(lived):
        at = NOW + index * STEP
        if who == "swarm is lost":
            store.append(*chronicle.evaluated(Evaluation(at, problems=(Problem("swarm", "refused"),))))
            continue
        names = [name for name in lives if who in {name, "both"}]
        records = tuple(made(name, at, what) for name in names)
        for name, record in zip(names, records, strict=True):
            lives[name].append(record)
        store.append(*chronicle.evaluated(Evaluation(at, records)))
        if index == killed_after:
            with store._writing():
                store._end_what_goes_on()
            chronicle, killed_at = Chronicle(document), at
    store.append(chronicle.stopped(NOW + len(lived) * STEP))

    for name, decided_on in lives.items():
        runs = store.between(0, FOREVER, service=name, limit=1000).happenings
        assert sum(run.times for run in runs) == len(decided_on)
        for record in decided_on:
            found = store.at(name, record.decision.at)
            assert found is not None
            assert found.document == document(record)
            assert found.at <= record.decision.at <= (found.until or 0)
            value = record.decision.recommendations[0].value
            if value is not None and found.at > killed_at:
                low, high = found.values["cpu-high"]
                assert low <= float(f"{value:.4g}") <= high
    store.close()
