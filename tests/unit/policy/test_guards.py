from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from autoscaler.core.model import Direction, History, Outcome, Recommended, ScaleEvent
from autoscaler.core.reasons import Reason
from autoscaler.core.window import Doubt
from autoscaler.errors import RefusedError
from autoscaler.policy.guards import Guard
from autoscaler.policy.metric import Metric
from tests.support.builders import NOW, observation, steady, told, window, written
from tests.support.deciding import decide, summed
from tests.support.world import only, reasons, said, settled_world

if TYPE_CHECKING:
    from autoscaler.core.model import Decision
    from autoscaler.core.window import Window
    from autoscaler.policy.policy import Policy

UP, DOWN = Direction.UP, Direction.DOWN
HIGH = {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1}
LOW = {"name": "cpu-low", "metric": "cpu", "below": 30, "for": "1m", "remove": 1}
TABLE = {"name": "by-queue", "metric": "queue", "strategy": "table", "table": {n: n for n in range(31)}}
FULL = {"name": "pool-full", "metric": "pool", "above": 90, "block": "both"}
POOL = {"pool": Metric(query="sum by (service) (pool)", by="service")}
OVERNIGHT = {"name": "busy", "start": "0 0 * * *", "end": "59 23 * * *", "timezone": "UTC"}


def guard(**keys: Any) -> Guard:
    """The guard `pool-full`, changed by *keys*, as a policy file writes it."""
    return Guard.model_validate({**FULL, **keys}, by_alias=True, by_name=False)


def decided(
    *rules: dict[str, Any], pool: Window | None = None, cpu: float = 50, queue: float = 0, **keys: Any
) -> Decision:
    """The decision at these values; what an observation knows is taken from *keys*, the rest is the policy's."""
    facts = {key: keys.pop(key) for key in ("running", "pending", "stuck", "rollout", "mode") if key in keys}
    requested, history = keys.pop("requested", 3), keys.pop("history", History())
    windows = {"cpu": steady(cpu), "queue": steady(queue)}
    if pool is not None:
        windows["pool"] = pool
    policy = written(*(rules or (HIGH, LOW)), **{"most": 10, "guards": [FULL], **keys})
    return decide(policy, observation(requested, windows=windows, **facts), history)


def guarded(**keys: Any) -> Policy:
    """Rules on cpu under the guard `pool-full`, changed by *keys*."""
    return written(HIGH, LOW, most=10, guards=[{**FULL, **keys}])


class TestBound:
    @pytest.mark.parametrize(
        ("bound", "value", "blocks"),
        [
            ({"above": 90}, 90.5, True),
            ({"above": 90}, 90.0, False),
            ({"above": 90}, 10.0, False),
            ({"above": 0}, 0.5, True),
            ({"above": 0}, 0.0, False),
            ({"above": -5}, -4.0, True),
            ({"above": None, "below": 10}, 9.5, True),
            ({"above": None, "below": 10}, 10.0, False),
            ({"above": None, "below": 0}, 0.0, False),
            ({"above": None, "below": 0}, -1.0, True),
        ],
    )
    def test_a_bound_is_passed_strictly(self, bound: dict[str, Any], value: float, *, blocks: bool) -> None:
        """A guard blocks while its metric is beyond its bound; at the bound it does not."""
        assert bool(guard(**bound).blocks(UP, steady(value))) is blocks

    @pytest.mark.parametrize(
        ("values", "blocks"),
        [
            pytest.param([95, 95, 95, 95, 95], True, id="all of the time"),
            pytest.param([10, 95, 95, 95, 95, 95], True, id="exactly as long"),
            pytest.param([95, 95, 10, 95, 95], False, id="not all of the time"),
            pytest.param([95, 95, 95, 95, 10], False, id="no longer"),
            pytest.param([10, 10, 10, 10, 95], False, id="only just"),
            pytest.param([95, 95, nan, 95, 95], True, id="one missing sample is forgiven"),
            pytest.param([95, nan, 95, 95, 95, 95], True, id="the one before may stand for the oldest"),
            pytest.param([10, nan, 95, 95, 95, 95], False, id="and is looked at then"),
        ],
    )
    def test_for_is_that_of_a_rule(self, values: list[float], *, blocks: bool) -> None:
        """With `for`, a guard blocks once its metric has been beyond the bound that long, as a threshold fires."""
        assert bool(guard(**{"for": "1m"}).blocks(UP, window(values))) is blocks

    def test_in_words(self) -> None:
        """A guard says what it saw, and for how long."""
        assert guard(**{"for": "1m"}).blocks(UP, steady(95.5)) == "the guard pool-full: pool 95.5 %, above 90 % for 1m"
        low = guard(above=None, below=2.5)
        assert low.blocks(DOWN, replace(steady(2), unit="")) == "the guard pool-full: pool 2, below 2.5"


MISSING_DATA = {
    "absent": None,
    "empty": window([]),
    "no sample": window([nan] * 8),
    "stale": window([95, 95, 95, 95, 95, 95, 95, nan]),
    "infinite": window([95, 95, 95, 95, 95, 95, 95, inf]),
    "too short": window([95, 95]),
    "two missing in a row": window([95, 95, 95, nan, nan, 95, 95]),
    "fewer tasks than run": window([95] * 8, reporting=[3] * 7 + [2], owed=3),
    "fewer tasks for some time": window([95] * 8, reporting=[3, 3, 3, 3, 2, 2, 3, 3], owed=3),
}


class TestMissingData:
    @pytest.mark.parametrize("held", MISSING_DATA.values(), ids=list(MISSING_DATA))
    @pytest.mark.parametrize(
        ("block", "on_missing", "up", "down"),
        [
            ("up", None, False, False),
            ("down", None, False, True),
            ("both", None, False, True),
            ("up", "block", True, False),
            ("down", "block", False, True),
            ("both", "block", True, True),
            ("up", "allow", False, False),
            ("down", "allow", False, False),
            ("both", "allow", False, False),
        ],
    )
    def test_without_data(
        self, held: Window | None, block: str, on_missing: str | None, *, up: bool, down: bool
    ) -> None:
        """Without data a guard blocks down, not up, where its `block` covers them, unless `on_missing` says else."""
        watching = guard(block=block, **{"for": "1m"}, **({"on_missing": on_missing} if on_missing else {}))
        assert (bool(watching.blocks(UP, held)), bool(watching.blocks(DOWN, held))) == (up, down)

    def test_calm_data_block_nothing(self) -> None:
        """`on_missing: block` is about missing data: a metric that is there and within its bound blocks nothing."""
        watching = guard(on_missing="block", **{"for": "1m"})
        assert (watching.blocks(UP, steady(50)), watching.blocks(DOWN, steady(50))) == ("", "")

    def test_a_part_of_the_tasks_may_be_enough(self) -> None:
        """With `reporting`, a guard's metric is complete with that part of the tasks."""
        held = replace(window([95] * 8, reporting=[4] * 8, owed=5), share=0.8)
        assert "above 90" in guard().blocks(UP, held)

    @pytest.mark.parametrize("on_missing", ["block", "allow"])
    @pytest.mark.parametrize("bound", [{"above": 90}, {"above": None, "below": 10}], ids=["above", "below"])
    @pytest.mark.parametrize("value", [5, 50, 95])
    def test_samples_that_may_be_low(self, value: float, bound: dict[str, Any], on_missing: str) -> None:
        """Samples that may be low for what they are prove no calm, so that a reduction is blocked as without data.

        What they show all the same is believed, and an increase is judged by nothing else.
        """
        doubt = Doubt(Reason.WINDOW_INCOMPLETE, inf, "its limit was raised 1m ago")
        watching, held = guard(on_missing=on_missing, **bound), steady(value)
        doubted = replace(held, doubts=(doubt,))

        assert watching.blocks(UP, doubted) == watching.blocks(UP, held)
        calm = "above" in bound and bound["above"] is not None and value < 90
        if calm and on_missing == "block":
            assert watching.blocks(DOWN, doubted) == "the guard pool-full: pool: its limit was raised 1m ago"
        else:
            assert watching.blocks(DOWN, doubted) == watching.blocks(DOWN, held)

    def test_in_words(self) -> None:
        """A guard without data says so."""
        assert guard().blocks(DOWN, None) == "the guard pool-full has no complete data of pool"


class TestRefused:
    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ({"below": 10}, "a guard has one bound (give either above or below)"),
            ({"above": None}, "a guard has one bound (give either above or below)"),
            ({"block": "sideways"}, "'up', 'down' or 'both'"),
            ({"block": None}, "'up', 'down' or 'both'"),
            ({"on_missing": "ignore"}, "'block' or 'allow'"),
            ({"above": "90"}, "valid number"),
            ({"above": inf}, "finite number"),
            ({"for": "31d"}, "the guard looks back too far (give 30d at most)"),
            ({"name": "Pool Full"}, "match pattern"),
            ({"add": 1}, "not permitted"),
        ],
    )
    def test_what_is_no_guard(self, keys: dict[str, Any], said: str) -> None:
        """What cannot be meant is an error at load."""
        with pytest.raises(ValidationError) as caught:
            guard(**keys)
        assert said in str(caught.value)

    def test_the_longest_look_back(self) -> None:
        """A guard looks back 30 days at most, as a rule does."""
        assert guard(**{"for": "30d"}).for_ == 30 * 86_400


class TestRules:
    @pytest.mark.parametrize(
        ("block", "cpu", "desired"),
        [
            pytest.param("up", 90, 3, id="up: no increase"),
            pytest.param("up", 10, 2, id="up: a reduction passes"),
            pytest.param("down", 90, 4, id="down: an increase passes"),
            pytest.param("down", 10, 3, id="down: no reduction"),
            pytest.param("both", 90, 3, id="both: no increase"),
            pytest.param("both", 10, 3, id="both: no reduction"),
        ],
    )
    def test_what_rules_may_not_do(self, block: str, cpu: float, desired: int) -> None:
        """While its metric is beyond its bound, a guard forbids rules what its `block` says, and nothing else."""
        decision = decided(cpu=cpu, pool=steady(95), guards=[{**FULL, "block": block}])

        assert decision.desired == desired
        assert decision.held is (desired == 3)
        assert (decision.primary.reason is Reason.GUARD) is (desired == 3)

    @pytest.mark.parametrize(("cpu", "desired"), [(90, 4), (10, 2)])
    def test_within_its_bound_a_guard_is_silent(self, cpu: float, desired: int) -> None:
        """A guard whose metric is within its bound changes nothing, and is not told of."""
        decision = decided(cpu=cpu, pool=steady(90))

        assert decision.desired == desired
        assert Reason.GUARD not in [reason for reason, _ in told(decision)]

    def test_where_nothing_is_wanted_nothing_is_held(self) -> None:
        """A guard is told of only where it changes the number."""
        assert summed(decided(cpu=50, pool=steady(95))) == (3, Reason.NO_BREACH, None, False)

    def test_what_was_wanted_is_told(self) -> None:
        """The decision carries the rule that wanted the change, and what the guard says to it."""
        decision = decided(cpu=90, pool=steady(95))

        assert told(decision) == [(Reason.ABOVE_THRESHOLD, "cpu-high"), (Reason.GUARD, None)]
        assert decision.primary.detail == "wants 4; the guard pool-full: pool 95 %, above 90 %"
        assert decision.primary.rule == "cpu-high"
        assert decision.recommended == 4

    @pytest.mark.parametrize("first", [10, 95])
    def test_one_guard_of_several_is_enough(self, first: float) -> None:
        """A change passes all guards, or none."""
        other = {"name": "queue-full", "metric": "queue", "above": 5, "block": "up"}
        decision = decided(cpu=90, pool=steady(first), queue=9, guards=[FULL, other])

        assert summed(decision) == (3, Reason.GUARD, "cpu-high", True)
        assert ("pool-full" if first > 90 else "queue-full") in decision.primary.detail

    def test_a_count_of_a_table_too(self) -> None:
        """A guard forbids what rules want, be it so many more or a count."""
        assert summed(decided(TABLE, queue=8, pool=steady(95))) == (3, Reason.GUARD, "by-queue", True)
        assert summed(decided(TABLE, queue=1, pool=steady(95))) == (3, Reason.GUARD, "by-queue", True)

    @pytest.mark.parametrize(("cpu", "desired"), [(90, 4), (10, 3)])
    def test_without_data_of_the_guard(self, cpu: float, desired: int) -> None:
        """A guard whose metric is missing lets a service grow, and not shrink."""
        decision = decided(cpu=cpu)

        assert decision.desired == desired
        assert (decision.primary.reason is Reason.GUARD) is (desired == 3)

    def test_a_guards_missing_data_are_no_rules(self) -> None:
        """The missing data of a guard are told by the guard alone: no rule lacks any."""
        decision = decided(cpu=50)

        assert told(decision) == [(Reason.NO_BREACH, None)]
        assert decision.judged


class TestWhatPasses:
    @pytest.mark.parametrize("on_missing", ["block", "allow"])
    @pytest.mark.parametrize("pool", [None, steady(95)], ids=["no data", "beyond"])
    @pytest.mark.parametrize(("requested", "desired"), [(1, 2), (12, 10)])
    def test_bounds(self, requested: int, desired: int, pool: Window | None, on_missing: str) -> None:
        """Bounds are corrected whatever a guard says, its data missing or not."""
        guards = [{**FULL, "on_missing": on_missing}]

        assert decided(requested=requested, least=2, pool=pool, guards=guards).desired == desired

    @pytest.mark.parametrize(("bounds", "requested", "desired"), [({"min": 5}, 3, 5), ({"max": 2}, 3, 2)])
    def test_schedules(self, bounds: dict[str, int], requested: int, desired: int) -> None:
        """The bounds of a schedule are bounds."""
        decision = decided(requested=requested, pool=steady(95), schedules=[{**OVERNIGHT, **bounds}])

        assert summed(decision) == (desired, Reason.SCHEDULE_BOUNDS, None, False)

    @pytest.mark.parametrize("pool", [None, steady(95)], ids=["no data", "beyond"])
    def test_the_fallback(self, pool: Window | None) -> None:
        """The fallback raises whatever a guard says."""
        policy = written(
            HIGH, most=10, guards=[{**FULL, "on_missing": "block"}], fallback={"after": "10m", "replicas": 6}
        )
        seen = observation(3, windows={"pool": pool} if pool else {})

        assert decide(policy, seen, History(judged_at=NOW - 600)).desired == 6

    @pytest.mark.parametrize(
        ("requested", "cpu", "desired"),
        [
            pytest.param(1, 90, 2, id="up to the minimum, and no further"),
            pytest.param(12, 10, 10, id="down to the maximum, and no further"),
        ],
    )
    def test_a_rule_gets_no_further_than_the_bounds(self, requested: int, cpu: float, desired: int) -> None:
        """Where a rule wants more than the bounds demand, a guard leaves what the bounds demand."""
        step = {"name": "far", "metric": "cpu", **({"above": 70, "add": 4} if cpu > 50 else {"below": 30, "remove": 5})}
        decision = decided(step, requested=requested, least=2, cpu=cpu, pool=steady(95))

        assert (decision.desired, decision.held) == (desired, False)
        assert decision.primary.reason is Reason.GUARD
        bound = Reason.BELOW_MIN if cpu > 50 else Reason.ABOVE_MAX
        assert bound in [reason for reason, _ in told(decision)]


class TestOrder:
    def test_the_cooldown_comes_first(self) -> None:
        """What the cooldown holds already no guard needs to hold."""
        history = History((ScaleEvent(NOW - 10, 2, 3),))
        decision = decided(cpu=90, pool=steady(95), history=history, scale_up={"cooldown": "3m"})

        assert summed(decision) == (3, Reason.COOLING_DOWN, "cpu-high", True)
        assert Reason.GUARD not in [reason for reason, _ in told(decision)]

    def test_stabilization_comes_first(self) -> None:
        """What stabilization holds already no guard needs to hold."""
        history = History(recommended=(Recommended(NOW - 10, 3),))
        decision = decided(cpu=10, pool=steady(95), history=history, scale_down={"stabilization": "5m"})

        assert summed(decision) == (3, Reason.STABILIZED, "cpu-low", True)

    def test_a_guard_is_told_the_count_that_the_limits_left(self) -> None:
        """A guard comes after the limits: it is about the change that would be made."""
        limits = {"limits": [{"replicas": 2, "per": "1m"}]}
        decision = decided(TABLE, queue=9, pool=steady(95), scale_up=limits)

        assert decision.primary.detail.startswith("wants 5; ")
        assert told(decision) == [(Reason.TABLE_VALUE, "by-queue"), (Reason.STEP_LIMITED, None), (Reason.GUARD, None)]

    def test_a_closed_gate_is_told_before_a_guard(self) -> None:
        """A rollout or a pause holds everything, so that the guard has nothing left to say."""
        assert summed(decided(cpu=90, pool=steady(95), rollout="updating"))[1] is Reason.ROLLOUT_IN_PROGRESS
        assert summed(decided(cpu=90, pool=steady(95), paused="up"))[1] is Reason.PAUSED
        assert summed(decided(cpu=90, pool=steady(95), paused="down"))[1] is Reason.GUARD

    def test_a_guard_is_told_before_pending_tasks(self) -> None:
        """Where a guard forbids the increase it is the guard that is told."""
        assert summed(decided(cpu=90, pool=steady(95), running=2))[1] is Reason.GUARD
        assert summed(decided(cpu=90, pool=steady(50), running=2))[1] is Reason.TASKS_PENDING

    def test_what_is_held_goes_on_being_recommended(self) -> None:
        """Stabilization remembers what the rules wanted while a guard held it."""
        assert decided(cpu=10, pool=steady(95)).recommended == 2


class TestEvaluations:
    def test_a_guard_holds_as_long_as_it_is_beyond(self) -> None:
        """Evaluation after evaluation a guard holds the change, and lets it pass at once when it is over."""
        world = settled_world(guarded(), metrics=POOL, cpu=90)
        world.load["web", "pool"] = 95
        world.settle(60)

        held = [only(evaluation) for evaluation in world.run(120)]
        world.load["web", "pool"] = 50
        passed = only(world.next())

        assert {said(record) for record in held} == {(Outcome.HELD, Reason.GUARD, 3, 3)}
        assert said(passed) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
        assert world.api.calls["update"] == 1

    def test_a_guards_metric_is_fetched_as_far_back_as_it_looks(self) -> None:
        """A metric that only a guard looks at is asked for, over the guard's `for`."""
        world = settled_world(guarded(**{"for": "4m"}), metrics=POOL, cpu=90)
        world.load["web", "pool"] = 95
        world.settle(300)

        assert said(only(world.next()))[:2] == (Outcome.HELD, Reason.GUARD)
        assert {metric for metric, _, _ in world.source.asked} == {"cpu", "pool"}

    def test_a_lost_guard_holds_reductions_only(self) -> None:
        """When the guard's query fails while the others are answered, a service may grow and not shrink."""
        world = settled_world(guarded(), metrics=POOL, cpu=10)
        world.source.errors["pool"] = RefusedError("the query is wrong")

        record = only(world.next())
        world.load["web", "cpu"] = 90
        grown = world.until_changed()

        assert said(record) == (Outcome.HELD, Reason.GUARD, 3, 3)
        assert Reason.BELOW_THRESHOLD in reasons(record)
        assert said(grown) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
