from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from autoscaler import policy_tests
from autoscaler.errors import PolicyError
from autoscaler.policy_tests import Case, run_file

ROOT = Path(__file__).parents[2]
POLICIES = """\
version: 1
policies:
  - name: backend
    services: [backend, "web_*"]
    replicas: {min: 2, max: 8}
    rules:
      - {name: high, metric: cpu, above: 70, for: 1m, add: 1}
      - {name: low, metric: cpu, below: 30, for: 2m, remove: 1}
    scale_up: {cooldown: 1m}
    scale_down: {cooldown: 2m}
"""
TEST = """\
policies: policies.yml
interval: 15s
tests:
  - name: grows
    service: backend
    replicas: 3
    series: {cpu: "80x40"}
    expect:
      - {at: 45s, replicas: 3}
      - {at: 1m, replicas: 4, reason: above_threshold, rule: high}
"""


def run(folder: Path, text: str = TEST, policies: str = POLICIES) -> list[policy_tests.TestResult]:
    """The results of a test file beside a policy file."""
    (folder / "policies.yml").write_text(policies)
    (folder / "test.yml").write_text(text)
    return run_file(folder / "test.yml")


def case(series: str, expect: str, more: str = "", service: str = "backend", replicas: int = 3) -> str:
    """A file of one test."""
    head = f"policies: policies.yml\ntests:\n  - name: t\n    service: {service}\n    replicas: {replicas}\n"
    return f"{head}    series: {series}\n    expect: [{expect}]\n{more}"


def failures(folder: Path, series: str, expect: str, more: str = "", **others: Any) -> list[str]:
    """How one test fails."""
    (result,) = run(folder, case(series, expect, more, **others))
    return [str(failure) for failure in result.failures]


def problems(folder: Path, text: str, policies: str = POLICIES) -> list[str]:
    """What is wrong with a test file."""
    with pytest.raises(PolicyError) as caught:
        run(folder, text, policies)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


# The guide's policies


def test_the_guide_s_policies_do_what_the_guide_says() -> None:
    """policies/tests/advwell.yml proves each rule, boundary, cooldown and bound of policies/advwell.yml."""
    results = run_file(ROOT / "policies" / "tests" / "advwell.yml")
    assert len(results) > 30
    assert [str(failure) for result in results for failure in result.failures] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("above: 70", "above: 69.9"),
        ("above: 70", "above: 80"),
        ("below: 30", "below: 30.1"),
        ("below: 30", "below: 20"),
        ("above: 80", "above: 79.9"),
        ("above: 80", "above: 85"),
        ("for: 5m", "for: 4m45s"),
        ("for: 5m", "for: 5m15s"),
        ("for: 10m", "for: 9m45s"),
        ("for: 10m", "for: 10m15s"),
        ("for: 1m,", "for: 45s,"),
        ("for: 1m,", "for: 1m15s,"),
        ("add: 1", "add: 2"),
        ("remove: 1", "remove: 2"),
        ("{cooldown: 5m}", "{cooldown: 4m45s}"),
        ("{cooldown: 5m}", "{cooldown: 5m15s}"),
        ("{cooldown: 10m}", "{cooldown: 9m45s}"),
        ("{cooldown: 10m}", "{cooldown: 10m15s}"),
        ("min: 3, max: 10", "min: 2, max: 10"),
        ("min: 3, max: 10", "min: 4, max: 10"),
        ("min: 3, max: 10", "min: 3, max: 9"),
        ("min: 3, max: 10", "min: 3, max: 11"),
        ("min: 2, max: 5", "min: 1, max: 5"),
        ("min: 2, max: 5", "min: 2, max: 6"),
        ("min: 2, max: 5", "min: 2, max: 4"),
        ("min: 1, max: 2", "min: 1, max: 3"),
    ],
)
def test_a_change_of_the_guide_s_policies_fails_their_tests(tmp_path: Path, old: str, new: str) -> None:
    """A test that cannot fail is a defect."""
    text = (ROOT / "policies" / "advwell.yml").read_text()
    assert old in text
    (tmp_path / "advwell.yml").write_text(text.replace(old, new))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "advwell.yml").write_text((ROOT / "policies" / "tests" / "advwell.yml").read_text())
    assert not all(result.passed for result in run_file(tmp_path / "tests" / "advwell.yml"))


# Results


def test_a_result_names_its_test_and_its_place(tmp_path: Path) -> None:
    """Results are values: name, file, line, failures."""
    (result,) = run(tmp_path)
    assert ("grows", str(tmp_path / "test.yml"), 4, True, ()) == (
        *(result.name, result.file, result.line),
        *(result.passed, result.failures),
    )


def test_a_failure_says_when_what_was_expected_what_came_and_why(tmp_path: Path) -> None:
    """With the primary reason and its details, at the line of the expectation."""
    (result,) = run(tmp_path, TEST.replace("at: 45s, replicas: 3", "at: 45s, replicas: 9"))
    (failure,) = result.failures
    assert str(failure) == (
        "at 45s: expected 9 replicas, got 3 replicas "
        "(window_incomplete by high: cpu has 4 of the 5 samples of the last 1m)"
    )
    assert failure.line == 9
    assert not result.passed


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (
            "replicas: 4, reason: below_threshold",
            "expected 4 replicas, below_threshold, got 4 replicas, above_threshold",
        ),
        ("replicas: 4, rule: low", "expected 4 replicas, by low, got 4 replicas, by high ("),
        ("replicas: 1", "expected 1 replica, got 4 replicas ("),
    ],
)
def test_the_primary_reason_and_its_rule_may_be_expected(tmp_path: Path, expected: str, told: str) -> None:
    """Requested replicas after the evaluation at that time, and its primary reason and rule."""
    (found,) = failures(tmp_path, '{cpu: "80x40"}', f"{{at: 1m, {expected}}}")
    assert told in found


def test_a_result_is_a_document_and_a_text_too(tmp_path: Path) -> None:
    """For programs and for people; what looks like markup is text."""
    failing = TEST.replace("replicas: 4", "replicas: 5").replace("name: grows", "name: '[red]grows'")
    (result,) = run(tmp_path, failing)
    document = json.loads(json.dumps(result.document()))
    assert (document["name"], document["passed"], document["failures"][0]["at"]) == ("[red]grows", False, "1m")
    text = result.render().plain
    assert text.splitlines()[0] == f"FAIL [red]grows  {tmp_path}/test.yml:4"
    assert text.splitlines()[1].startswith(f"     {tmp_path}/test.yml:10: at 1m: expected 5 replicas, ")


def test_a_file_may_hold_several_tests_and_each_has_its_result(tmp_path: Path) -> None:
    """In the order of the file, independent of each other."""
    second = TEST.split("tests:\n")[1].replace("grows", "again").replace("replicas: 4", "replicas: 5")
    results = run(tmp_path, TEST + second)
    assert [(result.name, result.passed) for result in results] == [("grows", True), ("again", False)]


def test_policies_may_stand_in_the_test_file(tmp_path: Path) -> None:
    """Or the content of a policy file inline (policies: {version: 1, policies: […]})."""
    inline = "policies:\n" + "".join(f"  {line}\n" for line in POLICIES.splitlines())
    (tmp_path / "alone.yml").write_text(TEST.replace("policies: policies.yml\n", inline))
    assert run_file(tmp_path / "alone.yml")[0].passed


def test_policies_may_be_a_directory(tmp_path: Path) -> None:
    """A path from this file, as `check` takes it."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.yml").write_text(POLICIES)
    (tmp_path / "test.yml").write_text(TEST.replace("policies.yml", "set"))
    assert run_file(tmp_path / "test.yml")[0].passed


# Series


def samples(text: str) -> list[float | None]:
    """What a series stands for, missing samples as None."""
    values: tuple[float, ...] = TypeAdapter(policy_tests._Samples).validate_python(text)
    return [None if math.isnan(value) else value for value in values]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ("80", [80]),
        ("80x3", [80, 80, 80, 80]),
        ("80x0", [80]),
        ("1 2 3", [1, 2, 3]),
        ("10+5x4", [10, 15, 20, 25, 30]),
        ("10-5x3", [10, 5, 0, -5]),
        ("-2+1.5x2", [-2, -0.5, 1]),
        ("1e2+1e1x1", [100, 110]),
        ("_", [None]),
        ("_x3", [None, None, None]),
        ("1 _ 2 stale 3", [1, None, 2, None, 3]),
        ("NaN Inf -inf +Inf", [None] * 4),
        ("1e999", [None]),
        ("  1\n 2\t3 ", [1, 2, 3]),
    ],
)
def test_a_series_is_in_promtool_s_notation(series: str, expected: list[float | None]) -> None:
    """The notation: "80x40" is 41 samples, "_" one and "_x3" three missing; NaN and infinite ones are missing."""
    assert expected == samples(series)


def test_eighty_times_forty_are_forty_one_samples() -> None:
    """As promtool counts."""
    assert len(samples("80x40")) == 41


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-99, 99), st.integers(-9, 9), st.integers(0, 9)), min_size=1, max_size=9))
def test_items_of_a_series_follow_each_other(items: list[tuple[int, int, int]]) -> None:
    """Several items separated by spaces."""
    text = " ".join(f"{first}{change:+d}x{times}" for first, change, times in items)
    expected = [first + change * step for first, change, times in items for step in range(times + 1)]
    assert expected == samples(text)


@pytest.mark.parametrize(
    "series",
    ["x", "80x", "x4", "10+5", "10*5x3", "_3", "_x", "80 x 40", "--1", "1,2", "0x10 0xg", "stalex3", "1.x2", "", " "],
)
def test_what_is_no_series_is_told(series: str) -> None:
    """The item that is wrong, and what would be right."""
    with pytest.raises(ValidationError, match=r"(is no item of a series|the series is empty) \(write "):
        samples(series)


@pytest.mark.parametrize("series", ["1x100000", "_x100001", "1x99999 1", "1x999999999", "1x50000 1x50000"])
def test_a_series_is_of_bounded_length(series: str) -> None:
    """A slip in a number must not fill the memory."""
    with pytest.raises(ValidationError, match="more than 100000 samples"):
        samples(series)


# Time


def test_a_window_is_complete_at_its_length_and_not_before(tmp_path: Path) -> None:
    """A test begins with no samples before 0: `for: 5m` at 15 s is complete at 5m (21 samples), not before."""
    policies = POLICIES.replace("for: 1m", "for: 5m")
    text = case('{cpu: "80x19"}', "{at: 4m45s, replicas: 3}, {at: 5m, replicas: 3, reason: stale_data}")
    assert run(tmp_path, text, policies)[0].passed
    text = case('{cpu: "80x20"}', "{at: 4m45s, replicas: 3}, {at: 5m, replicas: 4}, {at: 5m15s, replicas: 4}")
    assert run(tmp_path, text, policies)[0].passed


def test_past_its_end_a_series_is_missing(tmp_path: Path) -> None:
    """Missing, not the last value on and on."""
    expect = "{at: 15s, replicas: 3, reason: stale_data}, {at: 1h, replicas: 3, reason: no_data}"
    assert failures(tmp_path, '{cpu: "20"}', expect) == []


def test_a_metric_without_a_series_has_no_data(tmp_path: Path) -> None:
    """Missing data never shrink a service."""
    assert failures(tmp_path, "{}", "{at: 1h, replicas: 3, reason: no_data}") == []


def test_another_interval_has_samples_further_apart(tmp_path: Path) -> None:
    """Evaluation interval and window step; sample k is at k x interval."""
    text = case('{cpu: "20 80x9"}', "{at: 1m30s, replicas: 3}, {at: 2m, replicas: 4}").replace(
        "tests:", "interval: 30s\ntests:"
    )
    policies = POLICIES.replace("for: 1m", "for: 90s")
    assert run(tmp_path, text, policies)[0].passed


def test_bounds_are_corrected_at_the_first_evaluation(tmp_path: Path) -> None:
    """Evaluations are at 0, interval, 2 x interval …"""  # noqa: D415 - the sentence ends in an ellipsis
    assert failures(tmp_path, "{}", "{at: 0s, replicas: 2, reason: too_few_replicas}", replicas=1) == []


# Events


def test_an_event_precedes_the_evaluation_at_its_time(tmp_path: Path) -> None:
    """An operator's scale is there when the evaluation looks."""
    more = "    events: [{at: 30s, scale: 5}]\n"
    assert failures(tmp_path, "{}", "{at: 15s, replicas: 3}, {at: 30s, replicas: 5}", more) == []


@pytest.mark.parametrize("event", ["scale: 5", "deploy: 5"])
def test_an_outside_change_is_adopted_and_starts_the_cooldown(tmp_path: Path, event: str) -> None:
    """changed_externally: an outside count is adopted, and starts the cooldown."""
    expect = (
        "{at: 3m, replicas: 5, reason: cooling_down, rule: low}, {at: 3m45s, replicas: 5, reason: cooling_down}, "
        "{at: 4m, replicas: 4, reason: below_threshold, rule: low}"
    )
    assert failures(tmp_path, '{cpu: "20x40"}', expect, f"    events: [{{at: 2m, {event}}}]\n") == []


def test_a_deploy_after_our_own_scale_resets_the_count(tmp_path: Path) -> None:
    """The count is the file's again; the increase before it still counts for the cooldown of the next one."""
    expect = (
        "{at: 1m, replicas: 4}, {at: 1m30s, replicas: 3, reason: cooling_down}, "
        "{at: 1m45s, replicas: 3, reason: cooling_down}, {at: 2m, replicas: 4, reason: above_threshold}"
    )
    assert failures(tmp_path, '{cpu: "80x40"}', expect, "    events: [{at: 1m30s, deploy: 3}]\n") == []


def test_a_scale_to_the_present_count_is_no_change(tmp_path: Path) -> None:
    """Nothing happened, so nothing cools down."""
    more = "    events: [{at: 2m, scale: 3}]\n"
    assert failures(tmp_path, '{cpu: "20x40"}', "{at: 2m, replicas: 2, reason: below_threshold}", more) == []


def test_set_to_0_by_hand_it_stays_until_somebody_raises_it(tmp_path: Path) -> None:
    """scaled_to_zero: 0 requested by hand, and min is not 0."""
    more = "    events: [{at: 15s, scale: 0}, {at: 5m, scale: 3}]\n"
    expect = "{at: 4m, replicas: 0, reason: scaled_to_zero}, {at: 5m, replicas: 3}, {at: 6m, replicas: 4}"
    assert failures(tmp_path, '{cpu: "80x40"}', expect, more) == []


@pytest.mark.parametrize(("direction", "held"), [("up", True), ("down", False)])
def test_a_change_before_the_beginning_counts_for_the_cooldown(tmp_path: Path, direction: str, *, held: bool) -> None:
    """An increase delays the next one; a reduction never delays an increase."""
    more = f"    last_change: {{ago: 0s, direction: {direction}}}\n"
    policies = POLICIES.replace("scale_up: {cooldown: 1m}", "scale_up: {cooldown: 2m}")
    text = case('{cpu: "80x40"}', f"{{at: 1m, replicas: {3 if held else 4}}}, {{at: 2m, replicas: 4}}", more)
    assert run(tmp_path, text, policies)[0].passed


# Replicas that start


def test_an_added_replica_runs_after_the_start_up_time(tmp_path: Path) -> None:
    """`tasks_pending` holds a relative step while running < requested."""
    more = "    startup: 2m\n"
    expect = "{at: 1m, replicas: 4}, {at: 2m45s, replicas: 4, reason: tasks_pending}, {at: 3m, replicas: 5}"
    assert failures(tmp_path, '{cpu: "80x40"}', expect, more) == []


def test_replicas_missing_at_the_beginning_never_come_without_a_start_up_time(tmp_path: Path) -> None:
    """As where there is no room for them."""
    assert (
        failures(tmp_path, '{cpu: "80x99"}', "{at: 20m, replicas: 3, reason: tasks_pending}", "    running: 2\n") == []
    )


def test_replicas_missing_at_the_beginning_come_after_the_start_up_time(tmp_path: Path) -> None:
    """They were started at 0."""
    more = "    running: 2\n    startup: 90s\n"
    expect = "{at: 1m15s, replicas: 3, reason: tasks_pending}, {at: 1m30s, replicas: 4, reason: above_threshold}"
    assert failures(tmp_path, '{cpu: "80x40"}', expect, more) == []


def test_replicas_that_run_may_outnumber_those_requested(tmp_path: Path) -> None:
    """A reduction is still going on, say."""
    assert failures(tmp_path, '{cpu: "80x40"}', "{at: 1m, replicas: 4}", "    running: 5\n") == []


# Matching


def test_a_glob_matches_and_a_label_takes_out(tmp_path: Path) -> None:
    """The label autoscaler.enabled=false takes a service out."""
    assert failures(tmp_path, "{}", "{at: 0s, replicas: 2}", service="web_1", replicas=1) == []
    more = '    labels: {autoscaler.enabled: "false"}\n'
    (found,) = failures(tmp_path, "{}", "{at: 0s, replicas: 2}", more, service="web_1", replicas=1)
    assert "no decision: the label autoscaler.enabled=false takes the service out" in found


def test_a_service_in_conflict_is_left_as_it_is(tmp_path: Path) -> None:
    """Two matches of equal rank leave that one service untouched (`policy_conflict`)."""
    other = (
        POLICIES.split("policies:\n")[1].replace("name: backend", "name: other").replace('backend, "web_*"', '"*_1"')
    )
    text = case('{cpu: "80x40"}', "{at: 5m, replicas: 3, reason: policy_conflict}", service="web_1")
    assert run(tmp_path, text, POLICIES + other)[0].passed


# What is wrong with a test file


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "service: backend",
            "service: backed",
            '5:14: tests[0].service: no policy matches the service "backed" (did you me',
        ),
        ("at: 45s", "at: 50s", "9:14: tests[0].expect[0].at: 50s is no multiple of the interval 15s (write 45s or 1m)"),
        ("at: 45s", "at: 45", "9:14: tests[0].expect[0].at: 45 has no unit (write 45s for seconds or 45m for minutes)"),
        ("at: 45s, ", "", '9:9: tests[0].expect[0]: the key "at" is missing (add at: 5m)'),
        (
            "at: 1m,",
            "at: 20d,",
            "10:14: tests[0].expect[1].at: 20d is more than 100000 intervals away (write 17d8h40m at mo",
        ),
        ("{cpu:", "{cqu:", '7:14: tests[0].series.cqu: unknown metric "cqu" (known metrics: cpu, memory)'),
        (
            '"80x40"',
            '"80 x40"',
            '7:19: tests[0].series.cpu: "x40" is no item of a series (write 80, 80x40, 10+5x4, 10-1x4',
        ),
        ('"80x40"', "80", "7:19: tests[0].series.cpu: is the number 80, no series (write text in quotes, like"),
        (
            '{cpu: "80x40"}',
            "80x40",
            '7:13: tests[0].series: is the text "80x40", not a mapping (write series: {cpu: "80x4',
        ),
        (
            "reason: above_threshold",
            "reason: abov_threshold",
            '10:39: tests[0].expect[1].reason: is the text "abov_thresh',
        ),
        (
            "rule: high",
            "rule: hihg",
            '10:62: tests[0].expect[1].rule: the service\'s policy has no rule "hihg" (its rules ar',
        ),
        ("replicas: 3\n", "replicas: 3\n    starts: 5s\n", "7:5: tests[0].starts: unknown key (did you mean "),
        ("    replicas: 3\n", "", '4:5: tests[0]: the key "replicas" is missing (add replicas: 3)'),
        ("replicas: 3\n", "replicas: -1\n", "6:15: tests[0].replicas: is the number -1 (write a number of at least 0)"),
        (
            "replicas: 3\n",
            "replicas: 3\n    start: 2026-01-05\n",
            '7:12: tests[0].start: is the text "2026-01-05", no time',
        ),
        ("replicas: 3\n", "replicas: 3\n    start: 2026-01-05T08:00:00\n", "7:12: tests[0].start: is the text"),
        (
            "replicas: 3\n",
            "replicas: 3\n    start: 5\n",
            "7:12: tests[0].start: is the number 5, no time from 1980 to 2",
        ),
        (
            "replicas: 3\n",
            "replicas: 3\n    events: [{at: 10s, scale: 3}]\n",
            "7:19: tests[0].events[0].at: 10s is no mul",
        ),
        (
            "replicas: 3\n",
            "replicas: 3\n    events: [{at: 15s}]\n",
            "7:14: tests[0].events[0]: an event does one thing (giv",
        ),
        (
            "replicas: 3\n",
            "replicas: 3\n    events: [{at: 0s, scale: 1, deploy: 2}]\n",
            "7:14: tests[0].events[0]: an even",
        ),
        (
            "replicas: 3\n",
            "replicas: 3\n    labels: {a: 5}\n",
            "7:17: tests[0].labels.a: is the number 5, not text (writ",
        ),
        (
            "replicas: 3\n",
            "replicas: 3\n    last_change: {ago: 5s, direction: on}\n",
            "7:39: tests[0].last_change.directi",
        ),
        (
            "replicas: 3\n",
            "replicas: 0\n    last_change: {ago: 5s, direction: up}\n",
            "7:39: tests[0].last_change.directi",
        ),
        ("interval: 15s", "interval: 0s", "2:11: interval: 0s is no interval (write 1s or more)"),
        ("policies: policies.yml\n", "", '1:1: the key "policies" is missing (add policies: ../policies.yml)'),
        (
            "policies.yml",
            "5",
            "1:11: policies: is the number 5, no policies (write a path like ../policies.yml, or {version",
        ),
        ("policies.yml", "{version: 2, policies: []}", "1:21: policies.version: is the number 2 (write version: 1)"),
        ("name: grows", "name: ''", "4:11: tests[0].name: is an empty text (write some text)"),
    ],
)
def test_what_is_wrong_is_told_at_its_place_with_the_cure(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """The same errors as of policy files: file, line, column, what is wrong and what would be right."""
    assert TEST.count(old) == 1
    found = problems(tmp_path, TEST.replace(old, new))
    assert f"test.yml:{problem}" == found[0][: len(problem) + len("test.yml:")]


def test_all_problems_of_the_test_file_and_of_its_policies_are_told(tmp_path: Path) -> None:
    """All at once."""
    found = problems(tmp_path, TEST.replace("45s", "x").replace("rule:", "rul:"), POLICIES.replace("min: 2", "min: x"))
    assert [problem.split(":")[0] for problem in found] == ["test.yml", "test.yml", "policies.yml"]


def test_two_tests_of_one_name_are_told(tmp_path: Path) -> None:
    """Or nobody knows which one failed."""
    (found,) = problems(tmp_path, TEST + TEST.split("tests:\n")[1])
    assert found.startswith('test.yml:11:11: tests[1].name: a second test named "grows", after the one in line 4 (give')


def test_a_missing_test_file_is_told(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(PolicyError, match=r"nowhere\.yml: cannot be read: No such file or directory \(name a file"):
        run_file(tmp_path / "nowhere.yml")


def test_missing_policies_are_told(tmp_path: Path) -> None:
    """With the path that was looked at."""
    assert problems(tmp_path, TEST.replace("policies.yml", "nowhere.yml")) == [
        "nowhere.yml: does not exist (give the path of a policy file or of a directory of them)"
    ]


@pytest.mark.parametrize("text", ["", "tests: [", "5", "tests: []\npolicies: policies.yml\n", "\x00"])
def test_what_is_no_test_file_is_told(tmp_path: Path, text: str) -> None:
    """An empty file of tests must not look like success."""
    assert problems(tmp_path, text)


VALUES = st.sampled_from(
    [None, True, 0, 3, -1, 2.5, "", "backend", "15s", "1m", "80x40", "_x3", "up", "no_breach", "cpu"]
)
NESTED = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*Case.model_fields, "at", "cpu", "x"]), inner)
    ),
    max_leaves=8,
)
CASES = st.fixed_dictionaries(
    {"name": VALUES, "service": st.just("backend") | VALUES, "replicas": st.integers(0, 12) | VALUES},
    optional={
        "series": st.dictionaries(st.sampled_from(["cpu", "memory", "x"]), VALUES, max_size=2) | NESTED,
        "expect": st.lists(st.fixed_dictionaries({"at": VALUES, "replicas": VALUES}), max_size=2) | NESTED,
        "events": st.lists(st.fixed_dictionaries({"at": VALUES, "scale": VALUES}), max_size=2) | NESTED,
        "start": NESTED,
        "startup": VALUES,
        "running": VALUES,
        "last_change": st.fixed_dictionaries({"ago": VALUES, "direction": VALUES}) | NESTED,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(CASES, max_size=2) | NESTED)
def test_any_test_file_gives_results_or_problems_in_our_words(tmp_path: Path, tests: Any) -> None:
    """Never another exception."""
    try:
        results = run(tmp_path, json.dumps({"policies": "policies.yml", "tests": tests}))
    except PolicyError as error:
        found = error.problems
    else:
        assert len(results) == len(tests)
        return
    assert found
    for problem in found:
        assert "Input should" not in problem
        assert "Value error" not in problem
        assert problem.endswith(")")
