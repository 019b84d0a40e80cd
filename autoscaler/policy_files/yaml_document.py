"""YAML text as plain data in which each part has a place, with all problems of the text at once.

A scalar that YAML 1.1 and 1.2 read differently is a problem, and never a guess. Every text is read in bounded time and
memory. Its size, its depth, and the number of its nodes with aliases written out are limited.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from autoscaler.policy_files.diagnostic import Diagnostic, Position, about_file, path_in_words
from autoscaler.policy_files.yaml_comments import Comment, comments
from autoscaler.policy_files.yaml_nodes import MappingNode, SequenceNode
from autoscaler.policy_files.yaml_reader import LOADER, NodeBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.policy_files.diagnostic import Path
    from autoscaler.policy_files.yaml_nodes import Node

MAX_BYTES = 2**20
_UNPRINTABLE_SHOWN = 20


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """The content of a YAML text or of a part of it, as plain data with places."""

    file: str
    root: Node | None
    """None if the text is empty or could not be read to its end."""
    problems: tuple[Diagnostic, ...] = ()
    base: Path = ()
    """The path from the root of the whole text to this part."""
    comments: tuple[Comment, ...] = ()
    """The comments of the whole text that are meant for the autoscaler."""
    data: Any = field(init=False, repr=False)
    """Plain dicts with text keys, lists, texts, numbers, truth values and None. The key of a number is its text."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", None if self.root is None else self.root.data())

    def place(self, path: Path = (), *, of_key: bool = False) -> Position:
        """Return the place of the node at *path*, or of its key; without such a node, of the nearest one above it."""
        node = self.root
        place = node.place if node else Position(1, 1)
        for position, step in enumerate(path, 1):
            child = _child(node, step)
            if child is None:
                return place
            key, node = child
            place = key if of_key and key is not None and position == len(path) else node.place
        return place

    def problem(self, path: Path, what: str, cure: str, *, of_key: bool = False, id_: str = "") -> Diagnostic:
        """Return a problem at *path*, at the place of its value or its key. A warning has an id."""
        line, column = self.place(path, of_key=of_key)
        return Diagnostic(self.file, line, column, path_in_words(self.base + path), what, cure, id_)

    def holds(self, path: Path) -> bool:
        """Return whether the text has a node at *path*."""
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                return False
            node = child[1]
        return True

    def with_data(self, data: Any) -> Document:
        """Return the same text with other *data*. The place of an addition is that of the nearest node above it."""
        other = copy(self)
        object.__setattr__(other, "data", data)
        return other

    def part(self, key: str) -> Document:
        """Return the document below the root's *key*, in the same file, without the problems of the text."""
        found = _child(self.root, key)
        return Document(self.file, found[1] if found else None, (), (*self.base, key), self.comments)


def _child(node: Node | None, step: str | int) -> tuple[Position | None, Node] | None:
    """Return the node one *step* below *node*, and the place of its key if *node* is a mapping."""
    if isinstance(node, MappingNode) and isinstance(step, str) and step in node.entries:
        return node.entries[step]
    if isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.items):
        return None, node.items[step]
    return None


def read(text: str | bytes, file: str, *, dates_are_text: bool = False) -> Document:
    """Return the one YAML document in *text*, with every problem of the text; never raise.

    An unquoted date is a problem, because it is not text in YAML 1.1. It is text with *dates_are_text*.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        size = len(decoded.encode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        place = _place_in(text[: error.start].decode("utf-8", "replace") if isinstance(text, bytes) else "")
        return Document(
            file, None, (Diagnostic(file, *place, "", "is not UTF-8 text", "save the file with the encoding UTF-8"),)
        )
    if size > MAX_BYTES:
        problem = about_file(file, f"is larger than {MAX_BYTES} bytes", "split it into several files")
        return Document(file, None, (problem,))
    decoded = decoded.removeprefix("\ufeff")
    unprintable = tuple(islice(_unprintable(decoded, file), _UNPRINTABLE_SHOWN))
    if unprintable:
        return Document(file, None, unprintable)
    builder = NodeBuilder(file, dates_are_text=dates_are_text)
    root = builder.build(decoded)
    spoken = () if root is None or builder.problems else comments(decoded, LOADER)
    return Document(file, root, tuple(builder.problems), comments=spoken)


def _place_in(before: str) -> Position:
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _unprintable(text: str, file: str) -> Iterator[Diagnostic]:
    """Yield a problem for each character that a YAML text must not have."""
    for found in yaml.reader.Reader.NON_PRINTABLE.finditer(text):
        character = f"U+{ord(found[0]):04X}"
        place = _place_in(text[: found.start()])
        yield Diagnostic(
            file, *place, "", f"has the control character {character}", 'remove it, or write "\\x..", in double quotes'
        )
