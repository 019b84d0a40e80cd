"""A stack file's text as nodes that know where in the text they stand.

The text is read as Docker reads it: by libyaml, whose port Docker uses, and only its first document.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import yaml

from autoscaler.errors import ConfigurationError

_LARGEST = 2**20
"""The most bytes of a stack file."""
_DEEPEST = 100
"""The most levels of a stack file, with aliases written out."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAYBE_NO_TEXT = re.compile(r"[A-Za-z0-9_.+:~=<-]+( [0-9:.+-]+)*")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(slots=True, eq=False)
class ScalarNode:
    """A text, a number, a truth value or nothing."""

    start: int
    end: int
    anchor: str | None
    value: str
    tag: str | None
    plain: bool
    block: bool
    """True if it is written below a `|` or `>`."""
    height: int = 0

    @property
    def empty(self) -> bool:
        """Return whether it means null."""
        return self.plain and self.value in _NULLS and self.tag in {None, "tag:yaml.org,2002:null"}

    @property
    def maybe_no_text(self) -> bool:
        """Return whether it may be a number, a truth value or a date. It is false only for a certain text."""
        return self.plain and _MAYBE_NO_TEXT.fullmatch(self.value) is not None


@dataclass(slots=True, eq=False)
class ListNode:
    """A list."""

    start: int
    end: int
    anchor: str | None
    tag: str | None
    flow: bool
    items: list[NodePart] = field(default_factory=list)
    height: int = 1


@dataclass(slots=True, eq=False)
class MapNode:
    """Pairs of keys and values, merge keys among them."""

    start: int
    end: int
    anchor: str | None
    tag: str | None
    flow: bool
    items: list[NodePart] = field(default_factory=list)
    height: int = 1

    @property
    def pairs(self) -> list[tuple[NodePart, NodePart]]:
        """Yield each key with its value."""
        return list(zip(self.items[::2], self.items[1::2], strict=True))


Node: TypeAlias = ScalarNode | ListNode | MapNode


class NodePart(NamedTuple):
    """A place in the text where a node is written, or where an alias stands for it."""

    start: int
    end: int
    node: Node
    alias: bool = False


@dataclass(slots=True)
class StackFile:
    """A text with the nodes of its first document."""

    text: str
    root: NodePart | None = None
    anchored: dict[str, list[Node]] = field(default_factory=dict)
    """The nodes that have this anchor, in the order of the text."""
    aliases: dict[int, list[NodePart]] = field(default_factory=dict)
    """The aliases of a node, by its id, in the order of the text."""

    def usable(self, node: Node, position: int) -> bool:
        """Return whether an alias at *position* can mean *node*."""
        if node.anchor is None or node.end > position:
            return False
        same_name = self.anchored[node.anchor]
        return same_name[bisect_left(same_name, position, key=lambda each: each.start) - 1] is node


def read(text: str, file: str) -> StackFile:
    """Return the first document of *text*; raise ConfigurationError if it cannot be read."""
    if len(text.encode("utf-8", "surrogatepass")) > _LARGEST:
        raise ConfigurationError(f"{file}: is larger than {_LARGEST} bytes (give the stack file itself)")
    return read_again(text, file)


def read_again(text: str, file: str) -> StackFile:
    """Return the first document of a text of whatever size."""
    builder = _Builder(StackFile(text), file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
            if isinstance(event, yaml.DocumentEndEvent):
                break  # Docker reads no further
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigurationError(f"{file}: {where}is not valid YAML: {said} (correct it)") from error
    return builder.document


class _Builder:
    """Makes nodes of a parser's events. It has a stack of its own, so that deep texts cannot exhaust Python's."""

    def __init__(self, document: StackFile, file: str) -> None:
        self.document = document
        self._file = file
        self._open: list[ListNode | MapNode] = []
        self._anchors: dict[str, Node] = {}

    def take(self, event: Any) -> None:
        """Take the next event."""
        match event:
            case yaml.ScalarEvent():
                plain, block = event.style in {None, ""}, event.style in {"|", ">"}
                tag = event.tag if event.tag != "!" else "tag:yaml.org,2002:str"
                start, end = _span(event)
                node = ScalarNode(start, end, event.anchor, event.value, tag, plain, block)
                self._name(node)
                self._add(NodePart(start, end, node))
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                made = MapNode if isinstance(event, yaml.MappingStartEvent) else ListNode
                start, _ = _span(event)
                opened = made(start, start, event.anchor, event.tag, bool(event.flow_style))
                self._name(opened)
                self._open.append(opened)
                self._limit(len(self._open), event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = self._open.pop()
                _, closed.end = _span(event)
                self._limit(closed.height, event)
                self._add(NodePart(closed.start, closed.end, closed))
            case _:
                pass

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None or any(node is each for each in self._open):
            what = "does not exist" if node is None else "contains the alias"
            where = f"line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"
            raise ConfigurationError(
                f"{self._file}: {where}: what the alias *{event.anchor} refers to {what} (correct the alias)"
            )
        part = NodePart(*_span(event), node, alias=True)
        self.document.aliases.setdefault(id(node), []).append(part)
        self._add(part)

    def _name(self, node: Node) -> None:
        if node.anchor is not None:
            self._anchors[node.anchor] = node
            self.document.anchored.setdefault(node.anchor, []).append(node)

    def _add(self, part: NodePart) -> None:
        if not self._open:
            self.document.root = part
            return
        above = self._open[-1]
        above.items.append(part)
        above.height = max(above.height, part.node.height + 1)

    def _limit(self, depth: int, event: Any) -> None:
        if depth > _DEEPEST:
            raise ConfigurationError(
                f"{self._file}: line {event.start_mark.line + 1}: is nested more than {_DEEPEST} deep"
                " (give the stack file itself)"
            )


def _span(event: Any) -> tuple[int, int]:
    return event.start_mark.index, event.end_mark.index
