"""The contract of strategies, held by every built-in one; and by none of those that break it."""

from __future__ import annotations

import re
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest

from autoscaler.core.model import Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.strategies import Rule, RuleInput, Steps, Table, Target, Threshold, registered
from autoscaler.strategies.registry import is_built_in
from autoscaler.testing import NOW, StrategyContract, rule, rule_input, window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TestThreshold(StrategyContract):
    strategy = Threshold
    rules = (
        {"name": "now", "metric": "load", "above": 70, "add": 1},
        {"name": "high", "metric": "load", "above": 70, "for": "5m", "add": "50%"},
        {"name": "low", "metric": "load", "below": 30, "for": "10m", "remove": 2},
        {"name": "mostly", "metric": "load", "above": 70, "for": "1h", "at_least": "80%", "add": 1},
    )


class TestTarget(StrategyContract):
    strategy = Target
    rules = (
        {"name": "target", "metric": "load", "strategy": "target", "target": 60},
        {"name": "exact", "metric": "load", "strategy": "target", "target": 0.5, "tolerance": "0%"},
    )


class TestSteps(StrategyContract):
    strategy = Steps
    rules = (
        {
            "name": "up",
            "metric": "load",
            "strategy": "steps",
            "above": 70,
            "for": "3m",
            "steps": [{"lower": 0, "upper": 20, "add": 1}, {"lower": 20, "add": "50%"}],
        },
        {
            "name": "down",
            "metric": "load",
            "strategy": "steps",
            "below": 30,
            "steps": [{"upper": -20, "remove": 3}, {"lower": -20, "upper": 0, "remove": 1}],
        },
    )
    levels = (89.0, 90.0, 91.0, 9.0, 10.0, 11.0)


class TestTable(StrategyContract):
    strategy = Table
    rules = ({"name": "table", "metric": "load", "strategy": "table", "table": {1: 2, 21: 3, 51: 5, 101: 7}},)


def test_every_built_in_strategy_is_held_to_the_contract() -> None:
    """None is left out above."""
    held = {contract.strategy for contract in StrategyContract.__subclasses__() if contract.__module__ == __name__}
    assert {strategy for strategy in registered().values() if is_built_in(strategy)} <= held


# What the contract finds


class Sample(Rule):
    """Asks for as many replicas as bring the highest sample of five minutes to 60."""

    strategy: Literal["sample"]

    @property
    def look_back(self) -> int:
        """Five minutes."""
        return 300

    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """The sound opinion, which those below spoil."""
        highest = max(0.0, *rule_input.window.span(self.look_back))
        return self.asks_for(rule_input, min(ceil(rule_input.running * highest / 60), 1_000_000))


def _contract(spoilt: type[Rule], *, is_monotone: bool = True) -> StrategyContract:
    class Contract(StrategyContract):
        strategy: ClassVar[type[Rule]] = spoilt
        rules: ClassVar[Sequence[Mapping[str, Any]]] = ({"name": "rule", "metric": "load", "strategy": "sample"},)
        monotone: ClassVar[bool] = is_monotone

    return Contract()


def _broken_by(contract: StrategyContract) -> list[str]:
    """The sentences that the strategy breaks."""
    broken = []
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract, name)()
            except AssertionError:
                broken.append(name)
    return broken


def test_a_sound_strategy_breaks_no_sentence() -> None:
    """The sample that the broken ones are made of is sound."""
    assert _broken_by(_contract(Sample)) == []


class Raising(Sample):
    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """Forgets that no task may run."""
        return self.asks_for(rule_input, min(ceil(max(0.0, *rule_input.window.span(300)) / rule_input.running), 1000))


class Negative(Sample):
    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """Forgets that a value may be negative."""
        return self.asks_for(rule_input, min(ceil(rule_input.window.span(300)[-1]), 1000))


class Counting(Sample):
    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """Gives another answer each time."""
        return self.asks_for(rule_input, next(_NUMBERS))


_NUMBERS = count()


class Nightly(Sample):
    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """Looks at the date."""
        return self.asks_for(rule_input, rule_input.window.end // 86_400 % 10)


class Contrary(Sample):
    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """Removes replicas under load."""
        return self.asks_for(rule_input, 1 if (rule_input.window.newest or 0) > 100 else 10)


class Boastful(Sample):
    def recommend(self, rule_input: RuleInput) -> Recommendation:
        """Speaks for a gate."""
        return Recommendation(self.name, Reason.PAUSED, rule_input.requested)


class Blind(Sample):
    def recommend_on_partial(self, rule_input: RuleInput) -> Recommendation | None:
        """Stumbles over missing tasks."""
        raise LookupError(rule_input.window.owed)


class Loose(Sample, extra="ignore"):
    pass


class Elsewhere(Sample):
    strategy: Literal["elsewhere"]  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("spoilt", "sentence", "words"),
    [
        (Raising, "test_it_has_an_opinion_of_every_complete_window", "ZeroDivisionError"),
        (Negative, "test_it_has_an_opinion_of_every_complete_window", "asked for -5"),
        (Boastful, "test_it_has_an_opinion_of_every_complete_window", "gave the reason paused"),
        (Counting, "test_the_same_signal_gives_the_same_opinion", "first Recommendation"),
        (Nightly, "test_when_it_is_does_not_matter", "a week later"),
        (Contrary, "test_more_load_never_asks_for_fewer", "(or say monotone = False)"),
        (Blind, "test_what_is_certain_of_partial_data_is_sound", "LookupError"),
        (Loose, "test_its_rules_are_read_as_a_policy_file_writes_them", "takes keys that it does not know"),
        (Elsewhere, "test_it_can_be_plugged_in", '(the entry point\'s name: strategy: Literal["sample"])'),
    ],
)
def test_a_broken_strategy_breaks_its_sentence(spoilt: type[Rule], sentence: str, words: str) -> None:
    """Each sentence can fail, and says in words what is wrong."""
    with pytest.raises(AssertionError, match=re.escape(words)):
        getattr(_contract(spoilt), sentence)()


def test_a_strategy_may_say_that_it_is_not_monotone() -> None:
    """One that is meant to remove replicas under load breaks no sentence by it."""
    assert _broken_by(_contract(Contrary, is_monotone=False)) == []


# Builders


def test_a_signal_of_values() -> None:
    """All replicas run unless told otherwise, and the newest value is at the end."""
    shown = rule_input([1, 2, 3], requested=4)
    assert (shown.requested, shown.running, shown.window.newest, shown.window.end) == (4, 4, 3, NOW)


def test_counts_are_for_all_samples_or_for_each() -> None:
    """A window may say how many tasks stand behind its samples, and how many should."""
    shown = window([1, 2], reporting=3, owed=[3, 4])
    assert (shown.reporting, shown.owed) == ((3, 3), (3, 4))


def test_a_rule_is_written_as_in_a_policy_file() -> None:
    """Durations are texts, and `for` is called so."""
    assert rule(Threshold, {"name": "a", "metric": "cpu", "above": 70, "for": "5m", "add": 1}).look_back == 300
