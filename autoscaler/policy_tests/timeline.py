"""The timeline around a failed expectation: the evaluations there, and the changes since the expectation before."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from autoscaler.util.durations import words
from autoscaler.util.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autoscaler.policy_tests.files import Event
    from autoscaler.policy_tests.run import Evaluated

AROUND = 3
"""The evaluations before and after the failed one that are shown one by one."""
_MOST = 20
"""The most entries before the failed one."""
_WIDTH = 120
_NARROWEST = 30
"""The smallest width of the last column."""
_LONGEST = 20
"""The most characters of a metric's heading."""
_GAP = "  "
_TOGETHER = "\N{NO-BREAK SPACE}"
_HEADINGS = ("AT", "REPLICAS", "RUNNING"), ("REASON", "WHY")


class Moment(NamedTuple):
    """One evaluation of a service, with its samples and the actions of others."""

    evaluated: Evaluated
    values: Mapping[str, float | None]
    """The newest value of each metric of the service's policy; None if it is missing."""
    events: tuple[Event, ...] = ()
    """The action of somebody else right before the evaluation."""

    def says_the_same_as(self, other: Moment) -> bool:
        """Return whether both left the same count for the same reason. Details and the metrics' values may differ."""
        return not self.events and _outcome(self.evaluated) == _outcome(other.evaluated)


def _outcome(evaluated: Evaluated) -> tuple[object, ...]:
    return evaluated.before, evaluated.replicas, evaluated.running, evaluated.reason, evaluated.rule


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An evaluation, and the equal ones that follow it."""

    moments: Sequence[Moment]
    failed: bool = False
    """True if the first of them is the failed one."""

    @property
    def more(self) -> int:
        """Return how many equal evaluations follow the first."""
        return len(self.moments) - 1

    @property
    def until(self) -> int:
        """Return the time of the last of them."""
        return self.moments[-1].evaluated.at

    def varied(self) -> dict[str, list[float | None]]:
        """Return all values of the metrics that changed."""
        columns = {name: [moment.values[name] for moment in self.moments] for name in self.moments[0].values}
        return {name: values for name, values in columns.items() if len(set(values)) > 1}

    def document(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        evaluated, values, events = self.moments[0]
        return {
            "at": words(evaluated.at),
            "until": words(self.until),
            "evaluations": len(self.moments),
            "failed": self.failed,
            "events": [event.said for event in events],
            "requested": evaluated.before,
            "replicas": evaluated.replicas,
            "running": evaluated.running,
            "reason": evaluated.reason,
            "rule": evaluated.rule,
            "detail": evaluated.detail,
            "values": dict(values),
            "varied": {name: _range_document(values) for name, values in self.varied().items()},
        }


@dataclass(frozen=True, slots=True)
class Timeline:
    """Entries in the order of time."""

    entries: Sequence[TimelineEntry]
    headings: Mapping[str, str]
    """The headings of the metrics' columns."""
    omitted: int = 0
    """The number of earlier evaluations that have no entry."""

    def document(self) -> dict[str, Any]:
        """Return the timeline as a JSON object."""
        return {"omitted": self.omitted, "entries": [entry.document() for entry in self.entries]}

    def render(self, indent: str) -> Text:
        """Return the timeline as a table, with a line break before each line and ``>`` before the failed evaluation."""
        before, after = _HEADINGS
        headings = (*before, *map(_shortened, self.headings.values()), *after)
        rows = [_cells(entry.moments[0]) for entry in self.entries]
        widths = [max(map(len, column)) for column in zip(*[row[:-1] for row in (headings, *rows)], strict=True)]
        table = _TextTable(indent, widths, numbers=range(len(before) - 1, len(headings) - len(after)))
        table.row(headings, "dim")
        if self.omitted:
            table.line(f"… {self.omitted} evaluations before these", "dim")
        for entry, row in zip(self.entries, rows, strict=True):
            for event in entry.moments[0].events:
                who = ", by somebody else" if event.room is None else ""
                table.line(f"{row[0].ljust(widths[0])}{_GAP}{event}{who}", "cyan")
            table.row(row, "bold" if entry.failed else "", ">" if entry.failed else " ")
            if entry.more:
                table.line(_folded(entry), "dim")
        return table.text


def timeline(moments: Sequence[Moment], failed: int, headings: Mapping[str, str]) -> Timeline:
    """Return the timeline of *moments*, of which the one at the index *failed* is not as expected.

    A moment that equals the one before is folded into its entry. Near the failed one, this is only done if the metrics'
    values are equal, too.
    """
    groups: list[list[Moment]] = []
    position = 0
    for index, moment in enumerate(moments):
        near = index >= failed - AROUND
        if groups and index != failed and _goes_with(groups[-1], moment, near=near):
            groups[-1].append(moment)
        else:
            groups.append([moment])
        if index == failed:
            position = len(groups) - 1
    first = max(0, position - _MOST)
    entries = [TimelineEntry(group, failed=index == position) for index, group in enumerate(groups)]
    return Timeline(entries[first:], headings, omitted=sum(map(len, groups[:first])))


def _goes_with(group: list[Moment], moment: Moment, *, near: bool) -> bool:
    same = moment.says_the_same_as(group[0])
    return same and (not near or all(other.values == moment.values for other in group))


def _cells(moment: Moment) -> tuple[str, ...]:
    evaluated = moment.evaluated
    changed = f"{evaluated.before} → {evaluated.replicas}" if evaluated.before != evaluated.replicas else ""
    told = (evaluated.reason or "", f"{evaluated.rule}: {evaluated.detail}" if evaluated.rule else evaluated.detail)
    values = map(_number, moment.values.values())
    return (words(evaluated.at), changed or str(evaluated.replicas), str(evaluated.running), *values, *told)


def _shortened(heading: str) -> str:
    return heading if len(heading) <= _LONGEST else f"{heading[: _LONGEST - 1]}…"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _folded(entry: TimelineEntry) -> str:
    """Return ``… 12 more like it until 4m45s, cpu 60 to 80 and 2 missing``."""
    varied = "".join(f", {name} {_range(values)}" for name, values in entry.varied().items())
    return f"… {entry.more} more like it until {words(entry.until)}{varied}"


def _range(values: Sequence[float | None]) -> str:
    found = _range_document(values)
    lowest, highest, missing = _number(found["lowest"]), _number(found["highest"]), found["missing"]
    there = lowest if lowest == highest else f"{lowest} to {highest}"
    return f"{there} and {missing} missing" if missing else there


def _range_document(values: Sequence[float | None]) -> dict[str, Any]:
    there = [value for value in values if value is not None]
    return {"lowest": min(there), "highest": max(there), "missing": len(values) - len(there)}


class _TextTable:
    """Aligned lines. The last column has the remaining width, on as many lines as it needs."""

    def __init__(self, indent: str, widths: Sequence[int], numbers: range) -> None:
        self.text = Text()
        self._indent = indent
        self._widths = widths
        self._numbers = numbers
        """The columns of numbers, which are aligned to the right."""

    def row(self, cells: Sequence[str], style: str, mark: str = " ") -> None:
        """Append one row, after its *mark*."""
        aligned = (
            cell.rjust(width) if column in self._numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, self._widths, strict=False))
        )
        start = f"{mark} {_GAP.join(aligned)}{_GAP}"
        left = max(_NARROWEST, _WIDTH - len(self._indent) - len(start))
        detail = cells[-1].replace(" %", f"{_TOGETHER}%").replace(" → ", f"{_TOGETHER}→{_TOGETHER}")
        for number, part in enumerate(wrap(detail, left) or [""]):
            self._append(f"{start if number == 0 else ' ' * len(start)}{part.replace(_TOGETHER, ' ')}", style)

    def line(self, text: str, style: str) -> None:
        """Append a line across the columns."""
        for part in wrap(text, _WIDTH - len(self._indent) - len(_GAP), subsequent_indent=_GAP, drop_whitespace=False):
            self._append(f"{_GAP}{part}", style)

    def _append(self, line: str, style: str) -> None:
        self.text.append(f"\n{self._indent}{printable(line.rstrip())}", style)
