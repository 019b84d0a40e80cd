"""`autoscaler run`."""

from __future__ import annotations

import asyncio
import gc
import secrets
import socket
import sys
import time
from functools import partial
from typing import Any

import click

import autoscaler
from autoscaler import wiring
from autoscaler.adapters.counted import CountedLease
from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.lease import SwarmLease
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.cli.commands.options import evaluation_options, log_options
from autoscaler.cli.commands.output import ERROR
from autoscaler.coordination.lease import Lease
from autoscaler.core.instance import Instance, Mode
from autoscaler.core.model import Outcome
from autoscaler.daemon.daemon import Daemon
from autoscaler.daemon.reload import Policies
from autoscaler.evaluation.journal import Journal
from autoscaler.journal.keeper import HistoryKeeper
from autoscaler.settings import Settings, without_credentials
from autoscaler.views.explanations import kept_document
from autoscaler.views.logs import configure
from autoscaler.web.control import Controls
from autoscaler.web.telemetry import Telemetry

_NOT_DONE = frozenset({Outcome.FAILED, Outcome.UNKNOWN, Outcome.CONFLICT})


@click.command()
@click.option(
    "--dry-run", is_flag=True, default=None, help="Decide and log, and write nothing to Swarm [AUTOSCALER_DRY_RUN]."
)
@click.option("--once", is_flag=True, help="Evaluate once and exit.")
@click.option("--listen", metavar="HOST:PORT", help="Address to serve HTTP on [AUTOSCALER_LISTEN, 127.0.0.1:9595].")
@evaluation_options
@log_options
def run(*, once: bool, **options: Any) -> None:
    """Run the daemon: evaluate the policies at every interval.

    It runs until SIGTERM.
    """
    settings = Settings.read(options)
    configure(settings.log_format, settings.log_level)
    policies = Policies([settings.policies])
    policies.load()
    daemon = daemon_of(settings, policies)
    collect_garbage_rarely()
    if once:
        evaluation, stood_by = asyncio.run(daemon.run_once())
        failed = any(record.outcome in _NOT_DONE for record in evaluation.records)
        sys.exit(ERROR if stood_by or evaluation.incomplete or failed else 0)
    asyncio.run(daemon.run())


def collect_garbage_rarely() -> None:
    """Let Python look for reference cycles seldom: an evaluation makes many values and no cycles.

    A third of the CPU of an evaluation of 1,000 services went into looking.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def daemon_of(settings: Settings, policies: Policies) -> Daemon:
    """The daemon under *settings*, with *policies* already loaded."""
    journal = Journal()
    lease: Lease | None = None
    mode = Mode.DRY_RUN if settings.dry_run else Mode.LIVE
    telemetry = Telemetry(
        journal,
        lambda: policies.error is None,
        lambda: lease is not None and lease.held,
        mode=mode,
        policies=lambda: policies.current,
    )
    if not settings.dry_run:
        # A client of its own: beats come while an evaluation waits for the engine.
        store = CountedLease(SwarmLease(DockerEngine(settings.docker_host)), telemetry.count_request)
        lease = Lease(store, f"{socket.gethostname()}-{secrets.token_hex(4)}", time.monotonic)
    return Daemon(
        cycle=wiring.cycle(settings, telemetry, dry_run=settings.dry_run),
        policies=policies,
        journal=journal,
        clock=SystemClock(),
        interval=settings.interval,
        listen=settings.listen_address,
        telemetry=telemetry,
        lease=lease,
        history=HistoryKeeper(
            settings.state_dir,
            settings.history,
            kept_document,
            {"version": autoscaler.__version__, "mode": mode.value, "interval": settings.interval},
        ),
        controls=Controls(
            token=settings.http_token,
            pause=None if settings.dry_run else partial(wiring.pause, settings),
            resume=None if settings.dry_run else partial(wiring.resume, settings),
        ),
        about=Instance(mode, prometheus=without_credentials(settings.prometheus_url), docker=settings.docker_host),
    )
