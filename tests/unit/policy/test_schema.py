from __future__ import annotations

import ast
import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from autoscaler.policy.file import policy_schema
from autoscaler.policy_files import loader
from autoscaler.policy_files.yaml_document import read
from autoscaler.strategies import registered
from autoscaler.strategies.registry import is_built_in

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SCHEMA = policy_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

BEHAVIOUR = {"cooldown": "1m", "stabilization": "2m", "limits": [{"replicas": 2, "per": "1m"}], "select": "min"}
SCALE_UP = {**BEHAVIOUR, "give_back": "10m"}
KEYS_OF_ALL = {
    "exclude": ["web_db"],
    "replicas": {"min": 1, "max": 10},
    "rules": [
        {"name": "t", "metric": "cpu", "group": "g", "strategy": "threshold", "above": 7, "for": "5m", "add": "50%"},
        {"name": "b", "metric": "cpu", "below": 7, "for": "5m", "at_least": "80%", "remove": 1},
        {
            "name": "a",
            "metric": "memory",
            "strategy": "target",
            "target": 60,
            "tolerance": "5%",
            "ineffective_after": 3,
        },
        {
            "name": "s",
            "metric": "queue.depth",
            "strategy": "steps",
            "above": 70,
            "steps": [{"lower": 0, "upper": 5, "add": "10%", "minimum": 2}, {"lower": 5, "exactly": 9}],
        },
        {"name": "d", "metric": "cpu", "strategy": "steps", "below": 7, "steps": [{"upper": 0, "remove": 1}]},
        {"name": "c", "metric": "companies", "strategy": "table", "table": {"1": 2, "21.5": 3}},
    ],
    "scale_up": SCALE_UP,
    "scale_down": {**BEHAVIOUR, "limits": [{"percent": 10, "per": "1m"}], "select": "disabled"},
    "schedules": [
        {"name": "n", "start": "0 1 * * *", "end": "0 2 * * *", "timezone": "Europe/Lisbon", "min": 2, "max": 3}
    ],
    "guards": [
        {"name": "g", "metric": "cpu", "above": 9, "for": "1m", "block": "both", "on_missing": "allow"},
        {"name": "h", "metric": "companies", "below": 9, "block": "down"},
    ],
    "fallback": {"after": "10m", "replicas": 6},
    "on_deploy": "accept",
    "on_starved": "allow",
    "flap_guard": False,
    "paused": "down",
}
EVERYTHING: dict[str, Any] = {
    "version": 1,
    "defaults": KEYS_OF_ALL,
    "metrics": {
        "companies": {"query": "sum(companies)", "unit": "companies", "step": "1m", "offset": "2m"},
        "queue.depth": {
            "query": "sum by (service, task) (queue)",
            "source": "prometheus",
            "by": "service",
            "task": "task",
            "kind": "average",
            "aggregate": "max",
            "reporting": "80%",
            "redistributes": True,
        },
        "cpu": {},
    },
    "policies": [
        {"name": "by-name", "services": ["web", "api_*"], **KEYS_OF_ALL},
        {"name": "by-label", "match_labels": {"tier": "web", "zone": ""}, "fallback": None},
        {"name": "by-wish", **KEYS_OF_ALL},
    ],
}
"""A policy file with every key there is."""
NAMED_BY_PEOPLE = {"metrics", "match_labels", "table"}
"""The keys whose value's keys are names, not the format's."""


def refused(document: Any) -> bool:
    """Whether an editor with the schema marks *document*."""
    return not VALIDATOR.is_valid(document)


def valid(document: Any) -> bool:
    """Whether the loader takes *document* for a valid policy set."""
    return loader.from_document(read(json.dumps(document), "f"))[0] is not None


def keys_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The ways to all keys of the format in *value*."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not path or path[-1] not in NAMED_BY_PEOPLE:
                yield (*path, key)
            yield from keys_in(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from keys_in(part, (*path, index))


ALL_KEYS = sorted(keys_in(EVERYTHING), key=str)


def without(document: Any, path: tuple[str | int, ...]) -> tuple[Any, Any]:
    """A copy of *document* without the key at *path*, and the mapping that it was in."""
    copy = deepcopy(document)
    parent = copy
    for step in path[:-1]:
        parent = parent[step]
    del parent[path[-1]]
    return copy, parent


def written() -> Iterator[Any]:
    """Each policy file here, and each that a test writes out, as plain data, valid or not."""
    for file in sorted((ROOT / "policies").rglob("*.yml")):
        yield read(file.read_text(), file.name).data
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "version: 1" in node.value:
                yield read(node.value, file.name).data


@cache
def valid_ones() -> tuple[Any, ...]:
    """Those of them that are valid; a test file's policies where they stand in it."""
    parts = (data.get("policies", {}) if isinstance(data, dict) and "tests" in data else data for data in written())
    return tuple(data for data in parts if isinstance(data, dict) and valid(data))


# What it accepts


def test_it_is_a_json_schema() -> None:
    """Of the draft that it names."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_it_is_json() -> None:
    """`autoscaler schema` prints it."""
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_every_valid_policy_file_here_fits() -> None:
    """What `autoscaler check` accepts, an editor with the schema accepts."""
    assert len(valid_ones()) > 5
    for data in valid_ones():
        assert [error.message for error in VALIDATOR.iter_errors(data)] == []


def test_a_file_with_every_key_fits() -> None:
    """`schema` covers all of it."""
    assert valid(EVERYTHING)
    assert [error.message for error in VALIDATOR.iter_errors(EVERYTHING)] == []
    plugins = {rule.__name__ for rule in registered().values() if not is_built_in(rule)}
    parts = (SCHEMA, *(part for name, part in SCHEMA["$defs"].items() if name not in plugins))
    known = {key for part in parts for key in part["properties"]}
    assert {str(path[-1]) for path in ALL_KEYS} == known


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_what_the_loader_accepts_fits(data: st.DataObject) -> None:
    """Whatever is left out of a file or written in another way: where it is valid, no editor marks it."""
    document = EVERYTHING
    for path in data.draw(st.lists(st.sampled_from(ALL_KEYS), max_size=4, unique=True)):
        try:
            document, parent = without(document, path)
        except (KeyError, IndexError, TypeError):
            continue  # it went with what held it
        if data.draw(st.booleans()):
            parent[path[-1]] = data.draw(
                st.sampled_from([None, True, 0, 1, 7, 0.5, "", "x", "5m", "0s", "10%", "up", [], {}, {"min": 1}, ["x"]])
            )
    if valid(document):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


# What it refuses


@pytest.mark.parametrize("path", ALL_KEYS, ids=lambda path: ".".join(map(str, path)))
def test_a_misspelt_key_is_refused_wherever_it_stands(path: tuple[str | int, ...]) -> None:
    """By the schema as by the loader."""
    document, parent = without(EVERYTHING, path)
    value: Any = EVERYTHING
    for step in path:
        value = value[step]
    parent[f"{path[-1]}x"] = value
    assert refused(document)
    assert not valid(document)


@pytest.mark.parametrize(
    "text",
    [
        "version: 2",
        "version: '1'",
        "policies: []",
        "metrics: {9a: {query: x}}",
        "metrics: {a b: {query: x}}",
        "metrics: {a: {query: 5}}",
        "metrics: {a: 5}",
        "metrics: {a: {query: x, kind: sum}}",
        "metrics: {a: {query: x, step: 60}}",
        "defaults:",
        "defaults: {name: x}",
        "defaults: {services: [x]}",
        "defaults: {match_labels: {a: b}}",
        "defaults: {replicas: {min: -1}}",
        "defaults: {scale_up: {cooldown: 5}}",
        "defaults: {scale_up: null}",
        "defaults: {rules: [{metric: cpu, above: 1, add: 1}]}",
        "defaults: {rules: [{name: r, metric: cpu, strategy: treshold, above: 1, add: 1}]}",
        "defaults: {guards: [{name: g, metric: cpu, above: 1, block: sideways}]}",
        "defaults: {guards: [{name: g, metric: cpu, above: 1}]}",
        "defaults: {paused: maybe}",
        "policies: [{services: [a]}]",
        "policies: [{name: a, services: []}]",
        "policies: [{name: a, services: web}]",
        "policies: [{name: a, match_labels: {}}]",
        "policies: [{name: a, match_labels: {tier: 1}}]",
        "policies: [{name: a b}]",
    ],
)  # fmt: skip
def test_what_the_loader_refuses_of_one_key_the_schema_refuses(text: str) -> None:
    """Wrong types, words and shapes are marked while they are typed."""
    document = yaml.safe_load(text)
    if "version" not in document:
        document["version"] = 1
    assert refused(document)
    assert not valid(document)


def test_what_defaults_may_give_is_not_asked_of_a_policy() -> None:
    """The defaults may stand in another file, which an editor does not see; a policy's name is its own."""
    assert not refused({"version": 1, "policies": [{"name": "a", "replicas": {"max": 5}, "fallback": {"after": "5m"}}]})
    assert refused({"version": 1, "policies": [{"replicas": {"max": 5}}]})


# What it explains


def properties() -> list[Any]:
    """Each key of each part, with the key's own schema."""
    parts = {"PolicyFile": SCHEMA} | SCHEMA["$defs"]
    return [
        pytest.param(value, id=f"{name}.{key}")
        for name, part in parts.items()
        for key, value in part["properties"].items()
    ]


@pytest.mark.parametrize("value", properties())
def test_every_key_is_explained(value: dict[str, Any]) -> None:
    """An editor explains every key: by a sentence, with a full stop."""
    assert value["description"].strip().endswith((".", ")", "1."))


@pytest.mark.parametrize("part", sorted(SCHEMA["$defs"]))
def test_every_part_is_explained(part: str) -> None:
    """What a mapping is as a whole, too."""
    assert SCHEMA["$defs"][part]["description"].strip().endswith(".")


@pytest.mark.parametrize("value", [each for each in properties() if "default" in each.values[0]])
def test_every_default_is_one_that_a_file_may_say(value: dict[str, Any]) -> None:
    """An editor that completes a key writes its default: `5m`, not 300."""
    assert [error.message for error in VALIDATOR.evolve(schema=value).iter_errors(value["default"])] == []


def test_the_defaults_are_shown() -> None:
    """As a file writes them."""
    parts = SCHEMA["$defs"]
    assert parts["ScaleUp"]["properties"]["cooldown"]["default"] == "3m"
    assert parts["ScaleDown"]["properties"]["cooldown"]["default"] == "5m"
    assert parts["Target"]["properties"]["tolerance"]["default"] == "10%"
    assert parts["Policy"]["properties"]["flap_guard"]["default"] is True
