"""What every store of happenings does, in a file or in memory: subclass it and say where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autoscaler.journal.happening import Beat, Happening, HappeningKind
from autoscaler.journal.store import HistoryStore
from tests.support.builders import NOW

HELD = Happening(
    HappeningKind.HOLD,
    NOW,
    "web",
    ongoing=True,
    begun=1,
    facts={"reason": "cooling_down", "rules": ["cpu-high", "cpu-low"]},
    values={"cpu-high": (40.123456, 83.0)},
    document={"why": "cpu 83 %, above 70 % for 1m", "count": 3},
)
PROBLEM = Happening(HappeningKind.PROBLEM, NOW + 1, subject="prometheus", ongoing=True, facts={"detail": "refused"})
CHANGED = Happening(HappeningKind.CHANGE, NOW + 60, "web", until=NOW + 60, facts={"before": 3, "after": 4})
OTHER = Happening(HappeningKind.UNCHANGED, NOW + 60, "shop", ongoing=True, begun=5, document={"why": "no_breach"})
FOREVER = NOW + 1e6


def keys(store: HistoryStore, since: float = 0, until: float = FOREVER, **by: object) -> list[tuple[float, str]]:
    """The times and services of what *store* answers."""
    return [(each.at, each.service) for each in store.between(since, until, **by).happenings]  # type: ignore[arg-type]


class HistoryContract:
    """The cases. A subclass has the fixture `store`."""

    def test_what_is_kept_is_read(self, store: HistoryStore) -> None:
        """A happening is read as it was kept; values to four digits."""
        store.append([replace(HELD, until=NOW + 45, times=4, ongoing=False)])

        (read,) = store.between(0, FOREVER).happenings

        values = {"cpu-high": (40.12, 83.0)}
        assert read == replace(HELD, until=NOW + 45, times=4, ongoing=False, values=values)

    def test_what_goes_on_lasts_until_the_last_evaluation(self, store: HistoryStore) -> None:
        """A run that goes on has no end of its own: the beat tells how far it came, and how many evaluations it has."""
        store.append([replace(HELD, begun=2), PROBLEM], Beat(NOW + 45, 5))

        held, problem = store.between(0, FOREVER).happenings

        assert (held.until, held.times, held.ongoing) == (NOW + 45, 4, True)
        assert (problem.until, problem.times, problem.ongoing) == (NOW + 45, 1, True)

    def test_an_end_is_taken_and_nothing_else(self, store: HistoryStore) -> None:
        """The end of a run needs only its key, its end, its times and its values; what it began with stays."""
        end = Happening(HappeningKind.HOLD, NOW, "web", until=NOW + 30, times=3, values={"a": (1, 9), "b": (2, 2)})

        store.append([HELD])
        store.append([end])

        (read,) = store.between(0, FOREVER).happenings
        assert (read.until, read.times, read.ongoing, read.document) == (NOW + 30, 3, False, HELD.document)
        assert read.values == {"cpu-high": (1, 9), "cpu-low": (2, 2)}

    def test_a_batch_is_kept_whole_or_not_at_all(self, store: HistoryStore) -> None:
        """A batch that cannot be written leaves nothing of itself behind."""
        store.append([CHANGED])
        mixed: Any = {1: 2, "a": 3}  # keys of two types cannot be sorted
        broken = replace(OTHER, facts=mixed)

        with pytest.raises(TypeError):
            store.append([HELD, broken])

        assert keys(store) == [(NOW + 60, "web")]

    def test_reading_by_time(self, store: HistoryStore) -> None:
        """All that was so at some time within the span is read, also what began before it, or still goes on."""
        store.append([replace(HELD, until=NOW + 30, ongoing=False), PROBLEM, CHANGED, OTHER], Beat(NOW + 90, 6))

        assert keys(store, NOW + 31, NOW + 59) == [(NOW + 1, "")]
        assert keys(store, NOW + 30, NOW + 60) == [(NOW, "web"), (NOW + 1, ""), (NOW + 60, "web"), (NOW + 60, "shop")]
        assert keys(store, 0, NOW) == [(NOW, "web")]
        assert keys(store, 0, float("inf"), newest_first=True)[-1] == (NOW, "web")

    def test_reading_by_service_and_kind(self, store: HistoryStore) -> None:
        """A reader may ask for one service, or for some kinds."""
        store.append([HELD, PROBLEM, CHANGED, OTHER])

        assert keys(store, service="shop") == [(NOW + 60, "shop")]
        assert keys(store, service="nobody") == []
        assert keys(store, kinds={HappeningKind.CHANGE, HappeningKind.PROBLEM}) == [(NOW + 1, ""), (NOW + 60, "web")]
        assert keys(store, service="web", kinds={HappeningKind.HOLD}) == [(NOW, "web")]
        assert store.services() == ("shop", "web")
        assert store.oldest() == NOW

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_pages(self, store: HistoryStore, *, newest_first: bool) -> None:
        """Pages follow one another without a gap or a repetition, though many things happen at one moment."""
        happenings = [replace(CHANGED, at=NOW + index // 4, service=f"web{index % 4}") for index in range(30)]
        store.append(happenings)
        found: list[tuple[float, str]] = []
        cursor: str | None = None

        while True:
            page = store.between(0, FOREVER, after=cursor, limit=7, newest_first=newest_first)
            found += [(each.at, each.service) for each in page.happenings]
            if (cursor := page.next) is None:
                break

        expected = sorted((each.at, each.service) for each in happenings)
        assert found == (expected[::-1] if newest_first else expected)

    @pytest.mark.parametrize("cursor", ["", "x", "1-2-3", "1-2-3-4-5", "1-2-3--4", "1-2-3-99999999999999999999"])
    def test_a_wrong_cursor_is_refused(self, store: HistoryStore, cursor: str) -> None:
        """A cursor that no page gave is refused with the cure."""
        with pytest.raises(ValueError, match="is not a cursor"):
            store.between(0, FOREVER, after=cursor)

    def test_the_decision_at_a_moment(self, store: HistoryStore) -> None:
        """For any moment the run of decisions is found that was the newest one then; other happenings are none."""
        store.append([replace(HELD, until=NOW + 30, times=3, ongoing=False), replace(CHANGED, at=NOW + 20)])
        store.append([replace(OTHER, service="web", at=NOW + 45, begun=4)], Beat(NOW + 90, 7))

        assert store.at("web", NOW - 1) is None
        assert store.at("nobody", NOW) is None
        assert [found and found.at for found in (store.at("web", at) for at in (NOW, NOW + 44, NOW + 1e5))] == [
            NOW,
            NOW,
            NOW + 45,
        ]

    def test_what_is_over_for_long_is_forgotten(self, store: HistoryStore) -> None:
        """What was over before a time is forgotten, with the names that nothing else has; what goes on stays."""
        old = replace(HELD, until=NOW + 30, ongoing=False, service="gone")
        store.append([old, PROBLEM, replace(HELD, service="lasting"), CHANGED], Beat(NOW + 90, 7))

        store.expire(NOW + 31)

        assert keys(store) == [(NOW, "lasting"), (NOW + 1, ""), (NOW + 60, "web")]
        assert store.services() == ("lasting", "web")

    def test_documents_that_are_alike_take_few_bytes(self, store: HistoryStore) -> None:
        """Each document of a service is read whole, though only what differs from an earlier one is kept."""
        many = [
            replace(HELD, at=NOW + index, until=NOW + index, ongoing=False, document={"n": index, "why": "abc " * 200})
            for index in range(2000)
        ]
        store.append(many)

        assert store.size() < 250_000
        assert store.at("web", NOW + 1500) == replace(many[1500], values={"cpu-high": (40.12, 83.0)})

    def test_what_is_copied_is_the_same(self, store: HistoryStore) -> None:
        """Another store takes over the newest happenings and all that goes on, which still goes on there."""
        store.append([HELD, PROBLEM, CHANGED, OTHER], Beat(NOW + 90, 7))
        other = HistoryStore()

        store.copy_to(other, newest=10)

        assert other.between(0, FOREVER) == store.between(0, FOREVER)
        other.append([], Beat(NOW + 105, 8))
        assert next(each.until for each in other.between(0, FOREVER).happenings) == NOW + 105
        other.close()
