"""Starved tasks look idle: what is known of them, and what is held because of it."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING

import pytest

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.errors import RefusedError
from autoscaler.evaluation.journal import Journal
from autoscaler.evaluation.survey import survey
from autoscaler.metrics.queries import BUSY, STARVATION, WAITS
from autoscaler.metrics.sample_cache import SampleCache
from autoscaler.metrics.starvation import LASTING, Place, Starvation, looks_back
from autoscaler.policy.metric import Metric
from autoscaler.ports import Series
from autoscaler.swarm.cluster import ServiceView, TaskView
from autoscaler.swarm.placement import NodeView
from autoscaler.views.problems import problem_line
from tests.support.builders import CPU_HIGH, NOW, STEP, threshold, window, written
from tests.support.world import FREE, SETTINGS, World, only, policy_for, said, settled_world

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from autoscaler.core.records import Problem
    from autoscaler.core.window import Doubt

RATE = SETTINGS.rate_window
LENGTH = 12
N1 = NodeView("id1", "n1", nano_cpus=4_000_000_000)
N2 = NodeView("id2", "n2", nano_cpus=2_000_000_000)
LOW: Mapping[str, Any] = {"name": "low", "metric": "cpu", "below": 30, "for": "2m", "remove": 1}


def place(service: str = "web", *, kind: str = BUSY, node: str = "id1", instance: str = "a:8080") -> str:
    """The label of a series."""
    return f"{kind} {node} {instance} {service}"


def view(name: str = "web", *nodes: str) -> ServiceView:
    """A service with a task on each of *nodes*."""
    tasks = tuple(TaskView(f"{name}{node}", "running", 0.0, on_ready_node=True, node=node) for node in nodes)
    return ServiceView(name, name, 1, "replicated", len(nodes), 0.0, 0.0, tasks=tasks)


def noted(
    answer: Mapping[str, Sequence[float]], *views: ServiceView, back: int = 0, known: Starvation | None = None
) -> Starvation:
    """What is known after an evaluation at `NOW` that was given *answer*, whose samples end *back* steps before it."""
    cache = SampleCache(STEP, LENGTH)
    end = NOW - back * STEP
    rows = {key: Series([*[nan] * (LENGTH - len(values)), *values]) for key, values in answer.items()}
    cache.merge(rows, end - (LENGTH - 1) * STEP, end)
    starvation = known or Starvation(RATE)
    starvation.note(cache, NOW, {view.name: view for view in views or (view("web", "id1"),)}, (N1, N2), float(NOW))
    return starvation


def doubt(starvation: Starvation, of: ServiceView | None = None) -> Doubt | None:
    """Why a low value of the service proves no calm."""
    return starvation.doubt(of or view("web", "id1"), window([50, 12.3]))


class TestDoubts:
    def test_the_node_and_its_numbers_are_named(self) -> None:
        """The reason names the node as Swarm does, what it uses of its cores, and the value that may be low for it."""
        found = doubt(noted({place(): [0.985]}))

        assert found is not None
        assert (found.reason, found.until) == (Reason.STARVED, NOW + RATE)
        assert found.detail == "node n1 uses 3.94 of 4 cores, so 12.3 % may be starved and not idle"

    def test_a_task_that_waits(self) -> None:
        """Where the task's own waiting is known, that is what is told."""
        found = doubt(noted({place(kind=WAITS): [0.62]}))

        assert found is not None
        assert found.detail == "a task on node n1 waits 62% of the time for CPU, so 12.3 % may be starved and not idle"

    def test_a_starvation_that_is_over(self) -> None:
        """It is doubted what was measured while it lasted, a rate window longer than the last reading of it."""
        found = doubt(noted({place(): [0.98, 1.02, nan, nan]}))

        assert found is not None
        assert found.until == NOW - 2 * STEP + RATE
        assert found.detail.startswith("node n1 used 4 of 4 cores 30s ago, ")

    def test_the_last_one_is_told_of_several(self) -> None:
        """Of the nodes of a service that counts which was starved last, and of those the one that uses most."""
        answer = {
            place(): [0.99, nan],
            place(node="id2", instance="b:8080"): [0.97, 0.98],
            place(node="id3", instance="c:8080"): [0.99, 0.97],
        }
        found = doubt(noted(answer, view("web", "id1", "id2", "id3")), view("web", "id1", "id2", "id3"))

        assert found is not None
        assert found.detail.startswith("node n2 uses 1.96 of 2 cores")

    def test_others_are_not_doubted(self) -> None:
        """A service that has no task on such a node is judged as ever."""
        assert doubt(noted({place("api"): [1.0]}, view("api", "id1"), view())) is None
        assert doubt(noted({}, view())) is None

    @pytest.mark.parametrize(
        ("views", "name"),
        [
            ((view("web", "id2"),), "n2"),
            ((view("web", "id1", "id2"), view("api", "id2")), "n2"),
            ((view("web", "id1", "id2"),), "a:8080"),
            ((view("web", "id1"), view("api", "id2")), "a:8080"),
            ((view("web", "gone"),), "a:8080"),
        ],
    )
    def test_series_that_do_not_tell_the_node(self, views: tuple[ServiceView, ...], name: str) -> None:
        """Without the label the node is the one that all services seen there have a task on, or else the instance."""
        answer = {place(each.name, node=""): [0.99] for each in views}
        found = doubt(noted(answer, *views), views[0])

        assert found is not None
        assert found.detail.startswith(f"node {name} uses ")

    @pytest.mark.parametrize("back", [1, 5])
    def test_an_answer_that_lacks(self, back: int) -> None:
        """Where Prometheus was not asked up to now, nothing is known of starvation, and no low value is a calm."""
        found = doubt(noted({}, back=back))

        assert found is not None
        assert (found.reason, found.until) == (Reason.WINDOW_INCOMPLETE, inf)

    def test_a_label_of_another_making(self) -> None:
        """A label that is none of ours is passed over."""
        assert Place.of("busy web") is None
        assert doubt(noted({"busy": [1.0]})) is None


class TestProblems:
    def lasting(self, seconds: float, since: int = 0) -> list[Problem]:
        """What is told when the node has been looked at for so long; its last readings, *since* steps, are lower."""
        starvation = noted({place(): [1.0], place("api"): [1.0]}, view("web", "id1"), view("api", "id1"))
        tail = [1.0, *[nan] * since]
        noted({place(): tail, place("api"): tail}, view("web", "id1"), view("api", "id1"), known=starvation)
        return list(starvation.problems(NOW + seconds))

    def test_ten_minutes(self) -> None:
        """Starvation is a problem ten minutes after it was first seen, with the node, the services and the cure."""
        assert self.lasting(LASTING - 1) == []
        (problem,) = self.lasting(LASTING)
        assert (problem.kind, problem.subject) == ("starved", "n1")
        assert problem_line(problem) == (
            "the node n1 is starved of CPU: it has had no CPU to spare for 10m, so low cpu of its services does "
            "not count as idle: api, web (reserve CPU by deploy.resources.reservations.cpus, or add room)"
        )

    def test_a_reading_that_varies_ends_nothing(self) -> None:
        """A reading below the bound among others above it is noise; a rate window without any is the end."""
        assert self.lasting(LASTING, since=RATE // STEP)
        assert not self.lasting(LASTING, since=RATE // STEP + 1)

    def test_many_services_are_counted(self) -> None:
        """Of many services the first are named."""
        names = [f"s{number}" for number in range(5)]
        starvation = noted({place(name): [1.0] for name in names}, *(view(name, "id1") for name in names))
        (problem,) = starvation.problems(NOW + LASTING)
        assert "idle: s0, s1, s2 and 2 more (" in problem.detail


class TestWhoLooks:
    @pytest.mark.parametrize(
        ("rules", "keys", "back"),
        [
            ([LOW], {}, 120),
            ([LOW], {"on_starved": "allow"}, None),
            ([{"name": "high", "metric": "cpu", "above": 70, "for": "5m", "add": 1}], {}, None),
            ([{**LOW, "metric": "memory"}], {}, None),
            ([LOW, {**LOW, "name": "high", "below": 10, "for": "5m"}], {}, 300),
            ([{"name": "t", "metric": "cpu", "strategy": "target", "target": 60}], {}, 0),
        ],
    )
    def test_rules_that_remove_by_cpu(
        self, rules: list[dict[str, Any]], keys: dict[str, Any], back: int | None
    ) -> None:
        """A policy is looked at that removes by `cpu` and does not allow it while its tasks are starved."""
        assert looks_back(written(*rules, **keys)) == back

    def test_one_query_more_whatever_the_number_of_services(self) -> None:
        """One query more for `cpu` is asked for all services, and none where no policy needs it."""
        world = World(policy_for("a*", name="a"), policy_for("b*", name="b"))
        for number in range(20):
            world.service(f"a{number}")
            world.service(f"b{number}")
        world.settle()
        world.next()
        world.next()

        assert [metric for metric, _, _ in world.source.asked] == ["cpu", "cpu"]
        filled, again = world.source.looked
        assert (filled[1] - filled[0]) // STEP + 1 == (60 + RATE) // STEP
        assert (again[1] - again[0]) // STEP == 2

    @pytest.mark.parametrize(
        "world",
        [
            World(policy_for("web", rules=(CPU_HIGH,))),
            World(policy_for("web"), metrics={"cpu": Metric(query="cpu", by="service", unit="%")}),
            World(FREE.model_copy(update={"on_starved": "allow"})),
        ],
        ids=["adds only", "defined anew", "allowed"],
    )
    def test_no_query_where_nobody_needs_it(self, world: World) -> None:
        """Where no policy removes by the built-in `cpu` and minds starvation, nothing is asked."""
        world.service(cpu=10)
        world.settle()
        world.next()

        assert world.source.asked
        assert world.source.looked == []


def starved_world(policy: Any = FREE, cpu: float = 10) -> World:
    """A world whose node has had no CPU to spare for a while."""
    world = World(policy)
    world.service(cpu=cpu)
    world.starved["web"] = 0.99
    world.settle()
    return world


class TestEvaluations:
    @pytest.mark.fault("node-starved")
    def test_a_removal_is_held(self) -> None:
        """A low value on a node without CPU to spare removes nothing, and says why; once that is over, it does."""
        world = starved_world()

        record = only(world.next())
        assert said(record) == (Outcome.HELD, Reason.STARVED, 3, 3)
        assert record.decision.primary.rule == "cpu-low"
        assert record.decision.primary.detail == (
            "cpu: node node:8080 uses 99% of its CPU, so 10 % may be starved and not idle"
        )

        world.starved.clear()
        ended = world.clock.now()
        changed = world.until_changed()
        assert said(changed) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)
        # The first sample that tells of no starved moment, and the rule's minute from there.
        assert world.clock.now() - ended == RATE + 60

    @pytest.mark.parametrize(
        ("policy", "cpu", "expected"),
        [
            (FREE, 90, (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)),
            (policy_for("web", least=5), 10, (Outcome.APPLIED, Reason.BELOW_MIN, 3, 5)),
            (policy_for("web", most=2), 10, (Outcome.APPLIED, Reason.ABOVE_MAX, 3, 2)),
            (FREE.model_copy(update={"on_starved": "allow"}), 10, (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)),
            (
                policy_for(
                    "web", rules=(threshold("memory-low", metric="memory", below=60, remove=1),), down_cooldown=0
                ),
                10,
                (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2),
            ),
        ],
        ids=["increase", "minimum", "maximum", "allowed", "by memory"],
    )
    def test_all_else_goes_on(self, policy: Any, cpu: float, expected: tuple[Outcome, Reason, int, int]) -> None:
        """Starvation holds no increase, no bound, no removal by another metric, and none that the policy allows."""
        assert said(only(starved_world(policy, cpu).next())) == expected

    def test_a_query_that_fails(self) -> None:
        """Where Prometheus refuses to say, reductions by cpu are held, and the problem is told; increases are made."""
        world = settled_world(FREE, cpu=10)
        world.source.errors[STARVATION] = RefusedError("bad_data")

        evaluation = world.next()
        assert said(only(evaluation)) == (Outcome.HELD, Reason.WINDOW_INCOMPLETE, 3, 3)
        assert [(problem.kind, problem.subject) for problem in evaluation.problems] == [("query", STARVATION)]

        world.load["web", "cpu"] = 90
        assert said(world.until_changed()) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)

    def test_it_is_a_problem_after_ten_minutes(self) -> None:
        """A node that stays starved is a problem, which keeps no evaluation from its work; then it is over."""
        world, journal = starved_world(), Journal()
        began = [journal.close(world.next())[0] for _ in range(int(LASTING) // STEP + 1)]
        assert [bool(each) for each in began] == [False] * (int(LASTING) // STEP) + [True]
        assert not world.next().incomplete

        world.starved.clear()
        ended = [problem.kind for _ in range(8) for problem in journal.close(world.next())[1]]
        assert ended == ["starved"]

    def test_the_policy_that_looked_is_gone(self) -> None:
        """With the last policy that minds starvation its problem goes, too."""
        world = starved_world()
        world.run(int(LASTING) + STEP)
        assert world.next().problems
        world.policies = World(FREE.model_copy(update={"on_starved": "allow"})).policies
        assert world.next().problems == ()


class TestCheckLive:
    def test_series_that_are_not_there_are_a_remark(self) -> None:
        """`check --live` says once that no series tell of starvation, and that is no error."""
        world = settled_world(FREE)

        found = survey(world.cycle, world.policies)

        (remark,) = found.remarks
        assert remark.startswith("Prometheus has no series that show whether a node has CPU to spare")
        assert found.good

    def test_series_that_are_there_are_not(self) -> None:
        """Nothing is said where they are."""
        world = starved_world()
        assert survey(world.cycle, world.policies).remarks == ()
