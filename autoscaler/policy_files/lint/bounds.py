"""Checks of bounds, of the fallback and of what has no rules to work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.policy_files.lint.case import LintCase, Warned
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.policy_files.lint.played import levels
from autoscaler.strategies import Table

if TYPE_CHECKING:
    from collections.abc import Iterator


def _pinned(case: LintCase) -> Iterator[Warned]:
    """The bounds leave the rules something to do."""
    if case.lowest == case.highest and case.policy.rules:
        what = f"min and max are both {case.lowest}, so that no rule ever changes the count"
        yield Warned(LintId.FIXED_COUNT, ("replicas",), what, "raise max, or lower min")


def _beyond_max(case: LintCase) -> Iterator[Warned]:
    """What a rule asks for by number lies within the bounds, and not all of it at one end."""
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
            what = f"asks for up to {max(asked)} replicas, and the largest max is {highest}"
            yield Warned(LintId.BEYOND_MAX, ("rules", index, key), what, "raise max, or ask for fewer")


def _idle_fallback(case: LintCase) -> Iterator[Warned]:
    """The fallback can be more than there are."""
    fallback = case.policy.fallback
    if fallback is not None and fallback.replicas <= case.lowest:
        what = f"never raises a count to {fallback.replicas}, for min is {case.lowest} at the least"
        yield Warned(LintId.IDLE_FALLBACK, ("fallback", "replicas"), what, "give more than min, or remove the fallback")


def _without_rules(case: LintCase) -> Iterator[Warned]:
    """A policy without rules says nothing that needs some."""
    if case.policy.rules:
        return
    if case.policy.fallback is not None:
        what = "never counts: the policy has no rules, so that none can lack data"
        yield Warned(
            LintId.NO_RULES, ("fallback",), what, "give replicas or a schedule a greater min, or remove the fallback"
        )
    for index, guard in enumerate(case.policy.guards):
        what = f"never counts: the policy has no rules, and {guard.name} lets bounds and schedules pass"
        yield Warned(LintId.NO_RULES, ("guards", index), what, "remove the guard, or add rules")


CHECKS = (_pinned, _beyond_max, _idle_fallback, _without_rules)
