"""Recommendations: each rule is asked about its window, or is found to lack data.

Rules of plugins must be asked with a time limit. The caller passes the way to ask (`Asker`), so that threads and clocks
stay out of the decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from autoscaler.core.model import Recommendation, Why
from autoscaler.core.reasons import Reason
from autoscaler.strategies import RuleInput
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from autoscaler.core.model import Observation
    from autoscaler.policy.policy import Policy
    from autoscaler.strategies import Rule


class Asker(Protocol):
    """The way to ask a rule for its opinion."""

    def judge(self, rule: Rule, rule_input: RuleInput, at: float) -> Recommendation:
        """Return the opinion of *rule* on a window that suffices to judge by; *at* identifies the evaluation."""

    def judge_on_partial(self, rule: Rule, rule_input: RuleInput, at: float) -> Recommendation | None:
        """Return what *rule* is certain of although some tasks do not report; None if that is nothing."""


class _Directly:
    """Asks without a time limit; only for rules of this package."""

    def judge(self, rule: Rule, rule_input: RuleInput, at: float) -> Recommendation:  # noqa: ARG002 - the protocol's
        return rule.recommend(rule_input)

    def judge_on_partial(self, rule: Rule, rule_input: RuleInput, at: float) -> Recommendation | None:  # noqa: ARG002
        return rule.recommend_on_partial(rule_input)


DIRECTLY: Asker = _Directly()
"""Calls the rule's own methods."""


def recommend_all(policy: Policy, observation: Observation, asker: Asker = DIRECTLY) -> tuple[Recommendation, ...]:
    """Return the recommendation of each rule of *policy*, in the order of the policy.

    No rule is asked while a schedule lets the service sleep: it then has 0 replicas in any case.
    """
    if policy.bounds(observation.at).asleep:
        return ()
    return tuple(recommend(rule, observation, asker) for rule in policy.rules)


def recommend(rule: Rule, observation: Observation, asker: Asker = DIRECTLY) -> Recommendation:
    """Return the opinion of *rule* on its window, or that it lacks data, and why."""
    window = observation.windows.get(rule.metric)
    if window is None:
        return Recommendation(rule.name, Reason.NO_DATA, seen=f"{rule.metric} has no samples", group=rule.group)
    rule_input = RuleInput(window, observation.requested, observation.running)
    lacking = window.lacking(rule.look_back)
    if lacking is None:
        opinion = asker.judge(rule, rule_input, observation.at)
        doubt = window.doubt(rule.look_back)
        why = None if doubt is None else Why(doubt.reason, f"{rule.metric}: {doubt.detail}", rule.name)
        return opinion.of_rule(relative=rule.relative, group=rule.group, doubt=why)
    if lacking is Reason.PARTIAL_DATA:
        certain = asker.judge_on_partial(rule, rule_input, observation.at)
        if certain is not None and (certain.lacks_data or (certain.replicas or 0) > observation.requested):
            return certain.of_rule(relative=rule.relative, group=rule.group)
    seen = _describe_lack(rule, observation, lacking)
    return Recommendation(rule.name, lacking, None, window.newest, seen, group=rule.group)


def _describe_lack(rule: Rule, observation: Observation, lacking: Reason) -> str:
    window = observation.windows[rule.metric]
    needed = f" of the last {words(rule.look_back)}" if rule.look_back else ""
    match lacking:
        case Reason.PARTIAL_DATA:
            counts = list(zip(window.reporting or (0,), window.owed or (0,), strict=True))
            back, (reporting, owed) = next(
                ((row, pair) for row, pair in enumerate(reversed(counts)) if pair[0] < pair[1]), (0, counts[-1])
            )
            ago = f", {words(back * window.step)} before the newest sample" if back else ""
            return f"{rule.metric} is known for only {reporting} of {owed} tasks{ago}"
        case Reason.STALE_DATA:
            return f"{rule.metric} has no sample for the newest window step"
        case Reason.WINDOW_INCOMPLETE:
            present = len(window.span(rule.look_back))
            return f"{rule.metric} has {present} of the {-(-rule.look_back // window.step) + 1} samples{needed}"
        case _:
            return f"{rule.metric} has no samples{needed}"
