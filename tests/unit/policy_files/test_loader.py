from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoscaler.errors import PolicyError
from autoscaler.policy_files import loader
from autoscaler.policy_files.yaml_document import MAX_BYTES, read
from tests.support.policy_sets import BACKEND, entry, load, policies, problems

if TYPE_CHECKING:
    from pathlib import Path

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
        "policies[0].scale_down.cooldown: 'x' is not a duration",
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
    with pytest.raises(PolicyError, match=r"a\.yml: is not a regular file"):
        loader.load([tmp_path])
    made_by_docker = "Docker makes a directory if the file of a bind mount does not exist; correct the mount's source"
    (tmp_path / "a.yml").unlink()
    with pytest.raises(PolicyError, match=rf"b\.yml: is not a regular file \({made_by_docker}\)"):
        loader.load([tmp_path])
    with pytest.raises(PolicyError, match=rf"b\.yml: is a directory without a policy file \({made_by_docker}\)"):
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


# Whatever the text

KEYS = st.sampled_from(
    [
        *("version", "policies", "name", "services", "exclude", "replicas", "rules", "min", "max", "metric"),
        *("above", "below", "for", "add", "remove", "scale_up", "scale_down", "cooldown", "strategy"),
        *("defaults", "metrics", "match_labels", "guards", "fallback", "schedules", "limits", "query", "by", "task"),
        *("threshold", "x", "for_", "", "[key]"),
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
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "guards": st.lists(RULES | NESTED, max_size=2) | NESTED,
    "schedules": st.lists(NESTED, max_size=2) | NESTED,
    "fallback": st.fixed_dictionaries({}, optional={"after": VALUES, "replicas": VALUES, "x": VALUES}) | NESTED,
    "scale_down": st.fixed_dictionaries({}, optional={"limits": st.lists(NESTED, max_size=2), "select": VALUES}),
    "paused": VALUES,
}
POLICIES = st.fixed_dictionaries(
    {},
    optional=PARTS
    | {
        "name": VALUES,
        "services": st.lists(VALUES, max_size=3) | NESTED,
        "exclude": st.lists(VALUES, max_size=3) | NESTED,
        "replicas": st.fixed_dictionaries({}, optional={"min": VALUES, "max": VALUES, "x": VALUES}) | NESTED,
        "rules": st.lists(RULES | NESTED, max_size=3) | NESTED,
        "scale_up": NESTED,
        "match_labels": st.dictionaries(KEYS, VALUES, max_size=3) | NESTED,
        "y": NESTED,
    },
)
METRICS = st.fixed_dictionaries(
    {}, optional={"query": VALUES, "by": VALUES, "task": VALUES, "kind": VALUES, "x": VALUES}
)
FILES = (
    st.fixed_dictionaries(
        {"version": st.just(1), "policies": st.lists(POLICIES | NESTED, max_size=3)},
        optional={
            "defaults": POLICIES | NESTED,
            "metrics": st.dictionaries(KEYS | st.just("cpu"), METRICS | NESTED, max_size=3) | NESTED,
        },
    )
    | NESTED
)


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
