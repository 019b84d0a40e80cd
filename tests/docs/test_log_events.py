from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from autoscaler.views.logs import _PROBLEM_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_METHODS = {"debug", "info", "warning", "error", "exception", "_change"}
"""The methods of a logger, and one that hands the name on to it."""
_NAME = re.compile(r"[a-z]+(_[a-z]+)+")
_NO_FIELDS = {"exc_info"}


def _calls() -> Iterator[tuple[str, set[str]]]:
    """The events that the code logs by a literal name, each with the fields that it names."""
    for file in sorted((ROOT / "autoscaler").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and (name := _logged(node)):
                yield name, {keyword.arg for keyword in node.keywords if keyword.arg} - _NO_FIELDS


def _logged(node: ast.Call) -> str:
    """The literal name of the event that *node* logs; empty if it logs none."""
    match node:
        case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(name)), *_]) if method in _METHODS:
            return name if _NAME.fullmatch(name) else ""
        case ast.Call(func=ast.IfExp(), args=[ast.Constant(value=str(name)), *_]):  # (log.warning if … else log.info)
            return name if _NAME.fullmatch(name) else ""
    return ""


def _documented() -> dict[str, set[str]]:
    """The events of docs/log-events.md with their fields."""
    rows = re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", (ROOT / "docs" / "log-events.md").read_text(), re.MULTILINE)
    return {event: set(re.findall(r"`(\w+)`", fields)) for event, fields in rows}


def test_the_index_has_every_log_event() -> None:
    """docs/log-events.md lists each event that the code logs, and no other."""
    events = {name for name, _ in _calls()} | {name for pair in _PROBLEM_EVENTS.values() for name in pair if name}

    assert set(_documented()) == events


def test_the_index_has_every_field() -> None:
    """An event's row in docs/log-events.md names each field that the code gives by name."""
    documented = _documented()
    missing = {name: fields - documented.get(name, set()) for name, fields in _calls()}

    assert {name: fields for name, fields in missing.items() if fields} == {}
