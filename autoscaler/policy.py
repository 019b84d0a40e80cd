"""Policies: what applies to a set of services. The same models validate policy files and describe their schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, PrivateAttr, model_validator
from pydantic_core import CoreSchema, core_schema

from autoscaler.durations import Duration
from autoscaler.model import Direction
from autoscaler.schedules import Schedule
from autoscaler.strategies import Rule, registered
from autoscaler.strategies.base import Frozen

METRICS = ("cpu", "memory")
"""The built-in metrics."""

_GLOB = frozenset("*?[")
_LONGEST_PERIOD = 30 * 60
_MOST_NAMES = 20_000
_COUNT = Annotated[int, Field(strict=True, ge=0, le=10_000)]
_PATTERN = Annotated[str, Field(strict=True, min_length=1, max_length=255)]


class _AnyRule:
    """Validates a rule by the model of the strategy that it names; `threshold` where it names none."""

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

    def clamp(self, count: int) -> int:
        """The count nearest to *count* that lies within the bounds."""
        return min(max(count, self.min), self.max)


class Limit(Frozen):
    """How much may change within a period."""

    replicas: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    """So many replicas."""
    percent: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    """Or this percentage of the replicas at the beginning of the period."""
    per: Duration
    """The period: 30m at most."""

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
    """Take the least change recommended within this time; without it, only the present recommendation counts."""
    limits: Annotated[tuple[Limit, ...], Field(max_length=10)] = ()
    """How much may change within periods of time; without limits, anything."""
    select: Literal["max", "min", "disabled"] = "max"
    """Which of several limits counts: the one that allows the most, or the least; or no change this way at all."""


class ScaleUp(Behaviour):
    """How the policy adds replicas."""

    cooldown: Duration = 180
    """No rule adds replicas this soon after the last increase."""


class ScaleDown(Behaviour):
    """How the policy removes replicas."""

    cooldown: Duration = 300
    """No rule removes replicas this soon after the last change in either direction."""


def _pause(value: object) -> object:
    if isinstance(value, bool) or value in ("up", "down"):
        return value
    raise ValueError(f"{value!r:.40} is no way to pause (write true, false, up or down)")


class Policy(Frozen):
    """What applies to a set of services: bounds, rules, scale-up and scale-down behaviour."""

    model_config = ConfigDict(defer_build=True)  # plugins may register strategies before the first validation

    name: str = Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$", max_length=63)
    """What logs, metrics and labels call the policy; unique among all policies."""
    services: tuple[_PATTERN, ...] = Field(min_length=1)
    """The names of the services, or globs with `*`, `?` and `[…]`."""
    exclude: tuple[_PATTERN, ...] = ()
    """Names or globs of services that the globs of `services` do not mean."""
    replicas: Replicas
    """The bounds of the replica count."""
    rules: tuple[Annotated[Rule, _AnyRule], ...] = Field(min_length=1)
    """The reasons to change the count."""
    scale_up: ScaleUp = ScaleUp()
    """How replicas are added."""
    scale_down: ScaleDown = ScaleDown()
    """How replicas are removed."""
    schedules: tuple[Schedule, ...] = ()
    """Times at which the bounds are others."""
    flap_guard: Annotated[bool, Field(strict=True)] = True
    """Whether a removal is held that would bring the load of the remaining replicas above a bound that adds them."""
    paused: Annotated[Literal["up", "down"] | bool, BeforeValidator(_pause)] = False
    """Whether to leave the services as they are: altogether (`true`), or only not to add (`up`) or remove (`down`)."""

    def bounds(self, at: float) -> Bounds:
        """The bounds in force at *at*, in Unix seconds.

        Of the active schedules the largest min and the smallest max that is not below it; where none gives one, the
        policy's own, its max raised to a schedule's min if need be.
        """
        active = [schedule for schedule in self.schedules if schedule.active(at)]
        lowest, lowest_by = max(
            ((each.min, each.name) for each in active if each.min is not None), default=(self.replicas.min, "")
        )
        above = [(each.max, each.name) for each in active if each.max is not None and each.max >= lowest]
        highest, highest_by = min(above, default=(max(self.replicas.max, lowest), ""))
        return Bounds(lowest, highest, lowest_by, highest_by)

    def behaviour(self, direction: Direction) -> Behaviour:
        """How the policy changes counts in *direction*."""
        return self.scale_up if direction is Direction.UP else self.scale_down

    @property
    def longest_stabilization(self) -> int:
        """For how many seconds recommendations count."""
        return max(self.scale_up.stabilization, self.scale_down.stabilization)

    @property
    def named(self) -> tuple[str, ...]:
        """The services that the policy names exactly."""
        return tuple(service for service in self.services if not is_glob(service))

    @cached_property
    def _globs(self) -> re.Pattern[str]:
        """Matches the names that the globs mean and `exclude` does not."""
        included = "|".join(translate(pattern) for pattern in self.services if is_glob(pattern)) or "(?!)"
        excluded = "|".join(translate(pattern) for pattern in self.exclude) or "(?!)"
        return re.compile(f"(?!{excluded})(?:{included})")

    def matches_by_glob(self, service: str) -> bool:
        """Whether a glob of the policy means *service*, and none of `exclude` does."""
        return self._globs.match(service) is not None


def _whole(version: object) -> object:
    """*version*, for `true` and `1.0` equal 1 but are no versions."""
    if type(version) is not int:
        raise ValueError(f"{version!r:.40} is no version of this format (write version: 1)")
    return version


class PolicyFile(Frozen):
    """One policy file."""

    model_config = ConfigDict(defer_build=True)

    version: Annotated[Literal[1], BeforeValidator(_whole)]
    """The version of this format: 1."""
    policies: tuple[Policy, ...] = Field(min_length=1)
    """The policies."""


class PolicySet(Frozen):
    """All policies in force, read as one set, and the revision that names their content."""

    model_config = ConfigDict(defer_build=True)

    policies: tuple[Policy, ...] = ()
    revision: str = ""
    _matching: dict[str, tuple[Policy, ...]] = PrivateAttr(default_factory=dict)
    """What was found for a service's name before: there are as many as Swarm has services."""

    @cached_property
    def named(self) -> dict[str, Policy]:
        """The policy of each service that one names exactly."""
        return {service: policy for policy in self.policies for service in policy.named}

    def matching(self, service: str) -> tuple[Policy, ...]:
        """The policies of the best rank that match: none, the one that applies, or several in conflict.

        An exact name beats globs.
        """
        if service in self.named:
            return (self.named[service],)
        if service not in self._matching:
            if len(self._matching) >= _MOST_NAMES:
                self._matching.clear()  # services come and go for months
            found = tuple(policy for policy in self.policies if policy.matches_by_glob(service))
            self._matching[service] = found
        return self._matching[service]


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of policy files, its descriptions being these models' docstrings."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PolicyFile.model_json_schema()}


def is_glob(pattern: str) -> bool:
    """Whether *pattern* is a glob, not a plain service name."""
    return not _GLOB.isdisjoint(pattern)
