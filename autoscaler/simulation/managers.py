"""One manager of a simulated Swarm that has several: an EngineApi and ConfigApi that may be parted from the others.

As three real managers behaved (20.10, tests/e2e/test_nodes.py). Parted while it leads, a manager answers reads with
what it knew, for 10 to 20 s, and no write. Then it steps down and says that there is no leader, until it has company
again. It takes one write at a time, and remembers the one that was on its way: where nobody else has led meanwhile (the
quorum was lost, and is back) that is carried out then; where the others went on without it, it never is.
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
    """A way to the Swarm of *engine*."""

    def __init__(self, engine: SimulatedEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._parted = False
        self._leads_until = -inf
        self._known: dict[str, Sequence[Document]] = {}
        self._on_its_way: Callable[[], None] | None = None

    def part(self, *, leads_for: float = 0.0) -> None:
        """Part it from the others; for so many seconds it believes that it leads, where it does now."""
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
        """Join it to the others, of whom one may have led meanwhile."""
        self._parted = False
        write, self._on_its_way = self._on_its_way, None
        if write is not None and not others_led:
            with suppress(RefusedError):
                write()

    # The engine's API.

    def services(self, deadline: Deadline, /) -> Sequence[Document]:
        """All services, as it knows them."""
        return self._told("services", partial(self._engine.services, deadline))

    def tasks(self, deadline: Deadline, /, *, ended: bool, templates: Templates = NO_TEMPLATES) -> Sequence[Document]:  # noqa: ARG002 - all are as they are
        """The tasks, as it knows them."""
        return self._told("all tasks" if ended else "tasks", partial(self._engine.tasks, deadline, ended=ended))

    def nodes(self, deadline: Deadline, /) -> Sequence[Document]:
        """The nodes, as it knows them."""
        return self._told("nodes", partial(self._engine.nodes, deadline))

    def service(self, service_id: str, deadline: Deadline, /) -> Document:
        """The service, as it knows it."""
        for document in self.services(deadline):
            if service_id in {document["ID"], document["Spec"]["Name"]}:
                return document
        raise NotFoundError(f"service {service_id} not found")

    def update(self, service_id: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the spec, if it can."""
        self._write(partial(self._engine.update, service_id, version, spec, deadline))

    def config(self, name: str, deadline: Deadline, /) -> Document:
        """The config, as it knows it."""
        for document in self._told("configs", partial(self._engine.configs, deadline)):
            if document["Spec"]["Name"] == name:
                return document
        raise NotFoundError(f"config {name} not found")

    def create_config(self, spec: Document, deadline: Deadline, /) -> None:
        """Create a config, if it can."""
        self._write(partial(self._engine.create_config, spec, deadline))

    def update_config(self, name: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the config's labels, if it can."""
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
