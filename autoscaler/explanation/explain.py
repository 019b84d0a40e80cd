"""Makes the explanation of one decision from its inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autoscaler.core.explanation import Chance, ExplainedStep, Explanation, RuleRow
from autoscaler.core.model import Direction
from autoscaler.core.reasons import Reason
from autoscaler.explanation.outlook import chances
from autoscaler.explanation.situation import Situation
from autoscaler.explanation.sooner import sooner
from autoscaler.explanation.verdict import attention, verdict, wanted
from autoscaler.explanation.words import amount, exact, sentence
from autoscaler.strategies import RuleInput, Table, Target, Threshold
from autoscaler.strategies.registry import is_built_in
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.core.model import History, Observation, Recommendation
    from autoscaler.core.records import Record
    from autoscaler.core.window import Window
    from autoscaler.policy.places import Places
    from autoscaler.policy.policy import Policy
    from autoscaler.strategies import Rule

_MOST_CHANGES = 5
"""The most earlier changes that an explanation tells."""


@dataclass(frozen=True, slots=True)
class Explainer:
    """The inputs of one decision, by reference, so that it can be explained when somebody asks."""

    policy: Policy
    observation: Observation
    history: History
    interval: int
    places: Places | None

    def __call__(self, record: Record, *, outlook: bool = True) -> Explanation:
        """Return the explanation of *record*, whose decision came from these inputs."""
        # The windows are packed: each is unpacked once, and not at each look.
        observation = replace(self.observation, windows=dict(self.observation.windows))
        inputs = (self.policy, observation, self.history)
        situation = Situation(*inputs, record.decision, record.outcome, self.interval, self.places)
        return explain(situation, record.detail, outlook=outlook)


def explain_untouched(record: Record, *, outlook: bool = True) -> Explanation:
    """Return the explanation of a *record* of a service that no policy could be applied to."""
    decision = record.decision
    why = decision.primary
    cures = {
        Reason.SERVICE_NOT_FOUND: "docker service ls shows the names; correct services in the policy",
        Reason.POLICY_CONFLICT: "let one policy alone match the service, or correct its labels",
    }
    return Explanation(
        service=decision.service,
        policy=decision.policy,
        at=decision.at,
        outcome=record.outcome,
        reason=why.reason,
        verdict=f"is left alone. {sentence(f'{why.detail[:1].upper()}{why.detail[1:]}')}",
        requested=decision.requested,
        running=decision.running,
        desired=decision.desired,
        minimum=decision.minimum,
        maximum=decision.maximum,
        attention=why.reason.meaning,
        chances=tuple(Chance(way, obstacle=why.reason.meaning) for way in Direction if outlook),
        sooner=cures.get(why.reason, ""),
    )


def explain(situation: Situation, detail: str = "", *, outlook: bool = True) -> Explanation:
    """Return the explanation of a decision; *detail* says why its outcome is not what was decided.

    Without *outlook* it has no next changes.
    """
    decision, places = situation.decision, situation.places
    return Explanation(
        service=decision.service,
        policy=decision.policy,
        at=decision.at,
        outcome=situation.outcome,
        reason=decision.primary.reason,
        verdict=verdict(situation, detail),
        requested=decision.requested,
        running=decision.running,
        desired=decision.desired,
        minimum=decision.minimum,
        maximum=decision.maximum,
        attention=attention(situation),
        rules=tuple(_rows(situation)),
        steps=tuple(
            ExplainedStep(step.name, step.count, *((step.why.reason, step.why.detail) if step.why else ()))
            for step in decision.path
        ),
        chances=chances(situation) if outlook else (),
        sooner=sooner(situation, wanted(decision)),
        written="" if places is None else str(places.of()),
        before=tuple(reversed(situation.history.events[-_MOST_CHANGES:])),
    )


def _rows(situation: Situation) -> Iterator[RuleRow]:
    decision = situation.decision
    if not decision.recommendations:
        return
    winning = _winning(decision.recommendations, situation)
    for rule, item in zip(situation.policy.rules, decision.recommendations, strict=True):
        yield _row(rule, item, situation, decides=item is winning)


def _winning(items: tuple[Recommendation, ...], situation: Situation) -> Recommendation | None:
    """Return the recommendation that the rules resolved to."""
    decision = situation.decision
    rules = next((step.count for step in decision.path if step.name == "rules"), decision.requested)
    return next((item for item in items if item.replicas == rules), None)


def _row(rule: Rule, item: Recommendation, situation: Situation, *, decides: bool) -> RuleRow:
    seen, places = situation.observation, situation.places
    window = seen.windows.get(rule.metric)
    since, or_earlier = _since(rule, window, situation)
    samples, expected = (0, 1) if window is None else window.present(rule.look_back)
    unit = "" if window is None else window.unit
    return RuleRow(
        rule=rule.name,
        metric=rule.metric,
        reason=item.reason,
        saw="" if item.value is None else amount(item.value, unit),
        value=item.value,
        base="" if window is None else window.base,
        bound=bound_in_words(rule, unit),
        asks=item.replicas,
        since=since,
        since_or_earlier=or_earlier,
        samples=min(samples, expected),
        expected=expected,
        decides=decides,
        lack=item.detail if item.lacks_data else "",
        written="" if places is None else str(places.of("rules", rule.name)),
    )


def _since(rule: Rule, window: Window | None, situation: Situation) -> tuple[float | None, bool]:
    """Return since when the metric has been where it is for the rule, and whether the window begins with that."""
    if window is None or window.newest is None or not is_built_in(type(rule)):
        return None, False
    seen = RuleInput(window, situation.observation.requested, situation.observation.running)
    side = rule.side_of(window.newest, seen)
    if not side:
        return None, False
    since = window.holding_since(lambda value: rule.side_of(value, seen) == side)
    return since, since == window.end - (len(window.values) - 1) * window.step


def bound_in_words(rule: Rule, unit: str) -> str:
    """Return what *rule* compares its metric with, in words."""
    lasting = f" for {words(rule.look_back)}" if rule.look_back else ""
    match rule:
        case Target():
            return f"target {exact(rule.target, unit)} ± {rule.tolerance * 100:g} %"
        case Table():
            return f"table from {exact(next(iter(rule.table)), unit)}"
        case Threshold() if rule.at_least < 1:
            lasting = f" in {rule.at_least * 100:g} % of {words(rule.look_back)}"
    return ", ".join(f"{side} {exact(bound, unit)}" for side, bound in rule.shown_bounds.items()) + lasting
