"""Docker's lists, read a piece at a time."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from autoscaler.adapters.docker import lists as engine_lists
from autoscaler.adapters.docker.lists import read_nodes, read_services, read_tasks
from autoscaler.swarm.cluster import ROLLBACK_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEXTS = st.sampled_from(["", "a", "é", "\N{GRINNING FACE}", '"},{"ID":"', '"},{"ID":"a","Version":', "\\", "},{"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS | st.just("ID"), inner, max_size=2),
    max_leaves=6,
)
PARTS = st.sampled_from(["Mode", "EndpointSpec", "UpdateConfig", "Networks", "é"])
TEMPLATES = st.dictionaries(st.sampled_from(["ContainerSpec", "Resources", "Placement", "New"]), VALUES, max_size=3)
SPECS = st.builds(
    lambda parts, template, labels: parts | {"TaskTemplate": template, "Labels": labels},
    st.dictionaries(PARTS, VALUES, max_size=3),
    TEMPLATES,
    st.none() | st.dictionaries(TEXTS, TEXTS, max_size=2),
)
SERVICES = st.fixed_dictionaries(
    {"ID": TEXTS, "Version": st.fixed_dictionaries({"Index": st.integers()}), "Spec": SPECS},
    optional={"PreviousSpec": st.none() | SPECS, "CreatedAt": TEXTS},
)
MIB = 2**20


def written(documents: list[Any], *, blanks: bool = False, ascii_only: bool = True) -> bytes:
    """A list as the engine writes it, or another way."""
    separators = (", ", ": ") if blanks else (",", ":")
    return json.dumps(documents, separators=separators, ensure_ascii=ascii_only).encode()


def cut(text: bytes, at: int) -> Iterator[bytes]:
    """*text* in pieces of that many bytes."""
    return (text[start : start + at] for start in range(0, len(text), at))


def values(document: Any) -> Any:
    """*document* with the values of what was kept as text."""
    if isinstance(document, Raw):
        return json.loads(bytes(document))
    if isinstance(document, dict):
        return {name: values(value) for name, value in document.items()}
    return document


def task(image: str, desired: str = "running") -> dict[str, Any]:
    """A task of the service s that runs *image*."""
    spec = {"ContainerSpec": {"Image": image}, "Resources": {"Limits": {}}}
    return {"ID": "t", "Version": {"Index": 3}, "ServiceID": "s", "DesiredState": desired, "Spec": spec}


def template(image: str) -> dict[str, Any]:
    """What tasks of the service s are made from, as a list of services shows it."""
    spec = task(image)["Spec"] | {"Runtime": "container"}
    (service,) = read_services([written([{"ID": "s", "Spec": {"TaskTemplate": spec}}])])
    made: dict[str, Any] = service["Spec"]["TaskTemplate"]
    return {part: value for part, value in made.items() if part != "Runtime"}


@given(documents=st.lists(SERVICES, max_size=5), at=st.integers(1, 200), blanks=st.booleans(), plain=st.booleans())
def test_a_list_is_what_it_says_however_it_is_written_and_cut(
    documents: list[dict[str, Any]], at: int, *, blanks: bool, plain: bool
) -> None:
    """Pieces may end within a name, a number, an escape or a letter, and blanks mean nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_lists, "_PIECE", 1)
        listed = read_services(cut(written(documents, blanks=blanks, ascii_only=plain) + b"\n", at))
    assert [values(document) for document in listed] == documents


def test_what_nobody_reads_is_not_kept() -> None:
    """Fields that are not read are dropped, and the label of the rollback point, which is long."""
    labels = {ROLLBACK_LABEL: "x" * 1000, "tier": "web"}
    service = {
        "ID": "s",
        "Endpoint": {"VirtualIPs": []},
        "Spec": {"Labels": labels},
        "PreviousSpec": {"Labels": labels},
    }
    kept = {"Labels": {"tier": "web"}}
    assert read_services([written([service])]) == ({"ID": "s", "Spec": kept, "PreviousSpec": kept},)


def test_what_the_last_update_left_is_kept_once() -> None:
    """A part of the spec before that has the same text is the same value."""
    spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "web:1"}}, "Mode": {}}
    (listed,) = read_services([written([{"ID": "s", "Spec": spec, "PreviousSpec": spec | {"Mode": None}}])])
    assert listed["PreviousSpec"]["TaskTemplate"] is listed["Spec"]["TaskTemplate"]
    assert listed["PreviousSpec"]["Mode"] is None


@pytest.mark.parametrize(
    ("templates", "desired", "kept"),
    [
        ({"s": template("web:1")}, "running", [False, True, False]),
        ({"s": template("web:2")}, "running", [True, False, True]),
        ({"s": template("web:2")}, "shutdown", [False, False, False]),
        ({"other": template("web:2")}, "running", [False, False, False]),
        ({}, "running", [False, False, False]),
    ],
)
def test_a_task_keeps_its_spec_if_it_was_made_from_another_one(
    templates: Mapping[str, Any], desired: str, kept: list[bool]
) -> None:
    """Of tasks that are to run, and of services that are asked about; a spec is most of a task's text."""
    tasks = read_tasks([written([task(image, desired) for image in ("web:1", "web:2", "web:1")])], templates)
    assert ["Spec" in each for each in tasks] == kept


def test_objects_within_objects() -> None:
    """A list of objects with an ID within an object, as of a task's volumes, does not end it."""
    volumes = [{"ID": "a", "Source": "x", "Target": "y"}] * 3
    tasks = [task("web:1") | {"Volumes": volumes}] * 2000
    assert len(read_tasks(cut(written(tasks), 10_000), {})) == len(tasks)


def test_a_long_list_is_never_in_memory_as_a_whole() -> None:
    """No more is in memory than what is kept of the list, and some pieces."""
    item = written([{"ID": "x", "Version": {"Index": 1}, "Description": {"Plugins": "p" * 10_000}}])[1:-1]

    def pieces() -> Iterator[bytes]:
        yield b"[" + item
        for _ in range(5000):
            yield b"," + item
        yield b"]"

    tracemalloc.start()
    try:
        assert len(read_nodes(pieces())) == 5001
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        '{"message": "a list?"}',
        "<html></html>",
        "[",
        "[" * 100_000,
        '[{"a": ' + "[" * 100_000,
        "[1]",
        "[null]",
        "[[]]",
        '["a"]',
        "[{}, 1]",
        "[{},]",
        "[,{}]",
        "[{} {}]",
        "[{}",
        '[{"a": 1',
        "[{}]]",
        "[{}] {}",
        "[{'a': 1}]",
        '[{"ID":"a"},{"ID":"b"',
        '[{"ID":"a"},{"ID":}]',
        '[{"ID":"a","Version":{}},{"ID":"b","Version":{}',
        '[{"ID":"\\ud800"}]',
        '[{"Spec":{"Name":"\\ud800"}}]',
        '[{"Spec":{"Mode":1e999}}]',
        '[{"Spec":{"TaskTemplate":{"Placement":1e999}}}]',
    ],
)
@pytest.mark.parametrize("at", [1, 1000, 10**6])
def test_what_is_not_a_list_of_objects_is_refused(text: str, at: int) -> None:
    """Another document, another web server's page, an answer that breaks off, a number or text that none can be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_lists, "_PIECE", min(at, engine_lists._PIECE))
        with pytest.raises(ValueError, match="no JSON list of objects"):
            read_services(cut(text.encode(), at))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"ID": 5}, r"Expected `str`, got `int` - at `\$\[200\]\.ID`"),
        ({"Version": {"Index": "5"}}, r"Expected `int`, got `str` - at `\$\[200\]\.Version\.Index`"),
        ({"Version": []}, r"Expected `object`, got `array` - at `\$\[200\]\.Version`"),
        ({"Spec": None}, r"Expected `object`, got `null` - at `\$\[200\]\.Spec`"),
        ({"UpdateStatus": {"State": True}}, r"Expected `str`, got `bool` - at `\$\[200\]\.UpdateStatus\.State`"),
        ({"Spec": {"TaskTemplate": 1}}, r"Expected `object \| null`, got `int` - at `TaskTemplate`"),
    ],
)
@pytest.mark.fault("hostile-answers")
def test_a_value_of_another_type_is_named_by_its_place(document: dict[str, Any], message: str) -> None:
    """The error names the object by its place in the whole list, and the way to the value."""
    before = [{"ID": "x", "Version": {"Index": 1}, "CreatedAt": "t" * 3000}] * 200
    with pytest.raises(ValueError, match=message):
        read_services(cut(written([*before, {"ID": "y", "Version": {"Index": 1}} | document]), 5000))


@pytest.mark.fault("hostile-answers")
def test_an_endless_object_is_refused() -> None:
    """Swarm keeps no such object; it would be in memory as a whole."""
    piece = b"x" * MIB

    def pieces() -> Iterator[bytes]:
        yield b'[{"ID":"'
        while True:
            yield piece

    with pytest.raises(ValueError, match="an object of more than 16777216 bytes"):
        read_services(pieces())


@pytest.mark.parametrize("separator", [b",{}", b', {"ID":"a"}', b',{"ID":"a","Version":{}}'])
@pytest.mark.fault("hostile-answers")
def test_too_many_objects_are_refused(separator: bytes) -> None:
    """Whether the list can be cut or not."""
    with pytest.raises(ValueError, match="more than 1000000 objects"):
        read_nodes(cut(b'[{"ID":"a"}' + separator * 1_000_000 + b"]", 100_000))
