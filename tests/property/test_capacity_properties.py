from __future__ import annotations

from dataclasses import replace
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.swarm.capacity import Maximum, add_up
from autoscaler.swarm.cluster import Cluster, ServiceView, TaskView
from autoscaler.swarm.placement import Demand, NodeView, objection
from autoscaler.util.amounts import Amount

ZONES = ("a", "b")
SMALL = st.integers(0, 6)


@st.composite
def nodes(draw: st.DrawFn) -> tuple[NodeView, ...]:
    """Up to five nodes in two zones, of a few cores and units of memory."""
    return tuple(
        NodeView(
            f"n{number}",
            takes_tasks=draw(st.booleans()) or number == 0,
            nano_cpus=draw(SMALL),
            memory=draw(SMALL),
            labels={"zone": draw(st.sampled_from(ZONES))},
        )
        for number in range(draw(st.integers(1, 5)))
    )


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Cluster, dict[str, Maximum]]:
    """A cluster whose tasks never reserve more than their node has, and the maxima of most of its services."""
    seen = draw(nodes())
    free = {node.id: Amount(node.nano_cpus, node.memory) for node in seen}
    views, maxima = {}, {}
    for number in range(draw(st.integers(1, 5))):
        name = f"s{number}"
        demand = Demand(
            draw(st.integers(0, 3)),
            draw(st.integers(0, 3)),
            constraints=draw(st.sampled_from([(), *((f"node.labels.zone == {zone}",) for zone in ZONES)])),
            max_per_node=draw(st.sampled_from([0, 0, 1, 2])),
        )
        tasks: list[TaskView] = []
        for node in draw(st.lists(st.sampled_from(seen), max_size=4)):
            left = free[node.id]
            if left.nano_cpus >= demand.nano_cpus and left.memory >= demand.memory:
                free[node.id] = Amount(left.nano_cpus - demand.nano_cpus, left.memory - demand.memory)
                tasks.append(TaskView(f"{name}-{len(tasks)}", "running", 0, on_ready_node=True, node=node.id))
        views[name] = ServiceView(name, name, 1, "replicated", len(tasks), 0, 0, tasks=tuple(tasks), demand=demand)
        if draw(st.integers(0, 3)):
            maxima[name] = Maximum(draw(st.integers(1, 9)), "shop")
    return Cluster(views, nodes=seen), maxima


def one_by_one(cluster: Cluster, name: str, at_most: int) -> int:
    """How many replicas of a service the open nodes hold, found by placing tasks one at a time."""
    view = cluster.services[name]
    free = {node.id: [node.nano_cpus, node.memory] for node in cluster.nodes if node.takes_tasks}
    for other in cluster.services.values():
        for task in other.tasks:
            if task.node in free:
                free[task.node][0] -= other.demand.nano_cpus
                free[task.node][1] -= other.demand.memory
    there = {node: sum(task.node == node for task in view.tasks) for node in free}
    takes = [node.id for node in cluster.nodes if node.takes_tasks and not objection(view.demand, node)]
    for placed in count(len(view.tasks)):
        found = next(
            (
                node
                for node in takes
                if free[node][0] >= view.demand.nano_cpus
                and free[node][1] >= view.demand.memory
                and not 0 < view.demand.max_per_node <= there[node]
            ),
            None,
        )
        if found is None or placed >= at_most:
            return placed
        free[found][0] -= view.demand.nano_cpus
        free[found][1] -= view.demand.memory
        there[found] += 1
    raise AssertionError


@given(clusters())
def test_what_finds_room_now_is_what_placing_tasks_one_by_one_finds(world: tuple[Cluster, dict[str, Maximum]]) -> None:
    """With nothing waiting, the number that finds room now is exactly that of tasks placed one at a time."""
    cluster, maxima = world
    for place in add_up(cluster, maxima).places:
        found = one_by_one(cluster, place.service, at_most=40)
        assert (min(place.now, 40) if place.now is not None else 40) == found


@given(clusters())
def test_others_at_their_maximum_leave_no_more(world: tuple[Cluster, dict[str, Maximum]]) -> None:
    """What finds room with all others at their maximum is never more than what does now, nor fewer than run."""
    cluster, maxima = world
    for place in add_up(cluster, maxima).places:
        running = cluster.services[place.service].requested
        if place.now is None:
            assert place.with_others is None
        else:
            assert place.with_others is not None
            assert running <= place.with_others <= place.now


@given(clusters())
def test_maxima_that_find_room_at_once_reserve_no_more_than_there_is(
    world: tuple[Cluster, dict[str, Maximum]],
) -> None:
    """Where all maxima find room at once, and no task is on a closed node, they reserve no more than the nodes have."""
    cluster, maxima = world
    open_nodes = {node.id for node in cluster.nodes if node.takes_tasks}
    inside = {
        name: replace(
            view, tasks=(tasks := tuple(task for task in view.tasks if task.node in open_nodes)), requested=len(tasks)
        )
        for name, view in cluster.services.items()
    }
    capacity = add_up(replace(cluster, services=inside), maxima)

    if capacity.fits:
        assert capacity.at_maxima.nano_cpus <= capacity.total.nano_cpus
        assert capacity.at_maxima.memory <= capacity.total.memory
    assert capacity.reserved.nano_cpus <= capacity.total.nano_cpus
    assert capacity.reserved.memory <= capacity.total.memory


@given(clusters(), st.integers(1, 6), st.integers(1, 6))
def test_another_node_never_takes_room_away(
    world: tuple[Cluster, dict[str, Maximum]], nano_cpus: int, memory: int
) -> None:
    """With one more node at least as many replicas of each service find room now."""
    cluster, maxima = world
    more = (*cluster.nodes, NodeView("new", nano_cpus=nano_cpus, memory=memory, labels={"zone": "a"}))
    before = {place.service: place.now for place in add_up(cluster, maxima).places}
    for place in add_up(replace(cluster, nodes=more), maxima).places:
        earlier = before[place.service]
        assert place.now is None or (earlier is not None and place.now >= earlier)


@given(clusters())
def test_the_sums_do_not_depend_on_the_order_of_the_list(world: tuple[Cluster, dict[str, Maximum]]) -> None:
    """The engine lists services in any order: what is reserved, and what finds room now, is the same."""
    cluster, maxima = world
    turned = replace(cluster, services=dict(reversed(list(cluster.services.items()))))
    one, other = add_up(cluster, maxima), add_up(turned, maxima)

    assert (one.total, one.reserved, one.at_maxima) == (other.total, other.reserved, other.at_maxima)
    assert [(place.service, place.now) for place in one.places] == [
        (place.service, place.now) for place in other.places
    ]
