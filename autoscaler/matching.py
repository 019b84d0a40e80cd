"""Which policy applies to a service: by its exact name, by its own label, or by globs and labels, in that rank.

What a label says wrongly concerns the service that wears it, and no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import ValidationError

from autoscaler.cluster import STATE_LABEL
from autoscaler.policy import Replicas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from autoscaler.policy import Policy, PolicySet

PREFIX = "autoscaler."
"""What the names of the labels begin with that speak to the autoscaler."""
POLICY_LABEL = "autoscaler.policy"
"""Names the policy that the service wants."""
ENABLED_LABEL = "autoscaler.enabled"
"""`false` takes the service out."""
MIN_LABEL = "autoscaler.replicas.min"
MAX_LABEL = "autoscaler.replicas.max"
_LABELS = (POLICY_LABEL, ENABLED_LABEL, MIN_LABEL, MAX_LABEL)
_MOST_NAMES = 20_000
_LONG = 60


@dataclass(frozen=True, slots=True)
class Match:
    """The policy that applies to a service, or why none does although something asks for one."""

    policy: Policy | None = None
    """With the bounds that the service's labels give; None where none applies."""
    names: str = ""
    """What matched: a policy's name, or several."""
    conflict: str = ""
    """Why none applies although something asks for one, and the cure; empty where nothing asks."""


_NONE = Match()


@dataclass(slots=True)
class Matcher:
    """Finds the policies of services, and remembers what it found."""

    policies: PolicySet
    _found: dict[tuple[str, tuple[tuple[str, str], ...]], Match] = field(default_factory=dict)
    _looked_at: frozenset[str] = field(init=False)
    """The labels beside ours that some policy matches by."""

    def __post_init__(self) -> None:
        self._looked_at = frozenset(label for policy in self.policies.policies for label in policy.match_labels)

    def find(self, service: str, labels: Mapping[str, str], *, own: bool = False) -> Match:
        """The match of *service*; globs and `match_labels` never mean the autoscaler's *own* one."""
        told = {
            label: value
            for label, value in labels.items()
            if (label.startswith(PREFIX) and label != STATE_LABEL) or label in self._looked_at
        }
        key = service, tuple(sorted(told.items()))
        if key not in self._found:
            if len(self._found) >= _MOST_NAMES:
                self._found.clear()  # services come and go for months
            self._found[key] = self._find(service, told, own=own)
        return self._found[key]

    def _find(self, service: str, labels: Mapping[str, str], *, own: bool) -> Match:
        if labels.get(ENABLED_LABEL) == "false":
            return _NONE
        candidates, wrong = self._candidates(service, labels, own=own)
        names = ", ".join(policy.name for policy in candidates)
        problems = [*wrong, *_wrong_labels(labels)]
        if len(candidates) > 1:
            cure = "name the service in one of them, or exclude it from the others"
            problems.insert(0, f"matched by the policies {names} ({cure})")
        if not candidates and not problems and (labels.keys() & {MIN_LABEL, MAX_LABEL, ENABLED_LABEL}):
            given = ", ".join(sorted(label for label in labels if label in _LABELS))
            problems.append(f"has the label {given}, and no policy matches it (add the label {POLICY_LABEL}=NAME)")
        if problems:
            return Match(None, names, "; ".join(problems))
        if not candidates:
            return _NONE
        return _bounded(candidates[0], labels)

    def _candidates(self, service: str, labels: Mapping[str, str], *, own: bool) -> tuple[list[Policy], list[str]]:
        """The policies of the best rank that match, and what is wrong with the service's wish."""
        if (named := self.policies.named.get(service)) is not None:
            return [named], []
        if (wanted := labels.get(POLICY_LABEL)) is not None:
            policy = self.policies.by_name.get(wanted)
            if policy is None:
                return [], [f"the label {POLICY_LABEL} names {wanted!r:.60}, no policy ({self._near(wanted)})"]
            if policy.excludes(service):
                cure = "remove the label, or the exclusion"
                return [], [f"the label {POLICY_LABEL} names {wanted}, which excludes the service ({cure})"]
            return [policy], []
        if own:
            return [], []
        return [policy for policy in self.policies.policies if policy.matches(service, labels)], []

    def _near(self, wanted: str) -> str:
        names = list(self.policies.by_name)
        near = get_close_matches(wanted[:_LONG], names, n=1)
        return f"did you mean {near[0]}?" if near else f"the policies are {', '.join(names[:20])}"


def _wrong_labels(labels: Mapping[str, str]) -> Iterator[str]:
    for label in sorted(labels):
        if label.startswith(PREFIX) and label not in _LABELS:
            near = get_close_matches(label[:_LONG], _LABELS, n=1)
            cure = f"did you mean {near[0]}?" if near else f"the labels are {', '.join(_LABELS)}"
            yield f"the label {label[:_LONG]} means nothing ({cure})"
    enabled = labels.get(ENABLED_LABEL, "true")
    if enabled != "true":
        yield f'the label {ENABLED_LABEL} is {enabled!r:.60} (write "true" or "false")'
    for label in (MIN_LABEL, MAX_LABEL):
        if not re.fullmatch(r"[0-9]{1,5}", labels.get(label, "0")):
            yield f'the label {label} is {labels[label]!r:.60} (write a whole number, like "3")'


def _bounded(policy: Policy, labels: Mapping[str, str]) -> Match:
    """*policy* with the bounds that the labels give."""
    least, most = labels.get(MIN_LABEL), labels.get(MAX_LABEL)
    if least is None and most is None:
        return Match(policy, policy.name)
    try:
        replicas = Replicas(
            min=policy.replicas.min if least is None else int(least),
            max=policy.replicas.max if most is None else int(most),
        )
    except ValidationError as error:
        said = error.errors()[0]
        problem = str(said.get("ctx", {}).get("error", said["msg"]))
        return Match(None, policy.name, f"its labels and the policy give bounds that cannot be: {problem}")
    return Match(policy.model_copy(update={"replicas": replicas}), policy.name)
