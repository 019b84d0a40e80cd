from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem
from autoscaler.errors import RefusedError, UnreachableError
from autoscaler.evaluation.journal import Journal
from autoscaler.policy.metric import Metric
from autoscaler.simulation.parts import Node
from tests.support.builders import CPU_HIGH, CPU_LOW, MEMORY_HIGH, STEP, written
from tests.support.world import (
    LOST,
    WARMUP,
    World,
    only,
    policy_for,
    said,
    service_spec,
    settled_world,
)

if TYPE_CHECKING:
    from autoscaler.adapters.docker.engine_api import Document

LOW_ONLY = policy_for("web", rules=(CPU_LOW,), down_cooldown=0)


# data that are missing


@pytest.mark.fault("prometheus-away")
def test_an_unreachable_prometheus_shrinks_nothing() -> None:
    """With Prometheus away a calm is no longer known to last, so nothing is removed, and every hold says why."""
    world = settled_world(cpu=50)
    world.next()
    world.load["web", "cpu"] = 10
    world.prometheus.fail(LOST)

    evaluations = world.run(600)

    assert world.replicas() == 3
    assert {only(evaluation).outcome for evaluation in evaluations} == {Outcome.HELD}
    lacking = {only(evaluation).decision.primary.reason for evaluation in evaluations}
    assert lacking == {Reason.STALE_DATA, Reason.NO_DATA}


@pytest.mark.fault("prometheus-away")
def test_bounds_are_corrected_without_prometheus() -> None:
    """A service below its minimum or above its maximum is corrected whether or not there are data."""
    world = settled_world(policy_for("web", least=2, most=6), cpu=50)
    world.prometheus.fail(LOST)
    world.engine.operator_scale("web", 1)
    up = only(world.next())
    world.engine.operator_scale("web", 9)
    down = only(world.next())

    assert said(up) == (Outcome.APPLIED, Reason.BELOW_MIN, 1, 2)
    assert said(down) == (Outcome.APPLIED, Reason.ABOVE_MAX, 9, 6)


@pytest.mark.fault("prometheus-away")
def test_a_lost_prometheus_is_reported_once_and_its_return_once() -> None:
    """An outage is told of when it begins and when it ends, and windows are refilled when it is over."""
    world = settled_world(cpu=10, replicas=1)
    journal = Journal()
    changes = []
    for error in (None, LOST, LOST, LOST, None, None):
        world.prometheus.fail(error)
        evaluation = world.next()
        changes.append(journal.close(evaluation))

    problem = Problem("prometheus", str(LOST))
    assert changes == [([], []), ([problem], []), ([], []), ([], []), ([], [problem]), ([], [])]
    assert only(evaluation).decision.primary.reason is not Reason.WINDOW_INCOMPLETE


@pytest.mark.fault("prometheus-away")
def test_after_an_outage_scaling_goes_on_at_once() -> None:
    """When Prometheus is back the whole window is known again, outage included, for it went on scraping."""
    world = settled_world(cpu=50)
    world.load["web", "cpu"] = 10
    world.prometheus.fail(LOST)
    world.run(600)
    world.prometheus.fail(None)

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


@pytest.mark.fault("query-fails")
def test_a_refused_query_concerns_its_metric_only() -> None:
    """Where Prometheus refuses one query, rules of the other metrics still add replicas, and none removes any."""
    rules = (CPU_LOW, CPU_HIGH, MEMORY_HIGH)
    world = settled_world(policy_for("web", rules=rules, up_cooldown=0, down_cooldown=0), cpu=10)
    world.source.errors["memory"] = RefusedError("bad_data: many-to-many matching")

    calm = world.next()
    world.load["web", "cpu"] = 85
    up = world.until_changed()

    assert said(only(calm))[:2] == (Outcome.HELD, Reason.NO_DATA)
    assert calm.problems == (Problem("query", "bad_data: many-to-many matching", "memory"),)
    assert said(up) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


def test_an_outage_does_not_end_the_problem_of_a_query() -> None:
    """While Prometheus does not answer nothing is known of a query that it refused: that is not over."""
    world = settled_world(policy_for("web", rules=(CPU_HIGH, MEMORY_HIGH)), offset=-40.0)
    refused, lost = Problem("query", "bad_data", "memory"), Problem("prometheus", str(LOST))
    skewed = Problem("clock", "Prometheus' clock is 40s behind ours (set both by NTP)")
    world.source.errors["memory"] = RefusedError("bad_data")
    journal = Journal()

    changes = []
    for error in (None, LOST, None):
        world.prometheus.fail(error)
        changes.append(journal.close(world.next()))
    del world.source.errors["memory"]
    changes.append(journal.close(world.next()))

    assert changes == [([skewed, refused], []), ([lost], []), ([], [lost]), ([], [refused])]


def test_a_silent_prometheus_is_not_asked_for_the_other_metrics() -> None:
    """After a query without an answer the others are not asked: each would wait as long again."""
    world = settled_world(policy_for("web", rules=(CPU_HIGH, MEMORY_HIGH)))
    world.source.errors["cpu"] = UnreachableError("timed out")

    evaluation = world.next()

    assert [metric for metric, _, _ in world.source.asked] == ["cpu"]
    assert evaluation.problems == (Problem("prometheus", "timed out"),)


@pytest.mark.fault("tasks-silent")
def test_a_task_that_does_not_report_holds_a_reduction() -> None:
    """Where fewer tasks report than run, a calm is not known, and nothing is removed."""
    world = settled_world(cpu=10)
    world.silent["web"] = 1

    assert said(only(world.next()))[:2] == (Outcome.HELD, Reason.PARTIAL_DATA)


@pytest.mark.fault("tasks-silent")
def test_tasks_that_did_not_report_for_two_steps_hold_a_reduction() -> None:
    """A window that lacks a task for two steps in its middle proves no calm until they have left it."""
    world = settled_world(cpu=10)
    world.silent["web"] = 1
    world.settle(2 * STEP)
    world.silent["web"] = 0

    records = [only(evaluation) for evaluation in world.run(5 * STEP)]

    held = (Outcome.HELD, Reason.PARTIAL_DATA)
    assert [said(record)[:2] for record in records] == [*[held] * 4, (Outcome.APPLIED, Reason.BELOW_THRESHOLD)]


def test_one_step_without_a_task_is_forgiven() -> None:
    """A single scrape that lacked a task holds nothing, as a single missing sample does not."""
    world = settled_world(cpu=10)
    world.silent["web"] = 1
    world.settle(STEP)
    world.silent["web"] = 0

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


@pytest.mark.fault("tasks-silent")
def test_partial_data_may_add() -> None:
    """Where the tasks that report are so busy that the average is above the bound all the same, replicas are added."""
    world = settled_world(cpu=95, replicas=5)
    world.silent["web"] = 1

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 5, 6)


def test_young_tasks_owe_no_samples() -> None:
    """A task younger than the warm-up is not expected to report: its silence is no lack of data."""
    world = settled_world(policy_for("web", down_cooldown=0), cpu=50)
    world.next()
    world.engine.operator_scale("web", 4)
    world.silent["web"] = 1

    young = {only(evaluation).decision.primary.reason for evaluation in world.run(WARMUP)}
    old = only(world.next())

    assert young == {Reason.NO_BREACH}
    assert old.decision.primary.reason is Reason.PARTIAL_DATA


@pytest.mark.fault("node-lost")
def test_a_lost_node_lowers_what_counts_as_running() -> None:
    """Tasks on a node that is down do not run, whatever Swarm still says of their state."""
    world = World(nodes=[Node("n1"), Node("n2", memory=2**30)])
    world.service(replicas=4, cpu=50)
    world.settle()
    world.engine.startup = 3600  # the replacements pull their image
    world.engine.stop_node("n1")

    decision = only(world.next()).decision

    assert (decision.requested, decision.running) == (4, 2)


# calm that is not proved


def limited(cores: float) -> Document:
    """The service `web` of three tasks that may use so many *cores* each."""
    spec = service_spec("web", 3)
    spec["TaskTemplate"]["Resources"]["Limits"]["NanoCPUs"] = round(cores * 1e9)
    return spec


@pytest.mark.fault("limit-raised")
@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_used_under_a_lower_limit_is_no_calm(*, restarted: bool) -> None:
    """After a deploy that raises a limit nothing is removed before a whole window was measured under the new one.

    90 % of half a core look like 22 % of two.
    """
    world = World(LOW_ONLY)
    world.engine.create_service(limited(0.5))
    world.load["web", "cpu"] = 45
    world.settle()
    assert only(world.next()).decision.primary.reason is Reason.NO_BREACH
    world.engine.deploy(limited(2.0))
    if restarted:
        world.restart()

    over = world.until_reason(Reason.WINDOW_INCOMPLETE).decision
    down = world.until_reason(Reason.BELOW_THRESHOLD).decision

    assert "its limit was raised" in over.primary.detail
    assert down.at - over.at >= 60 + WARMUP - STEP
    assert world.replicas() == 2


@pytest.mark.fault("limit-raised")
def test_a_limit_that_is_lowered_or_kept_empties_no_window() -> None:
    """Where a deploy leaves the limit, or lowers it, a calm goes on: the same use is no smaller a share of it."""
    world = World(LOW_ONLY)
    world.engine.create_service(limited(0.5))
    world.load["web", "cpu"] = 5
    world.settle()
    world.engine.deploy(limited(0.25))
    world.settle()

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


@pytest.mark.fault("service-removed")
def test_a_service_made_anew_is_not_removed_from_on_its_predecessors_calm() -> None:
    """A service under the name of a removed one shrinks on a whole window of its own, and adds on what there is."""
    world = settled_world(LOW_ONLY, cpu=10)
    world.engine.remove("web")
    world.service(cpu=10)
    made = world.clock.time

    held = world.until_reason(Reason.WINDOW_INCOMPLETE).decision
    down = world.until_reason(Reason.BELOW_THRESHOLD).decision

    assert "created again" in held.primary.detail
    assert down.at - made >= 60


@pytest.mark.fault("others-report")
def test_tasks_that_report_and_do_not_run_hold_a_reduction() -> None:
    """An average over more tasks than run may be low for those that drain or are not healthy; an increase passes."""
    world = settled_world(cpu=10)
    world.silent["web"] = -3

    held = only(world.next())
    world.load["web", "cpu"] = 85
    up = world.until_changed()

    assert said(held)[:2] == (Outcome.HELD, Reason.PARTIAL_DATA)
    assert "6 tasks report and 3 run" in held.decision.primary.detail
    assert said(up) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


@pytest.mark.fault("tasks-silent")
@pytest.mark.parametrize(
    ("silent", "told"), [(0, (Outcome.APPLIED, Reason.BELOW_THRESHOLD)), (1, (Outcome.HELD, Reason.PARTIAL_DATA))]
)
def test_a_young_task_that_reports_hides_no_old_one_that_does_not(silent: int, told: tuple[Outcome, Reason]) -> None:
    """A metric of one's own counts young tasks too: while one of all does not report, it may be an old one."""
    metric = Metric.model_validate({"query": "load", "by": "svc", "task": "pod"})
    low = {"name": "low", "metric": "load", "below": 30, "remove": 1}
    world = settled_world(written(low), metrics={"load": metric})
    world.load["web", "load"] = 10
    world.engine.operator_scale("web", 4)
    world.pass_step()
    world.silent["web"] = silent

    assert said(only(world.next()))[:2] == told
