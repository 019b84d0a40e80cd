from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.adapters.docker.lease import SwarmLease
from autoscaler.coordination.lease import BEAT, EXPIRY, HOLD, Lease
from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.errors import DeadlineError, UnreachableError
from autoscaler.simulation.managers import Manager
from autoscaler.simulation.parts import Node
from autoscaler.util.deadline import Deadline
from tests.support.builders import STEP, written
from tests.support.world import World, only, said, service_spec

if TYPE_CHECKING:
    from autoscaler.core.records import Record
    from autoscaler.evaluation.cycle import Cycle

TARGET = written({"name": "cpu", "metric": "cpu", "strategy": "target", "target": 60}, most=10)
"""A count by the load, without cooldowns or stabilization: whatever it sees it acts on at once."""


def loaded_world(*nodes: str, replicas: int) -> World:
    """Replicas spread over *nodes* that carry 50 % each: one fewer would be too few."""
    world = World(TARGET, nodes=[Node(name) for name in nodes])
    world.service(replicas=replicas, cpu=50)
    world.settle()
    world.next()
    assert world.replicas() == replicas
    return world


@pytest.mark.fault("node-lost")
def test_what_is_left_when_a_node_dies_proves_no_calm() -> None:
    """With half of the replicas gone, the half of the load that is left does not shrink the service."""
    world = loaded_world("n1", "n2", replicas=4)
    world.engine.startup = 3600  # the replacements pull their image
    world.engine.stop_node("n1")

    record = only(world.next())

    assert (record.decision.running, record.decision.requested, record.outcome) == (2, 4, Outcome.UNCHANGED)
    assert record.decision.primary.detail.endswith(
        "3.333 of 2 running replicas needed, as 4 were behind the sample, and 2 that do not run"
    )
    assert all(evaluation.records[0].decision.desired == 4 for evaluation in world.run(600))


@pytest.mark.fault("swarm-leader-lost")
def test_a_new_leader_that_knows_no_node_yet_shrinks_nothing() -> None:
    """While the Swarm's new leader has not heard of all nodes, few replicas count as running; none is removed."""
    world = loaded_world("n1", "n2", "n3", replicas=3)
    world.engine.change_leader(seconds=45)

    running = []
    for _ in range(4):
        record = only(world.next())
        running.append(record.decision.running)
        assert said(record)[2:] == (3, 3)

    assert running == [1, 2, 3, 3]
    assert only(world.next()).decision.primary.reason is Reason.BELOW_TARGET


# several managers


@dataclass
class Autoscaler:
    """An autoscaler on a manager of its own."""

    manager: Manager
    lease: Lease
    cycle: Cycle
    records: list[Record]

    def evaluated(self, world: World) -> Outcome:
        """What becomes of its decision now."""
        return only(self.cycle.evaluate(world.policies)).outcome


class Managers:
    """A Swarm of several managers, and two autoscalers: the first one acts, the other one stands by."""

    def __init__(self, *, cpu: float = 50) -> None:
        self.world = World(STEPS)
        self.world.service(replicas=3, cpu=cpu)
        self.world.settle()
        self.one, self.other = self._autoscaler("one", 0.0), self._autoscaler("other", 1e6)
        self.run(2 * STEP)

    def _autoscaler(self, name: str, offset: float) -> Autoscaler:
        world = self.world
        manager = Manager(world.engine, world.clock)
        lease = Lease(SwarmLease(manager), name, lambda: world.clock.time + offset)
        cycle: Cycle = world.cycle_on(manager, world.source, world.clock)
        records: list[Record] = []
        cycle.record, cycle.standby = records.append, lease.objection
        return Autoscaler(manager, lease, cycle, records)

    def run(self, seconds: float) -> None:
        """Let both beat and evaluate; never may both act."""
        end = self.world.clock.time + seconds
        while self.world.clock.time < end:
            evaluates = (self.world.clock.time + BEAT) // STEP > self.world.clock.time // STEP
            self.world.clock.time += BEAT
            if evaluates:
                self.world.prometheus.record()
            for each in (self.one, self.other):
                each.lease.beat(Deadline(1))
                assert not (self.one.lease.held and self.other.lease.held)
                if evaluates:
                    each.cycle.evaluate(self.world.policies)

    def breach(self) -> None:
        """Let the next evaluation want one more, of an autoscaler that has just renewed its lease."""
        self.world.load["web", "cpu"] = 90
        self.world.settle(75)
        self.one.lease.beat(Deadline(1))
        self.other.lease.beat(Deadline(1))
        assert (self.one.lease.held, self.other.lease.held) == (True, False)

    @property
    def steps(self) -> list[tuple[int, int]]:
        """The changes of the count that the service's label tells of."""
        state = self.world.state()
        return [(event.before, event.after) for event in state.events] if state else []


STEPS = written(
    {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "1m", "add": 1},
    {"name": "cpu-low", "metric": "cpu", "below": 30, "for": "1m", "remove": 1},
    scale_up={"cooldown": "1h"},
    scale_down={"cooldown": "1h"},
)


@pytest.mark.fault("partition")
def test_a_parted_leader_answers_with_what_it_knew_and_takes_no_write() -> None:
    """What a parted manager does to its callers: old answers, no writes, then no leader; one write may stay."""
    world = World()
    world.service(replicas=3)
    manager, soon = Manager(world.engine, world.clock), Deadline(1)
    document = manager.service("web", soon)
    manager.part(leads_for=14)
    world.engine.operator_scale("web", 5)

    assert manager.services(soon) == [document]
    for replicas in (4, 6):
        with pytest.raises(DeadlineError):
            manager.update(document["ID"], document["Version"]["Index"], service_spec("web", replicas), soon)
    world.clock.time += 14
    with pytest.raises(UnreachableError, match="no leader"):
        manager.services(soon)

    manager.join(others_led=False)
    assert world.replicas() == 5, "somebody else wrote first"
    assert manager.service("web", soon) == world.engine.service("web")


@pytest.mark.fault("write-unanswered", "quorum-lost")
@pytest.mark.parametrize(("others_led", "outcomes"), [(False, []), (True, [Outcome.APPLIED])])
def test_a_step_on_its_way_when_the_quorum_is_lost_is_made_once(*, others_led: bool, outcomes: list[Outcome]) -> None:
    """Back, the Swarm carries the step out, or it was lost and is made anew: never both."""
    swarm = Managers()
    swarm.breach()
    swarm.one.manager.part(leads_for=14)
    swarm.other.manager.part()
    assert swarm.one.evaluated(swarm.world) is Outcome.UNKNOWN

    swarm.run(120)
    assert (swarm.world.replicas(), swarm.steps) == (3, [])
    assert "no leader" in swarm.one.lease.objection()
    for each in (swarm.one, swarm.other):
        each.manager.join(others_led=others_led)
    swarm.run(300)

    assert (swarm.world.replicas(), swarm.steps) == (4, [(3, 4)])
    made = [record.outcome for each in (swarm.one, swarm.other) for record in each.records]
    assert [outcome for outcome in made if outcome is Outcome.APPLIED] == outcomes


@pytest.mark.fault("partition")
def test_the_leader_is_parted_with_the_autoscaler_that_acts() -> None:
    """Reading old data it tries to write in vain, and stops when its lease is over; the other one makes the step."""
    swarm = Managers()
    swarm.breach()
    swarm.one.manager.part(leads_for=20)
    assert swarm.one.evaluated(swarm.world) is Outcome.UNKNOWN
    swarm.run(HOLD)
    assert not swarm.one.lease.held
    swarm.run(EXPIRY + BEAT - HOLD)
    assert swarm.other.lease.held
    swarm.run(60)
    assert (swarm.world.replicas(), swarm.steps) == (4, [(3, 4)])

    swarm.one.manager.join(others_led=True)
    swarm.run(300)

    assert (swarm.world.replicas(), swarm.steps) == (4, [(3, 4)])
    assert swarm.one.lease.objection() == "other holds the lease; this autoscaler is on standby"
    assert Outcome.APPLIED not in {record.outcome for record in swarm.one.records}


@pytest.mark.slow
@given(
    load=st.sampled_from([10, 90]),
    moments=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["one", "other", "both"]), st.integers(0, 20), st.booleans()),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=60)
def test_managers_come_and_go(load: float, moments: list[tuple[int, str, int, bool]]) -> None:
    """Whoever is parted when and for how long: one step per breach, of one autoscaler, and never two that may act."""
    swarm = Managers()
    swarm.world.load["web", "cpu"] = load
    for beats, whom, leads_for, others_led in moments:
        swarm.run(beats * BEAT)
        parted = [each for each, name in ((swarm.one, "one"), (swarm.other, "other")) if whom in {name, "both"}]
        for number, each in enumerate(parted):
            each.manager.part(leads_for=0 if number else leads_for)
        swarm.run(beats * BEAT)
        for each in parted:
            each.manager.join(others_led=others_led or whom != "both")
        assert len(swarm.steps) <= 1
    swarm.run(600)

    assert swarm.steps == [(3, 4 if load > 50 else 2)]
    assert swarm.one.lease.held or swarm.other.lease.held
