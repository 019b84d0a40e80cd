from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.policy_files import problems, run

if TYPE_CHECKING:
    from pathlib import Path

    from autoscaler.policy_tests import TestResult

POLICIES = """\
version: 1
metrics:
  companies: {query: sum(advwell_active_companies)}
  ms: {query: 'sum by (svc) (ms)', by: svc}
  queue: {query: 'queue{s="$service"}', kind: total}
policies:
  - name: backend
    services: [advtom_backend]
    replicas: {min: 2, max: 8}
    rules:
      - {name: high, metric: cpu, above: 70, for: 1m, add: 1}
      - {name: low, metric: cpu, below: 30, for: 1m, remove: 1}
    scale_up: {cooldown: 1m}
    scale_down: {cooldown: 1m}
  - name: frontend
    services: ["advtom_front*"]
    replicas: {min: 1, max: 5}
    rules: [{name: high, metric: cpu, above: 50, add: 1}]
    scale_up: {cooldown: 45s}
  - name: sized
    services: [sized_a, sized_b]
    replicas: {min: 1, max: 9}
    rules: [{name: size, strategy: table, metric: companies, table: {1: 2, 21: 3, 51: 5}}]
  - name: asked
    services: [asked_a, asked_b]
    replicas: {min: 1, max: 9}
    rules: [{name: slow, metric: ms, above: 500, add: 1}, {name: queue, strategy: target, metric: queue, target: 10}]
    scale_up: {cooldown: 0s}
"""
TEST = """\
policies: policies.yml
tests:
  - name: both
    series: {cpu: "80x40"}
    services:
      advtom_backend:
        replicas: 3
        expect: [{at: 45s, replicas: 3}, {at: 1m, replicas: 4, rule: high}]
      advtom_frontend:
        replicas: 2
        expect:
          - {at: 0s, replicas: 3, reason: above_threshold}
          - {at: 45s, replicas: 4}
"""


def of(folder: Path, services: str, shared: str = "") -> TestResult:
    """The result of a test of services, a line for each."""
    lines = "".join(f"      {line}\n" for line in services.strip().splitlines())
    test = f"policies: policies.yml\ntests:\n  - name: t\n{shared}    services:\n{lines}"
    (result,) = run(folder, test, POLICIES)
    return result


def failures(folder: Path, services: str, shared: str = "") -> list[str]:
    """How a test of services fails, without the reasons."""
    return [str(failure).split(" (")[0] for failure in of(folder, services, shared).failures]


def test_a_test_may_be_of_several_services(tmp_path: Path) -> None:
    """Each by its own policy, on the same virtual time; the series at the test's level count for all of them."""
    (result,) = run(tmp_path, TEST, POLICIES)
    assert (result.name, result.line, [str(failure) for failure in result.failures]) == ("both", 3, [])


def test_failures_name_the_service_and_stand_at_their_line(tmp_path: Path) -> None:
    """In the order of the file."""
    failing = TEST.replace("at: 45s, replicas: 3", "at: 45s, replicas: 9").replace(
        "at: 45s, replicas: 4", "at: 45s, replicas: 1"
    )
    (result,) = run(tmp_path, failing.replace("at: 0s, replicas: 3", "at: 0s, replicas: 7"), POLICIES)
    assert [(failure.service, failure.line, str(failure).split(" (")[0]) for failure in result.failures] == [
        ("advtom_backend", 8, "advtom_backend at 45s: expected 9 replicas, got 3 replicas"),
        (
            "advtom_frontend",
            12,
            "advtom_frontend at 0s: expected 7 replicas, above_threshold, got 3 replicas, above_threshold",
        ),
        ("advtom_frontend", 13, "advtom_frontend at 45s: expected 1 replica, got 4 replicas"),
    ]
    assert "\n     " + f"{tmp_path}/test.yml:13: advtom_frontend at 45s: expected 1 replica" in result.render().plain


def test_a_service_s_own_series_count_for_it_alone(tmp_path: Path) -> None:
    """Metric by metric: what it does not give is the test's."""
    services = """
advtom_backend: {replicas: 3, expect: [{at: 1m, replicas: 4}]}
advtom_frontend: {replicas: 2, series: {cpu: "40x9"}, expect: [{at: 1m, replicas: 2, reason: no_breach}]}
advtom_front2: {replicas: 2, series: {memory: "40x9"}, expect: [{at: 0s, replicas: 3}]}
"""
    assert failures(tmp_path, services, '    series: {cpu: "80x40"}\n') == []


def test_a_value_that_all_services_share_is_given_once(tmp_path: Path) -> None:
    """A metric that is the same for all services."""
    services = """
sized_a: {replicas: 2, expect: [{at: 0s, replicas: 2}, {at: 15s, replicas: 5, reason: table_value}]}
sized_b: {replicas: 5, expect: [{at: 15s, replicas: 5}]}
"""
    assert failures(tmp_path, services, '    series: {companies: "20 60"}\n') == []


def test_each_service_has_its_own_value_of_other_metrics(tmp_path: Path) -> None:
    """However these are asked for: with `by`, or by a query per service."""
    services = """
asked_a: {replicas: 1, series: {ms: "600x9", queue: "1x9"}, expect: [{at: 0s, replicas: 2, rule: slow}]}
asked_b: {replicas: 1, series: {ms: "100x9", queue: "40x9"}, expect: [{at: 0s, replicas: 4, rule: queue}]}
"""
    assert failures(tmp_path, services) == []


def test_a_service_without_a_series_lacks_data_whatever_the_others_have(tmp_path: Path) -> None:
    """A metric that some rule needs and that has no series: it lacks data."""
    services = """
advtom_frontend: {replicas: 2, series: {cpu: "80x9"}, expect: [{at: 0s, replicas: 3}]}
advtom_front2: {replicas: 2, expect: [{at: 0s, replicas: 2, reason: no_data, rule: high}]}
"""
    assert failures(tmp_path, services) == []


def test_the_start_up_time_is_the_test_s_unless_a_service_has_its_own(tmp_path: Path) -> None:
    """startup: how long an added replica takes to run."""
    services = """
advtom_frontend: {replicas: 2, expect: [{at: 0s, replicas: 3}, {at: 45s, replicas: 3, reason: tasks_pending}]}
advtom_front2: {replicas: 2, startup: 30s, expect: [{at: 45s, replicas: 4, reason: above_threshold}]}
advtom_front3: {replicas: 2, startup: 0s, expect: [{at: 45s, replicas: 4, reason: above_threshold}]}
"""
    assert failures(tmp_path, services, '    startup: 5m\n    series: {cpu: "80x40"}\n') == []


def test_labels_events_and_changes_before_0_are_a_service_s_own(tmp_path: Path) -> None:
    """What happens to one service does not happen to the others."""
    services = """
advtom_frontend: {replicas: 2, events: [{at: 15s, scale: 5}], expect: [{at: 0s, replicas: 2}, {at: 15s, replicas: 5}]}
advtom_front2: {replicas: 2, labels: {autoscaler.replicas.min: "4"}, expect: [{at: 0s, replicas: 4}]}
advtom_front3: {replicas: 2, running: 1, expect: [{at: 30s, replicas: 2, reason: tasks_pending}]}
advtom_front4: {replicas: 2, last_change: {ago: 5s, direction: up}, expect: [{at: 30s, replicas: 2}]}
advtom_front5: {replicas: 2, expect: [{at: 15s, replicas: 2}, {at: 30s, replicas: 3}, {at: 1m, replicas: 3}]}
advtom_front6: {replicas: 2, labels: {autoscaler.enabled: "false"}, expect: [{at: 1m, replicas: 2}]}
"""
    assert failures(tmp_path, services, '    series: {cpu: "40x1 80x40"}\n') == []


def test_the_start_is_one_for_all(tmp_path: Path) -> None:
    """One wall clock at 0."""
    schedule = '    schedules: [{name: day, start: "0 8 * * *", end: "0 18 * * *", min: 4}]\n'
    policies = "version: 1\npolicies:\n" + "".join(
        f"  - name: {name}\n    services: [{name}]\n    replicas: {{min: 1, max: 9}}\n{schedule}"
        "    rules: [{name: r, metric: cpu, above: 1, add: 1}]\n"
        for name in ("a", "b")
    )
    expect = "expect: [{at: 45s, replicas: 2}, {at: 1m, replicas: 4, reason: schedule_bounds}]"
    services = f"      a: {{replicas: 2, {expect}}}\n      b: {{replicas: 2, {expect}}}\n"
    head = "policies: policies.yml\ntests:\n  - name: t\n    start: 2026-01-05T07:59:00Z\n    services:\n"
    (result,) = run(tmp_path, head + services, policies)
    assert [str(failure) for failure in result.failures] == []


SERIES = st.lists(st.sampled_from(["10", "40", "60", "80", "_"]), min_size=1, max_size=30).map(" ".join)
SERVICES = ("advtom_backend", "advtom_frontend", "advtom_front2")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.lists(SERIES, min_size=3, max_size=3), st.integers(0, 30), st.integers(0, 6))
def test_services_do_in_one_test_what_each_does_alone(tmp_path: Path, series: list[str], step: int, count: int) -> None:
    """Several services at once are the same decisions, and so the same failures, as one after the other."""
    said = [
        f'replicas: {count + place}, series: {{cpu: "{own}"}}, expect: [{{at: {15 * step}s, replicas: 99}}]'
        for place, own in enumerate(series)
    ]
    together = of(tmp_path, "\n".join(f"{name}: {{{each}}}" for name, each in zip(SERVICES, said, strict=True)))
    head = "policies: policies.yml\ntests:\n"
    alone = [
        failure
        for name, each in zip(SERVICES, said, strict=True)
        for failure in run(tmp_path, f"{head}  - {{name: t, service: {name}, {each}}}\n", POLICIES)[0].failures
    ]
    assert [str(failure) for failure in together.failures] == [str(failure) for failure in alone]
    assert [failure.timeline for failure in together.failures] == [failure.timeline for failure in alone]


# What is wrong


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "    services:\n",
            "    service: a\n    services:\n",
            "5:5: tests[0].service: a test has either service or services (k",
        ),
        (
            "    services:\n",
            "    replicas: 3\n    services:\n",
            "5:5: tests[0].replicas: replicas belongs to one service, but",
        ),
        (
            "    services:\n",
            "    expect: []\n    services:\n",
            "5:5: tests[0].expect: expect belongs to one service, but",
        ),
        (
            "        replicas: 3\n",
            "        replicas: 3\n        start: 2026-01-05T08:00:00Z\n",
            "8:9: BACKEND.start: a test has one clock for all (move it up to the test)",
        ),
        ("        replicas: 3\n", "", '7:9: BACKEND: the key "replicas" is missing (add replicas: 3)'),
        (
            "replicas: 3\n",
            "replicsa: 3\n",
            '7:9: BACKEND.replicsa: unknown key (did you mean "replicas"? known here: la',
        ),
        (
            "replicas: 2\n",
            "replicas: -2\n",
            "10:19: FRONTEND.replicas: is the number -2 (write a number of at least 0)",
        ),
        (
            "45s, replicas: 3",
            "50s, replicas: 3",
            "8:23: BACKEND.expect[0].at: 50s is not a multiple of the interval 15s",
        ),
        (
            "        replicas: 2\n",
            "        replicas: 2\n        events: [{at: 10s, scale: 3}]\n",
            "11:23: FRONTEND.events[0].at: 10s is not a multiple of the interval 15s (write 0s or 15s)",
        ),
        (
            "rule: high",
            "rule: hihg",
            '8:70: BACKEND.expect[1].rule: the service\'s policy has no rule "hihg" (its rules are high',
        ),
        (
            "advtom_frontend:",
            "front:",
            '9:7: tests[0].services.front: no policy matches the service "front" (the policies are for "',
        ),
        (
            "advtom_frontend:",
            "advtom_backend:",
            '9:7: BACKEND: the key "advtom_backend" is given twice, first in line 6, c',
        ),
        (
            '{cpu: "',
            '{cqu: "',
            '4:14: tests[0].series.cqu: unknown metric "cqu" (known metrics: cpu, memory, companies',
        ),
        (
            "replicas: 3\n",
            'replicas: 3\n        series: {cqu: "1"}\n',
            '8:18: BACKEND.series.cqu: unknown metric "cqu" (kn',
        ),
        (
            "replicas: 3\n",
            'replicas: 3\n        series: {companies: "1"}\n',
            "8:18: BACKEND.series.companies: companies has one value, the same for every service (move it up to the ",
        ),
        (
            "replicas: 3\n",
            'replicas: 3\n        series: {cpu: "1y"}\n',
            '8:23: BACKEND.series.cpu: "1y" is not an item of a ser',
        ),
        (
            "replicas: 3\n",
            "replicas: 0\n        last_change: {ago: 5s, direction: up}\n",
            "8:43: BACKEND.last_change.direction: no change upwards leaves 0 replicas (write direction: down)",
        ),
        ("- name: both\n", "- nmae: both\n", '3:5: tests[0].nmae: unknown key (did you mean "name"? known here: name'),
    ],
)
def test_what_is_wrong_is_told_at_its_place_with_the_cure(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """As precise as of a test of one service, and nothing else is told."""
    assert TEST.count(old) == 1
    (found,) = problems(tmp_path, TEST.replace(old, new), POLICIES)
    short = re.sub(r"tests\[0\]\.services\.advtom_(back|front)end", lambda match: f"{match[1]}end".upper(), found)
    assert short[: len(problem) + len("test.yml:")] == f"test.yml:{problem}"


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ("{}", "is an empty mapping (give at least 1)"),
        ("[]", "is an empty list, not a mapping (write services: "),
        ("{advtom_backend: 3}", "is the number 3, not a mapping (write "),
        ("", "is nothing, not a mapping (write services: "),
    ],
)
def test_what_is_no_mapping_of_services_is_told(tmp_path: Path, services: str, told: str) -> None:
    """A test without services must not look like success."""
    text = f"policies: policies.yml\ntests:\n  - name: t\n    services: {services}\n"
    (found,) = problems(tmp_path, text, POLICIES)
    assert f": {told}" in found


def test_the_problems_of_all_tests_are_told_at_once(tmp_path: Path) -> None:
    """Of both kinds of tests, those with the policies included."""
    more = "  - {name: one, service: nobody, replicas: 1, series: {}, expect: [{at: 0s, replicas: 1}]}\n"
    text = TEST.replace("replicas: 3\n", "replicas: x\n") + more + "  - 5\n" + more.replace("nobody", "advtom_backend")
    found = [problem.split(": ")[1:3] for problem in problems(tmp_path, text, POLICIES)]
    assert found == [
        ["tests[0].services.advtom_backend.replicas", 'is the text "x", not a whole number (write a whole number)'],
        ["tests[2]", "is the number 5, not a mapping (write key"],
    ]
    where = [problem.split(": ")[1] for problem in problems(tmp_path, text.replace("  - 5\n", ""), POLICIES)]
    assert where == ["tests[0].services.advtom_backend.replicas", "tests[1].service", "tests[2].name"]
