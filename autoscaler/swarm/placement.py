"""Placement: what a task asks of a node, what a node has, and whether the two agree.

Volume and network plugins and generic resources are not considered, because lists of services and nodes do not show
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NODE_LABELS = "node.labels."
_ENGINE_LABELS = "engine.labels."
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The architectures that nodes and images name differently."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The demand of each task of a service on its node."""

    nano_cpus: int = 0
    """The reserved CPU; 0 without a reservation."""
    memory: int = 0
    """The reserved bytes; 0 without a reservation."""
    constraints: tuple[str, ...] = ()
    """Constraints as in the spec, like `node.role == manager`. All must hold."""
    platforms: tuple[tuple[str, str], ...] = ()
    """Operating systems and architectures, one of which the node must have; an empty part means any."""
    max_per_node: int = 0
    """The most tasks of the service on one node; 0 for any number."""
    host_ports: tuple[str, ...] = ()
    """Ports that the task takes of its node, like `8080/tcp`."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as Swarm lists it."""

    id: str
    hostname: str = ""
    role: str = ""
    takes_tasks: bool = True
    """Whether the node is ready and its availability is active."""
    nano_cpus: int = 0
    memory: int = 0
    """Bytes."""
    os: str = ""
    architecture: str = ""
    address: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    engine_labels: Mapping[str, str] = field(default_factory=dict)


def objection(demand: Demand, node: NodeView) -> str:
    """Return the constraint for which even an empty *node* takes no task of this *demand*; empty if it takes them."""
    for constraint in demand.constraints:
        if not satisfies(node, constraint):
            return constraint
    if demand.platforms and not any(_runs(node, *platform) for platform in demand.platforms):
        return " or ".join("/".join(filter(None, platform)) for platform in demand.platforms)
    return ""


def satisfies(node: NodeView, constraint: str) -> bool:
    """Return whether *node* meets the *constraint*, `KEY == VALUE` or `KEY != VALUE`, as Swarm judges it.

    Values are compared without regard to case. A label that the node does not have is empty. No node meets a
    constraint with a key that Swarm does not know.
    """
    equal = "==" in constraint
    key, _, value = (part.strip() for part in constraint.partition("==" if equal else "!="))
    if key.lower() == "node.ip":
        return _within(node.address, value) is equal
    found = _value(node, key)
    return found is not None and (found.lower() == value.lower()) is equal


def _value(node: NodeView, key: str) -> str | None:
    low = key.lower()
    if low.startswith(_NODE_LABELS):
        return node.labels.get(key[len(_NODE_LABELS) :], "")
    if low.startswith(_ENGINE_LABELS):
        return node.engine_labels.get(key[len(_ENGINE_LABELS) :], "")
    known = {
        "node.id": node.id,
        "node.hostname": node.hostname,
        "node.role": node.role,
        "node.platform.os": node.os,
        "node.platform.arch": node.architecture,
    }
    return known.get(low)


def _within(address: str, network: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False


def _runs(node: NodeView, os: str, architecture: str) -> bool:
    same_os = not os or os.lower() == node.os.lower()
    return same_os and (not architecture or _common(architecture) == _common(node.architecture))


def _common(architecture: str) -> str:
    return _ARCHITECTURES.get(architecture.lower(), architecture.lower())
