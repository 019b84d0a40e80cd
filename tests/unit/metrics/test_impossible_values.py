"""CPU and memory below 0 are impossible: such a sample is missing, and no calm; a total below 0 proves no calm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.policy_tests import run_file

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
interval: 15s
policies:
  version: 1
  metrics: {{q: {{query: "sum(q{{s=\\"$service\\"}})", kind: total}}}}
  policies:
    - name: p
      services: [s]
      replicas: {{min: {least}, max: 9}}
      rules: [{rule}]
tests:
  - name: t
    service: s
    replicas: 5
    {more}
    series: {series}
    expect: [{expect}]
"""
TARGET = "{name: t, metric: cpu, strategy: target, target: 50}"
STEPS = "{name: t, metric: cpu, strategy: steps, below: 30, steps: [{upper: 0, remove: 2}]}"
THRESHOLD = "{name: lo, metric: cpu, below: 30, for: 45s, remove: 1}"
DEFAULTS = "{name: t, metric: cpu, strategy: target, target: 60}"
TOTAL = "{name: t, metric: q, strategy: target, target: 50}"
CALM = "{name: t, metric: q, below: 100, for: 45s, remove: 1}"
HUNGRY = "{name: t, metric: q, above: -90, add: 1}"
LAST_CHANGE = "last_change: {ago: 6m, direction: up}"


def failures(  # noqa: PLR0913 - what a test file says
    folder: Path, rule: str, series: str, expect: str, *, least: int = 1, more: str = ""
) -> list[str]:
    """How the test of a service with 5 replicas fails."""
    file = folder / "test.yml"
    file.write_text(FILE.format(rule=rule, series=series, expect=expect, least=least, more=more))
    (result,) = run_file(file)
    return [str(failure) for failure in result.failures]


@pytest.mark.parametrize(
    ("rule", "series", "expect"),
    [
        pytest.param(TARGET, "50x4 -90x4 50x10", "{at: 1m15s, replicas: 5, reason: no_data}", id="target"),
        pytest.param(STEPS, "60x4 -90x4 60x10", "{at: 1m15s, replicas: 5, reason: no_data}", id="steps"),
        pytest.param(THRESHOLD, "60x4 -90x4 60x10", "{at: 2m15s, replicas: 5, reason: no_data}", id="threshold"),
        pytest.param(
            THRESHOLD, "60x4 -90x4 60x10", "{at: 1m15s, replicas: 5, reason: stale_data}", id="a threshold, before"
        ),
    ],
)
@pytest.mark.parametrize("metric", ["cpu", "memory"])
@pytest.mark.fault("counter-reset")
def test_a_built_in_metric_below_0_removes_nothing(
    tmp_path: Path, rule: str, series: str, expect: str, metric: str
) -> None:
    """A counter that began at 0 again in its series once made cpu -90 %, and replicas were removed under load."""
    rule = rule.replace("metric: cpu", f"metric: {metric}")

    assert failures(tmp_path, rule, f'{{{metric}: "{series}"}}', expect) == []


def test_with_nothing_but_defaults(tmp_path: Path) -> None:
    """Five replicas at their target stay five through three impossible samples, and no cooldown follows."""
    expect = "{at: 1m15s, replicas: 5, reason: no_data}, {at: 2m30s, replicas: 5, reason: within_tolerance}"

    assert failures(tmp_path, DEFAULTS, '{cpu: "60x4 -40x3 60x10"}', expect, least=2, more=LAST_CHANGE) == []


@pytest.mark.parametrize(
    ("rule", "series", "expect"),
    [
        pytest.param(TOTAL, "-500x9", "{at: 15s, replicas: 5, reason: window_incomplete}", id="a target asks for none"),
        pytest.param(
            CALM,
            "200x4 -1 50x9",
            "{at: 1m45s, replicas: 5, reason: no_breach}, {at: 2m, replicas: 5, reason: window_incomplete}",
            id="within the look-back",
        ),
        pytest.param(
            CALM, "200x4 -1 50x9", "{at: 2m30s, replicas: 4, reason: below_threshold}", id="before the look-back"
        ),
        pytest.param(HUNGRY, "-80x9", "{at: 0s, replicas: 6, reason: above_threshold}", id="an increase passes"),
    ],
)
def test_a_total_below_0_holds_a_reduction(tmp_path: Path, rule: str, series: str, expect: str) -> None:
    """A total below 0 proves no calm where a rule looks at it; an increase it does not hold."""
    more = "" if rule is not CALM else "last_change: {ago: 6m, direction: up}"

    assert failures(tmp_path, rule, f'{{q: "{series}"}}', expect, least=1, more=more) == []
