"""Docker's lists, of which what is known is not parsed again."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.adapters.docker.documents import lean
from autoscaler.adapters.docker.lean_list import LeanList

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.adapters.docker.lean_list import Listed

IDS = [f"{number:0>25}" for number in range(4)]
TEXTS = st.sampled_from(["", "a", "é", "\N{GRINNING FACE}", '"},{"ID":"', "\\", "},{"])
INNER = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS | st.just("ID"), inner, max_size=2),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS | st.sampled_from(["ServiceID", "Spec", "PreviousSpec"]), INNER, max_size=4)
LISTS = st.lists(st.tuples(st.sampled_from(IDS), OBJECTS), max_size=5)


def written(documents: list[Any], *, blanks: bool = False, ascii_only: bool = True) -> bytes:
    """A list as the engine writes it, or another way."""
    separators = (", ", ": ") if blanks else (",", ":")
    return json.dumps(documents, separators=separators, ensure_ascii=ascii_only).encode()


def read(text: bytes, before: Listed | None = None, templates: Mapping[str, Any] | None = None, at: int = 40) -> Listed:
    """The list whose *text* comes in pieces of that many bytes."""
    pieces = (text[start : start + at] for start in range(0, len(text), at))
    return LeanList(before.known if before else {}, templates or {}).read(pieces)


def task(number: int, image: str, state: str = "running") -> dict[str, Any]:
    """A task of the service s that runs *image*."""
    spec = {"ContainerSpec": {"Image": image}}
    return {"ID": IDS[number], "ServiceID": "s", "DesiredState": "running", "Spec": spec, "Status": {"State": state}}


@given(lists=st.lists(LISTS, min_size=2, max_size=4), at=st.integers(1, 200), blanks=st.booleans(), plain=st.booleans())
def test_a_list_is_what_it_says_whatever_was_before(
    lists: list[list[tuple[str, dict[str, Any]]]], at: int, *, blanks: bool, plain: bool
) -> None:
    """What comes of a list does not depend on the lists before it, nor on how it is written and cut."""
    before = None
    for items in lists:
        documents = [{"ID": identity, **content} for identity, content in items]
        before = read(written(documents, blanks=blanks, ascii_only=plain), before, at=at)
        assert before.documents == [lean(deepcopy(document)) for document in documents]


def test_what_is_as_it_was_is_not_made_again() -> None:
    """Of a list in which one object changed, and one came, and one went, the others are those of the list before."""
    before = read(written([task(0, "web:1"), task(1, "web:1"), task(2, "web:1")]))
    after = read(written([task(3, "web:1"), task(1, "web:1", "failed"), task(2, "web:1")]), before)

    assert after.documents[2] is before.documents[2]
    assert [document["ID"] for document in after.documents] == [IDS[3], IDS[1], IDS[2]]
    assert after.documents[1]["Status"] == {"State": "failed"}
    assert len(after.known) == len(after.documents)


def test_a_task_is_looked_at_anew_once_its_service_was_deployed_again() -> None:
    """A task keeps its spec where it was made from another one, also where the task itself did not change."""
    text = written([task(0, "web:1")])
    ones = {"s": {"ContainerSpec": {"Image": "web:1"}}}
    twos = {"s": {"ContainerSpec": {"Image": "web:2"}}}

    listed = read(text)
    kept = []
    for templates in (twos, twos, ones, {}):
        listed = read(text, listed, templates)
        kept.append("Spec" in listed.documents[0])

    assert kept == [True, True, False, False]


def test_an_object_that_comes_again_and_again_is_compared_once() -> None:
    """A list of many small objects of the id of a long one takes no longer for what is known of that."""
    long = {"ID": IDS[0], "Labels": "x" * 1000}
    known = read(written([long]), at=10_000).known
    LeanList(known, {}).read([written([{"ID": IDS[0]}] * 100)])
    assert known == {}


def test_objects_within_objects() -> None:
    """A list within an object, as of networks, may look like the end of the object."""
    network = {"ID": IDS[3]}
    documents = [{"ID": IDS[0], "Networks": [network, network]}, {"ID": IDS[1], "Networks": []}]
    assert read(written(documents), at=1000).documents == documents


@pytest.mark.parametrize("text", [b'[{"ID":"a"},{"ID":"b"', b'[{"ID":"a"},{"ID":}]', b'[{"ID":"a"},{"ID":"b"}'])
def test_no_list(text: bytes) -> None:
    """Text that breaks off, or is no JSON, is refused."""
    with pytest.raises(ValueError, match="no JSON list"):
        read(text)
