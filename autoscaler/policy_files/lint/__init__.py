"""Warnings: what is valid in a policy set but hardly meant, each with the numbers that show it.

Nothing is told that might be meant and work: what "never" happens does so for no value of a metric, as far as the
policies themselves say. Labels of a service may give it other bounds: of a policy that services choose by label nothing
is told that hangs on its own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import chain, islice, takewhile
from math import ceil, floor
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from autoscaler.core.model import Direction
from autoscaler.policy import promql
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.policy_files.lint.played import (
    A_LOOK,
    A_MOMENT,
    Effort,
    bounds_in_force,
    flaps,
    levels,
)
from autoscaler.policy_files.yaml_document import MAX_PROBLEMS, Diagnostic, Document, about_file, path_in_words, shown
from autoscaler.strategies import Steps, Table, Target, Threshold
from autoscaler.strategies.directions import ways, ways_of_step
from autoscaler.strategies.quantities import size
from autoscaler.swarm.history import KEPT_EVENTS
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from autoscaler.policy.guards import Guard
    from autoscaler.policy.metric import Metric
    from autoscaler.policy.policy import Limit, Policy, PolicySet
    from autoscaler.policy.schedules import Schedule
    from autoscaler.policy_files.lint.played import Flap
    from autoscaler.policy_files.yaml_document import Path
    from autoscaler.strategies import Rule

_EFFORT = 200_000
"""A second or two; a thousand usual policies take a tenth of it."""
_RARELY = timedelta(days=5 * 366)
_DAY = timedelta(days=1)
_HARDLY = 1e-6
_MOST_REPLICAS = 10_000


# The whole set


class Origin(NamedTuple):
    """Where a policy or a metric stands: its document and the way to it."""

    document: Document
    path: Path


class Warned(NamedTuple):
    """What is doubtful at a path below a policy, and what would be right."""

    path: Path
    what: str
    cure: str


def warnings(
    policies: PolicySet,
    step: int,
    origins: Mapping[str, Origin] | None = None,
    metric_origins: Mapping[str, Origin] | None = None,
) -> list[Diagnostic]:
    """What is valid but hardly meant; *step* is the window step in seconds.

    Each at its place where *origins* tell it (`Loaded.warnings` knows them), else by the names of policy and part. What
    takes too long to examine is left out, and the last warning says so.
    """
    effort = Effort(_EFFORT)
    told = list(
        islice(
            chain(
                _unused_metrics(policies, metric_origins or {}),
                *(
                    _of_policy(_Case(policy, policies.metrics, step, effort), origins or {})
                    for policy in policies.policies
                ),
            ),
            MAX_PROBLEMS,
        )
    )
    if effort.exhausted or len(told) == MAX_PROBLEMS:
        told.append(
            about_file("policies", "there may be more to warn of", "correct these first, or check fewer at a time")
        )
    return told


def _unused_metrics(policies: PolicySet, origins: Mapping[str, Origin]) -> Iterator[Diagnostic]:
    """Each metric that is defined is looked at."""
    used = {metric for policy in policies.policies for metric in policy.look_backs}
    for name, (document, path) in origins.items():
        if name not in used:
            what = f"no rule and no guard looks at the metric {shown(name)}"
            yield document.problem(path, what, "name it in one, or remove it", of_key=True)


def _of_policy(case: _Case, origins: Mapping[str, Origin]) -> Iterator[Diagnostic]:
    """The warnings of one policy, in the order of their places."""
    policy = case.policy
    origin = origins.get(policy.name)
    warned = chain.from_iterable(check(case) for check in _CHECKS)
    if origin is None:
        yield from (Diagnostic("", 0, 0, _named(policy, path), what, cure) for path, what, cure in warned)
    else:
        yield from sorted(origin.document.problem((*origin.path, *path), what, cure) for path, what, cure in warned)


def _named(policy: Policy, path: Path) -> str:
    """The place in words where the text is not known: ``policy web: rule low: below``."""
    part, *rest = path
    parts = getattr(policy, str(part))
    if rest and isinstance(rest[0], int):
        index, *rest = rest
        part = f"{str(part).removesuffix('s')} {parts[index].name}"
    return ": ".join(each for each in (f"policy {policy.name}", str(part), path_in_words(tuple(rest))) if each)


@dataclass(frozen=True)
class _Case:
    """A policy, and what is known around it."""

    policy: Policy
    metrics: Mapping[str, Metric]
    step: int
    """The window step of a metric that has none of its own, in seconds."""
    effort: Effort

    def step_of(self, metric: str) -> int:
        """The window step of *metric*, in seconds."""
        return self.metrics[metric].step or self.step

    def never_negative(self, metric: str) -> bool:
        """Whether *metric* is a built-in one."""
        return self.metrics[metric].query is None

    @cached_property
    def bounded(self) -> bool:
        """Whether services are meant to have the policy's own bounds, and not only some that their labels give."""
        return bool(self.policy.services or self.policy.match_labels)

    @cached_property
    def lowest(self) -> int:
        """The smallest min that may ever be in force while the service does not sleep."""
        awake = (schedule for schedule in self.policy.schedules if not schedule.sleeps)
        given = (schedule.min for schedule in awake if schedule.min is not None)
        return min(self.policy.replicas.min, *given, _MOST_REPLICAS) if self.bounded else 0

    @cached_property
    def highest(self) -> int:
        """The largest max that may ever be in force."""
        given = ((schedule.min or 0, schedule.max or 0) for schedule in self.policy.schedules)
        return max(self.policy.replicas.max, *chain.from_iterable(given), 0) if self.bounded else _MOST_REPLICAS


# Windows


def _short_windows(case: _Case) -> Iterator[Warned]:
    """What lasts for some time is seen by more than two samples."""
    lasting: list[tuple[Path, str, int]] = [
        (("rules", index, "for"), rule.metric, rule.look_back) for index, rule in enumerate(case.policy.rules)
    ]
    lasting += [(("guards", index, "for"), guard.metric, guard.for_) for index, guard in enumerate(case.policy.guards)]
    for path, metric, lasts in lasting:
        step = case.step_of(metric)
        if 0 < lasts < 2 * step:
            what = f"{words(lasts)} is shorter than two window steps of {words(step)}: one odd sample may decide"
            yield Warned(path, what, f"give at least {words(2 * step)}, or a smaller interval")


# Rules that size


def _cooled_sizes(case: _Case) -> Iterator[Warned]:
    """No cooldown holds the counts of a rule that paces itself."""
    names = [rule.name for rule in case.policy.rules if rule.paces_itself]
    for way in Direction if names else ():
        behaviour = case.policy.behaviour(way)
        if behaviour.cooldown and "cooldown" in behaviour.model_fields_set:
            who = f"{names[0]} sizes the service" if len(names) == 1 else f"{', '.join(names)} size the service"
            late = "too few replicas" if way is Direction.UP else "more replicas than it needs"
            what = (
                f"{who} for its load, and {words(behaviour.cooldown)} holds each correction for that long after a "
                f"change: a load that changes meanwhile has {late} until then"
            )
            unwritten = type(behaviour).model_fields["cooldown"].default
            instead = "" if way is Direction.UP else f"; stabilization: {words(unwritten)} calms its reductions instead"
            cure = (
                f"remove it: unwritten, {words(unwritten)} holds relative steps, and counts like these only after a "
                f"change by somebody else{instead}"
            )
            yield Warned((f"scale_{way}", "cooldown"), what, cure)


def _bare_sums(case: _Case) -> Iterator[Warned]:
    """A target on one value for all replicas says whether that is their total."""
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
        what = f"{what}, and without kind a target takes it for an average per replica: {example}"
        cure = f"write kind: total in the metric {rule.metric}, or kind: average if each replica has this value"
        yield Warned(("rules", index, "metric"), what, cure)


def _long_ranges(case: _Case) -> Iterator[Warned]:
    """No rule acts again on what its metric still shows of the time before its last change."""
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
                    f"{rule.metric} looks back {words(longest)}, longer than {after}: it still shows the load before "
                    "that change, and the rule may act on it again"
                )
                shorter = f"look back {words(cooldown)} or less" if cooldown else "look back less"
                cure = f"{shorter}, or give scale_{way} a cooldown of {words(longest)} or more" if held else shorter
                yield Warned(("rules", index, "metric"), what, cure)
                break


# Flaps


def _flaps(case: _Case) -> Iterator[Warned]:
    """No rule adds at once what another has removed, because the load moved to the replicas that remain."""
    for flap in flaps(case.policy, case.metrics, case.effort):
        yield Warned(flap.path, _flap_in_words(flap), _calmer(flap))


def _flap_in_words(flap: Flap) -> str:
    value, just = (flap.bound - 1, "") if flap.rounder else (flap.bound, "just under ")
    other = "itself" if flap.high is flap.low else flap.high.name
    above = flap.high.adds_above
    asks = f"where {flap.high.name} asks for more" if above is None else f"above {above:g}"
    example = (
        f"at {flap.before} replicas a {flap.low.metric} of {just}{value:.4g} becomes "
        f"{just}{value * flap.before / flap.after:.4g} at {flap.after}, {asks}"
    )
    if flap.held_at == flap.after:
        return f"must flap with {other}: {example}"
    held = "holds this removal" if flap.held_at == flap.before else f"removes only down to {flap.held_at}"
    return f"would flap with {other}: {example}; the flap guard {held}"


def _calmer(flap: Flap) -> str:
    low, high = flap.low, flap.high
    if isinstance(low, Table) or isinstance(high, Table) or high.adds_above is None:
        return "take a metric that removing replicas leaves as it is, or strategy: target"
    more = ceil(flap.steepness - _HARDLY)
    match low:
        case Threshold() if isinstance(high, Threshold):
            safe = _down(high.adds_above * flap.after / flap.before)
            return f"write below: {safe} or less, or above: {more} or more"
        case Target():
            return f"write target: {_down(high.adds_above)} or less, or let {high.name} add only above {more}"
        case _:
            return f"remove fewer or at lower values, or let {high.name} add only above {more}"


def _down(value: float) -> str:
    """*value* rounded down, to a whole number where it is not small."""
    return f"{floor(value)}" if value >= 1 else f"{floor(value * 1000) / 1000:g}"


# Rules and guards that never decide


def _overruled(case: _Case) -> Iterator[Warned]:
    """Each threshold decides at some time: no other one always fires with it and has the last word."""
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
                yield Warned(("rules", index), *_overruled_in_words(rule, other))


def _overrules(case: _Case, other: Threshold, rule: Threshold, *, earlier: bool) -> bool:
    """Whether *rule* never decides for *other*; of two that do the same the *earlier* one does."""
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


def _covers(case: _Case, other: Threshold | Guard, rule: Threshold | Steps) -> bool:
    """Whether *other*, on the same metric and side, is beyond its bound whenever *rule* is."""
    if rule.above is not None:
        if other.above is None or other.above > rule.above:
            return False
    elif other.below is None or other.below < (rule.below or 0.0):
        return False
    shares = tuple(getattr(each, "at_least", 1.0) for each in (other, rule))
    if shares == (1.0, 1.0):
        # A time off the grid of window steps needs samples that a longer one may do without.
        return other.for_ == rule.for_ or (other.for_ < rule.for_ and other.for_ % case.step_of(rule.metric) == 0)
    return other.for_ == rule.for_ and shares[0] <= shares[1] < 1


def _no_smaller(case: _Case, step: int | str, than: int | str) -> bool:
    """Whether *step* is at least as large as the other step, for every count that there may be."""
    if isinstance(step, str) and isinstance(than, str):
        return int(step.removesuffix("%")) >= int(than.removesuffix("%"))
    # A percentage grows with the count, and a count does not: what holds at both ends holds between them.
    return all(size(step, count) >= size(than, count) for count in (max(1, case.lowest), case.highest))


def _overruled_in_words(rule: Threshold, other: Threshold) -> tuple[str, str]:
    both = f"never decides: {rule.metric} {_bound(rule)} is {_bound(other)} as well, and for that {other.name}"
    if rule.add is not None:
        return f"{both} adds {other.add}", f"remove one of the two, or let {rule.name} add more"
    cure = f"remove one of the two, let {rule.name} have a shorter for, or write both as one rule with strategy: steps"
    return f"{both} removes {other.remove}; of two removals the smaller one counts", cure


def _bound(part: Threshold | Steps | Guard) -> str:
    """``above 70 for 5m``."""
    bound = f"above {part.above:g}" if part.above is not None else f"below {part.below:g}"
    share = getattr(part, "at_least", 1.0)
    often = f" in {share * 100:g} % of the samples" if share < 1 else ""
    return f"{bound}{often} for {words(part.for_)}" if part.for_ else bound


def _blocked(case: _Case) -> Iterator[Warned]:
    """No guard blocks a rule whenever it fires."""
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
                    f"never {does} replicas while its data are complete: {rule.metric} {_bound(rule)} is "
                    f"{_bound(guard)} as well, and for that the guard {guard.name} blocks {guard.block}"
                )
                yield Warned(("rules", index), what, "move one of the two bounds, or guard by another metric")
                break


def _blocks(guard: Guard, possible: frozenset[Direction]) -> bool:
    return all(guard.block in (way, "both") for way in possible)


def _one_way(case: _Case) -> Iterator[Warned]:
    """No rule only asks for what its policy forbids."""
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
            yield Warned(("rules", index), f"never {never}: {why}", cure)


def _pinned(case: _Case) -> Iterator[Warned]:
    """The bounds leave the rules something to do."""
    if case.lowest == case.highest and case.policy.rules:
        what = f"min and max are both {case.lowest}, so that no rule ever changes the count"
        yield Warned(("replicas",), what, "raise max, or lower min")


def _groups(case: _Case) -> Iterator[Warned]:
    """A group has several rules, all of which can want fewer replicas."""
    groups: defaultdict[str, list[tuple[int, Rule]]] = defaultdict(list)
    for index, rule in enumerate(case.policy.rules):
        if rule.group is not None:
            groups[rule.group].append((index, rule))
    for name, rules in groups.items():
        if len(rules) == 1:
            what = f"no other rule is in the group {name}, so that there is nobody to agree with"
            yield Warned(("rules", rules[0][0], "group"), what, "name the group in another rule, or remove it here")
            continue
        for index, rule in rules:
            if Direction.DOWN not in ways(rule):
                what = f"{rule.name} never wants fewer replicas, so that no rule of the group {name} ever removes any"
                yield Warned(("rules", index, "group"), what, "remove group here")


def _never_below_nothing(case: _Case) -> Iterator[Warned]:
    """What is never negative is not expected to be."""
    parts: list[tuple[Path, Rule | Guard]] = [(("rules", index), rule) for index, rule in enumerate(case.policy.rules)]
    parts += [(("guards", index), guard) for index, guard in enumerate(case.policy.guards)]
    for path, part in parts:
        below = getattr(part, "below", None)
        if not case.never_negative(part.metric):
            continue
        if below is not None and below <= 0:
            what = f"is never so: no {part.metric} is below {below:g}"
            yield Warned((*path, "below"), what, "give a bound above 0")
        elif isinstance(part, Steps):
            for index, end in _empty_steps(part):
                what = f"is never taken: the interval ends at {end:g}, and no {part.metric} is below 0"
                yield Warned((*path, "steps", index), what, "remove the step, or correct the interval")


def _empty_steps(rule: Steps) -> Iterator[tuple[int, float]]:
    """The steps that begin and end below 0, with their ends; below a bound an interval includes its end."""
    for index, step in enumerate(rule.steps):
        if step.upper is not None:
            end = (rule.above if rule.above is not None else rule.below or 0.0) + step.upper
            if end < 0 or (end == 0 and rule.above is not None):
                yield index, end


def _beyond_max(case: _Case) -> Iterator[Warned]:
    """What a rule asks for by number lies within the bounds, and not all of it at one end."""
    lowest, highest = case.lowest, case.highest
    for index, rule in enumerate(case.policy.rules if lowest < highest else ()):
        asked = levels(rule)
        if isinstance(rule, Table) and len(set(asked)) > 1 and (max(asked) <= lowest or min(asked) >= highest):
            leads_to = lowest if max(asked) <= lowest else highest
            what = f"every row leads to {leads_to} replicas within min {lowest} and max {highest}"
            yield Warned(("rules", index, "table"), what, "give counts between them, or other bounds")
        elif asked and max(asked) > highest:
            key = "table" if isinstance(rule, Table) else "steps"
            what = f"asks for up to {max(asked)} replicas, and the largest max is {highest}"
            yield Warned(("rules", index, key), what, "raise max, or ask for fewer")


# Fallback, schedules and limits


def _idle_fallback(case: _Case) -> Iterator[Warned]:
    """The fallback can be more than there are."""
    fallback = case.policy.fallback
    if fallback is not None and fallback.replicas <= case.lowest:
        what = f"never raises a count to {fallback.replicas}, for min is {case.lowest} at the least"
        yield Warned(("fallback", "replicas"), what, "give more than min, or remove the fallback")


def _without_rules(case: _Case) -> Iterator[Warned]:
    """A policy without rules says nothing that needs some."""
    if case.policy.rules:
        return
    if case.policy.fallback is not None:
        what = "never counts: the policy has no rules, so that none can lack data"
        yield Warned(("fallback",), what, "give replicas or a schedule a greater min, or remove the fallback")
    for index, guard in enumerate(case.policy.guards):
        what = f"never counts: the policy has no rules, and {guard.name} lets bounds and schedules pass"
        yield Warned(("guards", index), what, "remove the guard, or add rules")


def _ratchets(case: _Case) -> Iterator[Warned]:
    """What a schedule raises, something lowers again."""
    policy = case.policy
    raising = [(index, each.min) for index, each in enumerate(policy.schedules) if each.min is not None]
    removed = policy.scale_down.select != "disabled" and any(Direction.DOWN in ways(rule) for rule in policy.rules)
    if removed or not raising or not case.bounded:
        return
    seen = [bounds for bounds, _ in bounds_in_force(policy, case.effort)]
    lowest, floor = (min((getattr(each, end) for each in seen), default=0) for end in ("min", "max"))
    if floor <= lowest:
        return  # what the bounds of some time ask for at the least is then all there is
    why = "no rule removes replicas" if policy.rules else "there are no rules"
    for index, least in raising:
        if least > lowest:
            what = f"raises the count to {least}, and nothing lowers it to {lowest} again: {why}"
            cure = f"give replicas a max of {lowest or 1}, or add a rule that removes, or a schedule with that max"
            yield Warned(("schedules", index, "min"), f"{what}, and no max is below {floor}", cure)


def _idle_schedules(case: _Case) -> Iterator[Warned]:
    """Each schedule begins, ends, and sets the bounds that it gives."""
    for index, schedule in enumerate(case.policy.schedules):
        if not case.effort.spend(A_LOOK):
            return
        if (years := _rarity(schedule)) is not None:
            yield Warned(("schedules", index, "start"), f"comes only once in {years} years", "correct the day")
        elif _always(schedule, case.effort):
            what = "is in force at all times, for it begins anew whenever it ends"
            yield Warned(("schedules", index), what, "let it begin less often, or give its bounds in replicas")
        if schedule.min is None and schedule.max is not None and schedule.max < case.lowest:
            what = f"{schedule.max} never counts, for min is {case.lowest} at the least"
            yield Warned(
                ("schedules", index, "max"), what, f"give the schedule a min of {schedule.max} or less as well"
            )


def _rarity(schedule: Schedule) -> int | None:
    """How many years lie between two starts, where these are many."""
    moments = CronSim(schedule.start, A_MOMENT)
    first = next(moments, None)
    if first is None or first - A_MOMENT < _DAY * 366:
        return None
    second = next(moments, None)
    if second is None or second - first < _RARELY:
        return None
    return round((second - first).days / 365.25)


def _always(schedule: Schedule, effort: Effort) -> bool:
    """Whether it is in force even at each of its ends.

    A cron expression takes the same times on each of its days: all ends of one day and an end of each day tell.
    """
    now = A_MOMENT.astimezone(ZoneInfo(schedule.timezone))
    return all(effort.spend(A_LOOK) and schedule.active(end.timestamp()) for end in _ends(schedule.end, now))


def _ends(expression: str, now: datetime) -> Iterator[datetime]:
    """The moments of *expression* within a day, and the first of each of its days in the years that follow."""
    moments = CronSim(expression, now)
    first = next(moments)
    yield first
    yield from takewhile(lambda moment: moment - first < _DAY, moments)
    last: datetime | None = first
    while last is not None and last - first < _RARELY:
        yield last
        last = next(CronSim(expression, last.replace(hour=23, minute=59)), None)


def _long_limits(case: _Case) -> Iterator[Warned]:
    """No limit needs more changes than are known."""
    for way in Direction:
        behaviour = case.policy.behaviour(way)
        # No two changes are nearer than two evaluations, and the window step is the evaluation interval or longer.
        held = all(behaviour.holds_own_changes_of(rule) for rule in case.policy.rules)
        apart = max(behaviour.cooldown if held else 0, case.step)
        for index, limit in enumerate(behaviour.limits):
            changes = min(ceil(limit.per / apart) - 1, _most_changes(case, limit, way))
            if changes > KEPT_EVENTS:
                what = (
                    f"{changes} changes, {words(apart)} apart, may lie within {words(limit.per)}, and only the newest "
                    f"{KEPT_EVENTS} are known: the limit would count no others"
                )
                longer = ceil(limit.per / (KEPT_EVENTS + 1))
                cure = f"give a cooldown of {words(longer)} or more, or a shorter period"
                yield Warned((f"scale_{way}", "limits", index, "per"), what, cure)


def _most_changes(case: _Case, limit: Limit, way: Direction) -> int:
    """How many changes in one direction the bounds and *limit* have room for."""
    allowed = limit.replicas or ceil(case.highest * (limit.percent or 0) / 100)
    smallest = min((_smallest(rule, way, max(1, case.lowest)) for rule in case.policy.rules), default=1)
    return -(-min(allowed, case.highest - case.lowest) // smallest)


def _smallest(rule: Rule, way: Direction, count: int) -> int:
    """The fewest replicas by which *rule* changes *count* or more of them in a direction; many where it never does."""
    match rule:
        case _ if way not in ways(rule):
            return _MOST_REPLICAS
        case Threshold():
            return size(rule.add or rule.remove or 1, count)
        case Steps():
            alike = [step for step in rule.steps if way in ways_of_step(step)]
            return min(1 if step.exactly is not None else abs(step.replicas(count) - count) for step in alike)
        case _:
            return 1


_CHECKS: tuple[Callable[[_Case], Iterator[Warned]], ...] = (
    _short_windows,
    _cooled_sizes,
    _bare_sums,
    _long_ranges,
    _flaps,
    _overruled,
    _blocked,
    _one_way,
    _pinned,
    _groups,
    _never_below_nothing,
    _beyond_max,
    _idle_fallback,
    _without_rules,
    _idle_schedules,
    _ratchets,
    _long_limits,
)
