"""Gathers the facts of an installation: probes that run at the same time, each within a deadline. It writes nothing."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autoscaler.doctor import engine_facts, prometheus_facts
from autoscaler.doctor.facts import DaemonFacts, GivenPolicies, GivenSettings, Installation, Subject
from autoscaler.errors import BackendError, ConfigurationError, DaemonError
from autoscaler.evaluation import survey
from autoscaler.evaluation.cycle import assign
from autoscaler.policy.matching import Matcher
from autoscaler.policy_files import loader
from autoscaler.settings import PREFIX, SECRETS, Settings
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from autoscaler.adapters.docker.probe import EngineProbe
    from autoscaler.doctor.facts import PrometheusFacts
    from autoscaler.doctor.prometheus_facts import PrometheusParts
    from autoscaler.evaluation.cycle import Cycle
    from autoscaler.evaluation.survey import Plan, Survey
    from autoscaler.metrics.windows import Needed
    from autoscaler.policy.policy import PolicySet
    from autoscaler.ports import Clock
    from autoscaler.swarm.cluster import Cluster

_PROBING = 5.0
"""Seconds that engine, Prometheus and daemon have to answer, all at once."""
_SURVEYING = 6.0
"""Seconds that the survey has, after them."""
_GRACE = 0.5
"""Seconds that a probe may take beyond its deadline to say so."""
_SECRET_NAMES = ("PROMETHEUS_PASSWORD", "PROMETHEUS_BEARER_TOKEN", "HTTP_TOKEN")


@dataclass(frozen=True, slots=True)
class InstallationParts:
    """How an installation is asked, put together from valid settings."""

    engine: EngineProbe
    prometheus: PrometheusParts
    cycle: Callable[[], Cycle]
    """Makes a cycle that writes nothing."""
    clock: Clock


@dataclass(frozen=True, slots=True)
class Asking:
    """The question of one run of the doctor."""

    options: Mapping[str, Any]
    """The options of the command, by setting."""
    parts: Callable[[Settings], InstallationParts]
    daemon: Callable[[], Mapping[str, Any]]
    """Returns the overview of a running daemon; raises DaemonError."""
    clock: Clock
    url: str = ""
    """The daemon's address, to be shown."""
    url_given: bool = False
    secrets: Path = SECRETS
    """The folder with the secrets."""
    one_service: bool = False
    """Whether the walk of a service follows, which needs an evaluation."""


def gather(asking: Asking) -> Installation:
    """Return the facts of the installation. Ends in time whatever hangs, and never raises for what is wrong."""
    at = asking.clock.now()
    try:
        settings = Settings.read(asking.options, asking.secrets)
        parts = asking.parts(settings)
    except ConfigurationError as error:
        return Installation(at, GivenSettings(problems=_problems(error)))
    given = GivenSettings(settings, open_secrets=_open_secrets())
    policies = _policies(settings)
    engine, prometheus, daemon = _together(
        _PROBING,
        (lambda deadline: engine_facts.ask_engine(parts.engine, deadline), engine_facts.UNANSWERED),
        (lambda deadline: _prometheus(parts, policies, deadline), prometheus_facts.UNANSWERED),
        (lambda _: _daemon(asking), DaemonFacts(asking.url, "the daemon gave no answer in time (restart it)")),
    )
    known = Installation(at, given, policies, engine, prometheus=prometheus, daemon=daemon)
    return _with_survey(asking, parts, known)


def _with_survey(asking: Asking, parts: InstallationParts, known: Installation) -> Installation:
    """Return *known* with what needs both Swarm and the policies."""
    policies = known.policies.policies if known.policies else None
    engine = known.engine
    reads = [right for right in engine.rights if right.subject is Subject.READ] if engine else []
    if policies is None or not reads or not all(right.allowed for right in reads):
        return known
    surveyed, planned = _together(
        _SURVEYING,
        (lambda deadline: _survey(parts, policies, known.at, deadline), _Surveyed()),
        (lambda deadline: _plan(parts, policies, deadline) if asking.one_service else None, None),
    )
    return replace(known, cluster=surveyed.cluster, needed=surveyed.needed, survey=surveyed.survey, plan=planned)


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """What was found of services and metrics; nothing if Swarm gave no answer."""

    cluster: Cluster | None = None
    needed: tuple[Needed, ...] | None = None
    survey: Survey | None = None


def _survey(parts: InstallationParts, policies: PolicySet, at: float, deadline: Deadline) -> _Surveyed:
    cycle = parts.cycle()
    try:
        cluster = cycle.swarm.read(deadline)
    except BackendError:
        return _Surveyed()
    assigned, _ = assign(Matcher(policies), cluster, at)
    cycle.deadline = deadline.remaining()
    found = survey.survey(cycle, policies)
    needed = tuple(sorted(assigned, key=lambda item: item.view.name))
    return _Surveyed(cluster, needed, None if any(problem.kind == "swarm" for problem in found.problems) else found)


def _plan(parts: InstallationParts, policies: PolicySet, deadline: Deadline) -> Plan:
    cycle = parts.cycle()
    cycle.deadline = deadline.remaining()
    return survey.plan(cycle, policies)


def _prometheus(parts: InstallationParts, policies: GivenPolicies, deadline: Deadline) -> PrometheusFacts:
    known = policies.policies
    used = {metric for policy in known.policies for metric in policy.look_backs} if known else set()
    built_in = sorted(metric for metric in used if known and known.metrics[metric].query is None)
    return prometheus_facts.ask_prometheus(parts.prometheus, built_in, deadline)


def _daemon(asking: Asking) -> DaemonFacts:
    try:
        return DaemonFacts(asking.url, wanted=asking.url_given, document=asking.daemon())
    except (DaemonError, ConfigurationError) as error:
        return DaemonFacts(asking.url, str(error), wanted=asking.url_given)


def _policies(settings: Settings) -> GivenPolicies:
    try:
        loaded = loader.read_policies([settings.policies])
    except ConfigurationError as error:
        return GivenPolicies(problems=_problems(error))
    return GivenPolicies(loaded.policies, warnings=tuple(map(str, loaded.warnings(settings.window_step))))


def _problems(error: ConfigurationError) -> tuple[str, ...]:
    return tuple(getattr(error, "problems", [str(error)]))


def _open_secrets() -> tuple[str, ...]:
    return tuple(f"{PREFIX}{name}" for name in _SECRET_NAMES if os.environ.get(f"{PREFIX}{name}"))


def _together(seconds: float, *asked: tuple[Callable[[Deadline], Any], Any]) -> list[Any]:
    """Return what each function returns, all called at once; its stand-in for one that does not end in time."""
    answers = [stand_in for _, stand_in in asked]
    errors: list[BaseException] = []

    def run(number: int, ask: Callable[[Deadline], Any]) -> None:
        try:
            answers[number] = ask(Deadline(seconds))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            errors.append(error)

    # A thread that hangs cannot be ended. It does not keep the process from ending.
    threads = [
        threading.Thread(target=run, args=(number, ask), name=f"doctor-{number}", daemon=True)
        for number, (ask, _) in enumerate(asked)
    ]
    until = Deadline(seconds + _GRACE)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(until.remaining())
    if errors:
        raise errors[0]
    return list(answers)
