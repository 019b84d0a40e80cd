"""What authors of plugins test with: builders, fakes, and the contracts of strategies and of metric sources.

docs/plugins.md shows it in use. Nothing here needs a Docker, a Prometheus or the network.
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
