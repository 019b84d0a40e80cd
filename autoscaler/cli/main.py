"""The command line: which commands there are, and what becomes of wrong input."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

import autoscaler
from autoscaler.cli.commands.output import ERROR, complain, problems_of
from autoscaler.errors import ConfigurationError, DaemonError

_COMMANDS = {
    "check": "check:check",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "explain": "explain:explain",
    "history": "history:history",
    "pause": "pauses:pause",
    "plan": "plan:plan",
    "resume": "pauses:resume",
    "rollback": "rollback:rollback",
    "run": "run:run",
    "schema": "schema:schema",
    "stack-file": "stack_file:fill_stack_file",
    "status": "status:status",
    "test": "test:test",
    "watch": "watch:watch",
}
"""Where each command is, in `autoscaler.cli.commands`."""


_ASKING = frozenset({"explain", "history", "status", "watch"})
"""Commands that ask a running daemon. They read no policies, so that they need no plugins and start fast."""


class _Commands(click.Group):
    """Commands that are loaded when they are called, and whose wrong input is told in words, with exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        # All of them for a name that none has: click suggests what may be meant.
        for name in [cmd_name] if cmd_name in _COMMANDS else _COMMANDS:
            if name not in self.commands:
                module, _, function = _COMMANDS[name].partition(":")
                self.add_command(getattr(import_module(f"autoscaler.cli.commands.{module}"), function), name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            complain(*problems_of(error))
            sys.exit(ERROR)
        except DaemonError as error:
            complain(str(error))
            sys.exit(ERROR)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(autoscaler.__version__, prog_name="autoscaler")
@click.pass_context
def main(context: click.Context) -> None:
    """Scale Docker Swarm services from Prometheus metrics, by policy, safely.

    Each setting is an environment variable AUTOSCALER_…. An option overrides its variable.
    """
    if context.invoked_subcommand not in _ASKING:
        import_module("autoscaler.plugins.entry_points").load()
