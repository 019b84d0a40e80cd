"""Capacity: find out whether every policy's maximum fits at once, and how many replicas would fit.

Swarm places a task on a node where its reservation is free, whatever is really used. A sum over nodes would be wrong,
because three free halves of a core on three nodes do not hold one core. So tasks are placed here: first fit, the
largest first. Tasks that have a node stay there. The result is an estimate, because Swarm spreads tasks, which may
leave the free room in other pieces.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from autoscaler.swarm.placement import objection
from autoscaler.util.amounts import Amount, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from autoscaler.swarm.cluster import Cluster, ServiceView
    from autoscaler.swarm.placement import NodeView

_MOST = 10_000
"""The most replicas that a policy may ask for; no more are looked for."""


@dataclass(frozen=True, slots=True)
class Maximum:
    """The most replicas that a policy may ask for, and the policy."""

    replicas: int
    policy: str


@dataclass(frozen=True, slots=True)
class ServiceCapacity:
    """The number of replicas of a service that find room."""

    service: str
    policy: str
    requested: int
    maximum: int
    """The most replicas that its policy may ask for."""
    now: int | None
    """The replicas that fit with everything else at its present count; None for any number."""
    with_others: int | None
    """The replicas that fit with all others at their maximum; None for any number."""
    reserves: Amount
    """The reservation of a replica."""
    limits: Amount
    """The limits of a replica; 0 without a limit."""
    forgotten: int = 0
    """The number of replicas that wait for a node although there is room: Swarm does not retry replicas that waited
    while the count changed (moby#53722, measured)."""
    obstacle: str = ""
    """The obstacle that keeps the service from fitting at its maximum, in words; empty if it fits."""
    cure: str = ""

    @property
    def fits(self) -> bool:
        """Return whether the service fits at its maximum while all others are at theirs."""
        return self.with_others is None or self.with_others >= self.maximum


@dataclass(frozen=True, slots=True)
class Capacity:
    """The capacity of the nodes, its reserved part, and the replicas of each service with a policy that fit."""

    nodes: int
    """The number of nodes that take tasks, because they are ready and active."""
    total: Amount
    """The CPU and memory of these nodes."""
    reserved: Amount
    """The reservations of the tasks on these nodes."""
    at_maxima: Amount
    """The reservations of all services with every policy at its maximum, whether they fit or not."""
    limits_at_maxima: Amount
    """The limits of all services with every policy at its maximum; a reservation counts if there is no limit."""
    closed: tuple[str, ...] = ()
    """The names of the other nodes."""
    places: tuple[ServiceCapacity, ...] = ()
    """By the services' names."""

    @property
    def fits(self) -> bool:
        """Return whether all services fit at their maximum at once, as far as Swarm knows."""
        return all(place.fits for place in self.places)


def add_up(cluster: Cluster, maxima: Mapping[str, Maximum]) -> Capacity:
    """Return the capacity of *cluster* for the *maxima* of the services that a policy applies to, by name.

    A service without a maximum counts with its requested replicas, a global service with each node that takes it, and a
    job with its tasks.
    """
    nodes = [node for node in cluster.nodes if node.takes_tasks]
    room = _Room.of(nodes)
    services = [_Service(view, nodes, maxima.get(name)) for name, view in cluster.services.items()]
    for service in services:
        room.hold(service, nodes)
    total = _total((Amount(node.nano_cpus, node.memory), 1) for node in nodes)
    reserved = total + room.free * -1
    services.sort(key=lambda service: _share(service.reserves, total), reverse=True)
    for service in services:
        placed = room.place(service, service.wanted - service.held)  # waiting tasks come first
        service.held += placed
        service.forgotten = min(placed, sum(task.refused for task in service.view.tasks))
    return Capacity(
        nodes=len(nodes),
        total=total,
        reserved=reserved,
        at_maxima=_total((service.reserves, service.at_maximum) for service in services),
        limits_at_maxima=_total((service.may_use, service.at_maximum) for service in services),
        closed=tuple(sorted(node.hostname or node.id for node in cluster.nodes if not node.takes_tasks)),
        places=tuple(sorted(_places(services, maxima, room, nodes), key=lambda place: place.service)),
    )


class _Service:
    """A service on its way to its maximum."""

    def __init__(self, view: ServiceView, nodes: Sequence[NodeView], maximum: Maximum | None) -> None:
        self.view = view
        self.name = view.name
        self.demand = view.demand
        self.nodes = [index for index, node in enumerate(nodes) if not objection(view.demand, node)]
        """The nodes that take its tasks, by their index."""
        self.grows = maximum is not None and view.mode == "replicated"
        """Whether a policy may ask for more replicas of it."""
        self.most = maximum.replicas if maximum is not None and self.grows else 0
        self.reserves = Amount(view.demand.nano_cpus, view.demand.memory)
        self.limits = Amount(round((view.cpu_limit or 0) * 1e9), round(view.memory_limit or 0))
        self.may_use = Amount(
            self.limits.nano_cpus or self.reserves.nano_cpus, self.limits.memory or self.reserves.memory
        )
        self.held = 0
        """The number of tasks that have room."""
        self.forgotten = 0

    @property
    def wanted(self) -> int:
        """Return how many tasks the service asks for now."""
        if self.view.mode == "replicated":
            return self.view.requested
        return len(self.nodes) if self.view.mode == "global" else self.held

    @property
    def at_maximum(self) -> int:
        """Return how many tasks it has with its policy at its maximum; without a policy, as many as it asks for."""
        return max(self.wanted, self.most)

    @property
    def growth(self) -> int:
        """Return how many more tasks it has at its maximum than have room now."""
        return max(0, self.at_maximum - self.held)


@dataclass(slots=True)
class _Room:
    """The free room of each node, in the order of the nodes."""

    nano_cpus: list[int]
    memory: list[int]
    ports: set[tuple[int, str]]
    """The taken ports, each with the index of its node."""
    counts: Counter[tuple[str, int]]
    """The number of tasks of a service on a node, for services with a maximum per node."""

    @classmethod
    def of(cls, nodes: Sequence[NodeView]) -> Self:
        return cls([node.nano_cpus for node in nodes], [node.memory for node in nodes], set(), Counter())

    @property
    def free(self) -> Amount:
        """Return the free room of all nodes together."""
        return Amount(sum(self.nano_cpus), sum(self.memory))

    def copy(self) -> _Room:
        return _Room(self.nano_cpus[:], self.memory[:], self.ports.copy(), self.counts.copy())

    def hold(self, service: _Service, nodes: Sequence[NodeView]) -> None:
        """Take the room of the tasks that have a node, even if they would no longer be placed there.

        Tasks on other nodes stay where they are. A paused node keeps its tasks; a node that is down or drained has
        none.
        """
        places = {node.id: index for index, node in enumerate(nodes)}
        for task in service.view.tasks:
            if task.holds_room:
                service.held += 1
                if task.node in places:
                    self._take(service, places[task.node], 1)

    def place(self, service: _Service, count: int) -> int:
        """Find room for *count* more tasks, first fit; return how many found it."""
        left = count
        for index in service.nodes:
            if left <= 0:
                break
            fitting = min(left, self.fitting(service, index))
            self._take(service, index, fitting)
            left -= fitting
        return max(0, count) - max(0, left)

    def further(self, service: _Service) -> int:
        """Return how many more tasks find room; `_MOST` or more if any number does."""
        return sum(self.fitting(service, index) for index in service.nodes)

    def fitting(self, service: _Service, index: int) -> int:
        """Return how many more tasks the node takes, at most `_MOST`."""
        demand, fitting = service.demand, _MOST
        if demand.nano_cpus:
            fitting = min(fitting, self.nano_cpus[index] // demand.nano_cpus)
        if demand.memory:
            fitting = min(fitting, self.memory[index] // demand.memory)
        if demand.max_per_node:
            fitting = min(fitting, demand.max_per_node - self.counts[service.name, index])
        if demand.host_ports:
            fitting = min(fitting, 0 if any((index, port) in self.ports for port in demand.host_ports) else 1)
        return max(0, fitting)

    def _take(self, service: _Service, index: int, count: int) -> None:
        if not count:
            return
        demand = service.demand
        self.nano_cpus[index] -= demand.nano_cpus * count
        self.memory[index] -= demand.memory * count
        self.ports.update((index, port) for port in demand.host_ports)
        if demand.max_per_node:
            self.counts[service.name, index] += count


def _places(
    services: Sequence[_Service], maxima: Mapping[str, Maximum], room: _Room, nodes: Sequence[NodeView]
) -> Iterator[ServiceCapacity]:
    """Yield the capacity of each of *services* that a policy applies to. They come in the order of their size."""
    own = [service for service in services if service.grows]
    full = room.copy()
    lacking = {service: service.growth - full.place(service, service.growth) for service in own}
    # If all fit, each may have the room that is left. If not, each is judged as if it were placed last.
    last = _each_last(own, room) if any(lacking.values()) else ((service, full, service.at_maximum) for service in own)
    for service, others, there in last:
        now = service.held + room.further(service)
        with_others = min(now, there + others.further(service))
        if lacking[service]:
            with_others = min(with_others, service.at_maximum - lacking[service])
        obstacle, cure = _obstacle(service, nodes, with_others) if with_others < service.most else ("", "")
        yield ServiceCapacity(
            service=service.name,
            policy=maxima[service.name].policy,
            requested=service.view.requested,
            maximum=service.most,
            now=now if now < _MOST else None,
            with_others=with_others if with_others < _MOST else None,
            reserves=service.reserves,
            limits=service.limits,
            forgotten=service.forgotten,
            obstacle=obstacle,
            cure=cure,
        )


def _each_last(services: Sequence[_Service], room: _Room) -> Iterator[tuple[_Service, _Room, int]]:
    """Yield each of *services* with the room left once all others are at their maximum, and its tasks there.

    The list is halved again and again, so that each of a thousand services is placed ten times and not a thousand
    times.
    """
    if len(services) == 1:
        yield services[0], room, services[0].held
        return
    middle = len(services) // 2
    for others, rest in ((services[middle:], services[:middle]), (services[:middle], services[middle:])):
        fuller = room.copy()
        for service in others:
            fuller.place(service, service.growth)
        yield from _each_last(rest, fuller)


def _obstacle(service: _Service, nodes: Sequence[NodeView], fitting: int) -> tuple[str, str]:
    """Return what keeps *service* from fitting at its maximum, and the cure."""
    demand = service.demand
    if not nodes:
        return "no node takes tasks", "make a node active"
    if not service.nodes:
        unmet = Counter(objection(demand, node) for node in nodes).most_common(1)[0][0]
        return f"no node meets {unmet}", "correct the placement, or label a node"
    asks, cures = [], [f"lower max to {fitting}"] if fitting else []
    if demand.nano_cpus or demand.memory:
        asks.append(f"each reserves {service.reserves}")
        cures.append("reserve less")
    if demand.max_per_node:
        asks.append(f"at most {demand.max_per_node} per node")
        cures.append("allow more per node")
    if demand.host_ports:
        asks.append(f"each takes the port {demand.host_ports[0]} of its node")
    there = plural(len(service.nodes), "node")
    return f"{', '.join(asks)}, on {there}", " or ".join(filter(None, (", ".join(cures), "add nodes")))


def _total(amounts: Iterable[tuple[Amount, int]]) -> Amount:
    return sum((amount * count for amount, count in amounts), Amount())


def _share(amount: Amount, total: Amount) -> float:
    """Return the larger of the two shares (CPU and memory) of *amount* in *total*."""
    return max(amount.nano_cpus / (total.nano_cpus or 1), amount.memory / (total.memory or 1))
