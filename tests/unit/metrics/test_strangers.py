"""Tasks that report and do not run: what a reduction has just ended explains itself, and all others are named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autoscaler.core.model import ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.errors import UnreachableError
from autoscaler.evaluation.survey import survey
from autoscaler.metrics.queries import SERVICE_LABEL, TASK_LABEL
from autoscaler.metrics.strangers import NODE_LABEL
from autoscaler.metrics.windows import Needed
from autoscaler.swarm.cluster import STATE_LABEL, TaskView
from autoscaler.swarm.placement import NodeView
from autoscaler.swarm.scale_state import ScaleState
from autoscaler.util.deadline import Deadline
from tests.support.builders import NOW, STEP, written
from tests.support.world import settled_world
from tests.unit.metrics.test_windows import LONG_AGO, SETTINGS, Rig, metrics, policy, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoscaler.swarm.cluster import ServiceView

NODES = (NodeView("n1", "alpha"), NodeView("n2", "beta"))
CPU = policy("cpu")


class Bench(Rig):
    """Windows on cpu, and a Prometheus that is asked which containers report."""

    def __init__(self, reporting: dict[int, int], containers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(metrics())
        self.plant.tasks = {NOW + after: count for after, count in reporting.items()}
        self.containers = [*containers]
        self.asked: list[str] = []
        self.error: UnreachableError | None = None
        self.windows.reporters = self.reporters

    def reporters(self, expression: str, deadline: Deadline) -> list[dict[str, str]]:  # noqa: ARG002 - the signature
        """The labels of the containers that report."""
        self.asked.append(expression)
        if self.error is not None:
            raise self.error
        return [{SERVICE_LABEL: "web", TASK_LABEL: task, NODE_LABEL: node} for task, node in self.containers]

    def doubt(self, after: int, service: ServiceView) -> str:
        """Why the sample so many seconds after NOW proves no calm, in words; empty if it does."""
        self.now = NOW + after
        self.windows.refresh([Needed(service, CPU)], self.known, self.now, Deadline(60), nodes=NODES)
        windows, _ = self.windows.of(service, CPU, self.known)
        found = windows["cpu"].doubt(0)
        assert found is None or found.reason is Reason.PARTIAL_DATA
        return "" if found is None else found.detail


def tasks(count: int, requested: int | None = None, *young: float) -> ServiceView:
    """The service with so many old tasks and some *young* ones, which began to run at these moments."""
    service = view("web", *[LONG_AGO] * count, *young)
    return service if requested is None else replace(service, requested=requested)


def test_what_a_reduction_ended_is_not_doubted_while_it_lingers() -> None:
    """After 5 → 3 the two that ended report on, and had their part of the load; after their time they are doubted."""
    bench = Bench(dict.fromkeys(range(-600, 120, STEP), 5))
    assert bench.doubt(0, tasks(5)) == ""

    seen = {after: bool(bench.doubt(after, tasks(3))) for after in range(STEP, 120, STEP)}

    assert [after for after, doubted in seen.items() if not doubted] == [15, 30, 45, 60, 75]


def test_more_than_the_reduction_ended() -> None:
    """Two more than run where one was ended is a doubt at once."""
    bench = Bench(dict.fromkeys(range(-600, 120, STEP), 5))
    bench.doubt(0, tasks(4))
    assert "5 tasks report and 3 run" in bench.doubt(STEP, tasks(3))


def test_a_container_that_was_restarted_by_hand_is_not_explained() -> None:
    """No reduction has ended the task whose container is restarted, so that its container stays a doubt."""
    bench = Bench(dict.fromkeys(range(-600, 300, STEP), 3))
    bench.doubt(0, tasks(3))
    failed = tasks(2, 3)
    replaced = replace(failed, tasks=(*failed.tasks, TaskView("new", "running", NOW + 20, on_ready_node=True)))

    assert "3 tasks report and 2 run" in bench.doubt(STEP, failed)
    assert "3 tasks report" in bench.doubt(2 * STEP, replaced), "the new one is too young to be the third"
    assert bench.doubt(20 + SETTINGS.warmup + STEP - 5, replaced) == "", "it may be now"


def test_a_dead_one_does_not_hide_one_that_is_silent() -> None:
    """After 4 → 3 four must report while the one that ended certainly does: with three one that runs is silent."""
    bench = Bench(dict.fromkeys(range(STEP, 300, STEP), 3) | dict.fromkeys(range(-600, STEP, STEP), 4))
    bench.doubt(0, tasks(4))

    said = [bench.doubt(after, tasks(3)) for after in (15, 30, 45)]

    assert "so a running task may not report" in said[0]
    assert "so a running task may not report" in said[1]
    assert said[2] == "", "the one that ended may be gone from the third scrape on"


def test_after_a_restart_the_label_explains_the_excess() -> None:
    """A new autoscaler reads from the service that a reduction has just ended two."""
    label = ScaleState(3, (ScaleEvent(NOW - 20, 5, 3),)).encode()
    service = replace(tasks(3), labels={STATE_LABEL: label})
    bench = Bench(dict.fromkeys(range(-600, 120, STEP), 5))

    assert [bool(bench.doubt(after, service)) for after in (0, 45, 60)] == [False, False, True]


class TestNames:
    STRAY = ("web.2.stray", "n1")

    def bench(self, *containers: tuple[str, str]) -> Bench:
        """Five containers report, of which three are those of the tasks that run."""
        return Bench(
            dict.fromkeys(range(-600, 300, STEP), 5), [*(("web.1.web0", "n1"), ("web.2.web1", "n2")), *containers]
        )

    def test_the_container_and_its_node_are_named(self) -> None:
        """It says which container, on which node, and what to do."""
        said = self.bench(self.STRAY).doubt(0, tasks(3))
        assert said == (
            "5 tasks report and 3 run: Swarm does not run web.2.stray on alpha "
            "(if it stays, remove it there: docker rm -f web.2.stray)"
        )

    def test_another_clusters(self) -> None:
        """A node that this Swarm does not have is another cluster's under the same Prometheus."""
        said = self.bench(("web.1.other", "x9"), ("web.2.other", "x9")).doubt(0, tasks(3))
        assert "web.1.other, web.2.other on nodes that this Swarm does not have" in said
        assert "AUTOSCALER_METRIC_SELECTOR" in said

    def test_an_unknown_node(self) -> None:
        """Where cAdvisor does not give the node's label the container is named all the same."""
        assert "web.2.stray on an unknown node" in self.bench(("web.2.stray", "")).doubt(0, tasks(3))

    def test_of_many_the_first(self) -> None:
        """Three are named, and how many more there are."""
        many = [(f"web.{number}.s{number}", "n1") for number in range(5)]
        assert "web.0.s0 on alpha, web.1.s1 on alpha, web.2.s2 on alpha and 2 more" in self.bench(*many).doubt(
            0, tasks(3)
        )

    def test_asked_once_as_long_as_it_lasts(self) -> None:
        """One query when it begins, one when it changes, and none where nothing is wrong."""
        bench = self.bench(self.STRAY)
        bench.plant.tasks = {**bench.plant.tasks, NOW + 45: 4, NOW + 60: 3}
        for after in (0, 15, 30):
            assert "web.2.stray" in bench.doubt(after, tasks(3))
        assert len(bench.asked) == 1
        assert f'{SERVICE_LABEL}=~"web"' in bench.asked[0]
        bench.doubt(45, tasks(3))
        assert len(bench.asked) == 2
        bench.doubt(60, tasks(3))
        assert len(bench.asked) == 2

    def test_a_failure_costs_the_names_alone(self) -> None:
        """Without an answer the doubt stands, without names; the next evaluation asks again."""
        bench = self.bench(self.STRAY)
        bench.error = UnreachableError("away")
        assert bench.doubt(0, tasks(3)) == "5 tasks report and 3 run: the others may make the average too low"
        bench.error = None
        assert "web.2.stray" in bench.doubt(STEP, tasks(3))

    def test_a_task_that_only_starts_is_no_stranger(self) -> None:
        """A task whose health check has not passed yet is Swarm's own: nobody is to remove its container."""
        three = tasks(3)
        starting = TaskView("late", "starting", NOW - 30, on_ready_node=True)
        bench = self.bench(("web.4.late", "n1"))
        said = bench.doubt(0, replace(three, tasks=(*three.tasks, starting)))
        assert said == "5 tasks report and 3 run: the others may make the average too low"

    @pytest.mark.parametrize("silent", [-1, -3])
    def test_a_survey_does_not_call_it_good(self, silent: int) -> None:
        """`check --live`: where more report than run nothing is ever removed, which is a lack, with its causes."""
        world = settled_world(written({"name": "high", "metric": "cpu", "above": 70, "add": 1}))
        world.silent["web"] = silent
        world.pass_step()

        found = survey(world.cycle, world.policies)

        (reading,) = found.readings
        assert (reading.reporting, reading.running) == (3 - silent, 3)
        assert f"{3 - silent} tasks report and 3 run" in reading.lack
        assert "nothing is removed" in reading.lack
        assert not found.good
