"""A lease in memory that several autoscalers share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.coordination.lease import Cell
from autoscaler.errors import BackendError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.util.deadline import Deadline


@dataclass
class SharedLease:
    """The lease of a Swarm in memory, and how it fails; a LeaseStore."""

    cell: Cell | None = None
    error: BackendError | None = None
    """What every call raises."""
    lost: bool = False
    """Whether the answers of writes that are carried out are lost."""
    between: Callable[[], None] = lambda: None
    """What happens between a look and the write that follows."""
    meanwhile: Callable[[], None] = lambda: None
    """What happens while a write is on its way."""
    calls: list[str] = field(default_factory=list)

    def look(self, _: Deadline) -> Cell | None:
        """The lease as it is."""
        self._call("look")
        seen = self.cell
        self.between()
        return seen

    def write(self, holder: str, seen: Cell | None, _: Deadline, *, renewal: bool = False) -> bool:
        """Compare and swap."""
        self._call("write")
        self.meanwhile()
        if seen != self.cell:
            return False
        version = seen.version if seen else 10
        self.cell = Cell(version + 1, holder, version if renewal else 0)
        if self.lost:
            raise UnreachableError("the connection was cut")
        return True

    def _call(self, what: str) -> None:
        self.calls.append(what)
        if self.error is not None:
            raise self.error
