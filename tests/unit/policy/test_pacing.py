"""Cooldowns and stabilizations that nobody wrote, and rules that size: what holds their counts, and what does not."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.model import Decision, Direction, History, Outcome, Recommendation, Recommended, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.policy import pacing
from autoscaler.policy.metric import Metric
from autoscaler.policy.policy import Policy
from autoscaler.policy_files import loader
from autoscaler.policy_files.yaml_document import read
from autoscaler.strategies import Rule, RuleInput
from autoscaler.swarm.history import look, prune
from autoscaler.swarm.scale_state import ScaleState
from tests.support.builders import NOW, STEP, FakeService, observation, steady
from tests.support.deciding import decide
from tests.support.policy_sets import policies
from tests.support.world import World, only, reasons, said

TARGET: dict[str, Any] = {"name": "size", "metric": "cpu", "strategy": "target", "target": 60}
HIGH: dict[str, Any] = {"name": "high", "metric": "cpu", "above": 70, "add": 9}
LOW: dict[str, Any] = {"name": "low", "metric": "cpu", "below": 40, "remove": 1}
STEPS: dict[str, Any] = {
    "name": "steps",
    "metric": "cpu",
    "strategy": "steps",
    "below": 40,
    "steps": [{"upper": 0, "remove": 1}],
}
TABLE: dict[str, Any] = {"name": "table", "metric": "cpu", "strategy": "table", "table": {0: 1, 70: 9}}


def unwritten(*rules: dict[str, Any], **keys: Any) -> Policy:
    """A policy of *rules* as a file writes it, without a cooldown or a stabilization unless *keys* have one."""
    content = {"name": "web", "services": ["web"], "replicas": {"min": 0, "max": 100}, "rules": list(rules), **keys}
    return Policy.model_validate(content, by_alias=True, by_name=False)


def ours(ago: float, before: int = 2, after: int = 3) -> ScaleEvent:
    """A change that the autoscaler made."""
    return ScaleEvent(NOW - ago, before, after)


def others(ago: float, before: int = 2, after: int = 3) -> ScaleEvent:
    """A change that somebody else made."""
    return ScaleEvent(NOW - ago, before, after, by_others=True)


def decided(policy: Policy, cpu: float, *events: ScaleEvent, requested: int = 3) -> Decision:
    """What *policy* makes of a steady CPU after *events*."""
    return decide(policy, observation(requested, windows={"cpu": steady(cpu)}), History(events))


# cooldown


@pytest.mark.parametrize(("cpu", "desired"), [(120, 6), (20, 1)])
def test_an_unwritten_cooldown_does_not_hold_what_sizes(cpu: float, desired: int) -> None:
    """The counts of a `target` follow each other at once, both ways, if no cooldown is written."""
    decision = decided(unwritten(TARGET), cpu, ours(15))

    assert (decision.desired, decision.held) == (desired, False)


@pytest.mark.parametrize(
    ("rule", "cpu"),
    [(HIGH, 90), (LOW, 20), (STEPS, 20), (TABLE, 90), (TABLE, 20)],
    ids=["threshold up", "threshold down", "steps", "table up", "table down"],
)
def test_an_unwritten_cooldown_holds_every_other_rule(rule: dict[str, Any], cpu: float) -> None:
    """An unwritten cooldown of 3m up and 5m down holds `threshold`, `steps` and `table` after our own change."""
    decision = decided(unwritten(rule), cpu, ours(15))

    assert (decision.desired, decision.primary.reason) == (3, Reason.COOLING_DOWN)
    assert decided(unwritten(rule), cpu, ours(300)).changes


@pytest.mark.parametrize(("cpu", "way"), [(120, "scale_up"), (20, "scale_down")])
def test_a_written_cooldown_holds_what_sizes_too(cpu: float, way: str) -> None:
    """A cooldown that the policy writes holds the counts of a `target`, also if it is as long as the unwritten one."""
    policy = unwritten(TARGET, **{way: {"cooldown": "3m"}})

    assert decided(policy, cpu, ours(179)).primary.reason is Reason.COOLING_DOWN
    assert decided(policy, cpu, ours(180)).changes
    other = "scale_down" if way == "scale_up" else "scale_up"
    assert decided(unwritten(TARGET, **{other: {"cooldown": "3m"}}), cpu, ours(15)).changes


def test_a_cooldown_of_the_defaults_is_written() -> None:
    """A cooldown that `defaults` give holds the counts of a `target`; other keys of the defaults write none."""
    body = "name: web, services: [web], replicas: {min: 1, max: 50}, rules: [{name: s, metric: cpu, strategy: target, "
    text = policies(f"{body}target: 60}}]")

    def loaded(defaults: str) -> Policy:
        found, problems = loader.from_document(read(f"{text}defaults: {defaults}\n", "a.yml"))
        assert problems == []
        assert found is not None
        return found.policies.policies[0]

    assert decided(loaded("{scale_up: {cooldown: 3m}}"), 120, ours(15)).primary.reason is Reason.COOLING_DOWN
    assert decided(loaded("{scale_up: {select: max}}"), 120, ours(15)).changes


@pytest.mark.parametrize("rule", [TARGET, LOW, STEPS, TABLE], ids=lambda rule: rule["name"])
def test_every_strategy_respects_a_scale_by_hand(rule: dict[str, Any]) -> None:
    """What somebody else added is not removed for 5m, whatever asks for fewer; then it is."""
    policy = unwritten(rule)

    held = decided(policy, 20, others(299))

    assert (held.desired, held.primary.reason) == (3, Reason.COOLING_DOWN)
    assert held.primary.detail.endswith("1s left since 2 → 3 by somebody else")
    assert decided(policy, 20, others(300)).desired < 3


@pytest.mark.parametrize("rule", [TARGET, HIGH, TABLE], ids=lambda rule: rule["name"])
def test_every_strategy_waits_after_an_increase_by_hand(rule: dict[str, Any]) -> None:
    """No rule adds to an increase by somebody else for 3m; a reduction by hand delays no increase, as ever."""
    policy = unwritten(rule)

    assert decided(policy, 120, others(179)).primary.reason is Reason.COOLING_DOWN
    assert decided(policy, 120, others(180)).changes
    assert decided(policy, 120, others(15, 5, 3)).changes


def test_a_change_of_ours_does_not_hide_one_by_hand() -> None:
    """The scale by hand counts for its time, also if a bound or another rule changed the count after it."""
    decision = decided(unwritten(TARGET), 20, others(200, 1, 2), ours(100))

    assert (decision.desired, decision.primary.reason) == (3, Reason.COOLING_DOWN)


@pytest.mark.parametrize(
    ("cpu", "reason", "rule"),
    [
        pytest.param(90, Reason.COOLING_DOWN, "high", id="the threshold asks for more"),
        pytest.param(62, Reason.WITHIN_TOLERANCE, "size", id="nobody asks"),
        pytest.param(120, Reason.COOLING_DOWN, "high", id="the threshold asks for more still"),
        pytest.param(350, Reason.ABOVE_TARGET, "size", id="the target asks for more"),
    ],
)
def test_the_rule_that_asks_for_the_most_decides_about_the_cooldown(cpu: float, reason: Reason, rule: str) -> None:
    """In a policy of a threshold and a `target` the cooldown of the one whose count wins is in force."""
    decision = decided(unwritten(HIGH, TARGET), cpu, ours(15))

    assert (decision.primary.reason, decision.primary.rule) == (reason, rule)


class Paced(Rule):
    """A plugin's strategy that paces itself."""

    paces_itself: ClassVar[bool] = True
    strategy: Literal["paced"]

    @property
    def look_back(self) -> int:
        """Only the newest sample counts."""
        return 0

    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """One more."""
        return self.asks_for(rule_input, rule_input.requested + 1)


def test_a_plugins_strategy_may_say_that_it_paces_itself() -> None:
    """An unwritten cooldown does not hold the counts of a plugin's strategy with `paces_itself`."""
    rule = Paced(name="paced", metric="cpu", strategy="paced")
    policy = unwritten(TARGET)

    assert not policy.scale_up.holds_own_changes_of(rule)
    assert policy.stabilization(Direction.DOWN, rule) == 0


SIZES = st.integers(1, 12)
EVENTS = st.builds(
    lambda ago, before, more, up, by: ScaleEvent(
        NOW - ago, *((before, before + more) if up else (before + more, before)), by_others=by
    ),
    st.sampled_from([-60, 0, 15, 100, 179, 180, 299, 300, 900]),
    SIZES,
    SIZES,
    st.booleans(),
    st.booleans(),
)


@given(st.sampled_from([0.0, 20, 59, 61, 120, 400]), SIZES, st.lists(EVENTS, max_size=5))
def test_only_a_change_by_somebody_else_cools_down_what_sizes(
    cpu: float, requested: int, events: list[ScaleEvent]
) -> None:
    """Without a written cooldown a target's count is held if and only if a change by others is younger than that."""
    decision = decided(unwritten(TARGET), cpu, *sorted(events), requested=requested)
    wanted = decision.recommended
    young = {True: 180, False: 300}[wanted > requested]
    holding = [
        event
        for event in events
        if event.by_others and NOW - event.at < young and (wanted < requested or event.direction is Direction.UP)
    ]

    cooled = any(why.reason is Reason.COOLING_DOWN for why in decision.reasons)

    assert cooled == (bool(holding) and wanted != requested)
    assert cooled or decision.desired == wanted


@given(st.sampled_from([20.0, 120]), st.lists(EVENTS, max_size=5), st.sampled_from(["0s", "1m", "3m", "20m"]))
def test_with_a_written_cooldown_who_made_a_change_is_all_the_same(
    cpu: float, events: list[ScaleEvent], cooldown: str
) -> None:
    """A written cooldown counts from every change alike."""
    policy = unwritten(TARGET, scale_up={"cooldown": cooldown}, scale_down={"cooldown": cooldown})
    ordered = sorted(events)

    seen = [
        decided(policy, cpu, *(ScaleEvent(event.at, event.before, event.after, by_others=by) for event in ordered))
        for by in (True, False)
    ]

    assert seen[0].desired == seen[1].desired


# stabilization


def calmed(policy: Policy, ago: float, cpu: float = 20) -> Decision:
    """What *policy* makes of a calm of 3 replicas, the third of which was still asked for *ago* seconds before."""
    seen = observation(3, windows={"cpu": steady(cpu)})
    return decide(policy, seen, History(recommended=(Recommended(NOW - ago, 3),)))


def test_an_unwritten_stabilization_of_a_target_is_five_minutes_down() -> None:
    """A reduction that a `target` asks for takes the largest count of the last 5m, if no stabilization is written."""
    policy = unwritten(TARGET)

    assert calmed(policy, 299).primary.reason is Reason.STABILIZED
    assert calmed(policy, 300).desired == 1
    assert decide(policy, observation(3, windows={"cpu": steady(120)}), History()).desired == 6
    assert policy.longest_stabilization == 300


@pytest.mark.parametrize(("stabilization", "desired"), [("0s", 1), ("10s", 1), ("1m", 3)])
def test_a_written_stabilization_counts(stabilization: str, desired: int) -> None:
    """A stabilization that is written is in force as it is, also one of 0s."""
    assert calmed(unwritten(TARGET, scale_down={"stabilization": stabilization}), 30).desired == desired


def test_other_rules_have_no_unwritten_stabilization() -> None:
    """A reduction that a threshold asks for is not stabilized, also in a policy with a `target` that wants fewer."""
    assert calmed(unwritten(LOW), 15).desired == 2
    assert unwritten(LOW).longest_stabilization == 0
    mixed = calmed(unwritten(LOW, TARGET), 15)
    assert (mixed.desired, mixed.primary.rule) == (2, "low")


# the whole cycle

TOTAL = {"load": Metric(query="sum(load)", kind="total")}
LOAD: dict[str, Any] = {"name": "size", "metric": "load", "strategy": "target", "target": 10}


def loaded_world(load: float, *, replicas: int, **options: Any) -> World:
    """A world with a service that a `target` on a total sizes, one replica for 10."""
    world = World(unwritten(LOAD), metrics=TOTAL, **options)
    world.shared["load"] = load
    world.service(replicas=replicas)
    world.settle()
    return world


def test_a_load_that_rises_is_followed_at_every_evaluation() -> None:
    """Increase follows increase without a pause."""
    world = loaded_world(20, replicas=2)

    counts = []
    for load in (40, 60, 80):
        world.shared["load"] = load
        counts.append(only(world.next()).decision.desired)

    assert counts == [4, 6, 8]


@pytest.mark.fault("operator-scales")
@pytest.mark.parametrize("restarts", [False, True])
def test_a_scale_by_hand_is_respected_for_its_time(*, restarts: bool) -> None:
    """What an operator adds stays for 5m and until the stabilization is over, and the reason says so; then it goes."""
    world = loaded_world(30, replicas=3)
    world.next()
    world.settle(900)
    scaled_at = world.clock.time
    world.engine.operator_scale("web", 6)

    adopted = only(world.next())
    if restarts:
        world.restart()
    down = world.until_changed()

    assert reasons(adopted) == [Reason.CHANGED_EXTERNALLY, Reason.BELOW_TARGET, Reason.COOLING_DOWN]
    assert said(down) == (Outcome.APPLIED, Reason.BELOW_TARGET, 6, 3)
    # A restart begins a stabilization with the count that it found.
    assert down.decision.at - scaled_at == (300 if not restarts else 330)


@pytest.mark.fault("operator-scales")
def test_who_made_a_change_survives_our_next_write_and_a_restart() -> None:
    """The label tells changes by others from ours: after a restart the scale by hand still counts for its time."""
    world = loaded_world(30, replicas=3)
    world.settle(900)
    scaled_at = world.clock.time
    world.engine.operator_scale("web", 6)
    world.run(200)
    world.shared["load"] = 80
    raised = world.until_changed()
    world.shared["load"] = 100
    world.restart()

    held = only(world.next())

    assert said(raised) == (Outcome.APPLIED, Reason.ABOVE_TARGET, 6, 8)
    assert (held.decision.desired, held.outcome) == (10, Outcome.APPLIED)  # 3m after the increase by hand are over
    state = world.state()
    assert state is not None
    assert [(event.before, event.after, event.by_others) for event in state.events] == [
        (3, 6, True),
        (6, 8, False),
        (8, 10, False),
    ]
    assert state.events[0].at == scaled_at


def test_a_label_marks_changes_by_others() -> None:
    """The label holds who made each change, and reads one without marks as all ours."""
    state = ScaleState(3, (ours(20), others(10, 3, 4)))

    read_again = ScaleState.decode(state.encode())

    assert read_again is not None
    assert [event.by_others for event in read_again.events] == [False, True]
    unmarked = ScaleState.decode('{"v":1,"replicas":3,"changes":[[1800000000,2,3]]}')
    assert unmarked is not None
    assert [event.by_others for event in unmarked.events] == [False]
    assert ScaleState.decode('{"v":1,"replicas":3,"changes":[[1800000000,2,3,"me"]]}') is None


def test_memory_marks_what_it_finds_as_made_by_others() -> None:
    """A count that is not the last one known is an event by others; our own scale, read from the label, is ours."""
    service = FakeService(3)
    memory, _ = look(service.view(), None, NOW)
    service.scaled_by_us(NOW + 10, 4, memory)
    memory, _ = look(service.view(), memory, NOW + 11)
    service.scaled_by_operator(NOW + 20, 6)
    memory, _ = look(service.view(), memory, NOW + 21)

    assert [(event.after, event.by_others) for event in memory.events] == [(4, False), (6, True)]


def test_a_dry_run_proposes_the_same_again_only_after_the_cooldown() -> None:
    """Without a cooldown in force a proposal is still news only once in the time that it would have unwritten."""
    world = loaded_world(60, replicas=3, dry_run=True)
    first = only(world.next())

    repeated = [only(evaluation).repeated for evaluation in world.run(180 + STEP)]

    assert (said(first), first.repeated) == ((Outcome.DRY_RUN, Reason.ABOVE_TARGET, 3, 6), False)
    assert repeated.count(False) == 1
    assert repeated.index(False) == 180 // STEP - 1


# what is in force


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        pytest.param(unwritten(HIGH, LOW), "cooldown 3m up, 5m down", id="thresholds"),
        pytest.param(
            unwritten(TARGET),
            "cooldown 3m up, 5m down; size passes it unless somebody else changed the count; stabilization 5m down",
            id="a target",
        ),
        pytest.param(
            unwritten(HIGH, TARGET),
            "cooldown 3m up, 5m down; size passes it unless somebody else changed the count; "
            "stabilization 5m down for size",
            id="both",
        ),
        pytest.param(
            unwritten(TARGET, scale_up={"cooldown": "1m", "stabilization": "30s"}, scale_down={"stabilization": "0s"}),
            "cooldown 1m up, 5m down; size passes the one down unless somebody else changed the count; "
            "stabilization 30s up",
            id="written",
        ),
    ],
)
def test_what_is_in_force(policy: Policy, words: str) -> None:
    """`check` and `plan` say which cooldowns and stabilizations are in force, and for which rules."""
    assert pacing.in_force(policy) == words


def test_policies_with_the_same_in_force_share_a_line() -> None:
    """Policies of which the same is said are named on one line, of many the first."""
    same = {f"p{number}": "cooldown 3m up, 5m down" for number in range(7)}

    assert pacing.lines({**same, "q": "x"}) == ["p0, p1, p2, p3, p4 and 2 more: cooldown 3m up, 5m down", "q: x"]


@given(st.integers(0, 40))
def test_many_changes_of_ours_do_not_push_out_one_by_somebody_else(changes: int) -> None:
    """Of the changes that are kept the last by others of each direction is one, for as long as it may hold anything."""
    events = (others(400, 2, 3), others(390, 3, 2), *(ours(300 - each, each + 2, each + 3) for each in range(changes)))

    kept = prune(events, NOW)
    label = ScaleState.decode(ScaleState(3, kept).encode())

    assert [event for event in kept if event.by_others] == list(events[:2])
    assert label is not None
    assert label.events == kept
