"""Checks of metrics, and of the rules and guards that use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.policy import promql
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.policy_files.diagnostic import shown
from autoscaler.policy_files.lint.case import LintCase, Warned
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.strategies import Target
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from autoscaler.policy_files.diagnostic import Path


def unused(name: str, used: Container[str]) -> Iterator[Warned]:
    """Warn of a metric that no rule and no guard uses."""
    if name not in used:
        what = f"no rule and no guard uses the metric {shown(name)}"
        yield Warned(LintId.UNUSED_METRIC, (), what, "name it in a rule or a guard, or remove it")


def _short_windows(case: LintCase) -> Iterator[Warned]:
    """Warn of a `for` that less than three samples cover."""
    lasting: list[tuple[Path, str, int]] = [
        (("rules", index, "for"), rule.metric, rule.look_back) for index, rule in enumerate(case.policy.rules)
    ]
    lasting += [(("guards", index, "for"), guard.metric, guard.for_) for index, guard in enumerate(case.policy.guards)]
    for path, metric, lasts in lasting:
        step = case.step_of(metric)
        if 0 < lasts < 2 * step:
            what = f"{words(lasts)} is shorter than two window steps of {words(step)}, so one odd sample may decide"
            yield Warned(LintId.SHORT_WINDOW, path, what, f"give at least {words(2 * step)}, or a smaller interval")


def _bare_sums(case: LintCase) -> Iterator[Warned]:
    """Warn of a target on one value for all replicas, if the metric does not say whether it is their total."""
    for index, rule in enumerate(case.policy.rules):
        metric = case.metrics[rule.metric]
        if not isinstance(rule, Target) or metric.query is None or metric.task or "kind" in metric.model_fields_set:
            continue
        if metric.one_value:
            what = f"{rule.metric} is one value for all replicas"
        elif metric.source == PROMETHEUS and promql.is_sum(metric.query):
            what = f"{rule.metric} is a sum over all replicas of a service"
        else:
            continue
        double = 2 * rule.target
        example = f"{double:g} at 1 replica asks for 2, and still {double:g} at 2 replicas for 4, and so on"
        what = f"{what}, and without kind a target treats it as an average per replica: {example}"
        cure = f"write kind: total in the metric {rule.metric}, or kind: average if each replica has this value"
        yield Warned(LintId.SUM_AS_AVERAGE, ("rules", index, "metric"), what, cure)


CHECKS = (_short_windows, _bare_sums)
