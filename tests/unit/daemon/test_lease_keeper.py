from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from autoscaler.coordination.lease import EXPIRY, Lease
from autoscaler.daemon.lease_keeper import LeaseKeeper
from autoscaler.errors import RefusedError
from autoscaler.util.deadline import Deadline
from tests.support.leases import SharedLease
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from typing import Any

FAST = 1000.0
"""Seconds of the lease's clock in a real second."""


class Bench:
    """Keepers of one lease, in a time that passes when a test says so."""

    def __init__(self) -> None:
        self.shared = SharedLease()
        self.time = 1000.0
        self.acquired: list[str] = []

    def keeper(self, name: str) -> LeaseKeeper:
        """The keeper of the autoscaler *name*."""

        async def on_acquired() -> None:
            self.acquired.append(name)

        return LeaseKeeper(Lease(self.shared, name, lambda: self.time), on_acquired, FAST)


@pytest.fixture
def bench() -> Bench:
    """An unused lease."""
    return Bench()


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """The events that are logged."""
    with capture_logs() as captured:
        yield captured


def events(logs: list[MutableMapping[str, Any]]) -> list[str]:
    """The names of the events."""
    return [line["event"] for line in logs]


async def test_only_a_change_is_logged(bench: Bench, logs: list[MutableMapping[str, Any]]) -> None:
    """A lease that comes, goes and is awaited is logged once for each change."""
    one, other = bench.keeper("one"), bench.keeper("other")
    assert [await one.beat(), await one.beat(), await other.beat(), await other.beat()] == [True, False, False, False]
    bench.time += EXPIRY
    assert [await other.beat(), await one.beat(), await one.beat()] == [True, False, False]

    assert events(logs) == ["lease_acquired", "lease_awaited", "lease_acquired", "lease_lost"]


async def test_a_lease_that_cannot_be_used_is_a_warning(bench: Bench, logs: list[MutableMapping[str, Any]]) -> None:
    """An awaited lease is information if another autoscaler holds it, and a warning if it cannot be used."""
    one, other = bench.keeper("one"), bench.keeper("other")
    await one.beat()
    await other.beat()
    bench.shared.error = RefusedError("no")
    await other.beat()

    assert [line["log_level"] for line in logs if line["event"] == "lease_awaited"] == ["info", "warning"]


async def test_the_beats_go_on_until_the_end(bench: Bench) -> None:
    """The lease is asked for until the work ends, and the caller hears once that it came."""
    one = bench.keeper("one")
    bench.shared.error = RefusedError("no")
    async with one.keeping():
        await until(lambda: len(bench.shared.calls) > 2)
        bench.shared.error = None
        await until(lambda: bench.shared.cell is not None)
        await until(lambda: bench.acquired == ["one"])
    asked = len(bench.shared.calls)
    await one.hand_over()

    assert bench.shared.calls[asked:] == ["look", "write"]


async def test_one_run_waits_for_nobody_who_lives(bench: Bench, logs: list[MutableMapping[str, Any]]) -> None:
    """A single run gets a free lease at once, and gives up as soon as it sees the holder renew."""
    one, other = bench.keeper("one"), bench.keeper("other")
    assert await one.wait() == ""

    def renew() -> None:
        bench.shared.between = lambda: None
        bench.time += 1
        bench.shared.write("one", bench.shared.cell, Deadline(1), renewal=True)

    bench.shared.between = renew
    assert await other.wait() == "one holds the lease; this autoscaler is on standby"
    assert events(logs) == ["lease_awaited"]
    assert logs[0]["detail"].endswith("(stop the other autoscaler first, or look with --dry-run)")


async def test_a_lease_is_given_back(bench: Bench, logs: list[MutableMapping[str, Any]]) -> None:
    """A holder gives its lease back, and warns if Swarm did not take it; a standby has nothing to give back."""
    one, other = bench.keeper("one"), bench.keeper("other")
    await one.beat()
    await other.beat()
    logs.clear()
    await other.hand_over()
    await one.hand_over()
    assert events(logs) == ["lease_given_back"]
    assert await other.beat()

    bench.shared.error = RefusedError("no")
    await other.hand_over()
    assert events(logs)[-1] == "lease_left_behind"
