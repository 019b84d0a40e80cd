"""The explanation of a decision as a JSON-ready document with stable keys; the text is made from it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from autoscaler.core.model import Direction, Outcome
from autoscaler.core.reasons import Reason
from autoscaler.views.documents import LackDocument, lack_document, record_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from autoscaler.core.explanation import Chance, Condition, Explanation, RuleRow
    from autoscaler.core.lacks import Lack
    from autoscaler.core.model import ScaleEvent
    from autoscaler.core.records import Record

_whole = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))


@_whole
class ExplainedRuleDocument(TypedDict):
    """One rule of an explanation."""

    rule: str
    metric: str
    reason: Reason
    value: float | None
    """The newest value; null if it is missing."""
    saw: str
    """The value with its unit, rounded."""
    base: str
    """What 100 % is, in words; empty if the metric is not a share of anything."""
    bound: str
    """What the value is compared with, in words."""
    asks: int | None
    """The count asked for; null if the rule has no opinion or lacks data."""
    since: float | None
    """Since when the metric has been beyond the bound, Unix seconds; null if it is not."""
    since_or_earlier: bool
    """Whether it may be longer ago than the samples show."""
    samples: int
    """Samples that are there."""
    expected: int
    """Samples that there should be."""
    decides: bool
    """Whether the rules resolved to the count of this one."""
    lack: str
    """Why the rule lacks data; empty if it has data."""
    written: str
    """File and line of the rule; empty if that is not known."""


@_whole
class ExplainedStepDocument(TypedDict):
    """One step of a decision: the count after it."""

    step: str
    count: int
    reason: Reason | None
    """Why the step changed or held the count; null if it did neither."""
    detail: str


@_whole
class ConditionDocument(TypedDict):
    """What a metric must do for a change to come."""

    metric: str
    rule: str
    """The rule or guard that looks at the metric."""
    side: str
    """`above`, `below`, `from` or `up to` the bound, or `at` it."""
    bound: float
    unit: str
    lasting: int
    """Seconds."""
    already: bool
    """Whether the newest value fulfils the condition."""


@_whole
class OtherWayDocument(TypedDict):
    """Another way to the same change."""

    at: float | None
    """The earliest moment, Unix seconds."""
    count: int | None
    """The count after it; null if it is not known."""
    conditions: list[ConditionDocument]
    """What metrics must do, all of it."""


@_whole
class NextChangeDocument(TypedDict):
    """The next change in one direction."""

    direction: Direction
    at: float | None
    """The earliest moment, Unix seconds; null if no change can come by itself."""
    count: int | None
    """The count after it; null if it is not known."""
    expected: bool
    """Whether it comes at that moment if all metrics stay as they are."""
    conditions: list[ConditionDocument]
    """What metrics must do, all of it."""
    requires: list[str]
    """What else must happen before."""
    obstacle: str
    """Why no change can come by itself; empty if one can."""
    otherwise: list[OtherWayDocument]
    """Other rules that may bring the change, the earliest first."""


@_whole
class EarlierChangeDocument(TypedDict):
    """An earlier change of the count."""

    at: float
    before: int
    after: int
    by_others: bool
    reason: str
    """The reason of the change; empty if it is not known."""
    rule: str
    """The rule behind the change; empty if there was none or it is not known."""


@_whole
class ExplanationDocument(TypedDict):
    """A decision, explained."""

    service: str
    policy: str
    written: str
    """File and line of the policy; empty if that is not known."""
    at: float
    """Time of the evaluation, Unix seconds."""
    outcome: Outcome
    reason: Reason
    verdict: str
    """One or two sentences: the count, and why it changes or stays."""
    requested: int
    running: int
    desired: int
    minimum: int | None
    """The least count allowed then; null if no policy could be applied."""
    maximum: int | None
    attention: str
    """Why somebody should look at the service; empty if nobody has to."""
    rules: list[ExplainedRuleDocument]
    steps: list[ExplainedStepDocument]
    """The count's path, from the rules to the gates."""
    next: list[NextChangeDocument]
    """The next change up and the next one down; empty if the service is not scaled at all."""
    sooner: str
    """The command or the line of a policy that would change the count at once; empty if there is none."""
    lacks: list[LackDocument]
    """The data that are missing, each with the first broken link and the cure."""
    before: list[EarlierChangeDocument]
    """The last changes, newest first."""


def explained(record: Record, lacks: Iterable[Lack] = ()) -> ExplanationDocument | None:
    """Return the decision of *record* explained as a JSON object; None if its inputs are not kept.

    Of *lacks* those of the service are part of it.
    """
    explanation = record.explanation()
    return None if explanation is None else explanation_document(explanation, lacks)


def kept_document(record: Record) -> Mapping[str, Any]:
    """Return what the history keeps of *record*: its explanation, or the record if its inputs are not kept.

    The next changes are left out: the history itself has what came next, and they are what takes the time.
    """
    explanation = record.explanation(outlook=False)
    return record_document(record) if explanation is None else explanation_document(explanation)


def explanation_document(explanation: Explanation, lacks: Iterable[Lack] = ()) -> ExplanationDocument:
    """Return *explanation* as a JSON object; times are Unix seconds, missing values null."""
    return {
        "service": explanation.service,
        "policy": explanation.policy,
        "written": explanation.written,
        "at": explanation.at,
        "outcome": explanation.outcome,
        "reason": explanation.reason,
        "verdict": explanation.verdict,
        "requested": explanation.requested,
        "running": explanation.running,
        "desired": explanation.desired,
        "minimum": explanation.minimum,
        "maximum": explanation.maximum,
        "attention": explanation.attention,
        "rules": [_rule(row) for row in explanation.rules],
        "steps": [
            {"step": step.name, "count": step.count, "reason": step.reason, "detail": step.detail}
            for step in explanation.steps
        ],
        "next": [_chance(chance) for chance in explanation.chances],
        "sooner": explanation.sooner,
        "lacks": [lack_document(lack) for lack in lacks if lack.service == explanation.service],
        "before": [_change(event) for event in explanation.before],
    }


def _rule(row: RuleRow) -> ExplainedRuleDocument:
    return {
        "rule": row.rule,
        "metric": row.metric,
        "reason": row.reason,
        "value": row.value,
        "saw": row.saw,
        "base": row.base,
        "bound": row.bound,
        "asks": row.asks,
        "since": row.since,
        "since_or_earlier": row.since_or_earlier,
        "samples": row.samples,
        "expected": row.expected,
        "decides": row.decides,
        "lack": row.lack,
        "written": row.written,
    }


def _chance(chance: Chance) -> NextChangeDocument:
    return {
        "direction": chance.direction,
        "at": chance.at,
        "count": chance.count,
        "expected": chance.expected,
        "conditions": [_condition(each) for each in chance.conditions],
        "requires": list(chance.requires),
        "obstacle": chance.obstacle,
        "otherwise": [
            {"at": other.at, "count": other.count, "conditions": [_condition(each) for each in other.conditions]}
            for other in chance.otherwise
        ],
    }


def _condition(condition: Condition) -> ConditionDocument:
    return {
        "metric": condition.metric,
        "rule": condition.rule,
        "side": condition.side,
        "bound": condition.bound,
        "unit": condition.unit,
        "lasting": condition.lasting,
        "already": condition.already,
    }


def _change(event: ScaleEvent) -> EarlierChangeDocument:
    return {
        "at": event.at,
        "before": event.before,
        "after": event.after,
        "by_others": event.by_others,
        "reason": event.reason,
        "rule": event.rule,
    }
