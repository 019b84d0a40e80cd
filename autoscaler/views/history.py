"""What happened, as the API has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from autoscaler.journal.happening import HappeningKind
from autoscaler.views.documents import documented

if TYPE_CHECKING:
    from autoscaler.journal.happening import Happening


@documented
class RangeDocument(TypedDict):
    """The values that a rule saw within a run of decisions."""

    lowest: float
    highest: float


@documented
class HappeningDocument(TypedDict):
    """One thing that happened, at one moment or for a while."""

    kind: HappeningKind
    at: float
    """When it happened or began, Unix seconds."""
    until: float
    """The last time at which it was so; `at` if it happened at one moment."""
    ongoing: bool
    """Whether it still goes on."""
    service: str | None
    """The service that it happened to; null if it happened to none in particular."""
    times: int
    """The number of evaluations of a run of decisions or of the process; 1 for anything else."""
    facts: dict[str, Any]
    """What happened. `change`, `hold` and `unchanged` have outcome, policy, reason, rule, why, before, after, wants and
    running, and a change also has by: rule, bounds, schedule, restore, fallback, no_room, operator, deploy or unknown.
    A change that only the service's label tells has by, reason, rule, before and after. `problem` has problem, subject
    and detail; `pause` has detail; `policies` has revision, policies, refused and problems; `leader` has role and
    holder; `started` has version, mode and interval; `stopped` has none."""
    values: dict[str, RangeDocument]
    """The lowest and highest value that each rule saw within the run, to four digits."""
    document: dict[str, Any] | None
    """The first decision of the run as a whole, if it was asked for; else null."""


@documented
class HistoryDocument(TypedDict):
    """Some of what happened, in the order of time."""

    happenings: list[HappeningDocument]
    next: str | None
    """The cursor of the next page; null if this is the last one."""
    now: float
    """The autoscaler's clock, Unix seconds."""
    kept_since: float | None
    """The time from which on something is known; null if nothing is."""
    kept_in: str
    """`file` if the history survives a restart, else `memory`."""
    problem: str | None
    """Why the history is not kept as it should be; null if it is."""


def happening_document(happening: Happening, *, whole: bool = False) -> HappeningDocument:
    """Return *happening* as a JSON object; its document only if it is wanted *whole*."""
    return {
        "kind": happening.kind,
        "at": happening.at,
        "until": happening.at if happening.until is None else happening.until,
        "ongoing": happening.ongoing,
        "service": happening.service or None,
        "times": happening.times,
        "facts": dict(happening.facts),
        "values": {rule: {"lowest": low, "highest": high} for rule, (low, high) in happening.values.items()},
        "document": dict(happening.document) if whole and happening.document is not None else None,
    }
