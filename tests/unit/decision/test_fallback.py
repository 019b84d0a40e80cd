from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.core.model import History, Outcome, Recommended, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.policy.metric import Metric
from autoscaler.swarm.history import ServiceHistory, look
from tests.support.builders import NOW, FakeService, observation, steady, told, window, written
from tests.support.deciding import decide, summed
from tests.support.world import LOST, World, only, said, settled_world

if TYPE_CHECKING:
    from autoscaler.core.model import Decision
    from autoscaler.core.records import Record
    from autoscaler.policy.policy import Policy

HIGH = {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1}
LOW = {"name": "cpu-low", "metric": "cpu", "below": 30, "for": "1m", "remove": 1}
MEMORY = {"name": "memory-high", "metric": "memory", "above": 80, "for": "1m", "add": 1}
SIX = {"after": "10m", "replicas": 6}
OVERNIGHT = {"name": "night", "start": "0 0 * * *", "end": "59 23 * * *", "timezone": "UTC"}


def falling(*rules: dict[str, Any], **keys: Any) -> Policy:
    """A policy that falls back to 6 replicas after 10 minutes; 1 to 10 replicas, no cooldowns."""
    return written(*(rules or (HIGH, LOW)), **{"most": 10, "fallback": SIX, **keys})


def decided(*rules: dict[str, Any], requested: int = 3, blind: float | None = 600, **keys: Any) -> Decision:
    """The decision *blind* seconds after a rule could last judge; facts and windows are taken from *keys*."""
    facts = {key: keys.pop(key) for key in ("running", "stuck", "rollout", "mode", "windows") if key in keys}
    events, recommended = keys.pop("events", ()), keys.pop("recommended", ())
    history = History(events, recommended, None if blind is None else NOW - blind)
    return decide(falling(*rules, **keys), observation(requested, **facts), history)


def lost_world(policy: Policy | None = None, **options: Any) -> World:
    """A settled world of 3 replicas that has evaluated once, and whose Prometheus cannot be reached from now on."""
    world = settled_world(policy or falling(), **options)
    world.next()
    world.prometheus.fail(LOST)
    return world


class TestWhen:
    @pytest.mark.parametrize(
        ("blind", "desired"),
        [(599.9, 3), (600, 6), (86_400, 6), (0, 3), (-600, 3), (None, 3)],
        ids=["not yet", "exactly", "long ago", "just now", "a clock that went back", "never looked"],
    )
    def test_after_its_time(self, blind: float | None, desired: int) -> None:
        """The fallback raises the count once no rule has had data for its time."""
        assert decided(blind=blind).desired == desired

    @pytest.mark.parametrize(
        "windows",
        [
            pytest.param({}, id="absent"),
            pytest.param({"cpu": window([])}, id="empty"),
            pytest.param({"cpu": window([50] * 7 + [float("nan")])}, id="stale"),
            pytest.param({"cpu": window([50, 50])}, id="incomplete"),
            pytest.param({"cpu": window([50] * 8, reporting=[2] * 8, owed=3)}, id="partial"),
        ],
    )
    def test_whatever_is_missing(self, windows: dict[str, Any]) -> None:
        """Missing, stale, partial and incomplete data are all no data to judge by."""
        assert summed(decided(windows=windows)) == (6, Reason.FALLBACK, None, False)

    @pytest.mark.parametrize(
        "windows",
        [
            pytest.param({"cpu": steady(50)}, id="one metric of two"),
            pytest.param({"memory": steady(50)}, id="the other one"),
            pytest.param({"cpu": steady(50), "memory": steady(50)}, id="both"),
        ],
    )
    def test_while_a_rule_can_judge(self, windows: dict[str, Any]) -> None:
        """As long as one rule has its data the policy is not blind."""
        assert decided(HIGH, LOW, MEMORY, windows=windows).desired == 3

    def test_partial_data_that_suffice(self) -> None:
        """A rule that fires although tasks are missing has judged: what it asks for counts, and no fallback."""
        windows = {"cpu": window([95] * 8, reporting=[4] * 8, owed=5)}
        assert summed(decided(windows=windows)) == (4, Reason.ABOVE_THRESHOLD, "cpu-high", False)

    def test_a_guards_data_are_no_rules(self) -> None:
        """That a guard's metric is there keeps no fallback back: rules scale, guards do not."""
        guard = {"name": "pool-full", "metric": "pool", "above": 90, "block": "both"}
        assert decided(windows={"pool": steady(50)}, guards=[guard]).desired == 6

    def test_none_by_default(self) -> None:
        """Without a fallback in the policy nothing is raised, however long data are missing."""
        assert decided(fallback=None, blind=1e6).desired == 3


class TestHowMany:
    @pytest.mark.parametrize(("requested", "desired"), [(1, 6), (5, 6), (6, 6), (7, 7), (10, 10), (12, 10)])
    def test_raises_and_never_lowers(self, requested: int, desired: int) -> None:
        """The fallback is the least to have: more replicas than that stay, within the bounds."""
        decision = decided(requested=requested)

        assert decision.desired == desired
        assert (Reason.FALLBACK in [reason for reason, _ in told(decision)]) is (requested < 6)

    @pytest.mark.parametrize(
        ("bounds", "desired", "reason"),
        [
            ({"max": 4}, 4, Reason.SCHEDULE_BOUNDS),
            ({"max": 3}, 3, Reason.SCHEDULE_BOUNDS),
            ({"max": 2}, 2, Reason.SCHEDULE_BOUNDS),
            ({"min": 8}, 8, Reason.SCHEDULE_BOUNDS),
            ({"min": 5}, 6, Reason.FALLBACK),
            ({"max": 6}, 6, Reason.FALLBACK),
        ],
    )
    def test_within_the_bounds_in_force(self, bounds: dict[str, int], desired: int, reason: Reason) -> None:
        """A schedule's bounds hold for the fallback as for everything."""
        assert summed(decided(schedules=[{**OVERNIGHT, **bounds}]))[:2] == (desired, reason)

    def test_in_words(self) -> None:
        """The decision says since when it is blind, beside what each rule lacks."""
        decision = decided(blind=630)

        assert decision.primary.detail == "no rule has had data for 10m30s; falls back to 6 replicas"
        assert told(decision) == [
            (Reason.NO_DATA, "cpu-high"),
            (Reason.NO_DATA, "cpu-low"),
            (Reason.FALLBACK, None),
        ]
        assert decision.recommended == 3
        assert not decision.held


class TestWhatHolds:
    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            pytest.param({"paused": True}, Reason.PAUSED, id="paused"),
            pytest.param({"paused": "up"}, Reason.PAUSED, id="paused up"),
            pytest.param({"rollout": "a rolling update is in progress"}, Reason.ROLLOUT_IN_PROGRESS, id="rollout"),
            pytest.param({"mode": "global"}, Reason.UNSUPPORTED_MODE, id="mode"),
            pytest.param({"requested": 0}, Reason.SCALED_TO_ZERO, id="set to 0"),
        ],
    )
    def test_closed_gates(self, keys: dict[str, Any], reason: Reason) -> None:
        """A closed gate holds the fallback, too."""
        decision = decided(**{"requested": 3, **keys})

        assert summed(decision) == (decision.requested, reason, None, True)

    @pytest.mark.parametrize(
        "keys",
        [
            pytest.param({"paused": "down"}, id="paused down"),
            pytest.param({"running": 1}, id="tasks that start"),
            pytest.param({"running": 0, "stuck": True}, id="tasks that are stuck"),
            pytest.param({"events": (ScaleEvent(NOW - 1, 2, 3),), "scale_up": {"cooldown": "1h"}}, id="cooldown"),
            pytest.param({"scale_up": {"select": "disabled"}}, id="no increases by rules"),
            pytest.param({"scale_up": {"limits": [{"replicas": 1, "per": "1m"}]}}, id="limits"),
            pytest.param(
                {"recommended": (Recommended(NOW - 1, 3),), "scale_up": {"stabilization": "5m"}}, id="stabilization"
            ),
            pytest.param(
                {"guards": [{"name": "g", "metric": "cpu", "above": 1, "block": "both", "on_missing": "block"}]},
                id="guard",
            ),
            pytest.param({"requested": 0, "least": 0}, id="0 that the policy allows"),
        ],
    )
    def test_what_is_about_rules_does_not(self, keys: dict[str, Any]) -> None:
        """What slows rules down is not about the fallback, which no rule asks for."""
        assert summed(decided(**keys)) == (6, Reason.FALLBACK, None, False)


class TestMemory:
    def test_time_counts_from_the_first_look(self) -> None:
        """After a restart nobody knows how long the data were missing: the time counts from the first look."""
        memory, _ = look(FakeService(3).view(), None, NOW)
        assert memory.history.judged_at == NOW

    def test_a_later_look_changes_nothing(self) -> None:
        """To look at a service is not to judge it."""
        memory, _ = look(FakeService(3).view(), ServiceHistory(requested=3, judged_at=NOW - 500), NOW)
        assert memory.history.judged_at == NOW - 500

    @pytest.mark.parametrize(
        ("windows", "judged_at"),
        [({}, NOW - 500), ({"cpu": steady(50)}, NOW), ({"cpu": steady(95)}, NOW), ({"memory": steady(50)}, NOW - 500)],
    )
    def test_a_judgement_counts_whatever_it_is(self, windows: dict[str, Any], judged_at: float) -> None:
        """A rule that had its data has judged, also where it wants nothing."""
        decision = decide(falling(), observation(3, windows=windows), History(judged_at=NOW - 500))
        memory = ServiceHistory(judged_at=NOW - 500).with_decision(decision, 0)
        assert memory.judged_at == judged_at


class TestEvaluations:
    def test_raises_once(self) -> None:
        """Ten minutes after the last sample that a rule could judge by, the count is raised, once."""
        world = lost_world()
        began = world.clock.now()

        record = world.until_changed()
        later = [only(evaluation) for evaluation in world.run(1200)]

        assert said(record) == (Outcome.APPLIED, Reason.FALLBACK, 3, 6)
        assert record.decision.at - began == 600
        assert {(each.outcome, each.decision.desired) for each in later} == {(Outcome.HELD, 6)}
        assert world.api.calls["update"] == 1

    def test_data_that_flap(self) -> None:
        """One evaluation at which a rule could judge begins the time anew."""
        world = settled_world(falling())
        for _ in range(4):
            world.next()
            world.prometheus.fail(LOST)
            assert {only(evaluation).decision.desired for evaluation in world.run(585)} == {3}
            world.prometheus.fail(None)
        assert world.api.calls["update"] == 0

    def test_data_that_return_for_too_short_a_time(self) -> None:
        """Samples that fill no rule's window are no data to judge by: they do not begin the time anew."""
        world = settled_world(falling())
        world.next()
        world.prometheus.lose("web")
        world.run(300)
        world.prometheus.find("web")
        world.run(30)
        world.prometheus.lose("web")

        assert said(world.until_changed(at_most=300))[1:] == (Reason.FALLBACK, 3, 6)

    def test_a_restart_begins_the_time_anew(self) -> None:
        """A new autoscaler waits for the whole time before it falls back."""
        world = lost_world()
        world.run(585)
        world.restart()

        waiting = [only(evaluation) for evaluation in world.run(600)]
        record = only(world.next())

        assert {each.decision.desired for each in waiting} == {3}
        assert said(record) == (Outcome.APPLIED, Reason.FALLBACK, 3, 6)

    def test_a_restart_does_not_fall_back_twice(self) -> None:
        """What the fallback raised stays raised, by this autoscaler and by the next."""
        world = lost_world()
        world.until_changed()
        world.restart()
        world.run(1500)
        assert (world.replicas(), world.api.calls["update"]) == (6, 1)

    def test_an_operators_reduction_is_raised_again(self) -> None:
        """As long as it is blind the policy has at least its fallback, whoever lowers the count."""
        world = lost_world()
        world.until_changed()
        world.settle(60)
        world.engine.operator_scale("web", 2)

        assert said(only(world.next())) == (Outcome.APPLIED, Reason.FALLBACK, 2, 6)

    def test_a_rollout_is_waited_for(self) -> None:
        """The fallback comes as soon as the rollout that held it is over."""
        world = lost_world()
        world.run(585)
        world.deploy(replicas=3, image="app:2")

        records = [only(evaluation) for evaluation in world.run(600)]
        held = [record for record in records if record.decision.primary.reason is Reason.ROLLOUT_IN_PROGRESS]
        changed = [record for record in records if record.decision.changes]

        assert held
        assert {record.decision.desired for record in held} == {3}
        assert [said(record) for record in changed] == [(Outcome.APPLIED, Reason.FALLBACK, 3, 6)]

    def test_what_follows_when_data_are_back(self) -> None:
        """The raise starts the cooldown as every change does; a calm on full windows lowers the count after it."""
        world = lost_world(falling(scale_down={"cooldown": "5m"}))
        world.load["web", "cpu"] = 10
        raised = world.until_changed()
        world.prometheus.fail(None)

        lowered = world.until_changed()

        assert said(raised)[1:] == (Reason.FALLBACK, 3, 6)
        assert said(lowered) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 6, 5)
        assert lowered.decision.at - raised.decision.at == 300

    def test_one_metric_of_two(self) -> None:
        """While one metric is answered for there is no fallback; the reduction waits for both all the same."""
        world = settled_world(falling(HIGH, LOW, MEMORY), cpu=10)
        world.source.errors["memory"] = LOST
        assert {only(evaluation).decision.desired for evaluation in world.run(1200)} == {3}

    def test_a_metric_that_all_services_share(self) -> None:
        """A value that all services share is data of each of them, and missing for each of them."""
        rule = {"name": "q", "metric": "orders", "above": 100, "add": 1}
        world = World(falling(rule), metrics={"orders": Metric(query="sum(orders)")})
        world.service()
        world.shared["orders"] = 5
        world.settle()
        assert only(world.next()).decision.primary.reason is Reason.NO_BREACH

        del world.shared["orders"]

        assert said(world.until_changed())[1:] == (Reason.FALLBACK, 3, 6)

    def test_each_service_for_itself(self) -> None:
        """That the data of one service are missing is no matter of another."""
        world = World(falling(services=["web", "api"], name="shop"))
        world.service("web")
        world.service("api")
        world.settle()
        world.next()
        world.prometheus.lose("api")

        changed = world.until_changed()
        world.run(600)

        assert (changed.decision.service, changed.decision.desired) == ("api", 6)
        assert (world.replicas("web"), world.replicas("api")) == (3, 6)


class TestDryRun:
    def proposals(self, world: World, seconds: int) -> list[Record]:
        """The records of the next *seconds* that propose a change."""
        records = [only(evaluation) for evaluation in world.run(seconds)]
        return [record for record in records if record.outcome is Outcome.DRY_RUN]

    def test_it_is_proposed_and_not_written(self) -> None:
        """In a dry-run the fallback is proposed for as long as it lasts, as news only once per cooldown."""
        world = lost_world(falling(scale_up={"cooldown": "3m"}), dry_run=True)
        began = world.clock.now()

        proposed = self.proposals(world, 1200)

        assert {said(record)[1:] for record in proposed} == {(Reason.FALLBACK, 3, 6)}
        assert [record.decision.at - began for record in proposed if not record.repeated] == [600, 780, 960, 1140]
        assert (world.replicas(), world.api.calls["update"]) == (3, 0)
