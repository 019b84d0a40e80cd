"""The input and the output of each check of the lint."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.policy.metric import Metric
    from autoscaler.policy.policy import Policy
    from autoscaler.policy_files.diagnostic import Path
    from autoscaler.policy_files.lint.ids import LintId
    from autoscaler.policy_files.lint.played import Effort
    from autoscaler.policy_files.yaml_document import Document

MOST_REPLICAS = 10_000


class Origin(NamedTuple):
    """The place of a policy or a metric: its document and the path to it."""

    document: Document
    path: Path


class Warned(NamedTuple):
    """A warning about a path below a policy or a metric, and what would be right."""

    id: LintId
    path: Path
    what: str
    cure: str


@dataclass(frozen=True)
class LintCase:
    """A policy with its metrics and the window step."""

    policy: Policy
    metrics: Mapping[str, Metric]
    step: int
    """The window step of a metric that has none of its own, in seconds."""
    effort: Effort

    def step_of(self, metric: str) -> int:
        """Return the window step of *metric*, in seconds."""
        return self.metrics[metric].step or self.step

    def never_negative(self, metric: str) -> bool:
        """Return whether *metric* is a built-in one, which is never negative."""
        return self.metrics[metric].query is None

    @cached_property
    def bounded(self) -> bool:
        """Return whether the policy chooses services itself, so that some have its own bounds."""
        return bool(self.policy.services or self.policy.match_labels)

    @cached_property
    def lowest(self) -> int:
        """Return the smallest min that may ever be in force while the service does not sleep."""
        awake = (schedule for schedule in self.policy.schedules if not schedule.sleeps)
        given = (schedule.min for schedule in awake if schedule.min is not None)
        return min(self.policy.replicas.min, *given, MOST_REPLICAS) if self.bounded else 0

    @cached_property
    def highest(self) -> int:
        """Return the largest max that may ever be in force."""
        given = ((schedule.min or 0, schedule.max or 0) for schedule in self.policy.schedules)
        return max(self.policy.replicas.max, *chain.from_iterable(given), 0) if self.bounded else MOST_REPLICAS
