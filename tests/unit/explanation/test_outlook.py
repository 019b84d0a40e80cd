from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autoscaler.core.model import Direction, History, Outcome
from autoscaler.core.records import Record
from autoscaler.explanation.explain import Explainer, explain
from autoscaler.explanation.outlook import chances
from autoscaler.views.explanations import kept_document
from tests.support.builders import NOW, steady, written
from tests.support.situations import COOL, GROWN, HIGH, LOW, SITUATIONS, at, document_of, shop, situation

if TYPE_CHECKING:
    from autoscaler.core.explanation import Chance
    from autoscaler.explanation.situation import Situation


def chance(of: Situation, direction: Direction) -> Chance:
    """The next change in that direction."""
    (found,) = (each for each in chances(of) if each.direction is direction)
    return found


def test_a_condition_that_holds_must_only_stay_so() -> None:
    """A change that comes if nothing changes has its moment, its count, and the bound that must stay passed."""
    found = chance(SITUATIONS["cooling_down"], Direction.UP)
    (condition,) = found.conditions
    assert (found.at, found.count, found.expected) == (NOW + 75, 6, True)
    assert (condition.metric, condition.side, condition.bound, condition.already) == ("cpu", "above", 70, True)


def test_a_condition_that_does_not_hold_needs_its_time() -> None:
    """A change that metrics may bring has the earliest moment: the rule's time from the next sample on, or a hold."""
    found = chance(SITUATIONS["no_breach"], Direction.DOWN)
    (condition,) = found.conditions
    assert (found.at, found.count, found.expected) == (NOW + 195, 3, False)
    assert (condition.side, condition.bound, condition.lasting) == ("below", 25, 180)


def test_every_rule_that_may_bring_the_change_is_told() -> None:
    """A rule that may bring the same change later is told after the one that may bring it first."""
    found = chance(SITUATIONS["below_threshold"], Direction.UP)
    assert [each.metric for each in found.conditions] == ["cpu"]
    assert [(other.at, other.conditions[0].metric) for other in found.otherwise] == [(NOW + 75, "memory")]


def test_the_flap_guard_lowers_the_condition() -> None:
    """A removal needs a load that the flap guard lets pass, not only one below the rule's bound."""
    (condition,) = chance(SITUATIONS["would_flap"], Direction.DOWN).conditions
    assert condition.side in {"below", "up to"}
    assert condition.bound == pytest.approx(70 * 3 / 4)


def test_what_speaks_against_a_removal_is_a_condition_too() -> None:
    """A metric without data, and a rule that asks for more, must change before a removal."""
    conditions = chance(SITUATIONS["no_data"], Direction.DOWN).conditions
    assert {each.metric for each in conditions} == {"cpu", "memory"}
    (guarded,) = (each for each in chance(SITUATIONS["guard"], Direction.UP).conditions if each.rule == "database")
    assert (guarded.side, guarded.bound) == ("up to", 80)


@pytest.mark.parametrize(
    ("name", "required"),
    [
        ("rollout_in_progress", "the rollout is over"),
        ("paused_without_end", "the pause is ended"),
        ("paused_by_policy", "the policy does not pause it any more"),
        ("not_leader", "this autoscaler is the leader"),
        ("tasks_pending", "all replicas run"),
    ],
)
def test_what_has_no_known_end_is_required(name: str, required: str) -> None:
    """A gate that does not open by itself is told as something that must happen before."""
    assert chance(SITUATIONS[name], Direction.UP).requires == (required,)


@pytest.mark.parametrize(
    ("name", "direction", "obstacle"),
    [
        ("at_max", Direction.UP, "6 is the maximum"),
        ("at_min", Direction.DOWN, "2 is the minimum"),
        ("step_limited", Direction.DOWN, "no rule removes replicas"),
        ("step_limited_disabled", Direction.UP, "scale_up is disabled"),
    ],
)
def test_why_nothing_comes(name: str, direction: Direction, obstacle: str) -> None:
    """A direction in which nothing can change by itself says why."""
    found = chance(SITUATIONS[name], direction)
    assert (found.at, found.obstacle) == (None, obstacle)


def test_a_plugin_s_rule_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An explanation runs no code of a plugin: such a rule keeps the opinion that it had."""
    policy, seen = shop(HIGH, LOW, **COOL), at(100)
    known = situation(policy, seen, GROWN)
    asked: list[str] = []
    monkeypatch.setattr("autoscaler.explanation.play.is_built_in", lambda _: False)
    monkeypatch.setattr("autoscaler.explanation.outlook.is_built_in", lambda _: False)
    monkeypatch.setattr("autoscaler.explanation.explain.is_built_in", lambda _: False)
    monkeypatch.setattr(type(policy.rules[0]), "recommend", lambda *_: asked.append("recommend"))

    found = chance(known, Direction.UP)
    explain(known)
    assert (found.at, found.count) == (NOW + 75, 6)
    assert asked == []


def test_after_a_change_the_next_begins_with_its_count() -> None:
    """The next change after an applied one starts from the new count and waits for its cooldown."""
    applied = SITUATIONS["below_threshold"]
    assert applied.outcome is Outcome.APPLIED
    found = chance(applied, Direction.DOWN)
    assert (found.count, found.at) == (2, NOW + 300)


def test_a_long_time_needs_few_evaluations() -> None:
    """A rule that looks back for a day is explained without playing each evaluation of that day."""
    slow = {"name": "slow", "metric": "cpu", "above": 70, "for": "1d", "add": 1}
    seen = replace(at(), windows={"cpu": steady(50, 20)})
    found = chance(situation(written(slow), seen, History()), Direction.UP)
    assert found.at == NOW + 86_400 + 15


def test_the_history_leaves_out_what_takes_time() -> None:
    """The history keeps an explanation of each decision without what comes next, which takes most of the time."""
    for name in ("no_breach", "cooling_down"):
        known = SITUATIONS[name]
        inputs = Explainer(known.policy, known.observation, known.history, known.interval, known.places)
        kept = kept_document(Record(known.decision, known.outcome, explained=inputs))
        assert not kept["next"]
        assert kept["verdict"] == document_of(name)["verdict"]
    assert kept_document(Record(known.decision, known.outcome))["primary"]["reason"] == "cooling_down"
