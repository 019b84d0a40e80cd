"""Policies, and globs in them, that match no service, with the names that may be meant. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

from autoscaler.policy.matching import POLICY_LABEL
from autoscaler.policy.policy import is_glob
from autoscaler.util.suggestions import nearest
from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from autoscaler.policy.policy import Policy, PolicySet

_LONGEST = 64
_MOST = 20
"""How many sentences there are at most. A hundred wrong globs have one cause."""


@dataclass(slots=True)
class UnmatchedPolicies:
    """Finds what matches nothing, and remembers it while services and policies stay what they are."""

    _seen: tuple[PolicySet, frozenset[str], frozenset[str]] | None = field(default=None, init=False)
    _found: tuple[str, ...] = field(default=(), init=False)

    def look(
        self, policies: PolicySet, services: Mapping[str, Mapping[str, str]], used: frozenset[str]
    ) -> tuple[str, ...]:
        """Return a sentence for each part of *policies* that matches none of *services* (their labels, by name).

        *used* are the names of the policies that apply to a service.
        """
        names = frozenset(services)
        known = self._seen
        if known is None or known[0] is not policies or known[1:] != (names, used):
            self._seen = policies, names, used
            self._found = tuple(islice(_unmatched(policies, services, used), _MOST))
        return self._found


def _unmatched(policies: PolicySet, services: Mapping[str, Mapping[str, str]], used: frozenset[str]) -> Iterator[str]:
    for policy in policies.policies:
        for pattern in policy.services:
            # An exact name that Swarm does not have is a record of its own, with the reason service_not_found.
            if is_glob(pattern) and not any(fnmatchcase(name, pattern) for name in services):
                what = f"the glob {tidy(pattern, _LONGEST)} matches no service"
                yield f"policy {policy.name}: {what}{_meant(pattern, services)}"
        if not policy.services and policy.name not in used:
            yield _of_labels(policy)


def _of_labels(policy: Policy) -> str:
    if policy.match_labels:
        wanted = ", ".join(f"{label}={value}" for label, value in policy.match_labels.items())
        what = f"it applies to no service with {tidy(wanted, 2 * _LONGEST)}"
        return f"policy {policy.name}: {what} (add the label to a service)"
    cure = f"add {POLICY_LABEL}={policy.name} to a service's labels, or services to the policy"
    return f"policy {policy.name}: no service names it ({cure})"


def _meant(pattern: str, services: Collection[str]) -> str:
    """Return the name that may be meant, in brackets."""
    given = "".join(letter for letter in pattern if letter not in "*?[]!")
    found = nearest(given, services, likeness=0.5)
    return f" (did you mean {found}?)" if found else " (docker service ls shows those that there are)"
