"""The options that several commands take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from autoscaler.util.durations import parse, words

if TYPE_CHECKING:
    from collections.abc import Callable


class Duration(click.ParamType[int]):
    """A time such as 30s or 2h, in whole seconds; one that is too short is refused."""

    name = "duration"

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds that *value* is."""
        try:
            seconds = parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < self._least:
            self.fail(f"{value} is too short (write {words(self._least)} or more)", param, ctx)
        return seconds


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """All of these, in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# Settings that a command takes win over the environment.
swarm_option = click.option(
    "--docker-host", metavar="URL", help="Address of a Swarm manager's engine [AUTOSCALER_DOCKER_HOST]."
)
evaluation_options = _options(
    click.option("--policies", metavar="PATH", help="Policy file or directory [AUTOSCALER_POLICIES, policies/]."),
    click.option("--prometheus-url", metavar="URL", help="URL of Prometheus [AUTOSCALER_PROMETHEUS_URL]."),
    swarm_option,
    click.option("--interval", metavar="DURATION", help="Time between two evaluations [AUTOSCALER_INTERVAL, 15s]."),
    click.option(
        "--scrape-interval", metavar="DURATION", help="Scrape interval of Prometheus [AUTOSCALER_SCRAPE_INTERVAL, 15s]."
    ),
)
log_options = _options(
    click.option(
        "--log-format",
        type=click.Choice(["auto", "console", "json"]),
        help="Format of log lines [AUTOSCALER_LOG_FORMAT].",
    ),
    click.option(
        "--log-level",
        metavar="LEVEL",
        help="Lowest severity to log: debug, info, warning or error [AUTOSCALER_LOG_LEVEL].",
    ),
)
output_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Print text for people, or JSON for programs.",
)
