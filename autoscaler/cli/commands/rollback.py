"""`autoscaler rollback`."""

from __future__ import annotations

import sys
from typing import Any

import click

from autoscaler import wiring
from autoscaler.cli.commands.options import swarm_option
from autoscaler.cli.commands.output import ERROR, complain, say
from autoscaler.errors import BackendError
from autoscaler.settings import Settings


@click.command()
@click.argument("service")
@swarm_option
def rollback(service: str, **options: Any) -> None:
    """Give SERVICE the version back that it had before its last deploy; the replica count stays as it is.

    As `docker service rollback`, which undoes the last scale instead once something was scaled after the deploy.
    """
    settings = Settings.read(options)
    try:
        done = wiring.roll_back(settings, service)
    except BackendError as error:
        complain(f"{error}")
        sys.exit(ERROR)
    say(f"{service}: {done.image_before} → {done.image}; its {done.replicas} replicas stay, and are rolled now.")
