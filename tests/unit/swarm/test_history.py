from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from autoscaler.core.model import BY_DEPLOY, BY_OPERATOR, Decision, Direction, ScaleEvent, Why
from autoscaler.core.reasons import Reason
from autoscaler.swarm.cluster import SETTLE_TIME, STATE_LABEL, ServiceView, SpecBefore, TaskView
from autoscaler.swarm.history import ScaleState, ServiceHistory, look, observed, prune
from tests.support.builders import NOW, FakeService
from tests.support.world import decided

MINUTE = 60


def counts(memory: ServiceHistory) -> list[tuple[int, int]]:
    """The changes that *memory* knows of, oldest first, without their times."""
    return [(event.before, event.after) for event in memory.events]


def looked(service: FakeService, at: float, memory: ServiceHistory | None = None) -> ServiceHistory:
    """What is remembered after a look that must find no outside change."""
    known, changed = look(service.view(), memory, at)
    assert changed == ""
    return known


def scaled(before: int = 3, after: int = 4) -> tuple[FakeService, ServiceHistory]:
    """A service that the autoscaler scaled at `NOW`, and what it remembers."""
    service = FakeService(before, NOW - 86_400)
    memory = service.scaled_by_us(NOW, after, looked(service, NOW))
    return service, memory


# the label


def test_state_round_trip() -> None:
    """Durable truth lives in Swarm: what one label says is what the next look reads, to the millisecond."""
    state = ScaleState(4, (ScaleEvent(NOW - 60.25, 5, 3), ScaleEvent(NOW + 0.125, 3, 4)))

    assert ScaleState.decode(state.encode()) == state


def test_what_others_asked_for_and_what_was_given_back_ride_on_the_label() -> None:
    """The label tells the count that somebody else asked for last, and when replicas were given back."""
    state = ScaleState(4, (ScaleEvent(NOW, 5, 4),), asked=2, gave_back=NOW + 0.125)

    assert ScaleState.decode(state.encode()) == state


def test_label_keeps_all_that_prune_keeps() -> None:
    """The last change of each direction is read back, however many changes came after it."""
    removal = ScaleEvent(NOW - 86_400, 2, 1)
    events = prune((removal, *(ScaleEvent(NOW + second, second, second + 1) for second in range(1, 40))), NOW + 40)

    decoded = ScaleState.decode(ScaleState(40, events).encode())

    assert decoded == ScaleState(40, events)
    assert events[0] == removal


def causes(state: ScaleState | None) -> list[tuple[str, str]]:
    """The reason and the rule of each change in *state*."""
    assert state is not None
    return [(event.reason, event.rule) for event in state.events]


def test_the_label_tells_the_reason_and_the_rule_of_each_change() -> None:
    """Each change rides on the label with its reason and its rule, by whoever it was made."""
    changes = (
        ScaleEvent(NOW, 3, 4, reason="above_threshold", rule="cpu-high"),
        ScaleEvent(NOW + 1, 4, 5, by_others=True, reason=BY_OPERATOR),
        ScaleEvent(NOW + 2, 5, 6),
        ScaleEvent(NOW + 3, 6, 2, reason="above_max"),
    )

    state = ScaleState.decode(ScaleState(2, changes).encode())

    assert causes(state) == [("above_threshold", "cpu-high"), ("operator", ""), ("", ""), ("above_max", "")]
    assert state is not None
    assert state.events == changes


def test_a_label_of_an_earlier_version_tells_no_reasons() -> None:
    """Labels without reasons are read as before; their changes have no reason."""
    assert causes(ScaleState.decode(label())) == [("", "")]


def test_an_earlier_version_reads_the_changes_of_a_label_with_reasons() -> None:
    """The changes keep the form that earlier versions read: three items, and a fourth for a change by others."""
    changes = (
        ScaleEvent(NOW, 3, 4, reason="above_threshold", rule="cpu-high"),
        ScaleEvent(NOW + 1, 4, 5, by_others=True, reason=BY_DEPLOY),
    )

    document = json.loads(ScaleState(5, changes).encode())

    assert document["v"] == 1
    assert document["changes"] == [[NOW, 3, 4], [NOW + 1, 4, 5, "others"]]


def test_a_reason_of_a_later_version_is_kept() -> None:
    """A reason that this version does not know is kept, because a later version runs beside this one."""
    assert causes(ScaleState.decode(label(why=["quantum_leap cpu"]))) == [("quantum_leap", "cpu")]


@pytest.mark.parametrize(
    "why",
    [
        None,
        {},
        "above_threshold",
        [],
        ["above_threshold", "above_threshold"],
        [7],
        [["above_threshold"]],
        ["Above the threshold"],
        ["above_threshold cpu high"],
        ["above_threshold " + 64 * "x"],
        ["above_threshold \x1b[2J"],
    ],
)
def test_reasons_that_cannot_be_read_cost_no_change(why: object) -> None:
    """Anybody may have written the reasons: the change counts all the same, because cooldowns need it."""
    state = ScaleState.decode(label(why=why))

    assert causes(state) == [("", "")]


def test_a_decision_leaves_its_reason_and_rule_on_the_label() -> None:
    """The update that changes the count carries the primary reason and its rule."""
    why = Why(Reason.ABOVE_THRESHOLD, "cpu 90 %, above 70 % for 1m", "cpu-high")
    decision = Decision("web", "p", NOW, 3, 3, 4, why, (why,))
    memory = looked(FakeService(3, NOW - 3600), NOW)

    state = ScaleState.decode(memory.state_after(decision).encode())

    assert causes(state) == [("above_threshold", "cpu-high")]


def test_a_scale_that_keeps_the_label_is_an_operators() -> None:
    """`docker service scale` keeps the label, so the change is an operator's; it rides on our next write."""
    service, memory = scaled(3, 4)
    service.scaled_by_operator(NOW + 60, 6)

    memory, _ = look(service.view(), memory, NOW + 75)

    assert [(event.before, event.after, event.reason) for event in memory.found] == [(4, 6, BY_OPERATOR)]
    assert json.loads(ScaleState(6, memory.events).encode())["why"][-1] == BY_OPERATOR


def test_a_change_that_drops_the_label_is_a_deploys() -> None:
    """A stack deploy drops the label, so the change of the count is the deploy's, with or without a memory."""
    service, memory = scaled(3, 4)
    service.deployed(NOW + 60, 6)

    for known in (memory, None):
        found = look(service.view(), known, NOW + 75)[0].found
        assert [(event.before, event.after, event.reason) for event in found] == [(4, 6, BY_DEPLOY)]


def label(**keys: object) -> str:
    """The text of a label, right but for *keys*."""
    return json.dumps({"v": 1, "replicas": 4, "changes": [[NOW, 3, 4]], **keys})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "null",
        "4",
        "[]",
        '"x"',
        "{}",
        "{",
        "NaN",
        "[" * 100_000,
        '{"v":1,"replicas":' + "9" * 5_000 + ',"changes":[]}',
        label(v=2),
        label(v=True),
        label(replicas=None),
        label(replicas="4"),
        label(replicas=4.5),
        label(replicas=True),
        label(replicas=-1),
        label(replicas=10**12),
        label(replicas=float("inf")),
        label(replicas=float("nan")),
        label(changes=None),
        label(changes={}),
        label(changes="abc"),
        label(changes=[[NOW, 3]]),
        label(changes=[[NOW, 3, 4, 5]]),
        label(changes=["abc"]),
        label(changes=[7]),
        label(changes=[[str(NOW), 3, 4]]),
        label(changes=[[True, 3, 4]]),
        label(changes=[[None, 3, 4]]),
        label(changes=[[float("nan"), 3, 4]]),
        label(changes=[[float("inf"), 3, 4]]),
        label(changes=[[float("-inf"), 3, 4]]),
        label(changes=[[-1, 3, 4]]),
        label(changes=[[1e300, 3, 4]]),
        label(changes=[[10**400, 3, 4]]),
        label(changes=[[NOW, 3.5, 4]]),
        label(changes=[[NOW, "3", 4]]),
        label(changes=[[NOW, 3, True]]),
        label(changes=[[NOW, -3, 4]]),
        label(changes=[[NOW, 3, 10**12]]),
        label(changes=[[NOW, 4, 4]]),
        label(changes=[[[[]], 3, 4]]),
        label(asked=-1),
        label(asked="3"),
        label(asked=None),
        label(asked=10**12),
        label(gave_back=-1),
        label(gave_back="now"),
        label(gave_back=True),
        label(gave_back=None),
        label(gave_back=float("nan")),
        label(gave_back=1e300),
        label(streak=None),
        label(streak=["cpu-high", 1]),
        label(streak=[7, 1, 80]),
        label(streak=["cpu-high", "1", 80]),
        label(streak=["cpu-high", 1, True]),
        label(streak=["cpu-high", 1, float("nan")]),
        label(streak=["cpu-high", 1, 10**400]),
        label(streak=["cpu-high", 10**400, 80]),
    ],
)
@pytest.mark.fault("policies-conflict")
def test_hostile_labels_say_nothing(text: str) -> None:
    """Anybody may have written the label: what the autoscaler cannot have written is no history."""
    assert ScaleState.decode(text) is None


def test_long_labels_are_bounded() -> None:
    """A label of hundreds of changes leaves the newest, as many as the autoscaler writes, in the order of time."""
    many = [[NOW - second, 3, 4] for second in range(700)]

    state = ScaleState.decode(label(changes=many))

    assert state is not None
    assert [event.at for event in state.events] == [NOW - second for second in range(23, -1, -1)]


@pytest.mark.fault("labels-damaged")
@pytest.mark.parametrize(
    "long",
    [
        label(changes=[[NOW - second, 3, 4] for second in range(50_000)]),
        label(streak=["x" * 10**6, 1, 80]),
        label() + " " * 10**6,
    ],
    ids=["changes", "a name", "nothing"],
)
def test_a_label_of_a_megabyte_is_not_read(long: str) -> None:
    """A label that is longer than any of the autoscaler's says nothing: it would take a second at every look."""
    assert ScaleState.decode(long) is None


def test_whole_seconds_are_read() -> None:
    """Times in the label are numbers, with or without a fraction."""
    assert ScaleState.decode(label()) == ScaleState(4, (ScaleEvent(float(NOW), 3, 4),))


# a first look


def test_first_look_at_a_new_service() -> None:
    """A service that nobody ever changed has no history: creating it is no change."""
    service = FakeService(3, NOW - 5)

    memory = looked(service, NOW)

    assert (memory.requested, memory.events) == (3, ())


def test_first_look_at_a_service_that_an_operator_scaled() -> None:
    """Every applied change counts, an operator's included: PreviousSpec shows the last one without any memory."""
    service = FakeService(3, NOW - 86_400)
    service.scaled_by_operator(NOW - 40, 5)

    memory, changed = look(service.view(), None, NOW)

    assert changed == "3 → 5 by somebody else, 40s ago"
    assert memory.events == (ScaleEvent(NOW - 40, 3, 5),)


def test_first_look_at_a_service_whose_last_update_kept_the_count() -> None:
    """An update that left the count as it was is no change."""
    service = FakeService(3, NOW - 86_400)
    service.scaled_by_operator(NOW - 40, 3)

    assert looked(service, NOW).events == ()


def test_restart_after_our_scale() -> None:
    """After SIGKILL no second step for the same breach inside its cooldown: the label tells of our scale."""
    service, _ = scaled(3, 4)

    memory = looked(service, NOW + 15)

    assert (memory.requested, memory.events) == (4, (ScaleEvent(NOW, 3, 4),))


def test_restart_after_our_scale_and_the_end_of_a_rollout() -> None:
    """A transition of UpdateStatus moves the time of update and is no change."""
    service, _ = scaled(3, 4)
    service.rollout_completed(NOW + 20)

    assert looked(service, NOW + 30).events == (ScaleEvent(NOW, 3, 4),)


@pytest.mark.parametrize("count", [6, 2])
def test_restart_after_an_operators_scale_of_ours(count: int) -> None:
    """An operator's scale while the daemon was away is adopted, from the count that our label says."""
    service, _ = scaled(3, 4)
    service.scaled_by_operator(NOW + 60, count)

    memory, changed = look(service.view(), None, NOW + 90)

    assert changed == f"4 → {count} by somebody else, 30s ago"
    assert memory.events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 60, 4, count))


def test_restart_after_an_operator_scaled_back_and_forth() -> None:
    """The last change counts even where an operator came back to the count that our label says."""
    service, _ = scaled(3, 4)
    service.scaled_by_operator(NOW + 60, 6)
    service.scaled_by_operator(NOW + 90, 4)

    memory, changed = look(service.view(), None, NOW + 100)

    assert changed == "4 → 6 → 4 by somebody else, 10s ago"
    assert counts(memory) == [(3, 4), (4, 6), (6, 4)]
    assert memory.events[-1].at == NOW + 90


def test_restart_after_a_deploy() -> None:
    """A stack deploy drops the label; the state before it is still in PreviousSpec."""
    service, _ = scaled(3, 4)
    service.deployed(NOW + 60, 2)

    memory, changed = look(service.view(), None, NOW + 90)

    assert changed == "4 → 2 by somebody else, 30s ago"
    assert memory.events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 60, 4, 2))


def test_restart_after_a_deploy_of_the_same_count() -> None:
    """A deploy that keeps the count changes nothing and takes no history away."""
    service, _ = scaled(3, 4)
    service.deployed(NOW + 60, 4)

    assert looked(service, NOW + 90).events == (ScaleEvent(NOW, 3, 4),)


def test_restart_after_a_rollback() -> None:
    """A rollback brings an older label back: history is the newest of memory, Spec and PreviousSpec."""
    service, memory = scaled(3, 4)
    service.scaled_by_us(NOW + 300, 5, looked(service, NOW + 15, memory))
    service.rolled_back(NOW + 330)

    known, changed = look(service.view(), None, NOW + 345)

    assert changed == "5 → 4 by somebody else, 15s ago"
    assert known.events == (
        ScaleEvent(NOW, 3, 4),
        ScaleEvent(NOW + 300, 4, 5),
        ScaleEvent(NOW + 330, 5, 4),
    )


def test_restart_after_a_rollback_that_repeats_a_change_of_ours() -> None:
    """An older label that tells of the same step is not mistaken for the scale that made it a second time."""
    service, memory = scaled(4, 3)
    service.scaled_by_us(NOW + 300, 4, looked(service, NOW + 15, memory))
    service.rolled_back(NOW + 330)

    known, _ = look(service.view(), None, NOW + 345)

    assert counts(known) == [(4, 3), (3, 4), (4, 3)]


def test_restart_after_a_rollback_to_before_our_first_scale() -> None:
    """A rollback of our first scale is a change too, though no label is left in the spec."""
    service, _ = scaled(3, 4)
    service.rolled_back(NOW + 30)

    memory, _ = look(service.view(), None, NOW + 45)

    assert memory.events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 30, 4, 3))


def test_restart_after_the_rollback_of_a_deploy() -> None:
    """A rollback that brings our label back is a change by others, not our own scale a second time."""
    service, _ = scaled(3, 4)
    service.deployed(NOW + 60, 2)
    service.rolled_back(NOW + 90)

    memory, changed = look(service.view(), None, NOW + 100)

    assert changed == "2 → 4 by somebody else, 10s ago"
    assert memory.events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 90, 2, 4))


def test_a_recreated_service_has_a_new_history() -> None:
    """A service removed and recreated is another one: no memory, no label, no cooldown."""
    _, _ = scaled(3, 4)
    recreated = FakeService(3, NOW + 60)

    assert looked(recreated, NOW + 75).events == ()


# with memory


def test_our_scale_is_counted_once() -> None:
    """Our own scale is one change, however often it is looked at."""
    service, memory = scaled(3, 4)

    for second in (15, 30, 45):
        memory = looked(service, NOW + second, memory)

    assert memory.events == (ScaleEvent(NOW, 3, 4),)


def test_our_scale_whose_answer_was_lost() -> None:
    """A write without an answer may still be applied: then it is ours, with its cooldown, and nobody else's."""
    service = FakeService(3, NOW - 86_400)
    memory = looked(service, NOW)
    service.scaled_by_us(NOW, 4, memory)

    memory = looked(service, NOW + 15, memory)

    assert (memory.requested, memory.events) == (4, (ScaleEvent(NOW, 3, 4),))


def test_our_scale_whose_answer_was_lost_and_that_was_not_applied() -> None:
    """Failed writes do not count."""
    service = FakeService(3, NOW - 86_400)

    assert looked(service, NOW + 15, looked(service, NOW)).events == ()


def test_our_lost_scale_and_then_an_operators() -> None:
    """Neither change is lost where an operator scales before our own scale was seen."""
    service = FakeService(3, NOW - 86_400)
    memory = looked(service, NOW)
    service.scaled_by_us(NOW, 4, memory)
    service.scaled_by_operator(NOW + 5, 8)

    memory, changed = look(service.view(), memory, NOW + 15)

    assert changed == "4 → 8 by somebody else, 10s ago"
    assert memory.events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 5, 4, 8))


def test_our_lost_scale_and_then_a_deploy_back_to_the_old_count() -> None:
    """A deploy that undoes a scale whose answer was lost is a change, though memory saw the same count before."""
    service = FakeService(3, NOW - 86_400)
    memory = looked(service, NOW)
    service.scaled_by_us(NOW, 4, memory)
    service.deployed(NOW + 5, 3)

    memory, changed = look(service.view(), memory, NOW + 15)

    assert changed == "4 → 3 by somebody else, 10s ago"
    assert memory.events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 5, 4, 3))


@pytest.mark.parametrize("count", [6, 2])
def test_operators_scale(count: int) -> None:
    """An outside count is adopted, and starts the cooldown: once, at the time of the update."""
    service, memory = scaled(3, 4)
    memory = looked(service, NOW + 15, memory)
    service.scaled_by_operator(NOW + 60, count)

    memory, changed = look(service.view(), memory, NOW + 75)

    assert changed == f"4 → {count} by somebody else, 15s ago"
    assert memory.events[1:] == (ScaleEvent(NOW + 60, 4, count),)
    assert looked(service, NOW + 90, memory).events == memory.events


def test_two_changes_by_operators_between_two_looks() -> None:
    """An increase and a reduction between two looks are both seen: PreviousSpec holds the count between them."""
    service, memory = scaled(3, 4)
    memory = looked(service, NOW + 15, memory)
    service.scaled_by_operator(NOW + 20, 8)
    service.scaled_by_operator(NOW + 25, 4)

    memory, changed = look(service.view(), memory, NOW + 30)

    assert changed == "4 → 8 → 4 by somebody else, 5s ago"
    assert counts(memory) == [(3, 4), (4, 8), (8, 4)]
    last_increase = memory.history.last(Direction.UP)
    assert last_increase is not None
    assert NOW + 20 <= last_increase.at <= NOW + 25


def test_two_changes_by_operators_with_a_look_at_each() -> None:
    """Two operator's changes in a row are two changes."""
    service, memory = scaled(3, 4)
    service.scaled_by_operator(NOW + 20, 8)
    memory, _ = look(service.view(), memory, NOW + 30)
    service.scaled_by_operator(NOW + 40, 4)
    memory, _ = look(service.view(), memory, NOW + 45)

    assert counts(memory) == [(3, 4), (4, 8), (8, 4)]


def test_an_operators_change_is_no_news_half_an_hour_later() -> None:
    """A change is adopted once: it is not found again when the changes before it are too old to be kept."""
    service, memory = scaled(3, 4)
    memory = service.scaled_by_us(NOW + 5 * MINUTE, 5, looked(service, NOW + 15, memory))
    service.scaled_by_operator(NOW + 6 * MINUTE, 8)
    memory, changed = look(service.view(), memory, NOW + 7 * MINUTE)
    assert changed

    for minute in range(8, 60):
        memory = looked(service, NOW + minute * MINUTE, memory)

    assert memory.events[-1] == ScaleEvent(NOW + 6 * MINUTE, 5, 8)


def test_a_deploy_with_a_lower_count() -> None:
    """A stack deploy's count is a change by others, and the label it dropped is missed by nobody."""
    service, memory = scaled(3, 4)
    memory = looked(service, NOW + 15, memory)
    service.deployed(NOW + 60, 3)

    memory, changed = look(service.view(), memory, NOW + 75)
    service.rollout_completed(NOW + 80)

    assert changed == "4 → 3 by somebody else, 15s ago"
    assert looked(service, NOW + 90, memory).events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 60, 4, 3))


def test_a_deploy_with_the_same_count() -> None:
    """A deploy that keeps the count is no change."""
    service, memory = scaled(3, 4)
    service.deployed(NOW + 60, 4)

    assert looked(service, NOW + 75, memory).events == (ScaleEvent(NOW, 3, 4),)


def test_a_rollback_of_our_scale() -> None:
    """A rollback reverts the scale and brings the older label back: it is a change by others, counted once."""
    service, memory = scaled(3, 4)
    memory = service.scaled_by_us(NOW + 300, 5, looked(service, NOW + 15, memory))
    service.rolled_back(NOW + 310)

    memory, changed = look(service.view(), memory, NOW + 315)

    assert changed == "5 → 4 by somebody else, 5s ago"
    assert counts(looked(service, NOW + 330, memory)) == [(3, 4), (4, 5), (5, 4)]


def test_a_rollback_and_an_operators_scale_between_two_looks() -> None:
    """A rollback's increase counts though an operator took it back at once: the older label shows the rollback."""
    service, memory = scaled(3, 2)
    memory = looked(service, NOW + 15, memory)
    service.rolled_back(NOW + 20)
    service.scaled_by_operator(NOW + 25, 2)

    memory, changed = look(service.view(), memory, NOW + 30)

    assert changed == "2 → 3 → 2 by somebody else, 5s ago"
    assert counts(memory) == [(3, 2), (2, 3), (3, 2)]


def test_the_automatic_rollback_of_a_deploy() -> None:
    """The automatic rollback brings count and label back, and leaves no PreviousSpec; both changes count once."""
    service, memory = scaled(3, 4)
    service.deployed(NOW + 60, 2)
    memory, _ = look(service.view(), memory, NOW + 70)
    service.rolled_back_by_swarm(NOW + 75)

    memory, changed = look(service.view(), memory, NOW + 85)

    assert changed == "2 → 4 by somebody else, 10s ago"
    assert counts(looked(service, NOW + 100, memory)) == [(3, 4), (4, 2), (2, 4)]


def test_a_label_written_by_hand_is_no_change() -> None:
    """Nobody scales to one count and writes another: such a label does not invent a change."""
    service = FakeService(3, NOW - 86_400)
    memory = looked(service, NOW)
    service.before = SpecBefore(3, "")
    service.label, service.at = ScaleState(7).encode(), NOW + 5

    assert looked(service, NOW + 15, memory).events == ()
    assert looked(service, NOW + 15, None).events == ()


@pytest.mark.fault("labels-damaged")
def test_garbage_in_the_label_takes_no_memory_away() -> None:
    """A label that cannot be read changes nothing of what is remembered; that is said once."""
    service, memory = scaled(3, 4)
    memory = looked(service, NOW + 15, memory)
    service.before = SpecBefore(4, service.label)
    service.label = "x" * 100

    memory, changed = look(service.view(), memory, NOW + 30)

    assert memory.events == (ScaleEvent(NOW, 3, 4),)
    said = f"the label {STATE_LABEL} is not in the autoscaler's format, so the changes that it recorded are not known"
    assert changed == said
    assert looked(service, NOW + 45, memory).events == memory.events
    assert look(service.view(), None, NOW + 45)[1].endswith(said)


# clocks


def test_swarms_clock_is_ahead() -> None:
    """A stamp in the future counts as now."""
    service, memory = scaled(3, 4)
    service.scaled_by_operator(NOW + 500, 6)

    memory, _ = look(service.view(), memory, NOW + 15)

    assert memory.events[-1] == ScaleEvent(NOW + 15, 4, 6)
    assert looked(service, NOW + 30, memory).events == memory.events


def test_swarms_clock_is_behind() -> None:
    """An outside change is never older than what was known before it."""
    service, memory = scaled(3, 4)
    service.scaled_by_operator(NOW - 500, 6)

    memory, changed = look(service.view(), memory, NOW + 15)

    assert changed == "4 → 6 by somebody else, 0s ago"
    assert memory.events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 15, 4, 6))


def test_changes_at_the_same_moment() -> None:
    """An operator's change stamped with the very time of ours is another change, and the later one."""
    service, memory = scaled(3, 4)
    service.scaled_by_operator(NOW, 6)

    memory, _ = look(service.view(), memory, NOW + 15)

    assert memory.events == (ScaleEvent(NOW, 3, 4), ScaleEvent(NOW + 15, 4, 6))


def test_our_clock_steps_back() -> None:
    """A clock that is set back counts no change twice."""
    service, memory = scaled(3, 4)

    for second in (-3600, -3585, -3570, 15):
        memory = looked(service, NOW + second, memory)

    assert memory.events == (ScaleEvent(NOW, 3, 4),)


def test_our_scale_after_our_clock_stepped_back() -> None:
    """A scale stamped before the last one, by a clock set back between them, is still ours and counted once."""
    service, memory = scaled(3, 4)
    memory = service.scaled_by_us(NOW - 600, 5, looked(service, NOW - 605, memory))

    assert counts(looked(service, NOW - 590, memory)) == [(4, 5), (3, 4)]
    assert counts(looked(service, NOW + 60)) == [(4, 5), (3, 4)]


def test_a_label_from_the_far_future_holds_for_one_cooldown() -> None:
    """A stamp in the future counts as now, and not as now again at each look: it must not hold a service for ever."""
    service = FakeService(4, NOW - 86_400, label=ScaleState(4, (ScaleEvent(9e9, 3, 4),)).encode())

    memory = looked(service, NOW)
    for minute in range(1, 10):
        memory = looked(service, NOW + minute * MINUTE, memory)

    assert memory.events == (ScaleEvent(NOW, 3, 4),)


def test_times_are_kept_to_the_millisecond() -> None:
    """An outside change is remembered with the time that its label will say, so that it is never counted twice."""
    service = FakeService(3, NOW - 86_400)
    memory = looked(service, NOW)
    service.scaled_by_operator(NOW + 5.123456, 5)
    memory, _ = look(service.view(), memory, NOW + 15)
    memory = service.scaled_by_us(NOW + 400, 6, memory)

    memory = looked(service, NOW + 415, memory)

    assert memory.events == (ScaleEvent(NOW + 5.123, 3, 5), ScaleEvent(NOW + 400, 5, 6))


# what is kept


def test_prune_keeps_changes_of_any_age() -> None:
    """The newest 20 changes are kept however old they are, so that an operator can read them on the service."""
    old = tuple(ScaleEvent(NOW - 86_400 * age, 1, 2) for age in range(30, 0, -1))

    assert prune(old, NOW) == old[-20:]
    assert prune((), NOW) == ()


def test_prune_keeps_the_last_of_each_direction() -> None:
    """The last change of each direction is kept, however many changes came after it."""
    down, older_down = ScaleEvent(NOW - 9000, 2, 1), ScaleEvent(NOW - 9100, 2, 1)
    ups = tuple(ScaleEvent(NOW - 100 + second, second, second + 1) for second in range(20))

    assert prune((older_down, down, *ups), NOW) == (down, *ups)


def test_prune_keeps_the_last_by_others_for_half_an_hour() -> None:
    """Beyond the newest 20, a change by others is kept while its own cooldown may last: 30 minutes."""
    operators = ScaleEvent(NOW - 1800, 1, 2, by_others=True)
    ups = tuple(ScaleEvent(NOW - 100 + second, second, second + 1) for second in range(20))

    assert prune((operators, *ups), NOW) == (operators, *ups)
    assert prune((operators, *ups), NOW + 1) == ups


def test_prune_puts_changes_in_order() -> None:
    """Changes are kept in the order of time, in whatever order they come."""
    old, new = ScaleEvent(NOW - 7200, 1, 2), ScaleEvent(NOW - 3600, 2, 3)

    assert prune((new, old), NOW) == (old, new)


def test_prune_keeps_twenty() -> None:
    """The newest 20 at most, and the last of each direction."""
    ups = tuple(ScaleEvent(NOW - 100 + second, second, second + 1) for second in range(50))
    down = ScaleEvent(NOW - 200, 9, 1)

    assert prune(ups, NOW) == ups[-20:]
    assert prune((down, *ups), NOW) == (down, *ups[-20:])


def test_history_has_what_a_dry_run_proposed() -> None:
    """Dry-run decides on the live count with a virtual cooldown in memory."""
    happened, proposed = ScaleEvent(NOW, 3, 4), ScaleEvent(NOW - 60, 4, 3)

    assert ServiceHistory(4, (happened,), (proposed,)).history.events == (proposed, happened)


def test_proposals_are_carried_along() -> None:
    """A look keeps what a dry-run proposed, and makes no change of it."""
    proposal = ScaleEvent(NOW - 60, 3, 4)
    service = FakeService(3, NOW - 86_400)

    memory, changed = look(service.view(), ServiceHistory(3, (), (proposal,)), NOW)

    assert (memory.proposed, memory.events, changed) == ((proposal,), (), "")


# rollout and tasks


@pytest.mark.parametrize(
    ("state", "message", "words"),
    [
        ("updating", "update in progress", "a rolling update is in progress: update in progress"),
        ("paused", "update paused due to failure", "a rolling update is paused: update paused due to failure"),
        ("rollback_started", "", "a rollback is in progress"),
        ("rollback_paused", "", "a rollback is paused"),
        ("completed", "update completed", ""),
        ("rollback_completed", "rollback completed", ""),
        ("", "", ""),
        ("rollback_queued", "", "Swarm reports the update state rollback_queued, which this version does not know"),
    ],
)
def test_rollout(state: str, message: str, words: str) -> None:
    """UpdateStatus updating, paused, rollback_started or rollback_paused is a rollout, and so is what nobody knows."""
    view = replace(FakeService(3, NOW - 60).view(), update_state=state, update_message=message)

    assert (view.rollout, rollout_seen(view, None, NOW)[0]) == (words, words)


def rollout_seen(view: ServiceView, memory: ServiceHistory | None, at: float) -> tuple[str, ServiceHistory]:
    """What a decision at *at* is told of a rollout, and what is remembered then."""
    known, changed = look(view, memory, at)
    return observed(view, known, {}, changed, at).rollout, known


@pytest.mark.fault("rollout")
@pytest.mark.parametrize("skew", [0, 3600, -3600], ids=["same clock", "ours ahead", "ours behind"])
def test_settle_time(skew: int) -> None:
    """A version with a new task template counts as a rollout for the settle time after it was seen first.

    By our own clock: Swarm's may be another. A changed count alone does not.
    """
    service, start = FakeService(3, NOW - 86_400), NOW + skew
    _, memory = rollout_seen(service.view(), None, start - 30)
    service.deployed(NOW, 3)
    deployed = replace(service.view(), template_changed=True)

    said, memory = rollout_seen(deployed, memory, start)
    assert said == "deployed 0s ago, settles for 10s"
    said, memory = rollout_seen(deployed, memory, start + 4)
    assert said == "deployed 4s ago, settles for 10s"
    said, memory = rollout_seen(deployed, memory, start + SETTLE_TIME)
    assert said == ""
    service.scaled_by_operator(NOW + 20, 4)
    assert rollout_seen(service.view(), memory, start + 20)[0] == ""


def test_a_label_is_decoded_once() -> None:
    """What a label says is kept while it and the one before stay the same; a change decodes the new one alone."""
    service = FakeService(3)
    memory, _ = look(service.view(), None, NOW)
    service.scaled_by_us(NOW + 10, 4, memory)
    first, _ = look(service.view(), memory, NOW + 11)
    again, _ = look(service.view(), first, NOW + 26)
    old = service.label
    service.scaled_by_us(NOW + 300, 5, again)
    later, _ = look(service.view(), again, NOW + 301)

    assert again.said is first.said
    assert first.said[old] is not None
    assert later.said[old] is first.said[old]
    assert set(later.said) == {service.label, old}
    assert later.said[service.label] == ScaleState.decode(service.label)


def test_an_unreadable_label_is_looked_at_once() -> None:
    """A label of a megabyte that says nothing is not read again either."""
    service = FakeService(3, label="7" * 10**6)
    first, told = look(service.view(), None, NOW)
    again, silent = look(service.view(), first, NOW + 15)

    assert (bool(told), silent) == (True, "")
    assert again.said is first.said
    assert first.said[service.label] is None


def test_settle_time_at_the_first_look() -> None:
    """Whoever has just started goes by Swarm's time of the last update, and never waits longer than the settle time."""
    deployed = replace(FakeService(3, NOW).view(), template_changed=True)

    assert rollout_seen(deployed, None, NOW + 4)[0] == "deployed 4s ago, settles for 10s"
    assert rollout_seen(deployed, None, NOW + SETTLE_TIME)[0] == ""
    said, memory = rollout_seen(deployed, None, NOW - 3600)
    assert said == "deployed 0s ago, settles for 10s"
    assert rollout_seen(deployed, memory, NOW - 3600 + SETTLE_TIME)[0] == ""


def task(state: str = "running", *, age: float = 60, ready: bool = True, words: str = "") -> TaskView:
    """A task that came into *state* *age* seconds before `NOW`."""
    return TaskView(f"{state}-{age}", state, NOW - age, ready, words)


def with_tasks(*tasks: TaskView) -> ServiceView:
    """A service of these tasks."""
    return replace(FakeService(len(tasks)).view(), tasks=tasks)


def test_running() -> None:
    """Running: desired running, in state running, on a ready node."""
    view = with_tasks(task(), task("preparing"), task("pending"), task(ready=False), task("starting"))

    assert view.running == 1


def test_running_since() -> None:
    """Tasks younger than WARMUP are left out, and one exactly as old is not younger."""
    view = with_tasks(task(age=60), task(age=61), task(age=59), task("starting", age=90), task(age=90, ready=False))

    assert view.running_since(NOW - 60) == 2


def test_pending_quotes_swarm() -> None:
    """`tasks_pending` quotes Swarm's own words and the age."""
    no_room = "no suitable node (insufficient resources on 1 node)"
    view = with_tasks(task(), task("preparing", age=20, words="preparing"), task("pending", age=90, words=no_room))

    assert view.pending(NOW) == f"pending for 1m30s: {no_room}"
    assert with_tasks(task("starting", age=5)).pending(NOW) == "starting for 5s: starting"
    assert with_tasks(task(age=5, ready=False)).pending(NOW) == "running for 5s: its node is not ready"
    assert with_tasks(task("starting", age=-5)).pending(NOW) == "starting for 0s: starting"
    assert with_tasks(task()).pending(NOW) == ""


def test_rollback_point() -> None:
    """A scale takes the manual rollback point away only where the last update was one that can be rolled back."""
    never_updated = FakeService(3).view()
    before = SpecBefore(3, "")

    assert not never_updated.loses_rollback_point
    assert not replace(never_updated, before=before).loses_rollback_point
    assert replace(never_updated, before=before, template_changed=True).loses_rollback_point


def test_label_name() -> None:
    """Scale history rides on the service, in one label, `autoscaler.state`."""
    assert STATE_LABEL == "autoscaler.state"


# what others asked for, and what was given back


def written_by_us(service: FakeService, at: float, replicas: int, **state: Any) -> None:
    """The autoscaler's own scale, with what else its label then says."""
    event = ScaleEvent(at, service.requested, replicas)
    service._update(at, replicas, ScaleState(replicas, (event,), **state).encode())


def test_all_that_is_found_at_first_somebody_else_asked_for() -> None:
    """Of a service that nothing is known of, the count is what somebody else asked for; a label without it too."""
    assert looked(FakeService(3), NOW).asked == 3
    service = FakeService(3)
    written_by_us(service, NOW, 5)
    assert looked(service, NOW).asked == 5, "an older autoscaler's label does not tell"


def test_what_the_autoscaler_adds_nobody_asked_for() -> None:
    """Its increases leave the count that somebody else asked for; what it removes, nobody asks for any more."""
    service = FakeService(3)
    memory = looked(service, NOW)
    written_by_us(service, NOW + 20, 6, asked=3)
    assert looked(service, NOW + 20, memory).asked == 3
    assert looked(service, NOW + 20).asked == 3, "also for a new autoscaler"

    written_by_us(service, NOW + 40, 2, asked=2)
    written_by_us(service, NOW + 60, 4, asked=2)
    assert looked(service, NOW + 60).asked == 2


def test_a_decision_carries_on_what_others_asked_for() -> None:
    """What is written says so, and so does memory: the lower of what was asked for and what it is lowered to."""
    memory = looked(FakeService(3), NOW)
    up, down = (decided(Why(Reason.NO_BREACH), at=NOW, desired=desired) for desired in (6, 2))

    assert (memory.state_after(up).asked, memory.with_change(up).asked) == (3, 3)
    assert (memory.state_after(down).asked, memory.with_change(down).asked) == (2, 2)


def test_an_operator_asks_for_what_he_sets() -> None:
    """A count that somebody else set is what he asked for, whatever it was before."""
    service = FakeService(3)
    memory = looked(service, NOW)
    written_by_us(service, NOW + 20, 6, asked=3)
    memory = looked(service, NOW + 20, memory)
    service.scaled_by_operator(NOW + 40, 5)

    assert look(service.view(), memory, NOW + 60)[0].asked == 5
    assert look(service.view(), None, NOW + 60)[0].asked == 5, "also for a new autoscaler"


def test_a_deploy_asks_for_what_its_file_says_also_where_that_changes_nothing() -> None:
    """A deploy drops the label: its count is asked for, be it lower or, filled in by `stack-file`, the live one."""
    service = FakeService(3)
    memory = looked(service, NOW)
    written_by_us(service, NOW + 20, 6, asked=3)
    memory = looked(service, NOW + 20, memory)
    service.deployed(NOW + 40, 6)

    assert look(service.view(), memory, NOW + 60)[0].asked == 6
    service.deployed(NOW + 80, 4)
    assert look(service.view(), memory, NOW + 90)[0].asked == 4


def test_when_replicas_were_given_back_is_the_newest_that_is_known() -> None:
    """Memory, the label, and the label before a deploy tell it; a stamp in the future counts as now."""
    service = FakeService(5)
    memory = replace(looked(service, NOW), gave_back=NOW - 50)
    assert looked(service, NOW, memory).gave_back == NOW - 50

    written_by_us(service, NOW + 20, 4, gave_back=NOW + 20)
    assert looked(service, NOW + 20, memory).gave_back == NOW + 20
    service.deployed(NOW + 40, 4)
    assert look(service.view(), None, NOW + 50)[0].gave_back == NOW + 20

    written_by_us(service, NOW + 60, 3, gave_back=NOW + 5000)
    memory = looked(service, NOW + 60)
    assert memory.gave_back == NOW + 60
    assert looked(service, NOW + 90, memory).gave_back == NOW + 60


def test_since_when_a_replica_has_no_node_is_told_by_our_own_clock() -> None:
    """From when it was first seen; at the first look of all since when Swarm says so, if that is in the past."""

    def waiting(*since: float) -> ServiceView:
        tasks = (TaskView(f"t{n}", "pending", at, on_ready_node=False) for n, at in enumerate(since))
        return replace(FakeService(2).view(), tasks=tuple(tasks))

    memory, _ = look(waiting(NOW - 300, NOW + 900), None, NOW)
    assert observed(waiting(), memory, {}, "", NOW).unplaced_since == (NOW - 300, NOW)
    memory, _ = look(waiting(NOW - 300, NOW + 900, NOW - 900), memory, NOW + 15)
    assert memory.unplaced == {"t0": NOW - 300, "t1": NOW, "t2": NOW + 15}
    memory, _ = look(waiting(), memory, NOW + 30)
    assert memory.unplaced == {}
