"""One of several managers of a simulated Swarm: an EngineApi and ConfigApi that may be in a network partition.

It behaves like three real managers (20.10, tests/e2e/test_nodes.py). A leader in a partition answers reads with old
data for 10 to 20 s, and answers no write. Then it steps down, and says that there is no leader until the partition
ends. It takes one write at a time, and remembers the one that was on its way. If nobody else led meanwhile, because the
quorum was lost, that write is carried out in the end. If the others went on without it, the write is never carried out.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from autoscaler.adapters.docker.engine_api import NO_TEMPLATES, NotFoundError
from autoscaler.errors import DeadlineError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.adapters.docker.engine_api import Document, Templates
    from autoscaler.ports import Clock
    from autoscaler.simulation.engine import SimulatedEngine
    from autoscaler.util.deadline import Deadline

T = TypeVar("T")
_SILENCE = "the manager gives no answer in time"
_NO_LEADER = "the Swarm has no leader, because too few of its managers are online"


class Manager:
    """A manager of the Swarm of *engine*."""

    def __init__(self, engine: SimulatedEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._parted = False
        self._leads_until = -inf
        self._known: dict[str, Sequence[Document]] = {}
        self._on_its_way: Callable[[], None] | None = None

    def part(self, *, leads_for: float = 0.0) -> None:
        """Begin a network partition. A manager that leads believes for a number of seconds that it still does."""
        self._known = {
            "services": self._engine.services(),
            "tasks": self._engine.tasks(),
            "all tasks": self._engine.tasks(ended=True),
            "nodes": self._engine.nodes(),
            "configs": self._engine.configs(),
        }
        self._parted = True
        self._leads_until = self._clock.now() + leads_for

    def join(self, *, others_led: bool) -> None:
        """End the partition. Another manager may have led meanwhile."""
        self._parted = False
        write, self._on_its_way = self._on_its_way, None
        if write is not None and not others_led:
            with suppress(RefusedError):
                write()

    # The engine's API.

    def services(self, deadline: Deadline, /) -> Sequence[Document]:
        """Return all services, as this manager knows them."""
        return self._told("services", partial(self._engine.services, deadline))

    def tasks(self, deadline: Deadline, /, *, ended: bool, templates: Templates = NO_TEMPLATES) -> Sequence[Document]:  # noqa: ARG002 - all are as they are
        """Return the tasks, as this manager knows them."""
        return self._told("all tasks" if ended else "tasks", partial(self._engine.tasks, deadline, ended=ended))

    def nodes(self, deadline: Deadline, /) -> Sequence[Document]:
        """Return the nodes, as this manager knows them."""
        return self._told("nodes", partial(self._engine.nodes, deadline))

    def service(self, service_id: str, deadline: Deadline, /) -> Document:
        """Return the service, as this manager knows it."""
        for document in self.services(deadline):
            if service_id in {document["ID"], document["Spec"]["Name"]}:
                return document
        raise NotFoundError(f"service {service_id} not found")

    def update(self, service_id: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the spec, if this manager can."""
        self._write(partial(self._engine.update, service_id, version, spec, deadline))

    def config(self, name: str, deadline: Deadline, /) -> Document:
        """Return the config, as this manager knows it."""
        for document in self._told("configs", partial(self._engine.configs, deadline)):
            if document["Spec"]["Name"] == name:
                return document
        raise NotFoundError(f"config {name} not found")

    def create_config(self, spec: Document, deadline: Deadline, /) -> None:
        """Create a config, if this manager can."""
        self._write(partial(self._engine.create_config, spec, deadline))

    def update_config(self, name: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the config's labels, if this manager can."""
        self._write(partial(self._engine.update_config, name, version, spec, deadline))

    def _told(self, what: str, now: Callable[[], Sequence[Document]]) -> Sequence[Document]:
        if not self._parted:
            return now()
        self._lead()
        return self._known[what]

    def _write(self, write: Callable[[], None]) -> None:
        if not self._parted:
            write()
            return
        self._lead()
        self._on_its_way = self._on_its_way or write
        raise DeadlineError(_SILENCE)

    def _lead(self) -> None:
        if self._clock.now() >= self._leads_until:
            raise UnreachableError(_NO_LEADER)
