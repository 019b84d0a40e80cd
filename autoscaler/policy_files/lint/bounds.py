"""Checks of bounds, of the fallback, and of parts that need rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.policy_files.lint.case import LintCase, Warned
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.policy_files.lint.played import levels
from autoscaler.strategies import Table

if TYPE_CHECKING:
    from collections.abc import Iterator


def _pinned(case: LintCase) -> Iterator[Warned]:
    """Warn of bounds that leave the rules nothing to do."""
    if case.lowest == case.highest and case.policy.rules:
        what = f"min and max are both {case.lowest}, so no rule ever changes the count"
        yield Warned(LintId.FIXED_COUNT, ("replicas",), what, "raise max, or lower min")


def _beyond_max(case: LintCase) -> Iterator[Warned]:
    """Warn of rules whose counts are beyond the largest max, or all lead to one bound."""
    lowest, highest = case.lowest, case.highest
    for index, rule in enumerate(case.policy.rules if lowest < highest else ()):
        asked = levels(rule)
        if isinstance(rule, Table) and len(set(asked)) > 1 and (max(asked) <= lowest or min(asked) >= highest):
            leads_to = lowest if max(asked) <= lowest else highest
            what = f"every row leads to {leads_to} replicas within min {lowest} and max {highest}"
            yield Warned(
                LintId.ONE_COUNT_TABLE, ("rules", index, "table"), what, "give counts between them, or other bounds"
            )
        elif asked and max(asked) > highest:
            key = "table" if isinstance(rule, Table) else "steps"
            what = f"the rule asks for up to {max(asked)} replicas, but the largest max is {highest}"
            yield Warned(LintId.BEYOND_MAX, ("rules", index, key), what, "raise max, or ask for fewer replicas")


def _idle_fallback(case: LintCase) -> Iterator[Warned]:
    """Warn of a fallback that is never more than the present count."""
    fallback = case.policy.fallback
    if fallback is not None and fallback.replicas <= case.lowest:
        what = f"the fallback never raises a count to {fallback.replicas}, because min is at least {case.lowest}"
        yield Warned(LintId.IDLE_FALLBACK, ("fallback", "replicas"), what, "give more than min, or remove the fallback")


def _without_rules(case: LintCase) -> Iterator[Warned]:
    """Warn of a fallback and of guards in a policy without rules."""
    if case.policy.rules:
        return
    if case.policy.fallback is not None:
        what = "the fallback never counts, because the policy has no rule that could lack data"
        yield Warned(
            LintId.NO_RULES, ("fallback",), what, "give replicas or a schedule a greater min, or remove the fallback"
        )
    for index, guard in enumerate(case.policy.guards):
        what = f"{guard.name} never counts, because the policy has no rules, and guards do not hold bounds or schedules"
        yield Warned(LintId.NO_RULES, ("guards", index), what, "remove the guard, or add rules")


CHECKS = (_pinned, _beyond_max, _idle_fallback, _without_rules)
