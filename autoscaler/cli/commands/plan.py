"""`autoscaler plan`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from autoscaler import wiring
from autoscaler.cli.commands.options import evaluation_options, output_option
from autoscaler.cli.commands.output import ERROR, print_json
from autoscaler.cli.commands.terminal import terminal
from autoscaler.evaluation import survey
from autoscaler.policy import pacing
from autoscaler.policy_files import loader
from autoscaler.settings import Settings
from autoscaler.views import render
from autoscaler.views.documents import capacity_document, lack_document, problem_document, record_document
from autoscaler.views.logs import configure

if TYPE_CHECKING:
    from autoscaler.core.records import Evaluation

_CHANGES = 2


@click.command()
@output_option
@evaluation_options
def plan(output: str, **options: Any) -> None:
    """Evaluate once, and print what would change.

    The command reads the live Swarm and Prometheus, and changes nothing.

    It also adds up what services reserve and what nodes have, and warns if a policy's maximum does not fit.

    The exit code is 0 if there is nothing to do, 2 if something would change, and 1 if a problem keeps the plan from
    being known, such as data that have been missing for long.
    """
    settings = Settings.read(options)
    configure(settings.log_format, "error")
    policies = loader.load([settings.policies])
    planned = survey.plan(wiring.cycle_for_a_look(settings), policies)
    evaluation, capacity = planned.evaluation, planned.capacity
    in_force = pacing.by_policies(policies, {record.decision.policy for record in evaluation.records})
    if output == "json":
        print_json(
            {
                "services": [record_document(record) for record in evaluation.records],
                "problems": [problem_document(problem) for problem in evaluation.problems],
                "lacks": [lack_document(lack) for lack in evaluation.lacks],
                "unmatched": list(evaluation.unmatched),
                "paused": list(evaluation.paused),
                "in_force": in_force,
                "capacity": None if capacity is None else capacity_document(capacity),
            }
        )
    else:
        lines = pacing.lines(in_force)
        shown = render.plan(
            evaluation.records,
            evaluation.problems,
            capacity,
            evaluation.paused,
            lines,
            evaluation.lacks,
            evaluation.unmatched,
        )
        terminal().print(shown)
    sys.exit(_plan_exit(evaluation))


def _plan_exit(evaluation: Evaluation) -> int:
    if evaluation.incomplete:
        return ERROR
    return _CHANGES if any(record.decision.changes for record in evaluation.records) else 0
