"""When missing data are diagnosed, and when they are a problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from autoscaler.core.lacks import Link
from autoscaler.errors import UnreachableError
from autoscaler.evaluation.journal import Journal
from autoscaler.evaluation.lack_watch import LackWatch
from autoscaler.evaluation.survey import plan, survey
from autoscaler.policy.metric import Metric
from tests.support.builders import STEP, written
from tests.support.witness import FakeWitness, broken
from tests.support.world import LOST, WARMUP, World, policy_for, settled_world

if TYPE_CHECKING:
    from autoscaler.core.records import Evaluation, Problem
    from autoscaler.diagnosis.evidence import Evidence
    from autoscaler.policy.policy import Policy
    from autoscaler.util.deadline import Deadline

MINUTE = 60
CPU = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 1}
NO_LABEL = broken(with_service=0, with_task=0, services={})
LOST_ALONE = broken(services={"api": 1})
ALL_TOO_LONG = WARMUP + MINUTE + 2 * STEP
"""Seconds without data of all services after which that is a problem: warm-up, the rules' minute, two intervals."""


def watched(world: World, witness: FakeWitness) -> World:
    """The *world* whose autoscaler asks *witness*."""
    world.cycle.lacks = LackWatch(witness)
    return world


def several(witness: FakeWitness, *policies: Policy) -> World:
    """A world of `web` and `api` that run for long."""
    world = watched(World(*(policies or (policy_for("*", name="all"),))), witness)
    for name in ("api", "web"):
        world.service(name)
    world.settle()
    world.next()
    return world


def missing(evaluation: Evaluation) -> list[Problem]:
    """The problems about missing data."""
    return [problem for problem in evaluation.problems if problem.kind == "no_data"]


def began(world: World, seconds: int) -> int | None:
    """The seconds from now after which data that lack are a problem; None if they are not within *seconds*."""
    start = world.clock.time
    for _ in range(seconds // STEP):
        if missing(world.next()):
            return round(world.clock.time - start)
    return None


class TestOneService:
    @pytest.mark.fault("data-missing")
    def test_ten_minutes_without_data(self) -> None:
        """A service that has lacked data for ten minutes is a problem, with cause and cure, until it has data again."""
        world = several(FakeWitness(LOST_ALONE))
        world.prometheus.lose("web")

        assert began(world, 900) == pytest.approx(600, abs=3 * STEP)
        (problem,) = missing(world.next())
        assert (problem.subject, problem.cause) == ("web", "cpu:service")
        assert problem.detail.startswith("cpu of web: no series names it in container_label_com_docker_swarm_service_")
        assert world.next().incomplete

        world.prometheus.find("web")
        world.settle(2 * MINUTE)
        assert missing(world.next()) == []

    @pytest.mark.parametrize("how", ["pause", "zero", "asleep"])
    def test_a_service_that_needs_no_data(self, how: str) -> None:
        """A service that is paused, at 0 or asleep has no problem without data."""
        web = policy_for("web").model_copy(update={"paused": how == "pause"})
        if how == "asleep":
            night = {"name": "night", "start": "0 0 * * *", "end": "59 23 * * *", "min": 0, "max": 0}
            web = written(CPU, schedules=[night])
        world = several(FakeWitness(LOST_ALONE), web, policy_for("api"))
        world.prometheus.lose("web")
        if how == "zero":
            world.engine.operator_scale("web", 0)
        assert began(world, 900) is None

    def test_a_lack_is_asked_about_once(self) -> None:
        """The cause is looked for when the lack begins, and again when the window looks different, not each time."""
        witness = FakeWitness(LOST_ALONE)
        world = several(witness)
        world.prometheus.lose("web")

        evaluations = world.run(540)

        assert 1 <= witness.asked["cpu"] <= 2
        assert [lack.link for evaluation in evaluations for lack in evaluation.lack_news] == [Link.SERVICE]
        assert {lack.service for lack in evaluations[-1].lacks} == {"web"}

    def test_a_lack_with_another_cause(self) -> None:
        """While the problem lasts, another cause is found and reported once."""
        witness = FakeWitness(LOST_ALONE)
        world = several(witness)
        journal = Journal()
        world.prometheus.lose("web")
        first = [journal.close(evaluation)[0] for evaluation in world.run(660)]
        witness.given = NO_LABEL
        then = [journal.close(evaluation)[0] for evaluation in world.run(660)]

        assert [problem.kind for news in first for problem in news] == ["no_data"]
        told = [problem for news in then for problem in news]
        # The link is broken for the whole metric now, so that is another problem than that of the service.
        assert [(problem.kind, problem.subject, problem.cause) for problem in told] == [
            ("no_data", "metric cpu", "cpu:service_label")
        ]


class TestAllServices:
    @pytest.mark.fault("data-missing")
    def test_no_service_has_data(self) -> None:
        """Without data of any service the problem begins two intervals beyond warm-up and longest window."""
        world = several(FakeWitness(NO_LABEL))
        for name in ("api", "web"):
            world.prometheus.lose(name)

        assert began(world, 900) == pytest.approx(ALL_TOO_LONG, abs=3 * STEP)
        (problem,) = missing(world.next())
        assert (problem.subject, problem.cause) == ("", "cpu:service_label")
        assert problem.detail.startswith("no service has data: cpu of api, web: none of the 12 series of container_cpu")

    def test_a_fresh_prometheus_is_no_false_alarm(self) -> None:
        """While the windows of a first installation fill, nothing is a problem, whatever the tasks' age."""
        world = watched(World(policy_for("*", name="all")), FakeWitness(broken(series=0, services={})))
        for name in ("api", "web"):
            world.service(name)
            world.prometheus.lose(name)
        world.settle(3600)
        world.run(2 * STEP)
        for name in ("api", "web"):
            world.prometheus.find(name)

        assert began(world, 900) is None

    def test_a_deploy_of_everything_is_no_false_alarm(self) -> None:
        """While all tasks are younger than warm-up and window, nothing is a problem, and young tasks ask nothing."""
        world = several(witness := FakeWitness())
        for name in ("api", "web"):
            world.engine.remove(name)
            world.service(name)
            world.prometheus.lose(name)
        young = world.run(2 * STEP)
        asked = dict(witness.asked)
        for name in ("api", "web"):
            world.prometheus.find(name)
        filling = world.run(600)

        assert {lack.link for evaluation in young[1:] for lack in evaluation.lacks} == {Link.WARM_UP}
        assert asked == {}
        assert [problem for evaluation in (*young, *filling) for problem in missing(evaluation)] == []
        assert filling[-1].lacks == ()

    def test_a_silent_prometheus_is_the_only_problem(self) -> None:
        """While Prometheus does not answer, missing data are its effect, and no problem of their own."""
        world = several(FakeWitness())
        world.prometheus.fail(LOST)

        kinds = {problem.kind for evaluation in world.run(1200) for problem in evaluation.problems}
        assert kinds == {"prometheus"}
        assert {lack.link for lack in world.evaluate().lacks} == {Link.SOURCE}

        world.prometheus.fail(None)
        assert world.next().lacks == ()


class TestAsking:
    def test_what_the_witness_raises_is_no_matter(self) -> None:
        """If Prometheus refuses the questions, the windows alone are looked at, and the problem begins all the same."""
        world = several(FakeWitness(error=UnreachableError("away")))
        world.prometheus.lose("web")
        assert began(world, 900) is not None

    def test_all_is_written_before_anything_is_asked(self) -> None:
        """A lack of one service is looked into after the scales of all services, in the same evaluation."""

        @dataclass
        class Noting(FakeWitness):
            """Notes when it is asked."""

            def evidence(self, name: str, deadline: Deadline, /) -> Evidence:
                order.append("asked")
                return super().evidence(name, deadline)

        order: list[str] = []
        world = several(Noting(LOST_ALONE), policy_for("*", name="all", up_cooldown=0))
        world.api.at = lambda moment: order.append(moment) if moment == "after update" else None
        for name in ("api", "web"):
            world.load[name, "cpu"] = 95
        world.settle(2 * MINUTE)
        world.prometheus.lose("web")
        world.next()

        assert order == ["after update", "asked"]

    def test_custom_metrics_need_no_question(self) -> None:
        """A query of an operator's own is diagnosed by what it gave for others."""
        witness = FakeWitness()
        rule = {"name": "queue-high", "metric": "queue", "above": 70, "add": 1}
        world = watched(World(written(rule), metrics={"queue": Metric(query="sum(queue)")}), witness)
        world.service()
        world.settle()
        (lack,) = world.next().lacks
        assert (lack.link, lack.sentence) == (Link.QUERY, "the query gives no series")
        assert not witness.asked


class TestPlan:
    """A plan has no memory: the samples, the tasks' ages and Prometheus' own data show how long data have lacked."""

    @pytest.mark.parametrize(
        ("lost_for", "scraped", "is_problem"),
        [(900, 3600.0, True), (120, 3600.0, False), (900, 120.0, False), (900, None, False)],
    )
    def test_how_long_data_have_lacked(self, lost_for: int, scraped: float | None, *, is_problem: bool) -> None:
        """A lack that the data show to last for ten minutes is a problem of the plan, which then exits with 1."""
        world = several(FakeWitness(LOST_ALONE, scraped=scraped))
        world.prometheus.lose("web")
        world.settle(lost_for)
        world.restart()
        watched(world, FakeWitness(LOST_ALONE, scraped=scraped))

        made = plan(world.cycle, world.policies).evaluation

        assert bool(missing(made)) is is_problem
        assert [lack.link for lack in made.lacks] == [Link.SERVICE]
        assert made.incomplete is is_problem

    def test_data_that_are_back(self) -> None:
        """After an outage the window fills, and that is no problem."""
        world = several(FakeWitness())
        world.prometheus.lose("web")
        world.settle(300)
        world.prometheus.find("web")
        world.settle(2 * STEP)
        world.restart()
        watched(world, FakeWitness())

        made = plan(world.cycle, world.policies).evaluation

        assert missing(made) == []
        assert [(lack.service, lack.link, lack.passes) for lack in made.lacks] == [("web", Link.WINDOW, True)]


class TestSurvey:
    def test_the_cause_is_told(self) -> None:
        """`check --live` tells the first broken link, and is not good."""
        world = several(FakeWitness(NO_LABEL))
        world.prometheus.lose("web")
        world.settle()

        found = survey(world.cycle, world.policies)

        assert [(lack.service, lack.link) for lack in found.lacks] == [("web", Link.SERVICE_LABEL)]
        assert not found.good

    def test_starts_that_are_not_known(self) -> None:
        """Without container_start_time_seconds it is told that new tasks count from their first sample on."""
        world = watched(settled_world(), FakeWitness(starts=False))
        (remark,) = [each for each in survey(world.cycle, world.policies).remarks if "start_time" in each]
        assert "before the warm-up is over" in remark


def test_own_removals_are_no_lack() -> None:
    """After a scale-down of its own the autoscaler finds nothing missing, while the removed task still reports."""
    world = watched(settled_world(cpu=10, replicas=5), FakeWitness())
    removed = world.until_changed()
    evaluations = world.run(300)

    assert removed.decision.desired == 4
    assert all(not evaluation.lacks for evaluation in evaluations)
    assert all(not evaluation.problems for evaluation in evaluations)


@pytest.mark.parametrize(("load", "replicas"), [(95, 3), (5, 3)])
def test_a_service_at_its_bounds_is_no_problem(load: float, replicas: int) -> None:
    """A service that has as many replicas as its bounds allow lacks nothing."""
    world = watched(settled_world(policy_for("web", least=3, most=3), cpu=load, replicas=replicas), FakeWitness())
    evaluations = world.run(1200)
    assert all(not evaluation.problems and not evaluation.lacks for evaluation in evaluations)
