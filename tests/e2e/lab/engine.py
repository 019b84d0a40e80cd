"""A private Docker engine, manager of a swarm of its own or of one that it joins."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from .network import Network, Switch
from .priority import ordinary_parent, preferred_parent
from .process import PATIENCE, Child, LabError, run, wait_for
from .releases import Release, chosen
from .scratch import Scratch

Document = dict[str, Any]  # what the engine's API answers: JSON as it came
_SWARM_TAKES = 60.0
"""Seconds after which a container of a removed service is one that Swarm has forgotten."""
_WRITES = 10
"""How often an update is tried that others come before."""


class Engine:
    """A real dockerd in swarm mode with its own socket, data and network; a context manager.

    Several can run at the same time, and on a *switch* they can be managers of one swarm: the first makes it, and the
    others join it. On exit nothing of it is left: no process, mount, interface, directory.
    """

    network: Network

    def __init__(
        self,
        release: Release | None = None,
        *,
        timeout: float = 60,
        switch: Switch | None = None,
        joins: Self | None = None,
    ) -> None:
        self.release = release or chosen()
        self._timeout = timeout
        self._switch = switch
        self._joins = joins
        self._swarm_address = "127.0.0.1"
        self._dockerd: Child | None = None
        self._client: docker.APIClient | None = None
        self._cleanup = contextlib.ExitStack()
        self._directory: Path | None = None
        self._lock_fd = -1

    def __enter__(self) -> Self:
        # Whatever fails from here on, what was made before is taken down again.
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(Scratch())
            self._directory, self._lock_fd = scratch.path, scratch.lock_fd
            self.network = stack.enter_context(Network(scratch))
            stack.callback(self.stop)
            self._launch()
            self._enter_swarm()
            stack.callback(self.remove_services)
            wait_for("the swarm to have a leader", self._leads)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    # The engine itself.

    @property
    def directory(self) -> Path:
        """The engine's temporary directory: logs are there, and tests may put files there that containers mount."""
        if self._directory is None:
            raise LabError("the engine is used before it was entered; use it as a context manager")
        return self._directory

    @property
    def socket(self) -> Path:
        """The engine's socket; there only while the engine runs."""
        return self.directory / "docker.sock"

    @property
    def socket_url(self) -> str:
        """The engine's address for DOCKER_HOST and clients."""
        return f"unix://{self.socket}"

    @property
    def client(self) -> docker.APIClient:
        """A client of the running engine; a new one after every start."""
        if self._client is None:
            raise LabError("the engine is not running; start() it first")
        return self._client

    @property
    def running(self) -> bool:
        """Whether dockerd is there, paused or not."""
        return self._dockerd is not None and self._dockerd.alive

    @property
    def log_tail(self) -> str:
        """The end of dockerd's log."""
        return "" if self._dockerd is None else self._dockerd.log_tail

    def start(self) -> None:
        """Run dockerd on the data it has, and return when the swarm takes commands."""
        if self.running:
            raise LabError("the engine runs already; stop() it first")
        self._launch()
        wait_for("the swarm to have a leader again", self._leads)
        # The swarm learns late that its tasks ended with the engine. New ones start after the restart delay (5 s).
        wait_for("the tasks that ended to be told from those that run", self._knows_its_tasks)

    def stop(self) -> None:
        """Stop dockerd with its containers and containerd; data stays, the socket goes. Nothing to do when stopped."""
        if self._dockerd is None:
            return
        if self._client is not None:
            self._client.close()
            self._client = None
        self._dockerd.stop(timeout=60)  # dockerd gives containers 15 s at most
        self._dockerd = None
        self.network.end_processes()
        self.socket.unlink(missing_ok=True)

    def kill(self) -> None:
        """End dockerd, containerd and all containers at once, as a power cut does; data stays."""
        self.network.end_processes()
        self.stop()

    def upgrade(self, release: Release) -> None:
        """Stop dockerd and run another release's on the same data and socket."""
        self.stop()
        self.release = release
        self.start()

    def pause(self) -> None:
        """Leave dockerd hanging: connections are accepted and never answered. Containers go on."""
        self._child.pause()

    def resume(self) -> None:
        """Let a paused dockerd go on."""
        self._child.resume()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """A hanging dockerd for the time of the context."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @property
    def node_id(self) -> str:
        """Its node's id in the swarm, which it keeps over restarts."""
        identity: str = self.client.info()["Swarm"]["NodeID"]
        return identity

    # Images and the command line.

    def import_image(self, archive: Path | IO[bytes], name: str, changes: Sequence[str] = ()) -> str:
        """Make the root file system in a tar *archive* an image called *name* (`repository:tag`); returns the name.

        *changes* are Dockerfile instructions for its configuration, such as `CMD ["/bin/load"]`.
        """
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(archive.open("rb")) if isinstance(archive, Path) else archive
            answer = self.client.post(
                self._url("/images/create"),
                params={"fromSrc": "-", "repo": name, "changes": list(changes)},
                headers={"Content-Type": "application/tar"},
                data=stream,
                timeout=PATIENCE,
            )
        # A failure in mid-import is a 200 with an error in the text.
        if not answer.ok or '"error"' in answer.text:
            raise LabError(f"the engine refused the image {name}: {answer.text.strip()}")
        return name

    def docker(
        self,
        *arguments: str | Path,
        timeout: float = PATIENCE,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> str:
        """What `docker ARGUMENTS` prints, run against this engine without anyone's docker configuration."""
        own = {
            "DOCKER_HOST": self.socket_url,
            "DOCKER_CONFIG": str(self.directory / "docker-config"),
            "DOCKER_BUILDKIT": "0",  # there may be no buildx
        }
        return run(*self.release.command("docker", *arguments), timeout=timeout, env=own | dict(env or {}), cwd=cwd)

    def build(self, context: Path, name: str, *arguments: str, timeout: float = 1800) -> str:
        """Build an image called *name* from *context*, with the network this machine has; returns what was printed."""
        with self.network.outbound():
            return self.docker("build", "--tag", name, *ordinary_parent(), *arguments, context, timeout=timeout)

    # Services, by the raw API: no client library fills in defaults.

    def create_service(self, spec: Document) -> str:
        """Create a service from the API's ServiceSpec as it is; returns its id."""
        identity: str = self._post("/services/create", spec)["ID"]
        return identity

    def update_service(self, name: str, spec: Document) -> None:
        """Replace a service's spec as `docker service update` would: on its present version.

        Again where Swarm wrote between the two calls, as it does in rollouts.
        """
        for left in reversed(range(_WRITES)):
            version = self.service(name)["Version"]["Index"]
            try:
                self._post(f"/services/{name}/update", spec, version=version)
            except LabError as error:
                if not left or "out of sequence" not in str(error):
                    raise
            else:
                return

    def service(self, name: str) -> Document:
        """The service as stored, no defaults inserted; a LabError without one."""
        found: Document = self._get(f"/services/{name}")
        return found

    def rollout(self, name: str) -> str:
        """The state of a service's last update as Swarm tells it; empty where it says nothing, as just after one."""
        return str((self.service(name).get("UpdateStatus") or {}).get("State", ""))

    def replicas(self, name: str) -> int:
        """The number of replicas requested in the service's spec."""
        count: int = self.service(name)["Spec"]["Mode"]["Replicated"]["Replicas"]
        return count

    def tasks(self, name: str) -> list[Document]:
        """All tasks of a service that the swarm remembers, ended ones included."""
        found: list[Document] = self._get("/tasks", filters=json.dumps({"service": [name]}))
        return found

    def running_tasks(self, name: str) -> list[Document]:
        """The tasks that are desired running and are running, by slot."""
        running = [
            task
            for task in self.tasks(name)
            if task["DesiredState"] == "running" and task["Status"]["State"] == "running"
        ]
        return sorted(running, key=lambda task: int(task.get("Slot", 0)))

    def wait_running(self, name: str, count: int, timeout: float = PATIENCE) -> list[Document]:
        """The running tasks as soon as there are exactly *count*; a LabError tells each task's state otherwise."""

        def reached() -> tuple[list[Document]] | None:
            running = self.running_tasks(name)
            return (running,) if len(running) == count else None  # boxed: none running is an answer too

        try:
            return wait_for(f"{count} running tasks of {name}", reached, timeout)[0]
        except LabError as error:
            states = "; ".join(map(_state, self.tasks(name))) or "it has no tasks"
            raise LabError(f"{error}; tasks: {states}") from error

    def remove_service(self, name: str, timeout: float = PATIENCE) -> None:
        """Remove a service and wait until its containers are gone; nothing to do without one.

        What Swarm forgets is removed by force: 20.10 forgets the containers of a job's running tasks, and now and then
        that of a task that was starting.
        """
        jobs = [service for service in self._get("/services") if service["Spec"]["Name"] == name and _is_job(service)]
        self._delete(name)
        gone = f"the containers of {name} to be gone"
        try:
            wait_for(gone, lambda: not self._containers(name), 0 if jobs else _SWARM_TAKES)
        except LabError:
            wait_for(gone, lambda: not self._remove_containers(name), timeout)

    def remove_services(self) -> None:
        """Ask for the end of everything; what does not comply in time is ended with the engine."""
        if not self.running:
            return
        self.resume()
        with contextlib.suppress(OSError, DockerException, LabError):
            for service in self._get("/services"):
                self._delete(service["ID"])
            wait_for("the containers to be gone", lambda: not self.client.containers(all=True), timeout=20)

    def _containers(self, service: str) -> list[Document]:
        found: list[Document] = self.client.containers(
            all=True, filters={"label": f"com.docker.swarm.service.name={service}"}
        )
        return found

    def _remove_containers(self, service: str) -> bool:
        """Remove the containers of a service by force; true if there were any."""
        found = self._containers(service)
        for container in found:
            with contextlib.suppress(NotFound):
                self.client.remove_container(container["Id"], force=True)
        return bool(found)

    @property
    def _child(self) -> Child:
        if self._dockerd is None:
            raise LabError("the engine is not running; start() it first")
        return self._dockerd

    def _launch(self) -> None:
        directory = self.directory
        settings = directory / "daemon.json"  # instead of the machine's
        settings.write_text(json.dumps(preferred_parent()))
        self._dockerd = Child(
            "dockerd",
            self.network.inside(
                *self.release.command("dockerd"),
                f"--host={self.socket_url}",
                f"--data-root={directory / 'data'}",
                f"--exec-root={directory / 'exec'}",
                f"--pidfile={directory / 'dockerd.pid'}",
                f"--config-file={settings}",
            ),
            directory / "dockerd.log",
            keep_fds=[self._lock_fd],
        )
        self._dockerd.wait_ready(self.socket.exists)
        self._client = docker.APIClient(base_url=self.socket_url, version="auto", timeout=int(self._timeout))
        self._dockerd.wait_ready(self._client.ping)

    def _enter_swarm(self) -> None:
        if self._switch is not None:
            self._swarm_address = self._switch.plug(self.network)
        here, port = self._swarm_address, 2377
        if self._joins is None:
            self.client.init_swarm(advertise_addr=here, listen_addr=f"{here}:{port}")
            return
        token = self._joins.client.inspect_swarm()["JoinTokens"]["Manager"]
        there = f"{self._joins._swarm_address}:{port}"
        try:
            self.client.join_swarm([there], token, advertise_addr=here, listen_addr=f"{here}:{port}")
        except APIError as error:
            # After 20 s dockerd answers so, and goes on joining: what waits for it to lead sees the end of that.
            if "Timeout was reached before node joined" not in str(error):
                raise

    def _leads(self) -> bool:
        self._get("/services")  # a 503 until the raft has a leader
        return bool(self.client.info()["Swarm"]["ControlAvailable"])

    def _knows_its_tasks(self) -> bool:
        containers = {container["Id"] for container in self._get("/containers/json")}
        return all(
            task["Status"]["ContainerStatus"]["ContainerID"] in containers
            for task in self._get("/tasks", filters=json.dumps({"node": [self.node_id]}))
            if task["Status"]["State"] == "running"
        )

    def _get(self, path: str, **params: str) -> Any:
        answer = self.client.get(self._url(path), params=params, timeout=self._timeout)
        return _accepted(answer, f"GET {path}").json()

    def _post(self, path: str, document: Document, **params: int) -> Any:
        answer = self.client.post(self._url(path), params=params, json=document, timeout=self._timeout)
        return _accepted(answer, f"POST {path}").json()

    def _delete(self, service: str) -> None:
        answer = self.client.delete(self._url(f"/services/{service}"), timeout=self._timeout)
        if answer.status_code != requests.codes.not_found:
            _accepted(answer, f"DELETE /services/{service}")

    def _url(self, path: str) -> str:
        return f"{self.client.base_url}/v{self.client.api_version}{path}"


def _accepted(answer: requests.Response, what: str) -> requests.Response:
    if not answer.ok:
        raise LabError(f"{what}: {answer.status_code}: {answer.text.strip()}")
    return answer


def _state(task: Document) -> str:
    status = task["Status"]
    reason = status.get("Err") or status.get("Message", "")
    return f"slot {task.get('Slot', '-')} desired {task['DesiredState']}, {status['State']}: {reason}"


def _is_job(service: Document) -> bool:
    return any(mode.endswith("Job") for mode in service["Spec"]["Mode"])
