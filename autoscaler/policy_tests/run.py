"""The run of a test in virtual time: one evaluation after the other, by the same cycle as the daemon's."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from autoscaler.evaluation.cycle import Cycle
from autoscaler.metrics.queries import MetricSettings
from autoscaler.metrics.windows import MetricWindows
from autoscaler.policy.matching import ENABLED_LABEL, POLICY_LABEL
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.policy.policy import PolicySet
from autoscaler.policy_tests.world import SeriesSource, TestedService, VirtualSwarm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.model import Why
    from autoscaler.core.reasons import Reason
    from autoscaler.policy_tests.files import Event, PolicyTest

_SETTINGS = MetricSettings(scrape_interval=15, rate_window=60, warmup=0)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The result of one evaluation for one service."""

    at: int
    """Seconds from the beginning of the test."""
    before: int
    """The requested replicas before the evaluation."""
    replicas: int
    """The requested replicas after the evaluation."""
    running: int
    why: Why | None
    """The primary reason; None if a label excludes the service."""

    @property
    def reason(self) -> Reason | None:
        """Return the word of the primary reason."""
        return self.why.reason if self.why else None

    @property
    def rule(self) -> str | None:
        """Return the rule of the primary reason."""
        return self.why.rule if self.why else None

    @property
    def detail(self) -> str:
        """Return the facts in words."""
        return self.why.detail if self.why else f"the label {ENABLED_LABEL}=false excludes the service"


def run(
    case: PolicyTest, policies: PolicySet, source: SeriesSource, interval: int, until: int
) -> dict[str, list[Evaluated]]:
    """Yield the results of each evaluation from 0 to *until* seconds, by service of *case*, in the order of time."""
    start = float(case.start)
    swarm = VirtualSwarm(start, {each.name: TestedService.at_the_beginning(each, start) for each in case.services})
    policies = _without_strangers(policies, case)
    sources = {metric.source for metric in policies.metrics.values()} | {PROMETHEUS}
    windows = MetricWindows(dict.fromkeys(sources, source), _SETTINGS, interval, counts_running=False)
    cycle = Cycle(windows, swarm, swarm, deadline=inf, on_defect=_raised)
    events = _by_time(case)
    evaluated: dict[str, list[Evaluated]] = {name: [] for name in swarm.services}
    for at in range(0, until + 1, interval):
        swarm.time = start + at
        for name, event in events.get(at, ()):
            swarm.services[name].happens(event, swarm.time)
        found = {name: (service.requested, service.running(swarm.time)) for name, service in swarm.services.items()}
        decisions = {record.decision.service: record.decision for record in cycle.evaluate(policies).records}
        for name, (requested, running) in found.items():
            decision = decisions.get(name)
            left = swarm.services[name].requested
            evaluated[name].append(Evaluated(at, requested, left, running, decision.primary if decision else None))
    return evaluated


def _raised(error: Exception) -> None:
    """Raise *error*, because a test can neither pass nor fail by a defect of the autoscaler."""
    raise error


def _without_strangers(policies: PolicySet, case: PolicyTest) -> PolicySet:
    """Return *policies* without those of other services, which would be reported as missing at every evaluation."""
    if any(POLICY_LABEL in tested.said.labels for tested in case.services):
        return policies  # each of them may match
    tested = {each.name for each in case.services}
    kept = (
        policy
        for policy in policies.policies
        if not policy.services or policy.named != policy.services or not tested.isdisjoint(policy.named)
    )
    return PolicySet(policies=tuple(kept), metrics=policies.metrics, revision=policies.revision, places=policies.places)


def _by_time(case: PolicyTest) -> Mapping[int, list[tuple[str, Event]]]:
    """Yield the actions of others with their services, in the order of the file."""
    events: dict[int, list[tuple[str, Event]]] = {}
    for tested in case.services:
        for event in tested.said.events:
            events.setdefault(event.at, []).append((tested.name, event))
    return events
