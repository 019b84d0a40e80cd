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
"""What looks like a variable and is none; a backslash before one would have a part of the name for its escape."""
_RANGE = re.compile(r"\[\s*([^\[\]:\s]+)\s*(?::[^\[\]]*)?\]")
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdwy]))+")
_PART = re.compile(r"([0-9]+)(ms|[smhdwy])")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_SUM = re.compile(r"\s*(?:sum|count)\s*((?:by|without)\s*\([^()]*\)\s*)?(?=\()", re.IGNORECASE)
_GROUPED = re.compile(r"\s*((?:by|without)\s*\([^()]*\)\s*)?", re.IGNORECASE)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def problem_of(query: str) -> str | None:
    """What is wrong with *query* that can be told without Prometheus, and the cure; None where nothing is."""
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
                return f'the query holds a $ outside of quotes {at} (write "{SERVICE}", in quotes)'
            case "quoted" if nearly := _NEARLY.search(text):
                return f"the query's {nearly.group()} {at} means nothing (the one variable is {SERVICE})"
            case "open":
                opened.append(_PAIRS[text])
            case "close" if not opened or opened.pop() != text:
                return f"the query's {text} {at} closes nothing (remove it, or open a bracket before)"
    return f"the query lacks a {opened[-1]} (close the bracket)" if opened else None


def longest_range(query: str) -> int:
    """Return the seconds of the longest range selector in *query*, subqueries' ranges included; 0 without any.

    Quoted texts and comments are passed over, and so is a range that is not written as durations are.
    """
    return max((_seconds(found.group(1)) for found in _RANGE.finditer(_bare(query))), default=0)


def _seconds(duration: str) -> int:
    """Return the seconds of a range, which is a duration or, since Prometheus 3, a number; 0 for anything else."""
    if not _DURATION.fullmatch(duration):
        return int(float(duration)) if _NUMBER.fullmatch(duration) else 0
    parts = _PART.findall(duration)
    return ceil(sum(int(count) * _UNITS[unit] for count, unit in parts))


def is_sum(query: str) -> bool:
    """Whether the whole of *query* is one `sum` or `count`, by labels or not: more replicas do not make it smaller."""
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
    """Whether *query* is a template: asks for one service that `$service` names."""
    return any(_VARIABLE.search(token.group()) for token, _ in _quoted(query))


def for_service(query: str, service: str) -> str:
    """*query* with *service* in the place of each `$service`, quoted so that it stays the text that it is.

    After `=~` and `!~` it is made a regular expression that matches just the name. Raises ValueError where the name
    cannot stand in the query's quotes.
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
    """*text* as it is written between two of *quote*. Raises ValueError where it cannot be."""
    if quote != "`":
        return text.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\n", "\\n")
    if "`" in text:
        raise ValueError(f"the name {text!r} cannot stand between backquotes (use double quotes there)")
    return text


def _quoted(query: str) -> Iterator[tuple[re.Match[str], bool]]:
    """The quoted texts of *query*, and whether each is a regular expression: follows `=~` or `!~`, comments aside."""
    pattern = False
    for token in _TOKEN.finditer(query):
        if token.lastgroup == "quoted":
            yield token, pattern
        if token.lastgroup != "comment":
            pattern = token.lastgroup == "matcher"
