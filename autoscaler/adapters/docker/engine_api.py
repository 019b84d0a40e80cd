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
"""JSON as the engine sends it. What a call returns may be shared: read it, never change it."""
Templates: TypeAlias = Mapping[str, Document]
"""What tasks are made from, by the ids of their services."""
NO_TEMPLATES: Templates = MappingProxyType({})
"""Of no service."""


class VersionConflictError(RefusedError):
    """The object has another version index than the update named: somebody else wrote first; nothing was written."""


class NotFoundError(RefusedError):
    """The engine has no such service or config."""


class AlreadyExistsError(RefusedError):
    """The engine has an object of this name already; nothing was created."""


class ForbiddenError(RefusedError):
    """Something in front of the engine, such as a socket proxy, or the engine itself does not permit this call."""

    def __init__(self, message: str, *, cured: bool = False) -> None:
        super().__init__(message)
        self.cured = cured
        """Whether the message says what to allow."""


class EngineApi(Protocol):
    """Docker's documents, in and out. Every call ends by its deadline and raises only BackendError."""

    def services(self, deadline: Deadline, /) -> Sequence[Document]:
        """All services, of every mode: global ones and jobs must be seen to be refused."""

    def tasks(self, deadline: Deadline, /, *, ended: bool, templates: Templates = NO_TEMPLATES) -> Sequence[Document]:
        """The tasks desired running; with *ended*, all that Swarm remembers.

        Of services that *templates* has, by id, those have their specs that were made from another one; of all others
        perhaps none has.
        """

    def nodes(self, deadline: Deadline, /) -> Sequence[Document]:
        """All nodes."""

    def service(self, service_id: str, deadline: Deadline, /) -> Document:
        """One service as it is stored.

        Defaults inserted on reading would restart its tasks on writing (docs/facts.md#inserted-defaults).

        Raises NotFoundError.
        """

    def update(self, service_id: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the spec of the service, where its version index still is *version*.

        Raises VersionConflictError and NotFoundError. RefusedError says that nothing was written; UnreachableError
        says only that no clear answer came: the update may have been carried out, or still be
        (docs/facts.md#late-writes).
        """


class ConfigApi(Protocol):
    """The calls about configs, whose labels may change, and whose data may not (docs/facts.md#configs-as-cells)."""

    def config(self, name: str, deadline: Deadline, /) -> Document:
        """The config of this name. Raises NotFoundError."""

    def create_config(self, spec: Document, deadline: Deadline, /) -> None:
        """Create a config; its Data is base64. Raises AlreadyExistsError."""

    def update_config(self, name: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the labels of the config, where its version index still is *version*; its Data are kept.

        Raises VersionConflictError and NotFoundError.
        """
