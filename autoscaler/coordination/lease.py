"""The lease: one autoscaler of a Swarm acts, and the others are on standby. Pure.

The lease is a cell in Swarm that is written only if it is still as it was read. Its holder renews it again and again.
An autoscaler that sees it unchanged for long enough takes it. Each autoscaler uses its own monotonic clock, in seconds,
and two clocks are never compared.

A renewal names the write that it renews. It lets its writer act as long as if both writes had been made together. While
a Swarm elects a leader, nobody can look at the cell, so a standby may see a renewal late. It does not have to wait from
then on, because it saw the write before long ago (ADR 9).
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
"""Seconds from the end of a beat to the next. A beat is a look at the cell, and perhaps a write."""
BEAT = 3.0
"""Seconds between two renewals by the holder, which does not look in between. Every manager stores each renewal."""
LONGEST_BEAT = 2.0
"""The most seconds of a beat. So a standby takes the lease 2 LOOK + EXPIRY + 3 LONGEST_BEAT = 26 s after a death."""
HOLD = 13.0
"""Seconds for which a write lets its writer act, from just before it was sent; for a renewal, from just before the
renewed write was sent. If two renewals in a row take as long as possible, the third one is still in time."""
EXPIRY = 18.0
"""Seconds after which a standby takes the lease, from when it saw the cell, or the write that the cell renews. It is
more than HOLD, because the last holder may just have begun to write to a service."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The cell of the lease as it is in Swarm."""

    version: int
    """A version that changes with every write."""
    holder: str
    """The autoscaler that wrote the cell; empty if it gave the lease back."""
    renews: int
    """The version of the cell, by the same holder, that this one renewed; 0 if the lease was taken."""


class LeaseStore(Protocol):
    """Keeps the cell."""

    def look(self, deadline: Deadline) -> Cell | None:
        """Return the cell; None if there never was one, or somebody removed it. Raise BackendError."""

    def write(self, holder: str, seen: Cell | None, deadline: Deadline, *, renewal: bool = False) -> bool:
        """Write *holder* if the cell is still the one *seen*, to renew or take it. Return whether it was written.

        Raise BackendError. After UnreachableError it may be written already, or later.
        """


@dataclass(frozen=True, slots=True)
class Standing:
    """The knowledge of one autoscaler about the lease, and its rights at a moment of its own clock."""

    me: str
    cell: Cell | None = None
    changed_at: float | None = None
    """The time at which the present cell was first seen; None before the first look."""
    since: float = inf
    """The earliest time after which no renewal is known: this cell, or the one that it renews, was first seen then."""
    sent: float | None = None
    """The time at which the last write of this one was begun; None if it was not confirmed."""
    until: float = -inf
    """The time until which this one may act."""

    def holds(self, now: float) -> bool:
        """Return whether this one may act. Nobody else may act at the same time."""
        return now < self.until

    def looked(self, cell: Cell | None, now: float) -> Standing:
        """Return the standing after a look that ended at *now*. Another's lease ends this one's at once."""
        own = cell is None or cell.holder == self.me
        seen = replace(self, cell=cell, until=self.until if own else -inf)
        if self.changed_at is None:
            # Nobody can hold a lease that never was.
            return replace(seen, changed_at=now, since=now if cell else -inf)
        if cell == self.cell:
            return seen
        renewed = cell is not None and self.cell is not None and cell.renews == self.cell.version
        return replace(seen, changed_at=now, since=self.changed_at if renewed else now)

    def may_write(self, now: float) -> bool:
        """Return whether to write the cell now: to renew the own lease, or to take a free or expired one."""
        free = self.cell is not None and self.cell.holder in {"", self.me}
        return free or self.holds(now) or now - self.since >= EXPIRY

    def renews(self, now: float) -> bool:
        """Return whether a write now renews the cell. After a late or unconfirmed write, the own lease is taken again.

        A late renewal would hardly let its writer act, because the write before it was sent long ago.
        """
        own = self.cell is not None and self.cell.holder == self.me
        return own and self.sent is not None and now - self.sent <= BEAT + LONGEST_BEAT

    def writing(self) -> Standing:
        """Return the standing during a write, and after one that was not confirmed."""
        return replace(self, sent=None)

    def wrote(self, sent: float) -> Standing:
        """Return the standing after a confirmed write that was begun at *sent*."""
        begun = self.sent if self.sent is not None and self.renews(sent) else sent
        return replace(self, sent=sent, until=begun + HOLD)

    def without(self) -> Standing:
        """Return the standing after giving the lease up."""
        return replace(self, sent=None, until=-inf)

    def rest(self, now: float) -> float:
        """Return the seconds until the next beat. A holder waits until it must renew its last confirmed write."""
        if self.sent is None or not self.holds(now):
            return LOOK
        return max(LOOK, self.sent + BEAT - now)


class Lease:
    """One autoscaler's access to the lease. One thread calls `beat` and `give_back`; any may call the rest."""

    def __init__(self, store: LeaseStore, me: str, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._standing = Standing(me)
        self._trouble = "not asked yet"

    @property
    def held(self) -> bool:
        """Return whether this autoscaler may act at this moment."""
        return self._standing.holds(self._monotonic())

    @property
    def cell(self) -> Cell | None:
        """Return the cell as it was seen last."""
        return self._standing.cell

    @property
    def trouble(self) -> str:
        """Return why the last beat failed, in words; empty if it did not."""
        return self._trouble

    @property
    def holder(self) -> str:
        """Return who holds the lease, as far as is known; empty if nobody does."""
        if self.held:
            return self._standing.me
        return self.cell.holder if self.cell else ""

    @property
    def rest(self) -> float:
        """Return the seconds until the next beat."""
        return self._standing.rest(self._monotonic())

    def objection(self) -> str:
        """Return why this autoscaler must not act, in words; empty if it may."""
        if self.held:
            return ""
        if self._trouble:
            return f"the lease cannot be used: {self._trouble}"
        if self.holder in {"", self._standing.me}:
            return "the lease is not taken yet"
        return f"{self.holder} holds the lease; this autoscaler is on standby"

    def beat(self, deadline: Deadline) -> None:
        """Look at the lease, and renew or take it if possible. Never raise for what Swarm does."""
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
        """Stop acting from now on, and let another one take the lease at once. Return whether Swarm has it.

        If Swarm could not be reached, another one takes the lease when it has expired.
        """
        self._standing = self._standing.without()
        try:
            cell = self._store.look(deadline)
            return cell is not None and cell.holder == self._standing.me and self._store.write("", cell, deadline)
        except BackendError:
            return False
