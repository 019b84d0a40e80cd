"""One running autoscaler: its mode, its role, and the backends that it asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """The mode of an autoscaler: whether it writes to Swarm."""

    LIVE = "live"
    DRY_RUN = "dry_run"


class Role(StrEnum):
    """The part of a live autoscaler: the leader acts, a standby waits for the lease."""

    LEADER = "leader"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Instance:
    """One running autoscaler at one moment."""

    mode: Mode = Mode.LIVE
    role: Role | None = Role.LEADER
    """None in a dry-run, which needs no lease."""
    leader: str = ""
    """The autoscaler that holds the lease, as far as this one knows; empty if it knows of none."""
    revision: str = ""
    """The revision of the policies in force."""
    prometheus: str = ""
    """The URL of Prometheus, without credentials."""
    docker: str = ""
    """The address of the Docker engine."""
    interval: float = 15.0
    """Seconds between two evaluations."""
    started: float | None = None
    """The time at which it started, in Unix seconds; None before that."""
    next_evaluation: float | None = None
    """The time at which the next evaluation is due, in Unix seconds; None if none is."""
    seconds_left: float | None = None
    """Real seconds until then."""
    now: float | None = None
    """The time of its clock, in Unix seconds; None if it does not run."""
