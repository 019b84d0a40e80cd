"""Removals after which the load of the remaining replicas makes a rule add replicas again, found by example.

Every flap that is told was played with the rules themselves, as they decide at run time: so many replicas at such a
value, what is removed, and who asks for more then. Which examples to play is chosen: those in which the load of the
remaining replicas rises most. Rules of plugins are not played, for their code may do anything.
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
"""Schedules come again and again: from any moment on they show what they do."""
_OCCURRENCES = 2
"""How many starts and ends of a schedule are looked at."""
_HARDLY = 1e-6
_CLEARLY = 1 + 1e-6
_MOST_TRIED = 50
"""How many rows, counts and the like are tried; a longer table repeats what its first rows show."""
_PERIOD = 100
"""After so many counts a percentage of them, rounded down, has taken all its shares."""
A_LOOK = 6
"""What it takes to see whether a schedule is in force."""


class Effort:
    """How much may still be examined, in recommendations: files of any size are checked in bounded time."""

    def __init__(self, left: int) -> None:
        self._left = left

    def spend(self, steps: int) -> bool:
        """Whether so many more steps are left; nothing is once they were not."""
        self._left -= steps
        return not self.exhausted

    @property
    def exhausted(self) -> bool:
        """Whether something was left out for want of effort."""
        return self._left < 0


@dataclass(frozen=True, slots=True)
class Flap:
    """A removal by one rule and an increase by another that must follow it, by an example."""

    path: Path
    """The way from the policy to what removes."""
    low: Rule
    high: Rule
    before: int
    after: int
    bound: float
    """What each of the *before* replicas carries just less than."""
    rounder: bool
    """Whether the same happens at one less than that."""
    held_at: int
    """How many replicas the flap guard leaves of those before."""

    @property
    def steepness(self) -> float:
        """What each of the replicas that remain carries just less than."""
        return self.bound * self.before / self.after


def flaps(policy: Policy, metrics: Mapping[str, Metric], effort: Effort) -> list[Flap]:
    """The flaps of *policy* on metrics whose load moves to the remaining replicas, one for each two rules.

    Of several examples the one after which the remaining replicas carry the most, and of those the one of the fewest.
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
    """Whether *rules* on one metric go both ways, as far as that is known; targets alone never flap."""
    if all(isinstance(rule, Target) for rule in rules) or not all(is_built_in(type(rule)) for rule in rules):
        return False
    return {way for rule in rules for way in ways(rule)} == set(Direction)


def bounds_in_force(policy: Policy, effort: Effort) -> list[tuple[Bounds, float]]:
    """Bounds that are in force at some time, each with such a time: those that the policy has as schedules change."""
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
    """With their indices in the policy."""
    guards: Sequence[Guard]
    """Those on the same metric."""
    bounds: Bounds
    at: float
    effort: Effort

    @cached_property
    def levels(self) -> list[int]:
        """The counts that rules ask for by number."""
        return sorted({level for _, rule in self.rules for level in levels(rule)})[:_MOST_TRIED]

    @cached_property
    def cost(self) -> int:
        """What it takes to ask all rules and guards."""
        return 2 + len(self.rules) + len(self.guards) + sum(len(levels(rule)) for _, rule in self.rules) // 1000

    def flaps(self) -> Iterator[Flap]:
        """What is played to a flap."""
        lows = [(index, rule) for index, rule in self.rules if Direction.DOWN in ways(rule)]
        for count in self._counts():
            for under in self._values(count):
                for index, low in lows:
                    if not self.effort.spend(self.cost):
                        return
                    yield from self._played(index, low, count, under)

    def _played(self, index: int, low: Rule, count: int, under: float) -> Iterator[Flap]:
        """What follows when *low* sees a little less than *under*."""
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
        """What *low* leaves of *count* replicas at *value*, and the rules by name that then ask for more."""
        after = self._left(low, count, value) if value > 0 else count  # no load moves otherwise
        return after, self._adding(after, value * count / after) if 0 < after < count else {}

    # What the rules decide

    def _left(self, low: Rule, count: int, value: float) -> int:
        """What is left of *count* replicas once *low* has seen *value* for long enough; *count* if it removes none.

        Rules that look back further may not have seen it for long enough yet; the others have, and judge as well.
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
        """The rules by name that ask for more than *count* replicas once they have seen *value* for long enough."""
        seen = self._seen(count, value)
        blocked_after = self._blocked_after(seen, Direction.UP)
        asking = (rule for _, rule in self.rules if (recommend(rule, seen).replicas or 0) > count)
        return {rule.name: rule for rule in asking if rule.look_back < blocked_after}

    def _blocked_after(self, seen: Observation, direction: Direction) -> float:
        """After how many seconds of what is *seen* a guard on the same metric blocks the way, if ever."""
        window = seen.windows[self.metric]
        return min((guard.for_ for guard in self.guards if guard.blocks(direction, window)), default=inf)

    def _case(self, seen: Observation) -> Case:
        return Case(self.policy, seen, History(), self.policy.bounds(seen.at))

    def _seen(self, count: int, value: float) -> Observation:
        window = Window(self._step, self._step, (value, value), redistributes=True)
        return Observation("", self.at, count, count, {self.metric: window})

    @cached_property
    def _step(self) -> int:
        """A window step so long that two samples suffice everybody."""
        return max([1, *(rule.look_back for _, rule in self.rules), *(guard.for_ for guard in self.guards)])

    # Which situations to play

    def _values(self, count: int) -> list[float]:
        """The values at which a rule thinks otherwise: just under one of them the load is largest that it lets pass.

        Where a rule may ask for fewer although the value is higher, also those at which the load of the remaining
        replicas is just under one.
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
        """How many replicas may be left of *count*."""
        lefts = {self._lowest, count - 1}
        for _, rule in self.rules:
            lefts |= {count - removed(count) for removed in _removals(rule)}
        lefts.update(self.levels)
        return sorted(left for left in lefts if self._lowest <= left < count)[:_MOST_TRIED]

    def _counts(self) -> list[int]:
        """The counts of which a removal leaves each remaining replica the most.

        That is where no more could be removed; of a percentage one that it divides with the least rest.
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
        """The fewest replicas that carry a load."""
        return max(1, self.bounds.min)


def levels(rule: Rule) -> list[int]:
    """The counts that *rule* asks for by number."""
    if isinstance(rule, Table):
        return list(rule.table.values())
    if isinstance(rule, Steps):
        return [step.exactly for step in rule.steps if step.exactly is not None]
    return []


def _may_ask_for_fewer(rule: Rule) -> bool:
    """Whether *rule* may add at some value and no longer at a higher one."""
    asked = levels(rule)
    if isinstance(rule, Steps):
        return bool(asked) or (rule.below is not None and Direction.UP in ways(rule))
    return asked != sorted(asked)


def _bounds(rule: Rule) -> Iterator[float]:
    """The values at which *rule* begins or ends to ask for a count, whatever the count is."""
    if isinstance(rule, Threshold | Steps):
        bound = rule.above if rule.above is not None else rule.below or 0.0
        yield bound
        if isinstance(rule, Steps):
            yield from (bound + end for step in rule.steps for end in (step.lower, step.upper) if end is not None)
    elif isinstance(rule, Table):
        yield from rule.table


def _removals(rule: Rule) -> Iterator[Callable[[int], int]]:
    """How many replicas *rule* removes of a count, where that depends on the count."""
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
    """The way from *rule* to what removes replicas at *value*."""
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
