"""The simulated engine with a service `web`, whose rollouts are watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.testing import ManualClock

if TYPE_CHECKING:
    from autoscaler.simulation.parts import Node

Document = dict[str, Any]

GOOD, BETTER, BAD = "app:1", "app:2", "app:bad"


class Lab:
    """An engine whose tasks start in 2 s and stop in 1 s, and where `BAD` fails."""

    def __init__(self, *nodes: Node) -> None:
        self.clock = ManualClock()
        self.engine = SimulatedEngine(self.clock, startup=2, shutdown=1, nodes=nodes or None)
        self.engine.break_image(BAD, "task: non-zero exit (7)")

    def after(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.time += seconds

    def create(self, replicas: int = 4, update: Document | None = None, **more: Any) -> None:
        """Create the service, rolled out as *update* says as well, and let it run."""
        document = spec(replicas, **more)
        document["UpdateConfig"] |= update or {}
        self.engine.create_service(document)
        self.after(10)

    def fail(self, image: str) -> None:
        """Let the one task of this image fail."""
        self.engine.fail_task("web", f"task: non-zero exit (7) of {image}", image)

    def deploy(self, image: str) -> None:
        """`docker service update --image`."""
        self.engine.change_service("web", lambda spec: spec["TaskTemplate"].update(ContainerSpec={"Image": image}))

    def versions(self) -> tuple[tuple[str, int], tuple[str, int] | None, str]:
        """Image and count of the spec, the same of the previous spec, and the rollout's state."""
        service = self.engine.service("web")
        previous = service.get("PreviousSpec")
        state = (service.get("UpdateStatus") or {}).get("State", "")
        return _summary(service["Spec"]), previous and _summary(previous), state

    @property
    def running(self) -> dict[str, int]:
        """How many tasks of each image run."""
        found: dict[str, int] = {}
        for task in self.engine.tasks():
            if task["Status"]["State"] == "running":
                image = task["Spec"]["ContainerSpec"]["Image"]
                found[image] = found.get(image, 0) + 1
        return found

    def states(self, *, ended: bool = False) -> list[tuple[str, str]]:
        """Desired state and state of the tasks."""
        return sorted((task["DesiredState"], task["Status"]["State"]) for task in self.engine.tasks(ended=ended))


def _summary(spec: Document) -> tuple[str, int]:
    return spec["TaskTemplate"]["ContainerSpec"]["Image"], spec["Mode"]["Replicated"]["Replicas"]


def spec(replicas: int = 4, *, action: str = "pause", **template: Any) -> Document:
    """The service `web` of *replicas*, with this failure action."""
    return {
        "Name": "web",
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"ContainerSpec": {"Image": GOOD}, **template},
        "UpdateConfig": {"Parallelism": 1, "FailureAction": action},
    }
