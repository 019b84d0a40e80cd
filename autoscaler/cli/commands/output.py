"""How commands say things: to people, to programs, on standard error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from autoscaler.util.text import printable

if TYPE_CHECKING:
    from autoscaler.errors import ConfigurationError

ERROR = 1
"""The exit code of what could not be done."""


def say(*lines: str) -> None:
    """Lines of text, whatever is in them."""
    for line in lines:
        click.echo(printable(line))


def complain(*lines: str) -> None:
    """Lines on standard error, whatever is in them."""
    for line in lines:
        click.echo(printable(line), err=True)


def problems_of(error: ConfigurationError) -> list[str]:
    """What is wrong, a line each."""
    problems: list[str] = getattr(error, "problems", [str(error)])
    return problems


def print_json(document: Any) -> None:
    """*document* for programs."""
    click.echo(json.dumps(document, indent=2, sort_keys=True))
