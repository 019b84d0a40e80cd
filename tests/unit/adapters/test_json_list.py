"""A JSON list read object by object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.adapters.docker.json_list import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
LISTS = st.lists(st.dictionaries(st.text(), DOCUMENTS, max_size=3), max_size=5)


def cut(text: bytes, at: list[int]) -> list[bytes]:
    """*text* in pieces that end at those places."""
    ends = sorted(place % (len(text) + 1) for place in at)
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


@given(
    documents=LISTS,
    at=st.lists(st.integers(0, 10_000), max_size=8),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
def test_wherever_the_text_is_cut_the_list_is_the_same(
    documents: list[dict[str, object]], at: list[int], indent: int | None, *, ascii_only: bool
) -> None:
    """The pieces may end within a name, a number, an escape or a letter's bytes; blanks and line ends mean nothing."""
    text = json.dumps(documents, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    assert json.loads(text.decode(errors="replace")) == list(objects(cut(text + b"\n", at)))


def test_an_object_is_there_before_the_next_piece_is_asked_for() -> None:
    """So that no more of the list is in memory than what is made of it, and a piece."""
    asked = []

    def pieces() -> Iterator[bytes]:
        for piece in (b'[{"a": 1}, {"a"', b": 2}]"):
            asked.append(piece)
            yield piece

    assert next(objects(pieces())) == {"a": 1}
    assert len(asked) == 1


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
    ],
)
def test_what_is_no_list_of_objects_is_refused(text: str) -> None:
    """Another document, another web server's page, an answer that breaks off."""
    with pytest.raises(ValueError, match="no JSON list of objects"):
        list(objects([text.encode()]))
