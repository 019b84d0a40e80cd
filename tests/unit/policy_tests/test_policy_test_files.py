from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from autoscaler.errors import PolicyError
from autoscaler.policy_tests import run_file
from autoscaler.policy_tests.files import ServiceCase
from autoscaler.policy_tests.series import Samples
from tests.support.policy_files import POLICIES, TEST, problems, run

if TYPE_CHECKING:
    from pathlib import Path

# Series


def samples(text: str) -> list[float | None]:
    """What a series stands for, missing samples as None."""
    values: tuple[float, ...] = TypeAdapter(Samples).validate_python(text)
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
    with pytest.raises(ValidationError, match=r"(is not an item of a series|the series is empty) \(write "):
        samples(series)


@pytest.mark.parametrize("series", ["1x100000", "_x100001", "1x99999 1", "1x999999999", "1x50000 1x50000"])
def test_a_series_is_of_bounded_length(series: str) -> None:
    """A slip in a number must not fill the memory."""
    with pytest.raises(ValidationError, match="more than 100000 samples"):
        samples(series)


# What is wrong with a test file


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "service: backend",
            "service: backed",
            '5:14: tests[0].service: no policy matches the service "backed" (did you me',
        ),
        (
            "at: 45s",
            "at: 50s",
            "9:14: tests[0].expect[0].at: 50s is not a multiple of the interval 15s (write 45s or 1m)",
        ),
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
            '7:19: tests[0].series.cpu: "x40" is not an item of a series (write 80, 80x40, 10+5x4, 10-1x4',
        ),
        ('"80x40"', "80", "7:19: tests[0].series.cpu: is the number 80, not a series (write text in quotes, like"),
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
            "7:19: tests[0].events[0].at: 10s is not a mul",
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
        ("interval: 15s", "interval: 0s", "2:11: interval: 0s is not an interval (write 1s or more)"),
        ("policies: policies.yml\n", "", '1:1: the key "policies" is missing (add policies: ../policies.yml)'),
        (
            "policies.yml",
            "5",
            "1:11: policies: is the number 5, not policies (write a path like ../policies.yml, or {version",
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


@pytest.mark.parametrize("services", [False, True])
def test_what_yaml_reads_in_two_ways_is_told_once(tmp_path: Path, *, services: bool) -> None:
    """Not once more by what it would be then."""
    change = "last_change: {ago: 5s, direction: on}"
    said = f"{{replicas: 3, {change}, expect: [{{at: 0s, replicas: 3}}]}}"
    one = TEST.replace("replicas: 3\n", f"replicas: 3\n    {change}\n", 1)
    several = f"policies: policies.yml\ntests:\n  - name: t\n    services: {{backend: {said}}}\n"
    (found,) = problems(tmp_path, several if services else one)
    assert 'direction: "on" is a truth value in YAML 1.1 and text in YAML 1.2 (write ' in found


def test_two_tests_of_one_name_are_told(tmp_path: Path) -> None:
    """Or nobody knows which one failed."""
    (found,) = problems(tmp_path, TEST + TEST.split("tests:\n")[1])
    assert found.startswith('test.yml:11:11: tests[1].name: a second test named "grows", after the one in line 4 (give')


def test_the_services_that_policies_are_for_are_told_however_they_say_so(tmp_path: Path) -> None:
    """By name, by glob, by labels, or by the service's own label."""
    rest = "replicas: {min: 1, max: 3}, rules: [{name: r, metric: cpu, above: 1, add: 1}]"
    more = f"  - {{name: web, {rest}}}\n  - {{name: tiered, match_labels: {{tier: web, env: prod}}, {rest}}}\n"
    (found,) = problems(tmp_path, TEST.replace("service: backend", "service: other"), POLICIES + more)
    assert found.endswith(
        'no policy matches the service "other" (the policies are for "backend", "web_*", '
        "the label autoscaler.policy=web, the labels tier=web, env=prod)"
    )


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
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*ServiceCase.model_fields, "at", "cpu", "x"]), inner)
    ),
    max_leaves=8,
)
SAID = {
    "series": st.dictionaries(st.sampled_from(["cpu", "memory", "x"]), VALUES, max_size=2) | NESTED,
    "expect": st.lists(st.fixed_dictionaries({"at": VALUES, "replicas": VALUES}), max_size=2) | NESTED,
    "events": st.lists(st.fixed_dictionaries({"at": VALUES, "scale": VALUES}), max_size=2) | NESTED,
    "start": NESTED,
    "startup": VALUES,
    "running": VALUES,
    "last_change": st.fixed_dictionaries({"ago": VALUES, "direction": VALUES}) | NESTED,
    "labels": st.dictionaries(VALUES.map(str), VALUES, max_size=2),
}
COUNT = st.integers(0, 12) | VALUES
SERVICE = st.fixed_dictionaries({"replicas": COUNT}, optional=SAID)
CASES = st.fixed_dictionaries(
    {"name": VALUES, "service": st.just("backend") | VALUES, "replicas": COUNT}, optional=SAID
) | st.fixed_dictionaries(
    {
        "name": VALUES,
        "services": st.dictionaries(st.sampled_from(["backend", "web_1", "x"]), SERVICE | NESTED) | NESTED,
    },
    optional=SAID,
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
