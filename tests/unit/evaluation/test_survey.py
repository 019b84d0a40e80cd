"""`check --live`: whether each metric has data for each service that a policy looks at it for."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from autoscaler.core.reasons import Reason
from autoscaler.errors import UnreachableError
from autoscaler.evaluation.survey import Reading, plan, survey
from autoscaler.policy.metric import Metric
from autoscaler.simulation.parts import Node
from autoscaler.views import render
from autoscaler.views.documents import survey_document
from tests.support.builders import STEP, written
from tests.support.world import World, policy_for, service_spec, settled_world

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from autoscaler.evaluation.survey import Survey

CPU: Mapping[str, Any] = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 1}
QUEUE: Mapping[str, Any] = {"name": "queue-high", "metric": "queue", "above": 70, "add": 1}
SHARED = {"queue": Metric(query="sum(queue)", unit="jobs")}


def seen(world: World) -> Survey:
    """What a survey of *world* finds."""
    return survey(world.cycle, world.policies)


def test_value_age_and_tasks() -> None:
    """A table of metric by service: value, age, tasks reporting."""
    world = settled_world(written(CPU), cpu=42)
    world.clock.time += 4

    found = seen(world)

    assert found.readings == (Reading("cpu", "web", "web", 42.0, "%", "1 core (no limit)", 4.0, 3, 3, ""),)
    assert found.good


def test_a_metric_that_all_services_share() -> None:
    """One value for all services stands behind no tasks."""
    world = World(written(QUEUE), metrics=SHARED)
    world.shared["queue"] = 12
    world.service(replicas=2)
    world.settle()

    (reading,) = seen(world).readings

    assert (reading.value, reading.unit, reading.reporting, reading.lack) == (12.0, "jobs", None, "")


def test_a_metric_without_data_for_a_service() -> None:
    """A metric that has no sample says so, and the survey is not good."""
    world = World(written(CPU, QUEUE), metrics=SHARED)
    world.service()
    world.settle()

    found = seen(world)

    assert {reading.metric: reading.lack for reading in found.readings} == {"cpu": "", "queue": "no data"}
    assert not found.good


def test_tasks_that_do_not_report() -> None:
    """Of four warm tasks three report."""
    world = settled_world(written(CPU), replicas=4)
    world.silent["web"] = 1
    world.pass_step()

    (reading,) = seen(world).readings

    assert (reading.reporting, reading.running, reading.lack) == (3, 4, "1 of 4 tasks do not report")


def test_samples_that_stopped() -> None:
    """The newest sample of the last five minutes is shown with its age, whatever a rule looks back."""
    world = settled_world(written(CPU))
    world.prometheus.lose("web")
    for _ in range(8):
        world.pass_step()

    (reading,) = seen(world).readings

    assert (reading.value, reading.age, reading.lack) == (50.0, 8 * STEP, "no sample for 2m")


def test_services_that_are_not_looked_at() -> None:
    """Missing services and those in conflict are told, and those that nobody means are listed."""
    world = World(policy_for("web"), policy_for("*", name="all"), policy_for("w*", name="w"), policy_for("gone"))
    for name in ("web", "worker"):
        world.service(name)
    world.settle()

    found = seen(world)

    assert {record.decision.service: record.decision.primary.reason for record in found.untouched} == {
        "worker": Reason.POLICY_CONFLICT,
        "gone": Reason.SERVICE_NOT_FOUND,
    }
    assert not found.good


def test_services_without_a_policy_are_listed() -> None:
    """A service that no policy matches is nothing wrong, and named."""
    world = settled_world(written(CPU))
    world.service("db")
    world.settle()

    found = seen(world)

    assert found.unmatched == ("db",)
    assert found.good


def test_a_silent_swarm_and_a_silent_prometheus() -> None:
    """What cannot be asked is a problem, and nothing is raised."""
    world = settled_world(written(CPU))
    world.prometheus.fail(UnreachableError("connection refused"))
    assert [problem.kind for problem in seen(world).problems] == ["prometheus"]

    world.lose_swarm()
    assert [problem.kind for problem in seen(world).problems] == ["swarm"]


def test_the_real_scrape_interval() -> None:
    """Where the settings say another scrape interval than the real one, the first evaluation tells it.

    It is measured again after ten minutes, and the problem is over once the two agree.
    """
    world = settled_world(written(CPU))
    measured = [25.0]
    world.cycle.windows.probe = lambda _: measured[0]

    assert seen(world).scrape_interval == 25.0
    (problem,) = world.next().problems
    assert problem.kind == "scrape_interval"
    assert problem.detail == (
        "Prometheus scrapes every 25s, the settings say every 15s (set AUTOSCALER_SCRAPE_INTERVAL=25s)"
    )
    assert not world.evaluate().incomplete

    measured[0] = 15.1
    assert world.next().problems != ()
    world.clock.time += 600
    assert world.next().problems == ()


def test_a_scrape_interval_at_which_nothing_scales_by_cpu() -> None:
    """If the rate window holds less than two scrapes, that is a problem of missing data, and not a hint."""
    world = settled_world(written(CPU))
    world.cycle.windows.probe = lambda _: 60.0

    evaluation = world.next()

    (problem,) = evaluation.problems
    assert (problem.kind, problem.subject) == ("no_data", "metric cpu")
    assert problem.detail == (
        "nothing scales by cpu: Prometheus scrapes every 1m, the settings say every 15s, and the rate window of 1m "
        "holds less than the two samples that cpu needs (set AUTOSCALER_SCRAPE_INTERVAL=1m and "
        "AUTOSCALER_RATE_WINDOW=4m, or scrape more often)"
    )
    assert evaluation.incomplete


def test_a_scrape_interval_without_rules_by_cpu() -> None:
    """For policies that do not look at cpu, a long scrape interval is a hint."""
    world = settled_world(written({**CPU, "metric": "memory"}))
    world.cycle.windows.probe = lambda _: 60.0
    assert [problem.kind for problem in world.next().problems] == ["scrape_interval"]


@pytest.mark.fault("nothing-matched")
def test_a_misspelt_name_and_a_glob_that_matches_nothing() -> None:
    """Both are told with the name that may be meant, and the last line does not say that all is well."""
    world = World(policy_for("web", "wob-*"), policy_for("wep"))
    world.service()
    world.settle()

    found = seen(world)

    assert found.nothing_matched == ("policy web: the glob wob-* matches no service (did you mean web?)",)
    assert [record.decision.primary.detail for record in found.untouched] == [
        "Swarm has no service of this name (did you mean web?)"
    ]
    text = printed(render.survey(found))
    assert "None lacks data, but 2 entries of the policies match no service." in text
    assert "All have data" not in text


# room


def reserving(name: str, replicas: int, cores: float) -> dict[str, Any]:
    """A service whose replicas reserve so many cores each."""
    spec = service_spec(name, replicas)
    spec["TaskTemplate"]["Resources"]["Reservations"] = {"NanoCPUs": round(cores * 1e9)}
    return spec


def test_a_survey_adds_up_what_policies_may_ask_for() -> None:
    """The largest max that a policy or one of its schedules gives is looked for, with what others have now."""
    schedule = {"name": "sale", "start": "0 0 1 12 *", "end": "0 0 2 12 *", "max": 9}
    world = World(written(CPU, most=4, schedules=[schedule]), nodes=[Node("n1", 8)])
    world.engine.create_service(reserving("web", 2, 1))
    world.engine.create_service(reserving("db", 1, 1.5))
    world.settle()

    capacity = seen(world).capacity

    assert capacity is not None
    (place,) = capacity.places
    assert (place.service, place.policy, place.maximum, place.now, place.fits) == ("web", "web", 9, 6, False)
    assert seen(world).good, "a maximum that does not fit is a warning"


def test_a_label_that_raises_the_maximum_counts() -> None:
    """The bounds that a service's own labels give are those that are looked for."""
    world = World(written(CPU, most=4))
    world.service(labels={"autoscaler.replicas.max": "30"})
    world.settle()

    capacity = seen(world).capacity

    assert capacity is not None
    assert [place.maximum for place in capacity.places] == [30]


def test_a_plan_adds_up_without_another_call() -> None:
    """The sums of a plan are those of the three lists that the evaluation reads."""
    world = World(written(CPU), nodes=[Node("n1", 4)], dry_run=True)
    world.engine.create_service(reserving("web", 2, 1))
    world.settle()

    planned = plan(world.cycle, world.policies)

    assert planned.capacity is not None
    assert [(place.service, place.now) for place in planned.capacity.places] == [("web", 4)]
    assert len(planned.evaluation.records) == 1
    assert (world.api.calls["services"], world.api.calls["tasks"], world.api.calls["nodes"]) == (1, 1, 1)


def test_a_plan_of_a_service_that_finds_no_room_at_all_says_so() -> None:
    """With 0 of 2 running and all pending the reason is what Swarm says of them, with the age, and not the lack."""
    world = World(written(CPU), nodes=[Node("n1", 4)], dry_run=True)
    world.engine.create_service(reserving("web", 2, 5))
    world.settle()

    (record,) = plan(world.cycle, world.policies).evaluation.records

    assert record.decision.primary.reason is Reason.TASKS_PENDING
    said = record.decision.primary.detail
    assert said.startswith("none of 2 replicas runs: pending for 7m30s: no suitable node"), said
    assert Reason.NO_DATA in {why.reason for why in record.decision.reasons}


def test_a_plan_without_swarm_adds_nothing_up() -> None:
    """Without an answer from Swarm there are no sums."""
    world = settled_world(written(CPU))
    world.lose_swarm()

    assert plan(world.cycle, world.policies).capacity is None


def test_a_service_that_another_program_scales_too_is_told() -> None:
    """A named service with swarm-cronjob's label is looked at as ever, and the survey warns of it."""
    world = World(policy_for("web"))
    world.service(labels={"swarm.cronjob.enable": "true"})
    world.settle()

    found = seen(world)

    assert found.good
    (doubt,) = found.doubtful
    assert doubt == (
        "web is scaled by swarm-cronjob (label swarm.cronjob.enable=true), and the autoscaler changes its count too "
        "(take it out of the policy web, or remove that label)"
    )
    assert f"warning: {found.doubtful[0]}" in printed(render.survey(found))
    assert survey_document(found)["warnings"] == list(found.doubtful)


def test_a_service_that_another_program_scales_is_untouched_where_a_glob_matches_it() -> None:
    """By a glob it is a conflict, and nothing of it is looked at."""
    world = World(policy_for("w*", name="all"))
    world.service(labels={"sablier.enable": "true"})
    world.settle()

    found = seen(world)

    assert [record.decision.primary.reason for record in found.untouched] == [Reason.POLICY_CONFLICT]
    assert (found.readings, found.doubtful, found.good) == ((), (), False)


def printed(what: object) -> str:
    """What is printed of it."""
    console = Console(file=StringIO(), width=400)
    console.print(what)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()
