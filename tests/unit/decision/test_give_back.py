"""Replicas that Swarm has found no room for are given back after a time, where a policy says so."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.core.model import Decision, History, Outcome, ScaleEvent, ScaleUpStreak
from autoscaler.core.reasons import Reason
from autoscaler.simulation.parts import Node
from autoscaler.swarm.history import ScaleState
from tests.support.builders import NOW, STEP, observation, steady, told, written
from tests.support.deciding import decide, summed
from tests.support.world import World, only, said, service_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

HIGH = {"name": "cpu-high", "metric": "cpu", "above": 70, "add": 1}
LOW = {"name": "cpu-low", "metric": "cpu", "below": 30, "remove": 1}
TARGET = {"name": "cpu-target", "metric": "cpu", "strategy": "target", "target": 60}
PATIENCE = 600
PENDING = "pending for 10m: no suitable node (insufficient resources on 1 node)"


def decided(  # noqa: PLR0913 - all that giving back depends on
    *rules: Mapping[str, Any],
    cpu: float = 50,
    requested: int = 6,
    running: int | None = None,
    waiting: tuple[float, ...] = (PATIENCE, PATIENCE),
    asked: int | None = 2,
    gave_back: float | None = None,
    streak: ScaleUpStreak | None = None,
    facts: Mapping[str, Any] | None = None,
    **keys: Any,
) -> Decision:
    """The decision where replicas have been *waiting* for room for so many seconds, and all the others run."""
    given = {"scale_up": {"give_back": "10m"}, "least": 1, **keys}
    seen = observation(
        requested,
        windows={} if cpu < 0 else {"cpu": steady(cpu)},
        running=requested - len(waiting) if running is None else running,
        stuck=bool(waiting),
        pending=PENDING if waiting else "",
        unplaced_since=tuple(NOW - seconds for seconds in waiting),
        **(facts or {}),
    )
    history = History(streak=streak, asked=asked, gave_back=gave_back)
    return decide(written(*(rules or (HIGH, LOW)), **given), seen, history)


def given_back(decision: Decision) -> tuple[int, Reason, str | None, bool, bool]:
    """The sum of the decision, and whether replicas are given back."""
    return *summed(decision), decision.gives_back


# what is given back


def test_replicas_without_room_are_given_back_after_the_time() -> None:
    """Replicas that the autoscaler added and that Swarm has found no room for, for so long, are given back."""
    decision = decided()

    assert given_back(decision) == (4, Reason.NO_ROOM, None, False, True)
    assert decision.primary.detail == f"2 replicas found no room and are given back: {PENDING}"
    assert decision.unplaced == 2


def test_nothing_is_given_back_by_default() -> None:
    """Without `give_back` replicas wait for ever, as Swarm lets them."""
    assert given_back(decided(scale_up={})) == (6, Reason.NO_BREACH, None, False, False)


@pytest.mark.parametrize(
    ("waiting", "left"),
    [((PATIENCE - 1,), 6), ((PATIENCE,), 5), ((PATIENCE, PATIENCE - 1), 6), ((PATIENCE + 9, PATIENCE), 4), ((), 6)],
)
def test_all_must_have_waited(waiting: tuple[float, ...], left: int) -> None:
    """None is given back before all have waited for the whole time: Swarm would never try the others again."""
    assert decided(waiting=waiting).desired == left


@pytest.mark.parametrize(
    ("facts", "left"),
    [
        pytest.param({"asked": 4}, 4, id="none that somebody else asked for"),
        pytest.param({"asked": 5}, 6, id="one that somebody else asked for"),
        pytest.param({"asked": None}, 6, id="not known"),
        pytest.param({"least": 4}, 4, id="none of the minimum"),
        pytest.param({"least": 5}, 6, id="one of the minimum"),
        pytest.param({"running": 5}, 5, id="the running ones"),
        pytest.param({"running": 6}, 6, id="all run meanwhile"),
        pytest.param({"facts": {"lowered_from": 5}}, 6, id="one that a deploy took"),
    ],
)
def test_what_is_never_given_back(facts: Mapping[str, Any], left: int) -> None:
    """No running one; and none at all where the minimum, an operator or a deploy asked for one that waits."""
    if "facts" not in facts:
        assert decided(**facts).desired == left
        return
    seen = observation(6, windows={"cpu": steady(50)}, running=4, unplaced_since=(NOW - 700,) * 2)
    policy = written(HIGH, LOW, scale_up={"give_back": "10m"})
    assert decide(policy, replace(seen, **facts["facts"]), History(asked=2)).desired == left


def test_others_that_start_are_waited_for() -> None:
    """While other replicas have a node and do not run yet none is given back: Swarm might remove one of those."""
    assert decided(running=3).desired == 6
    assert decided(running=4).desired == 4


@pytest.mark.parametrize("cpu", [-1, 50, 90])
def test_metrics_neither_cause_nor_prevent_it(cpu: float) -> None:
    """It is Swarm's word that counts: with missing data, a calm or a breach the same is given back."""
    decision = decided(cpu=cpu)

    assert (decision.desired, decision.primary.reason, decision.gives_back) == (4, Reason.NO_ROOM, True)


def test_a_rule_that_wants_fewer_still_gets_them() -> None:
    """Where a rule removes as many or more the rule decides; where fewer, the rest is given back."""
    one = decided(cpu=10, waiting=(PATIENCE,))
    two = decided(cpu=10)

    assert given_back(one) == (5, Reason.BELOW_THRESHOLD, "cpu-low", False, False)
    assert given_back(two) == (4, Reason.NO_ROOM, "cpu-low", False, True)
    assert [reason for reason, _ in told(two)] == [Reason.BELOW_THRESHOLD, Reason.NO_ROOM]


@pytest.mark.parametrize("rule", [HIGH, TARGET])
def test_a_rule_that_wants_more_is_told(rule: Mapping[str, Any]) -> None:
    """What a rule wants beyond what there is, there is no room for: the words say so."""
    decision = decided(rule, cpu=120)

    assert given_back(decision) == (4, Reason.NO_ROOM, rule["name"], False, True)
    assert decision.primary.detail.startswith("wants ")


@pytest.mark.parametrize(
    ("closed", "reason"),
    [
        ({"facts": {"rollout": "a rolling update is paused"}}, Reason.ROLLOUT_IN_PROGRESS),
        ({"facts": {"mode": "global"}}, Reason.UNSUPPORTED_MODE),
        ({"paused": True}, Reason.PAUSED),
        ({"paused": "down"}, Reason.PAUSED),
    ],
)
def test_a_gate_that_holds_everything_holds_it(closed: dict[str, Any], reason: Reason) -> None:
    """During a rollout, in a pause, of a global service nothing is given back."""
    assert given_back(decided(**closed)) == (6, reason, None, True, False)


def test_a_pause_upwards_and_a_guard_do_not_hold_it() -> None:
    """It is no rule's reduction, and no increase."""
    guard = {"name": "backup", "metric": "cpu", "above": 1, "block": "both"}

    assert decided(paused="up").desired == 4
    assert decided(guards=[guard]).desired == 4
    assert decided(cpu=10, guards=[guard]).desired == 4, "the rule's own reduction is what the guard holds"


def test_the_autoscaler_that_stands_by_gives_nothing_back() -> None:
    """Who does not hold the lease does nothing."""
    seen = replace(
        observation(6, windows={"cpu": steady(50)}, running=4, unplaced_since=(NOW - 700,) * 2), standby="another acts"
    )
    decision = decide(written(HIGH, LOW, scale_up={"give_back": "10m"}), seen, History(asked=2))

    assert given_back(decision) == (6, Reason.NOT_LEADER, None, True, False)


def test_the_maximum_may_lower_it_further() -> None:
    """A maximum below what has room lowers the count at the same time, and the replicas count as given back."""
    assert given_back(decided(most=3)) == (3, Reason.ABOVE_MAX, None, False, True)


def test_an_increase_without_room_does_not_count_as_one_that_did_not_help() -> None:
    """What never ran could not help: the climb of `ineffective_after` loses its last step, and no more."""
    streak = ScaleUpStreak("cpu-high", 3, 90.0)

    assert decided(cpu=95, streak=streak).streak == ScaleUpStreak("cpu-high", 2, 90.0)
    assert decided(cpu=95, streak=ScaleUpStreak("cpu-high", 1, 90.0)).streak is None


# the time after it


@pytest.mark.parametrize(
    ("ago", "desired"), [(0, 6), (PATIENCE - 1, 6), (PATIENCE, 7), (-30, 6)], ids=["now", "soon", "over", "in future"]
)
def test_no_increase_for_as_long_again(ago: float, desired: int) -> None:
    """For as long as replicas may wait, no rule adds any after some were given back."""
    decision = decided(cpu=90, waiting=(), gave_back=NOW - ago)

    assert decision.desired == desired
    assert (decision.primary.reason is Reason.NO_ROOM) is (desired == 6)


def test_the_time_after_it_in_words() -> None:
    """It is said when the next attempt is."""
    decision = decided(cpu=90, waiting=(), gave_back=NOW - 60)

    assert given_back(decision) == (6, Reason.NO_ROOM, "cpu-high", True, False)
    assert decision.primary.detail == (
        "wants 7; replicas that found no room were given back 1m ago, the next attempt is in 9m"
    )


def test_only_rules_wait() -> None:
    """Bounds raise the count, and rules lower it, whatever was given back."""
    assert decided(cpu=10, waiting=(), gave_back=NOW).desired == 5
    assert decided(waiting=(), requested=3, least=5, gave_back=NOW).desired == 5
    assert decided(cpu=90, waiting=(), gave_back=NOW, scale_up={}).desired == 7, "give_back was taken out of the policy"


# in the cycle


def crowded(*rules: Mapping[str, Any], give_back: str = "5m", replicas: int = 2) -> World:
    """A busy service whose replicas reserve a core each, on a node of four cores of which another service takes one."""
    scale_up = {"cooldown": "1m", "give_back": give_back}
    policy = written(*(rules or (HIGH,)), LOW, most=12, scale_up=scale_up, scale_down={"cooldown": "5m"})
    world = World(policy, nodes=[Node("node-1", 4)])
    for name, count in (("db", 1), ("web", replicas)):
        spec = service_spec(name, count)
        spec["TaskTemplate"]["Resources"]["Reservations"] = {"NanoCPUs": 10**9}
        world.engine.create_service(spec)
    world.load["web", "cpu"] = 90
    world.settle()
    return world


def until(world: World, reason: Reason, *, at_most: int = 3600) -> None:
    """Let time pass until a decision has this primary reason."""
    for _ in range(at_most // STEP):
        if only(world.next()).decision.primary.reason is reason:
            return
    raise AssertionError(f"no {reason} within {at_most} s")


@pytest.mark.fault("no-room")
def test_the_replica_without_room_is_given_back_and_tried_again() -> None:
    """Added, pending, given back after the time, and tried again after as much time: two writes in each round."""
    world = crowded()
    until(world, Reason.TASKS_PENDING)
    state = world.state()
    assert state is not None
    assert state.replicas == 4

    until(world, Reason.NO_ROOM)
    assert said(world.records[-1]) == (Outcome.APPLIED, Reason.NO_ROOM, 4, 3)
    gave_back = world.clock.time
    assert 300 <= gave_back - state.events[-1].at <= 300 + STEP, "from when it was first seen to wait"

    assert world.until_changed().decision.desired == 4
    assert world.clock.time - gave_back == 300
    world.run(3600)
    changes = [(record.decision.at, record.decision.desired) for record in world.records if record.decision.changes]
    assert {after for _, after in changes} == {3, 4}
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(changes)]
    assert min(gaps[1:]) >= 300
    assert world.engine.running("web") == 3


@pytest.mark.fault("no-room")
def test_where_room_appears_it_goes_on() -> None:
    """Once another service has left, the pending replica runs, and the next one follows after the cooldown."""
    world = crowded()
    until(world, Reason.TASKS_PENDING)
    world.engine.remove("db")

    world.run(120)

    assert world.engine.running("web") == 4
    assert world.replicas() == 5


@pytest.mark.parametrize("restarts_after", [0, 60])
def test_a_restart_keeps_what_was_given_back(restarts_after: int) -> None:
    """The time after giving back rides on the service: a new autoscaler waits as the old one would have."""
    world = crowded()
    until(world, Reason.NO_ROOM)
    gave_back = world.clock.time
    world.run(restarts_after)
    world.restart()

    assert world.until_changed().decision.desired == 4
    assert world.clock.time - gave_back >= 300


def test_a_restart_keeps_what_others_asked_for() -> None:
    """Replicas that an operator asked for are never given back, whoever looks, and those added since are."""
    world = crowded(replicas=1)
    world.engine.operator_scale("web", 5)
    world.run(STEP)
    world.restart()
    world.run(1800)
    assert world.replicas() == 5

    state = world.state()
    assert state is None, "nothing was ours to write"


def test_what_the_autoscaler_added_is_told_from_what_an_operator_asked_for() -> None:
    """Of four replicas, three of them an operator's, the one that was added is given back, and no other ever."""
    world = crowded()
    world.engine.operator_scale("web", 3)
    until(world, Reason.TASKS_PENDING)
    state = world.state()
    assert state is not None
    assert (state.replicas, state.asked) == (4, 3)
    until(world, Reason.NO_ROOM)
    assert world.replicas() == 3

    world.engine.stop_node("node-1")
    world.run(1800)
    assert world.replicas() == 3
    assert world.engine.running("web") == 0


@pytest.mark.fault("forgotten")
def test_a_replica_that_swarm_never_tries_again_is_given_back_and_added_anew() -> None:
    """What waits when the count changes waits for ever, whatever room appears: given back and added, it runs."""
    world = crowded({**HIGH, "add": 2}, replicas=3, give_back="20m")
    until(world, Reason.TASKS_PENDING)
    assert (world.engine.running("web"), world.replicas()) == (3, 5)
    world.load["web", "cpu"] = 10
    until(world, Reason.BELOW_THRESHOLD)
    world.load["web", "cpu"] = 90
    world.engine.remove("db")

    world.run(600)
    assert (world.engine.running("web"), world.replicas()) == (3, 4), "there is room, and Swarm does not look"
    assert only(world.next()).decision.primary.reason is Reason.TASKS_PENDING
    until(world, Reason.NO_ROOM)
    assert world.replicas() == 3
    world.run(1500)
    assert world.engine.running("web") == 4


def test_one_write_changes_the_count_and_our_label_only() -> None:
    """Giving back is a scale as every other: one number, and our own label."""
    world = crowded()
    until(world, Reason.NO_ROOM)
    name, before, spec = world.api.updates[-1]

    assert name == "web"
    old = before["Spec"]
    assert spec["Mode"] == {"Replicated": {"Replicas": 3}}
    assert {key: value for key, value in spec.items() if key not in {"Mode", "Labels"}} == {
        key: value for key, value in old.items() if key not in {"Mode", "Labels"}
    }
    state = ScaleState.decode(spec["Labels"]["autoscaler.state"])
    assert state is not None
    assert state.events[-1] == ScaleEvent(round(world.clock.time, 3), 4, 3)
    assert state.gave_back == round(world.clock.time, 3)


def test_a_dry_run_proposes_it_once() -> None:
    """In a dry-run nothing is given back, and the proposal is news again only after the cooldown."""
    world = crowded()
    until(world, Reason.TASKS_PENDING)
    world._dry_run = True
    world.restart()
    until(world, Reason.NO_ROOM)
    world.run(300 - STEP)

    proposed = [record for record in world.records if record.outcome is Outcome.DRY_RUN]
    assert len(proposed) > 1
    assert [record.repeated for record in proposed] == [False, *[True] * (len(proposed) - 1)]
    assert world.replicas() == 4
