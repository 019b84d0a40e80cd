"""The strategy `peak`."""

from math import nan

from autoscaler.testing import StrategyContract, rule, rule_input, window
from autoscaler_peak.strategy import Peak

KEYS = {"name": "cpu-peak", "metric": "cpu", "strategy": "peak", "target": 60, "over": "1m"}
PEAK = rule(Peak, KEYS)


class TestContract(StrategyContract):
    """What every strategy does."""

    strategy = Peak
    rules = (KEYS, {**KEYS, "over": "1h"}, {**KEYS, "target": 0.5, "over": "0s"})


def test_the_highest_sample_decides() -> None:
    """Four replicas at 90 % are 360 %: six at 60 %."""
    assert PEAK.recommend(rule_input([20, 20, 90, 20, 20], requested=4)).replicas == 6


def test_a_sample_before_the_look_back_does_not_count() -> None:
    """A peak is forgotten when it is older than `over`."""
    assert PEAK.recommend(rule_input([90, 20, 20, 20, 20, 20], requested=4)).replicas == 2


def test_the_load_counts_and_not_the_replicas_of_today() -> None:
    """90 % was the load of two replicas then; that six run now makes it no larger."""
    seen = window([90, 30, 30, 30, 30], reporting=[2, 6, 6, 6, 6])
    assert PEAK.recommend(rule_input(seen, requested=6)).replicas == 3


def test_a_total_is_the_load() -> None:
    """A total is shared by as many replicas as it takes."""
    assert PEAK.recommend(rule_input(window([100, 600, 100], total=True), requested=4)).replicas == 10


def test_a_missing_sample_is_no_load() -> None:
    """A hole that the autoscaler forgives is left out."""
    assert PEAK.recommend(rule_input([60, nan, 60, 60, 60], requested=4)).replicas == 4
