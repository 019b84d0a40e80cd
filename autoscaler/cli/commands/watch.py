"""`autoscaler watch`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, cast

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from autoscaler.cli.commands.options import Duration
from autoscaler.cli.commands.terminal import show
from autoscaler.cli.daemon_client import DaemonAnswer, DaemonClient, url_option
from autoscaler.errors import DaemonError
from autoscaler.util.durations import words
from autoscaler.util.text import printable
from autoscaler.views import status as view
from autoscaler.views.screen import screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from autoscaler.views.overview import OverviewDocument

_AFTER = 0.5
"""Seconds after an evaluation begins at which its results are asked for."""
_SHORTEST = 1.0
_LONGEST = 30.0
"""Bounds of the seconds between two questions."""


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--for", "lasting", type=Duration(), metavar="DURATION", help="End after this time, such as 30s.")
@url_option
def watch(services: tuple[str, ...], lasting: int | None, url: str | None) -> None:
    """Show a running daemon's services as a live table, until Ctrl-C.

    The table is drawn again after each evaluation. SERVICE is a name or a glob; without one all services are shown.
    Off a terminal the command prints what `autoscaler status --all` prints, after each evaluation.
    """
    client = DaemonClient.at(url)
    watched = _Watch(client, services)
    watched.ask(first=True)  # an address that is wrong is an error at once
    ends = None if lasting is None else time.monotonic() + lasting
    console = Console(highlight=False)
    try:
        if console.is_terminal:
            with Live(get_renderable=lambda: watched.shown(console.height), console=console, refresh_per_second=2):
                watched.keep_asking(ends)
        else:
            show(watched.report())
            watched.keep_asking(ends, on_answer=lambda: show(watched.report()))
    except KeyboardInterrupt:
        sys.exit(0)


class _Watch:
    """The newest overview of a daemon, asked for after each of its evaluations."""

    def __init__(self, client: DaemonClient, services: tuple[str, ...]) -> None:
        self._client = client
        self._services = services
        self._answer = DaemonAnswer({})
        self._answered = time.monotonic()
        self._error = ""

    def ask(self, *, first: bool = False) -> None:
        """Ask for the overview; keep the last one if the daemon does not answer."""
        try:
            self._answer = self._client.ask("/api/v1/overview")
        except DaemonError as error:
            if first:
                raise
            self._error = str(error)
        else:
            self._answered, self._error = time.monotonic(), ""

    def keep_asking(self, ends: float | None, on_answer: Callable[[], None] = lambda: None) -> None:
        """Ask after each evaluation, until *ends* on the monotonic clock."""
        failures = 0
        while True:
            rest = self._rest(failures)
            if ends is not None and time.monotonic() + rest >= ends:
                time.sleep(max(0.0, ends - time.monotonic()))
                return
            time.sleep(rest)
            self.ask()
            failures = failures + 1 if self._error else 0
            if not self._error:
                on_answer()

    def _rest(self, failures: int) -> float:
        if failures:
            return min(_LONGEST, 2.0 ** (failures - 1))
        left = self._answer.seconds_left
        return _LONGEST if left is None else min(max(_SHORTEST, left + _AFTER), _LONGEST)

    @property
    def _document(self) -> OverviewDocument:
        return cast("OverviewDocument", self._answer.document)

    def report(self) -> RenderableType:
        """Return what is printed off a terminal."""
        return view.status(self._document, self._answer.now, everything=True)

    def shown(self, height: int) -> RenderableType:
        """Return what the terminal shows, in at most *height* lines."""
        silent = time.monotonic() - self._answered
        said = f"not reached for {words(silent)}, the table is old: {self._error}"
        notes = [Text(printable(said), "bold red")] if self._error else []
        return Group(*notes, screen(self._document, self._answer.now, self._services, height - 2 - 2 * len(notes)))
