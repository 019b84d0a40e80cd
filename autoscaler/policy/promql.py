"""PromQL texts as far as they must be understood without a server: quotes, brackets, and the variable `$service`."""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SERVICE = "$service"
"""The variable that stands for a service's name, inside a quoted text of a query."""

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n\r]*)
      | (?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
      | (?P<open>[(\[{]) | (?P<close>[)\]}])
      | (?P<unclosed>["'`](?s:.*))
      | (?P<matcher>[=!]~)
      | (?P<variable>\$)""",
    re.VERBOSE,
)
_VARIABLE = re.compile(r"\$service(?![A-Za-z0-9_])")
_NEARLY = re.compile(r"\$(?:\{service\w*\}|service\w+|\{?__\w+\}?)|\\\$service\w*")
"""A text that looks like a variable but is not one. A backslash before one would escape a part of the name."""
_RANGE = re.compile(r"\[\s*([^\[\]:\s]+)\s*(?::[^\[\]]*)?\]")
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdwy]))+")
_PART = re.compile(r"([0-9]+)(ms|[smhdwy])")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_SUM = re.compile(r"\s*(?:sum|count)\s*((?:by|without)\s*\([^()]*\)\s*)?(?=\()", re.IGNORECASE)
_GROUPED = re.compile(r"\s*((?:by|without)\s*\([^()]*\)\s*)?", re.IGNORECASE)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def problem_of(query: str) -> str | None:
    """Return what is wrong with *query* and the cure, as far as is known without Prometheus; None if nothing is."""
    if not any(line.partition("#")[0].strip() for line in query.splitlines()):
        return "the query is empty (write a PromQL expression)"
    opened: list[str] = []
    for token in _TOKEN.finditer(query):
        text = token.group()
        at = f"at character {token.start() + 1}"
        match token.lastgroup:
            case "unclosed":
                return f"the query's quote {text[0]} {at} is not closed (close it)"
            case "variable":
                return f'the query has a $ outside of quotes {at} (write "{SERVICE}", in quotes)'
            case "quoted" if nearly := _NEARLY.search(text):
                return f"the query's {nearly.group()} {at} is not a variable (the only one is {SERVICE})"
            case "open":
                opened.append(_PAIRS[text])
            case "close" if not opened or opened.pop() != text:
                return f"the query's {text} {at} does not close a bracket (remove it, or open one before)"
    return f"the query lacks a {opened[-1]} (close the bracket)" if opened else None


def longest_range(query: str) -> int:
    """Return the seconds of the longest range selector in *query*, subqueries' ranges included; 0 without any.

    Quoted texts, comments, and ranges that are not written as durations are ignored.
    """
    return max((_seconds(found.group(1)) for found in _RANGE.finditer(_bare(query))), default=0)


def _seconds(duration: str) -> int:
    """Return the seconds of a range, which is a duration or, since Prometheus 3, a number; 0 for anything else."""
    if not _DURATION.fullmatch(duration):
        return int(float(duration)) if _NUMBER.fullmatch(duration) else 0
    parts = _PART.findall(duration)
    return ceil(sum(int(count) * _UNITS[unit] for count, unit in parts))


def is_sum(query: str) -> bool:
    """Return whether the whole *query* is one `sum` or `count`, which more replicas do not make smaller."""
    text = _bare(query)
    head = _SUM.match(text)
    if head is None:
        return False
    depth = 0
    for position in range(head.end(), len(text)):
        depth += (text[position] == "(") - (text[position] == ")")
        if not depth:
            return _GROUPED.fullmatch(text, position + 1) is not None
    return False


def _bare(query: str) -> str:
    """Return *query* with blanks for its comments and its quoted texts."""
    return _TOKEN.sub(
        lambda token: " " * len(token.group()) if token.lastgroup in {"comment", "quoted"} else token.group(), query
    )


def mentions_service(query: str) -> bool:
    """Return whether *query* is a template that asks for the one service `$service`."""
    return any(_VARIABLE.search(token.group()) for token, _ in _quoted(query))


def for_service(query: str, service: str) -> str:
    """Return *query* with *service* in place of each `$service`, quoted so that it keeps its meaning.

    After `=~` and `!~` it becomes a regular expression that matches only the name. Raise ValueError if the name cannot
    be written in the query's quotes.
    """
    parts: list[str] = []
    end = 0
    for token, pattern in _quoted(query):
        if _VARIABLE.search(token.group()):
            name = _within(token.group()[0], re.escape(service) if pattern else service)
            parts += [query[end : token.start()], name.join(_VARIABLE.split(token.group()))]
            end = token.end()
    return "".join([*parts, query[end:]])


def any_of(names: Iterable[str]) -> str:
    """Return the quoted regular expression that matches each of *names* and nothing else."""
    return f'"{_within(chr(34), "|".join(map(re.escape, sorted(names))))}"'


def _within(quote: str, text: str) -> str:
    """Return *text* as it is written between two of *quote*. Raise ValueError if that is not possible."""
    if quote != "`":
        return text.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\n", "\\n")
    if "`" in text:
        raise ValueError(f"the name {text!r} cannot be written between backquotes (use double quotes)")
    return text


def _quoted(query: str) -> Iterator[tuple[re.Match[str], bool]]:
    """Yield the quoted texts of *query*, and whether each is a regular expression, because it follows `=~` or `!~`."""
    pattern = False
    for token in _TOKEN.finditer(query):
        if token.lastgroup == "quoted":
            yield token, pattern
        if token.lastgroup != "comment":
            pattern = token.lastgroup == "matcher"
