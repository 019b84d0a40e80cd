"""Where commands print what people read as a whole."""

from __future__ import annotations

import os

from rich.console import Console

_WIDE = 200


def terminal() -> Console:
    """As wide as the terminal, and wide where there is none."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console
