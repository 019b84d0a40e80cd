"""What is known of an installation: the facts that checks judge. None stands for what was not looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.coordination.pauses import Pauses
    from autoscaler.diagnosis.evidence import Evidence
    from autoscaler.evaluation.survey import Plan, Survey
    from autoscaler.metrics.windows import Needed
    from autoscaler.policy.policy import PolicySet
    from autoscaler.settings import Settings
    from autoscaler.swarm.cluster import Cluster


@dataclass(frozen=True, slots=True)
class GivenSettings:
    """The settings, or their problems."""

    settings: Settings | None = None
    problems: tuple[str, ...] = ()
    open_secrets: tuple[str, ...] = ()
    """The names of the environment variables that hold a secret."""


@dataclass(frozen=True, slots=True)
class GivenPolicies:
    """The policy files, or their problems."""

    policies: PolicySet | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Membership(StrEnum):
    """The part of an engine in a Swarm."""

    MANAGER = "manager"
    WORKER = "worker"
    NONE = "none"
    LEADERLESS = "leaderless"
    """A manager of a Swarm without a leader."""


class Subject(StrEnum):
    """The use of a call."""

    READ = "read"
    WRITE = "write"
    LEASE = "lease"
    PAUSES = "pauses"


@dataclass(frozen=True, slots=True)
class Right:
    """A call that the autoscaler makes of an engine, and whether it came through."""

    request: str
    """The method and the path: `POST /services/ID/update`."""
    permission: str
    """Its names in the settings of socket proxies: `SERVICES POST`."""
    subject: Subject
    allowed: bool | None
    """None if no clear answer came."""
    said: str = ""
    """The refusal."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A node as Swarm lists it."""

    name: str
    state: str
    role: str
    availability: str = "active"
    reachability: str = ""
    """A manager's: `reachable` or `unreachable`."""
    leads: bool = False
    """Whether it is the Swarm leader."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A service that looks like an autoscaler, by its settings."""

    service: str
    image: str
    live: bool
    replicas: int


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the Docker engine says."""

    trouble: str = ""
    """Why it gives no usable answer; empty if it answers."""
    version: str = ""
    api_version: str = ""
    clock_offset: float | None = None
    """How far its clock is ahead of ours in seconds, 0 within a second."""
    membership: Membership | None = None
    membership_said: str = ""
    rights: tuple[Right, ...] = ()
    machines: tuple[Machine, ...] | None = None
    autoscalers: tuple[Deployed, ...] | None = None
    pauses: Pauses | None = None
    """None if they could not be read."""


@dataclass(frozen=True, slots=True)
class PrometheusFacts:
    """What Prometheus says."""

    trouble: str = ""
    """Why it gives no usable answer; empty if it answers."""
    status: int | None = None
    """The HTTP status of a refusal."""
    reached: bool = True
    """Whether it answered at all."""
    version: str | None = None
    retention: float | None = None
    """Seconds."""
    clock_offset: float | None = None
    clock_cure: str = ""
    scrape_interval: float | None = None
    """The real one, in seconds."""
    down: tuple[str, ...] | None = None
    """The cAdvisor targets whose last scrape failed, with the error."""
    twice: int | None = None
    """The number of tasks that several jobs scrape."""
    jobs: tuple[str, ...] = ()
    """The jobs that scrape tasks."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    """On the built-in metrics that policies look at."""
    tells_starts: bool | None = None
    tells_starvation: bool | None = None


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What a running daemon says."""

    url: str
    trouble: str = ""
    """Why it gives no usable answer; empty if it answers."""
    wanted: bool = False
    """Whether the operator named its address."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """Its overview."""


@dataclass(frozen=True, slots=True)
class Installation:
    """All facts at one moment."""

    at: float
    """Unix seconds."""
    given: GivenSettings
    policies: GivenPolicies | None = None
    engine: EngineFacts | None = None
    cluster: Cluster | None = None
    needed: tuple[Needed, ...] | None = None
    """The services that a policy applies to, by name."""
    prometheus: PrometheusFacts | None = None
    survey: Survey | None = None
    """None if Swarm could not be read."""
    daemon: DaemonFacts | None = None
    plan: Plan | None = None
    """An evaluation that writes nothing; only for the walk of a service."""
