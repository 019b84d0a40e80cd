"""The live table: a row for each service with its replicas as a bar. `watch` and the demo draw it anew and anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from autoscaler.core.model import Outcome
from autoscaler.core.states import State
from autoscaler.util.text import printable
from autoscaler.views.grid import Grid, GridRow
from autoscaler.views.render import STYLES, short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from autoscaler.views.overview import MetricRow, ServiceRow

_LONGEST_BAR = 12
"""Characters of a bar; with a larger maximum each stands for several replicas."""


def board(rows: Sequence[ServiceRow], most_lines: int | None = None) -> Grid:
    """Return the table of *rows*, in their order; at most so many lines of it."""
    return Grid(
        ("SERVICE", "REPLICAS", "LOAD", "DECISION", "WHY"),
        [
            GridRow(
                (Text(printable(row["service"])), bar(row), Text(load(row)), Text(row["reason"], style_of(row))),
                Text(printable(_why(row)), "dim" if row["outcome"] == Outcome.UNCHANGED else ""),
            )
            for row in rows
        ],
        most_lines=most_lines,
    )


def urgent_first(rows: Sequence[ServiceRow]) -> list[ServiceRow]:
    """Return *rows* with those that need attention first, then those that are held or were changed, then the others."""
    return sorted(rows, key=lambda row: (_rank(row), row["service"]))


def _rank(row: ServiceRow) -> int:
    if needs_attention(row):
        return 0
    return 1 if row["states"] else 2


def needs_attention(row: ServiceRow | Mapping[str, Any]) -> bool:
    """Return whether an operator should look at the service of *row*. States of newer daemons do not count."""
    return any(state in _ATTENTION for state in row["states"])


_ATTENTION = frozenset(state for state in State if state.needs_attention)


def style_of(row: ServiceRow) -> str:
    """Return the colour of the outcome of *row*, as rich names it."""
    return STYLES.get(row["outcome"], "")


def count(row: ServiceRow) -> str:
    """Return the replica count and its change: ``3 → 4``, or ``3`` if it stays."""
    changes = row["desired"] != row["requested"]
    return f"{row['requested']} → {row['desired']}" if changes else str(row["requested"])


def bar(row: ServiceRow) -> Text:
    """Return the running replicas filled, requested ones that do not run yet shaded, room up to the maximum empty."""
    most = max(row["max"] or 0, row["desired"], row["running"])
    scale = max(1, -(-most // _LONGEST_BAR))
    running = -(-row["running"] // scale)
    waiting = max(0, -(-row["desired"] // scale) - running)
    room = max(0, -(-most // scale) - running - waiting)
    drawn = Text("█" * running, "green")
    drawn.append("▒" * waiting, "yellow")
    drawn.append("·" * room, "dim")
    drawn.append(f" {count(row)}")
    return drawn


def load(row: ServiceRow) -> str:
    """Return the newest values of the metrics: ``cpu 83 %  memory 41 %``."""
    return "  ".join(_value(each) for each in row["metrics"] if each["value"] is not None)


def _value(metric: MetricRow) -> str:
    return printable(f"{metric['metric']} {short(metric['value'] or 0.0)} {metric['unit']}".rstrip())


def _why(row: ServiceRow) -> str:
    return "; ".join(filter(None, (row["why"], row["detail"])))
