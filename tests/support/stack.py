"""deploy/stack.yml as a test reads it, and what its socket proxy lets through."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.standins.socket_proxy import Allowlist

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "stack.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
ALLOWLIST = Allowlist(SERVICES["socket-proxy"]["command"])

_GROUP = re.compile(r"\(([^()]*)\)(\??)")


def branches(expression: str) -> Iterator[str]:
    """The ways through *expression*, one for each choice that its groups leave, as expressions without groups."""
    group = _GROUP.search(expression)
    if group is None:
        yield expression
        return
    choices = [*group[1].split("|"), *([""] if group[2] else [])]
    for choice in choices:
        yield from branches(expression[: group.start()] + choice + expression[group.end() :])


def allowed_branches() -> list[tuple[str, re.Pattern[str]]]:
    """Each way through the allowlist: a method, and what its paths look like."""
    return [
        (method, re.compile(branch))
        for method, expression in ALLOWLIST.expressions.items()
        for branch in dict.fromkeys(branches(expression))
    ]
