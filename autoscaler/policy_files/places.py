"""Finds the lines at which a policy and its parts are written."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any

from autoscaler.policy.places import Places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from autoscaler.policy_files.diagnostic import Path
    from autoscaler.policy_files.yaml_document import Document

_NAMED = ("rules", "schedules", "guards")
"""Keys of lists whose items have names."""
_PARTS = ("replicas", "scale_up", "scale_down", "fallback")
"""Keys of mappings."""


def places_of(document: Document, path: Path, data: Any, defaults: Places | None) -> Places:
    """Return the lines of the policy at *path* of *document*, with the *data* that it says with its defaults."""
    lines = {"": document.place(path).line}
    for keys, below in _keys(data):
        if document.holds(path + below):
            lines[intern("/".join(keys))] = document.place(path + below, of_key=True).line
    return Places(document.file, lines, defaults)


def places_of_defaults(document: Document) -> Places | None:
    """Return the lines of the keys in the *document* of the defaults; None if there are none."""
    return places_of(document, (), document.data, None) if isinstance(document.data, dict) else None


def _keys(policy: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Yield each part that is worth a place: by its names, and by the way to it."""
    for key, value in policy.items():
        yield (key,), (key,)
        if key in _PARTS and isinstance(value, dict):
            yield from (((key, each), (key, each)) for each in value)
        if key in _NAMED and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield (key, str(item.get("name", ""))), (key, index)
