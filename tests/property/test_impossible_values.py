"""A value that cannot be is a missing one, for every built-in metric, strategy and series."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.model import History
from autoscaler.metrics.queries import MetricSettings
from autoscaler.metrics.windows import MetricWindows, Needed
from autoscaler.policy.metric import PROMETHEUS, Metric, with_built_in
from autoscaler.ports import Series
from autoscaler.util.deadline import Deadline
from tests.support.builders import NOW, STEP, observation, written
from tests.support.deciding import decide
from tests.unit.metrics.test_windows import view

if TYPE_CHECKING:
    from autoscaler.core.model import Decision
    from autoscaler.ports import Query

SETTINGS = MetricSettings(scrape_interval=STEP, rate_window=4 * STEP, warmup=30)
STRATEGIES: tuple[dict[str, Any], ...] = (
    {"strategy": "target", "target": 50},
    {"strategy": "target", "target": 1, "tolerance": "0%"},
    {"strategy": "steps", "below": 30, "steps": [{"upper": 0, "remove": 2}]},
    {"strategy": "table", "table": {-1000: 1, 0: 2, 40: 5, 80: 7}},
    {"below": 30, "for": "45s", "remove": 1},
    {"below": 30, "remove": "50%"},
    {"above": 70, "for": "30s", "add": 1},
)
SAMPLES = st.one_of(st.floats(-200, 200), st.floats(-1e-12, 0, exclude_max=True), st.sampled_from([nan, 0.0, 50.0]))


@dataclass
class Column:
    """A metric source whose newest samples are these, in the metric's unit, for every task count."""

    samples: list[float]

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """No offset."""
        return 0.0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - likewise
        """The samples up to NOW."""
        rows = [(at - NOW) // STEP + len(self.samples) for at in range(start + STEP, end + STEP + 1, step)]
        values = [self.samples[row - 1] if 0 < row <= len(self.samples) else nan for row in rows]
        name = "web" if query.by or query.service else ""
        return {name: Series(values, [3] * len(values) if query.counts_tasks else None)}


def decided(samples: list[float], metric: str, known: dict[str, Metric], rule: dict[str, Any]) -> Decision:
    """What is decided of three replicas on these samples."""
    rules = written({"name": "r", "metric": metric, **rule}, flap_guard=False)
    service = view("web", memory_limit=100.0)
    held = MetricWindows({PROMETHEUS: Column([value / 100 for value in samples])}, SETTINGS, STEP)
    if metric == "memory":
        held = MetricWindows({PROMETHEUS: Column(samples)}, SETTINGS, STEP)
    held.refresh([Needed(service, rules)], known, NOW, Deadline(60))
    shown, _ = held.of(service, rules, known)
    return decide(rules, observation(3, windows=shown), History())


@given(
    st.lists(SAMPLES, min_size=1, max_size=8),
    st.sampled_from(["cpu", "memory"]),
    st.sampled_from(["average", "max"]),
    st.sampled_from(STRATEGIES),
)
def test_a_sample_below_0_is_a_missing_one(
    samples: list[float], metric: str, aggregate: str, rule: dict[str, Any]
) -> None:
    """To replace it by a missing one changes no decision; as the newest sample it never leads to a reduction."""
    known = with_built_in({metric: Metric.model_validate({"aggregate": aggregate})})
    missing = [nan if value < 0 else value for value in samples]

    decision = decided(samples, metric, known, rule)

    assert decision == decided(missing, metric, known, rule)
    if isnan(missing[-1]):
        assert decision.desired == 3


@given(st.lists(st.floats(-200, 200), min_size=1, max_size=8), st.sampled_from(STRATEGIES))
def test_a_total_below_0_never_leads_to_a_reduction(samples: list[float], rule: dict[str, Any]) -> None:
    """A negative total may be right, but no count is lowered by a look-back that holds one."""
    known = with_built_in({"load": Metric.model_validate({"query": "sum(load)", "kind": "total"})})
    samples[-1] = -abs(samples[-1]) - 1e-9

    assert decided(samples, "load", known, rule).desired >= 3
