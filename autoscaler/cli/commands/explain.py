"""`autoscaler explain`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import click

from autoscaler.adapters.system_clock import SystemClock
from autoscaler.cli.commands.options import evaluation_options, output_option
from autoscaler.cli.commands.output import print_json, say
from autoscaler.cli.daemon_client import DaemonClient, url_option
from autoscaler.errors import DaemonError, SettingsError
from autoscaler.util.durations import words
from autoscaler.util.moments import moment_of
from autoscaler.views.story import render_story

if TYPE_CHECKING:
    from autoscaler.core.records import Record
    from autoscaler.views.explanations import ExplanationDocument

_ATTENTION = 2


class PastMoment(click.ParamType[float]):
    """A moment in the past, as Unix seconds."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the moment that *value* means now."""
        try:
            return moment_of(str(value), SystemClock().now())
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("service")
@click.option(
    "--at", type=PastMoment(), metavar="TIME", help="Explain the decision of that time: 08:25, 15m, 2027-01-15T08:25."
)
@click.option("--offline", is_flag=True, help="Ask no daemon. Evaluate once, and change nothing.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 if the service needs attention.")
@output_option
@url_option
@evaluation_options
def explain(  # noqa: PLR0913 - as many as the command has options
    service: str, at: float | None, output: str, url: str | None, *, offline: bool, exit_code: bool, **options: Any
) -> None:
    """Explain why SERVICE has its count, and what would change it.

    The command asks a running daemon for its last decision on the service, or with --at for an earlier one from its
    history. A standby explains what it sees. With --offline no daemon is asked: the command reads the live Swarm and
    Prometheus itself, as `autoscaler plan` does, and takes the same options. Times are UTC.

    The exit code is 0, or 1 if the decision is not known. With --exit-code it is 2 if the service lacks data, is at its
    maximum and wants more, is paused, or cannot be scaled.
    """
    if offline and (at is not None or url is not None):
        raise SettingsError(["--offline asks no daemon (leave out --at and --url)"])
    if offline:
        story, context = _offline(service, options), _Context(role="offline")
    else:
        client = DaemonClient.at(url)
        story, context = _past(client, service, at) if at is not None else _present(client, service)
    if output == "json":
        print_json({"explanation": story, **context.document})
    else:
        say(*render_story(story, now=context.now, role=context.role, remarks=context.remarks).splitlines())
    sys.exit(_ATTENTION if exit_code and story["attention"] else 0)


class _Context:
    """What surrounds an explanation: who explains, and when."""

    def __init__(
        self, *, role: str = "", now: float | None = None, remarks: tuple[str, ...] = (), **document: Any
    ) -> None:
        self.role = role
        self.now = now
        self.remarks = remarks
        self.document = document


def _present(client: DaemonClient, service: str) -> tuple[ExplanationDocument, _Context]:
    """Return the explanation of the daemon's last decision."""
    answer = client.ask(f"/api/v1/services/{quote(service, safe='')}")
    story = cast("ExplanationDocument | None", answer.document.get("explanation"))
    if story is None:
        raise DaemonError(f"the autoscaler at {client.shown} does not explain decisions (is it an older version?)")
    daemon = answer.document["daemon"]
    mode = {"live": "live", "dry_run": "dry-run"}.get(daemon["mode"], daemon["mode"])
    role = ", ".join(filter(None, (mode, daemon["role"])))
    lines: tuple[str, ...] = ()
    if daemon["role"] == "standby":
        lines = (f"standby    this autoscaler shows what it sees; the leader is {daemon['leader'] or 'not known'}",)
    now = answer.now if answer.now is not None else story["at"]
    refused = client.get("/api/v1/problems")["policy_problems"]
    if refused:
        story = {**story, "attention": story["attention"] or "the policy files are refused"}
        lines = (*lines, f"policies   the files are refused, and the last valid set is in force: {refused[0]}")
    return story, _Context(role=role, now=now, remarks=lines, daemon=daemon, policy_problems=refused)


def _past(client: DaemonClient, service: str, at: float) -> tuple[ExplanationDocument, _Context]:
    """Return the explanation of the decision that was the last one at a time, from the daemon's history."""
    answer = client.ask(f"/api/v1/services/{quote(service, safe='')}/decision", at=at)
    story = answer.document.get("document")
    if not isinstance(story, dict) or "verdict" not in story:
        raise DaemonError(
            f"the decision of that time is kept without its explanation (use: autoscaler history {service})"
        )
    times, lasted = answer.document["times"], answer.document["until"] - answer.document["at"]
    remark = f"run        the first of {times} evaluations in {words(lasted)} that decided the same"
    return cast("ExplanationDocument", story), _Context(
        role="from the history",
        now=None,
        remarks=(remark,) if times > 1 else (),
        happening=_without_document(answer.document),
    )


def _without_document(happening: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in happening.items() if key != "document"}


def _offline(service: str, options: dict[str, Any]) -> ExplanationDocument:
    """Evaluate once, write nothing, and return the explanation of *service*."""
    # Asking a daemon needs none of these.
    from autoscaler import wiring  # noqa: PLC0415
    from autoscaler.plugins import entry_points  # noqa: PLC0415
    from autoscaler.policy_files import loader  # noqa: PLC0415
    from autoscaler.settings import Settings  # noqa: PLC0415
    from autoscaler.views.explanations import explained  # noqa: PLC0415
    from autoscaler.views.logs import configure  # noqa: PLC0415
    from autoscaler.views.problems import problem_line  # noqa: PLC0415

    entry_points.load()
    settings = Settings.read(options)
    configure(settings.log_format, "error")
    evaluation = wiring.cycle_for_a_look(settings).evaluate(loader.load([settings.policies]))
    found = {record.decision.service: record for record in evaluation.records}
    if service not in found:
        if evaluation.met("swarm"):
            raise SettingsError([problem_line(problem) for problem in evaluation.problems])
        raise SettingsError([_unknown(service, found)])
    story = explained(found[service], evaluation.lacks)
    if story is None:
        raise SettingsError([f"{service} cannot be explained (see `autoscaler plan {service}`)"])
    return story


def _unknown(service: str, found: dict[str, Record]) -> str:
    from autoscaler.util.suggestions import near  # noqa: PLC0415
    from autoscaler.util.text import tidy  # noqa: PLC0415

    meant = near(service, found, most=3, likeness=0.5)
    cure = f"did you mean {' or '.join(meant)}?" if meant else "`autoscaler plan` lists all services"
    return f"no policy applies to {tidy(service, 100)} ({cure})"
