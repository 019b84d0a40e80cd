from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoscaler.plugins import entry_points as plugins
from autoscaler.policy_tests import run_file
from tests.support.policy_files import POLICIES, TEST, case, fails, failures, run

ROOT = Path(__file__).parents[3]


# The guide's policies


def test_the_guide_s_policies_do_what_the_guide_says() -> None:
    """policies/tests/advwell.yml proves each rule, boundary, cooldown and bound of policies/advwell.yml."""
    results = run_file(ROOT / "policies" / "tests" / "advwell.yml")
    assert len(results) > 30
    assert [str(failure) for result in results for failure in result.failures] == []


@pytest.mark.slow
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
        "backend at 45s: expected 9 replicas, got 3 replicas "
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
    assert text.splitlines()[1].startswith(f"     {tmp_path}/test.yml:10: backend at 1m: expected 5 replicas, ")


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
    assert failures(tmp_path, "{}", "{at: 0s, replicas: 2, reason: below_min}", replicas=1) == []


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
    text = case('{cpu: "80x40"}', expect, "    events: [{at: 1m30s, deploy: 3}]\n")
    assert fails(tmp_path, text, f"{POLICIES}    on_deploy: accept\n") == []


def test_a_count_that_a_deploy_lowered_is_set_again(tmp_path: Path) -> None:
    """restored_after_deploy: a test does what the daemon does."""
    expect = "{at: 1m, replicas: 4}, {at: 1m30s, replicas: 4, reason: restored_after_deploy}, {at: 3m, replicas: 4}"
    more = "    events: [{at: 1m30s, deploy: 3}]\n"
    assert failures(tmp_path, '{cpu: "80x4 50x40"}', expect, more) == []


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


def test_a_change_before_the_beginning_has_its_age(tmp_path: Path) -> None:
    """A change 30 seconds before 0 is 2 minutes old at 1m30s; equal to the cooldown is over."""
    policies = POLICIES.replace("scale_up: {cooldown: 1m}", "scale_up: {cooldown: 2m}")
    expect = "{at: 1m15s, replicas: 3, reason: cooling_down}, {at: 1m30s, replicas: 4}"
    text = case('{cpu: "80x40"}', expect, "    last_change: {ago: 30s, direction: up}\n")
    assert fails(tmp_path, text, policies) == []


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


def test_replicas_that_do_not_run_go_first(tmp_path: Path) -> None:
    """As Swarm does it: of four of which one never runs, three are left that run."""
    more = "    running: 2\n    events: [{at: 15s, scale: 4}, {at: 30s, scale: 3}]\n"
    expect = "{at: 1m, replicas: 3, reason: cooling_down}, {at: 1m15s, replicas: 4, reason: above_threshold}"
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
    assert "no decision: the label autoscaler.enabled=false excludes the service" in found


def test_a_service_in_conflict_is_left_as_it_is(tmp_path: Path) -> None:
    """Two matches of equal rank leave that one service untouched (`policy_conflict`)."""
    other = (
        POLICIES.split("policies:\n")[1].replace("name: backend", "name: other").replace('backend, "web_*"', '"*_1"')
    )
    text = case('{cpu: "80x40"}', "{at: 5m, replicas: 3, reason: policy_conflict}", service="web_1")
    assert run(tmp_path, text, POLICIES + other)[0].passed


# What policies may have


def policy(more: str = "", rules: str = "", replicas: str = "{min: 2, max: 9}", metrics: str = "") -> str:
    """A policy file of one policy, by default one that adds on busy CPU at once and removes on calm CPU."""
    usual = "{name: high, metric: cpu, above: 70, add: 1}, {name: low, metric: cpu, below: 30, remove: 1}"
    quick = "    scale_up: {cooldown: 0s}\n    scale_down: {cooldown: 0s}\n    flap_guard: false\n"
    head = f"version: 1\n{metrics}policies:\n  - name: p\n    services: [backend]\n    replicas: {replicas}\n"
    return f"{head}    rules: [{rules or usual}]\n{quick}{more}"


OFFICE = 'schedules: [{name: office, start: "0 8 * * mon-fri", end: "0 18 * * mon-fri", timezone: ZONE, min: 5}]'


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("UTC", "2026-01-05T07:59:00Z"),
        ("America/Sao_Paulo", "2026-01-05T10:59:00Z"),
        ("America/Sao_Paulo", "2026-01-05T07:59:00-03:00"),
        ("Europe/Berlin", "2026-03-27T06:59:00Z"),  # winter time
        ("Europe/Berlin", "2026-03-30T05:59:00Z"),  # summer time
    ],
)
def test_a_schedule_s_bounds_are_in_force_from_its_first_evaluation_on(tmp_path: Path, zone: str, start: str) -> None:
    """The wall clock at 0 (schedules): start inclusive, in the schedule's time zone."""
    expect = "{at: 45s, replicas: 3, reason: no_breach}, {at: 1m, replicas: 5, reason: schedule_bounds}"
    text = case('{cpu: "50x40"}', expect, f"    start: {start}\n")
    assert fails(tmp_path, text, policy(f"    {OFFICE.replace('ZONE', zone)}\n")) == []


def test_a_schedule_s_bounds_end_with_it(tmp_path: Path) -> None:
    """End exclusive: the count may fall at the evaluation of the end, and not before."""
    expect = "{at: 45s, replicas: 5, reason: schedule_bounds}, {at: 1m, replicas: 4, reason: below_threshold}"
    text = case('{cpu: "20x40"}', expect, "    start: 2026-01-05T17:59:00Z\n", replicas=5)
    assert fails(tmp_path, text, policy(f"    {OFFICE.replace('ZONE', 'UTC')}\n")) == []


def test_without_a_start_a_test_begins_on_some_monday(tmp_path: Path) -> None:
    """At its first second, UTC."""
    text = case('{cpu: "50x5760"}', "{at: 7h59m45s, replicas: 3}, {at: 8h, replicas: 5}")
    assert fails(tmp_path, text, policy(f"    {OFFICE.replace('ZONE', 'UTC')}\n")) == []


@pytest.mark.parametrize("start", ["2026-01-05T08:00:07Z", "2026-01-05T08:00:14Z", "1980-01-01T00:00:01Z"])
def test_samples_are_at_multiples_of_the_interval_whenever_the_test_begins(tmp_path: Path, start: str) -> None:
    """Sample k is at k x interval, and the evaluation at that time sees it."""
    expect = "{at: 30s, replicas: 3, reason: no_breach}, {at: 45s, replicas: 4}, {at: 1m, replicas: 4}"
    text = case('{cpu: "50x2 80 50x9"}', expect, f"    start: {start}\n")
    assert fails(tmp_path, text, policy()) == []


@pytest.mark.parametrize(
    ("block", "cpu", "held", "passes"),
    [("up", 80, 3, 4), ("down", 20, 3, 2), ("both", 80, 3, 4), ("up", 20, 2, 1), ("down", 80, 4, 5)],
)
def test_a_guard_holds_a_change_while_its_metric_is_beyond_its_bound(
    tmp_path: Path, block: str, cpu: int, held: int, passes: int
) -> None:
    """guards: a PromQL veto, by its `block`."""
    policies = policy(
        f"    guards: [{{name: pool, metric: free, below: 5, block: {block}}}]\n",
        metrics="metrics: {free: {query: pgbouncer_free}}\n",
        replicas="{min: 1, max: 9}",
    )
    reason = ", reason: guard" if held == 3 else ""
    expect = f"{{at: 0s, replicas: {held}{reason}}}, {{at: 15s, replicas: {passes}}}"
    text = case(f'{{cpu: "{cpu}x9", free: "4 5x9"}}', expect)
    assert fails(tmp_path, text, policies) == []


def test_a_guard_whose_metric_has_no_series_lacks_data(tmp_path: Path) -> None:
    """Without data a guard blocks down, not up, where its `block` covers them."""
    policies = policy(
        "    guards: [{name: pool, metric: free, below: 5, block: both}]\n", metrics="metrics: {free: {query: free}}\n"
    )
    expect = "{at: 0s, replicas: 4}, {at: 15s, replicas: 4, reason: guard}, {at: 30s, replicas: 4}"
    text = case('{cpu: "80 20 20"}', expect)
    assert fails(tmp_path, text, policies) == []


def test_a_fallback_comes_after_its_time_without_data(tmp_path: Path) -> None:
    """fallback: raises to at least that when a policy's metrics stay missing."""
    expect = "{at: 10m45s, replicas: 3, reason: no_data}, {at: 11m, replicas: 6, reason: fallback}"
    text = case('{cpu: "50x4 _x60 50"}', expect)
    assert fails(tmp_path, text, policy("    fallback: {after: 10m, replicas: 6}\n")) == []


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's metric source is installed that a test never asks."""
    monkeypatch.setattr(plugins, "metric_sources", lambda: {"elsewhere": object})


@pytest.mark.parametrize(
    "metric",
    [
        "{query: sum(advwell_active_companies)}",
        "{query: sum by (svc) (companies), by: svc}",
        "{query: 'companies{svc=\"$service\"}'}",
        "{query: 'sum by (svc, t) (companies)', by: svc, task: t, aggregate: max}",
        "{query: whatever, source: elsewhere}",
    ],
    ids=["one value", "by", "$service", "tasks", "a plugin's source"],
)
@pytest.mark.usefixtures("_elsewhere")
def test_a_metric_of_one_s_own_has_a_series_however_it_is_asked_for(tmp_path: Path, metric: str) -> None:
    """The series are what the metric says."""
    rules = "{name: many, strategy: table, metric: companies, table: {1: 2, 21: 3, 51: 5}}"
    policies = policy(rules=rules, metrics=f"metrics: {{companies: {metric}}}\n")
    expect = "{at: 0s, replicas: 2, reason: table_value, rule: many}, {at: 15s, replicas: 5}, {at: 30s, replicas: 5}"
    assert fails(tmp_path, case('{companies: "20 51 _"}', expect), policies) == []


@pytest.mark.parametrize(("kind", "replicas"), [("total", 5), ("average", 9)])
def test_a_total_is_over_the_service_and_an_average_per_replica(tmp_path: Path, kind: str, replicas: int) -> None:
    """target: ceil(running x value / target) for an average, ceil(total / target) for a total."""
    rules = "{name: queue, strategy: target, metric: queue, target: 10}"
    policies = policy(rules=rules, metrics=f"metrics: {{queue: {{query: q, kind: {kind}}}}}\n")
    text = case('{queue: "50"}', f"{{at: 0s, replicas: {replicas}}}")
    assert fails(tmp_path, text, policies) == []


@pytest.mark.usefixtures("_elsewhere")
def test_no_metric_need_be_prometheus_s(tmp_path: Path) -> None:
    """The built-in ones may be a plugin's, too."""
    elsewhere = ", ".join(f"{name}: {{query: {name}, source: elsewhere}}" for name in ("cpu", "memory"))
    text = case('{cpu: "80"}', "{at: 0s, replicas: 4, reason: above_threshold}")
    assert fails(tmp_path, text, policy(metrics=f"metrics: {{{elsewhere}}}\n")) == []


def test_a_metric_may_have_a_window_step_of_its_own(tmp_path: Path) -> None:
    """`for: 2m` at a step of 1m is complete with 3 samples, and what lies between them is not looked at."""
    policies = policy(
        rules="{name: slow, metric: ms, above: 500, for: 2m, add: 1}",
        metrics="metrics: {ms: {query: ms, step: 1m}}\n",
    )
    expect = "{at: 1m45s, replicas: 3, reason: window_incomplete}, {at: 2m, replicas: 4, reason: above_threshold}"
    assert fails(tmp_path, case('{ms: "600 0x2 600 0x2 600"}', expect), policies) == []


def test_a_metric_may_arrive_late(tmp_path: Path) -> None:
    """With an offset of 30s the sample of 15s is seen at 45s."""
    policies = policy(metrics="metrics: {cpu: {offset: 30s}}\n")
    expect = (
        "{at: 15s, replicas: 3, reason: no_data}, {at: 30s, replicas: 3, reason: no_breach}, {at: 45s, replicas: 4}"
    )
    assert fails(tmp_path, case('{cpu: "50 80 50x9"}', expect), policies) == []


OPT_IN = """\
version: 1
policies:
  - name: web
    replicas: {min: 2, max: 4}
    rules: [{name: high, metric: cpu, above: 70, add: 5}]
  - name: tiered
    match_labels: {tier: web}
    replicas: {min: 6, max: 8}
    rules: [{name: high, metric: cpu, above: 70, add: 5}]
"""


@pytest.mark.parametrize(
    ("labels", "replicas"),
    [
        ("autoscaler.policy: web", 4),
        ('autoscaler.policy: web, autoscaler.replicas.max: "6"', 6),
        ('autoscaler.policy: web, autoscaler.replicas.min: "7", autoscaler.replicas.max: "7"', 7),
        ("tier: web", 8),
        ("tier: web, autoscaler.policy: web", 4),
    ],
)
def test_labels_opt_in_and_override_the_bounds(tmp_path: Path, labels: str, replicas: int) -> None:
    """autoscaler.policy names a policy; autoscaler.replicas.min and .max override its bounds."""
    text = case('{cpu: "80"}', f"{{at: 0s, replicas: {replicas}}}", f"    labels: {{{labels}}}\n")
    assert fails(tmp_path, text, OPT_IN) == []


def test_a_label_may_name_a_policy_that_names_other_services(tmp_path: Path) -> None:
    """A named policy, whatever else it is for."""
    policies = OPT_IN.replace("name: web\n", "name: web\n    services: [elsewhere]\n")
    text = case('{cpu: "80"}', "{at: 0s, replicas: 4}", "    labels: {autoscaler.policy: web}\n")
    assert fails(tmp_path, text, policies) == []


@pytest.mark.parametrize("labels", ["autoscaler.policy: wbe", 'tier: web, autoscaler.replicas.min: "9"'])
def test_labels_that_are_wrong_leave_the_service_alone(tmp_path: Path, labels: str) -> None:
    """policy_conflict concerns the service that wears them."""
    text = case('{cpu: "80"}', "{at: 0s, replicas: 3, reason: policy_conflict}", f"    labels: {{{labels}}}\n")
    assert fails(tmp_path, text, OPT_IN) == []


def test_a_deploy_to_0_stops_the_service(tmp_path: Path) -> None:
    """scaled_to_zero: it stays there until somebody raises it."""
    more = "    events: [{at: 30s, deploy: 0}, {at: 2m, deploy: 3}]\n"
    expect = (
        "{at: 30s, replicas: 0, reason: scaled_to_zero}, {at: 1m45s, replicas: 0, reason: scaled_to_zero}, "
        "{at: 2m, replicas: 4, reason: above_threshold}"
    )
    assert fails(tmp_path, case('{cpu: "50 80x40"}', expect, more), policy()) == []


def test_policies_of_other_services_change_nothing(tmp_path: Path) -> None:
    """A test is of the services that it names; what else the policies are for is not missed."""
    others = "".join(
        f"  - {{name: p{n}, services: [s{n}], replicas: {{min: 1, max: 9}}, rules: [{{name: r, metric: cpu, above: 1, "
        "add: 1}]}\n"
        for n in range(3)
    )
    assert run(tmp_path, TEST, POLICIES + others)[0].passed


# Room on the nodes


GIVES_BACK = POLICIES.replace("scale_up: {cooldown: 1m}", "scale_up: {cooldown: 1m, give_back: 5m}")


def test_replicas_without_room_wait_and_are_given_back(tmp_path: Path) -> None:
    """`room` is how many replicas find a node: those beyond wait, and are given back where the policy says so."""
    assert GIVES_BACK != POLICIES
    expect = """{at: 1m, replicas: 4},
        {at: 2m, replicas: 5},
        {at: 3m, replicas: 5, reason: tasks_pending, rule: high},
        {at: 7m, replicas: 5, reason: tasks_pending},
        {at: 7m15s, replicas: 4, reason: no_room},
        {at: 12m, replicas: 4, reason: no_room, rule: high},
        {at: 12m15s, replicas: 5, reason: above_threshold},
        {at: 14m, replicas: 5, reason: tasks_pending}"""
    text = case('{cpu: "90x80"}', expect, "    room: 4\n")

    assert fails(tmp_path, text, GIVES_BACK) == []


def test_room_comes_and_goes(tmp_path: Path) -> None:
    """An event changes how many replicas find room: those that wait run, or those that run have to wait."""
    expect = """{at: 2m, replicas: 5},
        {at: 3m45s, replicas: 5, reason: tasks_pending},
        {at: 4m, replicas: 6, reason: above_threshold},
        {at: 5m, replicas: 7},
        {at: 6m, replicas: 7, reason: tasks_pending}"""
    text = case('{cpu: "90x80"}', expect, "    room: 4\n    events: [{at: 4m, room: 9}, {at: 6m, room: 2}]\n")

    assert fails(tmp_path, text, GIVES_BACK) == []
