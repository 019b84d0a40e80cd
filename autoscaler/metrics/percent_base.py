"""The meaning of 100 % for a service's built-in metrics: as in `docker stats`, from Swarm's own numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.util.amounts import cores, memory

if TYPE_CHECKING:
    from autoscaler.swarm.cluster import ServiceView


@dataclass(frozen=True, slots=True)
class PercentBase:
    """The amount that is 100 %: cores or bytes, and the same in words."""

    amount: float
    words: str


def base_of(metric: str, service: ServiceView) -> PercentBase | None:
    """Return what 100 % of *metric* is for *service*; None if it is not known (memory of a service that runs nowhere).

    For CPU it is the CPU limit, or one core without a limit. For memory it is the memory limit, or without a limit the
    memory of the smallest node that runs the service.
    """
    if metric == "cpu":
        if service.cpu_limit:
            return PercentBase(service.cpu_limit, f"the limit of {cores(service.cpu_limit)}")
        return PercentBase(1.0, "1 core (no limit)")
    if service.memory_limit:
        return PercentBase(service.memory_limit, f"the limit of {memory(service.memory_limit)}")
    if service.node_memory:
        return PercentBase(service.node_memory, f"a node's {memory(service.node_memory)} (no limit)")
    return None
