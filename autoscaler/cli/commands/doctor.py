"""`autoscaler doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.cli.commands.options import evaluation_options, output_option
from autoscaler.cli.commands.output import print_json
from autoscaler.cli.commands.terminal import terminal
from autoscaler.cli.daemon_client import DaemonClient, url_option
from autoscaler.doctor.catalogue import CHECKS
from autoscaler.doctor.checks import examine
from autoscaler.doctor.gather import Asking, gather
from autoscaler.doctor.walk import walk
from autoscaler.errors import ConfigurationError
from autoscaler.views.doctor import examination_document, examination_lines, walk_lines
from autoscaler.views.logs import configure
from autoscaler.wiring.installation import installation_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@click.command()
@click.argument("service", required=False)
@output_option
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@click.option("--verbose", "-v", is_flag=True, help="Show the checks that are good or were skipped, too.")
@url_option
@evaluation_options
def doctor(service: str | None, output: str, *, strict: bool, verbose: bool, url: str | None, **options: Any) -> None:
    """Find what is wrong with an installation, and say the cure.

    The command looks at the settings, the policies, Docker and Swarm, Prometheus, the chain of data, and a running
    daemon. It writes nothing, and ends within 15 seconds even if a server hangs.

    With SERVICE, find out why this service does not scale: the command walks the chain from the service to its next
    change, and stops at the first broken link.

    The exit code is 0 if all is good or there are only hints or warnings, and 1 if something fails.
    """
    configure("auto", "error")
    installation = gather(_asking(options, url, one_service=service is not None))
    found = examine(installation, CHECKS)
    walked = None if service is None else walk(service, installation, found)
    if output == "json":
        print_json(examination_document(found, walked, strict=strict))
    elif walked is not None:
        _print(walk_lines(walked, strict=strict))
    else:
        _print(examination_lines(found, strict=strict, verbose=verbose))
    sys.exit(int((walked or found).bad(strict=strict)))


def _print(lines: Iterable[tuple[str, str]]) -> None:
    console = terminal()
    for line, style in lines:
        console.print(Text(line, style=style), soft_wrap=True)


def _asking(options: Mapping[str, Any], url: str | None, *, one_service: bool) -> Asking:
    try:
        shown = DaemonClient.at(url).shown
    except ConfigurationError:
        shown = url or ""

    def overview() -> Mapping[str, Any]:
        return DaemonClient.at(url).get("/api/v1/overview")

    return Asking(options, installation_parts, overview, SystemClock(), shown, url is not None, one_service=one_service)
