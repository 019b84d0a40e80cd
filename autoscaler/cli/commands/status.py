"""`autoscaler status`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import click

from autoscaler.cli.commands.options import output_option
from autoscaler.cli.commands.output import print_json
from autoscaler.cli.commands.terminal import show
from autoscaler.cli.daemon_client import DaemonClient, url_option
from autoscaler.views import status as view
from autoscaler.views.board import needs_attention

if TYPE_CHECKING:
    from autoscaler.views.overview import OverviewDocument

_ATTENTION = 2


@click.command()
@click.option("--all", "everything", is_flag=True, help="Show every service, not only those that need attention.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 if anything needs attention.")
@output_option
@url_option
def status(output: str, url: str | None, *, everything: bool, exit_code: bool) -> None:
    """Show a running daemon: its mode and role, its problems, and the services that need attention.

    A service needs attention if it lacks data, is at its maximum and wants more, finds no room or is paused, if its
    last write failed, or if its policy cannot be applied. At a bound without wanting more, it does not.

    The exit code is 0, or 1 if no daemon answers. With --exit-code it is 2 if a service, a problem or a policy file
    needs attention.
    """
    answer = DaemonClient.at(url).ask("/api/v1/overview")
    document = cast("OverviewDocument", answer.document)
    if output == "json":
        rows = [row for row in document["services"] if everything or needs_attention(row)]
        print_json({**document, "services": rows})
    else:
        show(view.status(document, answer.now, everything=everything))
    sys.exit(_ATTENTION if exit_code and view.needs_an_operator(document) else 0)
