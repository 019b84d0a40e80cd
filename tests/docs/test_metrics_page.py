from __future__ import annotations

import re
from pathlib import Path

import promql_parser
import pytest

from autoscaler.web.telemetry import Telemetry
from tests.support.shown import POLICIES, full_journal

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(
    r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]*)\| [^|]* \| `(?P<query>[^|]*)` \|$", re.MULTILINE
)
ROWS = {row["name"]: row for row in ROW.finditer(PAGE.read_text())}


def _exported() -> dict[str, tuple[str, set[str]]]:
    """The metrics of an autoscaler that has seen everything, with their types and labels."""
    telemetry = Telemetry(full_journal(), lambda: True, policies=lambda: POLICIES)
    telemetry.count_request("read", "success")
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            {label for sample in family.samples for label in sample.labels},
        )
        for family in telemetry.registry.collect()
    }


def test_the_page_has_every_metric_and_no_other() -> None:
    """docs/metrics.md has each metric with its type and labels, and no metric that there is not."""
    documented = {name: (row["type"], set(re.findall(r"`(\w+)`", row["labels"]))) for name, row in ROWS.items()}

    assert documented == _exported()


@pytest.mark.parametrize("name", ROWS)
def test_each_example_is_a_query_of_metrics_that_there_are(name: str) -> None:
    """Each example parses, is about its metric, and names no metric that the autoscaler does not export."""
    query = ROWS[name]["query"]
    promql_parser.parse(query)
    named = {re.sub(r"_bucket$", "", found) for found in re.findall(r"autoscaler_\w+", query)}

    assert name in named
    assert named <= _exported().keys()
