from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from autoscaler.coordination.lease import BEAT, EXPIRY, HOLD, LONGEST_BEAT, LOOK, Cell, Lease
from autoscaler.core.model import History, Outcome
from autoscaler.core.reasons import Reason
from autoscaler.errors import BackendError, RefusedError, UnreachableError
from autoscaler.util.deadline import Deadline
from tests.support.builders import observation, steady, written
from tests.support.deciding import decide
from tests.support.leases import SharedLease
from tests.support.world import World, only, reasons, said, settled_world

if TYPE_CHECKING:
    from autoscaler.core.model import Decision

HIGH = {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1}
LOW = {"name": "cpu-low", "metric": "cpu", "below": 30, "for": "1m", "remove": 1}
STANDBY = "node-1 holds the lease; this autoscaler is on standby"


@dataclass
class Bench:
    """Two autoscalers of one Swarm, whose own clocks are days apart; time passes for both alike."""

    shared: SharedLease
    time: float = 1000.0

    def __post_init__(self) -> None:
        self.one = Lease(self.shared, "one", lambda: self.time)
        self.other = Lease(self.shared, "other", lambda: self.time + 1e6)

    def beat(self, *leases: Lease, seconds: float = 0.0) -> None:
        """Let *leases* ask, each whenever it is due for so many seconds, and all at their end."""
        end = self.time + seconds
        due = [self.time] * len(leases)
        while True:
            for number, lease in enumerate(leases):
                if self.time >= min(due[number], end):
                    lease.beat(Deadline(1))
                    due[number] = self.time + lease.rest
            if self.time >= end:
                return
            self.time = min(*due, end)


@pytest.fixture
def bench() -> Bench:
    """Two autoscalers that have not asked for the lease yet."""
    return Bench(SharedLease())


# taking and keeping it


def test_nobody_holds_it_without_asking(bench: Bench) -> None:
    """Before the first look nothing may be written, and it is said why."""
    assert not bench.one.held
    assert bench.one.objection() == "the lease cannot be used: not asked yet"
    assert bench.one.holder == ""


def test_the_first_to_ask_has_it_at_once(bench: Bench) -> None:
    """Where there never was a lease nobody needs to be waited for; the second to ask stands by, and says for whom."""
    bench.beat(bench.one, bench.other)

    assert (bench.one.held, bench.one.objection(), bench.one.holder) == (True, "", "one")
    assert (bench.other.held, bench.other.holder) == (False, "one")
    assert bench.other.objection() == "one holds the lease; this autoscaler is on standby"


def test_who_beats_keeps_it(bench: Bench) -> None:
    """A holder that renews its lease keeps it, however long the other one waits."""
    bench.beat(bench.one, bench.other, seconds=3600)

    assert (bench.one.held, bench.other.held) == (True, False)


def test_a_beat_is_a_look_and_at_most_one_write(bench: Bench) -> None:
    """A renewal costs one call beside the look, and a stand-by's beat the look alone."""
    bench.beat(bench.one)
    bench.shared.calls.clear()

    bench.beat(bench.one)
    bench.beat(bench.other)

    assert bench.shared.calls == ["look", "write", "look"]


def test_renewals_are_rare(bench: Bench) -> None:
    """A holder looks and writes every 3 s, and a stand-by looks every second; both do so again after a failure."""
    bench.beat(bench.one, bench.other)
    bench.shared.calls.clear()
    bench.beat(bench.one, seconds=600)
    assert bench.shared.calls == ["look", "write"] * (1 + 200)

    bench.shared.calls.clear()
    bench.beat(bench.other, seconds=10)
    assert bench.shared.calls == ["look"] * (1 + 10)

    bench.shared.error = UnreachableError("no such socket")
    bench.beat(bench.one)
    assert bench.one.rest == LOOK
    bench.shared.error, bench.shared.lost = None, True
    bench.beat(bench.one)
    assert bench.one.rest == LOOK


def test_a_dead_holder_is_replaced(bench: Bench) -> None:
    """Whoever sees the lease unchanged for 18 s takes it, not earlier, and within 30 s of the last write."""
    bench.beat(bench.one, bench.other)
    bench.beat(bench.other, seconds=EXPIRY - 0.1)
    assert not bench.other.held

    bench.beat(bench.other, seconds=0.1)

    assert (bench.other.held, bench.one.held) == (True, False)
    assert 2 * LOOK + EXPIRY + 3 * LONGEST_BEAT < 30


def test_a_renewal_that_is_seen_late(bench: Bench) -> None:
    """Who could not look when the last renewal was made, as the Swarm elected a leader, counts from the one before it.

    So it takes the lease with its first look after the election, and the former holder's time was over before.
    """
    bench.beat(bench.one, bench.other, seconds=2 * BEAT)
    bench.time += BEAT
    bench.beat(bench.one)
    died = bench.time
    bench.shared.error = UnreachableError("no leader")
    bench.beat(bench.one, bench.other, seconds=HOLD - BEAT - 0.1)
    assert bench.one.held
    bench.beat(bench.one, bench.other, seconds=0.1)
    assert not bench.one.held
    bench.beat(bench.one, bench.other, seconds=EXPIRY - HOLD)
    assert not bench.other.held
    assert bench.time == died + EXPIRY - BEAT

    bench.shared.error = None
    bench.beat(bench.other)

    assert bench.other.held


def test_two_renewals_that_are_seen_late(bench: Bench) -> None:
    """Who has missed the write before the last one too knows nothing of its age, and waits the whole time."""
    bench.beat(bench.one, bench.other)
    bench.beat(bench.one, seconds=2 * BEAT)
    bench.time += EXPIRY

    bench.beat(bench.other, seconds=EXPIRY - 0.1)
    assert not bench.other.held
    bench.beat(bench.other, seconds=0.1)
    assert bench.other.held


def test_what_is_taken_anew_is_no_renewal(bench: Bench) -> None:
    """Who takes back its own lease, which had lapsed or whose last write was not confirmed, may act from then on.

    A stand-by that sees that counts from then on too.
    """
    for lapsed in (True, False):
        bench.beat(bench.one, bench.other)
        if lapsed:
            bench.time += EXPIRY
        else:
            bench.shared.lost = True
            bench.beat(bench.one)
            bench.shared.lost = False
        bench.beat(bench.one)
        began = bench.time
        assert bench.shared.cell is not None
        assert bench.shared.cell.renews == 0
        bench.beat(bench.other, seconds=HOLD - 0.1)
        assert (bench.one.held, bench.other.held) == (True, False)
        bench.beat(bench.other, seconds=began + EXPIRY - 0.1 - bench.time)
        assert not bench.other.held


def test_a_holder_survives_two_renewals_that_hang(bench: Bench) -> None:
    """Two beats in a row that take as long as they may and come to nothing cost no lease; a third one renews it."""
    bench.beat(bench.one, seconds=BEAT)
    for _ in range(2):
        bench.time += bench.one.rest
        bench.shared.error = UnreachableError("no answer")
        bench.beat(bench.one)
        bench.time += LONGEST_BEAT
        assert bench.one.held
    bench.time += bench.one.rest
    assert bench.one.held
    bench.shared.error = None
    bench.beat(bench.one)

    bench.time += HOLD - 0.1
    assert bench.one.held


def test_a_newcomer_waits_as_long(bench: Bench) -> None:
    """Who sees a lease for the first time knows nothing of its age, and waits the whole time."""
    bench.beat(bench.one)
    bench.time += 3600
    bench.beat(bench.other, seconds=EXPIRY - 0.1)
    assert not bench.other.held

    bench.beat(bench.other, seconds=0.1)

    assert bench.other.held


def test_who_cannot_renew_stops_first(bench: Bench) -> None:
    """A holder that cannot reach Swarm stops 13 s after the write before its last one: before another may begin."""
    bench.beat(bench.one, bench.other)
    bench.shared.error = UnreachableError("no quorum")

    bench.beat(bench.one, seconds=HOLD - 0.1)
    assert bench.one.held
    bench.beat(bench.one, seconds=0.1)

    assert bench.one.objection() == "the lease cannot be used: no quorum"
    assert HOLD < EXPIRY


def test_the_time_to_act_counts_from_before_the_write(bench: Bench) -> None:
    """A write whose answer takes long lets act no longer than one whose answer is there at once."""
    sent = bench.time
    bench.shared.meanwhile = lambda: setattr(bench, "time", sent + 2)
    bench.beat(bench.one)

    bench.time = sent + HOLD - 0.1
    assert bench.one.held
    bench.time = sent + HOLD
    assert not bench.one.held


def test_a_stopped_holder_finds_itself_replaced(bench: Bench) -> None:
    """Who was stopped for longer than the lease lasts may not act when it goes on, and does not take it back."""
    bench.beat(bench.one, bench.other)
    bench.beat(bench.other, seconds=40)
    assert not bench.one.held

    bench.beat(bench.one, bench.other, seconds=60)

    assert (bench.one.held, bench.other.held) == (False, True)
    assert bench.one.objection().startswith("other holds the lease")


def test_a_lapsed_lease_that_nobody_took_is_renewed(bench: Bench) -> None:
    """A holder that was away and finds its lease as it left it goes on at once."""
    bench.beat(bench.one)
    bench.time += 40
    assert not bench.one.held
    assert bench.one.objection() == "the lease is not taken yet"

    bench.beat(bench.one)

    assert bench.one.held


def test_another_ones_lease_ends_ones_own_at_once(bench: Bench) -> None:
    """Who sees another one's name stops acting, whatever its own clock says: somebody changed the lease by hand."""
    bench.beat(bench.one)
    bench.shared.cell = Cell(99, "other", 7)

    bench.beat(bench.one)

    assert not bench.one.held


# races


def test_of_two_that_take_it_at_once_one_has_it(bench: Bench) -> None:
    """A lease that is taken between look and write is not taken a second time."""
    bench.shared.between = lambda: setattr(bench.shared, "cell", Cell(50, "third", 1))

    bench.beat(bench.one)

    assert not bench.one.held
    assert bench.shared.cell == Cell(50, "third", 1)
    assert bench.one.objection() == "the lease is not taken yet"


def test_a_renewal_without_an_answer_extends_nothing(bench: Bench) -> None:
    """A write that may have been carried out lets nobody act on it; the next beat sees it, and renews it."""
    bench.shared.lost = True
    bench.beat(bench.one)
    assert not bench.one.held
    bench.shared.lost = False

    bench.beat(bench.one)

    assert bench.one.held


def test_a_removed_lease_is_waited_for_too(bench: Bench) -> None:
    """A stand-by that sees the lease removed waits as for any other change; its holder makes it anew."""
    bench.beat(bench.one, bench.other)
    bench.shared.cell = None

    bench.beat(bench.other, bench.one, bench.other)

    assert (bench.one.held, bench.other.held) == (True, False)
    bench.shared.cell = None
    bench.beat(bench.other, seconds=EXPIRY)
    assert bench.other.held


@pytest.mark.parametrize("error", [RefusedError("403, forbidden"), UnreachableError("no such socket")])
def test_a_lease_that_cannot_be_used_is_not_held(bench: Bench, error: BackendError) -> None:
    """Where Swarm says no or nothing, nobody acts; with its end the lease is taken."""
    bench.shared.error = error
    bench.beat(bench.one)
    assert bench.one.objection() == f"the lease cannot be used: {error}"
    assert bench.one.trouble == str(error)

    bench.shared.error = None
    bench.beat(bench.one)

    assert (bench.one.held, bench.one.trouble) == (True, "")


# giving it back


def test_given_back_it_is_free_at_once(bench: Bench) -> None:
    """A holder that gives the lease back acts no more, and the next one to ask has it without waiting."""
    bench.beat(bench.one, bench.other)

    assert bench.one.give_back(Deadline(1))
    assert not bench.one.held
    bench.beat(bench.other)

    assert bench.other.held


def test_only_the_holder_gives_it_back(bench: Bench) -> None:
    """A stand-by that ends leaves the other one's lease alone."""
    bench.beat(bench.one, bench.other)

    assert not bench.other.give_back(Deadline(1))

    assert bench.one.held
    bench.beat(bench.one)
    assert bench.one.held


def test_what_cannot_be_given_back_expires(bench: Bench) -> None:
    """Where Swarm cannot be told, the holder acts no more all the same, and another one waits."""
    bench.beat(bench.one, bench.other)
    bench.shared.error = UnreachableError("no such socket")

    assert not bench.one.give_back(Deadline(1))
    assert not bench.one.held
    bench.shared.error = None
    bench.beat(bench.other, seconds=EXPIRY)

    assert bench.other.held


def test_a_lease_that_never_was_is_not_given_back(bench: Bench) -> None:
    """Who ends before anybody held a lease leaves none behind."""
    assert not bench.one.give_back(Deadline(1))
    assert bench.shared.cell is None


# decisions


def decided(cpu: float, *, standby: str = STANDBY, requested: int = 3, **facts: str) -> Decision:
    """The decision of a stand-by, or with an empty *standby* of a leader."""
    seen = replace(observation(requested, windows={"cpu": steady(cpu)}, **facts), standby=standby)  # type: ignore[arg-type]
    return decide(written(HIGH, LOW, most=10), seen, History())


@pytest.mark.parametrize(("cpu", "wants", "rule"), [(90, 4, "cpu-high"), (10, 2, "cpu-low")])
def test_a_stand_by_changes_nothing(cpu: float, wants: int, rule: str) -> None:
    """What a leader would change a stand-by holds, and says what it wants and who holds the lease."""
    assert decided(cpu, standby="").desired == wants

    decision = decided(cpu)

    assert (decision.desired, decision.held, decision.primary.reason) == (3, True, Reason.NOT_LEADER)
    assert (decision.primary.detail, decision.primary.rule) == (f"wants {wants}; {STANDBY}", rule)


def test_a_stand_by_corrects_no_bounds() -> None:
    """Nothing passes this gate, bounds included."""
    decision = decided(50, requested=12)

    assert (decision.desired, decision.primary.reason) == (12, Reason.NOT_LEADER)
    assert decided(50, requested=12, standby="").desired == 10


def test_a_stand_by_says_so_where_anything_is_held() -> None:
    """What is held for another reason is not the stand-by's to tell of: its own reason comes last."""
    seen = replace(observation(3), standby=STANDBY)

    blind = decide(written(HIGH), seen, History())

    assert (blind.desired, blind.held, blind.primary.reason, blind.primary.detail) == (
        3,
        True,
        Reason.NOT_LEADER,
        STANDBY,
    )
    assert [why.reason for why in blind.reasons] == [Reason.NO_DATA, Reason.NOT_LEADER]


def test_a_stand_by_with_nothing_to_do_says_nothing_of_it() -> None:
    """Where a leader would do nothing, the stand-by's decision is the same."""
    assert decided(50) == decided(50, standby="")


@pytest.mark.parametrize(
    ("facts", "requested", "reason"),
    [({"mode": "global"}, 0, Reason.UNSUPPORTED_MODE), ({}, 0, Reason.SCALED_TO_ZERO)],
)
def test_what_nobody_could_do_is_told_as_ever(facts: dict[str, str], requested: int, reason: Reason) -> None:
    """A service that no autoscaler would scale is told of by the stand-by too."""
    assert decided(90, requested=requested, **facts).primary.reason is reason


def test_the_gate_comes_before_a_rollout() -> None:
    """Of a stand-by it is told that it stands by, not what else would hold the leader."""
    assert decided(90, rollout="updating").primary.reason is Reason.NOT_LEADER


# the cycle


def busy() -> World:
    """A world in which one replica more is wanted now."""
    world = settled_world(cpu=95)
    world.settle(600)
    return world


def test_a_stand_by_evaluates_and_writes_nothing() -> None:
    """A stand-by reads, fills its windows and decides as ever; when the lease comes it acts at its next evaluation."""
    world = busy()
    world.cycle.standby = lambda: STANDBY

    record = only(world.evaluate())

    assert said(record) == (Outcome.HELD, Reason.NOT_LEADER, 3, 3)
    assert world.api.calls["update"] == 0
    world.cycle.standby = lambda: ""
    assert said(only(world.next())) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


def test_a_lease_lost_between_decision_and_write() -> None:
    """The lease is asked again just before a write: who has lost it since its decision writes nothing."""
    world = busy()
    answers = iter(["", STANDBY])
    world.cycle.standby = lambda: next(answers)

    record = only(world.evaluate())

    assert said(record) == (Outcome.HELD, Reason.NOT_LEADER, 3, 3)
    assert record.decision.primary.detail == f"wants 4; {STANDBY}"
    assert record.decision.primary.rule == "cpu-high"
    assert reasons(record) == [Reason.ABOVE_THRESHOLD, Reason.NOT_LEADER]
    assert record.decision.held
    assert world.api.calls["update"] == 0
    assert world.replicas() == 3
