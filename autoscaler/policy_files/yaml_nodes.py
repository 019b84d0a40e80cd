"""The nodes of a YAML text, each with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from autoscaler.policy_files.diagnostic import Position


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A text, a number, a truth value or nothing."""

    place: Position
    value: str | float | bool | None
    size: int = 1
    """The number of nodes, with aliases written out."""
    height: int = 0
    """The number of levels below this node."""

    def data(self) -> str | float | bool | None:
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class SequenceNode:
    """A list of nodes."""

    place: Position
    items: list[Node]
    size: int
    height: int

    def data(self) -> list[Any]:
        """Return the plain list."""
        return [item.data() for item in self.items]


class MappingItem(NamedTuple):
    """A value and the place of its key."""

    key: Position
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class MappingNode:
    """Nodes by key, with the places of the keys."""

    place: Position
    entries: dict[str, MappingItem]
    size: int
    height: int

    def data(self) -> dict[str, Any]:
        """Return the plain dict."""
        return {key: entry.value.data() for key, entry in self.entries.items()}


Node: TypeAlias = Scalar | SequenceNode | MappingNode
