"""The meaning of a stack file: the services with what they inherit through aliases and merge keys."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from autoscaler.errors import ConfigurationError
from autoscaler.stack_file.nodes import ListNode, MapNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.stack_file.nodes import Node, NodePart, StackFile

_MOST_MERGED = 300_000
"""Entries of all mappings that merge others."""
_NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]*|0[bB][01_]+|[1-9][0-9_]*)")
_LONGEST_NUMBER = 20
_REPLICATED = "replicated"


class MergeRules(Enum):
    """The ways in which Docker's releases read a key that stands before a merge key which has it, too."""

    OWN_FIRST = "the mapping's own key counts, wherever it stands (Docker 28)"
    IN_ORDER = "whichever comes last counts (Docker 20.10)"


class Meaning:
    """The meaning of the mappings of one document, in one reading."""

    def __init__(self, document: StackFile, reading: MergeRules, file: str) -> None:
        self.document = document
        self.reading = reading
        self._file = file
        self._entries: dict[int, dict[str, NodePart]] = {}
        self._own: dict[int, dict[str, NodePart]] = {}
        self._merged = 0
        root = document.root.node if document.root else None
        self.top: dict[str, NodePart] = self.entries(root) if isinstance(root, MapNode) else {}
        services = self.top.get("services")
        if services is None or not isinstance(services.node, MapNode):
            raise ConfigurationError(f"{file}: has no services (give the file that you pass to docker stack deploy -c)")
        self.services: dict[str, NodePart] = self.entries(services.node)

    def entries(self, mapping: MapNode) -> dict[str, NodePart]:
        """Return each key's value, merged ones included; raise ConfigurationError if a key is not a text."""
        known = self._entries.get(id(mapping))
        if known is not None:
            return known
        merged: dict[str, NodePart] = {}
        own: dict[str, NodePart] = {}
        for key, value in mapping.pairs:
            if is_merge(key.node):
                for source in self._inherited(value):
                    (own if self.reading is MergeRules.IN_ORDER else merged).update(source)
            elif isinstance(key.node, ScalarNode):
                own[key.node.value] = value
            else:
                raise ConfigurationError(f"{self._file}: {self.line(key)}: the key is not a text (write a text)")
        found = self._entries[id(mapping)] = {**merged, **own}
        return found

    def own(self, mapping: MapNode) -> dict[str, NodePart]:
        """Return each key's value that stands in the mapping itself."""
        known = self._own.get(id(mapping))
        if known is None:
            known = self._own[id(mapping)] = {
                key.node.value: value
                for key, value in mapping.pairs
                if isinstance(key.node, ScalarNode) and not is_merge(key.node)
            }
        return known

    def _inherited(self, value: NodePart) -> Iterator[dict[str, NodePart]]:
        """Yield what a merge key brings, the first of a list, which wins, last."""
        for source in reversed(sources(value)):
            if not isinstance(source.node, MapNode):
                raise ConfigurationError(
                    f"{self._file}: {self.line(source)}: the merge key << has a value that is not a mapping"
                    " (give it the alias of a mapping)"
                )
            brought = self.entries(source.node)
            self._merged += len(brought)
            if self._merged > _MOST_MERGED:
                raise ConfigurationError(
                    f"{self._file}: merge keys bring more than {_MOST_MERGED} entries (use fewer merge keys)"
                )
            yield brought

    def line(self, part: NodePart) -> str:
        """Return where *part* stands, in words."""
        return f"line {self.document.text.count(chr(10), 0, part.start) + 1}"

    @property
    def version(self) -> str | None:
        """The version of the file format, if the file says one."""
        version = self.top.get("version")
        return (
            version.node.value if version and isinstance(version.node, ScalarNode) and not version.node.empty else None
        )

    def deploy(self, name: str) -> dict[str, NodePart]:
        """Return what the service's `deploy` says."""
        service = self.services[name].node
        deploy = self.entries(service).get("deploy") if isinstance(service, MapNode) else None
        return self.entries(deploy.node) if deploy and isinstance(deploy.node, MapNode) else {}

    def replicas(self, name: str) -> Node | None:
        """Return the service's count."""
        part = self.deploy(name).get("replicas")
        return part.node if part else None

    def is_replicated(self, name: str) -> bool:
        """Return whether the service can have a count, as far as the file tells."""
        mode = self.deploy(name).get("mode")
        if mode is None or not isinstance(mode.node, ScalarNode) or mode.node.empty:
            return True
        return mode.node.value == _REPLICATED or "$" in mode.node.value


def is_merge(key: Node) -> bool:
    """Return whether *key* is the merge key."""
    if not isinstance(key, ScalarNode) or key.value != "<<":
        return False
    return key.tag == "tag:yaml.org,2002:merge" or (key.plain and key.tag is None)


def sources(value: NodePart) -> list[NodePart]:
    """Return what a merge key with this value merges."""
    return value.node.items if isinstance(value.node, ListNode) else [value]


def is_null(node: Node) -> bool:
    """Return whether *node* means nothing."""
    return isinstance(node, ScalarNode) and node.empty


def is_integral(text: str) -> bool:
    """Return whether *text* is another spelling of a count that Docker takes, as 3.0 is."""
    try:
        return float(text).is_integer()
    except ValueError:
        return False


def number(node: Node | None) -> int | str | None:
    """Return a count as Docker understands it: a number, or the text which is not one, or None for nothing."""
    if node is None or is_null(node):
        return None
    if not isinstance(node, ScalarNode):
        return "…"
    text = node.value
    if (
        not node.plain
        or node.tag not in {None, "tag:yaml.org,2002:int"}
        or len(text) > _LONGEST_NUMBER
        or not _NUMBER.fullmatch(text)
    ):
        return text
    digits = text.replace("_", "")
    octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
    try:
        return int(f"{octal[1]}0o{octal[2]}" if octal else digits, 0)
    except ValueError:
        return text


def _scalar(node: ScalarNode) -> tuple[str, str]:
    """Return the value and what kind it may be; two scalars with the same mean the same."""
    if node.empty:
        return "null", ""
    if node.tag is not None:
        return node.tag, node.value
    return "plain" if node.maybe_no_text else "text", node.value


class Comparison:
    """Compares the meanings of two texts; each pair of nodes once, however many aliases lead there."""

    def __init__(self, one: Meaning, other: Meaning) -> None:
        self._one = one
        self._other = other
        self._same: dict[tuple[int, int], bool] = {}

    def same(self, one: Node | None, other: Node | None) -> bool:
        """Return whether both mean the same."""
        if one is None or other is None:
            return one is other
        known = self._same.get((id(one), id(other)))
        if known is None:
            known = self._same[id(one), id(other)] = self._compare(one, other)
        return known

    def _compare(self, one: Node, other: Node) -> bool:
        if isinstance(one, ScalarNode) and isinstance(other, ScalarNode):
            return _scalar(one) == _scalar(other)
        if isinstance(one, ListNode) and isinstance(other, ListNode):
            return (one.tag, len(one.items)) == (other.tag, len(other.items)) and all(
                self.same(first.node, second.node) for first, second in zip(one.items, other.items, strict=True)
            )
        if isinstance(one, MapNode) and isinstance(other, MapNode):
            return one.tag == other.tag and self.same_entries(self._one.entries(one), self._other.entries(other))
        return False

    def same_entries(self, one: dict[str, NodePart], other: dict[str, NodePart], but: str | None = None) -> bool:
        """Return whether both have the same keys with the same meanings, *but* one key."""
        keys = one.keys() - {but}
        return keys == other.keys() - {but} and all(self.same(one[key].node, other[key].node) for key in keys)

    def same_service(self, name: str) -> bool:
        """Return whether the service is the same but for its count; no `deploy` means the same as an empty one."""
        before, after = self._one.services[name].node, self._other.services.get(name)
        if after is None or not isinstance(before, MapNode) or not isinstance(after.node, MapNode):
            return after is not None and self.same(before, after.node)
        return self.same_entries(
            self._one.entries(before), self._other.entries(after.node), "deploy"
        ) and self.same_entries(self._one.deploy(name), self._other.deploy(name), "replicas")

    def same_rest(self) -> bool:
        """Return whether everything but the services, and but extensions, which Docker does not read, is the same."""
        one, other = (
            {key: part for key, part in meaning.top.items() if not key.startswith("x-")}
            for meaning in (self._one, self._other)
        )
        return self.same_entries(one, other, "services")
