from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from autoscaler.adapters.swarm_lease import SwarmLease
from autoscaler.deadline import Deadline
from autoscaler.lease import BEAT, LONGEST_BEAT, Cell, Lease, Standing
from autoscaler.simulation.engine import SimulatedEngine
from tests.support.world import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

WHO = st.integers(0, 1)
ENOUGH = Deadline(inf)
PROMISED = 30.0
"""Seconds from a holder's death to the next one's lease, as the specification has it."""


@dataclass
class Autoscaler:
    """One that may be stopped between any two steps of a beat."""

    standing: Standing
    offset: float
    """How far its own clock is from the others'."""
    doing: str = "nothing"
    cell: Cell | None = None
    """What its last look saw."""
    sent: float = 0.0
    written: bool = False


class SharedLease(RuleBasedStateMachine):
    """Two autoscalers of one Swarm, and those that come after them, in every order of what they and their writes do."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.store = SwarmLease(SimulatedEngine(self.clock))
        self.time = 0.0
        self.names = (f"autoscaler-{number}" for number in count())
        self.all = [Autoscaler(Standing(next(self.names)), offset) for offset in (0.0, 1e6)]
        self.late: list[tuple[str, Cell | None]] = []
        """Writes that nobody waits for any more, and that may still be carried out (facts 8)."""
        self.known: list[Cell | None] = [None]
        """What the lease ever was: a manager that is parted from the others answers with what it last knew."""

    @rule(seconds=st.sampled_from([0.5, 9.9, 15.0]))
    def time_passes(self, seconds: float) -> None:
        """Time passes for all: who does nothing meanwhile is stopped, or slow."""
        self.time += seconds

    @rule(seconds=st.sampled_from([-1e7, -60.0, 60.0, 1e7]))
    def the_clock_jumps(self, seconds: float) -> None:
        """Somebody sets the machines' clocks."""
        self.clock.time += seconds

    @rule(who=WHO)
    def goes_on(self, who: int) -> None:
        """One autoscaler does the next step of its beat."""
        one = self.all[who]
        now = self.time + one.offset
        match one.doing:
            case "nothing":
                one.cell, one.doing = self.store.look(ENOUGH), "looking"
                self.known.append(one.cell)
            case "looking":
                one.standing = one.standing.looked(one.cell, now)
                one.sent, one.doing = now, "writing" if one.standing.may_write(now) else "nothing"
            case "writing":
                one.written, one.doing = self.store.write(one.standing.me, one.cell, ENOUGH), "waiting"
            case "waiting":
                if one.written:
                    one.standing = one.standing.wrote(one.sent)
                one.doing = "nothing"

    @rule(who=WHO, ago=st.integers(1, 4))
    def is_told_what_was(self, who: int, ago: int) -> None:
        """One autoscaler begins a beat with an answer that is true no more, or not of the lease as it is."""
        if self.all[who].doing == "nothing":
            self.all[who].cell, self.all[who].doing = self.known[-min(ago, len(self.known))], "looking"

    @rule(who=WHO)
    def beats(self, who: int) -> None:
        """One autoscaler does what is left of its beat, without anything between."""
        self.goes_on(who)
        while self.all[who].doing != "nothing":
            self.goes_on(who)

    @precondition(lambda self: any(one.doing in {"writing", "waiting"} for one in self.all))
    @rule(who=WHO)
    def an_answer_is_lost(self, who: int) -> None:
        """A write is given up: it was carried out, or will be, or never is."""
        one = self.all[who]
        if one.doing == "writing":
            self.late.append((one.standing.me, one.cell))
        if one.doing in {"writing", "waiting"}:
            one.doing = "nothing"

    @precondition(lambda self: self.late)
    @rule()
    def a_late_write_is_carried_out(self) -> None:
        """Swarm carries out a write that was given up."""
        self.store.write(*self.late.pop(0), ENOUGH)

    @rule(who=WHO)
    def gives_back(self, who: int) -> None:
        """One autoscaler gives the lease back, if it is in no beat."""
        one = self.all[who]
        if one.doing == "nothing":
            one.standing = one.standing.without()
            cell = self.store.look(ENOUGH)
            if cell is not None and cell.holder == one.standing.me:
                self.store.write("", cell, ENOUGH)

    @rule(who=WHO)
    def dies_and_starts(self, who: int) -> None:
        """One autoscaler dies, and another one starts in its place."""
        one = self.all[who]
        if one.doing == "writing":
            self.late.append((one.standing.me, one.cell))
        self.all[who] = Autoscaler(Standing(next(self.names)), one.offset)

    @invariant()
    def one_may_act(self) -> None:
        """Never two autoscalers hold the lease."""
        holding = [one.standing.me for one in self.all if one.standing.holds(self.time + one.offset)]
        assert len(holding) <= 1, holding

    @precondition(lambda self: all(one.doing == "nothing" for one in self.all))
    @invariant()
    def its_name_is_in_the_lease(self) -> None:
        """Who may act is the one whom the lease names, or had named just now."""
        cell = self.store.look(ENOUGH)
        for one in self.all:
            if one.standing.holds(self.time + one.offset):
                assert cell is not None
                assert cell.holder == one.standing.me


TestSharedLease = SharedLease.TestCase
TestSharedLease.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)


@dataclass
class SlowStore:
    """A lease whose holder's last write is carried out at *death*, the moment when it dies; calls take time."""

    death: float
    delays: Iterator[tuple[float, float, float, float]]
    time: float = 0.0
    cell: Cell = field(default=Cell(1, "one", 1))
    _delays: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def look(self, _: Deadline) -> Cell | None:
        """The lease as it is at some moment of the call."""
        self._delays = next(self.delays)
        self._pass(self._delays[0])
        seen = self.cell
        self._pass(self._delays[1])
        return seen

    def write(self, holder: str, seen: Cell | None, _: Deadline) -> bool:
        """Compare and swap at some moment of the call."""
        self._pass(self._delays[2])
        if written := seen == self.cell:
            self.cell = Cell(self.cell.version + 1, holder, self.cell.count + 1)
        self._pass(self._delays[3])
        return written

    def _pass(self, seconds: float) -> None:
        self.time += seconds
        if self.time >= self.death and self.cell.version == 1:
            self.cell = Cell(2, "one", 2)


DELAYS = st.lists(st.floats(0.001, 1), min_size=4, max_size=4).map(
    lambda parts: tuple(part / max(1.0, sum(parts) / LONGEST_BEAT) for part in parts)
)


@given(death=st.floats(0, 14), delays=st.lists(DELAYS, min_size=1, max_size=8))
def test_a_stand_by_takes_over_within_30_seconds(death: float, delays: list[tuple[float, float, float, float]]) -> None:
    """However long the calls take within their bound, a stand-by has the lease 30 s after its holder's death."""
    endless = (delays[number % len(delays)] for number in count())
    store = SlowStore(death, endless)
    lease = Lease(store, "other", lambda: store.time + 1e6)

    while not lease.held:
        lease.beat(Deadline(1))
        if lease.held:
            break
        store._pass(BEAT)
        assert store.time <= death + PROMISED

    assert store.time <= death + PROMISED
    assert store.time >= death
