"""`autoscaler check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoscaler import wiring
from autoscaler.cli.commands.options import evaluation_options, output_option
from autoscaler.cli.commands.output import ERROR, complain, print_json, problems_of
from autoscaler.cli.commands.terminal import show
from autoscaler.errors import ConfigurationError
from autoscaler.evaluation import survey
from autoscaler.policy import pacing
from autoscaler.policy_files import loader
from autoscaler.settings import Settings
from autoscaler.util.amounts import plural
from autoscaler.views import render
from autoscaler.views.documents import survey_document
from autoscaler.views.logs import configure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoscaler.policy.policy import PolicySet
    from autoscaler.policy_files.diagnostic import Diagnostic


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Also ask Swarm and Prometheus whether each metric has data.")
@output_option
@evaluation_options
def check(paths: Sequence[Path], output: str, *, live: bool, **options: Any) -> None:
    """Validate policy files.

    Without PATHS, the files that the settings name are validated.

    With --live, also ask Swarm and Prometheus whether each metric has data, and whether the nodes have room for every
    policy's maximum. If data are missing, the first broken link between the metric and the service is named.

    Each warning ends with its id. A comment "# autoscaler ignore: ID" in the file silences it there.

    The exit code is 1 if the files are invalid or, with --live, if a service lacks data.
    """
    settings = Settings.read(options)
    try:
        loaded = loader.read_policies(paths or [settings.policies])
    except ConfigurationError as error:
        problems = problems_of(error)
        if output == "json":
            print_json({"valid": False, "problems": problems, "warnings": []})
        else:
            complain(*problems)
        sys.exit(ERROR)
    policies = loaded.policies
    warnings = loaded.warnings(settings.window_step)
    found = _survey(settings, policies) if live else None
    if output == "json":
        document = {
            "valid": True,
            "problems": [],
            "warnings": [_warning_document(warning) for warning in warnings],
            "revision": policies.revision,
            "in_force": pacing.by_policies(policies),
        }
        print_json(document | ({"live": survey_document(found)} if found else {}))
    else:
        complain(*(f"warning: {warning}" for warning in warnings))
        rules = sum(len(policy.rules) for policy in policies.policies)
        said = f"{plural(len(policies.policies), 'policy', 'policies')} with {plural(rules, 'rule')}"
        click.echo(f"Valid: {said} (revision {policies.revision}).")
        for text in render.some(pacing.lines(pacing.by_policies(policies))):
            click.echo(text)
        if found is not None:
            show(render.survey(found))
    sys.exit(ERROR if found is not None and not found.good else 0)


def _warning_document(warning: Diagnostic) -> dict[str, Any]:
    return {
        "id": warning.id,
        "file": warning.file,
        "line": warning.line,
        "column": warning.column,
        "path": warning.path,
        "text": str(warning),
    }


def _survey(settings: Settings, policies: PolicySet) -> survey.Survey:
    configure(settings.log_format, "error")
    return survey.survey(wiring.cycle_for_a_look(settings), policies)
