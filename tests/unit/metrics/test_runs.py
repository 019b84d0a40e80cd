from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.model import ScaleEvent
from autoscaler.core.window import Part
from autoscaler.metrics.task_runs import Runs
from autoscaler.swarm.cluster import STATE_LABEL, ServiceView, SpecBefore, TaskView
from autoscaler.swarm.scale_state import ScaleState
from tests.support.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE = (Part(60, 0),)


def view(*since: float, requested: int | None = None, names: str = "abcdefghij") -> ServiceView:
    """A service whose tasks, named by letters, run *since* these moments; one that does not run begins never."""
    tasks = tuple(
        TaskView(name, "running" if at < inf else "starting", at, on_ready_node=True)
        for name, at in zip(names, since, strict=False)
    )
    count = len(tasks) if requested is None else requested
    return ServiceView("id", "web", 1, "replicated", count, NOW - 9999, NOW - 9999, tasks=tasks)


def labelled(service: ServiceView, *events: ScaleEvent) -> ServiceView:
    """The *service* with the autoscaler's label that tells of *events*."""
    return replace(service, labels={STATE_LABEL: ScaleState(service.requested, events).encode()})


def runs(*looks: tuple[float, ServiceView]) -> Runs:
    """What is known after these *looks*."""
    known = Runs()
    for now, service in looks:
        known.note([service], now)
    return known


def behind(known: Runs, service: ServiceView, end: float, parts: Sequence[Part] = MINUTE) -> float:
    """How many tasks ran over the minute before *end*."""
    return known.behind(service, parts, end, 15, 1)[0]


class TestBehind:
    def test_tasks_that_always_ran(self) -> None:
        """Where nothing changed it is the count, for each sample."""
        service = view(NOW - 900, NOW - 900, NOW - 900)
        assert runs((NOW, service)).behind(service, MINUTE, NOW, 15, 4) == (3.0,) * 4

    @pytest.mark.parametrize(
        ("ago", "mean"), [(90, 4), (60, 4), (45, 1 / (0.25 / 2 + 0.75 / 4)), (30, 1 / (0.5 / 2 + 0.5 / 4)), (0, 2)]
    )
    def test_tasks_that_have_begun(self, ago: int, mean: float) -> None:
        """Two tasks were two more *ago* seconds ago: each had a half of the load, and a quarter since then."""
        service = view(NOW - 900, NOW - 900, NOW - ago, NOW - ago)
        assert behind(runs((NOW, service)), service, NOW) == pytest.approx(mean)

    def test_tasks_that_have_ended(self) -> None:
        """A task counts until it was last seen, and none does that does not run yet."""
        three, two = view(NOW - 900, NOW - 900, NOW - 900), view(NOW - 900, NOW - 900, inf)
        known = runs((NOW - 30, three), (NOW - 15, two), (NOW, two))
        assert behind(known, two, NOW) == pytest.approx(1 / (0.5 / 3 + 0.5 / 2))

    def test_a_task_that_was_not_seen_for_a_moment(self) -> None:
        """A new leader of the Swarm has not heard of a node yet: its tasks did not end."""
        both, one = view(NOW - 900, NOW - 900), view(NOW - 900, inf)
        known = runs((NOW - 30, both), (NOW - 15, one), (NOW, both))
        assert behind(known, both, NOW) == 2
        assert not known.any_ended(both)

    def test_none_ran(self) -> None:
        """The time in which none ran is no sample's; where none ever did it is 0."""
        woken = view(NOW - 30)
        assert behind(runs((NOW, woken)), woken, NOW) == 1
        assert behind(runs((NOW, woken)), woken, NOW - 30) == 0

    def test_a_moment(self) -> None:
        """A span without a length is the count of its moment."""
        service = view(NOW - 900, NOW - 20)
        known = runs((NOW, service))
        assert [behind(known, service, NOW, (Part(ago, ago),)) for ago in (0, 19, 20, 21)] == [2, 2, 2, 1]

    def test_parts_that_weigh_more(self) -> None:
        """A part with three times the weight counts three times."""
        service = view(NOW - 900, NOW - 30)
        parts = (Part(60, 30, 1), Part(30, 0, 3))
        assert behind(runs((NOW, service)), service, NOW, parts) == pytest.approx(4 / (1 + 3 / 2))

    @pytest.mark.parametrize(
        ("since", "events", "end", "count"),
        [
            pytest.param((-900,) * 2, [(-50, 4, 2)], -60, 4, id="lowered before the first look"),
            pytest.param((-900,) * 2, [(-50, 4, 2)], -40, 2, id="after that"),
            pytest.param((-900, -900, -40), [(-50, 2, 3)], -45, 2, id="raised, and started later"),
            pytest.param((-900,) * 4, [(-80, 4, 10), (-50, 10, 4)], -60, 10, id="raised and lowered"),
            pytest.param((-900,) * 4, [(-80, 4, 10), (-50, 10, 4)], -90, 4, id="before it was raised"),
            pytest.param((-900,) * 4 + (-40, -40), [(-80, 10, 4), (-45, 4, 6)], -85, 10, id="lowered and raised"),
        ],
    )
    def test_before_the_first_look_the_label_tells(
        self, since: tuple[int, ...], events: list[tuple[int, int, int]], end: int, count: int
    ) -> None:
        """After a restart the changes on the service's label tell which tasks ran."""
        service = labelled(
            view(*(NOW + ago for ago in since)), *(ScaleEvent(NOW + at, before, after) for at, before, after in events)
        )
        assert behind(runs((NOW, service)), service, NOW + end, (Part(0, 0),)) == count

    def test_an_operators_scale_before_the_first_look(self) -> None:
        """What somebody else did last stands in the spec before."""
        service = replace(view(NOW - 900), before=SpecBefore(3, ""), updated_at=NOW - 20)
        assert behind(runs((NOW, service)), service, NOW - 30, (Part(0, 0),)) == 3

    @given(st.lists(st.integers(-200, 0), min_size=1, max_size=8), st.integers(-60, 0), st.integers(1, 90))
    def test_it_is_a_mean_of_the_counts(self, ages: list[int], end: int, length: int) -> None:
        """Restated second by second: the load of a task that shares a steady one, times it, is the load."""
        service = view(*(NOW + age for age in ages))
        parts = (Part(length, 0),)
        counts = [sum(age <= moment for age in ages) for moment in range(end - length, end)]
        shares = [1 / count for count in counts if count]
        mean = len(shares) / sum(shares) if shares else 0
        assert behind(runs((NOW, service)), service, NOW + end, parts) == pytest.approx(mean)


class TestRemoved:
    def test_a_reduction_that_was_seen(self) -> None:
        """As many tasks as a reduction ended, as long as somebody asks for that time."""
        known = runs((NOW - 30, view(*[NOW - 900] * 4)), (NOW - 15, view(*[NOW - 900] * 2)))
        service = view(*[NOW - 900] * 2)
        assert [known.removed(service, NOW - ago) for ago in (60, 20, 15, 5)] == [2, 2, 0, 0]

    def test_tasks_that_did_not_run(self) -> None:
        """A reduction that ended replicas which did not run explains no others."""
        known = runs(
            (NOW - 30, view(NOW - 900, inf, inf)), (NOW - 15, view(NOW - 900, requested=1)), (NOW, view(NOW - 900))
        )
        assert known.removed(view(NOW - 900), NOW - 60) == 0

    def test_a_task_that_failed_is_not_removed(self) -> None:
        """A task that ended by itself, as one whose container is restarted by hand, explains nothing."""
        known = runs((NOW - 30, view(NOW - 900, NOW - 900)), (NOW - 15, view(NOW - 900, inf)))
        assert known.any_ended(view(NOW - 900))
        assert known.removed(view(NOW - 900, inf), NOW - 60) == 0

    def test_after_a_restart_the_label_is_believed(self) -> None:
        """What the label tells of a reduction before the first look ended so many tasks."""
        service = labelled(view(NOW - 900), ScaleEvent(NOW - 20, 3, 1))
        known = runs((NOW, service))
        assert [known.removed(service, NOW - ago) for ago in (60, 10)] == [2, 0]


class TestShown:
    @pytest.mark.parametrize(("at", "shown"), [(-20, 1), (0, 1), (15, 1), (16, 0)])
    def test_a_task_that_ended_shows_for_a_while(self, at: int, shown: int) -> None:
        """It must be behind samples for so long after it was last seen to run."""
        known = runs((NOW - 15, view(NOW - 900, NOW - 900)), (NOW, view(NOW - 900)))
        assert known.shown(view(NOW - 900), NOW + at, 60, 30) == shown

    def test_a_task_that_was_too_young_to_report(self) -> None:
        """A task that ended before its warm-up was over never was behind a sample."""
        known = runs((NOW - 15, view(NOW - 900, NOW - 70)), (NOW, view(NOW - 900)))
        assert known.shown(view(NOW - 900), NOW, 60, 30) == 0


class TestReplaced:
    def test_a_young_task_after_one_that_failed(self) -> None:
        """While the new task is young the one that failed may report in its place, and not after that."""
        looks = [(NOW - 30.0, view(NOW - 900, NOW - 900)), (NOW - 15.0, view(NOW - 900, inf, names="ac"))]
        new = view(NOW - 900, NOW - 10, names="ac")
        known = runs(*looks, (NOW, new))
        assert known.replaced(new, NOW - 60)
        assert not known.replaced(new, NOW - 10)

    def test_a_young_task_after_a_reduction(self) -> None:
        """A task that a reduction ended has no other in its place, whatever begins later."""
        looks = [(NOW - 30.0, view(NOW - 900, NOW - 900)), (NOW - 15.0, view(NOW - 900))]
        new = view(NOW - 900, NOW - 10, names="ac")
        assert not runs(*looks, (NOW, new)).replaced(new, NOW - 60)


def test_a_service_that_is_not_looked_at_is_forgotten() -> None:
    """Nothing is known of a service after a look without it, and what runs now is behind its samples."""
    known = runs((NOW - 30, view(NOW - 900, NOW - 900)), (NOW - 15, view(NOW - 900)))
    known.note([], NOW)
    assert not known.any_ended(view(NOW - 900))
    assert behind(known, view(NOW - 900), NOW) == 1


def test_what_is_long_ago_is_forgotten() -> None:
    """Half an hour later nobody remembers a task, nor a reduction."""
    service = view(NOW - 900)
    known = runs((NOW - 30, view(NOW - 900, NOW - 900)), (NOW - 15, service), (NOW + 1800, service))
    assert not known.any_ended(service)
    assert known.removed(service, NOW - 60) == 0


def test_a_crash_loop_is_remembered_in_part() -> None:
    """However many tasks end, a few hundred are remembered."""
    known = Runs()
    for number in range(700):
        task = TaskView(f"t{number}", "running", NOW + number, on_ready_node=True)
        service = replace(view(NOW - 900), tasks=(task,))
        known.note([service], NOW + number + 0.5)
    assert known.shown(service, NOW + 700, 0, inf) <= 200
