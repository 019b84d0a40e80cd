"""The few calls of the Docker Engine's API that the autoscaler makes, in the engine's own documents."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from autoscaler.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoscaler.util.deadline import Deadline

Document = dict[str, Any]
"""JSON as the engine sends it. The answers of calls may be shared, so do not change them."""
Templates: TypeAlias = Mapping[str, Document]
"""The parts of specs that tasks are made from, by the ids of their services."""
NO_TEMPLATES: Templates = MappingProxyType({})
"""Templates of no service."""


class VersionConflictError(RefusedError):
    """The object has another version index than the update named. Somebody else wrote first; nothing was written."""


class NotFoundError(RefusedError):
    """The engine has no such service or config."""


class AlreadyExistsError(RefusedError):
    """The engine already has an object of this name. Nothing was created."""


class ForbiddenError(RefusedError):
    """Something in front of the engine, such as a socket proxy, or the engine itself does not permit this call."""

    def __init__(self, message: str, *, cured: bool = False) -> None:
        super().__init__(message)
        self.cured = cured
        """True if the message says what to allow."""


class EngineApi(Protocol):
    """Docker's documents, in and out. Every call ends by its deadline and raises only BackendError."""

    def services(self, deadline: Deadline, /) -> Sequence[Document]:
        """Return all services of every mode, because global services and jobs must be seen to be refused."""

    def tasks(self, deadline: Deadline, /, *, ended: bool, templates: Templates = NO_TEMPLATES) -> Sequence[Document]:
        """Return the tasks with the desired state running; with *ended*, all tasks that Swarm remembers.

        If *templates* has the service of a task, by id, and the task was made from another template, the task has its
        spec. Other tasks may lack it.
        """

    def nodes(self, deadline: Deadline, /) -> Sequence[Document]:
        """Return all nodes."""

    def service(self, service_id: str, deadline: Deadline, /) -> Document:
        """Return one service as it is stored. Raise NotFoundError.

        If defaults were inserted here, writing the spec back would restart the tasks
        (docs/facts.md#inserted-defaults).
        """

    def update(self, service_id: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the spec of the service if its version index is still *version*.

        Raise VersionConflictError and NotFoundError. After RefusedError nothing was written. After UnreachableError
        there was no clear answer: the update may be carried out already, or later (docs/facts.md#late-writes).
        """


class ConfigApi(Protocol):
    """The calls about configs. Their labels can be changed, their data cannot (docs/facts.md#configs-as-cells)."""

    def config(self, name: str, deadline: Deadline, /) -> Document:
        """Return the config of this name. Raise NotFoundError."""

    def create_config(self, spec: Document, deadline: Deadline, /) -> None:
        """Create a config, whose Data is base64. Raise AlreadyExistsError."""

    def update_config(self, name: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the labels of the config if its version index is still *version*. Its Data is kept.

        Raise VersionConflictError and NotFoundError.
        """
