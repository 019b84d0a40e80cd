"""Policies: what applies to a set of services. The same models validate policy files and describe their schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    InstanceOf,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from autoscaler.core.model import Direction
from autoscaler.policy.guards import Guard
from autoscaler.policy.metric import Metric, with_built_in
from autoscaler.policy.places import Places
from autoscaler.policy.schedules import Schedule
from autoscaler.strategies import Rule, registered
from autoscaler.strategies.base import Frozen
from autoscaler.util.durations import Duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_GLOB = frozenset("*?[")
_LONGEST_PERIOD = 30 * 60
_MOST_NAMES = 5000
_MOST_PARTS = 100
"""The most rules, guards, schedules or labels of a policy, because each takes time at every evaluation."""
_COUNT = Annotated[int, Field(strict=True, ge=0, le=10_000)]


def _visible(name: str) -> str:
    """Return *name* if all its characters are visible; raise ValueError otherwise."""
    for character in name:
        if not character.isprintable():
            raise ValueError(f"holds the character U+{ord(character):04X}, which cannot be seen (remove it)")
    return name


_PATTERN = Annotated[str, Field(strict=True, min_length=1, max_length=255), AfterValidator(_visible)]
_VALUE = Annotated[str, Field(strict=True, max_length=4096)]


class _AnyRule:
    """Validates a rule by the model of the strategy that it names, `threshold` by default."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(rule) for name, rule in registered().items()}
        return core_schema.tagged_union_schema(choices=choices, discriminator=_strategy_of)


def _strategy_of(rule: Any) -> str | None:
    if isinstance(rule, Rule):
        return rule.strategy_name
    return rule.get("strategy", "threshold") if isinstance(rule, dict) else None


class Replicas(Frozen):
    """The bounds of the replica count, both included."""

    min: _COUNT
    """The fewest replicas the service may have."""
    max: _COUNT
    """The most replicas the service may have."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max} (swap them?)")
        if self.max == 0:
            raise ValueError("max 0 would stop the service for good (give a max of 1 or more)")
        return self


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds in force at one moment, both included, and the schedules that set them, if any did."""

    min: int
    max: int
    min_by: str = ""
    max_by: str = ""

    @property
    def asleep(self) -> bool:
        """Return whether a schedule lets the service sleep."""
        return self.max == 0

    def clamp(self, count: int) -> int:
        """Return the count within the bounds that is nearest to *count*."""
        return min(max(count, self.min), self.max)


class Limit(Frozen):
    """The most that may change within a period."""

    replicas: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    """The most replicas that may change within the period."""
    percent: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    """The same as a percentage of the replicas at the beginning of the period."""
    per: Duration
    """The length of the period: at most 30m."""

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.replicas is None) == (self.percent is None):
            raise ValueError("a limit has one measure (give either replicas or percent)")
        if not 1 <= self.per <= _LONGEST_PERIOD:
            raise ValueError("a limit's period is too long or empty (give 1s to 30m)")
        return self


class Behaviour(Frozen):
    """How the policy changes counts in one direction, as the Kubernetes HPA's `behavior` has it."""

    cooldown: Duration
    stabilization: Duration = 0
    """Take the smallest change that was recommended within this time. With 0s only the present recommendation counts.
    If the key is missing, it is 5m for a reduction that a `target` asks for."""
    limits: Annotated[tuple[Limit, ...], Field(max_length=10)] = ()
    """The most that may change within periods of time. Without limits any change is allowed."""
    select: Literal["max", "min", "disabled"] = "max"
    """Of several limits, obey the one that allows the most (`max`) or the least (`min`). `disabled` forbids every
    change in this direction."""

    def holds_own_changes_of(self, rule: Rule | None) -> bool:
        """Return whether the cooldown also counts from the autoscaler's own changes, for a count of *rule*.

        It always counts from changes by others. The default cooldown does not hold rules that pace themselves.
        """
        return rule is None or not rule.paces_itself or "cooldown" in self.model_fields_set


class ScaleUp(Behaviour):
    """How the policy adds replicas."""

    cooldown: Duration = 180
    """No rule adds replicas this soon after the last increase. If the key is missing, it holds a `target` only after
    increases that somebody else made."""
    give_back: Duration | None = None
    """Remove replicas that a rule added if Swarm has found no room for them for this long. Then no rule adds replicas
    for the same time. Without this key they stay."""

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.give_back == 0:
            raise ValueError("give_back 0s would give back what has only just been added (write 1s or more, like 10m)")
        return self


class ScaleDown(Behaviour):
    """How the policy removes replicas."""

    cooldown: Duration = 300
    """No rule removes replicas this soon after the last change in either direction. If the key is missing, it holds a
    `target` only after changes that somebody else made."""


class Fallback(Frozen):
    """The number of replicas to have while nothing is known about the load."""

    after: Duration
    """The time for which every rule of the policy must have lacked data."""
    replicas: Annotated[int, Field(strict=True, ge=1, le=10_000, examples=[6])]
    """The fewest replicas to have then, within the bounds. A lower count is raised to it; a higher one stays."""


def _pause(value: object) -> object:
    if isinstance(value, bool) or value in ("up", "down"):
        return value
    raise ValueError(f"{value!r:.40} is not a way to pause (write true, false, up or down)")


class Policy(Frozen):
    """The bounds, rules, scale-up and scale-down behaviour of a set of services.

    Without `services` and `match_labels` the policy applies to the services whose label `autoscaler.policy` names it.
    """

    model_config = ConfigDict(defer_build=True)  # plugins may register strategies before the first validation

    name: str = Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$", max_length=63)
    """The policy's name in logs, metrics and labels; unique among all policies."""
    services: Annotated[tuple[_PATTERN, ...], Field(min_length=1, max_length=_MOST_NAMES)] = ()
    """The names of the services, or globs with `*`, `?` and `[…]`."""
    match_labels: Annotated[dict[_PATTERN, _VALUE], Field(min_length=1, max_length=_MOST_PARTS)] = Field(
        default_factory=dict
    )
    """Labels that a service must have, all of them with these values. Give this instead of `services`."""
    exclude: Annotated[tuple[_PATTERN, ...], Field(max_length=_MOST_NAMES)] = ()
    """Names or globs of services that the policy leaves out. An exact name in `services` still matches."""
    replicas: Replicas
    """The bounds of the replica count."""
    rules: tuple[Annotated[Rule, _AnyRule], ...] = Field(default=(), max_length=_MOST_PARTS)
    """The reasons to change the count; a policy that has schedules may have none."""
    scale_up: ScaleUp = ScaleUp()
    """How replicas are added."""
    scale_down: ScaleDown = ScaleDown()
    """How replicas are removed."""
    schedules: Annotated[tuple[Schedule, ...], Field(max_length=_MOST_PARTS)] = ()
    """Times at which other bounds are in force."""
    guards: Annotated[tuple[Guard, ...], Field(max_length=_MOST_PARTS)] = ()
    """Metrics that forbid changes while they are beyond a bound."""
    fallback: Fallback | None = None
    """The number of replicas to have if every rule has lacked data for some time. By default the count then stays."""
    on_deploy: Literal["restore", "accept"] = "restore"
    """If a `docker stack deploy` lowered the count, set the earlier one again (`restore`) or `accept` the lower one."""
    on_starved: Literal["hold", "allow"] = "hold"
    """While the tasks' node may have no CPU to spare, `hold` or `allow` removals by the built-in `cpu`."""
    flap_guard: Annotated[bool, Field(strict=True)] = True
    """Hold a removal if the remaining replicas would then carry so much load that a rule would add replicas again."""
    paused: Annotated[Literal["up", "down"] | bool, BeforeValidator(_pause)] = False
    """Change nothing (`true`), add no replicas (`up`) or remove no replicas (`down`)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.services and self.match_labels:
            raise ValueError("services and match_labels are two ways to say the same (keep one of the two)")
        if not self.rules and not self.schedules:
            cure = "add rules: [{name: cpu-high, metric: cpu, above: 70, for: 5m, add: 1}], or schedules"
            raise ValueError(f"a policy needs rules, or at least one schedule ({cure})")
        if self.fallback is not None and self.fallback.replicas > self.replicas.max:
            raise ValueError(
                f"the fallback of {self.fallback.replicas} replicas is above max {self.replicas.max} "
                "(raise max, or lower the fallback)"
            )
        return self

    def bounds(self, at: float) -> Bounds:
        """Return the bounds in force at *at*, in Unix seconds.

        They are the largest min of the active schedules, and the smallest max that is not below it. Without one, the
        policy's own bound is in force; its max is raised to a schedule's min if needed.
        """
        active = [schedule for schedule in self.schedules if schedule.active(at)]
        lowest, lowest_by = max(
            ((each.min, each.name) for each in active if each.min is not None), default=(self.replicas.min, "")
        )
        above = [(each.max, each.name) for each in active if each.max is not None and each.max >= lowest]
        highest, highest_by = min(above, default=(max(self.replicas.max, lowest), ""))
        return Bounds(lowest, highest, lowest_by, highest_by)

    def schedule_ends(self, name: str, at: float) -> float | None:
        """Return when the schedule *name*, active at *at*, ends, in Unix seconds; None if it never does."""
        return next((schedule.ends(at) for schedule in self.schedules if schedule.name == name), None)

    @property
    def highest(self) -> int:
        """Return the largest max that can ever be in force, by any schedule."""
        bounds = (bound for schedule in self.schedules for bound in (schedule.min, schedule.max) if bound is not None)
        return max((self.replicas.max, *bounds))

    def behaviour(self, direction: Direction) -> Behaviour:
        """Return how the policy changes counts in *direction*."""
        return self.scale_up if direction is Direction.UP else self.scale_down

    @cached_property
    def longest_stabilization(self) -> int:
        """Return the seconds for which recommendations count."""
        return max(self.stabilization(way, rule) for way in Direction for rule in (None, *self.rules))

    def stabilization(self, direction: Direction, rule: Rule | None) -> int:
        """Return the seconds for which a change in *direction* that *rule* asks for is stabilized."""
        behaviour = self.behaviour(direction)
        if rule is None or direction is Direction.UP or "stabilization" in behaviour.model_fields_set:
            return behaviour.stabilization
        return rule.unwritten_stabilization

    def rule(self, name: str) -> Rule | None:
        """Return the rule of that name; None if there is none."""
        return next((rule for rule in self.rules if rule.name == name), None)

    @cached_property
    def look_backs(self) -> dict[str, int]:
        """Return the metrics of rules and guards, with the longest look-back that one of them needs, in seconds."""
        longest: dict[str, int] = {}
        for metric, look_back in self.looks():
            longest[metric] = max(longest.get(metric, 0), look_back)
        return longest

    def looks(self) -> Iterator[tuple[str, int]]:
        """Yield the metric and the look-back in seconds of each rule and guard."""
        yield from ((rule.metric, rule.look_back) for rule in self.rules)
        yield from ((guard.metric, guard.for_) for guard in self.guards)

    @property
    def named(self) -> tuple[str, ...]:
        """Return the services that the policy names exactly."""
        return tuple(service for service in self.services if not is_glob(service))

    def matches(self, service: str, labels: Mapping[str, str]) -> bool:
        """Return whether a glob or labels of the policy match *service* with its *labels*, and `exclude` does not."""
        if self.match_labels:
            meant = all(labels.get(label) == value for label, value in self.match_labels.items())
        else:
            meant = self._included.match(service) is not None
        return meant and not self.excludes(service)

    def excludes(self, service: str) -> bool:
        """Return whether a name or a glob of `exclude` matches *service*."""
        return self._excluded.match(service) is not None

    @cached_property
    def _included(self) -> re.Pattern[str]:
        return _any_of(pattern for pattern in self.services if is_glob(pattern))

    @cached_property
    def _excluded(self) -> re.Pattern[str]:
        return _any_of(self.exclude)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches what one of the globs matches."""
    return re.compile("|".join(map(translate, patterns)) or "(?!)")


class PolicySet(Frozen):
    """All policies in force, read as one set, and the revision that names their content."""

    model_config = ConfigDict(defer_build=True)

    policies: tuple[Policy, ...] = ()
    metrics: dict[str, Metric] = Field(default_factory=lambda: with_built_in({}))
    """All metrics there are, the built-in ones included."""
    revision: str = ""
    places: dict[str, InstanceOf[Places]] = Field(default_factory=dict, exclude=True, repr=False)
    """Where each policy is written, by its name."""

    @cached_property
    def named(self) -> dict[str, Policy]:
        """Return the policies by the services that they name exactly."""
        return {service: policy for policy in self.policies for service in policy.named}

    @cached_property
    def by_name(self) -> dict[str, Policy]:
        """Return the policies by their names."""
        return {policy.name: policy for policy in self.policies}

    def can_wake(self, policy: Policy) -> bool:
        """Return whether a rule of *policy* could ask for replicas if a service has none."""
        return any(self._wakes(rule) for rule in policy.rules)

    def _wakes(self, rule: Rule) -> bool:
        metric = self.metrics[rule.metric]
        adds = getattr(rule, "add", None) is not None
        there = metric.query is not None and metric.task is None
        return there and wakes(rule.strategy_name, adds=adds, total=metric.kind == "total")


def wakes(strategy: str, *, adds: bool, total: bool) -> bool:
    """Return whether a rule with data may ask for replicas at a count of 0; a plugin's strategy always might.

    A threshold may if it adds. A target may if its metric is a total, because 0 tasks times any average is 0.
    """
    return {"threshold": adds, "target": total}.get(strategy, True)


def is_glob(pattern: str) -> bool:
    """Return whether *pattern* is a glob and not a plain service name."""
    return not _GLOB.isdisjoint(pattern)
