"""Plain scalars: their meaning, and those that YAML 1.1 and 1.2 read differently."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from autoscaler.policy_files.diagnostic import shown

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_NUMBER = 60
"""The most digits of a number that a message proposes."""


class Surprise(NamedTuple):
    """A plain scalar that YAML 1.1 and 1.2 read differently, or that is not what it looks like."""

    pattern: re.Pattern[str]
    what: str
    cure: Callable[[str], str]
    date: bool = False


def surprise_in(text: str, *, dates_are_text: bool) -> Surprise | None:
    """Return the surprise that the plain scalar *text* holds; None if it is plain in both versions of YAML."""
    for surprise in _SURPRISES:
        if surprise.pattern.fullmatch(text) and not (surprise.date and dates_are_text):
            return surprise
    return None


def quoted(text: str) -> str:
    """Return the advice to quote *text*."""
    return f"write {shown(text)} in quotes for the text"


def _truth(text: str) -> str:
    meant = "true" if text.lower() in {"on", "yes", "y"} else "false"
    return f"write {meant} for the truth value, or {shown(text)} in quotes for the text"


def _decimal(text: str) -> str:
    sign = "-" if text.startswith("-") else ""
    digits = text.replace("_", "").lstrip("+-0") or "0"
    if len(digits) > _LONGEST_NUMBER:
        return quoted(text)
    return f"write {sign}{digits} for the number, or {shown(text)} in quotes for the text"


def _number_or_text(text: str) -> str:
    return f"write the number in decimal, or {shown(text)} in quotes for the text"


def _duration_or_text(text: str) -> str:
    return f"write a duration like 90s or 1h30m, or {shown(text)} in quotes for the text"


_SURPRISES = (
    Surprise(re.compile(r"(?i:on|off|yes|no|y|n)"), "{} is a truth value in YAML 1.1 and text in YAML 1.2", _truth),
    Surprise(
        re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
        "{} is a number to the base of 60 in YAML 1.1 and text in YAML 1.2",
        _duration_or_text,
    ),
    Surprise(re.compile(r"[-+]?0[0-9]+"), "{} is octal in YAML 1.1 and decimal in YAML 1.2", _decimal),
    Surprise(re.compile(r"[-+]?0(x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)"), "{} is a number in disguise", _number_or_text),
    Surprise(
        re.compile(r"(?=.*_)[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?"),
        "{} is a number in YAML 1.1 and text in YAML 1.2",
        _decimal,
    ),
    Surprise(
        re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?"),
        "{} is a date in YAML 1.1 and text in YAML 1.2",
        quoted,
        date=True,
    ),
    Surprise(re.compile(r"[-+]?[0-9]{19,}"), "{} is too long a number", quoted),
)
KINDS: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}
"""The types that the values of each tag have."""
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


def plain_value(text: str) -> str | float | bool | None:
    """Return the value of a plain scalar. Source: YAML 1.2.2, section 10.3.2, the core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
