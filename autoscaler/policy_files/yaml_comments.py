"""Comments of a YAML text that are meant for the autoscaler, because parsers drop comments."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_IGNORES = re.compile(r"#[ \t]*autoscaler[ \t]+ignore:(.*)")
_BEGINS = re.compile(r"(?:(?<=[ \t])|^)#")
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""The end of a line in YAML 1.1, by which the parser counts lines."""


class Comment(NamedTuple):
    """A comment ``# autoscaler ignore: flaps``."""

    line: int
    """Counted from 1, and so is the column."""
    column: int
    ids: tuple[str, ...]
    """The words between the commas."""
    about: int
    """The line that the comment is about: its own, or the next one with content if it is alone on its line."""


def comments(text: str, loader: Any) -> tuple[Comment, ...]:
    """Return the comments of a valid *text* that are meant for the autoscaler."""
    if _IGNORES.search(text) is None:
        return ()
    return tuple(_comments(text, _Scalars(text, loader)))


def _comments(text: str, scalars: _Scalars) -> Iterator[Comment]:
    lines = list(_lines(text))
    about = _next_contents([line for _, line in lines])
    for number, (start, line) in enumerate(lines):
        if _IGNORES.search(line) is None:
            continue
        begins = (found.start() for found in _BEGINS.finditer(line) if not scalars.hold(start + found.start()))
        column = next(begins, None)
        found = None if column is None else _IGNORES.match(line, column)
        if column is not None and found is not None:
            ids = tuple(word.strip() for word in found[1].split(","))
            alone = not line[:column].strip(" \t-")
            yield Comment(number + 1, column + 1, ids, (about[number] if alone else number) + 1)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the index at which each line starts, and the line without its end."""
    start = 0
    for end in _LINE_END.finditer(text):
        yield start, text[start : end.start()]
        start = end.end()
    yield start, text[start:]


def _next_contents(lines: Sequence[str]) -> list[int]:
    """Return the index of the next line with content for each line; its own index if none follows."""
    following = list(range(len(lines)))
    for index in range(len(lines) - 2, -1, -1):
        below = lines[index + 1].strip(" \t-")
        if below and not below.startswith("#"):
            following[index] = index + 1
        elif following[index + 1] > index + 1:
            following[index] = following[index + 1]
    return following


class _Scalars:
    """The spans of a text in which a ``#`` does not begin a comment."""

    def __init__(self, text: str, loader: Any) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.ScalarEvent):
                start, end = _span(event, text)
                self._starts.append(start)
                self._ends.append(end)

    def hold(self, index: int) -> bool:
        """Return whether the character at *index* belongs to a scalar."""
        position = bisect_right(self._starts, index) - 1
        return position >= 0 and index < self._ends[position]


def _span(event: Any, text: str) -> tuple[int, int]:
    """Return the indices at which the scalar of *event* begins and ends. A block begins below its first line."""
    start, end = event.start_mark.index, event.end_mark.index
    if event.style in {"|", ">"}:  # the first line may end in a comment
        header = _LINE_END.search(text, start, end)
        start = header.end() if header else end
    return start, end
