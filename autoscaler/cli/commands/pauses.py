"""`autoscaler pause` and `autoscaler resume`."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import click

from autoscaler import wiring
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.cli.commands.options import Duration, output_option, swarm_option
from autoscaler.cli.commands.output import ERROR, complain, print_json, say
from autoscaler.coordination.pausing import PauseRequest, report
from autoscaler.core.model import Direction
from autoscaler.errors import BackendError
from autoscaler.settings import Settings
from autoscaler.views.documents import done_document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.coordination.pausing import PauseResult


def _operator() -> str:
    """Who runs this, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option(
    "--direction",
    type=click.Choice([*map(str, Direction)]),
    help="Hold only increases (up), or only reductions (down).",
)
@click.option("--for", "lasting", type=Duration(1), metavar="DURATION", help="End the pause after this time.")
@click.option("--reason", default="", metavar="TEXT", help="Reason that is shown with the pause.")
@click.option(
    "--by", default=_operator, metavar="NAME", help="Name that is shown with the pause [user and host of this command]."
)
@output_option
@swarm_option
def pause(output: str, services: Sequence[str], direction: str | None, **wanted: Any) -> None:
    """Pause changes of the given services, or of all services.

    The pause lasts until `autoscaler resume`, or for the time that --for gives. It is kept in Swarm, so it can be set
    while no daemon runs. The daemon obeys it from its next evaluation on. A pause that already lasts longer is not
    shortened.
    """
    given = {name: wanted.pop(name) for name in ("lasting", "by", "reason")}
    wish = PauseRequest(services, Direction(direction) if direction else None, **given)
    already = "was paused already, for as long or longer"
    _change_pauses(output, wanted, already, lambda settings: wiring.pause(settings, wish))


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@output_option
@swarm_option
def resume(output: str, services: Sequence[str], **options: Any) -> None:
    """End the pauses of the given services, or that of all services.

    Without SERVICE, only the pause of all services ends. A service that was paused by its name stays paused until it is
    resumed by its name.
    """
    already = "was not paused"
    _change_pauses(output, options, already, lambda settings: wiring.resume(settings, services))


def _change_pauses(
    output: str, options: dict[str, Any], already: str, change: Callable[[Settings], PauseResult]
) -> None:
    settings = Settings.read(options)
    try:
        done = change(settings)
    except BackendError as error:
        complain(f"{error}")
        sys.exit(ERROR)
    now = SystemClock().now()
    if output == "json":
        print_json(done_document(done, now))
    else:
        say(*report(done, now, already))
