"""Check for removals after which a rule adds replicas at once, because the load moves to the remaining ones."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

from autoscaler.policy_files.lint.case import LintCase, Warned
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.policy_files.lint.played import flaps
from autoscaler.strategies import Table, Target, Threshold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.policy_files.lint.played import Flap


_HARDLY = 1e-6


def _flaps(case: LintCase) -> Iterator[Warned]:
    """Warn of rules that add at once what another rule removed, because the load moved to the remaining replicas."""
    for flap in flaps(case.policy, case.metrics, case.effort):
        yield Warned(LintId.FLAPS, flap.path, _flap_in_words(flap), _calmer(flap))


def _flap_in_words(flap: Flap) -> str:
    value, just = (flap.bound - 1, "") if flap.rounder else (flap.bound, "just under ")
    other = "itself" if flap.high is flap.low else flap.high.name
    above = flap.high.adds_above
    asks = f"for which {flap.high.name} asks for more" if above is None else f"above {above:g}"
    example = (
        f"at {flap.before} replicas a {flap.low.metric} of {just}{value:.4g} becomes "
        f"{just}{value * flap.before / flap.after:.4g} at {flap.after}, {asks}"
    )
    if flap.held_at == flap.after:
        return f"the rule must flap with {other}: {example}"
    held = "holds this removal" if flap.held_at == flap.before else f"removes only down to {flap.held_at}"
    return f"the rule would flap with {other}: {example}; the flap guard {held}"


def _calmer(flap: Flap) -> str:
    low, high = flap.low, flap.high
    if isinstance(low, Table) or isinstance(high, Table) or high.adds_above is None:
        return "use a metric that does not rise when replicas are removed, or strategy: target"
    more = ceil(flap.steepness - _HARDLY)
    match low:
        case Threshold() if isinstance(high, Threshold):
            safe = _down(high.adds_above * flap.after / flap.before)
            return f"write below: {safe} or less, or above: {more} or more"
        case Target():
            return f"write target: {_down(high.adds_above)} or less, or let {high.name} add only above {more}"
        case _:
            return f"remove fewer replicas, or at lower values, or let {high.name} add only above {more}"


def _down(value: float) -> str:
    """Return *value* rounded down, to a whole number if it is at least 1."""
    return f"{floor(value)}" if value >= 1 else f"{floor(value * 1000) / 1000:g}"


CHECKS = (_flaps,)
