"""The tools of plugin authors for tests: builders, fakes, and the contracts of strategies and metric sources.

docs/plugins.md shows it in use. Nothing here needs Docker, Prometheus or the network.
"""

from autoscaler.simulation.prometheus import SimulatedPrometheus
from autoscaler.testing.builders import NOW, STEP, rule, rule_input, window
from autoscaler.testing.clock import ManualClock
from autoscaler.testing.metric_source_contract import MetricSourceContract
from autoscaler.testing.strategy_contract import StrategyContract

__all__ = [
    "NOW",
    "STEP",
    "ManualClock",
    "MetricSourceContract",
    "SimulatedPrometheus",
    "StrategyContract",
    "rule",
    "rule_input",
    "window",
]
