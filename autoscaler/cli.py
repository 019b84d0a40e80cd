"""The command line. Each command puts parts together and prints; what they do lives elsewhere."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from rich.console import Console

import autoscaler
from autoscaler import loader, plugins, policy_tests, render, survey, wiring
from autoscaler.amounts import counted
from autoscaler.daemon import Policies, SystemClock
from autoscaler.demo import run_demo
from autoscaler.documents import (
    capacity_document,
    done_document,
    problem_document,
    record_document,
    survey_document,
)
from autoscaler.durations import parse, words
from autoscaler.errors import BackendError, ConfigurationError, SettingsError
from autoscaler.journal import Journal
from autoscaler.logs import configure
from autoscaler.model import Direction, Outcome
from autoscaler.pausing import Wish, report
from autoscaler.policy import PolicySet, policy_schema
from autoscaler.settings import Settings, split_address
from autoscaler.stack_file import holds, live_counts, with_counts
from autoscaler.text import printable
from autoscaler.web.metrics import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.pausing import Done
    from autoscaler.records import Evaluation

_NOT_DONE = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.CONFLICT})
_CHANGES = 2
_ERROR = 1
_WIDE = 200


class _DurationParameter(click.ParamType[int]):
    name = "duration"

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            seconds = parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < self._least:
            self.fail(f"{value} is no time (write {words(self._least)} or more)", param, ctx)
        return seconds


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """All of these, in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# Settings that a command takes win over the environment.
_swarm_option = click.option(
    "--docker-host", metavar="URL", help="Where a Swarm manager's engine is [AUTOSCALER_DOCKER_HOST]."
)
_evaluation_options = _options(
    click.option("--policies", metavar="PATH", help="Policy file or directory [AUTOSCALER_POLICIES, policies/]."),
    click.option("--prometheus-url", metavar="URL", help="Where Prometheus is [AUTOSCALER_PROMETHEUS_URL]."),
    _swarm_option,
    click.option("--interval", metavar="DURATION", help="Between two evaluations [AUTOSCALER_INTERVAL, 15s]."),
    click.option("--scrape-interval", metavar="DURATION", help="Prometheus' own [AUTOSCALER_SCRAPE_INTERVAL, 15s]."),
)
_log_options = _options(
    click.option("--log-format", type=click.Choice(["auto", "console", "json"]), help="[AUTOSCALER_LOG_FORMAT]."),
    click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error [AUTOSCALER_LOG_LEVEL]."),
)
_output_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or for programs.",
)


def _operator() -> str:
    """Who runs this, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


class _Commands(click.Group):
    """Commands whose wrong input is told in words, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            _complain(*_problems(error))
            sys.exit(_ERROR)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(autoscaler.__version__, prog_name="autoscaler")
def main() -> None:
    """Scale Docker Swarm services from Prometheus metrics, by policy, safely.

    Every setting is an environment variable AUTOSCALER_…; options win over them.
    """
    plugins.load()


@main.command()
@click.option(
    "--dry-run", is_flag=True, default=None, help="Decide and log, write nothing to Swarm [AUTOSCALER_DRY_RUN]."
)
@click.option("--once", is_flag=True, help="Evaluate once and exit.")
@click.option("--listen", metavar="HOST:PORT", help="Where to answer HTTP [AUTOSCALER_LISTEN, 127.0.0.1:9595].")
@_evaluation_options
@_log_options
def run(*, once: bool, **options: Any) -> None:
    """Run the daemon: evaluate the policies at every interval until SIGTERM."""
    settings = Settings.read(options)
    configure(settings.log_format, settings.log_level)
    policies = _load_policies(settings)
    daemon = wiring.daemon(settings, policies)
    wiring.collect_garbage_rarely()
    if once:
        evaluation, stood_by = asyncio.run(daemon.run_once())
        failed = any(record.outcome in _NOT_DONE for record in evaluation.records)
        sys.exit(_ERROR if stood_by or evaluation.incomplete or failed else 0)
    asyncio.run(daemon.run())


@main.command()
@_output_option
@_evaluation_options
def plan(output: str, **options: Any) -> None:
    """Evaluate once against the live Swarm and Prometheus, and print what would change. Changes nothing.

    Also adds up what services reserve and nodes have, and warns where a policy's maximum finds no room.

    Exits with 0 where nothing is to do, 2 where something would change, 1 where it could not be told.
    """
    settings = Settings.read(options)
    configure(settings.log_format, "error")
    policies = _load_policies(settings)
    planned = survey.plan(wiring.cycle(settings, Telemetry(Journal(), lambda: True), dry_run=True), policies.current)
    evaluation, capacity = planned.evaluation, planned.capacity
    if output == "json":
        _print_json(
            {
                "services": [record_document(record) for record in evaluation.records],
                "problems": [problem_document(problem) for problem in evaluation.problems],
                "paused": list(evaluation.paused),
                "capacity": None if capacity is None else capacity_document(capacity),
            }
        )
    else:
        _console().print(render.plan(evaluation.records, evaluation.problems, capacity, evaluation.paused))
    sys.exit(_plan_exit(evaluation))


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Also ask Swarm and Prometheus whether each metric has data.")
@_output_option
@_evaluation_options
def check(paths: Sequence[Path], output: str, *, live: bool, **options: Any) -> None:
    """Validate policy files: the PATHs, or those that the settings name.

    With --live it asks Swarm and Prometheus too, and adds up whether every policy's maximum finds room.

    Exits with 1 where they are invalid, or, with --live, where a service lacks data.
    """
    settings = Settings.read(options)
    try:
        loaded = loader.read_policies(paths or [settings.policies])
    except ConfigurationError as error:
        problems = _problems(error)
        if output == "json":
            _print_json({"valid": False, "problems": problems, "warnings": []})
        else:
            _complain(*problems)
        sys.exit(_ERROR)
    policies = loaded.policies
    warnings = [str(warning) for warning in loaded.warnings(settings.window_step)]
    found = _survey(settings, policies) if live else None
    if output == "json":
        document = {"valid": True, "problems": [], "warnings": warnings, "revision": policies.revision}
        _print_json(document | ({"live": survey_document(found)} if found else {}))
    else:
        _complain(*(f"warning: {warning}" for warning in warnings))
        rules = sum(len(policy.rules) for policy in policies.policies)
        said = f"{counted(len(policies.policies), 'policy', 'policies')} with {counted(rules, 'rule')}"
        click.echo(f"Valid: {said} (revision {policies.revision}).")
        if found is not None:
            _console().print(render.survey(found))
    sys.exit(_ERROR if found is not None and not found.good else 0)


def _survey(settings: Settings, policies: PolicySet) -> survey.Survey:
    configure(settings.log_format, "error")
    return survey.survey(wiring.cycle(settings, Telemetry(Journal(), lambda: True), dry_run=True), policies)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_output_option
def test(files: Sequence[Path], output: str) -> None:
    """Run policy unit tests: the decisions that policies make on given series. Exits with 1 where one fails."""
    results = [result for file in files for result in policy_tests.run_file(file)]
    if output == "json":
        _print_json({"tests": [result.document() for result in results]})
    else:
        console = Console(highlight=False)
        for result in results:
            console.print(result.render(), soft_wrap=True)  # a line is an event, and a path is whole
        failed = sum(not result.passed for result in results)
        console.print(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(_ERROR if any(not result.passed for result in results) else 0)


@main.command()
@click.argument("service")
@_swarm_option
def rollback(service: str, **options: Any) -> None:
    """Give SERVICE the version back that it had before its last deploy; the replica count stays as it is.

    As `docker service rollback`, which undoes the last scale instead once something was scaled after the deploy.
    """
    settings = Settings.read(options)
    try:
        done = wiring.roll_back(settings, service)
    except BackendError as error:
        _complain(f"{error}")
        sys.exit(_ERROR)
    _say(f"{service}: {done.image_before} → {done.image}; its {done.replicas} replicas stay, and are rolled now.")


@main.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--direction", type=click.Choice([*map(str, Direction)]), help="Hold only increases, or only reductions.")
@click.option("--for", "lasting", type=_DurationParameter(1), metavar="DURATION", help="End by itself after this time.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever asks.")
@click.option("--by", default=_operator, metavar="NAME", help="Who pauses [the user and host this runs as].")
@_output_option
@_swarm_option
def pause(output: str, services: Sequence[str], direction: str | None, **wanted: Any) -> None:
    """Hold all changes of these services, or of all services where none is named, until `autoscaler resume`.

    Is kept in Swarm, needs no running daemon, and counts from its next evaluation on. What was paused for longer
    already stays so.
    """
    given = {name: wanted.pop(name) for name in ("lasting", "by", "reason")}
    wish = Wish(services, Direction(direction) if direction else None, **given)
    already = "was paused already, for as long or longer"
    _change_pauses(output, wanted, already, lambda settings: wiring.pause(settings, wish))


@main.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@_output_option
@_swarm_option
def resume(output: str, services: Sequence[str], **options: Any) -> None:
    """End what `autoscaler pause` with the same services began; without any, the pause of all services.

    A service that was paused by its own name stays so until it is resumed by its own name.
    """
    already = "was not paused"
    _change_pauses(output, options, already, lambda settings: wiring.resume(settings, services))


def _change_pauses(output: str, options: dict[str, Any], already: str, change: Callable[[Settings], Done]) -> None:
    settings = Settings.read(options)
    try:
        done = change(settings)
    except BackendError as error:
        _complain(f"{error}")
        sys.exit(_ERROR)
    now = SystemClock().now()
    if output == "json":
        _print_json(done_document(done, now))
    else:
        _say(*report(done, now, already))


@main.command(name="stack-file")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--stack", required=True, metavar="NAME", help="The name that the stack is deployed under.")
@_swarm_option
def fill_stack_file(file: TextIO, stack: str, **options: Any) -> None:
    """Print the stack FILE with the counts that its scaled services have now, for `docker stack deploy -c -`.

    So a deploy lowers no count. What was filled in is told on standard error; - reads standard input.
    """
    settings = Settings.read(options)
    try:
        cluster = wiring.read_swarm(settings)
    except BackendError as error:
        _complain(f"{error}")
        sys.exit(_ERROR)
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file.name}: is not UTF-8 text (save the file with the encoding UTF-8)") from error
    filled, differing = with_counts(text, live_counts(cluster, stack), file.name)
    if not holds(cluster, stack):
        _complain(f"Swarm has no service of a stack {stack!r}: nothing is filled in (docker stack ls shows the stacks)")
    for service, (written, live) in sorted(differing.items()):
        _complain(f"{stack}_{service}: replicas {'not given' if written is None else written} → {live}")
    click.echo(filled, nl=False)


@main.command()
def schema() -> None:
    """Print the JSON Schema of policy files, by which editors complete, explain and check them."""
    _print_json(policy_schema())


@main.command()
@click.option(
    "--for", "lasting", type=_DurationParameter(), metavar="DURATION", help="End after this time, such as 30s."
)
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:9595", show_default=True, help="Where to answer HTTP."
)
@click.option(
    "--speed", type=click.FloatRange(1, 600), default=60, show_default=True, help="How much faster time runs."
)
def demo(lasting: int | None, listen: str, speed: float) -> None:
    """See it work: the real daemon on a simulated Swarm and Prometheus, time sped up. Needs nothing else."""
    try:
        address = split_address(listen)
    except ValueError as error:
        raise SettingsError([f"--listen: {error}"]) from error
    asyncio.run(run_demo(lasting, address, speed))


def _console() -> Console:
    """Where text goes: as wide as the terminal, and wide where there is none."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console


def _say(*lines: str) -> None:
    """Lines of text, whatever is in them."""
    for line in lines:
        click.echo(printable(line))


def _complain(*lines: str) -> None:
    """Lines on standard error, whatever is in them."""
    for line in lines:
        click.echo(printable(line), err=True)


def _problems(error: ConfigurationError) -> list[str]:
    problems: list[str] = getattr(error, "problems", [str(error)])
    return problems


def _load_policies(settings: Settings) -> Policies:
    policies = Policies([settings.policies])
    policies.load()
    return policies


def _plan_exit(evaluation: Evaluation) -> int:
    if evaluation.incomplete:
        return _ERROR
    return _CHANGES if any(record.decision.changes for record in evaluation.records) else 0


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, sort_keys=True))
