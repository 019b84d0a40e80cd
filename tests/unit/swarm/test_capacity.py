from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.swarm.capacity import Capacity, Maximum, ServiceCapacity, add_up
from autoscaler.swarm.cluster import Cluster, ServiceView, TaskView
from autoscaler.swarm.placement import Demand, NodeView
from autoscaler.util.amounts import Amount

if TYPE_CHECKING:
    from collections.abc import Sequence

CORE = 1_000_000_000
GIB = 2**30
REFUSED = "no suitable node (insufficient resources on 1 node)"


def node(name: str, cores: float = 4, gib: float = 8, **facts: Any) -> NodeView:
    """A node that takes tasks."""
    return NodeView(name, hostname=name, nano_cpus=round(cores * CORE), memory=round(gib * GIB), **facts)


def service(  # noqa: PLR0913 - a service has that many facts
    name: str,
    on: Sequence[str] = (),
    *,
    waiting: int = 0,
    cores: float = 0,
    gib: float = 0,
    limits: tuple[float, float] = (0, 0),
    mode: str = "replicated",
    **demand: Any,
) -> ServiceView:
    """A service with a task on each of the nodes named, *waiting* ones besides; what each reserves, and its limits."""
    tasks = [TaskView(f"{name}{n}", "running", 0, on_ready_node=True, node=place) for n, place in enumerate(on)]
    tasks += [TaskView(f"{name}w{n}", "pending", 0, on_ready_node=False, words=REFUSED) for n in range(waiting)]
    return ServiceView(
        id=name,
        name=name,
        version=1,
        mode=mode,
        requested=len(tasks) if mode == "replicated" else 0,
        created_at=0,
        updated_at=0,
        tasks=tuple(tasks),
        cpu_limit=limits[0] or None,
        memory_limit=limits[1] * GIB or None,
        demand=Demand(round(cores * CORE), round(gib * GIB), **demand),
    )


def added_up(nodes: Sequence[NodeView], *services: ServiceView, **maxima: int) -> Capacity:
    """The capacity for the maxima of these services."""
    given = {name: Maximum(most, "shop") for name, most in maxima.items()}
    return add_up(Cluster({view.name: view for view in services}, nodes=tuple(nodes)), given)


def place(capacity: Capacity, name: str) -> ServiceCapacity:
    """The place of this service."""
    return next(each for each in capacity.places if each.service == name)


def fitting(capacity: Capacity) -> dict[str, tuple[int | None, int | None]]:
    """How many replicas of each find room now, and with all others at their maximum."""
    return {each.service: (each.now, each.with_others) for each in capacity.places}


# the sums


def test_the_sums_of_the_scaling_guide() -> None:
    """For 100 companies (backend 5, frontend 3) the limits add up to the guide's 10 cores and its 11.25 of 12 GB."""
    nodes = [node("n1", 12, 16)]
    capacity = added_up(
        nodes,
        service("postgres", ["n1"], cores=1, gib=2, limits=(2, 4)),
        service("pgbouncer", ["n1"] * 2, cores=0.25, gib=0.125, limits=(0.5, 0.25)),
        service("backend", ["n1"] * 3, cores=0.5, gib=0.5, limits=(1, 1)),
        service("frontend", ["n1"] * 2, cores=0.25, gib=0.125, limits=(0.5, 0.25)),
        service("redis", ["n1"], cores=0.25, gib=0.5, limits=(0.5, 1)),
        backend=5,
        frontend=3,
    )

    assert capacity.limits_at_maxima == Amount(10 * CORE, round(11.25 * GIB))
    assert capacity.reserved == Amount(round(3.75 * CORE), round(4.5 * GIB))
    assert capacity.at_maxima == Amount(5 * CORE, round(5.625 * GIB))
    assert capacity.total == Amount(12 * CORE, 16 * GIB)
    assert capacity.fits


def test_services_without_a_policy_count_as_they_are() -> None:
    """Others count at their present count, global ones on each node that takes them, jobs with the tasks they have."""
    nodes = [node("n1"), node("n2"), node("n3", labels={"disk": "ssd"})]
    capacity = added_up(
        nodes,
        service("db", ["n1"], cores=1),
        service("agent", ["n1", "n2"], cores=0.5, mode="global"),
        service("scrub", ["n3"], cores=0.25, mode="global", constraints=("node.labels.disk == ssd",)),
        service("report", ["n1"], cores=2, mode="replicated-job"),
        service("web", ["n2"], cores=1),
        web=3,
    )

    assert capacity.reserved.cores == 1 + 2 * 0.5 + 0.25 + 2 + 1
    assert capacity.at_maxima.cores == 1 + 3 * 0.5 + 0.25 + 2 + 3


def test_nodes_that_take_no_tasks_do_not_count() -> None:
    """A node that is not ready, paused or drained counts for nothing; a task on a paused one has its place there."""
    nodes = [node("n1"), node("n2", takes_tasks=False)]
    capacity = added_up(nodes, service("web", ["n1", "n2"], cores=1), web=8)

    assert (capacity.nodes, capacity.closed) == (1, ("n2",))
    assert capacity.total.cores == 4
    assert capacity.reserved.cores == 1
    assert fitting(capacity) == {"web": (5, 5)}


# placement


def test_a_sum_over_nodes_would_lie() -> None:
    """Three free halves of a core do not hold one core."""
    nodes = [node(name, 1) for name in ("n1", "n2", "n3")]
    capacity = added_up(
        nodes, service("small", ["n1", "n2", "n3"], cores=0.5), service("large", cores=1), small=3, large=1
    )

    assert capacity.at_maxima.cores == 2.5 < capacity.total.cores
    assert fitting(capacity) == {"small": (6, 6), "large": (0, 0)}
    assert not capacity.fits


def test_memory_is_as_scarce_as_cpu() -> None:
    """What reserves memory only is limited by memory."""
    capacity = added_up([node("n1", 64, 2)], service("web", ["n1"], gib=0.75), web=4)

    assert fitting(capacity) == {"web": (2, 2)}
    assert place(capacity, "web").obstacle == "each reserves 768 MiB, on 1 node"
    assert place(capacity, "web").cure == "lower max to 2, reserve less or add nodes"


def test_maxima_that_fit_alone_and_not_together() -> None:
    """Each of two maxima finds room alone, and not both: each is told what is left with the other one at its own."""
    capacity = added_up([node("n1", 4)], service("a", ["n1"], cores=1), service("b", ["n1"], cores=1), a=3, b=3)

    assert fitting(capacity) == {"a": (3, 1), "b": (3, 1)}
    assert not capacity.fits
    assert place(capacity, "a").cure == "lower max to 1, reserve less or add nodes"


def test_what_finds_room_beyond_the_maximum() -> None:
    """Where all maxima find room, it is told how many more would."""
    capacity = added_up([node("n1", 8)], service("a", ["n1"], cores=1), service("b", ["n1"], cores=1), a=2, b=3)

    assert fitting(capacity) == {"a": (7, 5), "b": (7, 6)}
    assert capacity.fits
    assert place(capacity, "a").obstacle == ""


def test_a_small_service_beside_many_that_do_not_fit() -> None:
    """Of many services those whose maximum finds room although others' do not are told apart."""
    nodes = [node("n1", 8, 8), node("n2", 8, 8, labels={"gpu": "yes"})]
    only = ("node.labels.gpu == yes",)
    capacity = added_up(
        nodes,
        service("a", ["n1"], cores=2),
        service("b", ["n1"], cores=2),
        service("c", ["n2"], cores=2, constraints=only),
        a=9,
        b=9,
        c=1,
    )

    assert not place(capacity, "a").fits
    assert not place(capacity, "b").fits
    assert place(capacity, "c").fits


def test_tasks_that_wait_come_first() -> None:
    """Replicas that wait for room get what is free before any other service grows."""
    capacity = added_up([node("n1", 4)], service("a", ["n1"], waiting=2, cores=1), service("b", ["n1"], cores=1), b=3)

    assert fitting(capacity) == {"b": (1, 1)}


def test_waiting_tasks_of_the_service_itself_count_for_it() -> None:
    """Of a service's own waiting replicas those that find room are counted."""
    capacity = added_up([node("n1", 4)], service("a", ["n1"], waiting=5, cores=1.5), a=6)

    assert fitting(capacity) == {"a": (2, 2)}


@pytest.mark.parametrize("state", ["failed", "rejected", "pending", "new"])
def test_a_task_without_room_takes_none(state: str) -> None:
    """A task that names a node but has failed, or has not been given it yet, takes no room there."""
    view = service("a", ["n1"], cores=1)
    task = replace(view.tasks[0], state=state)
    capacity = added_up([node("n1", 4)], replace(view, tasks=(task,), requested=0), a=1)

    assert capacity.reserved.cores == 0
    assert fitting(capacity) == {"a": (4, 4)}


def test_replicas_that_wait_although_there_is_room() -> None:
    """Of replicas without a node those are counted that would find room: Swarm may have forgotten them."""
    capacity = added_up([node("n1", 4)], service("a", ["n1"], waiting=5, cores=1.5), service("b", ["n1"]), a=6, b=2)

    assert {each.service: each.forgotten for each in capacity.places} == {"a": 1, "b": 0}


def test_a_replica_that_is_new_is_not_told_of_as_forgotten() -> None:
    """A replica that Swarm has not tried to place yet waits for a moment only, and nothing is said of it."""
    view = service("a", ["n1"], waiting=2)
    new = replace(view.tasks[2], words="pending task scheduling")
    capacity = added_up([node("n1")], replace(view, tasks=(*view.tasks[:2], new)), a=3)

    assert place(capacity, "a").forgotten == 1


def test_constraints() -> None:
    """Only nodes that meet the constraints take tasks, and it is said which one none meets."""
    nodes = [node("n1", role="manager"), node("n2", role="worker")]
    capacity = added_up(
        nodes,
        service("a", ["n2"], cores=1, constraints=("node.role == worker",)),
        service("b", cores=1, constraints=("node.labels.gpu == true",)),
        a=5,
        b=2,
    )

    assert fitting(capacity) == {"a": (4, 4), "b": (0, 0)}
    assert place(capacity, "b").obstacle == "no node meets node.labels.gpu == true"
    assert place(capacity, "b").cure == "correct the placement, or label a node"


def test_the_most_per_node() -> None:
    """A maximum per node bounds what reserves nothing too, tasks that run already counted."""
    nodes = [node("n1"), node("n2")]
    capacity = added_up(nodes, service("a", ["n1", "n1", "n2"], max_per_node=2), a=6)

    assert fitting(capacity) == {"a": (4, 4)}
    assert place(capacity, "a").obstacle == "at most 2 per node, on 2 nodes"
    assert place(capacity, "a").cure == "lower max to 4, allow more per node or add nodes"


def test_ports_of_the_node() -> None:
    """A port published on the host is one task's for each node, whatever its service."""
    nodes = [node("n1"), node("n2"), node("n3")]
    capacity = added_up(
        nodes,
        service("proxy", ["n1"], host_ports=("80/tcp",)),
        service("other", ["n2"], host_ports=("80/tcp", "443/tcp")),
        proxy=3,
    )

    assert fitting(capacity) == {"proxy": (2, 2)}
    assert place(capacity, "proxy").obstacle == "each takes the port 80/tcp of its node, on 3 nodes"


def test_no_reservation_is_no_demand() -> None:
    """A service that reserves nothing fits as often as one likes, as far as Swarm knows; its limits add up."""
    capacity = added_up([node("n1", 2, 2)], service("a", ["n1"], limits=(1, 1)), a=8)

    assert fitting(capacity) == {"a": (None, None)}
    assert capacity.fits
    assert capacity.at_maxima == Amount()
    assert capacity.limits_at_maxima == Amount(8 * CORE, 8 * GIB)


def test_no_node_takes_tasks() -> None:
    """With every node closed nothing finds room, and that is what is said."""
    capacity = added_up([node("n1", takes_tasks=False)], service("a", cores=1), a=2)

    assert fitting(capacity) == {"a": (0, 0)}
    assert place(capacity, "a").obstacle == "no node takes tasks"


def test_a_service_beyond_its_maximum() -> None:
    """A count above the maximum is no lack of room."""
    capacity = added_up([node("n1", 4)], service("a", ["n1"] * 4, cores=1), a=2)

    assert fitting(capacity) == {"a": (4, 4)}
    assert capacity.fits


def test_a_global_service_grows_by_no_policy() -> None:
    """A policy on a global service asks for nothing: it is never scaled."""
    assert added_up([node("n1")], service("a", ["n1"], cores=1, mode="global"), a=5).places == ()


def test_reserved_beyond_what_there_is() -> None:
    """Where a node has less than its tasks reserve, what is left is nothing, not less than nothing."""
    capacity = added_up([node("n1", 2)], service("a", ["n1"] * 4, cores=1), service("b", ["n1"]), a=5, b=3)

    assert fitting(capacity) == {"a": (4, 4), "b": (None, None)}
