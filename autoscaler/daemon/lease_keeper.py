"""Keeps the lease for a daemon: ask for it at each beat, log its news, give it back at the end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import structlog

from autoscaler.coordination.lease import EXPIRY, LONGEST_BEAT
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from autoscaler.coordination.lease import Lease


class _State(NamedTuple):
    """The state of a lease whose changes are news."""

    held: bool
    holder: str
    troubled: bool
    """True if the lease cannot be used."""


class LeaseKeeper:
    """Asks for one lease at each of its beats, logs what changes, and gives the lease back."""

    def __init__(
        self,
        lease: Lease,
        on_acquired: Callable[[], Awaitable[None]],
        speed: float = 1.0,
        on_news: Callable[[bool, str], None] = lambda _held, _holder: None,
    ) -> None:
        """Call *on_acquired* each time that the lease comes; *speed* is the seconds of the clock in a real second.

        Call *on_news* if it is logged that the lease is held or not, and by whom.
        """
        self._on_news = on_news
        self._lease = lease
        self._on_acquired = on_acquired
        self._speed = speed
        self._logged: _State | None = None
        """The state that was logged last; None before the first one."""
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Ask for the lease at each beat until the body ends."""
        self._ended.clear()
        beats = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            self._ended.set()
            await beats

    async def beat(self) -> bool:
        """Ask for the lease once and log its news. Return True if the lease has just come."""
        await self._ask()
        before, self._logged = self._logged, self._state()
        if before == self._logged:
            return False
        log = structlog.get_logger()
        held, holder, troubled = self._logged
        self._on_news(held, holder)
        had = before is not None and before.held
        if held:
            log.info("lease_acquired", holder=holder)
        elif had:
            consequence = "nothing is scaled by this autoscaler until it has the lease again"
            log.warning("lease_lost", holder=holder, detail=self._lease.objection(), consequence=consequence)
        else:
            (log.warning if troubled else log.info)("lease_awaited", holder=holder, detail=self._lease.objection())
        return held and not had

    async def wait(self) -> str:
        """Ask until the lease is held, another autoscaler renews it, or it cannot be used.

        Return the reason why the lease is not held; empty if it is.
        """
        lease = self._lease
        await self._ask()
        first = lease.cell
        while not lease.held and not lease.trouble and lease.cell == first:
            await asyncio.sleep(lease.rest / self._speed)
            await self._ask()
        self._logged = self._state()
        objection = lease.objection()
        if objection:
            cure = "" if lease.trouble else " (stop the other autoscaler first, or look with --dry-run)"
            structlog.get_logger().warning("lease_awaited", holder=lease.holder, detail=f"{objection}{cure}")
        return objection

    async def give_back(self) -> bool:
        """Stop acting, so that another autoscaler can act at once. Return True if Swarm took it."""
        return await asyncio.to_thread(self._lease.give_back, Deadline(LONGEST_BEAT))

    async def hand_over(self) -> None:
        """Give the lease back, and log how that went."""
        held = self._lease.held
        if await self.give_back():
            structlog.get_logger().info("lease_given_back")
        elif held:
            consequence = f"another autoscaler takes it when it has not been renewed for {EXPIRY:.0f} s"
            structlog.get_logger().warning("lease_left_behind", consequence=consequence)

    async def _keep(self) -> None:
        while not await self._ends_within(self._lease.rest):
            if await self.beat():
                await self._on_acquired()

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds / self._speed):
                return await self._ended.wait()
        except TimeoutError:
            return False

    async def _ask(self) -> None:
        try:
            await asyncio.to_thread(self._lease.beat, Deadline(LONGEST_BEAT))
        except Exception:  # noqa: BLE001 - a defect of ours costs one beat, not the daemon; it is logged whole
            structlog.get_logger().exception("lease_failed")

    def _state(self) -> _State:
        held = self._lease.held
        return _State(held, self._lease.holder, bool(self._lease.trouble) and not held)
