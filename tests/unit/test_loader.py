from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler import checks, loader
from autoscaler.errors import PolicyError
from autoscaler.matching import Matcher
from autoscaler.strategies import Threshold
from autoscaler.yaml_document import MAX_BYTES, read

if TYPE_CHECKING:
    from pathlib import Path

    from autoscaler.policy import PolicySet

BACKEND = """\
version: 1
policies:
  - name: backend
    services: [advtom_backend]
    replicas: {min: 3, max: 10}
    rules:
      - {name: cpu-high, metric: cpu, above: 70, for: 5m, add: 1}
      - {name: cpu-low, metric: cpu, below: 30, for: 10m, remove: 1}
    scale_up: {cooldown: 5m}
"""


def policies(*entries: str) -> str:
    """A policy file of *entries*, each the flow mapping of a policy without its braces."""
    return "version: 1\npolicies:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries)


def entry(name: str, services: str, more: str = "", *, rules: str = "{name: r, metric: cpu, above: 70, add: 1}") -> str:
    """A policy, valid but for what *more* says."""
    return f"name: {name}, services: {services}, replicas: {{min: 1, max: 5}}, rules: [{rules}]{more}"


def load(folder: Path, **files: str) -> PolicySet:
    """The policies of *files*, by their names without `.yml`."""
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)
    return loader.load([folder])


def problems(folder: Path, **files: str) -> list[str]:
    """What is wrong with *files*, without the folder's path."""
    with pytest.raises(PolicyError) as caught:
        load(folder, **files)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


# Files


def test_a_directory_means_its_policy_files_as_one_set(tmp_path: Path) -> None:
    """A directory of `*.yml`/`*.yaml` (not recursive), read as one set, in the order of their names."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.yml").write_text("no policy file")
    (tmp_path / "notes.txt").write_text("no policy file")
    (tmp_path / ".#b.yml").write_text("an editor's")
    (tmp_path / "c.yaml").write_text(policies(entry("c", "[c]")))
    found = load(tmp_path, b=policies(entry("b", "[b]")), a=policies(entry("a", "[a]"), entry("z", "[z]")))
    assert [policy.name for policy in found.policies] == ["a", "z", "b", "c"]


def test_files_may_be_named_themselves_and_count_once(tmp_path: Path) -> None:
    """A file named twice, or by its directory too, is one file."""
    load(tmp_path, a=BACKEND)
    path = tmp_path / "a.yml"
    (tmp_path / "link.conf").symlink_to(path)
    assert len(loader.load([path, tmp_path, path, tmp_path / "link.conf"]).policies) == 1


def test_all_of_the_set_is_valid_or_none_of_it(tmp_path: Path) -> None:
    """All problems of all files at once, in the order of the files and their lines."""
    found = problems(
        tmp_path,
        a=policies(entry("a", "[a]", ", x: 1, scale_up: {cooldown: 5}")),
        b=policies(entry("b", "[b]")),
        c="version: 2\npolicies: []\n",
    )
    assert [re.sub(r":\d+: ", ": ", problem).split(": ")[:2] for problem in found] == [
        ["a.yml:3", "policies[0].x"],
        ["a.yml:3", "policies[0].scale_up.cooldown"],
        ["c.yml:1", "version"],
        ["c.yml:2", "policies"],
    ]


def test_problems_of_the_text_and_of_the_policies_are_told_together_and_once(tmp_path: Path) -> None:
    """What YAML reads two ways is not told a second time as a wrong duration."""
    found = problems(tmp_path, a=policies(entry("a", "[a]", ", scale_up: {cooldown: 1:30}, scale_down: {cooldown: x}")))
    assert [re.sub(r"^a.yml:3:\d+: | \(.*", "", problem) for problem in found] == [
        'policies[0].scale_up.cooldown: "1:30" is a number to the base of 60 in YAML 1.1 and text in YAML 1.2',
        "policies[0].scale_down.cooldown: 'x' is no duration",
    ]


def test_a_missing_path_is_told(tmp_path: Path) -> None:
    """A path that does not exist is an error, not an empty set."""
    with pytest.raises(PolicyError) as caught:
        loader.load([tmp_path / "nowhere", tmp_path / "elsewhere.yml"])
    assert [
        f"{tmp_path}/nowhere: does not exist (give the path of a policy file or of a directory of them)",
        f"{tmp_path}/elsewhere.yml: does not exist (give the path of a policy file or of a directory of them)",
    ] == caught.value.problems


def test_an_empty_directory_is_told(tmp_path: Path) -> None:
    """So that a forgotten mount is not taken for a wish to scale nothing."""
    assert problems(tmp_path) == [f"{tmp_path}: holds no policy file (put a *.yml or *.yaml file there)"]


def test_no_path_at_all_is_told() -> None:
    """No path, no policies."""
    with pytest.raises(PolicyError, match=r"^policies: no path is given \(name a directory or a file\)$"):
        loader.load([])


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    """A named pipe would make the daemon wait for ever."""
    os.mkfifo(tmp_path / "a.yml")
    (tmp_path / "b.yml").mkdir()
    with pytest.raises(PolicyError, match=r"a\.yml: is no regular file"):
        loader.load([tmp_path])
    with pytest.raises(PolicyError, match=r"b\.yml: holds no policy file"):
        loader.load([tmp_path / "b.yml"])


def test_a_broken_link_is_told(tmp_path: Path) -> None:
    """The link is there, the file is not."""
    (tmp_path / "a.yml").symlink_to(tmp_path / "gone")
    assert problems(tmp_path, b=BACKEND) == [
        "a.yml: does not exist (give the path of a policy file or of a directory of them)"
    ]


def test_a_loop_of_links_is_told(tmp_path: Path) -> None:
    """Whatever the file system does, the answer is a problem."""
    (tmp_path / "a.yml").symlink_to(tmp_path / "a.yml")
    with pytest.raises(PolicyError, match=r"a\.yml: "):
        loader.load([tmp_path / "a.yml"])


def test_a_null_character_in_a_path_is_told(tmp_path: Path) -> None:
    """Even so."""
    with pytest.raises(PolicyError, match="cannot be read"):
        loader.load([tmp_path / "a\0b"])


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    """1 MiB a file."""
    assert problems(tmp_path, a="#" * (MAX_BYTES + 1)) == [
        f"a.yml: is larger than {MAX_BYTES} bytes (split it into several files)"
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_file_is_told(tmp_path: Path, text: str) -> None:
    """An empty file is no valid policy file."""
    assert problems(tmp_path, a=text) == ["a.yml: is empty (begin with version: 1)"]


# Revision and fingerprint


def test_the_revision_names_the_content(tmp_path: Path) -> None:
    """The same content has the same revision, and any other content another."""
    first = load(tmp_path, a=BACKEND).revision
    os.utime(tmp_path / "a.yml", (0, 0))
    assert first == loader.load([tmp_path]).revision
    assert first != load(tmp_path, a=BACKEND.replace("70", "71")).revision
    assert re.fullmatch("[0-9a-f]{12}", first)


def test_the_fingerprint_is_the_revision_of_what_can_be_read(tmp_path: Path) -> None:
    """Reload on a changed file (content, not time stamp)."""
    revision = load(tmp_path, a=BACKEND).revision
    assert revision == loader.fingerprint([tmp_path])
    (tmp_path / "a.yml").write_text("broken: [")
    assert revision != loader.fingerprint([tmp_path])


def test_the_fingerprint_tells_unreadable_states_apart(tmp_path: Path) -> None:
    """It never raises: an unreadable state is its own fingerprint."""
    empty = loader.fingerprint([tmp_path])
    (tmp_path / "a.yml").mkdir()
    folder = loader.fingerprint([tmp_path])
    assert len({empty, folder, loader.fingerprint([tmp_path / "nowhere"]), loader.fingerprint([])}) == 4
    assert folder == loader.fingerprint([tmp_path])


def test_content_moved_from_one_file_to_the_next_is_another_state(tmp_path: Path) -> None:
    """The files' contents are told apart."""
    (tmp_path / "a.yml").write_text("ab")
    (tmp_path / "b.yml").write_text("c")
    before = loader.fingerprint([tmp_path])
    (tmp_path / "a.yml").write_text("a")
    (tmp_path / "b.yml").write_text("bc")
    assert before != loader.fingerprint([tmp_path])


# What pydantic finds, in our words

KNOWN_RULE_KEYS = "known here: name, metric, group, strategy, above, below, for, at_least, add, remove"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 1", "version: 2", "1:10: version: is the number 2 (write version: 1)"),
        ("version: 1\n", "", '1:1: the key "version" is missing (add version: 1)'),
        ("version: 1", "version: '1'", "1:10: version: '1' is no version of this format (write version: 1)"),
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
            "7:55: policies[0].rules[0].for: '5min' is no duration (write whole seconds, minutes, ",
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
            "7:64: policies[0].rules[0].add: 0 is no step (write a count like 2, or a percentage like ",
        ),
        (
            "above: 70",
            "strategy: treshold",
            '7:49: policies[0].rules[0].strategy: unknown strategy "treshold" (did you me',
        ),
        (
            "above: 70",
            "strategy: 5",
            "7:49: policies[0].rules[0].strategy: is the number 5, no strategy (known strategies",
        ),
        (
            "above: 70",
            "strategy: ",
            "7:49: policies[0].rules[0].strategy: is nothing, no strategy (known strategies: step",
        ),
        (
            "above: 70",
            "strategy: [threshold]",
            "7:49: policies[0].rules[0].strategy: is a list, no strategy (did you mea",
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
            "5:21: policies[0].replicas.min: min 0, and no rule could wake the service: at 0 replicas the",
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
        (policies(entry("a", "[a]", rules="")), "a.yml:3:65: policies[0].rules: is an empty list (give at least 1)"),
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


# Checks across policies


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
    example = re.search(r'both match, say, "(.*?)"', found)
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


# Warnings


def warnings(folder: Path, step: int = 15, replicas: str = "{min: 1, max: 10}", *rules: str) -> list[str]:
    """What is doubtful about a policy of *rules*."""
    text = f"name: a, services: [a], replicas: {replicas}, rules: [{', '.join(rules)}]"
    (folder / "a.yml").write_text(policies(text))
    found = loader.read_policies([folder]).warnings(step)
    return [str(warning).replace(f"{folder}/", "") for warning in found]


LOW = "{name: low, metric: cpu, below: 50, for: 10m, remove: 1}"
HIGH = "{name: high, metric: cpu, above: 70, for: 5m, add: 1}"


def test_a_pair_that_must_flap_is_told_with_the_numbers(tmp_path: Path) -> None:
    """With `below: 50, remove: 1` and `above: 70` on a per-replica average, 2 → 1 replicas turns 49 into 98."""
    assert warnings(tmp_path, 15, "{min: 1, max: 10}", LOW, HIGH) == [
        (
            "a.yml:3:99: policies[0].rules[0].below: must flap with high: at 2 replicas a cpu of 49 becomes 98 at 1, "
            "above 70 (write below: 35 or less, or above: 100 or more)"
        )
    ]


@pytest.mark.parametrize(
    ("replicas", "low", "high"),
    [
        pytest.param("{min: 3, max: 10}", LOW.replace("50", "30"), HIGH, id="the guide's backend: 4 to 3, 30 to 40"),
        pytest.param("{min: 2, max: 5}", LOW.replace("50", "30"), HIGH, id="the guide's frontend: 3 to 2, 30 to 45"),
        pytest.param("{min: 1, max: 2}", LOW.replace("50", "30"), HIGH, id="the guide's PgBouncer: 2 to 1, 30 to 60"),
        pytest.param("{min: 1, max: 2}", LOW.replace("50", "35"), HIGH, id="35 doubled is not above 70"),
        pytest.param("{min: 3, max: 10}", LOW, HIGH, id="4 to 3: 50 to 66.7"),
        pytest.param("{min: 1, max: 1}", LOW, HIGH, id="nothing to remove"),
        pytest.param("{min: 1, max: 9}", LOW, HIGH.replace("cpu", "memory"), id="two metrics"),
        pytest.param(
            "{min: 1, max: 9}",
            LOW.replace("cpu", "memory"),
            HIGH.replace("cpu", "memory"),
            id="memory stays where it is",
        ),
    ],
)
def test_a_pair_that_need_not_flap_is_not(tmp_path: Path, replicas: str, low: str, high: str) -> None:
    """Only what must flap is a warning."""
    assert warnings(tmp_path, 15, replicas, low, high) == []


@pytest.mark.parametrize(
    ("replicas", "low", "told"),
    [
        ("{min: 1, max: 10}", LOW.replace("50", "36"), "a cpu of just under 36 becomes just under 72 at 1"),
        ("{min: 2, max: 10}", LOW, "at 3 replicas a cpu of 49 becomes 73.5 at 2"),
        ("{min: 3, max: 10}", LOW.replace("remove: 1", "remove: 2"), "at 5 replicas a cpu of 49 becomes 81.67 at 3"),
        (
            "{min: 3, max: 4}",
            LOW.replace("50", "60").replace("1}", "9}"),
            "at 4 replicas a cpu of 59 becomes 78.67 at 3",
        ),
        ("{min: 2, max: 10}", LOW.replace("remove: 1", 'remove: "50%"'), "at 4 replicas a cpu of 49 becomes 98 at 2"),
    ],
)
def test_the_numbers_are_those_of_the_steepest_removal(tmp_path: Path, replicas: str, low: str, told: str) -> None:
    """A removal goes no further than min, and the worst one counts."""
    (found,) = warnings(tmp_path, 15, replicas, low, HIGH)
    assert told in found


@settings(deadline=None)
@given(
    st.integers(1, 6),
    st.integers(0, 8),
    st.integers(1, 100),
    st.integers(1, 100),
    st.sampled_from([1, 2, 3, "25%", "60%"]),
)
def test_the_flap_check_tells_what_a_simulation_would(
    low_bound: int, more: int, below: int, above: int, remove: int | str
) -> None:
    """A pair is told exactly where some sample below the one bound is above the other after a removal in bounds."""
    low = Threshold.model_validate({"name": "low", "metric": "cpu", "below": below, "remove": remove})
    high = Threshold.model_validate({"name": "high", "metric": "cpu", "above": above, "add": 1})
    document = policies(
        f"name: a, services: [a], replicas: {{min: {low_bound}, max: {low_bound + more}}}, "
        f"rules: [{low.model_dump_json(by_alias=True, exclude_none=True)}, "
        f"{high.model_dump_json(by_alias=True, exclude_none=True)}]"
    )
    loaded, found = loader.from_document(read(document, "f"))
    assert not found
    assert loaded is not None
    flaps = False
    for count in range(low_bound + 1, low_bound + more + 1):
        removed = remove if isinstance(remove, int) else max(1, count * int(remove[:-1]) // 100)
        left = max(low_bound, count - removed)
        flaps = flaps or (below - 1e-9) * count / left > above
    assert flaps is bool(loaded.warnings(15))


def test_a_window_shorter_than_two_steps_is_told(tmp_path: Path) -> None:
    """A `for` that few samples cover says little."""
    rule = "{name: r, metric: memory, above: 80, for: 29s, add: 1}"
    assert warnings(tmp_path, 15, "{min: 1, max: 2}", rule) == [
        (
            "a.yml:3:108: policies[0].rules[0].for: 29s is shorter than two window steps of 15s: one odd sample may "
            "decide (give at least 30s, or a smaller interval)"
        )
    ]
    assert warnings(tmp_path, 15, "{min: 1, max: 2}", rule.replace("29s", "30s")) == []
    assert warnings(tmp_path, 15, "{min: 1, max: 2}", rule.replace("29s", "0s")) == []
    assert len(warnings(tmp_path, 60, "{min: 1, max: 2}", rule.replace("29s", "119s"))) == 1


def test_warnings_without_the_files_name_policy_and_rule(tmp_path: Path) -> None:
    """A set whose files are not at hand is checked as well."""
    load(tmp_path, a=policies(f"name: a, services: [a], replicas: {{min: 1, max: 9}}, rules: [{LOW}, {HIGH}]"))
    (found,) = checks.warnings(loader.load([tmp_path]), 15)
    assert str(found).startswith("policy a: rule low: below: must flap with high")


# Whatever the text

KEYS = st.sampled_from(
    [
        *("version", "policies", "name", "services", "exclude", "replicas", "rules", "min", "max", "metric"),
        *("above", "below", "for", "add", "remove", "scale_up", "scale_down", "cooldown", "strategy"),
        *("threshold", "x", "for_", ""),
    ]
)
VALUES = st.sampled_from(
    [None, True, 0, 1, 5, -1, 2.5, 1e300, float("inf"), "", "a", "*", "5m", "cpu", "threshold", "50%"]
)
NESTED = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES,
        "metric": VALUES,
        "strategy": VALUES,
        "above": NESTED,
        "below": VALUES,
        "for": NESTED,
        "add": VALUES,
        "x": VALUES,
    },
)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES,
        "services": st.lists(VALUES, max_size=3) | NESTED,
        "exclude": st.lists(VALUES, max_size=3) | NESTED,
        "replicas": st.fixed_dictionaries({}, optional={"min": VALUES, "max": VALUES, "x": VALUES}) | NESTED,
        "rules": st.lists(RULES | NESTED, max_size=3) | NESTED,
        "scale_up": NESTED,
        "y": NESTED,
    },
)
FILES = st.fixed_dictionaries({"version": st.just(1), "policies": st.lists(POLICIES | NESTED, max_size=3)}) | NESTED


def assert_told_well(text: str) -> None:
    """*text* gives a policy set, or problems in our words."""
    loaded, found = loader.from_document(read(text, "f.yml"))
    assert (loaded is None) is bool(found)
    for problem in map(str, found):
        assert re.match(r"f\.yml(:\d+:\d+)?: .* \(.+\)$", problem), problem
        for turn in ("Input should", "Value error", "pydantic", "https://", "validation", "Extra inputs", "Field req"):
            assert turn not in problem


@settings(deadline=None)
@given(FILES)
def test_any_data_give_a_policy_set_or_problems_in_our_words(data: Any) -> None:
    """Never another exception, and never the words of pydantic."""
    assert_told_well(json.dumps(data))


@settings(deadline=None)
@given(st.data())
def test_any_slip_in_a_file_gives_a_policy_set_or_problems(data: st.DataObject) -> None:
    """A valid file with a piece cut out and another put in."""
    start = data.draw(st.integers(0, len(BACKEND)))
    end = data.draw(st.integers(start, min(len(BACKEND), start + 12)))
    piece = data.draw(st.text("{}[]:,- \n\t&*!'\"0123456789abxyz%", max_size=8))
    assert_told_well(BACKEND[:start] + piece + BACKEND[end:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_in_a_file_give_a_policy_set_or_a_policy_error(tmp_path: Path, content: bytes) -> None:
    """Any content at all."""
    (tmp_path / "a.yml").write_bytes(content)
    with pytest.raises(PolicyError):
        loader.load([tmp_path])
    loader.fingerprint([tmp_path])
