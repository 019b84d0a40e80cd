"""Checks of cooldowns and limits that do not fit their rules."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from autoscaler.core.model import Direction
from autoscaler.policy import promql
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.policy_files.lint.case import MOST_REPLICAS, LintCase, Warned
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.strategies import Steps, Target, Threshold
from autoscaler.strategies.directions import ways, ways_of_step
from autoscaler.strategies.quantities import size
from autoscaler.swarm.history import KEPT_EVENTS
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.policy.policy import Limit
    from autoscaler.strategies import Rule


def _cooled_sizes(case: LintCase) -> Iterator[Warned]:
    """Warn of cooldowns in the policy that hold the counts of a rule that paces itself."""
    names = [rule.name for rule in case.policy.rules if rule.paces_itself]
    for way in Direction if names else ():
        behaviour = case.policy.behaviour(way)
        if behaviour.cooldown and "cooldown" in behaviour.model_fields_set:
            who = f"{names[0]} sizes the service" if len(names) == 1 else f"{', '.join(names)} size the service"
            late = "too few replicas" if way is Direction.UP else "more replicas than it needs"
            what = (
                f"{who} for its load, but this cooldown delays each correction by up to {words(behaviour.cooldown)} "
                f"after a change; if the load changes meanwhile, the service has {late}"
            )
            unwritten = type(behaviour).model_fields["cooldown"].default
            instead = "" if way is Direction.UP else f"; for slower reductions write stabilization: {words(unwritten)}"
            cure = (
                f"remove it; the default of {words(unwritten)} holds relative steps, and such counts only after a "
                f"change by somebody else{instead}"
            )
            yield Warned(LintId.WRITTEN_COOLDOWN, (f"scale_{way}", "cooldown"), what, cure)


def _long_ranges(case: LintCase) -> Iterator[Warned]:
    """Warn of rules that may act again on the load before their last change, because the metric still shows it."""
    for index, rule in enumerate(case.policy.rules):
        metric = case.metrics[rule.metric]
        counted = isinstance(rule, Target) and metric.kind == "average"
        if metric.query is None or metric.source != PROMETHEUS or not (rule.relative or counted):
            continue
        longest = promql.longest_range(metric.query)
        for way in sorted(ways(rule), reverse=True):
            cooldown = case.policy.behaviour(way).cooldown
            if longest > cooldown:
                held = case.policy.behaviour(way).holds_own_changes_of(rule)
                after = f"the cooldown {way} of {words(cooldown)}" if held else f"{words(cooldown)} after a change"
                what = (
                    f"{rule.metric} looks back {words(longest)}, longer than {after}, so it still shows the load "
                    "before a change, and the rule may act on that load again"
                )
                shorter = f"look back {words(cooldown)} or less" if cooldown else "look back less"
                cure = f"{shorter}, or give scale_{way} a cooldown of {words(longest)} or more" if held else shorter
                yield Warned(LintId.RANGE_BEYOND_COOLDOWN, ("rules", index, "metric"), what, cure)
                break


def _long_limits(case: LintCase) -> Iterator[Warned]:
    """Warn of limits that need more changes than are known."""
    for way in Direction:
        behaviour = case.policy.behaviour(way)
        # No two changes are nearer than two evaluations, and the window step is the evaluation interval or longer.
        held = all(behaviour.holds_own_changes_of(rule) for rule in case.policy.rules)
        apart = max(behaviour.cooldown if held else 0, case.step)
        for index, limit in enumerate(behaviour.limits):
            changes = min(ceil(limit.per / apart) - 1, _most_changes(case, limit, way))
            if changes > KEPT_EVENTS:
                what = (
                    f"{changes} changes, {words(apart)} apart, may happen within {words(limit.per)}, but the limit "
                    f"only counts the newest {KEPT_EVENTS}"
                )
                longer = ceil(limit.per / (KEPT_EVENTS + 1))
                cure = f"give a cooldown of {words(longer)} or more, or a shorter period"
                yield Warned(LintId.LIMIT_BEYOND_HISTORY, (f"scale_{way}", "limits", index, "per"), what, cure)


def _most_changes(case: LintCase, limit: Limit, way: Direction) -> int:
    """Return how many changes in one direction the bounds and *limit* allow."""
    allowed = limit.replicas or ceil(case.highest * (limit.percent or 0) / 100)
    smallest = min((_smallest(rule, way, max(1, case.lowest)) for rule in case.policy.rules), default=1)
    return -(-min(allowed, case.highest - case.lowest) // smallest)


def _smallest(rule: Rule, way: Direction, count: int) -> int:
    """Return the fewest replicas by which *rule* changes *count* or more in a direction; many if it never does."""
    match rule:
        case _ if way not in ways(rule):
            return MOST_REPLICAS
        case Threshold():
            return size(rule.add or rule.remove or 1, count)
        case Steps():
            alike = [step for step in rule.steps if way in ways_of_step(step)]
            return min(1 if step.exactly is not None else abs(step.replicas(count) - count) for step in alike)
        case _:
            return 1


CHECKS = (_cooled_sizes, _long_ranges, _long_limits)
