"""Where commands print what people read as a whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType

_ENDLESS = 100_000
"""Columns off a terminal: nothing is wrapped there, so that `grep` finds whole lines."""


def terminal() -> Console:
    """Return a console as wide as the terminal, or as COLUMNS says; off a terminal nothing is wrapped."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _ENDLESS
    return console


def show(what: RenderableType) -> None:
    """Print *what* for people, without blanks at the ends of lines."""
    console = terminal()
    with console.capture() as captured:
        console.print(what)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=console.is_terminal or None)
