"""Small edits of a stack file's text, each of which gives one service a count of its own.

Only text between the edits' ends changes: comments, quotes, variables and the order stay. What a service shares with
another is not changed but copied: an alias and a merge key become `{<<: *alias, replicas: 3}`, or the part is written
out where no alias can mean it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from autoscaler.stack_file.meaning import Comparison, is_merge, is_null, sources
from autoscaler.stack_file.nodes import ListNode, MapNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.stack_file.meaning import Meaning
    from autoscaler.stack_file.nodes import Node, NodePart

Value: TypeAlias = "int | ScalarNode | None"
"""A count, a text that stands for one, or None if there is to be none."""
Values: TypeAlias = "tuple[Value, Value]"
"""One for each reading."""

_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_MOST_COPIED = 100_000
"""Nodes that are written out instead of an alias."""
_PLAIN_KEYS = frozenset({"deploy", "replicas"})

_INLINE = 2**30


class NotPossibleError(Exception):
    """The text has a form in which there is no place for the count."""


class OverlapError(Exception):
    """Another edit of the same round changes the same text."""


class _Edit(NamedTuple):
    start: int
    end: int
    text: str
    column: int = _INLINE
    """The column of an inserted line: of two at the same place the deeper comes first, after what is no line."""


class Editor:
    """Collects edits of one text."""

    def __init__(self, before: tuple[Meaning, Meaning], now: tuple[Meaning, Meaning]) -> None:
        self._document = now[0].document
        self._before = before
        self._text = self._document.text
        self._meanings = now
        self._done: list[_Edit] = []
        self._new: list[_Edit] = []
        self._name = ""
        self._spans: list[tuple[int, int]] = []
        self._copied = 0

    def give(self, name: str, counts: Values) -> bool:
        """Give a service its count in each reading; return whether that was possible.

        What is not possible may be so in the next round, when what the service shares with others has been changed.
        """
        self._new, self._name = [], name
        root = self._document.root
        try:
            self._set(root, ("services", name, "deploy", "replicas"), counts)
        except (OverlapError, NotPossibleError):
            for edit in self._new:
                self._spans.remove((edit.start, edit.end))
            return False
        self._done += self._new
        return bool(self._new)

    def result(self) -> str:
        """Return the text with all edits."""
        text, position = [], 0
        for edit in sorted(self._done, key=lambda edit: (edit.start, edit.end, -edit.column)):
            text += [self._text[position : edit.start], edit.text]
            position = edit.end
        return "".join([*text, self._text[position:]])

    def _edit(self, edit: _Edit) -> None:
        span = edit.start, edit.end
        place = bisect(self._spans, span)
        for start, end in self._spans[max(place - 1, 0) : place + 1]:
            if edit.start < end and start < edit.end:
                raise OverlapError
        self._spans.insert(place, span)
        self._new.append(edit)

    # Where the count goes

    def _set(self, part: NodePart | None, path: tuple[str, ...], values: Values) -> None:
        """Make what *part* has at *path* the value, and change nothing that others share."""
        if part is None:
            raise NotPossibleError
        node = part.node
        if not path:
            text = _text(_agreed(values))
            if part.alias or not isinstance(node, ScalarNode) or _text(node) != text:
                self._replace(part, text)
        elif part.alias or not isinstance(node, MapNode):
            self._replace(part, self._with(node, path, values, part.start))
        else:
            self._set_entry(node, path[0], path[1:], values)

    def _set_entry(self, node: MapNode, key: str, rest: tuple[str, ...], values: Values) -> None:
        own = self._meanings[0].own(node).get(key)
        in_order = self._meanings[1].entries(node).get(key)
        if own is None and not rest and values == (None, None):
            self._remove_inherited(node, key)
        elif own is None:
            self._append(node, key, rest, values)
        elif in_order is None or in_order is own:
            self._set(own, rest, values)
        else:
            self._set(own, rest, (values[0], values[0]))
            self._precede(node, key, self._entries(node, key)[1], rest, values[1])

    def _append(self, node: MapNode, key: str, path: tuple[str, ...], values: Values) -> None:
        """Write a new entry behind all others, so that it counts in both readings."""
        inherited, other = self._entries(node, key)
        if inherited is not other:
            self._prepend(node, key, self._with(inherited, path, (values[0], values[0]), node.start))
            self._precede(node, key, other, path, values[1])
            return
        key_text = self._key(node, key)
        last = node.items[-1] if node.items else None
        if node.flow:
            if self._text[node.end - 1 : node.end] != "}":
                raise NotPossibleError
            position = node.end - 1 if last is None else last.end
            separator = "" if last is None else " , " if last.start == last.end else ", "
            entry = f"{key_text}: {self._with(inherited, path, values, position)}"
            self._edit(_Edit(position, position, separator + entry))
            return
        if last is None:
            raise NotPossibleError
        column = self._column(node)
        leaf = last
        while not leaf.alias and not isinstance(leaf.node, ScalarNode) and not leaf.node.flow:
            leaf = leaf.node.items[-1]
        entry = " " * column + f"{key_text}: {self._with(inherited, path, values, leaf.end)}"
        if not leaf.alias and isinstance(leaf.node, ScalarNode) and leaf.node.block:
            if self._text[leaf.end - 1] != "\n":
                raise NotPossibleError
            self._edit(_Edit(leaf.end, leaf.end, entry + "\n", column))
            return
        end = _BREAK.search(self._text, leaf.end)
        position = end.start() if end else len(self._text)
        self._edit(_Edit(position, position, ("\r\n" if end and end[0] == "\r\n" else "\n") + entry, column))

    def _prepend(self, node: MapNode, key: str, text: str) -> None:
        """Write a new entry before all others, so that it counts in the reading in which a mapping's own entry does."""
        entry = f"{self._key(node, key)}: {text}"
        if node.flow:
            position = self._text.find("{", node.start) + 1
            self._edit(_Edit(position, position, f"{entry}, "))
            return
        first, column = node.items[0].start, self._column(node)
        if self._text[first - column : first].strip(" "):
            raise NotPossibleError
        self._edit(_Edit(first, first, f"{entry}\n{' ' * column}"))

    def _precede(self, node: MapNode, key: str, meant: Node | None, path: tuple[str, ...], value: Value) -> None:
        """Write an entry into the merge key that overrides the mapping's own entry in the reading in order."""
        in_order = self._meanings[1]
        brings = [
            value
            for name, value in node.pairs
            if is_merge(name.node)
            and any(isinstance(each.node, MapNode) and key in in_order.entries(each.node) for each in sources(value))
        ]
        part = brings[-1]
        text = self._with(meant, path, (value, value), part.start)
        if not part.alias and isinstance(part.node, ListNode):
            opening = self._text.find("[", part.start)
            if not part.node.flow or opening < 0:
                raise NotPossibleError
            self._edit(_Edit(opening + 1, opening + 1, f"{{{key}: {text}}}, "))
            return
        self._check_exact(part)
        self._edit(_Edit(part.start, part.end, f"[{{{key}: {text}}}, {self._text[part.start : part.end]}]"))

    def _remove_inherited(self, node: MapNode, key: str) -> None:
        """Replace what brings *key* into the mapping by the same without it."""
        for value in (value for name, value in node.pairs if is_merge(name.node)):
            if value.alias and isinstance(value.node, ListNode):
                raise NotPossibleError
            for part in sources(value):
                if not isinstance(part.node, MapNode) or not self._has(part.node, key):
                    continue
                if part.alias:
                    self._replace(part, self._written(part.node, part.start, key))
                else:
                    self._remove_inherited(part.node, key)

    # Replacing

    def _replace(self, part: NodePart, text: str) -> None:
        """Put *text* in the place of *part*; an anchor there goes on to its first alias."""
        node = part.node
        if part.alias:
            self._edit(_Edit(part.start, part.end, text))
            return
        self._check_exact(part)
        if node.anchor is not None:
            aliases = self._document.aliases.get(id(node), [])
            if aliases and not isinstance(node, ScalarNode):
                raise NotPossibleError
            if aliases and isinstance(node, ScalarNode):
                first = aliases[0]
                self._edit(_Edit(first.start, first.end, f"&{node.anchor} {_text(node)}"))
            else:
                text = f"&{node.anchor} {text}"
        self._edit(_Edit(part.start, part.end, f" {text}" if part.start == part.end else text))

    @staticmethod
    def _check_exact(part: NodePart) -> None:
        """Refuse parts whose end in the text is not known exactly."""
        node = part.node
        if not part.alias and (node.block if isinstance(node, ScalarNode) else not node.flow):
            raise NotPossibleError

    def _column(self, node: MapNode) -> int:
        """Return the column of a block mapping's keys."""
        first = node.items[0].start
        start = self._text.rfind("\n", 0, first) + 1
        start = max(start, self._text.rfind("\r", start, first) + 1)
        before = self._text[start:first]
        if before.rstrip().endswith("?"):
            return before.rindex("?")
        return len(before)

    # Writing

    def _with(self, node: Node | None, path: tuple[str, ...], values: Values, position: int) -> str:
        """Return a text for *position* which means *node* with the values at *path*."""
        if not path:
            return _text(_agreed(values))
        key, rest = path[0], path[1:]
        if node is None or is_null(node):
            if not rest and values == (None, None):
                return "{}"
            return f"{{{key}: {self._with(None, rest, values, position)}}}"
        if not isinstance(node, MapNode):
            raise NotPossibleError
        if not rest and values == (None, None):
            return self._written(node, position, key)
        one, other = self._entries(node, key)
        usable = self._document.usable(node, position)
        if one is other and (rest or _same(values)):
            entry = f"{key}: {self._with(one, rest, values, position)}"
            return f"{{<<: *{node.anchor}, {entry}}}" if usable else self._written(node, position, key, entry)
        own_first = self._with(one, rest, (values[0], values[0]), position)
        in_order = self._with(other, rest, (values[1], values[1]), position)
        base = f"*{node.anchor}" if usable else self._written(node, position, key)
        return f"{{{key}: {own_first}, <<: [{{{key}: {in_order}}}, {base}]}}"

    @staticmethod
    def _key(node: MapNode, key: str) -> str:
        """Return a new key for *node*, quoted as the others are in JSON."""
        first = node.items[0].node if node.items else None
        quoted = isinstance(first, ScalarNode) and not first.plain
        return json.dumps(key) if quoted or key not in _PLAIN_KEYS else key

    def _written(self, node: MapNode, position: int, without: str | None = None, more: str | None = None) -> str:
        """Return the mapping in flow style; *without* a key, or with *more*, which is another entry for that key."""
        self._count()
        entries = []
        for key, value in node.pairs:
            if is_merge(key.node):
                entries.append(f"<<: {self._merged(value, position, without if more is None else None)}")
            elif without is None or not _is(key, without):
                entries.append(f"{self._copy(key, position)}: {self._copy(value, position)}")
        return "{" + ", ".join(entries + ([more] if more else [])) + "}"

    def _merged(self, value: NodePart, position: int, without: str | None) -> str:
        """Return the value of a merge key; *without* a key, if it would bring it."""
        parts = [
            self._written(part.node, position, without)
            if without is not None and isinstance(part.node, MapNode) and self._has(part.node, without)
            else self._copy(part, position)
            for part in sources(value)
        ]
        return f"[{', '.join(parts)}]" if isinstance(value.node, ListNode) else parts[0]

    def _copy(self, part: NodePart, position: int) -> str:
        """Return a text for *position* that means the same as *part*: an alias if one can."""
        node = part.node
        self._count()
        if isinstance(node, ScalarNode):
            return _text(node)
        if self._document.usable(node, position):
            return f"*{node.anchor}"
        tag = f"!<{node.tag}> " if node.tag else ""
        if isinstance(node, ListNode):
            return f"{tag}[{', '.join(self._copy(each, position) for each in node.items)}]"
        return tag + self._written(node, position)

    def _count(self) -> None:
        self._copied += 1
        if self._copied > _MOST_COPIED:
            raise NotPossibleError

    # Reading

    def _has(self, node: MapNode, key: str) -> bool:
        return any(key in meaning.entries(node) for meaning in self._meanings)

    def _entries(self, node: MapNode, key: str) -> tuple[Node | None, Node | None]:
        """Return what *node* is to have under *key* in each reading, but for the count."""
        one, other = (self._entry(node, key, reading) for reading in (0, 1))
        return one, other

    def _entry(self, node: MapNode, key: str, reading: int) -> Node | None:
        part = self._meanings[reading].entries(node).get(key)
        now = part.node if part else None
        if key != "deploy" or self._was(now, reading):
            return now
        # Another service that this one inherits from has got a `deploy`, which hides the one that is meant.
        candidates = [None, *self._brought(node, key, set())]
        return next((each for each in candidates if self._was(each, reading)), now)

    def _was(self, deploy: Node | None, reading: int) -> bool:
        """Return whether this is what the service's `deploy` was at first, but for the count."""
        before, now = self._before[reading], self._meanings[reading]
        entries = now.entries(deploy) if isinstance(deploy, MapNode) else {}
        return Comparison(before, now).same_entries(before.deploy(self._name), entries, "replicas")

    def _brought(self, node: MapNode, key: str, seen: set[int]) -> Iterator[Node]:
        """Yield all that the mapping, and those that it merges, have under *key* themselves."""
        if id(node) in seen:
            return
        seen.add(id(node))
        for name, value in node.pairs:
            if is_merge(name.node):
                for source in sources(value):
                    if isinstance(source.node, MapNode):
                        yield from self._brought(source.node, key, seen)
            elif _is(name, key):
                yield value.node


def _is(key: NodePart, name: str) -> bool:
    return isinstance(key.node, ScalarNode) and key.node.value == name


def _same(values: Values) -> bool:
    one, other = values
    return one is not None and other is not None and _text(one) == _text(other)


def _agreed(values: Values) -> Value:
    """Return the value that is the same in both readings."""
    if not _same(values):
        raise NotPossibleError
    return values[0]


def _text(value: Value) -> str:
    """Return a text that means the value in flow style: in quotes what is a text for certain."""
    if value is None:
        raise NotPossibleError
    if isinstance(value, int):
        return str(value)
    if value.empty:
        return "null"
    tag = f"!<{value.tag}> " if value.tag else ""
    return tag + (value.value if value.maybe_no_text else json.dumps(value.value, ensure_ascii=False))
