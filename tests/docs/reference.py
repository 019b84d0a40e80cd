"""Writes docs/reference.md and docs/policy-reference.md from the code, and the table of faults into docs/operations.md.

`python -m tests.docs.reference`; a test keeps them in step.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from autoscaler.cli.main import main
from autoscaler.core.reasons import Reason
from autoscaler.evaluation.journal import Journal
from autoscaler.policy.policy import PolicyFile
from autoscaler.settings import Settings
from autoscaler.util import durations
from autoscaler.web.telemetry import Telemetry
from tests.faults.table import FAULTS

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference.md"
POLICY_REFERENCE = DOCS / "policy-reference.md"
OPERATIONS = DOCS / "operations.md"
_TABLE = re.compile(r"^\| fault \|.*?\n(?!\|)", re.MULTILINE | re.DOTALL)


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
        if isinstance(default, bool):
            default = str(default).lower()
        shown = f"`{default}`" if default not in {"", None} else ""
        if name in {"prometheus_timeout", "interval", "scrape_interval"}:
            shown = f"`{default}s`"
        rows.append(f"| `AUTOSCALER_{name.upper()}` | {shown} | {_one_line(field.description or '')} |")
    return [
        "## Settings",
        "",
        "Environment variables, or files of the same name in small letters in `/run/secrets`. Options win.",
        "",
        "| name | default | meaning |",
        "| --- | --- | --- |",
        *rows,
        "",
    ]


def _commands() -> list[str]:
    lines = ["## Commands", ""]
    parent = click.Context(main, info_name="autoscaler", **main.context_settings)
    for name in sorted(main.list_commands(parent)):
        command = main.get_command(parent, name)
        assert command is not None
        help_text = command.get_help(click.Context(command, parent=parent, info_name=name, terminal_width=110))
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


def policy_reference() -> str:
    """The page about policy files: every key of every part, from the models' docstrings."""
    schema = PolicyFile.model_json_schema()
    parts = {"A policy file": schema} | schema["$defs"]
    order = ["A policy file", "Policy", "Replicas", "Threshold", "Target", "Steps", "StepAdjustment", "Table"]
    # What `defaults` may hold are the same parts with nothing required.
    names = order + [name for name in parts if name not in order and not name.startswith("Default")]
    lines = [
        "# Policy reference",
        "",
        "Every key of a policy file. Made from the code by `python -m tests.docs.reference`.",
        "`autoscaler schema` prints the same as a JSON Schema, for editors.",
        "",
    ]
    for name in names:
        part = parts[name]
        lines += [f"## {name}", "", _one_line(part.get("description", "")), ""]
        lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [_row(key, value, key in part.get("required", ())) for key, value in part["properties"].items()]
        lines += [""]
    return "\n".join(lines)


def _row(key: str, value: dict[str, Any], required: bool) -> str:  # noqa: FBT001 - one call, above
    kind = _kind(value)
    default = "required" if required else _default(value.get("default"), kind)
    return f"| `{key}` | {kind} | {default} | {_one_line(value.get('description', ''))} |"


def _default(value: Any, kind: str) -> str:
    if value in (None, [], ()) or isinstance(value, dict):
        return ""
    if kind == "duration" and isinstance(value, int):
        return f"`{durations.words(value)}`"
    if kind == "percentage" and isinstance(value, float):
        return f"`{value:.0%}`"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _kind(value: dict[str, Any]) -> str:
    """The kind of value in words."""
    if "$ref" in value:
        name = str(value["$ref"]).rpartition("/")[2].replace("Defaults", "Policy")
        return f"[{name}](#{name.lower()})"
    alternatives = value.get("anyOf") or value.get("oneOf")
    if alternatives:
        return " or ".join(kind for kind in dict.fromkeys(map(_kind, alternatives)) if kind != "null")
    given = value.get("enum") or ([value["const"]] if "const" in value else [])
    if given:
        return ", ".join(f"`{each}`" for each in given)
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}"
    return _simple_kind(value)


def _simple_kind(value: dict[str, Any]) -> str:
    if value.get("pattern") == durations.PATTERN:
        return "duration"
    if value.get("type") == "string" and "%" in value.get("pattern", ""):
        return "percentage"
    kind = str(value.get("type", ""))
    return _KINDS.get(kind, kind)


_KINDS = {"integer": "whole number", "string": "text", "boolean": "`true`, `false`", "object": "mapping"}


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def operations() -> str:
    """The page about faults, its table made from tests/faults/table.py and the rest as it is."""
    rows = [
        "| fault | what it does | what you see | what to do | tried |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {fault.fault} | {fault.does} | {fault.see} | {fault.cure} | {fault.tried} |" for fault in FAULTS),
    ]
    table = "\n".join(rows) + "\n"
    return _TABLE.sub(lambda _: table, OPERATIONS.read_text())


if __name__ == "__main__":
    REFERENCE.write_text(reference())
    POLICY_REFERENCE.write_text(policy_reference())
    OPERATIONS.write_text(operations())
