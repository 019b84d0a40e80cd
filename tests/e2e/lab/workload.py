"""Services whose load the test turns up and down while their tasks run on."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .engine import Document, Engine
from .images import load_image

_BLOCK = 65536  # bytes; load.sh counts memory in such blocks


class Load:
    """A service of the lab whose tasks burn CPU and hold memory as `set` says; percentages are of a task's limits."""

    def __init__(self, engine: Engine, name: str, *, cpus: float, mib: int) -> None:
        self.engine = engine
        self.name = name
        self.cpus = cpus
        self.mib = mib
        self._control = engine.directory / "control" / name
        self._control.mkdir(parents=True, exist_ok=True)
        self._cpu, self._mem = 0.0, 0.0
        self.set()

    @property
    def control(self) -> Path:
        """The directory to mount at /control."""
        return self._control

    def set(self, *, cpu: float | None = None, mem: float | None = None, slot: int | None = None) -> None:
        """Make every task (or only the one in *slot*) use *cpu* percent of its CPU limit and *mem* of its memory limit.

        What is left out stays as it was set for all. Tasks follow within 0.2 s; a task that starts later follows too.
        A task without load uses about 1 % of a core and 1 MiB. Beyond 100 % CPU is throttled, memory kills the task.
        """
        cpu = self._cpu if cpu is None else cpu
        mem = self._mem if mem is None else mem
        if slot is None:
            self._cpu, self._mem = cpu, mem
        line = f"{round(cpu * self.cpus * 100)} {round(mem / 100 * self.mib * 1024 * 1024 / _BLOCK)}\n"
        file = self._control / ("all" if slot is None else f"slot-{slot}")
        # Renamed into place: a task must never read half a line.
        half = file.with_suffix(".new")
        half.write_text(line)
        half.replace(file)

    def release(self, slot: int) -> None:
        """Let the task in *slot* follow the load set for all again."""
        (self._control / f"slot-{slot}").unlink(missing_ok=True)

    @property
    def replicas(self) -> int:
        """The number of replicas requested in the service's spec."""
        return self.engine.replicas(self.name)

    @property
    def task_ids(self) -> frozenset[str]:
        """The ids of the running tasks: they stay when nothing restarts them."""
        return frozenset(str(task["ID"]) for task in self.engine.running_tasks(self.name))


def start_load(  # noqa: PLR0913 -- what a service is made of; all by keyword, all but the name with a default
    engine: Engine,
    name: str,
    *,
    replicas: int = 1,
    cpus: float = 0.15,
    mib: int = 32,
    labels: Mapping[str, str] | None = None,
    command: Sequence[str] | None = None,
    change: Callable[[Document], None] | None = None,
    wait: bool = True,
) -> Load:
    """Create a service of idle tasks, each limited to *cpus* of a core and *mib* MiB, and wait until they run.

    *command* runs instead of the load script (`["/bin/false"]` fails on start); *change* may edit the ServiceSpec
    before it is sent (update configs, health checks, no limits, …); with `wait=False` nothing is waited for.
    """
    load = Load(engine, name, cpus=cpus, mib=mib)
    spec: Document = {
        "Name": name,
        "Labels": dict(labels or {}),
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": load_image(engine),
                "Command": list(command or ["/bin/load"]),
                "Env": ["SLOT={{.Task.Slot}}"],
                "Mounts": [
                    {"Type": "bind", "Source": os.fspath(load.control), "Target": "/control", "ReadOnly": True},
                    {"Type": "tmpfs", "Target": "/held"},  # its pages count as the task's memory and go at once
                ],
                "StopGracePeriod": 3_000_000_000,
            },
            "Resources": {"Limits": {"NanoCPUs": round(cpus * 1e9), "MemoryBytes": mib * 1024 * 1024}},
        },
    }
    if change is not None:
        change(spec)
    engine.create_service(spec)
    if wait:
        engine.wait_running(name, replicas)
    return load
