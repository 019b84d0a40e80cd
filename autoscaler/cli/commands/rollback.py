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
    """Roll SERVICE back to the version before its last deploy.

    The replica count stays as it is. `docker service rollback` undoes only the last change of a service. After a scale
    it undoes the scale, and not the deploy.
    """
    settings = Settings.read(options)
    try:
        done = wiring.roll_back(settings, service)
    except BackendError as error:
        complain(f"{error}")
        sys.exit(ERROR)
    say(f"{service}: {done.image_before} → {done.image}; its {done.replicas} replicas stay, and are rolled back now.")
