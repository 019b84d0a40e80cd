"""Values that a metric may be assumed to have: next to each bound of a rule or a guard, and far beyond all of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from autoscaler.core.window import Window
from autoscaler.strategies import RuleInput, Steps, Table, Target, Threshold
from autoscaler.strategies.registry import is_built_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.core.model import Observation
    from autoscaler.policy.policy import Policy
    from autoscaler.strategies import Rule

ABOVE, BELOW, FROM, UP_TO, AT = "above", "below", "from", "up to", "at"
_NEAR = 1e-6
"""The part of a bound by which a value beyond it differs from it."""

_FAR = (1.5, 2.0, 4.0, 10.0, 1000.0)
"""How many times the largest bound a value may be."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """A value that a metric may have, and the bound that it is next to."""

    value: float
    side: str
    bound: float


def candidates(policy: Policy, metric: str, seen: Observation, *, far: bool = True) -> list[Assumed]:
    """Return the values worth assuming for *metric*: for each region between its bounds, one next to each bound.

    With *far* some are many times as large as the largest bound.
    """
    edges: set[float] = set()
    inclusive: set[float] = set()
    for rule in policy.rules:
        if rule.metric == metric:
            edges |= set(_edges(rule, seen))
            inclusive |= set(rule.table) if isinstance(rule, Table) else set()
    for guard in policy.guards:
        if guard.metric == metric:
            edges.add(guard.above if guard.above is not None else guard.below or 0.0)
    edges |= set(_flapping(policy, metric, seen))
    found: list[Assumed] = []
    for edge in sorted(edges | inclusive):
        near = max(abs(edge), 1e-3) * _NEAR
        found += [
            Assumed(edge - near, BELOW, edge),
            Assumed(edge, FROM if edge in inclusive else UP_TO, edge),
            Assumed(edge + near, ABOVE, edge),
        ]
    if found:
        # Far beyond all bounds more replicas are needed than with values next to one.
        top, bottom = max(*edges, *inclusive, 1.0), min(0.0, *edges, *inclusive)
        found += [Assumed(top * factor, FROM, top * factor) for factor in _FAR if far]
        found.append(Assumed(bottom, UP_TO, bottom))
    return found


def asked(rule: Rule, value: float, seen: Observation) -> int | None:
    """Return the count that *rule* of this package asks for once its metric has been at *value* for its time."""
    known = seen.windows.get(rule.metric)
    step = 15 if known is None else known.step
    length = -(-rule.look_back // step) + 2
    window = Window(
        step,
        0 if known is None else known.end,
        (value,) * length,
        reporting=(seen.running,) * length if known is not None and known.reporting is not None else None,
        averaged=known.averaged if known is not None else True,
        redistributes=known is not None and known.redistributes,
        total=known is not None and known.total,
        running=(float(seen.running),) * length if known is not None and known.running is not None else None,
    )
    return rule.recommend(RuleInput(window, seen.requested, seen.running)).replicas


def _edges(rule: Rule, seen: Observation) -> Iterator[float]:
    if not is_built_in(type(rule)):
        yield from () if rule.adds_above is None else (rule.adds_above,)
        return
    match rule:
        case Threshold():
            yield from rule.shown_bounds.values()
        case Steps():
            (bound,) = rule.shown_bounds.values()
            yield bound
            ends = (end for step in rule.steps for end in (step.lower, step.upper) if end is not None)
            yield from (bound + end for end in ends)
        case Target():
            yield from _edges_of_target(rule, seen)


def _edges_of_target(rule: Target, seen: Observation) -> Iterator[float]:
    window = seen.windows.get(rule.metric)
    total = window is not None and window.total
    tasks = max(seen.running, 1)
    for share in (1 - rule.tolerance, 1 + rule.tolerance):
        yield rule.target * share * (tasks if total else 1)
    for count in range(max(seen.requested - 1, 0), seen.requested + 2):
        yield rule.target * count / (1 if total else tasks)
        unknown = max(0, seen.requested - seen.running)
        yield rule.target * max(count - unknown, 0) / (1 if total else tasks)


def _flapping(policy: Policy, metric: str, seen: Observation) -> Iterator[float]:
    """Yield the values below which the load of a removed replica does not make a rule add replicas again."""
    window = seen.windows.get(metric)
    if window is None or not window.redistributes or not policy.flap_guard:
        return
    remaining = min(seen.running, seen.requested - 1)
    if remaining <= 0:
        return
    # New samples are of the tasks that run now. The tasks behind the present ones may be more.
    behind = seen.running if window.newest is None else window.behind_at_most(seen.running)
    for rule in policy.rules:
        if rule.metric == metric and rule.adds_above is not None and rule.adds_above < inf:
            yield rule.adds_above * remaining / max(seen.running, 1)
            yield rule.adds_above * remaining / max(behind, 1)
