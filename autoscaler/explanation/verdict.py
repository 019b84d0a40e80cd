"""The verdict of an explanation: one or two sentences that say what happened to the count, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autoscaler.core.model import Direction, Outcome, Why
from autoscaler.core.reasons import Reason
from autoscaler.explanation.words import clock, left, sentence

if TYPE_CHECKING:
    from autoscaler.core.model import Decision
    from autoscaler.explanation.situation import Situation

_WANTS = re.compile(r"wants (\d+)[;,] (.*)", re.DOTALL)


def verdict(situation: Situation, detail: str = "") -> str:
    """Return what became of the decision, and why; *detail* says why the outcome is not what was decided."""
    decision = situation.decision
    because = sentence(detail or _WRITES.get(situation.outcome, ""))
    said = _VERDICTS[situation.outcome].format(
        count=decision.requested, change=f"{decision.requested} → {decision.desired}", because=because
    )
    return f"{said} {_cause(decision, situation)}"


_WRITES = {
    Outcome.CONFLICT: "somebody else wrote to the service at the same time",
    Outcome.UNKNOWN: "Swarm did not confirm the change",
    Outcome.FAILED: "the change was not carried out",
}
_VERDICTS = {
    Outcome.APPLIED: "scaled {change}.",
    Outcome.DRY_RUN: "would scale {change} (dry-run).",
    Outcome.HELD: "held at {count}.",
    Outcome.UNCHANGED: "stays at {count}.",
    Outcome.CONFLICT: "did not scale {change}: {because}",
    Outcome.UNKNOWN: "may have scaled {change}: {because}",
    Outcome.FAILED: "could not scale {change}: {because}",
}


def attention(situation: Situation) -> str:
    """Return why somebody should look at the service, in words; empty if nobody has to."""
    decision = situation.decision
    reason = decision.primary.reason
    lacking = [item.rule for item in decision.recommendations if item.lacks_data]
    if reason in _ATTENTION:
        return _ATTENTION[reason]
    if reason in {Reason.AT_MAX, Reason.SCHEDULE_BOUNDS} and decision.held and wanted(decision) > decision.requested:
        return "it is at its maximum and wants more"
    if situation.observation.paused or situation.policy.paused:
        return "changes are paused"
    if lacking:
        return f"{', '.join(lacking)} {'lacks' if len(lacking) == 1 else 'lack'} data"
    return ""


_ATTENTION = {
    Reason.POLICY_CONFLICT: "no policy can be applied",
    Reason.UNSUPPORTED_MODE: "it cannot be scaled",
    Reason.SERVICE_NOT_FOUND: "Swarm does not have it",
    Reason.NO_ROOM: "Swarm finds no room for its replicas",
    Reason.INEFFECTIVE: "more replicas do not help",
    Reason.SCALED_TO_ZERO: "somebody set it to 0 replicas",
}


def wanted(decision: Decision) -> int:
    """Return the count that was wanted before the step that gave the primary reason."""
    before = decision.requested
    for step in decision.path:
        if step.why is not None and step.why.reason is decision.primary.reason:
            return before
        before = step.count
    return before


def _cause(decision: Decision, situation: Situation) -> str:
    """Return the primary reason as a sentence."""
    why = decision.primary
    found = _WANTS.fullmatch(why.detail)
    wants, rest = (f"It wants {found[1]}; ", found[2]) if found else ("", why.detail or why.reason.meaning)
    if why.reason is Reason.NO_BREACH and situation.policy.rules:
        said = "No rule asks for a change"
    elif why.reason in {Reason.AT_MAX, Reason.AT_MIN, Reason.SCHEDULE_BOUNDS} and wants:
        said = wants + _at_bound(decision, why)
    elif why.until is not None and why.reason in _ENDS:
        wants = wants or _wanting(decision)
        said = wants + _ENDS[why.reason].format(
            way=_way(decision), left=left(why.until, decision.at), rest=rest, until=clock(why.until, decision.at)
        )
    elif why.reason.lacks_data:
        said = f"It lacks data: {rest}"
    elif not wants and why.reason in _RULES and why.rule:
        said = f"{why.rule}: {rest}"
    else:
        said = (wants or (_wanting(decision) if decision.held else "")) + rest
    return sentence(said[:1].upper() + said[1:] if not said.startswith(why.rule or " ") else said)


_ENDS = {
    Reason.COOLING_DOWN: "the scale-{way} cooldown ends in {left}",
    Reason.STABILIZED: "{rest}, which counts for another {left}",
    Reason.STEP_LIMITED: "{rest}, and more in {left}",
    Reason.ROLLOUT_IN_PROGRESS: "{rest} (until {until})",
}
"""Reasons of holds that end by themselves, in words."""
_RULES = frozenset(
    {
        Reason.ABOVE_THRESHOLD,
        Reason.BELOW_THRESHOLD,
        Reason.ABOVE_TARGET,
        Reason.BELOW_TARGET,
        Reason.STEP_MATCHED,
        Reason.TABLE_VALUE,
        Reason.WITHIN_TOLERANCE,
        Reason.INEFFECTIVE,
    }
)


def _at_bound(decision: Decision, why: Why) -> str:
    more = wanted(decision) > decision.requested if decision.desired == decision.requested else decision.changes
    upper = decision.desired == decision.maximum and more and wanted(decision) >= decision.desired
    name = f"{decision.desired} is the {'maximum' if upper else 'minimum'}"
    if why.reason is not Reason.SCHEDULE_BOUNDS:
        return name
    schedule = why.detail.rpartition(" of the schedule ")[2]
    until = "" if why.until is None else f" until {clock(why.until, decision.at)}"
    return f"{name} of the schedule {schedule}{until}"


def _wanting(decision: Decision) -> str:
    count = wanted(decision)
    return f"It wants {count}; " if count != decision.requested else ""


def _way(decision: Decision) -> Direction:
    return Direction.UP if wanted(decision) > decision.requested else Direction.DOWN
