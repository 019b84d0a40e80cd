"""The reader of a YAML text: makes nodes of the parser's events and notes every problem on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import yaml

from autoscaler.policy_files.diagnostic import MAX_PROBLEMS, Diagnostic, Position, described, path_in_words, shown
from autoscaler.policy_files.yaml_errors import syntax_problem
from autoscaler.policy_files.yaml_nodes import MappingItem, MappingNode, Scalar, SequenceNode
from autoscaler.policy_files.yaml_scalars import KINDS, plain_value, quoted, surprise_in

if TYPE_CHECKING:
    from autoscaler.policy_files.diagnostic import Path
    from autoscaler.policy_files.yaml_nodes import Node

MAX_DEPTH = 32
MAX_NODES = 300_000
"""The most nodes of one text, with aliases written out."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser: libyaml's if it is there."""


class _StopReadingError(Exception):
    """The text breaks a limit. The problem is noted already."""


@dataclass(slots=True)
class _Open:
    """A list or mapping that has not ended yet."""

    place: Position
    anchor: str | None
    mapping: bool
    is_key: bool
    """True if it stands in the place of a key."""
    items: list[Node] = field(default_factory=list)
    entries: dict[str, MappingItem] = field(default_factory=dict)
    keys: dict[str, Position] = field(default_factory=dict)
    """The first place of each key. Numbers are keyed by their value, because 1 and 1.0 are the same key."""
    merging: bool = False
    """True if the next value belongs to a merge key."""
    merged: list[MappingNode] = field(default_factory=list)
    key: tuple[str | None, Position] | None = None
    """The key of the next value, with the name None if it is not usable; None if a key comes next."""

    @property
    def step(self) -> str | int:
        """Return the last step of the path to the next node."""
        if not self.mapping:
            return len(self.items)
        return (self.key[0] or "?") if self.key else "?"


class NodeBuilder:
    """Makes nodes of a parser's events. It has a stack of its own, so that deep texts cannot exhaust Python's."""

    def __init__(self, file: str, *, dates_are_text: bool) -> None:
        self.problems: list[Diagnostic] = []
        self._file = file
        self._dates_are_text = dates_are_text
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._root: Node | None = None
        self._documents = 0
        self._count = 0

    def build(self, text: str) -> Node | None:
        """Return the root node; None if the text is empty or cannot be read to its end."""
        try:
            for event in yaml.parse(text, Loader=LOADER):
                self._take(event)
        except _StopReadingError:
            return None
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # a character beyond Unicode, in pure Python
            self.problems.append(syntax_problem(error, self._file, text))
            return None
        return self._root

    # problems

    def _note(self, place: Position, what: str, cure: str, path: Path | None = None) -> None:
        where = path_in_words(self._path() if path is None else path)
        self.problems.append(Diagnostic(self._file, *place, where, what, cure))
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.append(
                Diagnostic(self._file, *place, "", "there may be more problems", "correct these first")
            )
            raise _StopReadingError

    def _stop(self, place: Position, what: str, cure: str) -> None:
        self._note(place, what, cure)
        raise _StopReadingError

    def _path(self) -> Path:
        return tuple(part.step for part in self._stack)

    # events

    def _take(self, event: Any) -> None:
        place = Position(event.start_mark.line + 1, event.start_mark.column + 1)
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop(place, "a second document begins here", "give each document a file of its own")
            case yaml.ScalarEvent():
                self._scalar(event, place)
            case yaml.AliasEvent():
                self._alias(event, place)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._start(event, place)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case _:
                pass

    def _start(self, event: Any, place: Position) -> None:
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._grow(place, 1, 1)
        core = "map" if mapping else "seq"
        if event.tag not in (None, "!", f"tag:yaml.org,2002:{core}"):
            self._note(place, f"has the tag {shown(event.tag)}", "remove the tag: only plain YAML is read here")
        self._open_anchor(event.anchor)
        self._stack.append(_Open(place, event.anchor, mapping, self._at_key()))

    def _end(self) -> None:
        part = self._stack.pop()
        node = self._close_mapping(part) if part.mapping else _listing(part)
        self._anchor(part.anchor, node)
        if part.is_key:
            self._key_of_parts(part.place)
        else:
            self._add(node)

    def _scalar(self, event: Any, place: Position) -> None:
        self._grow(place, 1, 0)
        if self._at_key():
            self._key(event, place)
            return
        value = self._value(event, place)
        node = Scalar(place, value)
        self._anchor(event.anchor, node)
        self._add(node)

    def _alias(self, event: Any, place: Position) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = event.anchor in self._anchors
            name = shown(event.anchor)[1:-1]
            what = f"the alias *{name} {'stands inside what it refers to' if inside else 'refers to nothing'}"
            cure = (
                "write the part out" if inside else f"mark that part with &{name} before, or write the text in quotes"
            )
            self._note(place, what, cure)
            node = Scalar(place, None)
        self._grow(place, node.size, node.height)
        if not self._at_key():
            self._add(node)
        elif isinstance(node, Scalar) and isinstance(node.value, str):
            self._stack[-1].key = (node.value, place)
            self._refuse_second(self._stack[-1], node.value, place, node.value)
        else:
            self._key_of_parts(place)

    def _grow(self, place: Position, nodes: int, height: int) -> None:
        """Count the next nodes, with aliases written out, and stop beyond a limit."""
        self._count += nodes
        if self._count > MAX_NODES:
            self._stop(
                place,
                f"the text has more than {MAX_NODES} nodes, with aliases written out",
                "use fewer aliases, or split the file",
            )
        if len(self._stack) + height > MAX_DEPTH:
            self._stop(place, f"lists and mappings are nested more than {MAX_DEPTH} deep", "nest less deeply")

    def _open_anchor(self, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = None

    def _anchor(self, anchor: str | None, node: Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    # keys

    def _at_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].mapping and self._stack[-1].key is None

    def _key(self, event: Any, place: Position) -> None:
        part = self._stack[-1]
        part.key = (event.value, place)
        value = self._value(event, place, is_key=True)
        if value is None or isinstance(value, bool) or (isinstance(value, float) and not isfinite(value)):
            cure = f"write {shown(event.value)}, in quotes" if event.value else "give it a name"
            self._note(place, f"the key is {described(value)}, not text", cure)
            part.key = (None, place)
            return
        self._anchor(event.anchor, Scalar(place, value))
        part.merging = event.implicit[0] and value == "<<"
        self._refuse_second(part, event.value, place, _meaning(value))

    def _key_of_parts(self, place: Position) -> None:
        self._stack[-1].key = (None, place)
        self._note(place, "the key is not text", "give it a name in plain text; text with { or [ goes into quotes")

    def _refuse_second(self, part: _Open, key: str, place: Position, meaning: str) -> None:
        """Note a problem if the mapping has a key of this *meaning* already, and drop the next value."""
        first = part.keys.setdefault(meaning, place)
        if first is not place:
            what = f"the key {shown(key)} is given twice, first in line {first.line}, column {first.column}"
            self._note(place, what, "keep one of the two")
            part.key = (None, place)

    # values

    def _add(self, node: Node) -> None:
        """Add *node* to the part of the text that is open."""
        if not self._stack:
            self._root = node
            return
        part = self._stack[-1]
        if not part.mapping:
            part.items.append(node)
            return
        key, place = part.key or (None, node.place)
        if part.merging:
            self._merge(part, place, node)
        elif key is not None:
            part.entries[key] = MappingItem(place, node)
        part.key = None
        part.merging = False

    def _merge(self, part: _Open, place: Position, node: Node) -> None:
        """Keep the mappings that a merge key names until the mapping ends, because its own keys win."""
        for source in node.items if isinstance(node, SequenceNode) else [node]:
            if isinstance(source, MappingNode):
                self._grow(place, source.size, source.height)
                part.merged.append(source)
            else:
                self._note(place, "<< merges something that is not a mapping", "name a mapping: <<: *anchor")

    def _close_mapping(self, part: _Open) -> MappingNode:
        entries = part.entries
        for source in part.merged:
            for key, entry in source.entries.items():
                entries.setdefault(key, entry)
        values = [entry.value for entry in entries.values()]
        size = 1 + len(values) + sum(node.size for node in values)
        return MappingNode(part.place, entries, size, 1 + max((node.height for node in values), default=0))

    def _value(self, event: Any, place: Position, *, is_key: bool = False) -> str | float | bool | None:
        """Return the value of the scalar. A doubtful scalar is a problem, and its text is returned."""
        text: str = event.value
        tag = (event.tag or "").removeprefix("tag:yaml.org,2002:")
        if tag in ("!", "str") or (not tag and not event.implicit[0]):
            return text
        if tag and tag not in KINDS:
            self._note(place, f"has the tag {shown(event.tag)}", "remove the tag: only plain YAML is read here")
            return text
        surprise = surprise_in(text, dates_are_text=self._dates_are_text)
        if surprise is not None:
            cure = quoted(text) if is_key else surprise.cure(text)
            self._note(place, surprise.what.format(shown(text)), cure)
            return text
        value = plain_value(text)
        if tag and not isinstance(value, KINDS[tag]):
            self._note(place, f"{shown(text)} is not what its tag !!{tag} says", "remove the tag")
        return value


def _listing(part: _Open) -> SequenceNode:
    size = 1 + sum(node.size for node in part.items)
    return SequenceNode(part.place, part.items, size, 1 + max((node.height for node in part.items), default=0))


def _meaning(key: str | float) -> str:
    """Return the text that identifies *key*: 1, 1.0 and "1" are the same key."""
    return str(int(key)) if isinstance(key, int | float) and key == int(key) else str(key)
