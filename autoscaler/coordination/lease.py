"""The lease: of the autoscalers of one Swarm one acts, and the others stand by. Pure.

It is a cell in Swarm that is written only where it still is as it was read. Its holder renews it again and again;
whoever sees it unchanged for long enough takes it. Times are seconds of one's own monotonic clock, and no two clocks
are ever compared.

A renewal lets its writer act for no longer than if it had been written together with the write that it renews, and it
says which one that is. So a stand-by that sees it late, as nobody can look while a Swarm elects a leader, need not wait
from then on: the write before it has been seen long since (ADR 9).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Protocol

from autoscaler.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.util.deadline import Deadline

LOOK = 1.0
"""Seconds from the end of a beat to the next: a look at the cell, and the write that may follow."""
BEAT = 3.0
"""Seconds between a holder's renewals, which every manager stores; it does not look in between."""
LONGEST_BEAT = 2.0
"""Seconds that a beat may take: so another takes the lease 2 LOOK + EXPIRY + 3 LONGEST_BEAT = 26 s after a death."""
HOLD = 13.0
"""Seconds for which a write lets its writer act, from before it was sent: a renewal, from before the one that it renews
was. Where two renewals in a row hang as long as they may, the third is still in time if it does not."""
EXPIRY = 18.0
"""Seconds after which another one takes the lease, from when it saw it, or the one that it renews: more than HOLD, for
a write of a service that was just begun then."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The lease as it is in Swarm."""

    version: int
    """Another one after every write."""
    holder: str
    """Who wrote it; empty where it was given back."""
    renews: int
    """The version of the cell that this one renewed, written by the same holder; 0 where the lease was taken anew."""


class LeaseStore(Protocol):
    """Keeps the cell."""

    def look(self, deadline: Deadline) -> Cell | None:
        """The cell; None where there never was one, or somebody removed it. Raises BackendError."""

    def write(self, holder: str, seen: Cell | None, deadline: Deadline, *, renewal: bool = False) -> bool:
        """Write *holder* where the cell still is the one *seen*, which it renews or takes; whether it was written.

        Raises BackendError; after UnreachableError it may have been written, or still be.
        """


@dataclass(frozen=True, slots=True)
class Standing:
    """What one autoscaler knows of the lease, and what follows from it at a moment of its own clock."""

    me: str
    cell: Cell | None = None
    changed_at: float | None = None
    """When the cell was first seen as it is; None before the first look."""
    since: float = inf
    """The earliest time after which no renewal is known: this cell, or the one that it renews, was first seen then."""
    sent: float | None = None
    """When this one's last write was begun; None where it was not confirmed."""
    until: float = -inf
    """Until when this one may act."""

    def holds(self, now: float) -> bool:
        """Whether this one may act. Nobody else may at the same time."""
        return now < self.until

    def looked(self, cell: Cell | None, now: float) -> Standing:
        """The standing after a look that was over at *now*; another one's lease ends this one's at once."""
        own = cell is None or cell.holder == self.me
        seen = replace(self, cell=cell, until=self.until if own else -inf)
        if self.changed_at is None:
            # Where there never was a lease, nobody can be holding it.
            return replace(seen, changed_at=now, since=now if cell else -inf)
        if cell == self.cell:
            return seen
        renewed = cell is not None and self.cell is not None and cell.renews == self.cell.version
        return replace(seen, changed_at=now, since=self.changed_at if renewed else now)

    def may_write(self, now: float) -> bool:
        """Whether to write the cell now: to renew one's own lease, or to take one that is free or has expired."""
        free = self.cell is not None and self.cell.holder in {"", self.me}
        return free or self.holds(now) or now - self.since >= EXPIRY

    def renews(self, now: float) -> bool:
        """Whether a write now renews the cell; one's own is taken anew where that is late, or was not confirmed.

        A late renewal would let its writer act for hardly any time, as the one before it was sent long ago.
        """
        own = self.cell is not None and self.cell.holder == self.me
        return own and self.sent is not None and now - self.sent <= BEAT + LONGEST_BEAT

    def writing(self) -> Standing:
        """The standing while a write is on its way, and after one that was not confirmed."""
        return replace(self, sent=None)

    def wrote(self, sent: float) -> Standing:
        """The standing after a write that was confirmed, and begun at *sent*."""
        begun = self.sent if self.sent is not None and self.renews(sent) else sent
        return replace(self, sent=sent, until=begun + HOLD)

    def without(self) -> Standing:
        """The standing of one that gives the lease up."""
        return replace(self, sent=None, until=-inf)

    def rest(self, now: float) -> float:
        """Seconds until the next beat: a holder's whose last write was confirmed comes when that is to be renewed."""
        if self.sent is None or not self.holds(now):
            return LOOK
        return max(LOOK, self.sent + BEAT - now)


class Lease:
    """One autoscaler's part in the lease. `beat` and `give_back` are for one thread, all else is for any."""

    def __init__(self, store: LeaseStore, me: str, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._standing = Standing(me)
        self._trouble = "not asked yet"

    @property
    def held(self) -> bool:
        """Whether this autoscaler may act at this moment."""
        return self._standing.holds(self._monotonic())

    @property
    def cell(self) -> Cell | None:
        """The cell as it was seen last."""
        return self._standing.cell

    @property
    def trouble(self) -> str:
        """Why the last beat came to nothing, in words; empty where it did its work."""
        return self._trouble

    @property
    def holder(self) -> str:
        """Who holds the lease, as far as it is known; empty where nobody does."""
        if self.held:
            return self._standing.me
        return self.cell.holder if self.cell else ""

    @property
    def rest(self) -> float:
        """Seconds until the next beat."""
        return self._standing.rest(self._monotonic())

    def objection(self) -> str:
        """Why this autoscaler must not act, in words; empty where it may."""
        if self.held:
            return ""
        if self._trouble:
            return f"the lease cannot be used: {self._trouble}"
        if self.holder in {"", self._standing.me}:
            return "the lease is not taken yet"
        return f"{self.holder} holds the lease; this autoscaler is on standby"

    def beat(self, deadline: Deadline) -> None:
        """Look at the lease, and renew or take it where that is right. Never raises for what Swarm does."""
        try:
            self._beat(deadline)
        except BackendError as error:
            self._trouble = str(error)

    def _beat(self, deadline: Deadline) -> None:
        cell = self._store.look(deadline)
        self._standing = standing = self._standing.looked(cell, self._monotonic())
        sent = self._monotonic()
        if standing.may_write(sent):
            self._standing = standing.writing()
            if self._store.write(standing.me, cell, deadline, renewal=standing.renews(sent)):
                self._standing = standing.wrote(sent)
        self._trouble = ""

    def give_back(self, deadline: Deadline) -> bool:
        """Act no more from now on, and let another one take the lease at once; whether that is so.

        Where it could not be told to Swarm, another one takes the lease when it has expired.
        """
        self._standing = self._standing.without()
        try:
            cell = self._store.look(deadline)
            return cell is not None and cell.holder == self._standing.me and self._store.write("", cell, deadline)
        except BackendError:
            return False
