"""`autoscaler demo`."""

from __future__ import annotations

import asyncio

import click

from autoscaler.cli.commands.options import Duration
from autoscaler.cli.demo_display import run_demo
from autoscaler.errors import SettingsError
from autoscaler.util.addresses import split_address


@click.command()
@click.option("--for", "lasting", type=Duration(), metavar="DURATION", help="End after this time, such as 30s.")
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:9595", show_default=True, help="Address to serve HTTP on."
)
@click.option(
    "--speed",
    type=click.FloatRange(1, 600),
    default=60,
    show_default=True,
    help="How many times faster than real time to run.",
)
def demo(lasting: int | None, listen: str, speed: float) -> None:
    """Show the daemon at work on a simulated Swarm and Prometheus.

    The daemon is the real one. Time runs faster, and nothing else is needed.
    """
    try:
        address = split_address(listen)
    except ValueError as error:
        raise SettingsError([f"--listen: {error}"]) from error
    asyncio.run(run_demo(lasting, address, speed))
