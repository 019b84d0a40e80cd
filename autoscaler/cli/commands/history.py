"""`autoscaler history`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from autoscaler.cli.commands.options import Duration, output_option
from autoscaler.cli.commands.output import complain, print_json, say
from autoscaler.cli.daemon_client import DaemonClient, url_option
from autoscaler.journal.happening import HappeningKind
from autoscaler.views.history_lines import history_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_PAGE = 1000
_MOST_PAGES = 100
_OF_THE_PROCESS = (HappeningKind.STARTED, HappeningKind.STOPPED)
"""Kinds that show the gaps; they come along whatever is asked for."""
_OF_NO_SERVICE = (HappeningKind.PROBLEM, HappeningKind.PAUSE, HappeningKind.POLICIES, HappeningKind.LEADER)
"""Kinds that concern a service even if they happened to none in particular."""
_SHOWN = tuple(kind for kind in HappeningKind if kind is not HappeningKind.UNCHANGED)


@click.command(short_help="Show what happened: changes, holds, problems, pauses, policies and leaders.")
@click.argument("service", required=False)
@click.option(
    "--since",
    type=Duration(least=1),
    default="24h",
    show_default=True,
    metavar="DURATION",
    help="Show what happened in this time before now.",
)
@click.option("--changes", is_flag=True, help="Show only changes of the count.")
@click.option("--holds", is_flag=True, help="Show only holds. With --changes both are shown.")
@output_option
@url_option
def history(service: str | None, since: int, output: str, url: str | None, **only: bool) -> None:
    """Show what happened, to SERVICE or to all services.

    The command asks a running daemon for its history. There is one line for each change and for each run of decisions
    that were held for the same reason. Problems, pauses, policies and leaders have lines too, and so have the times at
    which the daemon did not run. A standby shows what it saw itself.
    """
    wanted = {HappeningKind.CHANGE: only["changes"], HappeningKind.HOLD: only["holds"]}
    kinds = tuple(kind for kind, chosen in wanted.items() if chosen)
    client = DaemonClient.at(url)
    earliest = client.get("/api/v1/history", limit=1)["now"] - since  # by the daemon's clock, as its history is
    pages = list(_pages(client, service, kinds or _SHOWN, earliest))
    if service is not None or kinds:
        of_all = _OF_THE_PROCESS if kinds else (*_OF_THE_PROCESS, *_OF_NO_SERVICE)
        pages += _pages(client, None, of_all, earliest)
    concerned = {service, None}
    found = [item for page in pages for item in page["happenings"] if service is None or item["service"] in concerned]
    # A problem or a pause of the service comes with both requests.
    found = list(
        {(item["kind"], item["at"], item["service"], json.dumps(item["facts"])): item for item in found}.values()
    )
    kept_since, problem = pages[-1]["kept_since"], pages[-1]["problem"]
    if output == "json":
        found.sort(key=lambda item: item["at"])
        print_json({"happenings": found, "kept_since": kept_since, "since": earliest, "problem": problem})
        return
    say(*history_lines(found, since=earliest, kept_since=kept_since, zone=None))
    if problem:
        complain(problem)


def _pages(
    client: DaemonClient, service: str | None, kinds: tuple[HappeningKind, ...], since: float
) -> Iterator[dict[str, Any]]:
    path = "/api/v1/history" if service is None else f"/api/v1/services/{quote(service, safe='')}/history"
    after: str | None = None
    for _ in range(_MOST_PAGES):
        page = client.get(path, kind=",".join(kinds), since=since, limit=_LARGEST_PAGE, after=after)
        yield page
        after = page["next"]
        if after is None:
            return
