from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import nan
from typing import TYPE_CHECKING

import pytest

from autoscaler.cluster import ROLLBACK_LABEL, STATE_LABEL
from autoscaler.cycle import assign
from autoscaler.deadline import Deadline
from autoscaler.durations import words
from autoscaler.errors import RefusedError, UnreachableError
from autoscaler.journal import Journal
from autoscaler.matching import ENABLED_LABEL, Matcher
from autoscaler.memory import ScaleState
from autoscaler.metrics import Metric
from autoscaler.model import Outcome
from autoscaler.policy import PolicySet
from autoscaler.reasons import Reason
from autoscaler.records import Problem
from autoscaler.simulation.parts import Node
from tests.support.builders import CPU_HIGH, CPU_LOW, MEMORY_HIGH, STEP, threshold, written
from tests.support.world import (
    LOST,
    WARMUP,
    World,
    count_in,
    label_in,
    only,
    policy_for,
    raising,
    reasons,
    said,
    service_spec,
    settled_world,
)

if TYPE_CHECKING:
    from autoscaler.adapters.engine_api import Document
    from autoscaler.records import Record

FREE = policy_for("web", up_cooldown=0, down_cooldown=0)
"""A policy whose rules may act at every evaluation."""


def until_reason(world: World, reason: Reason, at_most: int = 3600) -> Record:
    """The first record from now on with this primary reason."""
    for _ in range(at_most // STEP):
        for record in world.next().records:
            if record.decision.primary.reason is reason:
                return record
    raise AssertionError(f"no decision was {reason} within {at_most} s")


# a step


def test_a_breach_adds_a_replica() -> None:
    """A breach that has lasted for the rule's `for` becomes one more running replica."""
    world = settled_world(cpu=85)

    record = only(world.next())

    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
    assert record.decision.primary.rule == "cpu-high"
    assert record.bases == {"cpu": "1 core (no limit)"}
    assert world.replicas() == 4
    world.settle(60)
    assert world.engine.running("web") == 4


def test_a_calm_removes_a_replica() -> None:
    """A calm that has lasted for the rule's `for` becomes one replica less."""
    world = settled_world(cpu=10)

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)
    assert world.engine.running("web") == 2


def test_a_step_is_written_into_the_count_and_the_label_and_nothing_else() -> None:
    """A scale writes the count, and what it did and when into its label, in the same update, and nothing else."""
    world = settled_world(cpu=85)
    before = world.engine.service("web")["Spec"]

    record = only(world.next())

    after = world.engine.service("web")["Spec"]
    expected = before | {
        "Mode": {"Replicated": {"Replicas": 4}},
        "Labels": {STATE_LABEL: after["Labels"][STATE_LABEL]},
    }
    assert after == expected
    state = world.state()
    assert state is not None
    assert state.replicas == 4
    assert [(event.at, event.before, event.after) for event in state.events] == [(record.decision.at, 3, 4)]


def test_steady_load_changes_nothing_and_writes_nothing() -> None:
    """A service that no rule wants to change is not written to: every write would cost its rollback point."""
    world = settled_world(cpu=50)
    version = world.version()

    outcomes = {only(evaluation).outcome for evaluation in world.run(600)}

    assert outcomes == {Outcome.UNCHANGED}
    assert (world.version(), world.api.calls["update"]) == (version, 0)


def test_the_next_step_waits_for_the_cooldown() -> None:
    """Under a lasting breach the next increase comes when the cooldown is over, and not before."""
    world = settled_world(cpu=85)
    first = world.until_changed()

    second = world.until_changed()

    assert second.decision.at - first.decision.at == 180
    assert world.replicas() == 5


def test_a_held_step_says_what_it_waits_for() -> None:
    """Within the cooldown the decision is held, with that as its reason."""
    world = settled_world(cpu=85)
    world.next()

    record = until_reason(world, Reason.COOLING_DOWN)

    assert said(record) == (Outcome.HELD, Reason.COOLING_DOWN, 4, 4)


# restart


@pytest.mark.fault("killed")
def test_after_a_restart_the_cooldown_is_read_from_the_service() -> None:
    """A new daemon takes no second step for the same breach within the cooldown: the label tells of the first."""
    world = settled_world(cpu=85)
    first = world.until_changed()

    world.restart()
    second = world.until_changed()

    assert second.decision.at - first.decision.at == 180


def test_after_a_restart_windows_are_refilled_at_once() -> None:
    """A first look has complete windows, as Prometheus has them."""
    world = settled_world(cpu=10)
    world.restart()

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


@pytest.mark.fault("killed")
def test_a_first_look_shrinks_only_on_complete_windows() -> None:
    """Where Prometheus itself holds less than the window, a first look does not shrink."""
    world = World()
    world.load["web", "cpu"] = nan
    world.service(replicas=3, cpu=nan)
    world.settle()
    world.load["web", "cpu"] = 10

    records = [only(evaluation) for evaluation in world.run(5 * STEP)]

    assert [said(record)[:2] for record in records] == [
        *[(Outcome.HELD, Reason.WINDOW_INCOMPLETE)] * 4,
        (Outcome.APPLIED, Reason.BELOW_THRESHOLD),
    ]


# lost answers


@pytest.mark.fault("write-unanswered")
@pytest.mark.parametrize("restarted", [False, True], ids=["the same daemon", "a new daemon"])
def test_a_lost_answer_to_a_write_that_was_applied_is_read_back(*, restarted: bool) -> None:
    """A write that was applied, though its answer was lost, counts as the step it is: no second one follows."""
    world = settled_world(cpu=85)
    world.api.after("update", raising(LOST))

    first = only(world.next())
    if restarted:
        world.restart()
    second = world.until_changed()

    assert said(first) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
    assert "read back: it is applied" in first.detail
    assert second.decision.requested == 4
    assert second.decision.at - first.decision.at == 180


@pytest.mark.fault("write-unanswered")
@pytest.mark.parametrize("restarted", [False, True], ids=["the same daemon", "a new daemon"])
def test_a_lost_answer_that_cannot_be_read_back_is_unknown_and_never_doubles_the_step(*, restarted: bool) -> None:
    """A write that was applied unseen is found at the next look by its label, and starts the cooldown as any other."""
    world = settled_world(FREE.model_copy(update={"scale_up": policy_for("web").scale_up}), cpu=85)
    world.api.after("update", raising(LOST))
    # The first call of `service` is the look before the write; the two after it are the reading back.
    world.api.before("service", lambda: None, raising(LOST), raising(LOST))

    first = only(world.next())
    if restarted:
        world.restart()
    second = world.until_changed()

    assert said(first) == (Outcome.UNKNOWN, Reason.ABOVE_THRESHOLD, 3, 4)
    assert (second.decision.requested, second.decision.desired) == (4, 5)
    assert second.decision.at - first.decision.at == 180


def test_a_lost_write_that_was_not_applied_is_decided_anew() -> None:
    """A write that never arrived is unknown at first, and made at the next evaluation: it started no cooldown."""
    world = settled_world(cpu=85)
    world.api.before("update", raising(LOST))

    records = [only(world.next()), only(world.next())]

    assert [said(record)[0] for record in records] == [Outcome.UNKNOWN, Outcome.APPLIED]
    assert (world.replicas(), len(world.api.updates)) == (4, 1)


@pytest.mark.fault("write-unanswered")
def test_a_write_that_is_carried_out_late_is_not_made_a_second_time() -> None:
    """A write that arrives after it was given up meets no second one: it counts as made, and starts the cooldown."""
    world = settled_world(cpu=85)
    world.api.before("update", raising(LOST))
    first = only(world.next())

    late = world.engine.service("web")
    event = {"autoscaler.state": f'{{"v":1,"replicas":4,"changes":[[{first.decision.at},3,4]]}}'}
    world.engine.update(
        "web",
        late["Version"]["Index"],
        late["Spec"] | {"Mode": {"Replicated": {"Replicas": 4}}, "Labels": event},
    )
    second = world.until_changed()

    assert said(first)[0] is Outcome.UNKNOWN
    assert (second.decision.requested, second.decision.desired) == (4, 5)
    assert second.decision.at - first.decision.at == 180
    assert Reason.CHANGED_EXTERNALLY not in reasons(second)


@pytest.mark.fault("write-unanswered")
@pytest.mark.parametrize("restarted", [False, True], ids=["the same daemon", "a new daemon"])
def test_a_write_that_was_held_up_starts_the_cooldown_when_it_is_carried_out(*, restarted: bool) -> None:
    """While Swarm had no quorum nothing changed: the quiet time after a write begins when it is carried out."""
    world = settled_world(cpu=85)
    world.api.hold_up()
    first = only(world.next())
    world.lose_swarm(times=6)
    world.run(6 * STEP)

    carried_out = world.clock.time
    world.api.catch_up()
    if restarted:
        world.restart()
    second = world.until_changed()

    assert said(first)[0] is Outcome.UNKNOWN
    assert (second.decision.requested, second.decision.desired) == (4, 5)
    assert second.decision.at - carried_out == 180
    assert Reason.CHANGED_EXTERNALLY not in reasons(second)


def test_a_late_write_between_the_look_and_the_second_write_is_a_conflict_at_most() -> None:
    """A write that arrives while the next evaluation decides makes that one read anew, and take no second step."""
    world = settled_world(cpu=85)
    world.api.before("update", raising(LOST))
    first = only(world.next())
    late = world.engine.service("web")
    event = {"autoscaler.state": f'{{"v":1,"replicas":4,"changes":[[{first.decision.at},3,4]]}}'}
    spec = late["Spec"] | {"Mode": {"Replicated": {"Replicas": 4}}, "Labels": event}
    world.api.before("update", lambda: world.engine.update("web", late["Version"]["Index"], spec))

    second = only(world.next())

    assert said(second)[:2] in {(Outcome.HELD, Reason.COOLING_DOWN), (Outcome.HELD, Reason.TASKS_PENDING)}
    assert world.replicas() == 4


# others write too


@pytest.mark.fault("write-conflict")
def test_an_operators_scale_between_read_and_write_is_decided_on_anew() -> None:
    """Where an operator scales between the look and the write, the service is read and decided on again at once."""
    world = settled_world(cpu=85)
    world.api.before("service", lambda: world.engine.operator_scale("web", 6))

    record = only(world.next())

    assert said(record) == (Outcome.HELD, Reason.COOLING_DOWN, 6, 6)
    assert Reason.CHANGED_EXTERNALLY in reasons(record)
    assert (world.replicas(), world.api.calls["services"]) == (6, 2)


def test_the_same_at_the_moment_of_the_write() -> None:
    """An operator's scale after the last look is met by the version index, and decided on again just so."""
    world = settled_world(cpu=85)
    world.api.before("update", lambda: world.engine.operator_scale("web", 6))

    record = only(world.next())

    assert said(record) == (Outcome.HELD, Reason.COOLING_DOWN, 6, 6)
    assert world.replicas() == 6


@pytest.mark.fault("write-conflict")
def test_deciding_anew_is_bounded() -> None:
    """Against somebody who writes all the time an evaluation gives up after three rounds, and says conflict."""
    world = settled_world(FREE, cpu=85)
    touch = [
        lambda: world.engine.change_service("web", lambda spec: spec["Labels"].update(note=f"{world.version()}"))
    ] * 9
    world.api.before("update", *touch)

    record = only(world.next())

    assert said(record) == (Outcome.CONFLICT, Reason.ABOVE_THRESHOLD, 3, 4)
    assert "out of sequence" in record.detail
    assert (world.api.calls["update"], world.replicas()) == (3, 3)


def test_a_change_by_others_is_told_whatever_round_decides() -> None:
    """An outside change that the first look adopted is a reason of the decision that a conflict made anew."""
    world = settled_world(cpu=50)
    world.next()
    world.engine.operator_scale("web", 12)
    world.api.before("update", lambda: world.engine.change_service("web", lambda spec: spec["Labels"].update(a="b")))

    record = only(world.next())

    assert said(record) == (Outcome.APPLIED, Reason.TOO_MANY_REPLICAS, 12, 10)
    assert Reason.CHANGED_EXTERNALLY in reasons(record)


@pytest.mark.fault("rollout")
def test_a_rollout_between_read_and_write_is_respected() -> None:
    """A deploy between the look and the write holds the decision: the write would take its rollback away."""
    world = settled_world(cpu=85)
    world.api.before("service", lambda: world.deploy(image="app:2"))

    record = only(world.next())

    assert said(record)[:2] == (Outcome.HELD, Reason.ROLLOUT_IN_PROGRESS)
    assert world.api.calls["update"] == 0


def test_where_the_second_look_fails_the_conflict_is_told() -> None:
    """Where Swarm goes away after a conflict, the record says that nothing was written, and nothing is raised."""
    world = settled_world(cpu=85)
    world.api.before("update", lambda: world.engine.operator_scale("web", 6))
    world.api.before("services", lambda: None, raising(LOST))

    record = only(world.next())

    assert said(record)[0] is Outcome.CONFLICT
    assert world.replicas() == 6


@pytest.mark.fault("service-removed")
@pytest.mark.parametrize("call", ["service", "update"])
@pytest.mark.parametrize("pattern", ["web", "w*"], ids=["named", "by a glob"])
def test_a_service_that_is_removed_between_read_and_write(call: str, pattern: str) -> None:
    """A service that is removed between the look and the write is not found; nothing is raised."""
    world = settled_world(policy_for(pattern, name="p"), cpu=85)
    world.api.before(call, lambda: world.engine.remove("web"))

    record = only(world.next())

    assert said(record)[:2] == (Outcome.FAILED, Reason.SERVICE_NOT_FOUND)
    assert reasons(record)[-1] is Reason.SERVICE_NOT_FOUND


@pytest.mark.fault("service-removed")
@pytest.mark.parametrize("pattern", ["web", "w*"], ids=["named", "by a glob"])
def test_a_service_that_is_removed_after_a_conflict(pattern: str) -> None:
    """A service that somebody writes to and then removes within one evaluation is not found, and not passed over."""
    world = settled_world(policy_for(pattern, name="p"), cpu=85)
    world.api.before("update", lambda: world.engine.operator_scale("web", 6))
    world.api.before("services", lambda: None, lambda: world.engine.remove("web"))

    record = only(world.next())

    assert said(record)[1] is Reason.SERVICE_NOT_FOUND


@pytest.mark.fault("service-removed")
def test_a_service_that_is_recreated_between_read_and_write() -> None:
    """A service of the same name is another service: the order for the first one is not carried out on it."""
    world = settled_world(cpu=85)

    def recreate() -> None:
        world.engine.remove("web")
        world.service(replicas=1, cpu=85)

    world.api.before("service", recreate)

    record = only(world.next())

    assert said(record)[:2] == (Outcome.FAILED, Reason.SERVICE_NOT_FOUND)
    assert world.replicas() == 1


@pytest.mark.fault("operator-scales")
def test_an_operators_scale_is_adopted_and_starts_the_cooldown() -> None:
    """An outside count is adopted, told of once, and no rule removes replicas within the cooldown after it."""
    world = settled_world(cpu=10, replicas=2)
    world.load["web", "cpu"] = 50
    world.next()
    world.load["web", "cpu"] = 10
    world.pass_step()
    scaled_at = world.clock.time
    world.engine.operator_scale("web", 5)

    adopted = only(world.evaluate())
    down = world.until_changed()

    assert Reason.CHANGED_EXTERNALLY in reasons(adopted)
    assert said(down) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 5, 4)
    assert down.decision.at - scaled_at == 300


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

    assert said(up) == (Outcome.APPLIED, Reason.TOO_FEW_REPLICAS, 1, 2)
    assert said(down) == (Outcome.APPLIED, Reason.TOO_MANY_REPLICAS, 9, 6)


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


@pytest.mark.fault("no-room")
def test_nothing_is_added_while_tasks_wait() -> None:
    """While requested replicas do not run yet, a breach adds no more of them, and says what Swarm says."""
    world = settled_world(FREE, cpu=85)
    world.engine.startup = 3600
    world.next()

    record = only(world.next())

    assert said(record)[:2] == (Outcome.HELD, Reason.TASKS_PENDING)
    assert "preparing" in record.decision.primary.detail


@pytest.mark.fault("swarm-away")
def test_an_unreachable_swarm_is_a_problem_and_no_more() -> None:
    """Without an answer of Swarm's an evaluation says so, decides nothing, and the next one goes on."""
    world = settled_world(cpu=85)
    world.lose_swarm()

    lost, back = world.next(), world.next()

    assert (lost.records, lost.problems) == ((), (Problem("swarm", str(LOST)),))
    assert world.source.asked[0][0] == "cpu"
    assert said(only(back))[0] is Outcome.APPLIED


@pytest.mark.fault("swarm-away")
def test_a_swarm_lost_before_the_write_fails_the_step_and_starts_no_cooldown() -> None:
    """A step that could not be written is failed, and taken at the next evaluation."""
    world = settled_world(cpu=85)
    world.api.before("service", raising(LOST))

    records = [only(world.next()), only(world.next())]

    assert [said(record)[0] for record in records] == [Outcome.FAILED, Outcome.APPLIED]
    assert "nothing was written" in records[0].detail


def test_a_refused_write_is_failed_and_the_other_services_are_served() -> None:
    """What Swarm refuses for one service does not keep the others from their steps."""
    world = World(policy_for("*", name="all"))
    for name in ("api", "web"):
        world.service(name, cpu=85)
    world.settle()
    world.api.before("update", raising(RefusedError("invalid spec")))

    assert {record.decision.service: record.outcome for record in world.next().records} == {
        "api": Outcome.FAILED,
        "web": Outcome.APPLIED,
    }


# dry-run


def test_a_dry_run_writes_nothing() -> None:
    """A dry-run decides as the real one would, on the live count, and leaves no trace in Swarm."""
    world = settled_world(cpu=85, dry_run=True)
    version, document = world.version(), world.engine.service("web")

    proposal = world.until_changed()
    world.run(1800)

    assert said(proposal) == (Outcome.DRY_RUN, Reason.ABOVE_THRESHOLD, 3, 4)
    assert (world.version(), world.engine.service("web")) == (version, document)
    assert world.api.calls["update"] == 0


def test_a_dry_run_proposes_again_after_its_cooldown() -> None:
    """The same proposal comes again when the cooldown that it would have started is over."""
    world = settled_world(cpu=85, dry_run=True)

    proposals = [world.until_changed(), world.until_changed()]

    assert [said(proposal)[2:] for proposal in proposals] == [(3, 4), (3, 4)]
    assert proposals[1].decision.at - proposals[0].decision.at == 180
    assert not any(proposal.repeated for proposal in proposals)


def test_a_dry_run_repeats_a_correction_of_the_bounds_only_after_its_cooldown() -> None:
    """A correction that a dry-run proposes at every evaluation is marked as a repetition within its cooldown."""
    world = settled_world(policy_for("web", least=5), cpu=50, dry_run=True)

    records = [only(evaluation) for evaluation in world.run(195)]

    assert {said(record) for record in records} == {(Outcome.DRY_RUN, Reason.TOO_FEW_REPLICAS, 3, 5)}
    assert [record.repeated for record in records] == [False, *[True] * 11, False]


# order


def test_increases_are_written_before_reductions() -> None:
    """Should the time run out, the increases have been made."""
    world = World(policy_for("*", name="all"))
    for name, cpu in (("a", 10), ("b", 85), ("c", 10), ("d", 85)):
        world.service(name, cpu=cpu)
    world.settle()

    world.next()

    assert [name for name, _, _ in world.api.updates] == ["b", "d", "a", "c"]


def test_stop_begins_no_further_write() -> None:
    """After `stop` the write on its way is finished and recorded, and no other one begins."""
    world = World(policy_for("*", name="all"))
    for name in ("a", "b"):
        world.service(name, cpu=85)
    world.settle()
    world.api.before("update", world.cycle.stop)

    evaluation = world.next()

    assert [said(record) for record in evaluation.records] == [(Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)]
    assert (world.replicas("a"), world.replicas("b")) == (4, 3)


def test_each_record_is_told_when_its_outcome_is_known() -> None:
    """Records are told of one by one, each after its write, and are those that the evaluation returns."""
    world = settled_world(cpu=85)

    evaluation = world.next()

    assert tuple(world.records) == evaluation.records


# which services


@pytest.mark.fault("policies-conflict")
def test_two_globs_that_match_leave_that_one_service_untouched() -> None:
    """Where two policies match a service with equal rank, it is left as it is, and the others are served."""
    world = World(policy_for("*-api", name="apis"), policy_for("shop-*", name="shop"))
    for name in ("shop-api", "shop-web"):
        world.service(name, cpu=85)
    world.settle()

    records = {record.decision.service: record for record in world.next().records}

    assert said(records["shop-api"]) == (Outcome.HELD, Reason.POLICY_CONFLICT, 3, 3)
    assert records["shop-api"].decision.running == 3
    assert "apis, shop" in records["shop-api"].decision.primary.detail
    assert said(records["shop-web"])[0] is Outcome.APPLIED


def test_a_service_that_is_named_but_not_there() -> None:
    """A service that a policy names and Swarm does not have is told of at every evaluation."""
    world = World(policy_for("web", "wbe", name="p"))
    world.service(cpu=50)

    records = {record.decision.service: record for record in world.next().records}

    assert said(records["wbe"]) == (Outcome.HELD, Reason.SERVICE_NOT_FOUND, 0, 0)


def test_the_label_takes_a_service_out() -> None:
    """`autoscaler.enabled=false` takes a service out, even one that a policy names."""
    world = World()
    world.service(cpu=85, labels={ENABLED_LABEL: "false"})
    world.settle()

    assert world.next().records == ()


@pytest.mark.parametrize(("pattern", "matched"), [("*", False), ("web", True)], ids=["glob", "name"])
def test_the_autoscalers_own_service_is_matched_by_its_name_only(pattern: str, *, matched: bool) -> None:
    """The autoscaler's own service never matches a glob; a policy that names it means it."""
    world = settled_world()
    policies = PolicySet(policies=(policy_for(pattern, name="p"),))
    cluster = world.cycle.swarm.read(Deadline(10))

    assigned, _ = assign(Matcher(policies), replace(cluster, own_service="web"), world.clock.now())

    assert [item.view.name for item in assigned] == (["web"] if matched else [])


def test_a_service_without_a_policy_is_left_alone() -> None:
    """A service that no policy matches is neither decided on nor written to."""
    world = settled_world()
    world.service("other", cpu=95)
    world.settle()

    assert [record.decision.service for record in world.next().records] == ["web"]


def test_a_removed_service_is_forgotten() -> None:
    """A service created anew under the name of a removed one has no past."""
    world = settled_world(cpu=85)
    world.next()
    world.engine.remove("web")
    world.next()
    world.service(replicas=3, cpu=85)
    world.settle(60)

    record = world.until_changed()

    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
    assert Reason.CHANGED_EXTERNALLY not in reasons(record)
    assert len(world.cycle._memories) == 1


@pytest.mark.fault("unscalable")
def test_a_global_service_is_refused() -> None:
    """A service of another mode is held as that, and not written to."""
    world = World()
    world.engine.create_service({"Name": "web", "Mode": {"Global": {}}, "TaskTemplate": {}, "Labels": {}})
    world.settle()

    assert said(only(world.next()))[:2] == (Outcome.HELD, Reason.UNSUPPORTED_MODE)


@pytest.mark.fault("rollback-point")
def test_a_service_whose_rollback_point_a_scale_takes_says_so() -> None:
    """A scale after a deploy says that `docker service rollback` now undoes the scale; the one after it does not."""
    world = settled_world(FREE, cpu=50)
    world.deploy(image="app:2")
    world.settle()
    world.load["web", "cpu"] = 85

    first, second = world.until_changed(), world.until_changed()

    assert "undoes the scale, not the last deploy" in first.rollback_warning
    assert second.rollback_warning == ""


# calm that is not proved

LOW_ONLY = policy_for("web", rules=(CPU_LOW,), down_cooldown=0)


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

    over = until_reason(world, Reason.WINDOW_INCOMPLETE).decision
    down = until_reason(world, Reason.BELOW_THRESHOLD).decision

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

    held = until_reason(world, Reason.WINDOW_INCOMPLETE).decision
    down = until_reason(world, Reason.BELOW_THRESHOLD).decision

    assert "made anew" in held.primary.detail
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


# clocks


@pytest.mark.fault("clock-skew")
@pytest.mark.parametrize(
    ("offset", "newest"), [(-3600.0, -3600), (-20.0, -2 * STEP), (-1.0, -STEP), (0.0, 0), (20.0, STEP), (3600.0, 3600)]
)
def test_windows_end_by_prometheus_clock(offset: float, newest: int) -> None:
    """A Prometheus is asked for the steps that its own clock has reached, which dates its samples, and no others."""
    world = settled_world(offset=offset)

    world.next()

    assert world.source.asked[-1][2] - world.clock.time == newest


@pytest.mark.fault("clock-skew")
@pytest.mark.parametrize(
    ("offset", "told"),
    [(-15.0, None), (-40.0, "40s behind ours"), (15.0, None), (40.0, "40s ahead of ours")],
)
def test_more_than_a_step_of_skew_is_a_problem(offset: float, told: str | None) -> None:
    """Clocks that are more than one window step apart are reported, and windows go on being judged."""
    world = settled_world(cpu=85, offset=offset)

    evaluation = world.next()

    assert [problem.kind for problem in evaluation.problems] == ([] if told is None else ["clock"])
    assert told is None or told in evaluation.problems[0].detail
    assert said(only(evaluation))[0] is Outcome.APPLIED


@pytest.mark.fault("clock-skew")
@pytest.mark.parametrize("offset", [-600.0, -40.0, 40.0, 600.0])
def test_what_is_decided_is_about_now_whatever_the_clocks_say(offset: float) -> None:
    """With clocks that differ a calm that is over is over: nothing is removed for a load of some minutes ago."""
    world = settled_world(cpu=10, offset=offset)
    world.load["web", "cpu"] = 60
    world.settle(4 * STEP)

    assert {only(evaluation).decision.primary.reason for evaluation in world.run(600)} == {Reason.NO_BREACH}


@pytest.mark.fault("clock-skew")
@pytest.mark.parametrize("back", [40.0, 600.0])
def test_a_prometheus_whose_clock_is_set_back_shrinks_nothing(back: float) -> None:
    """What it has of the time that comes again is not new: nothing is removed on it until the time is over."""
    world = settled_world(cpu=10)
    world.load["web", "cpu"] = 60
    world.next()
    world.prometheus.offset = -back

    set_back = world.evaluate()
    again = world.run(int(back))
    world.load["web", "cpu"] = 10

    assert [problem.kind for problem in set_back.problems] == ["prometheus"]
    assert f"went back by {words(back)}" in set_back.problems[0].detail
    assert {only(each).decision.primary.reason for each in (set_back, *again[:-2])} <= {
        Reason.STALE_DATA,
        Reason.NO_DATA,
    }
    assert world.replicas() == 3
    assert said(world.until_changed()) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


def test_a_clock_that_was_wrong_for_a_moment_costs_that_moment() -> None:
    """Where Prometheus' clock is said to be an hour ahead, where it has no samples, scaling waits until it is right."""
    world = settled_world(cpu=50)
    world.next()
    world.load["web", "cpu"] = 85
    world.source.offset = 3600.0
    assert {said(only(evaluation))[:2] for evaluation in world.run(600)} == {(Outcome.HELD, Reason.NO_DATA)}
    world.source.offset = None

    assert said(only(world.next())) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


# budgets


def test_one_query_per_distinct_metric_whatever_the_number_of_services() -> None:
    """Rules of several policies and many services share the query of their metric."""
    policies = (
        policy_for("a*", name="a", rules=(CPU_HIGH, CPU_LOW)),
        policy_for("b*", name="b", rules=(threshold("long", above=90, lasting="5m", add=1), MEMORY_HIGH)),
    )
    world = World(*policies)
    for number in range(20):
        world.service(f"a{number}")
        world.service(f"b{number}")
    world.settle()

    world.next()

    assert sorted(metric for metric, _, _ in world.source.asked) == ["cpu", "memory"]


def test_after_the_first_fill_only_the_new_step_and_the_newest_two_are_asked_for() -> None:
    """An evaluation asks for the steps it lacks, and again for the two that were provisional when it got them."""
    world = settled_world()
    world.next()
    filled = world.source.asked[-1]
    world.next()
    again = world.source.asked[-1]

    # For 1m: both ends, and the step before that may stand for the oldest.
    assert (filled[2] - filled[1]) // STEP + 1 == 6
    assert again == ("cpu", int(world.clock.time) - 2 * STEP, int(world.clock.time))


def test_a_long_window_is_filled_in_parts() -> None:
    """A look-back of hours is asked for in parts of 22 steps, each step once, and judged when all are there."""
    rule = threshold("slow", above=70, lasting="30m", add=1)
    world = World(policy_for("web", rules=(rule,)))
    world.service(cpu=85)
    world.settle(3600)

    record = only(world.next())

    spans = [(first, last) for _, first, last in world.source.asked]
    assert [(last - first) // STEP + 1 for first, last in spans] == [22, 22, 22, 22, 22, 12]
    assert {first - last for (_, last), (first, _) in pairwise(spans)} == {STEP}
    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


def test_a_fill_that_was_broken_off_goes_on_where_it_stopped() -> None:
    """Where Prometheus goes away during a long fill, what came is kept, and the next evaluation asks for the rest."""
    rule = threshold("slow", below=30, lasting="30m", remove=1)
    world = World(policy_for("web", rules=(rule,)))
    world.service(cpu=10)
    world.settle(3600)
    world.source.lose_after(1)

    first, second = only(world.next()), only(world.next())

    assert said(first)[:2] == (Outcome.HELD, Reason.STALE_DATA)
    assert [(last - start) // STEP + 1 for _, start, last in world.source.asked[2:]] == [22, 22, 22, 22, 15]
    assert said(second) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


def test_no_query_is_asked_for_a_policy_without_services() -> None:
    """A metric that no present service's rule names costs no query."""
    world = settled_world(policy_for("web"), policy_for("nobody*", name="n", rules=(MEMORY_HIGH,)))

    world.next()

    assert [metric for metric, _, _ in world.source.asked] == ["cpu"]


def test_swarm_is_read_in_three_lists() -> None:
    """An evaluation that changes nothing makes three lists and reads the pauses, whatever the number of services."""
    world = World(policy_for("*", name="all"))
    for number in range(20):
        world.service(f"s{number}")
    world.settle()

    world.next()

    assert dict(world.api.calls) == {"services": 1, "tasks": 1, "nodes": 1, "config": 1}


def test_a_longer_look_back_refills_the_window() -> None:
    """When a reload asks for more of the past than is held, all of it is fetched, and judged at once."""
    world = settled_world(cpu=85)
    world.next()
    world.settle(600)
    longer = threshold("slow", above=80, lasting="5m", add=2)
    world.policies = PolicySet(policies=(policy_for("web", rules=(longer,)),))

    assert said(only(world.next()))[:2] == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD)


def test_the_written_label_and_count_agree() -> None:
    """Every update says in its label the count that it writes."""
    world = settled_world(FREE, cpu=85)
    world.run(600)

    assert world.api.updates
    for _, _, spec in world.api.updates:
        state = label_in({"Spec": spec})
        assert state is not None
        assert state.replicas == count_in({"Spec": spec})


@pytest.mark.fault("labels-damaged")
def test_a_service_whose_own_labels_somebody_damaged_is_scaled_as_ever() -> None:
    """Labels of the autoscaler's that it cannot read, of a megabyte each, are told, and replaced by the next scale."""
    world = settled_world(cpu=85)
    damaged = {STATE_LABEL: "7" * 10**6, ROLLBACK_LABEL: "A" * 400_000}
    world.engine.change_service("web", lambda spec: spec["Labels"].update(damaged))
    world.settle(60)

    record = only(world.evaluate())

    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
    told = [why.detail for why in record.decision.reasons if why.reason is Reason.CHANGED_EXTERNALLY]
    assert told == [
        f"the label {STATE_LABEL} is not as the autoscaler writes it, so what it told of changes is not known"
    ]
    labels = world.engine.service("web")["Spec"]["Labels"]
    assert (ScaleState.decode(labels[STATE_LABEL]), labels[ROLLBACK_LABEL]) == (world.state(), "")
    assert Reason.CHANGED_EXTERNALLY not in reasons(only(world.next()))
