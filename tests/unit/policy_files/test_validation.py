from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.policy_sets import BACKEND, entry, policies, problems

if TYPE_CHECKING:
    from pathlib import Path

KNOWN_RULE_KEYS = (
    "known here: name, metric, group, ineffective_after, strategy, above, below, for, at_least, add, remove"
)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 1", "version: 2", "1:10: version: is the number 2 (write version: 1)"),
        ("version: 1\n", "", '1:1: the key "version" is missing (add version: 1)'),
        ("version: 1", "version: '1'", "1:10: version: '1' is not a version of this format (write version: 1)"),
        (
            "version: 1",
            "versoin: 1",
            '1:1: versoin: unknown key (did you mean "version"? known here: version, defaults, metrics, policies)',
        ),
        ("{min: 3,", "{", '5:15: policies[0].replicas: the key "min" is missing (add min: 2)'),
        (
            "    replicas: {min: 3, max: 10}\n",
            "",
            '3:5: policies[0]: the key "replicas" is missing (add replicas: {min',
        ),
        ("min: 3", "min: 11", "5:15: policies[0].replicas: min 11 is greater than max 10 (swap them?)"),
        ("min: 3", "min: -1", "5:21: policies[0].replicas.min: is the number -1 (write a number of at least 0)"),
        (
            "max: 10",
            "max: 10001",
            "5:29: policies[0].replicas.max: is the number 10001 (write a number of at most 10000)",
        ),
        ("min: 3", "min: 2.5", "5:21: policies[0].replicas.min: is the number 2.5, not a whole number (write a whole"),
        ("min: 3", "min: '3'", '5:21: policies[0].replicas.min: is the text "3", not a whole number (write a whole'),
        ("min: 3", "min: true", "5:21: policies[0].replicas.min: is the truth value true, not a whole number (write a"),
        ("min: 3", "min: ", "5:21: policies[0].replicas.min: is nothing, not a whole number (write a whole number)"),
        (
            "{min: 3, max: 10}",
            "3-10",
            '5:15: policies[0].replicas: is the text "3-10", not a mapping (write replicas: {m',
        ),
        (
            "[advtom_backend]",
            "advtom_backend",
            '4:15: policies[0].services: is the text "advtom_backend", not a list (wr',
        ),
        ("[advtom_backend]", "[]", "4:15: policies[0].services: is an empty list (give at least 1)"),
        ("[advtom_backend]", "[5]", '4:16: policies[0].services[0]: is the number 5, not text (write "5", in quotes)'),
        ("[advtom_backend]", "['']", "4:16: policies[0].services[0]: is an empty text (write some text)"),
        (
            "[advtom_backend]",
            f"[{'x' * 256}]",
            f'4:16: policies[0].services[0]: is the text "{"x" * 59}…" (write 255 char',
        ),
        (
            "name: backend",
            "name: back end",
            '3:11: policies[0].name: is the text "back end" (write letters, digits, dots,',
        ),
        (
            "name: cpu-high",
            "name: CPU",
            '7:16: policies[0].rules[0].name: is the text "CPU" (write lower-case letters, ',
        ),
        (
            "cooldown: 5m",
            "cooldown: 5",
            "9:26: policies[0].scale_up.cooldown: 5 has no unit (write 5s for seconds or 5m",
        ),
        (
            "cooldown: 5m",
            "cooldwon: 5m",
            '9:16: policies[0].scale_up.cooldwon: unknown key (did you mean "cooldown"? kn',
        ),
        (
            "for: 5m",
            "for: 5min",
            "7:55: policies[0].rules[0].for: '5min' is not a duration (write whole seconds, minutes, ",
        ),
        ("for: 5m", "For: 5m", f'7:50: policies[0].rules[0].For: unknown key (did you mean "for"? {KNOWN_RULE_KEYS})'),
        (
            "for: 5m",
            "for_: 5m",
            f'7:50: policies[0].rules[0].for_: unknown key (did you mean "for"? {KNOWN_RULE_KEYS})',
        ),
        ("for: 5m", "zzzzz: 1", f"7:50: policies[0].rules[0].zzzzz: unknown key ({KNOWN_RULE_KEYS})"),
        ("above: 70", "above: x", '7:46: policies[0].rules[0].above: is the text "x", not a number (write a number)'),
        (
            "above: 70",
            "above: .nan",
            "7:46: policies[0].rules[0].above: is the number nan, not a finite number (write a f",
        ),
        ("above: 70, ", "", "7:9: policies[0].rules[0]: a threshold has one bound (give either above or below)"),
        (
            "add: 1}",
            "add: 1, remove: 1}",
            "7:9: policies[0].rules[0]: a threshold takes one step (give either add or rem",
        ),
        (
            "add: 1}",
            "add: 0}",
            "7:64: policies[0].rules[0].add: 0 is not a step (write a count like 2, or a percentage like ",
        ),
        (
            "above: 70",
            "strategy: treshold",
            '7:49: policies[0].rules[0].strategy: unknown strategy "treshold" (did you me',
        ),
        (
            "above: 70",
            "strategy: 5",
            "7:49: policies[0].rules[0].strategy: is the number 5, not a strategy (known strategies",
        ),
        (
            "above: 70",
            "strategy: ",
            "7:49: policies[0].rules[0].strategy: is nothing, not a strategy (known strategies: step",
        ),
        (
            "above: 70",
            "strategy: [threshold]",
            "7:49: policies[0].rules[0].strategy: is a list, not a strategy (did you mea",
        ),
        ("metric: cpu, above", "above", '7:9: policies[0].rules[0]: the key "metric" is missing (add metric: cpu)'),
        (
            "metric: cpu, above",
            "metric: cpus, above",
            '7:34: policies[0].rules[0].metric: unknown metric "cpus" (did you',
        ),
        (
            "metric: cpu, above",
            "metric: 5, above",
            "7:34: policies[0].rules[0].metric: is the number 5, not text (write ",
        ),
        (
            "name: cpu-low",
            "name: cpu-high",
            '8:16: policies[0].rules[1].name: a second rule named "cpu-high", after the o',
        ),
        (
            "min: 3",
            "min: 0",
            "5:21: policies[0].replicas.min: min is 0, but no rule could wake the service: at 0 replicas no ",
        ),
        (
            "scale_up: {cooldown: 5m}",
            "scale_up:",
            "9:14: policies[0].scale_up: is nothing, not a mapping (write scale_up",
        ),
        (
            "scale_up: {cooldown: 5m}",
            "exclude: [advtom_backend]",
            '4:16: policies[0].services[0]: "advtom_backend" is in',
        ),
        (
            "scale_up: {cooldown: 5m}",
            "exclude: ab",
            '9:14: policies[0].exclude: is the text "ab", not a list (write [ab])',
        ),
        (
            "scale_up: {cooldown: 5m}",
            "exclude: on",
            '9:14: policies[0].exclude: "on" is a truth value in YAML 1.1 and te',
        ),
    ],
)
def test_what_is_wrong_is_told_in_our_words_at_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """Errors are `file:line:column: path: what is wrong (what would be right)`, one for one fault."""
    assert BACKEND.count(old) == 1
    found = problems(tmp_path, a=BACKEND.replace(old, new))
    assert [f"a.yml:{problem}"] == [text[: len(problem) + len("a.yml:")] for text in found]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("5", "a.yml:1:1: is the number 5, not a mapping (write version: 1)"),
        ("[]", "a.yml:1:1: is an empty list, not a mapping (write version: 1)"),
        (
            "version: 1\npolicies: {a: b}\n",
            "a.yml:2:11: policies: is a mapping, not a list (write policies: [{name: …,",
        ),
        ("version: 1\npolicies: [5]\n", "a.yml:2:12: policies[0]: is the number 5, not a mapping (write {name: …,"),
        ("version: 1\npolicies:\n", "a.yml:2:10: policies: is nothing, not a list (write policies: [{name: …,"),
        (
            policies(entry("a", "[a]", rules="5")),
            "a.yml:3:66: policies[0].rules[0]: is the number 5, not a mapping (write",
        ),
        (
            policies(entry("a", "[a]", rules="")),
            "a.yml:3:5: policies[0]: a policy needs rules, or at least one schedule (add rules: [{name: cpu-high,",
        ),
    ],
)
def test_a_wrong_shape_is_told_with_the_right_one(tmp_path: Path, text: str, problem: str) -> None:
    """What would be right is shown as a line of a file."""
    (found,) = problems(tmp_path, a=text)
    assert problem == found[: len(problem)]


def test_a_key_like_the_strategy_s_name_is_an_unknown_key_at_its_place(tmp_path: Path) -> None:
    """Pydantic puts the strategy's name into its paths; it is not taken for a key."""
    rule = "{name: r, metric: cpu, above: 70, add: 1, threshold: {add: x}}"
    (found,) = problems(tmp_path, a=policies(entry("a", "[a]", rules=rule)))
    assert found == f"a.yml:3:108: policies[0].rules[0].threshold: unknown key ({KNOWN_RULE_KEYS})"


# Metrics, guards, schedules, fallback, match_labels


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (
            "guards: [{name: g, metric: cpu, above: 1, blok: up}]",
            'guards[0].blok: unknown key (did you mean "block"? known here: name, metric, above, below, for, block, ',
        ),
        ("fallback: {aftr: 5m, replicas: 3}", 'fallback.aftr: unknown key (did you mean "after"? known here: after, '),
        ("fallback: {after: 5m}", 'fallback: the key "replicas" is missing (add replicas: 6)'),
        ("fallback: {replicas: 5}", 'fallback: the key "after" is missing (add after: 10m)'),
        ("fallback: 6", "fallback: is the number 6, not a mapping (write fallback: {after: 10m, replicas: 6})"),
        ("guards: 5", "guards: is the number 5, not a list (write guards: [{name: "),
        ("guards: [5]", "guards[0]: is the number 5, not a mapping (write {name: database-full, "),
        ("schedules: [5]", "schedules[0]: is the number 5, not a mapping (write {name: day, "),
        ("scale_up: {limits: 5}", "scale_up.limits: is the number 5, not a list (write limits: [{replicas: 2, per: 1m"),
        ("scale_up: {limits: [{replicas: 1}]}", 'scale_up.limits[0]: the key "per" is missing (add per: 1m)'),
        ("paused: maybe", "paused: 'maybe' is not a way to pause (write true, false, up or down)"),
    ],
)
def test_parts_of_a_policy_are_told_with_what_would_be_right(tmp_path: Path, more: str, found: str) -> None:
    """The cure for a part that is wrong is a line that would be right there."""
    (told,) = problems(tmp_path, a=policies(entry("a", "[a]", f", {more}")))
    assert told.partition(": ")[2].startswith(f"policies[0].{found}")


@pytest.mark.parametrize(
    ("rule", "missing"),
    [("steps, above: 5", "add steps: [{lower: 0, add: 1}]"), ("target", "add target: 60"), ("table", "add table: {")],
)
def test_what_a_strategy_lacks_is_told_with_an_example(tmp_path: Path, rule: str, missing: str) -> None:
    """Each strategy's own key is shown as a file writes it."""
    (told,) = problems(tmp_path, a=policies(entry("a", "[a]", rules=f"{{name: r, metric: cpu, strategy: {rule}}}")))
    assert missing in told


METRICS = "version: 1\nmetrics:\n  METRIC\n" + policies(entry("a", "[a]")).removeprefix("version: 1\n")


@pytest.mark.parametrize(
    ("metric", "found"),
    [
        ("p95: {qery: x}", '3:9: metrics.p95.qery: unknown key (did you mean "query"? known here: query, source, by'),
        ("p95: {query: x, Query: z}", '3:19: metrics.p95.Query: unknown key (did you mean "query"? known here'),
        ("p95: 5", "3:8: metrics.p95: is the number 5, not a mapping (write "),
        ("p95:", "3:7: metrics.p95: is nothing, not a mapping (write "),
        ("9a: {query: x}", '3:3: metrics.9a: is the text "9a" (write letters, digits, underscores, dots, colons and d'),
        (f"{'x' * 64}: {{query: x}}", f'3:3: metrics["{"x" * 59}…"]: is the text "{"x" * 59}…" (write 63 characters'),
        ('"[key]": {query: x}', '3:3: metrics["[key]"]: is the text "[key]" (write letters, digits'),
        ("p95: {query: }", '3:3: metrics.p95: the metric "p95" has no query (add query: the PromQL expression that'),
        ("p95: {query: 5}", '3:16: metrics.p95.query: is the number 5, not text (write "5", in quotes)'),
        ("query: 5", "3:10: metrics.query: is the number 5, not a mapping (write "),
    ],
)
def test_what_is_wrong_with_a_metric_is_told_under_its_name(tmp_path: Path, metric: str, found: str) -> None:
    """A metric's name is no key of the format; what is wrong below it, or with the name itself, is told there."""
    told = problems(tmp_path, a=METRICS.replace("METRIC", metric))
    assert [f"a.yml:{found}"] == [each[: len(found) + len("a.yml:")] for each in told[:1]]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ("{}", "29: policies[0].match_labels: is an empty mapping (give at least 1)"),
        ("[tier]", "29: policies[0].match_labels: is a list, not a mapping (write match_labels: {tier: web})"),
        ("{tier: 1}", '36: policies[0].match_labels.tier: is the number 1, not text (write "1", in quotes)'),
        ("{tier: true}", '36: policies[0].match_labels.tier: is the truth value true, not text (write "true", in q'),
        ("{tier: }", "36: policies[0].match_labels.tier: is nothing, not text (write text)"),
        ('{"": x}', '30: policies[0].match_labels[""]: is an empty text (write some text)'),
    ],
)
def test_match_labels_are_texts_by_name(tmp_path: Path, labels: str, found: str) -> None:
    """Labels have text values, as Docker's have; what else YAML makes of them is told with the quotes it takes."""
    text = policies(entry("a", "[a]").replace("services: [a]", f"match_labels: {labels}"))
    (told,) = problems(tmp_path, a=text)
    assert told.startswith(f"a.yml:3:{found}")


def test_services_and_match_labels_exclude_each_other(tmp_path: Path) -> None:
    """A policy says by names or by labels what it means, not by both."""
    assert problems(tmp_path, a=policies(entry("a", "[a]", ", match_labels: {tier: web}"))) == [
        "a.yml:3:5: policies[0]: services and match_labels are two ways to say the same (keep one of the two)"
    ]


def test_a_fallback_above_max_is_an_error(tmp_path: Path) -> None:
    """A fallback that the bounds forbid would never be what it says."""
    assert problems(tmp_path, a=policies(entry("a", "[a]", ", fallback: {after: 5m, replicas: 6}"))) == [
        "a.yml:3:5: policies[0]: the fallback of 6 replicas is above max 5 (raise max, or lower the fallback)"
    ]


@pytest.mark.parametrize(
    "text", ["version: 1\n", "version: 1\npolicies: []\n", "version: 1\nmetrics: {}\ndefaults: {}\n"]
)
def test_one_fault_is_told_once(tmp_path: Path, text: str) -> None:
    """A file that says nothing is one problem."""
    assert len(problems(tmp_path, a=text)) == 1
