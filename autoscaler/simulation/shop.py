"""The demo's plant: a small shop on a simulated Swarm, with services under different loads."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import cos, tau
from typing import TYPE_CHECKING, Any

from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.simulation.parts import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.ports import Clock

DAY = 2400.0
"""The seconds of a day of the shop, in which its visitors come and go."""
_MIB = 2**20
_STARTUP = 12.0
_LINGER = 3
"""The number of scrapes that show an ended task, with the one at its end."""


@dataclass(frozen=True, slots=True)
class Offering:
    """A service of the shop: its resources, and the load of its visitors.

    *cpu* gives the cores that all replicas together would use if they had enough, and *memory* the MiB that they share.
    Both depend on the seconds since the demo began, which are negative before.
    """

    name: str
    replicas: int
    cpu_limit: float
    memory_limit: int
    cpu: Callable[[float], float]
    memory: Callable[[float], float] = lambda _: 120.0
    reserved: float = 0.1
    """The cores that each replica reserves on its node."""


def _wave(seconds: float) -> float:
    return 0.55 + 2.0 * (1 - cos(tau * seconds / DAY)) / 2


def _burst(seconds: float) -> float:
    return 3.0 if 180 <= seconds % DAY < 900 else 0.35  # noqa: PLR2004 - the hours of the sale


def _release_day(seconds: float) -> float:
    return 1.25 if 270 <= seconds % DAY < 900 else 0.8  # noqa: PLR2004 - curious visitors after the release


def _month_end(seconds: float) -> float:
    return 150 + 0.6 * (seconds % DAY if seconds % DAY < DAY / 2 else 0)


def _upload_rush(seconds: float) -> float:
    return 2.0 + min(max(seconds, 0.0), 600) / 60


OFFERINGS = (
    Offering("shop_storefront", 2, 0.5, 256, _wave),
    Offering("shop_checkout", 2, 0.5, 256, _burst),
    Offering("shop_search", 3, 0.5, 256, _release_day),
    Offering("shop_reports", 1, 0.5, 256, lambda _: 0.1, _month_end),
    Offering("shop_encoder", 1, 4.0, 1024, _upload_rush, reserved=6.0),
)
_RELEASES = (300.0, 1500.0)
"""The second of a day at which a new version of the search is deployed."""


class Shop:
    """The shop's services on a simulated Swarm of three nodes. The rushes come after *demo_begins*."""

    def __init__(self, clock: Clock, demo_begins: float) -> None:
        self._clock = clock
        self._begins = demo_begins
        nodes = [Node(f"node-{number}") for number in (1, 2, 3)]
        self.engine = SimulatedEngine(clock, startup=_STARTUP, nodes=nodes)
        for offering in OFFERINGS:
            self.engine.create_service(_spec(offering))
        self._released = 0
        self._shown: dict[tuple[str, str], deque[int]] = {}
        """The number of tasks that ran at the last samples, by service and metric."""

    def sample(self, metric: str, at: int) -> dict[str, tuple[float, int]]:
        """Return what each service uses per running replica at *at* (in cores or bytes), and how many run."""
        self._release_if_due()
        seconds = at - self._begins
        samples = {}
        for offering in OFFERINGS:
            running = self.engine.running(offering.name)
            if not running:
                continue
            if metric == "cpu":
                value = min(offering.cpu(seconds) / running, offering.cpu_limit)
            else:
                value = min(offering.memory(seconds) / running, offering.memory_limit) * _MIB
            samples[offering.name] = (value, self._reporting(offering.name, metric, running))
        return samples

    def _reporting(self, service: str, metric: str, running: int) -> int:
        """Return how many tasks Prometheus shows if *running* run. Ended ones are shown for two more scrapes."""
        shown = self._shown.setdefault((service, metric), deque(maxlen=_LINGER))
        shown.append(running)
        return max(shown)

    def _release_if_due(self) -> None:
        days, seconds = divmod(max(0.0, self._clock.now() - self._begins), DAY)
        due = int(days) * len(_RELEASES) + sum(seconds >= moment for moment in _RELEASES)
        if due > self._released:
            self._released = due
            self.engine.change_service("shop_search", _new_version(due))


def _new_version(number: int) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = f"shop/search:{number + 1}"

    return change


def _spec(offering: Offering) -> dict[str, Any]:
    return {
        "Name": offering.name,
        "Labels": {},
        "Mode": {"Replicated": {"Replicas": offering.replicas}},
        "TaskTemplate": {
            "ContainerSpec": {"Image": f"{offering.name.replace('_', '/')}:1"},
            "Resources": {
                "Limits": {
                    "NanoCPUs": round(offering.cpu_limit * 1e9),
                    "MemoryBytes": offering.memory_limit * _MIB,
                },
                "Reservations": {"NanoCPUs": round(offering.reserved * 1e9)},
            },
        },
        "UpdateConfig": {"Parallelism": 1, "Delay": 20_000_000_000},
    }
