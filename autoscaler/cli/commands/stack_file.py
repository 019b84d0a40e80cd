"""`autoscaler stack-file`."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

import click

from autoscaler import wiring
from autoscaler.cli.commands.options import swarm_option
from autoscaler.cli.commands.output import ERROR, complain
from autoscaler.errors import BackendError, ConfigurationError
from autoscaler.settings import Settings
from autoscaler.stack_file import holds, live_counts, override, with_counts


@click.command(name="stack-file")
@click.argument("files", nargs=-1, type=click.File("rb"), metavar="[FILE]...")
@click.option(
    "--compose-file",
    "-c",
    "compose_files",
    multiple=True,
    type=click.File("rb"),
    metavar="FILE",
    help="A stack file; give several as for docker stack deploy.",
)
@click.option("--stack", required=True, metavar="NAME", help="The name that the stack is deployed under.")
@click.option(
    "--override", "counts_alone", is_flag=True, help="Print a file that holds only the counts, also for one FILE."
)
@swarm_option
def fill_stack_file(
    files: tuple[BinaryIO, ...], compose_files: tuple[BinaryIO, ...], stack: str, *, counts_alone: bool, **options: Any
) -> None:
    """Print a stack FILE with the current replica counts.

    A deploy of the printed file then keeps the counts of the scaled services:

    \b
    autoscaler stack-file shop.yml --stack shop | docker stack deploy -c - shop

    For several files, the command prints one more file, which holds the counts alone. Pass it as the last one:

    \b
    autoscaler stack-file -c a.yml -c b.yml --stack shop |
      docker stack deploy -c a.yml -c b.yml -c - shop

    The command reports on standard error what it filled in. The FILE - is standard input.
    """  # noqa: D301 - the mark by which click wraps no lines
    given = (*compose_files, *files)
    if not given:
        raise click.UsageError("Missing a stack file (give FILE or -c FILE).")
    settings = Settings.read(options)
    try:
        cluster = wiring.read_swarm(settings)
    except BackendError as error:
        complain(f"{error}")
        sys.exit(ERROR)
    texts = [_text(file) for file in given]
    counts = live_counts(cluster, stack)
    alone = counts_alone or len(texts) > 1
    if alone:
        filled, differing = override(texts, counts)
    else:
        (file, text), *_ = texts
        filled, differing = with_counts(text, counts, file)
    if not holds(cluster, stack):
        complain(f"Swarm has no service of a stack {stack!r}: nothing is filled in (docker stack ls shows the stacks)")
    for service, (written, live) in sorted(differing.items()):
        complain(f"{stack}_{service}: replicas {'not given' if written is None else written} → {live}")
        if alone and live == 0:
            complain(
                f"{stack}_{service}: docker 20.10 ignores the count 0 in a last file"
                " (deploy with docker 28, or write replicas: 0 into the stack file)"
            )
    click.echo(filled.encode(), nl=False)


def _text(file: BinaryIO) -> tuple[str, str]:
    """Return the file's name and what is in it, with its line breaks."""
    name = getattr(file, "name", "<stdin>")
    try:
        return name, file.read().decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name}: is not UTF-8 text (save the file with the encoding UTF-8)") from error
