"""`autoscaler plan`."""

from __future__ import annotations

import fnmatch
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from autoscaler import wiring
from autoscaler.cli.commands.options import evaluation_options, output_option
from autoscaler.cli.commands.output import ERROR, print_json, say
from autoscaler.cli.commands.terminal import show
from autoscaler.core.instance import Mode
from autoscaler.errors import SettingsError
from autoscaler.evaluation import survey
from autoscaler.policy import pacing
from autoscaler.policy_files import loader
from autoscaler.settings import Settings, without_credentials
from autoscaler.util.suggestions import near
from autoscaler.util.text import tidy
from autoscaler.views import render
from autoscaler.views.documents import capacity_document, lack_document, problem_document, record_document
from autoscaler.views.logs import configure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autoscaler.core.records import Evaluation, Record
    from autoscaler.policy.policy import PolicySet
    from autoscaler.swarm.capacity import Capacity

_CHANGES = 2
_NEAR_NAMES = 3
_LIKENESS = 0.5


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--capacity", "with_capacity", is_flag=True, help="Show the sums of capacity also if all maxima fit.")
@output_option
@evaluation_options
def plan(output: str, services: Sequence[str], *, with_capacity: bool, **options: Any) -> None:
    """Evaluate once, and print what would change.

    The command reads the live Swarm and Prometheus, and changes nothing. SERVICE is a name or a glob; without one all
    services are shown.

    It also adds up what services reserve and what nodes have, and warns if a policy's maximum does not fit.

    The exit code is 0 if there is nothing to do, 2 if something would change, and 1 if a problem keeps the plan from
    being known, such as data that have been missing for long.
    """
    settings = Settings.read(options)
    configure(settings.log_format, "error")
    policies = loader.load([settings.policies])
    planned = survey.plan(wiring.cycle_for_a_look(settings), policies)
    evaluation, capacity = planned.evaluation, planned.capacity
    if services and not evaluation.met("swarm"):
        evaluation = replace(evaluation, records=tuple(_chosen(evaluation.records, services)))
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
                "looked_at": _looked_at(settings, policies),
            }
        )
    else:
        lines = pacing.lines(in_force)
        room = capacity if capacity is not None and (with_capacity or _lacks_room(capacity)) else None
        parts = evaluation.records, evaluation.problems, room, evaluation.paused, lines
        show(render.plan(*parts, evaluation.lacks, evaluation.unmatched))
        say(_last_line(_looked_at(settings, policies)))
    sys.exit(_plan_exit(evaluation))


def _chosen(records: Sequence[Record], services: Sequence[str]) -> Iterator[Record]:
    """Yield the records of *services*, which are names or globs. Raise SettingsError for what means none of them."""
    names = [record.decision.service for record in records]
    if problems := [_unknown(wanted, names) for wanted in services if not fnmatch.filter(names, wanted)]:
        raise SettingsError(problems)
    yield from (
        record for record in records if any(fnmatch.fnmatchcase(record.decision.service, wanted) for wanted in services)
    )


def _unknown(wanted: str, names: Sequence[str]) -> str:
    meant = near(wanted, names, most=_NEAR_NAMES, likeness=_LIKENESS)
    cure = f"did you mean {' or '.join(meant)}?" if meant else "`autoscaler plan` without a name lists all services"
    return f"no policy applies to {tidy(wanted, 100)} ({cure})"


def _lacks_room(capacity: Capacity) -> bool:
    return not capacity.fits or any(place.forgotten for place in capacity.places)


def _looked_at(settings: Settings, policies: PolicySet) -> dict[str, str]:
    return {
        "mode": Mode.DRY_RUN if settings.dry_run else Mode.LIVE,
        "revision": policies.revision,
        "prometheus": without_credentials(settings.prometheus_url),
        "docker": settings.docker_host,
    }


def _last_line(looked_at: dict[str, str]) -> str:
    mode = "is live" if looked_at["mode"] == Mode.LIVE else "is a dry-run"
    return (
        f"Looked at Prometheus {looked_at['prometheus']} and Docker {looked_at['docker']}, with the policies of "
        f"revision {looked_at['revision']}. With these settings `autoscaler run` {mode}."
    )


def _plan_exit(evaluation: Evaluation) -> int:
    if evaluation.incomplete:
        return ERROR
    return _CHANGES if any(record.decision.changes for record in evaluation.records) else 0
