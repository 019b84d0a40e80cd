"""`autoscaler test`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from autoscaler import policy_tests
from autoscaler.cli.commands.options import output_option
from autoscaler.cli.commands.output import ERROR, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@output_option
def test(files: Sequence[Path], output: str) -> None:
    """Run unit tests of policies.

    A test checks the decisions that policies make on given series. The exit code is 1 if a test fails.
    """
    results = [result for file in files for result in policy_tests.run_file(file)]
    if output == "json":
        print_json({"tests": [result.document() for result in results]})
    else:
        console = Console(highlight=False)
        for result in results:
            console.print(result.render(), soft_wrap=True)  # a line is an event, and a path is whole
        failed = sum(not result.passed for result in results)
        console.print(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(ERROR if any(not result.passed for result in results) else 0)
