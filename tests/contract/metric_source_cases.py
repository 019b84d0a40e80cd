"""What every metric source does, whatever it gets its samples from: subclass it and say how to make one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan
from typing import TYPE_CHECKING, Protocol

import pytest

from autoscaler.errors import BackendError, RefusedError, UnreachableError
from autoscaler.ports import Query
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.ports import MetricSource, Series

STEP = 15
START = 1_767_600_000
"""The time of row 0: a multiple of every step used here, and longer ago than any Prometheus looks back."""

RECORDINGS: Mapping[str, Mapping[str, Mapping[int, tuple[float, int]]]] = {
    "steady": {"web": {row: (row / 4, 3) for row in range(41)}},
    "holes": {"web": dict.fromkeys((0, 1, 4, 5, 9, 10), (50.0, 2))},
    "several": {
        "shop_web": {row: (10.0 + row, 4) for row in range(11)},
        "shop-api.v2": dict.fromkeys(range(11), (0.125, 1)),
        "late": dict.fromkeys(range(8, 11), (7.0, 1)),
    },
    "shared": {"": {row: (100.0 + row, 0) for row in (0, 1, 3)}},
    "nothing": {},
}
"""The samples of each case: by service and row, the value and the number of tasks behind it."""


@dataclass(frozen=True)
class Subject:
    """A source that holds one case's samples, and the query that asks for them."""

    source: MetricSource
    query: Query

    def about(self, service: str) -> Subject:
        """The same source, and the query without a label: its answer is about *service*, or about all where empty."""
        return replace(self, query=replace(self.query, by=None, service=service))

    def rows(self, first: int, last: int, step: int = STEP) -> Mapping[str, Series]:
        """The samples from row *first* to row *last*, both included."""
        return self.source.fetch(self.query, START + first * STEP, START + last * STEP, step, Deadline(20))


class World(Protocol):
    """Makes sources of one kind."""

    def holding(self, case: str, *, counts_tasks: bool = True) -> Subject:
        """One that holds the samples of a case of `RECORDINGS`."""

    def refusing(self) -> Subject:
        """One that was asked something wrong."""

    def unreachable(self) -> Subject:
        """One that does not answer."""


def shown(series: Series) -> list[float | None]:
    """The values with None for a missing one: NaN equals nothing, not even itself."""
    return [None if isnan(value) else value for value in series.values]


class MetricSourceContract:
    """The sentences; a subclass provides the fixture `world`."""

    def test_both_ends_are_included(self, world: World) -> None:
        """A range holds the samples at its start, at its end, and at every step between, oldest first."""
        answer = world.holding("steady").rows(4, 8)
        assert answer["web"].values == [1.0, 1.25, 1.5, 1.75, 2.0]

    def test_a_range_of_one_step(self, world: World) -> None:
        """A range that starts where it ends holds one sample."""
        assert world.holding("steady").rows(10, 10)["web"].values == [2.5]

    def test_a_wider_step_takes_fewer_samples(self, world: World) -> None:
        """Samples between the steps that were asked for are left out."""
        assert world.holding("steady").rows(0, 8, step=4 * STEP)["web"].values == [0.0, 1.0, 2.0]

    def test_holes_stay_holes(self, world: World) -> None:
        """A sample that is missing is NaN, and its count of tasks 0; no neighbour is taken for it."""
        answer = world.holding("holes").rows(0, 10)["web"]
        assert shown(answer) == [50.0, 50.0, None, None, 50.0, 50.0, None, None, None, 50.0, 50.0]
        assert answer.tasks == [2, 2, 0, 0, 2, 2, 0, 0, 0, 2, 2]

    def test_steps_before_the_first_sample_are_holes(self, world: World) -> None:
        """Before the first sample there is none."""
        assert shown(world.holding("steady").rows(-2, 1)["web"]) == [None, None, 0.0, 0.25]

    def test_every_service_is_on_the_same_grid(self, world: World) -> None:
        """All services that have a sample in the range are answered for, each with all steps."""
        answer = world.holding("several").rows(6, 10)
        assert {service: shown(series) for service, series in answer.items()} == {
            "shop_web": [16.0, 17.0, 18.0, 19.0, 20.0],
            "shop-api.v2": [0.125] * 5,
            "late": [None, None, 7.0, 7.0, 7.0],
        }
        assert answer["late"].tasks == [0, 0, 1, 1, 1]

    def test_a_service_without_a_sample_in_the_range_is_absent_or_all_holes(self, world: World) -> None:
        """A service that only has samples elsewhere has none here."""
        answer = world.holding("several").rows(0, 4)
        assert "late" not in answer or shown(answer["late"]) == [None] * 5

    def test_an_empty_answer_is_an_empty_mapping(self, world: World) -> None:
        """A metric without any series is no error: it has no data."""
        assert dict(world.holding("nothing").rows(0, 4)) == {}

    def test_counts_only_where_they_were_asked_for(self, world: World) -> None:
        """A metric without tasks behind it has no counts, and not zeros."""
        answer = world.holding("steady", counts_tasks=False).rows(0, 1)["web"]
        assert answer.values == [0.0, 0.25]
        assert answer.tasks is None

    def test_a_query_about_one_service(self, world: World) -> None:
        """Without a label that says whose a series is, the answer is about the service that the query names."""
        answer = world.holding("holes").about("web").rows(3, 6)
        assert {service: shown(series) for service, series in answer.items()} == {"web": [None, 50.0, 50.0, None]}
        assert answer["web"].tasks == [0, 2, 2, 0]

    def test_a_value_that_all_share(self, world: World) -> None:
        """Without a label and a service, the answer is one value for all, under no name."""
        answer = world.holding("shared", counts_tasks=False).about("").rows(0, 3)
        assert {service: shown(series) for service, series in answer.items()} == {"": [100.0, 101.0, None, 103.0]}
        assert answer[""].tasks is None

    @pytest.mark.parametrize("service", ["web", ""])
    def test_an_empty_answer_is_about_nobody(self, world: World, service: str) -> None:
        """Without any series there is none either for the service that the query names."""
        assert dict(world.holding("nothing", counts_tasks=False).about(service).rows(0, 4)) == {}

    def test_asking_again_gives_the_same(self, world: World) -> None:
        """An answer depends on what was asked, not on what was asked before."""
        subject = world.holding("holes")
        assert shown(subject.rows(0, 10)["web"])[5:8] == shown(subject.rows(5, 7)["web"])

    def test_what_is_refused_is_told_from_what_is_unreachable(self, world: World) -> None:
        """A wrong question raises RefusedError, no answer UnreachableError; nothing else is raised."""
        with pytest.raises(RefusedError):
            world.refusing().rows(0, 1)
        with pytest.raises(UnreachableError):
            world.unreachable().rows(0, 1)

    def test_the_clock_offset_of_an_unreachable_source_is_an_error(self, world: World) -> None:
        """A source that does not answer has no clock to compare."""
        with pytest.raises(BackendError):
            world.unreachable().source.clock_offset(START, Deadline(20))


def query(*, by: str = "service", expression: str = "", counts_tasks: bool = True) -> Query:
    """A query of a metric called `load`."""
    return Query("load", expression or "load", by, counts_tasks)


def close(*values: float | None) -> list[object]:
    """What `shown` gives, but for the last digits."""
    return [None if value is None else pytest.approx(value, abs=1e-9) for value in values]
