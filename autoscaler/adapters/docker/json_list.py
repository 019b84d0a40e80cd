"""A JSON list read object by object, so that a long one is never in memory as a whole. Pure."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SPACE = "[ \t\n\r]*"
_OPENING = re.compile(rf"{_SPACE}\[{_SPACE}")
_COMMA = re.compile(rf"{_SPACE},{_SPACE}")
_END = re.compile(rf"{_SPACE}\]{_SPACE}")
_EMPTY = re.compile(rf"{_SPACE}\[{_SPACE}\]{_SPACE}")
parsed = json.JSONDecoder().raw_decode
"""The JSON value that begins at a place of a text, and where it ends. Raises ValueError and RecursionError."""
_LARGEST_OBJECT = 16 * 2**20
"""Characters: Swarm keeps none of more than four million (facts 4), and lists a service with its previous spec."""
_MOST_OBJECTS = 1_000_000


def objects(
    pieces: Iterable[bytes], read: Callable[[str, int], tuple[dict[str, Any], int]] = parsed
) -> Iterator[dict[str, Any]]:
    """The objects of the JSON list whose text comes in *pieces*, each as soon as it is complete, as *read* gives them.

    Raises ValueError where the text is no list of objects, after the objects before that place; also where an object
    does not end, as its end is looked for anew with each piece, and where there are too many.
    """
    before, end = _OPENING, _EMPTY
    rest, count = "", 0
    for text in codecs.iterdecode(pieces, "utf-8", errors="replace"):
        rest += text
        position = 0
        while (found := _object_after(before, rest, position, read)) is not None:
            item, position = found
            before, end = _COMMA, _END
            count += 1
            if count > _MOST_OBJECTS:
                raise ValueError(f"more than {_MOST_OBJECTS} objects")
            yield item
        rest = rest[position:]
        if len(rest) > _LARGEST_OBJECT:
            break
    if not end.fullmatch(rest):
        raise ValueError("no JSON list of objects")


def _object_after(
    separator: re.Pattern[str], text: str, position: int, read: Callable[[str, int], tuple[dict[str, Any], int]]
) -> tuple[dict[str, Any], int] | None:
    """The object behind the *separator* at *position*, and where it ends; None where it is not there as a whole."""
    found = separator.match(text, position)
    if found is None or not text.startswith("{", found.end()):
        return None
    try:
        return read(text, found.end())
    except (ValueError, RecursionError):
        return None
