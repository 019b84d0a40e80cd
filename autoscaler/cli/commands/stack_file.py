"""`autoscaler stack-file`."""

from __future__ import annotations

import sys
from typing import Any, TextIO

import click

from autoscaler import wiring
from autoscaler.cli.commands.options import swarm_option
from autoscaler.cli.commands.output import ERROR, complain
from autoscaler.errors import BackendError, ConfigurationError
from autoscaler.settings import Settings
from autoscaler.swarm.stack_file import holds, live_counts, with_counts


@click.command(name="stack-file")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--stack", required=True, metavar="NAME", help="The name that the stack is deployed under.")
@swarm_option
def fill_stack_file(file: TextIO, stack: str, **options: Any) -> None:
    """Print the stack FILE with the counts that its scaled services have now, for `docker stack deploy -c -`.

    So a deploy lowers no count. What was filled in is told on standard error; - reads standard input.
    """
    settings = Settings.read(options)
    try:
        cluster = wiring.read_swarm(settings)
    except BackendError as error:
        complain(f"{error}")
        sys.exit(ERROR)
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file.name}: is not UTF-8 text (save the file with the encoding UTF-8)") from error
    filled, differing = with_counts(text, live_counts(cluster, stack), file.name)
    if not holds(cluster, stack):
        complain(f"Swarm has no service of a stack {stack!r}: nothing is filled in (docker stack ls shows the stacks)")
    for service, (written, live) in sorted(differing.items()):
        complain(f"{stack}_{service}: replicas {'not given' if written is None else written} → {live}")
    click.echo(filled, nl=False)
