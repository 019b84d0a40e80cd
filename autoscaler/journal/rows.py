"""How happenings stand in the tables of the database: its schema, its statements, and what its columns mean."""

from __future__ import annotations

import re
from math import inf, isnan
from typing import TYPE_CHECKING, Any

from autoscaler.journal.happening import HappeningKind
from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FOREVER = 2**62
_WHOLE = re.compile(r"[0-9]{1,18}")
SCHEMA = """
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE samples (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, at INTEGER NOT NULL, packed BLOB NOT NULL);
CREATE INDEX samples_by_topic ON samples (topic, at);
CREATE TABLE happenings (
    at INTEGER NOT NULL, service INTEGER NOT NULL, kind INTEGER NOT NULL, subject INTEGER NOT NULL,
    until INTEGER, begun INTEGER NOT NULL, times INTEGER NOT NULL, sample INTEGER, ranges TEXT, body BLOB NOT NULL,
    PRIMARY KEY (at, service, kind, subject)
) WITHOUT ROWID;
CREATE INDEX happenings_of_service ON happenings (service, at);
CREATE INDEX happenings_that_go_on ON happenings (service) WHERE until IS NULL;
CREATE TABLE beat (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, evaluations INTEGER NOT NULL);
"""
KINDS = tuple(HappeningKind)
"""Files have the positions of the kinds, so a new kind belongs at the end."""
NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
BEGIN = (
    "INSERT INTO happenings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
    "SET until = excluded.until, times = excluded.times, ranges = coalesce(excluded.ranges, ranges)"
)
GO_ON = (
    "UPDATE happenings SET until = ?, times = ?, ranges = coalesce(?, ranges) "
    "WHERE at = ? AND service = ? AND kind = ? AND subject = ?"
)
COLUMNS = "h.at, s.name, h.kind, j.name, h.until, h.begun, h.times, h.sample, h.ranges, h.body"
JOINED = "happenings h JOIN names s ON s.id = h.service JOIN names j ON j.id = h.subject"


def milliseconds(moment: float) -> int:
    """Return *moment*, which may be infinite, as the database has it."""
    return _FOREVER if moment == inf else round(moment * 1000)


def ranges_text(values: Mapping[str, tuple[float, float]]) -> str | None:
    """Return the ranges in the order of the rules, with four digits each; None if there are none.

    ``40.2,83;=;7;`` is a range, the same range again, a single value, and no value.
    """
    parts: list[str] = []
    last = ""
    for low, high in values.values():
        part = "" if isnan(low) else f"{low:.4g}" if low == high else f"{low:.4g},{high:.4g}"
        parts.append("=" if part and part == last else part)
        last = part or last
    return ";".join(parts) if last else None


def ranges_of(text: str | None, rules: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Return the ranges that `ranges_text` made the *text* of, by the names of the *rules*."""
    found: dict[str, tuple[float, float]] = {}
    last = (0.0, 0.0)
    for rule, part in zip(rules, (text or "").split(";"), strict=False):
        if part and part != "=":
            low, _, high = part.partition(",")
            last = float(low), float(high or low)
        if part:
            found[rule] = last
    return found


def cursor_of(row: tuple[Any, ...]) -> str:
    """Return the cursor of the page that follows *row*, which has COLUMNS and the numbers of service and subject."""
    return f"{row[0]}-{row[-2]}-{row[2]}-{row[-1]}"


def cursor_values(cursor: str) -> dict[str, int]:
    """Return the parameters that *cursor* stands for. Raises ValueError if no page gave it."""
    parts = cursor.split("-")
    if len(parts) != len(("at", "service", "kind", "subject")) or not all(_WHOLE.fullmatch(part) for part in parts):
        raise ValueError(f"{tidy(cursor, 60)!r} is not a cursor (give the `next` of the page before)")
    return {f"c{index}": int(part) for index, part in enumerate(parts)}
