from __future__ import annotations

from itertools import pairwise

from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.policy.policy import PolicySet
from tests.support.builders import CPU_HIGH, CPU_LOW, MEMORY_HIGH, STEP, threshold
from tests.support.world import (
    World,
    only,
    policy_for,
    said,
    settled_world,
)


def test_one_query_per_distinct_metric_whatever_the_number_of_services() -> None:
    """Rules of several policies and many services share the query of their metric."""
    policies = (
        policy_for("a*", name="a", rules=(CPU_HIGH, CPU_LOW)),
        policy_for("b*", name="b", rules=(threshold("long", above=90, lasting="5m", add=1), MEMORY_HIGH)),
    )
    world = World(*policies)
    for number in range(20):
        world.service(f"a{number}")
        world.service(f"b{number}")
    world.settle()

    world.next()

    assert sorted(metric for metric, _, _ in world.source.asked) == ["cpu", "memory"]


def test_after_the_first_fill_only_the_new_step_and_the_newest_two_are_asked_for() -> None:
    """An evaluation asks for the steps it lacks, and again for the two that were provisional when it got them."""
    world = settled_world()
    world.next()
    filled = world.source.asked[-1]
    world.next()
    again = world.source.asked[-1]

    # For 1m: both ends, and the step before that may stand for the oldest.
    assert (filled[2] - filled[1]) // STEP + 1 == 6
    assert again == ("cpu", int(world.clock.time) - 2 * STEP, int(world.clock.time))


def test_a_long_window_is_filled_in_parts() -> None:
    """A look-back of hours is asked for in parts of 22 steps, each step once, and judged when all are there."""
    rule = threshold("slow", above=70, lasting="30m", add=1)
    world = World(policy_for("web", rules=(rule,)))
    world.service(cpu=85)
    world.settle(3600)

    record = only(world.next())

    spans = [(first, last) for _, first, last in world.source.asked]
    assert [(last - first) // STEP + 1 for first, last in spans] == [22, 22, 22, 22, 22, 12]
    assert {first - last for (_, last), (first, _) in pairwise(spans)} == {STEP}
    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


def test_a_fill_that_was_broken_off_goes_on_where_it_stopped() -> None:
    """Where Prometheus goes away during a long fill, what came is kept, and the next evaluation asks for the rest."""
    rule = threshold("slow", below=30, lasting="30m", remove=1)
    world = World(policy_for("web", rules=(rule,)))
    world.service(cpu=10)
    world.settle(3600)
    world.source.lose_after(1)

    first, second = only(world.next()), only(world.next())

    assert said(first)[:2] == (Outcome.HELD, Reason.STALE_DATA)
    assert [(last - start) // STEP + 1 for _, start, last in world.source.asked[2:]] == [22, 22, 22, 22, 15]
    assert said(second) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


def test_no_query_is_asked_for_a_policy_without_services() -> None:
    """A metric that no present service's rule names costs no query."""
    world = settled_world(policy_for("web"), policy_for("nobody*", name="n", rules=(MEMORY_HIGH,)))

    world.next()

    assert [metric for metric, _, _ in world.source.asked] == ["cpu"]


def test_swarm_is_read_in_three_lists() -> None:
    """An evaluation that changes nothing makes three lists and reads the pauses, whatever the number of services."""
    world = World(policy_for("*", name="all"))
    for number in range(20):
        world.service(f"s{number}")
    world.settle()

    world.next()

    assert dict(world.api.calls) == {"services": 1, "tasks": 1, "nodes": 1, "config": 1}


def test_a_longer_look_back_refills_the_window() -> None:
    """When a reload asks for more of the past than is held, all of it is fetched, and judged at once."""
    world = settled_world(cpu=85)
    world.next()
    world.settle(600)
    longer = threshold("slow", above=80, lasting="5m", add=2)
    world.policies = PolicySet(policies=(policy_for("web", rules=(longer,)),))

    assert said(only(world.next()))[:2] == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD)
