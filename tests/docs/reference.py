"""Writes docs/reference.md from the code's own docstrings: `python -m tests.docs.reference`; a test keeps it in step."""

from __future__ import annotations

from pathlib import Path

import click

from autoscaler.cli import main
from autoscaler.journal import Journal
from autoscaler.model import Reason
from autoscaler.settings import Settings
from autoscaler.web.metrics import Telemetry

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"


def reference() -> str:
    """The whole page."""
    return "\n".join(
        (
            "# Reference",
            "",
            "Settings, commands, reasons and metrics. Made from the code by `python -m tests.docs.reference`.",
            "",
            *_settings(),
            *_commands(),
            *_reasons(),
            *_metrics(),
        )
    )


def _settings() -> list[str]:
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory else field.default
        shown = f"`{default}`" if default not in {"", None} else ""
        if name in {"prometheus_timeout", "interval", "scrape_interval"}:
            shown = f"`{default}s`"
        rows.append(f"| `AUTOSCALER_{name.upper()}` | {shown} | {_one_line(field.description or '')} |")
    return [
        "## Settings",
        "",
        "Environment variables, or files of the same name in small letters in `/run/secrets`. Command-line options win.",
        "",
        "| name | default | meaning |",
        "| --- | --- | --- |",
        *rows,
        "",
    ]


def _commands() -> list[str]:
    lines = ["## Commands", ""]
    for name, command in sorted(main.commands.items()):
        help_text = command.get_help(click.Context(command, info_name=f"autoscaler {name}", max_content_width=110))
        lines += [f"### {name}", "", "```", help_text, "```", ""]
    return lines


def _reasons() -> list[str]:
    return [
        "## Reasons",
        "",
        "Why a decision is what it is: a closed set, also the label `reason` of metrics.",
        "",
        "| reason | meaning |",
        "| --- | --- |",
        *(f"| `{reason}` | {reason.meaning} |" for reason in Reason),
        "",
    ]


def _metrics() -> list[str]:
    registry = Telemetry(Journal(), lambda: True).registry
    rows = []
    for metric in registry.collect():
        suffix = "_total" if metric.type == "counter" else ""
        rows.append(f"| `{metric.name}{suffix}` | {metric.type} | {metric.documentation} |")
    return [
        "## Metrics",
        "",
        "| metric | type | meaning |",
        "| --- | --- | --- |",
        *sorted(rows),
        "",
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.write_text(reference())
