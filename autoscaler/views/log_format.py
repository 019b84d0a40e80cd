"""How a log line looks: for people one sentence with the time first, for programs JSON with the main facts first."""

from __future__ import annotations

import shutil
import textwrap
from io import StringIO
from textwrap import indent
from typing import TYPE_CHECKING, Any

import structlog

from autoscaler.util.amounts import rounded
from autoscaler.util.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from structlog.typing import EventDict, WrappedLogger

_FIRST = ("timestamp", "level", "event", "service")
_SENTENCES = ("why", "cause", "cure", "detail", "consequence")
"""Fields that are sentences: they stand for themselves."""
_INDENT = "    "
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_OUTCOME_COLOURS = {"applied": "\x1b[32m", "dry_run": "\x1b[36m", "held": "\x1b[33m", "unchanged": "\x1b[2m"}
_RESET = "\x1b[0m"
_LOUD = frozenset({"warning", "error", "critical"})


def main_facts_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Return the event with time, level, name and service first, and with its numbers rounded."""
    first = {key: event[key] for key in _FIRST if key in event}
    return first | {key: _rounded(value) for key, value in event.items() if key not in first}


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return rounded(value)
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case _:
            return value


def for_people(*, terminal: bool) -> Callable[[WrappedLogger, str, EventDict], str]:
    """Return the processor that makes a line for people; on a *terminal* it has colours, and is wrapped at words."""

    def render(_: WrappedLogger, __: str, event: EventDict) -> str:
        lines = list(_lines(event))
        if not terminal:
            return "\n".join(lines)
        width = max(40, shutil.get_terminal_size().columns)
        wrapped = (_wrapped(line, width) for line in lines)
        return f"{_colour(event)}{f'{chr(10)}'.join(wrapped)}{_RESET}"

    return render


def _wrapped(line: str, width: int) -> str:
    if len(line) <= width or line.startswith("  "):
        return line
    return textwrap.fill(
        line, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )


def _lines(event: EventDict) -> Iterator[str]:
    facts = dict(event)
    clock = str(facts.pop("timestamp", ""))[11:19]
    level, name = str(facts.pop("level", "info")), printable(str(facts.pop("event", "")))
    failure, stack = facts.pop("exc_info", None), facts.pop("stack", None)
    listed = facts.pop("problems", ())
    said = _decision(facts) if name == "service_evaluated" else _event(name, facts)
    loud = f"{level}: " if level in _LOUD else ""
    yield f"{clock}  {loud}{said}".strip()
    yield from (f"{_INDENT}{printable(str(each))}" for each in listed)
    if stack:
        yield indent(printable(str(stack), keep="\n"), "  ")
    if failure:
        yield indent(_traceback(failure), "  ")


def _decision(facts: dict[str, Any]) -> str:
    """Return a decision on one line, as the demo prints it: service, count, outcome, reason, rule and the facts."""
    requested, desired = facts.get("requested"), facts.get("desired")
    count = f"{requested} → {desired}" if requested != desired else f"{requested}"
    rule = f" [{facts['rule']}]" if facts.get("rule") else ""
    why = "; ".join(str(facts[key]) for key in ("why", "detail") if facts.get(key))
    said = f"{facts.get('service')}  {count}  {facts.get('outcome')}  {facts.get('reason')}{rule}  {why}"
    return printable(said.rstrip())


def _event(name: str, facts: dict[str, Any]) -> str:
    """Return an event on one line: the service, the name, the short facts, then the sentences."""
    service = facts.pop("service", None)
    sentences = [str(facts.pop(key)) for key in _SENTENCES if facts.get(key)]
    others = ", ".join(f"{key} {_words(value)}" for key, value in facts.items() if _said(value))
    short = "  ".join(filter(None, (str(service or ""), name, others)))
    return printable(": ".join(filter(None, (short, "; ".join(sentences)))))


def _said(value: Any) -> bool:
    return value is not None and value not in ("", [], {}, ())


def _words(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{rounded(value):g}"
        case (str() as host, int() as port):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(_words, value))
        case dict():
            return ", ".join(f"{key} {_words(each)}" for key, each in value.items() if _said(each))
        case _:
            return str(value)


def _colour(event: EventDict) -> str:
    level = str(event.get("level", "info"))
    if level in _COLOURS:
        return _COLOURS[level]
    return _OUTCOME_COLOURS.get(str(event.get("outcome", "")), _RESET)


def _traceback(failure: Any) -> str:
    """Return a traceback without local variables, whose messages cannot be mistaken for log lines."""
    text = StringIO()
    structlog.dev.plain_traceback(text, failure)
    return printable(text.getvalue(), keep="\n").strip("\n")
