from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.policy.policy import Policy
from autoscaler.policy_files import loader
from autoscaler.policy_files.yaml_document import read
from autoscaler.policy_files.yaml_reader import MAX_NODES
from tests.support.policy_sets import load, problems

if TYPE_CHECKING:
    from pathlib import Path

RULE = "{name: r, metric: cpu, above: 70, add: 1}"
RULES = f"rules: [{RULE}]"


def with_defaults(defaults: str, *entries: str) -> str:
    """A file with *defaults*, a flow mapping, in line 2, and the policies *entries* from line 4 on."""
    return f"version: 1\ndefaults: {defaults}\n" + without_defaults(*entries).removeprefix("version: 1\n")


def without_defaults(*entries: str) -> str:
    """A file with the policies *entries* from line 3 on."""
    return "version: 1\npolicies:\n" + "".join(f"- {{{entry}}}\n" for entry in entries)


def marked(text: str) -> tuple[str, str]:
    """*text* without its mark », and the line and column where it stood."""
    before, _, after = text.partition("»")
    line = before.count("\n") + 1
    return before + after, f"{line}:{len(before) - before.rfind(chr(10))}"


def only(folder: Path, **files: str) -> Policy:
    """The one policy of *files*."""
    (policy,) = load(folder, **files).policies
    return policy


# What they give


def test_a_policy_has_what_it_leaves_out_from_the_defaults(tmp_path: Path) -> None:
    """`defaults` is merged under every policy: what the policy says itself counts."""
    text = with_defaults(
        f"{{replicas: {{min: 2, max: 5}}, {RULES}, flap_guard: false, paused: up}}",
        "name: a, services: [a]",
        "name: b, services: [b], replicas: {min: 3, max: 4}, flap_guard: true, paused: false",
    )
    a, b = load(tmp_path, a=text).policies
    assert (a.replicas.min, a.replicas.max, a.flap_guard, a.paused, a.rules[0].name) == (2, 5, False, "up", "r")
    assert (b.replicas.min, b.replicas.max, b.flap_guard, b.paused, b.rules[0].name) == (3, 4, True, False, "r")


def test_mappings_are_merged_key_by_key(tmp_path: Path) -> None:
    """A policy may change a part of a default: `replicas`, `scale_up`, `scale_down` and `fallback` are mappings."""
    policy = only(
        tmp_path,
        a=with_defaults(
            "{replicas: {min: 2}, scale_up: {cooldown: 1m, select: min}, fallback: {after: 7m, replicas: 3}}",
            f"name: a, replicas: {{max: 9}}, scale_up: {{cooldown: 2m}}, fallback: {{after: 8m}}, {RULES}",
        ),
    )
    assert (policy.replicas.min, policy.replicas.max) == (2, 9)
    assert (policy.scale_up.cooldown, policy.scale_up.select, policy.scale_up.stabilization) == (120, "min", 0)
    assert policy.fallback is not None
    assert (policy.fallback.after, policy.fallback.replicas) == (480, 3)


def test_lists_are_replaced_as_a_whole(tmp_path: Path) -> None:
    """A policy's own rules, guards, schedules, limits and exclusions are all it has."""
    policy = only(
        tmp_path,
        a=with_defaults(
            f"{{{RULES}, exclude: [x], guards: [{{name: g, metric: cpu, above: 90, block: up}}], "
            "scale_up: {limits: [{replicas: 1, per: 1m}]}}",
            "name: a, services: ['a*'], replicas: {min: 1, max: 2}, exclude: [ab], guards: [], "
            "scale_up: {limits: []}, rules: [{name: own, metric: memory, above: 80, add: 1}]",
        ),
    )
    assert [rule.name for rule in policy.rules] == ["own"]
    assert (policy.exclude, policy.guards, policy.scale_up.limits) == (("ab",), (), ())


def test_a_policy_may_have_no_fallback_where_the_defaults_give_one(tmp_path: Path) -> None:
    """`fallback: null` is what takes it away."""
    text = with_defaults(
        "{fallback: {after: 5m, replicas: 2}}",
        f"name: a, services: [a], replicas: {{min: 1, max: 2}}, fallback: null, {RULES}",
    )
    assert only(tmp_path, a=text).fallback is None


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_defaults_count_for_the_policies_of_all_files(tmp_path: Path, first: str, second: str) -> None:
    """Files are one set: the defaults may stand in another file, before or after, alone or not."""
    files = {
        first: "version: 1\ndefaults: {replicas: {min: 2, max: 3}}\n",
        second: without_defaults(f"name: p, services: [p], {RULES}"),
    }
    assert only(tmp_path, **files).replicas.max == 3


def test_anchors_and_defaults_go_together(tmp_path: Path) -> None:
    """An alias and a merge key are what they stand for before the defaults are merged under them."""
    policy = only(
        tmp_path,
        a=(
            "version: 1\n"
            "defaults:\n"
            "  scale_up: &up {cooldown: 1m, stabilization: 2m}\n"
            "policies:\n"
            "- name: a\n"
            "  services: [a]\n"
            "  replicas: {min: 1, max: 2}\n"
            "  scale_down: {<<: *up, cooldown: 9m}\n"
            f"  {RULES}\n"
        ),
    )
    assert (policy.scale_up.cooldown, policy.scale_up.stabilization) == (60, 120)
    assert (policy.scale_down.cooldown, policy.scale_down.stabilization) == (540, 120)


def test_a_change_of_the_defaults_is_another_revision(tmp_path: Path) -> None:
    """The revision names the content of the whole set."""
    files = {"a": without_defaults(f"name: a, services: [a], {RULES}")}
    one = load(tmp_path, **files, b="version: 1\ndefaults: {replicas: {min: 1, max: 2}}\n").revision
    assert one != load(tmp_path, b="version: 1\ndefaults: {replicas: {min: 1, max: 3}}\n").revision


WHOLE: dict[str, Any] = {
    "exclude": ["x"],
    "replicas": {"min": 1, "max": 9},
    "rules": [{"name": "r", "metric": "cpu", "above": 70, "add": 1}],
    "scale_up": {"cooldown": "1m", "stabilization": "2m", "limits": [{"percent": 50, "per": "1m"}], "select": "min"},
    "scale_down": {"cooldown": "3m", "stabilization": "4m", "select": "disabled"},
    "schedules": [{"name": "s", "start": "0 1 * * *", "end": "0 2 * * *", "min": 2}],
    "guards": [{"name": "g", "metric": "cpu", "above": 90, "block": "up"}],
    "fallback": {"after": "5m", "replicas": 3},
    "flap_guard": False,
    "paused": "up",
}


@settings(deadline=None)
@given(st.data())
def test_it_makes_no_difference_what_the_defaults_give(data: st.DataObject) -> None:
    """However the keys of a policy are shared out between it and the defaults, it is the same policy."""
    written: dict[str, Any] = {"name": "p", "services": ["p*"]}
    defaults: dict[str, Any] = {}
    for key, value in WHOLE.items():
        if not isinstance(value, dict):
            data.draw(st.sampled_from([written, defaults]))[key] = value
            continue
        for part, content in value.items():
            data.draw(st.sampled_from([written, defaults])).setdefault(key, {})[part] = content
    text = json.dumps({"version": 1, "defaults": defaults, "policies": [written]})
    loaded, found = loader.from_document(read(text, "f"))
    assert found == []
    assert loaded is not None
    assert loaded.policies.policies == (Policy.model_validate({"name": "p", "services": ["p*"], **WHOLE}),)


# What is wrong with them


def two(defaults: str, more: str = "replicas: {min: 1, max: 5}") -> str:
    """A file with *defaults* and two policies that have *more* and a rule of their own."""
    return with_defaults(defaults, *(f"name: {name}, services: [{name}], {more}, {RULES}" for name in "ab"))


@pytest.mark.parametrize(
    ("defaults", "found"),
    [
        ("»5", ": is the number 5, not a mapping (write defaults: {scale_down: {cooldown: 10m}})"),
        ("»[]", ": is an empty list, not a mapping (write defaults: {scale_down: {cooldown: 10m}})"),
        ("»~", ": is nothing, not a mapping (write defaults: {scale_down: {cooldown: 10m}})"),
        ("{paused: »maybe}", ".paused: 'maybe' is not a way to pause (write true, false, up or down)"),
        ("{replicas: {min: »-1}}", ".replicas.min: is the number -1 (write a number of at least 0)"),
        ("{replicas: »5}", ".replicas: is the number 5, not a mapping (write replicas: {min: 2, max: 10})"),
        ("{replicas: »null}", ".replicas: is nothing, not a mapping (write replicas: {min: 2, max: 10})"),
        ("{scale_up: {cooldown: »5}}", ".scale_up.cooldown: 5 has no unit (write 5s for seconds or 5m for minutes)"),
        ("{scale_up: {cooldown: »1:30}}", '.scale_up.cooldown: "1:30" is a number to the base of 60 in YAML 1.1 and'),
        ("{fallback: {replicas: »0}}", ".fallback.replicas: is the number 0 (write a number of at least 1)"),
        (
            "{guards: [»{name: g, metric: cpu, block: up}]}",
            ".guards[0]: a guard has one bound (give either above or below)",
        ),
        (
            "{guards: [{name: g, metric: »cpus, above: 1, block: up}]}",
            '.guards[0].metric: unknown metric "cpus" (did you mean "cpu"? known metrics: cpu, memory)',
        ),
        (
            "{guards: [{name: g, metric: cpu, above: 1, block: up}, {name: »g, metric: cpu, below: 1, block: up}]}",
            '.guards[1].name: a second guard named "g", after the one in line 2 (give each guard a name of its own)',
        ),
        ("{exclude: [x, »5]}", '.exclude[1]: is the number 5, not text (write "5", in quotes)'),
    ],
)
def test_what_is_wrong_with_the_defaults_is_told_once_where_they_stand(
    tmp_path: Path, defaults: str, found: str
) -> None:
    """And not again for each policy that has it from there, in this file or another."""
    other = without_defaults(f"name: c, services: [c], replicas: {{min: 1, max: 5}}, {RULES}")
    text, place = marked(two(defaults))
    (told,) = problems(tmp_path, a=text, b=other)
    assert told.startswith(f"a.yml:{place}: defaults{found}")


@pytest.mark.parametrize(
    ("defaults", "found"),
    [
        ("{»repilcas: {min: 1, max: 5}}", '.repilcas: unknown key (did you mean "replicas"? known here: exclude, '),
        ("{replicas: {»mn: 1, max: 5}}", '.replicas.mn: unknown key (did you mean "min"? known here: min, max)'),
        ("{replicas: {min: 1, max: »x}}", '.replicas.max: is the text "x", not a whole number (write a whole number)'),
    ],
)
def test_what_a_slip_keeps_from_the_policies_is_not_missing_there(tmp_path: Path, defaults: str, found: str) -> None:
    """One fault is one problem: the policies would have the key."""
    text, place = marked(two(defaults, "paused: false"))
    (told,) = problems(tmp_path, a=text)
    assert told.startswith(f"a.yml:{place}: defaults{found}")


def test_a_slip_in_a_part_is_told_with_the_part_s_own_keys(tmp_path: Path) -> None:
    """What is near is looked for where the slip is, however deep."""
    text = two("{scale_up: {cooldwon: 5m, limits: [{replica: 3, per: 5m}]}, fallback: {aftr: 5m}}")
    assert [problem.partition(" known here")[0] for problem in problems(tmp_path, a=text)] == [
        'a.yml:2:23: defaults.scale_up.cooldwon: unknown key (did you mean "cooldown"?',
        'a.yml:2:47: defaults.scale_up.limits[0].replica: unknown key (did you mean "replicas"?',
        'a.yml:2:82: defaults.fallback.aftr: unknown key (did you mean "after"?',
    ]


@pytest.mark.parametrize("key", ["name: x", "services: [x]", "match_labels: {a: b}"])
def test_no_default_can_say_which_services_a_policy_means(tmp_path: Path, key: str) -> None:
    """Name, services and match_labels are each policy's own, and are not given to one by a refused default."""
    (told,) = problems(tmp_path, a=two(f"{{{key}}}"))
    assert told.startswith(f"a.yml:2:12: defaults.{key.partition(':')[0]}: unknown key (")
    assert "known here: exclude, replicas, rules" in told


def test_defaults_stand_in_one_file(tmp_path: Path) -> None:
    """Which of two counts would depend on the files' names."""
    files = {name: f"version: 1\ndefaults: {{paused: {name == 'a'}}}\n".lower() for name in "abc"}
    text = without_defaults(f"name: p, services: [p], replicas: {{min: 1, max: 2}}, {RULES}")
    assert problems(tmp_path, **files, d=text) == [
        f"{name}.yml:2:1: defaults: there are defaults in a.yml:2 already, which count for every policy of all files "
        "(keep them in one file)"
        for name in "bc"
    ]


# What is wrong with the two together


@pytest.mark.parametrize(
    ("defaults", "policy", "found"),
    [
        (
            "{replicas: {min: 6}}",
            f"replicas: »{{max: 5}}, {RULES}",
            ".replicas: min 6 is greater than max 5 (swap them?)",
        ),
        ("{replicas: {min: 6, max: 5}}", f"»{RULES}", ".replicas: min 6 is greater than max 5 (swap them?)"),
        (
            "{fallback: {replicas: 6}}",
            f"»replicas: {{min: 1, max: 9}}, {RULES}",
            '.fallback: the key "after" is missing (add after: 10m)',
        ),
        (
            "{fallback: {after: 5m, replicas: 6}}",
            f"»replicas: {{min: 1, max: 5}}, {RULES}",
            ": the fallback of 6 replicas is above max 5 (raise max, or lower the fallback)",
        ),
        ("{replicas: {min: 0}}", f"replicas: »{{max: 5}}, {RULES}", ".replicas.min: min is 0, but no rule could wake"),
        (
            "{scale_up: {cooldown: 1m}}",
            f"»{RULES}",
            ': the key "replicas" is missing (add replicas: {min: 2, max: 10})',
        ),
    ],
)
def test_what_a_policy_and_the_defaults_contradict_is_told_at_the_policy(
    tmp_path: Path, defaults: str, policy: str, found: str
) -> None:
    """At the nearest place in the text of the policy concerned, and of no other."""
    good = f"name: b, services: [b], replicas: {{min: 1, max: 9}}, fallback: null, {RULES}"
    text, place = marked(with_defaults(defaults, f"{policy}, name: a, services: [a]", good))
    if policy.startswith("»"):  # the policy itself, which begins with the brace
        line, column = place.split(":")
        place = f"{line}:{int(column) - 1}"
    (told,) = problems(tmp_path, a=text)
    assert told.startswith(f"a.yml:{place}: policies[0]{found}")


def test_a_service_that_a_policy_names_and_the_defaults_exclude_is_told_at_the_name(tmp_path: Path) -> None:
    """The exclusion is every policy's."""
    text, place = marked(
        with_defaults("{exclude: [db]}", f"name: a, services: [web, »db], replicas: {{min: 1, max: 2}}, {RULES}")
    )
    assert problems(tmp_path, a=text) == [
        f'a.yml:{place}: policies[0].services[1]: "db" is in services and in exclude (remove it from one of the two)'
    ]


def test_a_place_is_that_of_the_text_whatever_the_defaults_give(tmp_path: Path) -> None:
    """Line and column of what a policy says itself do not move, an anchor's being where it is set."""
    text = (
        "version: 1\n"
        "defaults: {scale_up: {cooldown: 1m}, rules: [{name: r, metric: cpu, above: 1, add: 1}]}\n"
        "policies:\n"
        "- name: a\n"
        "  services: [a]\n"
        "  replicas: &bounds {min: 1, max: x}\n"
        "  scale_up: {select: most}\n"
        "- {name: b, services: [b], replicas: *bounds}\n"
    )
    told = problems(tmp_path, a=text)
    assert [problem.split(": ")[:2] for problem in told] == [
        ["a.yml:6:35", "policies[0].replicas.max"],
        ["a.yml:6:35", "policies[1].replicas.max"],
        ["a.yml:7:22", "policies[0].scale_up.select"],
    ]


def test_a_policy_s_null_is_its_own_fault(tmp_path: Path) -> None:
    """What a policy says is not replaced by a default because it is nothing."""
    policy = f"name: a, services: [a], scale_up: »null, replicas: {{min: 1, max: 5}}, {RULES}"
    text, place = marked(with_defaults("{scale_up: {cooldown: 1m}}", policy))
    (told,) = problems(tmp_path, a=text)
    assert told.startswith(f"a.yml:{place}: policies[0].scale_up: is nothing, not a mapping (write scale_up: ")


def test_one_policy_s_own_fault_is_told_beside_that_of_the_defaults(tmp_path: Path) -> None:
    """All problems at once."""
    text = with_defaults("{scale_up: {cooldown: 5}}", f"name: a, services: [a], replicas: {{min: x, max: 5}}, {RULES}")
    assert [problem.split(": ")[1] for problem in problems(tmp_path, a=text)] == [
        "defaults.scale_up.cooldown",
        "policies[0].replicas.min",
    ]


# Sizes


def test_a_thousand_policies_with_defaults_load(tmp_path: Path) -> None:
    """A set of a thousand policies that say what they mean, and have the rest from the defaults."""
    rules = ", ".join(f"{{name: r{index}, metric: cpu, above: {60 + index}, add: 1}}" for index in range(4))
    entries = (f"name: p{index}, services: [s{index}]" for index in range(1000))
    text = with_defaults(f"{{replicas: {{min: 1, max: 5}}, rules: [{rules}]}}", *entries)
    found = load(tmp_path, a=text).policies
    assert len(found) == 1000
    assert {len(policy.rules) for policy in found} == {4}


def test_defaults_that_would_grow_beyond_all_bounds_are_refused(tmp_path: Path) -> None:
    """Written out in each policy they count as the text would: a large list for many policies is no small file."""
    rules = ", ".join(f"{{name: r{index}, metric: cpu, above: 70, add: 1}}" for index in range(100))
    defaults = f"{{replicas: {{min: 1, max: 5}}, rules: [{rules}]}}"
    files = {"a": f"version: 1\ndefaults: {defaults}\n"}
    many = without_defaults(*(f"name: p{index}, services: [s{index}]" for index in range(2000)))
    (told,) = problems(tmp_path, **files, b=many)
    said = f"a.yml:2:11: defaults: written out in each policy of b.yml, they are more than {MAX_NODES} nodes (give what"
    assert told.startswith(said)
    few = without_defaults(*(f"name: p{index}, services: [s{index}]" for index in range(5)))
    assert len(load(tmp_path, b=few).policies) == 5
