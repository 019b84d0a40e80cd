"""One swarm of several managers."""

import contextlib
from types import TracebackType
from typing import Self

from docker.errors import DockerException

from .engine import Document, Engine
from .network import Switch
from .process import LabError, wait_for
from .releases import Release, chosen
from .scratch import Scratch


class Nodes:
    """A swarm of *count* managers, each an engine on a machine of its own as far as it can tell; a context manager."""

    def __init__(self, release: Release | None = None, *, count: int = 3) -> None:
        self._release = release or chosen()
        self._count = count
        self.engines: list[Engine] = []
        self._switch: Switch | None = None
        self._ids: dict[str, Engine] = {}
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(Scratch())
            self._switch = stack.enter_context(Switch(scratch))
            for number in range(self._count):
                engine = Engine(self._release, switch=self._switch, joins=self.engines[0] if number else None)
                self.engines.append(stack.enter_context(engine))
                self._ids[engine.node_id] = engine
            stack.callback(self._end)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def leader(self) -> Engine:
        """The engine that leads the swarm, as the others see it; a LabError while there is none."""
        return wait_for("the swarm to have a leader", self._find_leader)

    def others(self, *engines: Engine) -> list[Engine]:
        """The engines that are none of these."""
        return [engine for engine in self.engines if engine not in engines]

    def node(self, engine: Engine, seen_by: Engine) -> Document:
        """The engine's node as another engine sees it."""
        node: Document = seen_by.client.inspect_node(self.id(engine))
        return node

    def id(self, engine: Engine) -> str:
        """The engine's node id, which is known also while it does not run."""
        return next(identity for identity, known in self._ids.items() if known is engine)

    def cut(self, engine: Engine) -> None:
        """Part the engine from the others, in silence; it runs on, and is reached from here."""
        self._wires.cut(engine.network)

    def mend(self, engine: Engine) -> None:
        """Join the engine to the others again; nothing to do where it is."""
        self._wires.mend(engine.network)

    def recover(self) -> None:
        """Let every engine run, joined to the others, on a ready node."""
        for engine in self.engines:
            self.mend(engine)
            if not engine.running:
                engine.start()
            engine.resume()
        wait_for("all nodes to be ready", self._all_ready)

    @property
    def _wires(self) -> Switch:
        if self._switch is None:
            raise LabError("the nodes are used before they were entered; use them as a context manager")
        return self._switch

    def _find_leader(self) -> Engine | None:
        for engine in self.engines:
            if engine.running:
                with contextlib.suppress(OSError, DockerException):
                    for node in engine.client.nodes():
                        if (node.get("ManagerStatus") or {}).get("Leader"):
                            return self._ids[node["ID"]]
        return None

    def _all_ready(self) -> bool:
        nodes = self.engines[0].client.nodes()
        return len(nodes) == len(self.engines) and all(
            node["Status"]["State"] == "ready"
            and (node.get("ManagerStatus") or {}).get("Reachability") == "reachable"
            and node["Spec"]["Availability"] == "active"
            for node in nodes
        )

    def _end(self) -> None:
        """End every engine with its containers at once: a swarm that has no quorum would take minutes to stop."""
        for engine in self.engines:
            self.mend(engine)
            if engine.running:
                engine.resume()
                with contextlib.suppress(OSError, DockerException):  # each by its engine, so that no cgroup is left
                    for container in engine.client.containers():
                        engine.client.kill(container)
            engine.kill()
