"""YAML text as plain data that remembers where each part stands, and everything that is wrong with the text at once.

What YAML 1.1 and 1.2 read differently is a problem, not a guess. Every text is read in bounded time and memory: its
size, its depth and the number of nodes after expansion of its aliases are limited.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import yaml

from autoscaler.policy_files.yaml_comments import Comment, comments
from autoscaler.util.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 2**20
MAX_DEPTH = 32
MAX_NODES = 300_000
MAX_PROBLEMS = 1000
"""How many problems of one text are told apart; the rest is only counted."""

Path: TypeAlias = tuple[str | int, ...]
"""The way from a document's root to one of its nodes: keys and indices."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SHOWN = 60
_SHOWN_STEPS = 12
_UNPRINTABLE_SHOWN = 20


# Places and problems


class Position(NamedTuple):
    """A position in a text, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """Something wrong in a file, where it is, and what would be right."""

    file: str
    line: int
    """From 1; 0 where the file as a whole is meant."""
    column: int
    path: str
    what: str
    cure: str
    id: str = ""
    """The name of the kind of warning; a problem has none."""

    def __str__(self) -> str:
        """``file:line:column: path: what is wrong (what would be right) [id]``."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        said = ": ".join(part for part in (where, self.path, f"{self.what} ({self.cure})") if part)
        return f"{said} [{self.id}]" if self.id else said


def about_file(file: str, what: str, cure: str) -> Diagnostic:
    """A problem of the file as a whole."""
    return Diagnostic(file, 0, 0, "", what, cure)


def shown(text: str) -> str:
    """*text* in quotes, on one line and not too long, as a message shows it."""
    cut = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return f'"{printable(cut)}"'


def described(value: object) -> str:
    """*value* in words: ``the number 5``, ``the text "x"``, ``a list``."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the truth value {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {shown(value)}" if value else "an empty text"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case _:
            return "a mapping" if value else "an empty mapping"


def path_in_words(path: Path) -> str:
    """*path* as ``policies[0].rules[1].for``; a key that is no plain word is quoted."""
    if len(path) > _SHOWN_STEPS:
        return f"{path_in_words(path[: _SHOWN_STEPS // 2])}…{path_in_words(path[-_SHOWN_STEPS // 2 :])}"
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]{1,60}", step):
            text += f".{step}" if text else step
        else:
            text += f"[{shown(step)}]"
    return text


# Nodes


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A text, number, truth value or nothing."""

    place: Position
    value: str | float | bool | None
    size: int = 1
    height: int = 0

    def data(self) -> str | float | bool | None:
        """The value."""
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class SequenceNode:
    """A list of nodes."""

    place: Position
    items: list[Node]
    size: int
    height: int

    def data(self) -> list[Any]:
        """The plain list."""
        return [item.data() for item in self.items]


class MappingItem(NamedTuple):
    """A key's place and its value."""

    key: Position
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class MappingNode:
    """Nodes by key, with the places of the keys."""

    place: Position
    entries: dict[str, MappingItem]
    size: int
    height: int

    def data(self) -> dict[str, Any]:
        """The plain dict."""
        return {key: entry.value.data() for key, entry in self.entries.items()}


Node: TypeAlias = Scalar | SequenceNode | MappingNode


# Documents


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """What a YAML text says, as plain data with places, or a part of it."""

    file: str
    root: Node | None
    """None for an empty text, and for one that could not be read to its end."""
    problems: tuple[Diagnostic, ...] = ()
    base: Path = ()
    """The way to this part from the root of the whole text."""
    comments: tuple[Comment, ...] = ()
    """Those of the whole text that speak to the autoscaler."""
    data: Any = field(init=False, repr=False)
    """Plain dicts with text keys (a number's is its text), lists, texts, numbers, truth values and None."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", None if self.root is None else self.root.data())

    def place(self, path: Path = (), *, of_key: bool = False) -> Position:
        """Where the node at *path* stands, or its key; where there is none, the nearest node above it."""
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
        """A problem at *path*, told of its value or its key; a warning has an id."""
        line, column = self.place(path, of_key=of_key)
        return Diagnostic(self.file, line, column, path_in_words(self.base + path), what, cure, id_)

    def holds(self, path: Path) -> bool:
        """Whether the text has a node at *path*."""
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                return False
            node = child[1]
        return True

    def with_data(self, data: Any) -> Document:
        """The same text taken to say *data*: what is not in the text stands at the nearest node above it."""
        other = copy(self)
        object.__setattr__(other, "data", data)
        return other

    def part(self, key: str) -> Document:
        """The document below the root's *key*, in the same file; its own problems are not repeated."""
        found = _child(self.root, key)
        return Document(self.file, found[1] if found else None, (), (*self.base, key), self.comments)


def _child(node: Node | None, step: str | int) -> tuple[Position | None, Node] | None:
    """The place of the key, for a mapping, and the node one *step* below *node*."""
    if isinstance(node, MappingNode) and isinstance(step, str) and step in node.entries:
        return node.entries[step]
    if isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.items):
        return None, node.items[step]
    return None


def read(text: str | bytes, file: str, *, dates_are_text: bool = False) -> Document:
    """The one YAML document in *text*, with every problem of the text; never raises.

    An unquoted date is a problem, for YAML 1.1 makes something else of it than text; not so with *dates_are_text*.
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
    builder = _Builder(file, dates_are_text=dates_are_text)
    root = builder.build(decoded)
    spoken = () if root is None or builder.problems else comments(decoded, _LOADER)
    return Document(file, root, tuple(builder.problems), comments=spoken)


def _place_in(before: str) -> Position:
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _unprintable(text: str, file: str) -> Iterator[Diagnostic]:
    """Characters that no YAML text may hold."""
    for found in yaml.reader.Reader.NON_PRINTABLE.finditer(text):
        character = f"U+{ord(found[0]):04X}"
        place = _place_in(text[: found.start()])
        yield Diagnostic(
            file, *place, "", f"has the control character {character}", 'remove it, or write "\\x..", in double quotes'
        )


# Reading


class _StopReadingError(Exception):
    """The text breaks a limit; the problem has been noted."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    place: Position
    anchor: str | None
    mapping: bool
    is_key: bool
    """Whether it stands where a key should."""
    items: list[Node] = field(default_factory=list)
    entries: dict[str, MappingItem] = field(default_factory=dict)
    keys: dict[str, Position] = field(default_factory=dict)
    """Where each key was given first; numbers by their value, for 1 and 1.0 are one."""
    merging: bool = False
    """Whether the key whose value comes next is a merge key."""
    merged: list[MappingNode] = field(default_factory=list)
    key: tuple[str | None, Position] | None = None
    """The key whose value comes next, its name None where it is no good; None where a key comes next."""

    @property
    def step(self) -> str | int:
        """The last step of the path to the node that comes next."""
        if not self.mapping:
            return len(self.items)
        return (self.key[0] or "?") if self.key else "?"


class _Builder:
    """Makes nodes of a parser's events, with a stack of its own instead of recursion."""

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
        """The root node, or None where there is none or the text cannot be read to its end."""
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._take(event)
        except _StopReadingError:
            return None
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # a character beyond Unicode, in pure Python
            self.problems.append(_syntax_problem(error, self._file, text))
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
        """Count what comes, aliases as if they were written out, and stop where it gets too much."""
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
        """Note it where the mapping has a key of this *meaning* already, and drop the value that comes."""
        first = part.keys.setdefault(meaning, place)
        if first is not place:
            what = f"the key {shown(key)} is given twice, first in line {first.line}, column {first.column}"
            self._note(place, what, "keep one of the two")
            part.key = (None, place)

    # values

    def _add(self, node: Node) -> None:
        """Put *node* where the text has it."""
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
        """Keep what a merge key names until the mapping ends: its own keys come first."""
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
        """What the scalar means; text where that is in doubt, which is a problem."""
        text: str = event.value
        tag = (event.tag or "").removeprefix("tag:yaml.org,2002:")
        if tag in ("!", "str") or (not tag and not event.implicit[0]):
            return text
        if tag and tag not in _KINDS:
            self._note(place, f"has the tag {shown(event.tag)}", "remove the tag: only plain YAML is read here")
            return text
        for surprise in _SURPRISES:
            if surprise.pattern.fullmatch(text) and not (surprise.date and self._dates_are_text):
                cure = _quoted(text) if is_key else surprise.cure(text)
                self._note(place, surprise.what.format(shown(text)), cure)
                return text
        value = _plain(text)
        if tag and not isinstance(value, _KINDS[tag]):
            self._note(place, f"{shown(text)} is not what its tag !!{tag} says", "remove the tag")
        return value


def _listing(part: _Open) -> SequenceNode:
    size = 1 + sum(node.size for node in part.items)
    return SequenceNode(part.place, part.items, size, 1 + max((node.height for node in part.items), default=0))


def _meaning(key: str | float) -> str:
    """What tells *key* from others: 1, 1.0 and "1" are the same key."""
    return str(int(key)) if isinstance(key, int | float) and key == int(key) else str(key)


# Plain scalars


class _Surprise(NamedTuple):
    """A plain scalar that YAML 1.1 and 1.2 read differently, or that is not what it looks like."""

    pattern: re.Pattern[str]
    what: str
    cure: Callable[[str], str]
    date: bool = False


def _truth(text: str) -> str:
    meant = "true" if text.lower() in {"on", "yes", "y"} else "false"
    return f"write {meant} for the truth value, or {shown(text)} in quotes for the text"


def _quoted(text: str) -> str:
    return f"write {shown(text)} in quotes for the text"


def _decimal(text: str) -> str:
    sign = "-" if text.startswith("-") else ""
    digits = text.replace("_", "").lstrip("+-0") or "0"
    if len(digits) > _SHOWN:
        return _quoted(text)
    return f"write {sign}{digits} for the number, or {shown(text)} in quotes for the text"


def _number_or_text(text: str) -> str:
    return f"write the number in decimal, or {shown(text)} in quotes for the text"


def _duration_or_text(text: str) -> str:
    return f"write a duration like 90s or 1h30m, or {shown(text)} in quotes for the text"


_SURPRISES = (
    _Surprise(re.compile(r"(?i:on|off|yes|no|y|n)"), "{} is a truth value in YAML 1.1 and text in YAML 1.2", _truth),
    _Surprise(
        re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
        "{} is a number to the base of 60 in YAML 1.1 and text in YAML 1.2",
        _duration_or_text,
    ),
    _Surprise(re.compile(r"[-+]?0[0-9]+"), "{} is octal in YAML 1.1 and decimal in YAML 1.2", _decimal),
    _Surprise(re.compile(r"[-+]?0(x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)"), "{} is a number in disguise", _number_or_text),
    _Surprise(
        re.compile(r"(?=.*_)[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?"),
        "{} is a number in YAML 1.1 and text in YAML 1.2",
        _decimal,
    ),
    _Surprise(
        re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?"),
        "{} is a date in YAML 1.1 and text in YAML 1.2",
        _quoted,
        date=True,
    ),
    _Surprise(re.compile(r"[-+]?[0-9]{19,}"), "{} is too long a number", _quoted),
)
_KINDS: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def _plain(text: str) -> str | float | bool | None:
    """The meaning of a plain scalar. Source: YAML 1.2.2, section 10.3.2, the core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


# Syntax errors

_CURES = (
    ("alphabetic or numeric", 'write text that begins with * or & in quotes, like "*_web"'),
    ("mapping values are not allowed", 'put each "key: value" on a line of its own, and text with ": " into quotes'),
    ("could not find expected ':'", 'write "key: value", with a space after the colon'),
    ("',' or ']'", "separate the items by commas and close the list with ]"),
    ("',' or '}'", 'separate the entries by commas, write "key: value", and close the mapping with }'),
    ("unexpected end of stream", "close the quote"),
    ("unknown escape", "double the backslash, or use single quotes"),
    ("'-' indicator", 'begin every item of the list with "- ", all in the same column'),
    ("expected key", "begin all keys of a mapping in the same column, and close what was opened"),
    ("<block end>", "begin all keys of a mapping in the same column, and close what was opened"),
    ("incompatible YAML", "remove the line that begins with %YAML"),
)


def _syntax_problem(error: Exception, file: str, text: str) -> Diagnostic:
    """The parser's complaint, at its place, with what would be right."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Diagnostic(file, 1, 1, "", "is not valid YAML", "see https://yaml.org/spec/1.2.2/ for what is")
    said = str(getattr(error, "problem", None) or "the text ends too early")
    what = f"is not valid YAML: {said}"
    context, context_mark = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context and context_mark and (context_mark.line, context_mark.column) != (mark.line, mark.column):
        what += f" {context} that begins in line {context_mark.line + 1}, column {context_mark.column + 1}"
    lines = text.splitlines() or [""]
    if mark.line >= len(lines):  # behind the last line
        return Diagnostic(file, len(lines), len(lines[-1]) + 1, "", what, _cure(said, ""))
    character = lines[mark.line][mark.column : mark.column + 1]
    return Diagnostic(file, mark.line + 1, mark.column + 1, "", what, _cure(said, character))


def _cure(said: str, character: str) -> str:
    if "cannot start any token" in said:
        return (
            "indent with spaces, never with tabs"
            if character == "\t"
            else f"write text that begins with {character} in quotes"
        )
    for words, cure in _CURES:
        if words in said:
            return cure
    return "check the indentation, and that every bracket and quote is closed"
