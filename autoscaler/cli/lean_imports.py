"""Keeps what only some commands need out of the daemon's memory."""

from __future__ import annotations

import sys
from typing import Any


def import_structlog_alone() -> None:
    """Import structlog without rich, which it loads for a renderer that is not used here.

    The daemon prints no tables, and rich takes 3 MB. Commands that print tables load it afterwards as usual.
    """
    if {"structlog", "rich"} & sys.modules.keys():
        return
    modules: dict[str, Any] = sys.modules
    modules["rich"] = None  # an import of it raises ImportError, and structlog goes on without
    try:
        import structlog  # noqa: F401, PLC0415 - this is the one place where it must not come with the others
    finally:
        del modules["rich"]
