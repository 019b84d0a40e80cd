"""Writes docs/reference.md and docs/policy-reference.md from the code, and the faults into docs/operations.md.

`python -m tests.docs.reference`; a test keeps them in step.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, cast

import click
from prometheus_client import CollectorRegistry

from autoscaler.cli.main import main
from autoscaler.core.reasons import Reason
from autoscaler.evaluation.journal import Journal
from autoscaler.policy.file import PolicyFile
from autoscaler.policy_files.lint import LintId
from autoscaler.settings import Settings
from autoscaler.util import durations
from autoscaler.views.documents import PoliciesDocument
from autoscaler.web.app import Health, Views, application
from autoscaler.web.telemetry import Telemetry
from tests.faults.table import AREAS, Fault

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference.md"
POLICY_REFERENCE = DOCS / "policy-reference.md"
OPERATIONS = DOCS / "operations.md"
_BEGIN, _END = (
    "<!-- The faults: made from tests/faults/table.py by `python -m tests.docs.reference` -->",
    "<!-- end -->",
)
_FAULTS = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)


def reference() -> str:
    """The whole page."""
    return "\n".join(
        (
            "# Reference",
            "",
            "Settings, commands, reasons, metrics and HTTP. Made from the code by `python -m tests.docs.reference`.",
            "",
            *_settings(),
            *_commands(),
            *_reasons(),
            *_metrics(),
            *_endpoints(),
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


def _endpoints() -> list[str]:
    rows = []
    for path, methods in _description()["paths"].items():
        for method, operation in methods.items():
            token = "yes" if "security" in operation else ""
            rows.append(f"| `{method.upper()} {path}` | {token} | {operation['summary']} |")
    return [
        "## HTTP",
        "",
        "The token is `AUTOSCALER_HTTP_TOKEN`, sent as `Authorization: Bearer TOKEN`.",
        "`GET /api/v1/openapi.json` describes every request and answer.",
        "",
        "| endpoint | token | meaning |",
        "| --- | --- | --- |",
        *rows,
        "",
    ]


def _description() -> dict[str, Any]:
    """Return the application's own description of its endpoints."""
    health, policies = Health(good=True, detail=""), PoliciesDocument(revision="", problems=[])
    app = application(Views(Journal(), CollectorRegistry(), lambda: health, lambda: health, lambda: policies))
    (route,) = (route for route in app.router.routes() if route.method == "GET" and "openapi" in str(route.resource))
    answer = asyncio.run(cast("Any", route.handler)(None))
    return cast("dict[str, Any]", json.loads(answer.text))


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
    return "\n".join([*lines, *_lint()])


def _lint() -> list[str]:
    return [
        "## Warnings",
        "",
        "What `autoscaler check` warns of in valid policies. Each warning ends with its id in brackets.",
        "",
        "A comment `# autoscaler ignore: flaps` silences the warning if you mean it so. Several ids are separated",
        "by commas. The comment stands on the line that the warning names, or on the first line of the rule, the",
        "metric or the policy that the warning is about. It then holds for that whole part. A comment with a line",
        "to itself holds for the next line. Warnings of `check --live` have no id.",
        "",
        "| id | meaning | cure |",
        "| --- | --- | --- |",
        *(f"| `{each}` | {each.meaning} | {each.cure} |" for each in LintId if each.can_be_ignored),
        "",
        "These cannot be ignored:",
        "",
        "| id | meaning | cure |",
        "| --- | --- | --- |",
        *(f"| `{each}` | {each.meaning} | {each.cure} |" for each in LintId if not each.can_be_ignored),
        "",
    ]


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
    """Return the page about faults: their sections made from tests/faults/table.py, and the rest as it is."""
    lines = [_BEGIN, "", *(f"- [{area}](#{_anchor(area)})" for area, _ in AREAS), ""]
    for area, faults in AREAS:
        lines += [f"### {area}", ""]
        for fault in faults:
            lines += _fault(fault)
    return _FAULTS.sub(lambda _: "\n".join([*lines, _END]), OPERATIONS.read_text())


def _fault(fault: Fault) -> list[str]:
    facts = [("You see", fault.see), ("Do", fault.cure)]
    return [
        f'#### <a id="{fault.id}"></a>{fault.fault}',
        "",
        fault.does,
        "",
        *(f"- **{name}**: {text or 'Nothing.'}" for name, text in facts),
        f"- **Tried**: {fault.tried}",
        "",
    ]


def _anchor(heading: str) -> str:
    """Return the anchor that a heading has on a rendered page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    REFERENCE.write_text(reference())
    POLICY_REFERENCE.write_text(policy_reference())
    OPERATIONS.write_text(operations())
