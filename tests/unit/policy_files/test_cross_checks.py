from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from autoscaler.policy.matching import Matcher
from autoscaler.policy_files import loader
from autoscaler.policy_files.yaml_document import read
from tests.support.policy_sets import entry, load, policies, problems

if TYPE_CHECKING:
    from pathlib import Path


# Names, services and globs


def test_policy_names_are_unique_among_all_files(tmp_path: Path) -> None:
    """Names are what logs and metrics tell policies apart by."""
    assert problems(tmp_path, a=policies(entry("a", "[a]")), b=policies(entry("a", "[b]"))) == [
        f'b.yml:3:12: policies[0].name: a second policy named "a" in {"a.yml"}:3 (give each policy a name of its own)'
    ]


def test_a_service_named_by_two_policies_is_an_error(tmp_path: Path) -> None:
    """Two matches of equal rank are an error at load where provable."""
    assert problems(tmp_path, a=policies(entry("a", "[x, v]"), entry("b", "[z, x]"))) == [
        (
            'a.yml:4:29: policies[1].services[1]: the service "x" is also named by the policy "a" in a.yml:3 '
            "(name it in one of the two)"
        )
    ]


def test_checks_across_policies_do_not_wait_for_valid_policies(tmp_path: Path) -> None:
    """All of them at once, those of policies that are wrong otherwise too."""
    found = problems(tmp_path, a=policies(entry("a", "[x]", ", typo: 1"), entry("a", "[x]", ", typo: 1")))
    assert [problem.split(": ")[2][:18] for problem in found] == [
        "unknown key (known",
        "a second policy na",
        'the service "x" is',
        "unknown key (known",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('["web_*"]', '["web_*"]'),
        ('["*"]', '["web_*"]'),
        ('["web_*"]', '["*"]'),
        ('["web_*"]', '["web_?"]'),
        ('["web_?"]', '["web_[ab]"]'),
        ('["w*_*"]', '["web_*"]'),
        ('["*_backend"]', '["adv*_backend"]'),
        ('[x, "a*"]', '[z, "ab*"]'),
        ('["web_[!a]"]', '["web_[!a]"]'),
        ('["web_*"], exclude: ["web_a*"]', '["web_*"], exclude: ["web_b*"]'),
        ('["*"], exclude: [web_1]', '["web_*"]'),
    ],
)
def test_globs_of_which_one_contains_the_other_are_an_error(tmp_path: Path, first: str, second: str) -> None:
    """Two matches of equal rank are an error at load where provable: told with a service that both match."""
    (found,) = problems(tmp_path, a=policies(entry("a", first), entry("b", second)))
    example = re.search(r'both match "(.*?)"', found)
    assert example is not None
    for services in (first, second):
        document = read(policies(entry("a", services)), "f")
        loaded, _ = loader.from_document(document)
        assert loaded is not None
        assert Matcher(loaded.policies).find(example[1], {}).policy


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('["web_*"]', '["api_*"]'),
        ('["web_*"]', '["*_backend"]'),
        ('["*"], exclude: ["web_*"]', '["web_*"]'),
        ('["web_*"]', '["*"], exclude: ["web_*"]'),
        ('["*"], exclude: ["web_a*", "web_b*"]', '["web_a*", "web_b*"]'),
        ('["*"], exclude: ["w*"]', '["web_*"]'),
        ('["web_*"]', "[web_1]"),
        ('["web_*", "web_?"]', "[api]"),
        ('["web_?"]', '["web_??"]'),
        ('["a[xy]"]', '["a[pq]"]'),
        ('["a[]"]', '["a[]"], exclude: ["*"]'),
    ],
)
def test_globs_that_may_not_meet_are_none(tmp_path: Path, first: str, second: str) -> None:
    """`exclude` separates globs, and globs that merely may meet are left to the evaluation."""
    assert len(load(tmp_path, a=policies(entry("a", first), entry("b", second))).policies) == 2


def test_a_service_between_an_exact_name_and_a_glob_is_no_conflict(tmp_path: Path) -> None:
    """An exact name beats globs."""
    found = load(tmp_path, a=policies(entry("a", '["*"]'), entry("b", "[web]")))
    assert Matcher(found).find("web", {}).names == "b"


def test_a_thousand_policies_load(tmp_path: Path) -> None:
    """A set of a thousand policies, half of them globs that begin alike, is read and checked as a whole."""
    entries = [entry(f"p{index}", f'["web_{index}_*"]' if index % 2 else f"[svc_{index}]") for index in range(1000)]
    assert len(load(tmp_path, a=policies(*entries)).policies) == 1000


def test_a_thousand_policies_for_everything_are_told_once_each(tmp_path: Path) -> None:
    """Not a million times."""
    found = problems(tmp_path, a=policies(*(entry(f"p{index}", '["*"]') for index in range(300))))
    assert len(found) == 300


# Labels

RULES = "replicas: {min: 1, max: 5}, rules: [{name: r, metric: cpu, above: 70, add: 1}]"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("match_labels: {tier: web}", "match_labels: {tier: web}"),
        ("match_labels: {tier: web}", "match_labels: {tier: web, zone: a}"),
        ("match_labels: {tier: web, zone: a}", "match_labels: {tier: web}"),
        ("match_labels: {tier: ''}", "match_labels: {tier: ''}"),
        ('services: ["*"]', "match_labels: {tier: web}"),
        ("match_labels: {tier: web}", 'services: [api, "**"]'),
    ],
)
def test_policies_whose_labels_must_meet_are_an_error(tmp_path: Path, first: str, second: str) -> None:
    """Two matches of equal rank are an error at load where provable: once, with the place of the other policy."""
    (found,) = problems(tmp_path, a=policies(f"name: a, {first}, {RULES}", f"name: b, {second}, {RULES}"))
    assert re.search('match_labels: every service with these labels is also matched by the policy "[ab]" in a', found)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("match_labels: {tier: web}", "match_labels: {tier: api}"),
        ("match_labels: {tier: web}", "match_labels: {tier: ''}"),
        ("match_labels: {tier: web, zone: a}", "match_labels: {tier: web, zone: b}"),
        ("match_labels: {tier: web}", "match_labels: {zone: a}"),
        ("match_labels: {tier: web}, exclude: [web_db]", "match_labels: {tier: web}"),
        ('services: ["*"], exclude: ["web*"]', "match_labels: {tier: web}"),
        ('services: ["web*"]', "match_labels: {tier: web}"),
        ("services: [web]", "match_labels: {tier: web}"),
        ("exclude: [web]", "match_labels: {tier: web}"),
    ],
)
def test_policies_whose_labels_merely_may_meet_are_none(tmp_path: Path, first: str, second: str) -> None:
    """What cannot be proven is left to the evaluation, which leaves a service in conflict untouched."""
    found = load(tmp_path, a=policies(f"name: a, {first}, {RULES}", f"name: b, {second}, {RULES}"))
    assert len(found.policies) == 2


def test_a_thousand_policies_with_the_same_labels_are_told_once_each(tmp_path: Path) -> None:
    """Each but the first, not each pair."""
    entries = (f"name: p{index}, match_labels: {{tier: web, zone: a}}, {RULES}" for index in range(300))
    assert len(problems(tmp_path, a=policies(*entries))) == 299


def test_labels_that_are_no_texts_are_not_compared(tmp_path: Path) -> None:
    """What is wrong with them is told as that."""
    text = policies(f"name: a, match_labels: {{t: [x]}}, {RULES}", f"name: b, match_labels: {{t: [x]}}, {RULES}")
    found = [problem.split(": ")[2] for problem in problems(tmp_path, a=text)]
    assert found == ["is a list, not text (write text)"] * 2


# Parts

NIGHT = 'start: "0 1 * * *", end: "0 2 * * *"'


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ("rules: [{name: x, metric: cpu, above: 1, add: 1}, {name: x, metric: cpu, below: 1, remove: 1}]", "rule"),
        ("guards: [{name: x, metric: cpu, above: 1, block: up}, {name: x, metric: cpu, above: 2, block: up}]", "guard"),
        (f"schedules: [{{name: x, {NIGHT}, min: 1}}, {{name: x, {NIGHT}, max: 2}}]", "schedule"),
    ],
)
def test_parts_of_a_policy_have_names_of_their_own(tmp_path: Path, parts: str, word: str) -> None:
    """The names of rules are unique within their policy; so are those of guards, and of schedules."""
    given = entry("a", "[a]", f", {parts}")
    if word == "rule":
        given = given.replace("rules: [{name: r, metric: cpu, above: 70, add: 1}], ", "")
    (found,) = problems(tmp_path, a=policies(given))
    assert f'{word}s[1].name: a second {word} named "x", after the one in line 3 (give each {word} a name' in found


def test_parts_of_different_kinds_or_policies_may_share_a_name(tmp_path: Path) -> None:
    """A rule and a guard of one name are told apart by what they are."""
    guard = ", guards: [{name: r, metric: cpu, above: 90, block: up}]"
    assert load(tmp_path, a=policies(entry("a", "[a]", guard), entry("b", "[b]", guard)))


# Metrics


def with_metrics(metrics: str, *entries: str) -> str:
    """A policy file with *metrics*, a flow mapping, in line 2, and the policies *entries* from line 4 on."""
    return policies(*entries).replace("\n", f"\nmetrics: {metrics}\n", 1)


def test_a_metric_is_defined_once(tmp_path: Path) -> None:
    """Which of two queries counts would depend on the files' names."""
    queue = "version: 1\nmetrics:\n  queue: {query: sum(y)}\n"
    assert problems(tmp_path, a=with_metrics("{queue: {query: sum(x)}}", entry("a", "[a]")), b=queue, c=queue) == [
        'b.yml:3:3: metrics.queue: the metric "queue" is also defined in a.yml:2 (define it in one of the two)',
        'c.yml:3:3: metrics.queue: the metric "queue" is also defined in a.yml:2 (define it in one of the two)',
    ]


def test_a_built_in_metric_may_be_defined_anew_once(tmp_path: Path) -> None:
    """`cpu` and `memory` may be redefined, with a query or without."""
    anew = "{cpu: {aggregate: max}, memory: {query: sum(x)}}"
    found = load(tmp_path, a=with_metrics(anew, entry("a", "[a]")))
    assert (found.metrics["cpu"].aggregate, found.metrics["memory"].query) == ("max", "sum(x)")
    (told,) = problems(tmp_path, b="version: 1\nmetrics: {cpu: {}}\n")
    assert 'the metric "cpu" is also defined in a.yml:2' in told


@pytest.mark.parametrize("metric", ["{}", "{kind: average}", "{query: }", "{query: null}"])
def test_a_metric_that_is_not_built_in_has_a_query(tmp_path: Path, metric: str) -> None:
    """There is nothing else that a metric of one's own could be."""
    (found,) = problems(tmp_path, a=with_metrics(f"{{queue: {metric}}}", entry("a", "[a]")))
    assert found.startswith('a.yml:2:11: metrics.queue: the metric "queue" has no query (add query: ')


@pytest.mark.parametrize("part", ["rules", "guards"])
def test_rules_and_guards_name_metrics_that_there_are(tmp_path: Path, part: str) -> None:
    """A metric may be defined in any file of the set; a name that none has is told with the nearest."""
    metric = "{queue: {query: sum(x)}}"
    rule = "{name: r, metric: quue, above: 1, add: 1}"
    guard = ", guards: [{name: g, metric: quue, above: 1, block: up}]"
    given = entry("a", "[a]", rules=rule) if part == "rules" else entry("a", "[a]", guard)
    files = {"a": policies(given), "b": with_metrics(metric, entry("b", "[b]"))}
    (found,) = problems(tmp_path, **files)
    cure = '(did you mean "queue"? known metrics: cpu, memory, queue)'
    assert found.endswith(f'policies[0].{part}[0].metric: unknown metric "quue" {cure}')
    assert load(tmp_path, **{**files, "a": files["a"].replace("quue", "queue")})


@pytest.mark.parametrize("metric", ["{kind: 5}", "5", "", "{qery: x}"])
def test_a_metric_that_is_wrong_is_not_unknown_too(tmp_path: Path, metric: str) -> None:
    """One fault is one problem, however many rules name the metric."""
    rule = "{name: r, metric: queue, above: 1, add: 1}"
    found = problems(tmp_path, a=with_metrics(f"{{queue: {metric}}}", entry("a", "[a]", rules=rule)))
    assert [problem for problem in found if "unknown metric" in problem] == []
    assert all("metrics.queue" in problem for problem in found)


def test_metrics_that_an_unreadable_file_may_define_are_not_unknown(tmp_path: Path) -> None:
    """A slip in the file of the metrics is told as that, and not at each rule that names one of them."""
    rule = "{name: r, metric: queue, above: 1, add: 1}"
    (found,) = problems(tmp_path, a=policies(entry("a", "[a]", rules=rule)), b="version: 1\nmetrics: {queue: [}\n")
    assert found.startswith("b.yml:2:19: is not valid YAML")


def test_of_many_known_metrics_a_message_names_some(tmp_path: Path) -> None:
    """Hundreds of rules with misspelt metrics beside hundreds of metrics are told in bounded messages."""
    metrics = "{" + ", ".join(f"queue_{index}: {{query: sum(x)}}" for index in range(500)) + "}"
    rules = ", ".join(f"{{name: r{index}, metric: quue_{index}, above: 1, add: 1}}" for index in range(90))
    entries = [entry(name, f"[{name}]", rules=rules) for name in "abc"]
    found = problems(tmp_path, a=with_metrics(metrics, *entries))
    assert len(found) == 200
    assert max(map(len, found)) < 600
    assert all("known metrics: cpu, memory, queue_0" in problem and "and 482 more)" in problem for problem in found)


# Zero


@pytest.mark.parametrize(
    ("metric", "rule", "wakes"),
    [
        ("{query: sum(x)}", "above: 1, add: 1", True),
        ("{query: sum(x), by: service}", "above: 1, add: 1", True),
        ("{query: 'sum(x{s=\"$service\"})'}", "above: 1, add: 1", True),
        ("{query: sum(x)}", "below: 1, remove: 1", False),
        ("{query: sum(x)}", "below: 1, remove: 1, add: ", False),
        ("{query: x, by: service, task: task}", "above: 1, add: 1", False),
        ("{query: sum(x), task: }", "above: 1, add: 1", True),
        ("{query: sum(x)}", "strategy: target, target: 5", False),
        ("{query: sum(x), kind: total}", "strategy: target, target: 5", True),
        ("{query: sum(x)}", "strategy: table, table: {1: 2}", True),
        ("{query: sum(x)}", "strategy: steps, above: 1, steps: [{lower: 0, add: 1}]", True),
    ],
)
@pytest.mark.parametrize(
    "zero",
    ["replicas: {min: 0, max: 5}", f"schedules: [{{name: s, {NIGHT}, min: 0}}]"],
    ids=["policy", "schedule"],
)
def test_a_policy_that_allows_0_replicas_has_a_rule_that_can_wake(
    tmp_path: Path, metric: str, rule: str, zero: str, *, wakes: bool
) -> None:
    """Min 0 with no rule that could wake the service is an error: at 0 replicas no task has data."""
    policy = entry("a", "[a]", rules=f"{{name: r, metric: queue, {rule}}}")
    policy = policy.replace("replicas: {min: 1, max: 5}", zero) if "max" in zero else f"{policy}, {zero}"
    text = with_metrics(f"{{queue: {metric}}}", policy)
    if wakes:
        assert load(tmp_path, a=text)
    else:
        (found,) = problems(tmp_path, a=text)
        assert ".min: min is 0, but no rule could wake the service: " in found


def test_one_rule_that_can_wake_suffices(tmp_path: Path) -> None:
    """The others may be of tasks."""
    rules = "{name: low, metric: cpu, below: 9, remove: 1}, {name: wake, metric: queue, above: 0, add: 1}"
    given = entry("a", "[a]", rules=rules).replace("min: 1", "min: 0")
    assert load(tmp_path, a=with_metrics("{queue: {query: sum(x), kind: total}}", given))


# Nothing to do


@pytest.mark.parametrize("text", ["metrics: {x: {query: sum(x)}}", "defaults: {paused: true}", "metrics: {}"])
def test_a_set_without_any_policy_is_an_error(tmp_path: Path, text: str) -> None:
    """A forgotten mount is not taken for a wish to scale nothing; beside a file with policies such files are fine."""
    assert problems(tmp_path, a=f"version: 1\n{text}\n") == [
        "a.yml:1:1: there is no policy (add policies: [{name: …, services: […], rules: […]}])"
    ]
    assert load(tmp_path, b=policies(entry("b", "[b]")))
