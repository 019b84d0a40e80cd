"""The whole of what `watch` shows: the daemon, its problems, and the live table."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from autoscaler.views.board import board, urgent_first
from autoscaler.views.moments import clock_face
from autoscaler.views.status import headline, problem_lines, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from autoscaler.views.overview import OverviewDocument


def screen(document: OverviewDocument, now: float | None, services: Sequence[str], height: int) -> RenderableType:
    """Return the daemon, its problems and the table of *services*: names or globs; none means all.

    If the table has more lines than *height*, it begins with what needs attention, and the rest is counted.
    """
    daemon = document["daemon"]
    last = daemon["last_evaluation"]
    clock = "not evaluated yet" if last is None else f"{clock_face(last)} UTC"
    head = [Text(f"{clock}  {headline(daemon)}", "dim"), *problem_lines(document, now), Text()]
    rows = [row for row in document["services"] if not services or _chosen(row["service"], services)]
    left = max(3, height - len(head) - 2)
    ordered = rows if 2 * len(rows) < left else urgent_first(rows)
    return Group(*head, board(ordered, left), Text(summary(document, everything=True), "dim"))


def _chosen(service: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(service, pattern) for pattern in patterns)
