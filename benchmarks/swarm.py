"""The Swarm of a benchmark, served as Docker's API by this process, whose CPU time is nobody's under measurement.

    python -m benchmarks.swarm SOCKET SERVICES START

It says `ready` when it answers, and ends when its standard input does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.simulation.parts import Node
from benchmarks.world import AGE, CORES, MEMORY, TASKS, World
from tests.support.engine_server import EngineServer

if TYPE_CHECKING:
    from collections.abc import Collection

    from autoscaler.adapters.docker.engine_api import Document
    from autoscaler.util.deadline import Deadline

_TASKS_PER_NODE = 150


class StandingClock:
    """A clock that is moved by hand."""

    def __init__(self, moment: float) -> None:
        self.moment = moment

    def now(self) -> float:
        """The moment it stands at."""
        return self.moment


class StandingSwarm(SimulatedEngine):
    """The services of *world*, whose tasks have run for an hour; documents as long as a real engine's, made once.

    Nothing happens in this Swarm.
    """

    def __init__(self, world: World) -> None:
        clock = StandingClock(world.start - AGE - 60)
        count = max(3, world.services * TASKS // _TASKS_PER_NODE)
        nodes = [Node(f"node-{number:03d}", role="worker") for number in range(count)]
        super().__init__(clock, nodes=nodes)
        for name in world.names:
            self.create_service(_spec(name))
        clock.moment = world.start
        self._all_services = [_whole_service(document) for document in super().services()]
        self._all_tasks = [_whole_task(number, document) for number, document in enumerate(super().tasks())]

    def services(self, _deadline: Deadline | None = None, /) -> list[Document]:
        """All services."""
        return self._all_services

    def tasks(
        self,
        _deadline: Deadline | None = None,
        /,
        *,
        ended: bool = False,  # noqa: ARG002 - none has ended
        whole: Collection[str] = (),  # noqa: ARG002 - all are whole
    ) -> list[Document]:
        """All tasks."""
        return self._all_tasks


def _spec(name: str) -> Document:
    """A service as a stack file of some care makes it: environment, health check, limits, a network, a secret."""
    stack, _, service = name.partition("_")
    labels = {"com.docker.stack.namespace": stack, "com.docker.stack.image": f"registry.example.com/{stack}/{service}"}
    container = {
        "Image": f"registry.example.com/{stack}/{service}:1.4.2@sha256:{'3f' * 32}",
        "Labels": {"com.docker.stack.namespace": stack},
        "Env": [
            "NODE_ENV=production",
            "PORT=8080",
            f"DATABASE_URL=postgresql://app@pgbouncer:6432/{service}",
            "REDIS_URL=redis://redis:6379/0",
            "LOG_LEVEL=info",
            "LOG_FORMAT=json",
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317",
            f"OTEL_SERVICE_NAME={name}",
            "PUBLIC_URL=https://shop.example.com",
            "SESSION_SECRET_FILE=/run/secrets/session",
            "MAX_CONNECTIONS=50",
            "TZ=UTC",
        ],
        "Privileges": {"CredentialSpec": None, "SELinuxContext": None},
        "Mounts": [{"Type": "volume", "Source": f"{stack}_uploads", "Target": "/var/uploads"}],
        "StopGracePeriod": 30_000_000_000,
        "Healthcheck": {
            "Test": ["CMD-SHELL", "wget -qO- http://127.0.0.1:8080/health || exit 1"],
            "Interval": 15_000_000_000,
            "Timeout": 5_000_000_000,
            "Retries": 3,
        },
        "DNSConfig": {},
        "Secrets": [
            {
                "File": {"Name": "session", "UID": "0", "GID": "0", "Mode": 292},
                "SecretID": "k2m9w4hq0x7c5v1b8n3z6t4r2",
                "SecretName": f"{stack}_session",
            }
        ],
        "Isolation": "default",
    }
    network = {"Target": "v8q3n5x0c7b2m9k4j1h6g3f5d", "Aliases": [service]}
    update = {
        "Parallelism": 1,
        "Delay": 10_000_000_000,
        "FailureAction": "rollback",
        "Monitor": 30_000_000_000,
        "MaxFailureRatio": 0,
        "Order": "start-first",
    }
    return {
        "Name": name,
        "Labels": labels,
        "TaskTemplate": {
            "ContainerSpec": container,
            "Resources": {
                "Limits": {"NanoCPUs": round(CORES * 1e9), "MemoryBytes": MEMORY},
                "Reservations": {},
            },
            "RestartPolicy": {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0},
            "Placement": {
                "Constraints": ["node.role == worker"],
                "Platforms": [{"Architecture": "amd64", "OS": "linux"}],
            },
            "Networks": [network],
            "LogDriver": {"Name": "json-file", "Options": {"max-file": "3", "max-size": "10m"}},
            "ForceUpdate": 0,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": TASKS}},
        "UpdateConfig": update,
        "RollbackConfig": update | {"FailureAction": "pause"},
        "EndpointSpec": {"Mode": "vip"},
    }


def _whole_service(document: Document) -> Document:
    """The service with what a deployed one carries beside: the spec before the last update, and its address."""
    endpoint = {
        "Spec": {"Mode": "vip"},
        "VirtualIPs": [{"NetworkID": "v8q3n5x0c7b2m9k4j1h6g3f5d", "Addr": "10.0.1.5/24"}],
    }
    return document | {"PreviousSpec": document["Spec"], "Endpoint": endpoint}


def _whole_task(number: int, document: Document) -> Document:
    """The task with what the engine adds on one that runs: its version and the network it is attached to."""
    times = {"CreatedAt": document["CreatedAt"], "UpdatedAt": document["UpdatedAt"]}
    overlay = {"Name": "overlay", "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4097"}}
    network = {
        "ID": "v8q3n5x0c7b2m9k4j1h6g3f5d",
        "Version": {"Index": 21},
        **times,
        "Spec": {
            "Name": "shop_default",
            "Labels": {"com.docker.stack.namespace": "shop"},
            "DriverConfiguration": {"Name": "overlay"},
            "Scope": "swarm",
        },
        "DriverState": overlay,
        "IPAMOptions": {
            "Driver": {"Name": "default"},
            "Configs": [{"Subnet": "10.0.0.0/16", "Gateway": "10.0.0.1"}],
        },
    }
    address = f"10.0.{number // 250}.{number % 250 + 2}/16"
    status = document["Status"] | {"PortStatus": {}}
    status["ContainerStatus"] |= {"PID": 1000 + number, "ExitCode": 0}
    return document | {
        "Version": {"Index": 100 + number},
        "Labels": {},
        "Status": status,
        "NetworksAttachments": [{"Network": network, "Addresses": [address]}],
        "Volumes": None,
    }


def _serve(socket: Path, world: World) -> None:
    with EngineServer(StandingSwarm(world), socket):
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), World(int(sys.argv[2]), int(sys.argv[3])))
