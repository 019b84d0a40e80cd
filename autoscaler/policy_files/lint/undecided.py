"""Checks for rules that never decide, because they are overruled, blocked, forbidden or never true."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING

from autoscaler.core.model import Direction
from autoscaler.policy_files.lint.case import LintCase, Warned
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.strategies import Steps, Threshold
from autoscaler.strategies.directions import ways
from autoscaler.strategies.quantities import size
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.policy.guards import Guard
    from autoscaler.policy_files.diagnostic import Path
    from autoscaler.strategies import Rule


def _overruled(case: LintCase) -> Iterator[Warned]:
    """Warn of thresholds that never decide, because another one always fires with them and has the last word."""
    alike: defaultdict[tuple[str, bool, bool], list[tuple[int, Threshold]]] = defaultdict(list)
    for index, rule in enumerate(case.policy.rules):
        if isinstance(rule, Threshold) and rule.group is None:
            alike[rule.metric, rule.above is None, rule.add is None].append((index, rule))
    for rules in alike.values():
        for index, rule in rules:
            if not case.effort.spend(len(rules) // 10):
                return
            others = (other for place, other in rules if _overrules(case, other, rule, earlier=place < index))
            for other in islice(others, 1):
                yield Warned(LintId.OVERRULED_RULE, ("rules", index), *_overruled_in_words(rule, other))


def _overrules(case: LintCase, other: Threshold, rule: Threshold, *, earlier: bool) -> bool:
    """Return whether *rule* never decides because of *other*. Of two equal rules the *earlier* one decides."""
    if other is rule or not _covers(case, other, rule):
        return False
    if rule.add is not None and other.add is not None:
        if other.ineffective_after is not None:
            return False  # it may have stopped
        stronger, weaker = other.add, rule.add
    else:
        stronger, weaker = rule.remove or 1, other.remove or 1  # of two removals the smaller one counts
    if not _no_smaller(case, stronger, weaker):
        return False
    return earlier or not (_covers(case, rule, other) and _no_smaller(case, weaker, stronger))


def _covers(case: LintCase, other: Threshold | Guard, rule: Threshold | Steps) -> bool:
    """Return whether *other*, on the same metric and side, is beyond its bound whenever *rule* is."""
    if rule.above is not None:
        if other.above is None or other.above > rule.above:
            return False
    elif other.below is None or other.below < (rule.below or 0.0):
        return False
    shares = tuple(getattr(each, "at_least", 1.0) for each in (other, rule))
    if shares == (1.0, 1.0):
        # A time that is not a multiple of the window step needs samples that a longer time may not need.
        return other.for_ == rule.for_ or (other.for_ < rule.for_ and other.for_ % case.step_of(rule.metric) == 0)
    return other.for_ == rule.for_ and shares[0] <= shares[1] < 1


def _no_smaller(case: LintCase, step: int | str, than: int | str) -> bool:
    """Return whether *step* is at least as large as the other step, for every possible count."""
    if isinstance(step, str) and isinstance(than, str):
        return int(step.removesuffix("%")) >= int(than.removesuffix("%"))
    # A percentage grows with the count, and a number does not. So only both ends need to be compared.
    return all(size(step, count) >= size(than, count) for count in (max(1, case.lowest), case.highest))


def _overruled_in_words(rule: Threshold, other: Threshold) -> tuple[str, str]:
    both = (
        f"the rule never decides, because {rule.metric} {_bound(rule)} is also {_bound(other)}, and then {other.name}"
    )
    if rule.add is not None:
        return f"{both} adds {other.add}", f"remove one of the two, or let {rule.name} add more"
    cure = f"remove one of the two, let {rule.name} have a shorter for, or write both as one rule with strategy: steps"
    return f"{both} removes {other.remove}; of two removals the smaller one counts", cure


def _bound(part: Threshold | Steps | Guard) -> str:
    """Return the bound in words: ``above 70 for 5m``."""
    bound = f"above {part.above:g}" if part.above is not None else f"below {part.below:g}"
    share = getattr(part, "at_least", 1.0)
    often = f" in {share * 100:g} % of the samples" if share < 1 else ""
    return f"{bound}{often} for {words(part.for_)}" if part.for_ else bound


def _blocked(case: LintCase) -> Iterator[Warned]:
    """Warn of rules that a guard blocks whenever they fire."""
    guards: defaultdict[str, list[Guard]] = defaultdict(list)
    for guard in case.policy.guards:
        guards[guard.metric].append(guard)
    for index, rule in enumerate(case.policy.rules):
        possible = ways(rule)
        if not isinstance(rule, Threshold | Steps) or not case.effort.spend(len(guards[rule.metric]) // 10):
            continue
        for guard in guards[rule.metric]:
            if _blocks(guard, possible) and _covers(case, guard, rule):
                does = " or ".join(
                    "adds" if way is Direction.UP else "removes" for way in sorted(possible, reverse=True)
                )
                what = (
                    f"the rule never {does} replicas while its data are complete, because {rule.metric} {_bound(rule)} "
                    f"is also {_bound(guard)}, and then the guard {guard.name} blocks {guard.block}"
                )
                yield Warned(
                    LintId.BLOCKED_RULE,
                    ("rules", index),
                    what,
                    "move one of the two bounds, or guard by another metric",
                )
                break


def _blocks(guard: Guard, possible: frozenset[Direction]) -> bool:
    return all(guard.block in (way, "both") for way in possible)


def _one_way(case: LintCase) -> Iterator[Warned]:
    """Warn of rules that only ask for changes that their policy forbids."""
    for index, rule in enumerate(case.policy.rules):
        possible = ways(rule)
        for way in possible if len(possible) == 1 else ():
            if case.policy.behaviour(way).select == "disabled":
                why, cure = f"scale_{way} is disabled", f"give scale_{way} another select, or remove the rule"
            elif case.policy.paused == way.value:
                why, cure = f"the policy is paused {way}", "write paused: false, or remove the rule"
            else:
                continue
            never = "removes replicas" if way is Direction.DOWN else "adds replicas, and only holds removals"
            yield Warned(LintId.FORBIDDEN_RULE, ("rules", index), f"the rule never {never}, because {why}", cure)


def _groups(case: LintCase) -> Iterator[Warned]:
    """Warn of groups with a single rule, or with one that never wants fewer replicas."""
    groups: defaultdict[str, list[tuple[int, Rule]]] = defaultdict(list)
    for index, rule in enumerate(case.policy.rules):
        if rule.group is not None:
            groups[rule.group].append((index, rule))
    for name, rules in groups.items():
        if len(rules) == 1:
            what = f"no other rule is in the group {name}, so this rule has no other to agree with"
            yield Warned(
                LintId.GROUP_OF_ONE,
                ("rules", rules[0][0], "group"),
                what,
                "name the group in another rule, or remove it here",
            )
            continue
        for index, rule in rules:
            if Direction.DOWN not in ways(rule):
                what = f"{rule.name} never wants fewer replicas, so no rule of the group {name} ever removes any"
                yield Warned(LintId.GROUP_NEVER_REMOVES, ("rules", index, "group"), what, "remove group here")


def _never_below_nothing(case: LintCase) -> Iterator[Warned]:
    """Warn of bounds and steps below 0 on metrics that are never negative."""
    parts: list[tuple[Path, Rule | Guard]] = [(("rules", index), rule) for index, rule in enumerate(case.policy.rules)]
    parts += [(("guards", index), guard) for index, guard in enumerate(case.policy.guards)]
    for path, part in parts:
        below = getattr(part, "below", None)
        if not case.never_negative(part.metric):
            continue
        if below is not None and below <= 0:
            what = f"the bound is never passed, because {part.metric} is never below {below:g}"
            yield Warned(LintId.BELOW_ZERO, (*path, "below"), what, "give a bound above 0")
        elif isinstance(part, Steps):
            for index, end in _empty_steps(part):
                what = f"the step never counts, because it ends at {end:g}, and {part.metric} is never below 0"
                yield Warned(
                    LintId.BELOW_ZERO, (*path, "steps", index), what, "remove the step, or correct the interval"
                )


def _empty_steps(rule: Steps) -> Iterator[tuple[int, float]]:
    """Yield the steps that are wholly below 0, with their ends. Below a bound an interval includes its end."""
    for index, step in enumerate(rule.steps):
        if step.upper is not None:
            end = (rule.above if rule.above is not None else rule.below or 0.0) + step.upper
            if end < 0 or (end == 0 and rule.above is not None):
                yield index, end


CHECKS = (_overruled, _blocked, _one_way, _groups, _never_below_nothing)
