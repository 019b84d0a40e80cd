"""The overview: the daemon, what needs attention, and a lean row for each service. `status` and `watch` show it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

import autoscaler
from autoscaler.core.instance import Instance, Mode, Role
from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.core.states import State, states
from autoscaler.util.amounts import rounded
from autoscaler.views.documents import ProblemDocument, documented, problem_document
from autoscaler.views.logs import consequence_of
from autoscaler.views.problems import problem_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autoscaler.core.lacks import Lack
    from autoscaler.core.model import Decision, Recommendation
    from autoscaler.core.records import Problem, Record
    from autoscaler.evaluation.journal import Snapshot
    from autoscaler.policy.policy import Policy, PolicySet

_MOST_WHY = 240
"""Characters of a sentence in a row; the service's own document has the whole of it."""


@documented
class DaemonDocument(TypedDict):
    """The autoscaler that answers."""

    mode: Mode
    role: Role | None
    """null in a dry-run, which needs no lease."""
    leader: str | None
    """The autoscaler that holds the lease, as far as this one knows."""
    revision: str
    """Names the content of the policies in force."""
    prometheus: str
    """The URL of Prometheus, without credentials."""
    docker: str
    """The address of the Docker engine."""
    version: str
    interval: float
    """Seconds between two evaluations."""
    started: float | None
    """Unix seconds."""
    last_evaluation: float | None
    """When the last evaluation began, Unix seconds; null before the first."""
    next_evaluation: float | None
    """When the next one is due, Unix seconds. The header X-Next-Evaluation-In has the seconds until then."""
    missed_evaluations: int
    """How many were left out because the previous one was still running."""


@documented
class LastingProblemDocument(ProblemDocument):
    """A problem that lasts."""

    sentence: str
    """The problem in words, for people."""
    consequence: str
    """What does not work meanwhile."""
    since: float | None
    """The evaluation that met it first, Unix seconds."""


@documented
class LastChangeDocument(TypedDict):
    """A change of a service's count."""

    at: float
    """Unix seconds."""
    before: int
    after: int
    by_others: bool
    """Whether an operator or a deploy made it, and not the autoscaler."""


@documented
class MetricRow(TypedDict):
    """The newest sample of a metric, and what rules compare it with."""

    metric: str
    value: float | None
    """The newest sample, rounded; null if it is missing."""
    unit: str
    rules: dict[str, dict[str, float]]
    """The bounds of each rule that looks at the metric, by rule and side, such as `above`."""


@documented
class ServiceRow(TypedDict):
    """A service at the last evaluation, in short."""

    service: str
    policy: str
    requested: int
    running: int
    desired: int
    """The count that was decided."""
    recommended: int
    """The count that the rules want, before bounds and holds."""
    min: int | None
    """The minimum in force, schedules and labels included; null if no policy could be applied."""
    max: int | None
    """The maximum in force; null as in `min`."""
    outcome: Outcome
    reason: Reason
    rule: str | None
    why: str
    """The reason in words, at most 240 characters."""
    detail: str
    """Why the outcome is not what was decided, at most 240 characters; empty if it is."""
    lacking: str
    """Why data are missing, with the cure if it is known, at most 240 characters; empty if none are."""
    unplaced: int
    """Replicas that find no room."""
    states: list[State]
    since: dict[State, float]
    """Since when the service is in these states, as far as this process saw; Unix seconds."""
    hold_ends: float | None
    """When the hold ends by itself, Unix seconds; null if nothing holds, or the end is not known."""
    last_change: LastChangeDocument | None
    """The last change that is known, by whomever."""
    paused: list[str]
    """Why changes are paused."""
    metrics: list[MetricRow]
    """What the rules look at, in the order of the rules. Rules that share a metric share its value."""


@documented
class OverviewDocument(TypedDict):
    """The state of everything after the last evaluation."""

    daemon: DaemonDocument
    problems: list[LastingProblemDocument]
    policy_problems: list[str]
    """What is wrong with the policy files as they are now; the last valid set stays in force."""
    unmatched: list[str]
    """What in the policies matches no service, a sentence each."""
    paused: list[str]
    """The pauses at run time, a sentence each."""
    counts: dict[State, int]
    """How many services are in each state; one service can be in several."""
    attention: list[str]
    """The services that an operator should look at."""
    services: list[ServiceRow]


@dataclass(frozen=True)
class Facts:
    """Everything that documents are made from, at one moment."""

    snapshot: Snapshot
    instance: Instance = field(default_factory=Instance)
    policies: PolicySet | None = None
    """The policies in force; they know the bounds of rules."""
    policy_problems: Sequence[str] = ()

    @cached_property
    def lacks(self) -> dict[str, Lack]:
        """Return the first lack of each service that has one."""
        return {lack.service: lack for lack in reversed(self.snapshot.lacks)}

    def policy_of(self, decision: Decision) -> Policy | None:
        """Return the policy that decided, if it is still in force."""
        return None if self.policies is None else self.policies.by_name.get(decision.policy)


def overview_document(facts: Facts) -> OverviewDocument:
    """Return the state of everything as a JSON object; services by name."""
    rows = [service_row(facts, record) for _, record in sorted(facts.snapshot.latest.items())]
    found = Counter(state for row in rows for state in row["states"])
    return {
        "daemon": daemon_document(facts),
        "problems": problems_document(facts),
        "policy_problems": list(facts.policy_problems),
        "unmatched": list(facts.snapshot.unmatched),
        "paused": list(facts.snapshot.paused),
        "counts": {state: found[state] for state in State},
        "attention": [row["service"] for row in rows if any(state.needs_attention for state in row["states"])],
        "services": rows,
    }


def daemon_document(facts: Facts) -> DaemonDocument:
    """Return the autoscaler itself as a JSON object."""
    instance = facts.instance
    return {
        "mode": instance.mode,
        "role": instance.role,
        "leader": instance.leader or None,
        "revision": instance.revision,
        "prometheus": instance.prometheus,
        "docker": instance.docker,
        "version": autoscaler.__version__,
        "interval": instance.interval,
        "started": instance.started,
        "last_evaluation": facts.snapshot.last_evaluation,
        "next_evaluation": instance.next_evaluation,
        "missed_evaluations": facts.snapshot.missed,
    }


def problems_document(facts: Facts) -> list[LastingProblemDocument]:
    """Return the problems that last as JSON objects."""
    return [_problem(problem, facts.snapshot.problems_since) for problem in facts.snapshot.problems]


def _problem(problem: Problem, since: Mapping[tuple[str, str], float]) -> LastingProblemDocument:
    return {
        **problem_document(problem),
        "sentence": problem_line(problem),
        "consequence": consequence_of(problem.kind),
        "since": since.get(problem.key),
    }


def service_row(facts: Facts, record: Record) -> ServiceRow:
    """Return a record in short as a JSON object."""
    decision = record.decision
    shown = states(record)
    marks = facts.snapshot.since.get(decision.service, {})
    return {
        "service": decision.service,
        "policy": decision.policy,
        "requested": decision.requested,
        "running": decision.running,
        "desired": decision.desired,
        "recommended": decision.recommended,
        "min": decision.minimum,
        "max": decision.maximum,
        "outcome": record.outcome,
        "reason": decision.primary.reason,
        "rule": decision.primary.rule,
        "why": _cut(decision.primary.detail),
        "detail": _cut(record.detail),
        "lacking": _cut(_lacking(facts, record)),
        "unplaced": decision.unplaced,
        "states": list(shown),
        "since": {state: marks[state] for state in shown if state in marks},
        "hold_ends": hold_ends(record),
        "last_change": _change(record),
        "paused": list(dict.fromkeys(record.paused.values())),
        "metrics": _metrics(record, facts.policy_of(decision)),
    }


def hold_ends(record: Record) -> float | None:
    """Return when the hold of *record* ends by itself, in Unix seconds; None if it is not held, or nobody knows."""
    return record.decision.primary.until if record.outcome is Outcome.HELD else None


def _change(record: Record) -> LastChangeDocument | None:
    event = record.last_change
    if event is None:
        return None
    return {"at": event.at, "before": event.before, "after": event.after, "by_others": event.by_others}


def _lacking(facts: Facts, record: Record) -> str:
    """Return why the first rule lacks data: the broken link with its cure if it was found, else what the rule says."""
    first = next((item for item in record.decision.recommendations if item.lacks_data), None)
    if first is None:
        return ""
    found = facts.lacks.get(record.decision.service)
    return f"{first.rule}: {first.detail}" if found is None else f"{found.metric}: {found.text}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_WHY else f"{text[: _MOST_WHY - 1]}…"


def _metrics(record: Record, policy: Policy | None) -> list[MetricRow]:
    """Return the metrics of the rules that decided; of rules that are not in force any more, nothing is known."""
    found: dict[str, MetricRow] = {}
    for item in record.decision.recommendations:
        rule = None if policy is None else policy.rule(item.rule)
        if rule is None:
            continue
        window = record.windows.get(rule.metric)
        unit = "" if window is None else window.unit
        row = found.setdefault(rule.metric, {"metric": rule.metric, "value": None, "unit": unit, "rules": {}})
        if item.value is not None:
            row["value"] = rounded(item.value)
        row["rules"][item.rule] = dict(rule.shown_bounds)
    return list(found.values())


def bounds_of(item: Recommendation, policy: Policy | None) -> dict[str, float]:
    """Return the bounds of the rule that *item* is the answer of, by their side; empty if they are not known."""
    rule = None if policy is None else policy.rule(item.rule)
    return {} if rule is None else dict(rule.shown_bounds)
