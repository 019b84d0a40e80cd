"""`autoscaler schema`."""

from __future__ import annotations

import click

from autoscaler.cli.commands.output import print_json
from autoscaler.policy.file import policy_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of policy files.

    Editors use it to complete, explain and check policy files.
    """
    print_json(policy_schema())
