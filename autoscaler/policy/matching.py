"""The policy that applies to a service: by exact name, by the service's label, or by globs and labels, in this order.

A wrong label only concerns the service that has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from autoscaler.policy.policy import Replicas
from autoscaler.swarm.cluster import ROLLBACK_LABEL, STATE_LABEL
from autoscaler.util.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from autoscaler.policy.policy import Policy, PolicySet

PREFIX = "autoscaler."
"""The beginning of the labels that are meant for the autoscaler."""
POLICY_LABEL = "autoscaler.policy"
"""The label that names the policy of the service."""
ENABLED_LABEL = "autoscaler.enabled"
"""The label that excludes the service if it is `false`."""
MIN_LABEL = "autoscaler.replicas.min"
MAX_LABEL = "autoscaler.replicas.max"
_LABELS = (POLICY_LABEL, ENABLED_LABEL, MIN_LABEL, MAX_LABEL)
_OWN = (STATE_LABEL, ROLLBACK_LABEL)
"""The labels that the autoscaler writes itself."""
_OWNERS = {
    "swarm.cronjob.enable": "swarm-cronjob",
    "sablier.enable": "Sablier",
    "swarm.autoscaler": "docker-swarm-autoscaler",
}
"""The names of other programs that change counts, by the labels with which services ask them to."""
_TRUE = frozenset({"1", "t", "true"})
"""The values of such a label that mean yes, in small letters."""
_MOST_NAMES = 20_000
_MOST_REPLICAS = 10_000
_MOST_TOLD = 5
"""The most problems of one service in a message, and the most names of policies."""
_MOST_HINTS = 100
"""The most unknown names of policies that are compared with all policies, because a thousand comparisons take time."""


@dataclass(frozen=True, slots=True)
class Match:
    """The policy that applies to a service, or why none applies although one is asked for."""

    policy: Policy | None = None
    """The policy with the bounds of the service's labels; None if none applies."""
    names: str = ""
    """The names of the policies that match; of many, the first ones."""
    conflict: str = ""
    """Why no policy applies although one is asked for, and the cure; empty if none is asked for."""
    doubt: str = ""
    """Why it is doubtful that the policy should apply, and the cure; empty if it is not."""


_NONE = Match()


@dataclass(slots=True)
class Matcher:
    """Finds the policies of services, and remembers them."""

    policies: PolicySet
    _found: dict[tuple[str, bool, tuple[tuple[str, str], ...]], Match] = field(default_factory=dict, init=False)
    _hints: dict[str, str] = field(default_factory=dict, init=False)
    _missing: tuple[frozenset[str], dict[str, str]] | None = field(default=None, init=False)
    """The messages on missing services, and the services that there were when they were made."""
    _looked_at: frozenset[str] = field(init=False)
    """The labels of others by which a policy matches services."""

    def __post_init__(self) -> None:
        self._looked_at = frozenset(label for policy in self.policies.policies for label in policy.match_labels)

    def find(self, service: str, labels: Mapping[str, str], *, own: bool = False) -> Match:
        """Return the match of *service*. Globs and `match_labels` never match the autoscaler's *own* service."""
        told = {
            label: value
            for label, value in labels.items()
            if (label.startswith(PREFIX) and label not in _OWN) or label in self._looked_at or label in _OWNERS
        }
        key = service, own, tuple(sorted(told.items()))
        if key not in self._found:
            if len(self._found) >= _MOST_NAMES:
                self._found.clear()  # services come and go for months
            self._found[key] = self._find(service, told, own=own)
        return self._found[key]

    def missing(self, service: str, known: Collection[str]) -> str:
        """Return the message that Swarm has no service of this name, and which *known* ones may be meant."""
        names = frozenset(known)
        if self._missing is None or self._missing[0] != names:
            self._missing = names, {}
        said = self._missing[1]
        if service not in said:
            # A hundred misspelt names among thousands of services would take seconds.
            found = nearest(service, names, likeness=0.5) if len(said) < _MOST_HINTS else ""
            cure = f" (did you mean {found}?)" if found else ""
            said[service] = f"Swarm has no service of this name{cure}"
        return said[service]

    def _find(self, service: str, labels: Mapping[str, str], *, own: bool) -> Match:
        if labels.get(ENABLED_LABEL) == "false":
            return _NONE
        candidates, wrong = self._candidates(service, labels, own=own)
        names = _listed([policy.name for policy in candidates])
        if len(candidates) > 1:
            wrong.append(f"matched by the policies {names} (name the service in one of them, or exclude it)")
        owner, by_name = _owner(labels), POLICY_LABEL in labels or service in self.policies.named
        if candidates and owner and not by_name:
            cure = "exclude it, or name it exactly in services to scale it anyway"
            wrong.append(f"{owner}, and the policy {names} matches it by a glob or by match_labels ({cure})")
        problems = list(islice(chain(wrong, self._wrong_labels(labels)), _MOST_TOLD))
        if problems:
            return Match(None, names, "; ".join(problems))
        if candidates:
            match = _bounded(candidates[0], labels, self.policies)
            if owner and match.policy is not None:
                cure = f"take it out of the policy {names}, or remove that label"
                return replace(match, doubt=f"{owner}, and the autoscaler changes its count too ({cure})")
            return match
        if given := sorted(labels.keys() & {MIN_LABEL, MAX_LABEL, ENABLED_LABEL}):
            cure = f"add the label {POLICY_LABEL}=NAME"
            return Match(None, "", f"has the label {', '.join(given)}, and no policy matches it ({cure})")
        return _NONE

    def _candidates(self, service: str, labels: Mapping[str, str], *, own: bool) -> tuple[list[Policy], list[str]]:
        """Return the matching policies of the highest rank, and the problems with the service's own label."""
        wanted = labels.get(POLICY_LABEL)
        policy = None if wanted is None else self.policies.by_name.get(wanted)
        if wanted is not None and policy is None:
            return [], [f"the label {POLICY_LABEL} names {wanted!r:.60}, which is not a policy ({self._near(wanted)})"]
        if (named := self.policies.named.get(service)) is not None:
            return [named], []
        if policy is not None:
            if policy.excludes(service):
                cure = "remove the label, or the exclusion"
                return [], [f"the label {POLICY_LABEL} names {policy.name}, which excludes the service ({cure})"]
            return [policy], []
        if own:
            return [], []
        return [policy for policy in self.policies.policies if policy.matches(service, labels)], []

    def _near(self, wanted: str) -> str:
        """Return the cure for an unknown name of a policy."""
        names = list(self.policies.by_name)
        if wanted not in self._hints and len(self._hints) < _MOST_HINTS:
            self._hints[wanted] = nearest(wanted, names)
        near = self._hints.get(wanted)
        return f"did you mean {near}?" if near else f"the policies are {_listed(names)}"

    def _wrong_labels(self, labels: Mapping[str, str]) -> Iterator[str]:
        """Yield the problems of the labels themselves, whatever policy applies."""
        for label in sorted(labels):
            if label.startswith(PREFIX) and label not in _LABELS and label not in self._looked_at:
                # Without the prefix, because with it all would be near.
                known = [each.removeprefix(PREFIX) for each in _LABELS]
                near = nearest(label.removeprefix(PREFIX), known)
                cure = f"did you mean {PREFIX}{near}?" if near else f"the labels are {', '.join(_LABELS)}"
                yield f"the label {label!r:.60} means nothing ({cure})"
        enabled = labels.get(ENABLED_LABEL, "true")
        if enabled != "true":
            yield f'the label {ENABLED_LABEL} is {enabled!r:.60} (write "true" or "false")'
        for label, least in ((MIN_LABEL, 0), (MAX_LABEL, 1)):
            given = labels.get(label)
            if given is not None and not (re.fullmatch("[0-9]{1,5}", given) and least <= int(given) <= _MOST_REPLICAS):
                yield f"the label {label} is {given!r:.60} (write a whole number from {least} to {_MOST_REPLICAS})"


def _owner(labels: Mapping[str, str]) -> str:
    """Return which other program scales a service with these *labels*, and by which label; empty if none does."""
    owners = (
        f"is scaled by {owner} (label {label}={labels[label]})"
        for label, owner in _OWNERS.items()
        if labels.get(label, "").lower() in _TRUE
    )
    return next(owners, "")


def _bounded(policy: Policy, labels: Mapping[str, str], policies: PolicySet) -> Match:
    """Return *policy* with the bounds of the labels."""
    if not labels.keys() & {MIN_LABEL, MAX_LABEL}:
        return Match(policy, policy.name)
    least = int(labels.get(MIN_LABEL, policy.replicas.min))
    most = int(labels.get(MAX_LABEL, policy.replicas.max))
    if least > most:
        what = f"its labels and the policy {policy.name} give min {least}, greater than max {most}"
        return Match(None, policy.name, f"{what} (correct the labels {MIN_LABEL} and {MAX_LABEL})")
    if least == 0 and policy.replicas.min and not policies.can_wake(policy):
        what = f"the label {MIN_LABEL} is 0, and no rule of the policy {policy.name} could wake the service"
        return Match(None, policy.name, f"{what} (write 1, or add a rule with a metric that has data without tasks)")
    return Match(policy.model_copy(update={"replicas": Replicas(min=least, max=most)}), policy.name)


def _listed(names: list[str]) -> str:
    """Return *names* as one text; of many, the first ones."""
    more = len(names) - _MOST_TOLD
    return ", ".join(names[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
