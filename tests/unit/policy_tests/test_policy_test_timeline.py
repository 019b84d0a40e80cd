from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.policy_files import POLICIES, case, run

if TYPE_CHECKING:
    from pathlib import Path

    from autoscaler.policy_tests import Failure

WIDTH = 120


def failure(folder: Path, text: str, policies: str = POLICIES) -> Failure:
    """The last failure of the one test of a file."""
    (result,) = run(folder, text, policies)
    return result.failures[-1]


def drawn(folder: Path, text: str, policies: str = POLICIES) -> list[str]:
    """The timeline of a test's last failure, for people."""
    lines = failure(folder, text, policies).timeline.render("").plain.splitlines()
    assert lines[0] == ""
    return lines[1:]


def entries(folder: Path, text: str, policies: str = POLICIES) -> list[dict[str, Any]]:
    """The timeline of a test's last failure, for programs."""
    document: dict[str, Any] = json.loads(json.dumps(failure(folder, text, policies).document()))
    told: list[dict[str, Any]] = document["timeline"]["entries"]
    return told


def test_a_failure_shows_what_was_evaluated_around_it(tmp_path: Path) -> None:
    """Time, requested and running replicas, each metric's newest value, primary reason and rule with its detail."""
    text = case('{cpu: "80x2 60 81 82 80x9"}', "{at: 30s, replicas: 3}, {at: 1m15s, replicas: 4}")
    assert drawn(tmp_path, text) == [
        "  AT     REPLICAS  RUNNING  cpu %  REASON             WHY",
        "  30s    3               3     80  window_incomplete  high: cpu has 3 of the 5 samples of the last 1m",
        "  45s    3               3     60  window_incomplete  high: cpu has 4 of the 5 samples of the last 1m",
        "  1m     3               3     81  window_incomplete  low: cpu has 5 of the 9 samples of the last 2m",
        "> 1m15s  3               3     82  window_incomplete  low: cpu has 6 of the 9 samples of the last 2m",
        "  1m30s  3               3     80  window_incomplete  low: cpu has 7 of the 9 samples of the last 2m",
        "  … 1 more like it until 1m45s",
        "  2m     3 → 4           3     80  above_threshold    high: cpu 80 %, above 70 % for 1m",
    ]


def test_a_failure_and_its_timeline_are_part_of_the_result(tmp_path: Path) -> None:
    """Under its line, each failure its own."""
    (result,) = run(tmp_path, case('{cpu: "80x9"}', "{at: 0s, replicas: 5}, {at: 15s, replicas: 5}"))
    lines = result.render().plain.splitlines()
    assert [line.split(": ")[1] for line in lines if "expected" in line] == ["backend at 0s", "backend at 15s"]
    assert [line for line in lines if line.startswith("     > ")] == [
        "     > 0s  3               3     80  window_incomplete  high: cpu has 1 of the 5 samples of the last 1m",
        "     > 15s  3               3     80  window_incomplete  high: cpu has 2 of the 5 samples of the last 1m",
    ]


def test_a_test_that_passes_shows_no_timeline(tmp_path: Path) -> None:
    """Only what fails needs to be explained."""
    (result,) = run(tmp_path, case('{cpu: "80x9"}', "{at: 0s, replicas: 3}"))
    assert len(result.render().plain.splitlines()) == 1


def test_evaluations_that_say_the_same_are_folded(tmp_path: Path) -> None:
    """With how many there are, until when, and which values the metrics had meanwhile."""
    text = case('{cpu: "50x20 55 60x2 50x99"}', "{at: 10m, replicas: 9}")
    assert drawn(tmp_path, text) == [
        "  AT     REPLICAS  RUNNING  cpu %  REASON             WHY",
        "  0s     3               3     50  window_incomplete  high: cpu has 1 of the 5 samples of the last 1m",
        "  … 3 more like it until 45s",
        "  1m     3               3     50  window_incomplete  low: cpu has 5 of the 9 samples of the last 2m",
        "  … 3 more like it until 1m45s",
        "  2m     3               3     50  no_breach          cpu 50 %, not above 70 % for 1m, not below 30 % for 2m",
        "  … 28 more like it until 9m, cpu 50 to 60",
        "  9m15s  3               3     50  no_breach          cpu 50 %, not above 70 % for 1m, not below 30 % for 2m",
        "  … 2 more like it until 9m45s",
        "> 10m    3               3     50  no_breach          cpu 50 %, not above 70 % for 1m, not below 30 % for 2m",
        "  … 3 more like it until 10m45s",
    ]


def test_every_change_since_the_expectation_before_is_shown(tmp_path: Path) -> None:
    """However far apart they lie."""
    text = case('{cpu: "80x20 50x200"}', "{at: 45s, replicas: 3}, {at: 30m, replicas: 3}")
    changes = [line.split() for line in drawn(tmp_path, text) if "→" in line and "since" not in line]
    assert [line[:5] for line in changes] == [
        ["1m", "3", "→", "4", "3"],
        ["2m", "4", "→", "5", "4"],
        ["3m", "5", "→", "6", "5"],
        ["4m", "6", "→", "7", "6"],
        ["5m", "7", "→", "8", "7"],
    ]


def test_what_was_before_the_expectation_before_is_not_shown(tmp_path: Path) -> None:
    """That one says what it was then; where it lies near, three evaluations before are shown all the same."""
    text = case('{cpu: "80x20 50x200"}', "{at: 4m, replicas: 7}, {at: 30m, replicas: 3}")
    assert entries(tmp_path, text)[0]["at"] == "4m"
    text = case('{cpu: "80x20 50x200"}', "{at: 4m, replicas: 7}, {at: 4m15s, replicas: 3}")
    assert entries(tmp_path, text)[0]["at"] == "3m30s"


def test_expectations_need_not_stand_in_the_order_of_time(tmp_path: Path) -> None:
    """The one before is the one before in time."""
    text = case('{cpu: "80x20 50x200"}', "{at: 30m, replicas: 3}, {at: 4m, replicas: 7}")
    assert entries(tmp_path, text)[0]["at"] == "4m"


def test_missing_samples_are_shown_as_such(tmp_path: Path) -> None:
    """None is not 0."""
    text = case('{cpu: "50x20 _ 0 _ 50x40"}', "{at: 5m15s, replicas: 3}, {at: 5m30s, replicas: 9}")
    cells = {cells[0]: cells[3] for line in drawn(tmp_path, text) if (cells := line[2:].split())[0] != "…"}
    assert (cells["5m15s"], cells["5m30s"], cells["5m45s"]) == ("-", "0", "-")
    values = {entry["at"]: entry["values"]["cpu"] for entry in entries(tmp_path, text)}
    assert (values["5m15s"], values["5m30s"], values["5m45s"]) == (None, 0, None)


def test_samples_that_were_missing_meanwhile_are_counted(tmp_path: Path) -> None:
    """Beside the values of the others."""
    rule = "      - {name: other, metric: memory, above: 90, add: 1}\n"
    policies = POLICIES.replace("    scale_up", f"{rule}    scale_up")
    text = case('{cpu: "_", memory: "50x9 _ 60 _x2 60x80"}', "{at: 20m, replicas: 9}")
    assert "  … 76 more like it until 19m, memory 50 to 60 and 3 missing" in drawn(tmp_path, text, policies)
    (folded,) = [entry for entry in entries(tmp_path, text, policies) if entry["varied"]]
    assert folded["varied"] == {"memory": {"lowest": 50, "highest": 60, "missing": 3}}


def test_what_somebody_else_did_is_shown_where_it_happened(tmp_path: Path) -> None:
    """Before the evaluation at its time."""
    more = "    events: [{at: 30s, scale: 5}, {at: 30s, deploy: 6}]\n"
    text = case('{cpu: "50x20"}', "{at: 30s, replicas: 3}", more)
    lines = drawn(tmp_path, text)
    place = next(number for number, line in enumerate(lines) if line.startswith(">"))
    assert lines[place - 2 : place] == ["  30s  scale: 5, by somebody else", "  30s  deploy: 6, by somebody else"]
    told = {entry["at"]: entry["events"] for entry in entries(tmp_path, text)}
    assert told == {"0s": [], "30s": [{"scale": 5}, {"deploy": 6}], "1m": []}


def test_what_somebody_else_did_is_shown_even_where_it_changed_nothing(tmp_path: Path) -> None:
    """It may be what was forgotten."""
    text = case('{cpu: "50x20"}', "{at: 1m, replicas: 4}", "    events: [{at: 30s, scale: 3}]\n")
    assert "  30s  scale: 3, by somebody else" in drawn(tmp_path, text)


def test_replicas_that_start_are_a_change(tmp_path: Path) -> None:
    """Requested (running) replicas."""
    told = entries(tmp_path, case('{cpu: "80x20"}', "{at: 1m45s, replicas: 5}", "    startup: 30s\n"))
    counts = {entry["at"]: (entry["requested"], entry["replicas"], entry["running"]) for entry in told}
    assert counts["1m"] == (3, 4, 3)
    assert counts["1m15s"] == (4, 4, 3)
    assert counts["1m30s"] == (4, 4, 4)


def test_of_very_many_changes_the_newest_are_shown(tmp_path: Path) -> None:
    """And how many evaluations are left out."""
    text = case(f'{{cpu: "{"80x4 20x8 " * 40}"}}', "{at: 1h, replicas: 0}")
    made = failure(tmp_path, text)
    shown = sum(len(entry.moments) for entry in made.timeline.entries)
    assert made.timeline.omitted == 240 + 1 + 3 - shown
    assert len(made.timeline.entries) <= 20 + 1 + 3
    assert drawn(tmp_path, text)[1] == f"  … {made.timeline.omitted} evaluations before these"
    assert made.document()["timeline"]["omitted"] == made.timeline.omitted


def test_a_service_that_is_taken_out_has_a_timeline_too(tmp_path: Path) -> None:
    """Without reason, rule and metrics: nothing is decided."""
    text = case(
        '{cpu: "80x9"}', "{at: 0s, replicas: 5}", '    labels: {autoscaler.enabled: "false"}\n', service="web_1"
    )
    assert drawn(tmp_path, text) == [
        "  AT  REPLICAS  RUNNING  REASON  WHY",
        "> 0s  3               3          the label autoscaler.enabled=false excludes the service",
        "  … 3 more like it until 45s",
    ]


RULED = """\
version: 1
metrics:
  a_metric_with_a_long_name: {query: a, unit: requests}
  pool: {query: p}
policies:
  - name: p
    services: [backend]
    replicas: {min: 2, max: 8}
    rules:
      - {name: a-rule-whose-name-is-quite-long, metric: a_metric_with_a_long_name, above: 70, for: 1m, add: 1}
      - {name: a-rule-for-the-other-direction, metric: cpu, below: 30, remove: 1}
    guards: [{name: guard, metric: pool, above: 50, block: both}]
"""


def test_a_timeline_fits_into_120_columns(tmp_path: Path) -> None:
    """Long details go on below each other; a number and its % stay together."""
    series = '{a_metric_with_a_long_name: "20x9", cpu: "10x9", pool: "60x9"}'
    lines = drawn(tmp_path, case(series, "{at: 1m, replicas: 5}"), RULED)
    assert max(map(len, lines)) <= WIDTH
    start = lines[0].index("WHY")
    failed = next(number for number, line in enumerate(lines) if line.startswith(">"))
    more = [line[start:] for line in lines[failed + 1 : failed + 4] if not line[:start].strip()]
    assert more
    assert " ".join([lines[failed][start:], *more]) == (
        "a-rule-for-the-other-direction: wants 2; the guard guard: pool 60, above 50"
    )
    assert lines[0].split()[3:7] == ["a_metric_with_a_lon…", "cpu", "%", "pool"]


@pytest.mark.parametrize("length", range(1, 30))
def test_what_belongs_together_stays_on_a_line(tmp_path: Path, length: int) -> None:
    """A number and its %, the two ends of a change: wherever a detail is broken."""
    metrics = "metrics: {some_value_or_other: {query: x}}\n"
    rules = "".join(
        f"      - {{name: {'r' * length}{more}, metric: {metric}, above: 70, add: 1}}\n"
        for more, metric in (("", "cpu"), ("-2", "some_value_or_other"))
    )
    policies = (POLICIES[: POLICIES.index("      - ")] + rules).replace("policies:", f"{metrics}policies:")
    for cpu in (50, 80):
        lines = drawn(
            tmp_path, case(f'{{cpu: "{cpu}x9", some_value_or_other: "1x9"}}', "{at: 30s, replicas: 9}"), policies
        )
        assert not [line for line in lines if line.endswith("→") or line.split()[0] in {"%", "→"}]


@pytest.mark.parametrize("offset", ["0s", "15s", "40s", "2m"])
@pytest.mark.parametrize("step", ["15s", "1m", "20s", "5s", "7s"])
def test_the_values_are_those_that_the_rules_saw(tmp_path: Path, step: str, offset: str) -> None:
    """Whatever the metric's window step and offset are, and whenever the test begins."""
    policies = POLICIES.replace("version: 1\n", f"version: 1\nmetrics: {{cpu: {{step: {step}, offset: {offset}}}}}\n")
    policies = policies.replace("for: 1m", "for: 0s").replace("for: 2m", "for: 0s")
    more = "    start: 2026-01-05T08:00:11Z\n"
    text = case('{cpu: "31+1x30"}', "{at: 0s, replicas: 3}, {at: 5m, replicas: 9}", more)
    seen = [entry for entry in entries(tmp_path, text, policies) if entry["reason"] == "no_breach"]
    assert seen
    for entry in seen:
        assert entry["detail"].startswith(f"cpu {entry['values']['cpu']:.4g} %, ")


SERIES = st.lists(st.sampled_from(["10x3", "50", "50x5", "90x4", "90", "_", "_x3"]), min_size=1, max_size=12).map(
    " ".join
)
EVENTS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["scale", "deploy"]), st.integers(0, 9)), max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(SERIES, EVENTS, st.integers(0, 40), st.integers(0, 40))
def test_a_timeline_leaves_nothing_out(
    tmp_path: Path, series: str, events: list[tuple[int, str, int]], before: int, failed: int
) -> None:
    """Entries follow each other without a gap; each says something else than the one before, or is near the failure."""
    happened = ", ".join(f"{{at: {15 * step}s, {what}: {count}}}" for step, what, count in events)
    expect = f"{{at: {15 * min(before, failed)}s, replicas: 99}}, {{at: {15 * failed}s, replicas: 99}}"
    made = failure(tmp_path, case(f'{{cpu: "{series}"}}', expect, f"    events: [{happened}]\n"))
    told = made.timeline.entries
    times = [moment.evaluated.at for entry in told for moment in entry.moments]
    first = min(before if before < failed else 0, failed - 3)
    assert times == [15 * step for step in range(max(0, first) + made.timeline.omitted, failed + 4)]
    assert [entry.moments[0].evaluated.at for entry in told if entry.failed] == [15 * failed]
    for earlier, later in pairwise(told):
        moment = later.moments[0]
        near = moment.evaluated.at >= 15 * (failed - 3)
        assert near or not moment.says_the_same_as(earlier.moments[-1])
    assert max(map(len, made.timeline.render("     ").plain.splitlines())) <= WIDTH
