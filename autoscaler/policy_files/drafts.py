"""The policies of files as they are written, valid or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from autoscaler.policy.policy import is_glob
from autoscaler.policy_files.diagnostic import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.policy_files.diagnostic import Diagnostic, Path
    from autoscaler.policy_files.yaml_document import Document


@dataclass(frozen=True, slots=True)
class Draft:
    """A policy as it is written, valid or not."""

    document: Document
    path: Path
    name: str | None
    services: tuple[tuple[int, str], ...]
    """Each with its index."""
    exclude: tuple[str, ...]
    match_labels: frozenset[tuple[str, str]]
    minimum: object
    rules: tuple[tuple[int, dict[str, Any]], ...]
    guards: tuple[tuple[int, dict[str, Any]], ...]
    schedules: tuple[tuple[int, dict[str, Any]], ...]

    @property
    def label(self) -> str:
        """Return the words by which problems of other policies refer to this one."""
        place = self.document.place(self.path)
        return f"{shown(self.name or '?')} in {self.document.file}:{place.line}"

    def problem(self, path: Path, what: str, cure: str) -> Diagnostic:
        """Return a problem at *path* in this policy."""
        return self.document.problem((*self.path, *path), what, cure)

    def written(self, key: str) -> tuple[tuple[int, dict[str, Any]], ...]:
        """Return the items of the list at *key*, with their indices; nothing if the list comes from the defaults."""
        items: tuple[tuple[int, dict[str, Any]], ...] = getattr(self, key)
        return items if self.document.holds((*self.path, key)) else ()

    @property
    def means_all(self) -> bool:
        """Return whether a glob of the policy matches every service."""
        return not self.exclude and any(set(pattern) == {"*"} for _, pattern in self.globs())

    def globs(self) -> Iterator[tuple[int, str]]:
        """Return the services that are globs, with their indices."""
        return ((index, pattern) for index, pattern in self.services if is_glob(pattern))


def drafts_of(document: Document) -> Iterator[Draft]:
    """Yield the policies of *document*."""
    policies = document.data.get("policies") if isinstance(document.data, dict) else None
    for index, policy in enumerate(policies if isinstance(policies, list) else ()):
        if isinstance(policy, dict):
            yield _draft(document, ("policies", index), policy)


def drafts_of_defaults(document: Document) -> Iterator[Draft]:
    """Yield the defaults of *document* as if they were a policy."""
    defaults = document.data.get("defaults") if isinstance(document.data, dict) else None
    if isinstance(defaults, dict):
        yield _draft(document, ("defaults",), defaults)


def _draft(document: Document, path: Path, policy: dict[str, Any]) -> Draft:
    name, replicas = policy.get("name"), policy.get("replicas")
    return Draft(
        document,
        path,
        name if isinstance(name, str) else None,
        tuple(_items(policy.get("services"), str)),
        tuple(pattern for _, pattern in _items(policy.get("exclude"), str)),
        _labels(policy.get("match_labels")),
        replicas.get("min") if isinstance(replicas, dict) else None,
        *(tuple(_items(policy.get(key), dict)) for key in ("rules", "guards", "schedules")),
    )


def _labels(value: object) -> frozenset[tuple[str, str]]:
    """Return the labels and their values; nothing if a value is not text."""
    labels = value if isinstance(value, dict) else {}
    return frozenset(labels.items()) if all(isinstance(text, str) for text in labels.values()) else frozenset()


T = TypeVar("T")


def _items(value: object, kind: type[T]) -> Iterator[tuple[int, T]]:
    """Yield the items of a list that are of a *kind*, with their indices; nothing if *value* is not a list."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, kind):
            yield index, item
