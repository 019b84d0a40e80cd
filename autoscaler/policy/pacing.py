"""The cooldowns and stabilizations that are in force for a policy, written or not, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.model import Direction
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from autoscaler.policy.policy import Policy, PolicySet

_MOST_NAMES = 5
"""The most rules or policies that a text names."""


def in_force(policy: Policy) -> str:
    """Return how soon changes may follow each other: ``cooldown 3m up, 5m down (load passes both unless …)``.

    It is empty for a policy without rules, because bounds do not wait.
    """
    if not policy.rules:
        return ""
    cooldowns = ", ".join(f"{words(policy.behaviour(way).cooldown)} {way}" for way in Direction)
    return "; ".join([f"cooldown {cooldowns}", *_passing(policy), *_stabilized(policy)])


def by_policies(policies: PolicySet, applied: Iterable[str] | None = None) -> dict[str, str]:
    """Return what is in force for each policy, by its name; with *applied*, only for those."""
    names = None if applied is None else set(applied)
    said = {policy.name: in_force(policy) for policy in policies.policies if names is None or policy.name in names}
    return {name: text for name, text in said.items() if text}


def lines(said: dict[str, str]) -> list[str]:
    """Return one line for all policies with the same text in *said*: ``web, shop: cooldown …``."""
    alike: dict[str, list[str]] = {}
    for name, text in said.items():
        alike.setdefault(text, []).append(name)
    return [f"{_listed(names)}: {text}" for text, names in alike.items()]


def _passing(policy: Policy) -> Iterator[str]:
    """Yield which rules a default cooldown does not hold."""
    passing = {
        way: [rule.name for rule in policy.rules if not policy.behaviour(way).holds_own_changes_of(rule)]
        for way in Direction
    }
    for names in {tuple(names): None for names in passing.values() if names}:
        ways = [way for way in Direction if passing[way] == list(names)]
        which = "it" if len(ways) == len(Direction) else f"the one {ways[0]}"
        verb = "passes" if len(names) == 1 else "pass"
        yield f"{_listed(names)} {verb} {which} unless somebody else changed the count"


def _stabilized(policy: Policy) -> Iterator[str]:
    for way in Direction:
        by_length: dict[int, list[str]] = {}
        for rule in policy.rules:
            by_length.setdefault(policy.stabilization(way, rule), []).append(rule.name)
        for length, names in by_length.items():
            if length:
                whose = "" if len(by_length) == 1 else f" for {_listed(names)}"
                yield f"stabilization {words(length)} {way}{whose}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
