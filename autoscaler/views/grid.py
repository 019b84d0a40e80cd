"""A table whose last column is a sentence, which is broken between words alone.

On a narrow console the sentence stands below its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions

_GAP = 2
_LEAST_ROOM = 40
"""Columns that a sentence needs beside the others; with fewer it goes below its row."""
_INDENT = 4


@dataclass(frozen=True, slots=True)
class GridRow:
    """The short cells of a row, and its sentence."""

    cells: Sequence[Text]
    sentence: Text


@dataclass(frozen=True, slots=True)
class Grid:
    """What rich prints as a table."""

    headings: Sequence[str]
    """One for each cell, and the last one for the sentences."""
    rows: Sequence[GridRow]
    right: frozenset[str] = field(default_factory=frozenset)
    """The headings of the columns that are aligned to the right."""
    most_lines: int | None = None
    """The most lines, the heading included; the rows without room are counted in the last one."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the lines."""
        widths = [
            max([len(heading), *(row.cells[number].cell_len for row in self.rows)])
            for number, heading in enumerate(self.headings[:-1])
        ]
        beside = sum(widths) + _GAP * len(widths)
        room = options.max_width - beside
        wide = room >= _LEAST_ROOM
        titles = [Text(each, "bold") for each in self.headings]
        yield _line([*self._padded(titles[:-1], widths), *(titles[-1:] if wide else [])])
        left = None if self.most_lines is None else max(0, self.most_lines - 2)
        for number, row in enumerate(self.rows):
            cells = self._padded(row.cells, widths)
            below = beside if wide else _INDENT
            parts = row.sentence.wrap(console, max(_LEAST_ROOM // 2, options.max_width - below))
            first, others = (parts[:1], parts[1:]) if wide else ([], parts)
            lines = [_line([*cells, *first]), *(_line([Text(" " * below), part]) for part in others)]
            if left is not None:
                left -= len(lines)
                if left < 0:
                    yield Text(f"and {len(self.rows) - number} more", "dim")
                    return
            yield from lines

    def _padded(self, cells: Sequence[Text], widths: Sequence[int]) -> list[Text]:
        padded = []
        for cell, width, heading in zip(cells, widths, self.headings, strict=False):
            spare = Text(" " * (width - cell.cell_len))
            ordered = (spare, cell) if heading in self.right else (cell, spare)
            padded.append(Text.assemble(*ordered, " " * _GAP))
        return padded


def _line(parts: Sequence[Text]) -> Text:
    line = Text().join(parts)
    line.rstrip()
    return line


@dataclass(frozen=True, slots=True)
class Hanging:
    """A text whose further lines are indented."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the lines."""
        first, *others = Text(self.text, self.style).wrap(console, options.max_width) or [Text()]
        yield first
        rest = Text(self.text[len(first.plain) :].strip(), self.style) if others else Text()
        for part in rest.wrap(console, max(_LEAST_ROOM // 2, options.max_width - _INDENT)) if others else ():
            yield _line([Text(" " * _INDENT), part])
