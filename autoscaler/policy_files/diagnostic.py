"""A problem or warning about a file, with its place, and the words for what stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from autoscaler.util.text import printable

Path: TypeAlias = tuple[str | int, ...]
"""The way from a document's root to one of its nodes: keys and indices."""

MAX_PROBLEMS = 1000
"""The number of problems of one text that are reported; the others are only counted."""

_SHOWN_CHARACTERS = 60
_SHOWN_STEPS = 12


class Position(NamedTuple):
    """A position in a text, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """Something wrong in a file, where it is, and what would be right."""

    file: str
    line: int
    """From 1; 0 if the file as a whole is meant."""
    column: int
    path: str
    what: str
    cure: str
    id: str = ""
    """The name of the kind of warning; empty for a problem."""

    def __str__(self) -> str:
        """Return ``file:line:column: path: what is wrong (what would be right) [id]``."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        said = ": ".join(part for part in (where, self.path, f"{self.what} ({self.cure})") if part)
        return f"{said} [{self.id}]" if self.id else said


def about_file(file: str, what: str, cure: str) -> Diagnostic:
    """Return a problem of the file as a whole."""
    return Diagnostic(file, 0, 0, "", what, cure)


def shown(text: str) -> str:
    """Return *text* in quotes as a message shows it: on one line and not too long."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return f'"{printable(cut)}"'


def described(value: object) -> str:
    """Return *value* in words: ``the number 5``, ``the text "x"``, ``a list``."""
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
    """Return *path* as ``policies[0].rules[1].for``; a key that is not a plain word is quoted."""
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
