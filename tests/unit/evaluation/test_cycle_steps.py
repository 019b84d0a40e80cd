from __future__ import annotations

import pytest

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.evaluation.journal import Journal
from autoscaler.swarm.cluster import STATE_LABEL
from tests.support.world import (
    FREE,
    World,
    count_in,
    label_in,
    only,
    policy_for,
    said,
    settled_world,
)

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

    record = world.until_reason(Reason.COOLING_DOWN)

    assert said(record) == (Outcome.HELD, Reason.COOLING_DOWN, 4, 4)


@pytest.mark.parametrize(
    ("cpu", "expected", "held"),
    [
        (10, (Outcome.UNCHANGED, Reason.AT_MIN, 3, 3), {}),
        (85, (Outcome.HELD, Reason.AT_MAX, 3, 3), {("web", "at_max"): 40}),
    ],
)
def test_at_a_bound(cpu: float, expected: tuple[Outcome, Reason, int, int], held: dict[tuple[str, str], int]) -> None:
    """A night at the minimum is unchanged and counts no held decision; wanting more than the maximum is held."""
    world = settled_world(policy_for("web", least=3, most=3), cpu=cpu)
    journal = Journal()

    records = [only(evaluation) for evaluation in world.run(600)]
    for record in records:
        journal.add(record)

    assert {said(record) for record in records} == {expected}
    assert journal.snapshot().held == held
    assert world.api.calls["update"] == 0


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


def test_the_written_label_and_count_agree() -> None:
    """Every update says in its label the count that it writes."""
    world = settled_world(FREE, cpu=85)
    world.run(600)

    assert world.api.updates
    for _, _, spec in world.api.updates:
        state = label_in({"Spec": spec})
        assert state is not None
        assert state.replicas == count_in({"Spec": spec})


@pytest.mark.fault("no-room")
def test_nothing_is_added_while_tasks_wait() -> None:
    """While requested replicas do not run yet, a breach adds no more of them, and says what Swarm says."""
    world = settled_world(FREE, cpu=85)
    world.engine.startup = 3600
    world.next()

    record = only(world.next())

    assert said(record)[:2] == (Outcome.HELD, Reason.TASKS_PENDING)
    assert "preparing" in record.decision.primary.detail


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


def test_a_dry_run_speaks_of_no_change_that_never_happened() -> None:
    """A cooldown that counts from a proposal of the dry-run says that it was only proposed."""
    world = settled_world(cpu=85, dry_run=True)
    world.until_changed()

    held = only(world.next())

    assert held.decision.primary.reason is Reason.COOLING_DOWN
    assert held.decision.primary.detail == "wants 4; scale-up cooldown 3m, 2m45s left since 3 → 4 (proposed)"


def test_a_dry_run_repeats_a_correction_of_the_bounds_only_after_its_cooldown() -> None:
    """A correction that a dry-run proposes at every evaluation is marked as a repetition within its cooldown."""
    world = settled_world(policy_for("web", least=5), cpu=50, dry_run=True)

    records = [only(evaluation) for evaluation in world.run(195)]

    assert {said(record) for record in records} == {(Outcome.DRY_RUN, Reason.BELOW_MIN, 3, 5)}
    assert [record.repeated for record in records] == [False, *[True] * 11, False]
