"""Removals after which the load of the remaining replicas makes a rule add replicas again, found by example.

Each flap is played with the rules themselves, as they decide at run time. An example is a count and a value of the
metric, the removal that follows, and the rule that then asks for more. The examples are those in which the load of the
remaining replicas rises most. Rules of plugins are not played, because their code may do anything.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import chain, islice
from math import ceil, inf
from typing import TYPE_CHECKING

from autoscaler.core.model import Direction, History, Observation
from autoscaler.core.window import Window
from autoscaler.decision.behaviour import guard_against_flapping, limit
from autoscaler.decision.recommend import recommend
from autoscaler.decision.resolve import resolve, winner_of
from autoscaler.decision.steps import Case
from autoscaler.policy.schedules import firings
from autoscaler.strategies import Steps, Table, Target, Threshold
from autoscaler.strategies.directions import ways
from autoscaler.strategies.quantities import size
from autoscaler.strategies.registry import is_built_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from autoscaler.policy.guards import Guard
    from autoscaler.policy.metric import Metric
    from autoscaler.policy.policy import Bounds, Limit, Policy
    from autoscaler.policy_files.diagnostic import Path
    from autoscaler.strategies import Rule
    from autoscaler.strategies.steps import StepAdjustment

A_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
"""The moment from which schedules are looked at. Any moment would do, because schedules recur."""
_OCCURRENCES = 2
"""The number of starts and ends of a schedule that are looked at."""
_HARDLY = 1e-6
_CLEARLY = 1 + 1e-6
_MOST_TRIED = 50
"""The most rows or counts that are tried. A longer table repeats what its first rows show."""
_PERIOD = 100
"""The counts after which a percentage of them, rounded down, repeats its shares."""
A_LOOK = 6
"""The effort of a look at whether a schedule is in force."""


class Effort:
    """The effort that is left, in recommendations, so that files of any size are checked in bounded time."""

    def __init__(self, left: int) -> None:
        self._left = left

    def spend(self, steps: int) -> bool:
        """Spend *steps*. Return whether that many were left. Once they were not, the answer stays false."""
        self._left -= steps
        return not self.exhausted

    @property
    def exhausted(self) -> bool:
        """Return whether something was left out because the effort was spent."""
        return self._left < 0


@dataclass(frozen=True, slots=True)
class Flap:
    """A removal by one rule and an increase by another that must follow it, by an example."""

    path: Path
    """The path from the policy to the part that removes."""
    low: Rule
    high: Rule
    before: int
    after: int
    bound: float
    """A load just above the one that each of the *before* replicas carries."""
    rounder: bool
    """True if the same happens at one less than `bound`, which is a rounder number."""
    held_at: int
    """The replicas that the flap guard leaves of those before."""

    @property
    def steepness(self) -> float:
        """Return a load just above the one that each of the remaining replicas carries."""
        return self.bound * self.before / self.after


def flaps(policy: Policy, metrics: Mapping[str, Metric], effort: Effort) -> list[Flap]:
    """Return the flaps of *policy* on metrics whose load moves to the remaining replicas, one for each two rules.

    Of several examples it is the one with the most load on the remaining replicas, and of those the one with the fewest
    replicas.
    """
    if "disabled" in (policy.scale_up.select, policy.scale_down.select):
        return []
    rules: dict[str, list[tuple[int, Rule]]] = {}
    for index, rule in enumerate(policy.rules):
        if metrics[rule.metric].redistributes:
            rules.setdefault(rule.metric, []).append((index, rule))
    moving = [metric for metric in rules if _may_flap([rule for _, rule in rules[metric]])]
    guards: dict[str, list[Guard]] = {metric: [] for metric in moving}
    for guard in policy.guards:
        guards.get(guard.metric, []).append(guard)
    worst: dict[tuple[str, str], Flap] = {}
    for bounds, at in bounds_in_force(policy, effort) if moving else ():
        stages = (_Stage(policy, metric, rules[metric], guards[metric], bounds, at, effort) for metric in moving)
        for flap in chain.from_iterable(stage.flaps() for stage in stages):
            pair = flap.low.name, flap.high.name
            if pair not in worst or flap.steepness > worst[pair].steepness * _CLEARLY:
                worst[pair] = flap
    return list(worst.values())


def _may_flap(rules: Sequence[Rule]) -> bool:
    """Return whether *rules* on one metric go both ways, as far as is known. Targets alone never flap."""
    if all(isinstance(rule, Target) for rule in rules) or not all(is_built_in(type(rule)) for rule in rules):
        return False
    return {way for rule in rules for way in ways(rule)} == set(Direction)


def bounds_in_force(policy: Policy, effort: Effort) -> list[tuple[Bounds, float]]:
    """Return the different bounds that are in force as schedules change, each with a time at which it is."""
    found: dict[tuple[int, int], tuple[Bounds, float]] = {}
    for at in _changes(policy) if policy.schedules else (0.0,):
        if not effort.spend(A_LOOK * len(policy.schedules)):
            break
        bounds = policy.bounds(at)
        found.setdefault((bounds.min, bounds.max), (bounds, at))
    return list(found.values())


def _changes(policy: Policy) -> Iterator[float]:
    for schedule in policy.schedules:
        for expression in (schedule.start, schedule.end):
            yield from islice(firings(expression, schedule.timezone).after(A_MOMENT.timestamp()), _OCCURRENCES)


@dataclass(frozen=True)
class _Stage:
    """The rules of a policy on one metric, between bounds that are in force at some time."""

    policy: Policy
    metric: str
    rules: Sequence[tuple[int, Rule]]
    """The rules, each with its index in the policy."""
    guards: Sequence[Guard]
    """The guards on the same metric."""
    bounds: Bounds
    at: float
    effort: Effort

    @cached_property
    def levels(self) -> list[int]:
        """Return the counts that rules ask for by number."""
        return sorted({level for _, rule in self.rules for level in levels(rule)})[:_MOST_TRIED]

    @cached_property
    def cost(self) -> int:
        """Return the effort of asking all rules and guards."""
        return 2 + len(self.rules) + len(self.guards) + sum(len(levels(rule)) for _, rule in self.rules) // 1000

    def flaps(self) -> Iterator[Flap]:
        """Yield the flaps of all examples."""
        lows = [(index, rule) for index, rule in self.rules if Direction.DOWN in ways(rule)]
        for count in self._counts():
            for under in self._values(count):
                for index, low in lows:
                    if not self.effort.spend(self.cost):
                        return
                    yield from self._played(index, low, count, under)

    def _played(self, index: int, low: Rule, count: int, under: float) -> Iterator[Flap]:
        """Yield the flaps that follow when *low* sees a little less than *under*."""
        value = min(under * (1 - 1e-9), under - 2e-9)  # far enough for the nine decimals that steps look at
        after, adding = self._followed(low, count, value)
        # The flap guard goes through the rules of all metrics.
        if not adding or not self.effort.spend(3 * self.cost + len(self.policy.rules) // 10):
            return
        round_after, round_adding = self._followed(low, count, under - 1)
        path = ("rules", index, *_removing(low, value))
        held_at = guard_against_flapping(self._case(self._seen(count, value)), after).count
        for name, high in adding.items():
            rounder = round_after == after and name in round_adding
            yield Flap(path, low, high, count, after, under, rounder, held_at)

    def _followed(self, low: Rule, count: int, value: float) -> tuple[int, dict[str, Rule]]:
        """Return the replicas that *low* leaves of *count* at *value*, and the rules by name that then ask for more."""
        after = self._left(low, count, value) if value > 0 else count  # no load moves otherwise
        return after, self._adding(after, value * count / after) if 0 < after < count else {}

    # What the rules decide

    def _left(self, low: Rule, count: int, value: float) -> int:
        """Return what is left of *count* replicas once *low* has seen *value* for long enough; *count* if all are.

        Rules that look back further may not have seen it for long enough yet. The other rules have, and decide too.
        """
        seen = self._seen(count, value)
        if self._blocked_after(seen, Direction.DOWN) <= low.look_back:
            return count
        agreeing = () if low.group is None else (low.group,)
        sure = [rule for _, rule in self.rules if rule.look_back <= low.look_back or rule.group in agreeing]
        opinions = {rule.name: recommend(rule, seen) for rule in sure}
        asked = tuple(opinions.values())
        wanted = resolve(asked, winner_of(asked, count), count).count
        if wanted >= count or opinions[low.name].replicas != wanted:
            return count
        return max(limit(self._case(seen), wanted).count, self.bounds.min)

    def _adding(self, count: int, value: float) -> dict[str, Rule]:
        """Return the rules by name that ask for more than *count* replicas after seeing *value* for long enough."""
        seen = self._seen(count, value)
        blocked_after = self._blocked_after(seen, Direction.UP)
        asking = (rule for _, rule in self.rules if (recommend(rule, seen).replicas or 0) > count)
        return {rule.name: rule for rule in asking if rule.look_back < blocked_after}

    def _blocked_after(self, seen: Observation, direction: Direction) -> float:
        """Return the seconds after which a guard on the same metric blocks *direction*; infinity if none does."""
        window = seen.windows[self.metric]
        return min((guard.for_ for guard in self.guards if guard.blocks(direction, window)), default=inf)

    def _case(self, seen: Observation) -> Case:
        return Case(self.policy, seen, History(), self.policy.bounds(seen.at))

    def _seen(self, count: int, value: float) -> Observation:
        window = Window(self._step, self._step, (value, value), redistributes=True)
        return Observation("", self.at, count, count, {self.metric: window})

    @cached_property
    def _step(self) -> int:
        """Return a window step so long that two samples suffice for all rules and guards."""
        return max([1, *(rule.look_back for _, rule in self.rules), *(guard.for_ for guard in self.guards)])

    # Which situations to play

    def _values(self, count: int) -> list[float]:
        """Return the values at which a rule changes its mind. Its largest accepted load is just under one of them.

        If a rule may ask for fewer at a higher value, the values at which the load of the remaining replicas is just
        under one of them are included.
        """
        bounds = {value for _, rule in self.rules for value in islice(_bounds(rule), _MOST_TRIED)}
        values, lefts = set(bounds), self._lefts(count)
        for _, rule in self.rules:
            if isinstance(rule, Target) and self.effort.spend(1):
                within = ceil((1 - rule.tolerance) * count - _HARDLY) - 1
                values |= {left * rule.target / count for left in {*lefts, within}}
                values.add((1 - rule.tolerance - _HARDLY) * rule.target)  # under the tolerance it begins to remove
        if any(_may_ask_for_fewer(rule) for _, rule in self.rules) and self.effort.spend(len(bounds)):
            values |= {bound * left / count for left in lefts for bound in bounds}
        return sorted(values)

    def _lefts(self, count: int) -> list[int]:
        """Return the numbers of replicas that may be left of *count*."""
        lefts = {self._lowest, count - 1}
        for _, rule in self.rules:
            lefts |= {count - removed(count) for removed in _removals(rule)}
        lefts.update(self.levels)
        return sorted(left for left in lefts if self._lowest <= left < count)[:_MOST_TRIED]

    def _counts(self) -> list[int]:
        """Return the counts after whose removals each remaining replica carries the most.

        For these, no more replicas could be removed. For a percentage it is one that it divides with the least rest.
        """
        counts = {self._lowest + 1, self.bounds.max}
        for _, rule in self.rules:
            for removed in _removals(rule):
                counts |= self._steepest(removed)
            if isinstance(rule, Target) and rule.tolerance < 1:
                counts.add(int(self._lowest / (1 - rule.tolerance)) + 1)
        for each in self.policy.scale_down.limits:
            counts |= self._steepest(_limited(each))
        for level in self.levels:
            counts |= {level, level + 1}
        return sorted(count for count in counts if self._lowest < count <= self.bounds.max)

    def _steepest(self, removed: Callable[[int], int]) -> set[int]:
        counts = range(self._lowest + 1, self.bounds.max + 1)
        first = bisect_left(counts, self._lowest, key=lambda count: count - removed(count))
        near = counts[first : first + _PERIOD]
        return {max(near, key=lambda count: count / (count - removed(count)))} if near else set()

    @property
    def _lowest(self) -> int:
        """Return the fewest replicas that carry a load."""
        return max(1, self.bounds.min)


def levels(rule: Rule) -> list[int]:
    """Return the counts that *rule* asks for by number."""
    if isinstance(rule, Table):
        return list(rule.table.values())
    if isinstance(rule, Steps):
        return [step.exactly for step in rule.steps if step.exactly is not None]
    return []


def _may_ask_for_fewer(rule: Rule) -> bool:
    """Return whether *rule* may add at some value and not at a higher one."""
    asked = levels(rule)
    if isinstance(rule, Steps):
        return bool(asked) or (rule.below is not None and Direction.UP in ways(rule))
    return asked != sorted(asked)


def _bounds(rule: Rule) -> Iterator[float]:
    """Yield the values at which *rule* begins or stops to ask for a count, whatever the count is."""
    if isinstance(rule, Threshold | Steps):
        bound = rule.above if rule.above is not None else rule.below or 0.0
        yield bound
        if isinstance(rule, Steps):
            yield from (bound + end for step in rule.steps for end in (step.lower, step.upper) if end is not None)
    elif isinstance(rule, Table):
        yield from rule.table


def _removals(rule: Rule) -> Iterator[Callable[[int], int]]:
    """Yield functions that return how many replicas *rule* removes of a count, if that depends on the count."""
    if isinstance(rule, Threshold) and rule.remove is not None:
        yield partial(size, rule.remove)
    elif isinstance(rule, Steps):
        for step in rule.steps:
            if step.remove is not None:
                yield partial(_removed, step)


def _removed(step: StepAdjustment, count: int) -> int:
    return count - step.replicas(count)


def _limited(by: Limit) -> Callable[[int], int]:
    return lambda count: by.replicas or ceil(count * (by.percent or 0) / 100 - _HARDLY)


def _removing(rule: Rule, value: float) -> Path:
    """Return the path from *rule* to the part that removes replicas at *value*."""
    match rule:
        case Steps():
            bound = rule.above if rule.above is not None else rule.below or 0.0
            ends = (bound + step.upper if step.upper is not None else inf for step in rule.steps)
            index = next(place for place, end in enumerate(ends) if value < end)
            return ("steps", index, "exactly" if rule.steps[index].remove is None else "remove")
        case Threshold():
            return ("below" if rule.above is None else "above",)
        case _:
            return (rule.strategy_name,)
