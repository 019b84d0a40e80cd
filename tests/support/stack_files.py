"""Stack files of every form in which services share parts, and two other parsers that say what they mean."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Other parsers than the one that writes


class _InOrder(yaml.SafeLoader):
    """Reads merge keys as Docker 20.10 does (yaml.v2 of Go): of two equal keys the one that comes last counts."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        pairs = []
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                pairs.append((key, value))
                continue
            for source in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
                self.flatten_mapping(source)
                pairs += source.value
        node.value = pairs


def in_order(text: str) -> dict[str, Any]:
    """What the file means to Docker 20.10, by PyYAML's own parser."""
    return _plain(yaml.load(_without_tabs(text), Loader=_InOrder))  # noqa: S506 - a safe loader


def own_first(text: str) -> dict[str, Any]:
    """What the file means to Docker 28, by ruamel.yaml."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReusedAnchorWarning)
        return _plain(YAML(typ="safe", pure=True).load(_without_tabs(text)))


READINGS: dict[str, Callable[[str], dict[str, Any]]] = {"Docker 28": own_first, "Docker 20.10": in_order}


def _without_tabs(text: str) -> str:
    """The text with blanks for tabs, which these parsers refuse between words; no value here has one."""
    return text.replace("\t", " ")


def _plain(data: Any) -> dict[str, Any]:
    """The data, no part shared, without the extensions that Docker does not read, and without empty `deploy`."""
    plain: dict[str, Any] = json.loads(json.dumps(data, default=str))
    for service in plain["services"].values():
        if not service.get("deploy", True):
            del service["deploy"]
    return {key: value for key, value in plain.items() if not key.startswith("x-")}


def with_live(data: dict[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """The data with these counts; 1 is as good as none where a count is live."""
    live: dict[str, Any] = json.loads(json.dumps(data, default=str))
    for name, count in counts.items():
        if name in live["services"]:
            live["services"][name].setdefault("deploy", {})["replicas"] = count
    return live


# Files

TAKEN: Final = {
    "a comment before the value": (
        "services:\n  web:\n    image: # pinned by operations\n      busybox\n\n    deploy: {replicas: 1}\n"
    ),
    "a tab before a comment": "services:\n  web:\n    image: a\t# c\n    deploy:\n      replicas: 1\t# r\n",
    "a tab behind the version": 'version: "3.9"\t# v\nservices:\n  web:\t# w\n    deploy: {replicas: 1}\n',
    "a tab behind an item": "services:\n  web:\n    command:\n    - x\t# r\n    deploy: {replicas: 1}\n",
    "a tab before the value": "services:\n  web:\n    image:\ta\n    deploy: {replicas:\t1}\n",
    "a tab at the end": "services:\n  web:\n    image: a\t\n    deploy: {replicas: 1}\n",
    "a directive": "%YAML 1.1\n---\nservices:\n  web: {environment: {A: 010, B: 1:30}, deploy: {replicas: 1}}\n",
    "several documents": "services: {web: {deploy: {replicas: 1}}}\n---\nservices: {web: {image: b}}\n--- [\n",
    "an end of the document": "---\nservices: {web: {deploy: {replicas: 1}}}\n...\n",
    "JSON": '{"services": {"web": {"image": "a", "deploy": {"replicas":1}}}}',
    "line breaks of Windows": "services:\r\n  web:\r\n    image: a # c\r\n    deploy: {replicas: 1}\r\n",
    "a byte order mark": "\ufeffservices: {web: {deploy: {replicas: 1}}}\n",
    "a comma at the end": "services: {web: {image: é😀, deploy: {replicas: 1,},},}",
    "quotes": "services:\n  'web': {\"deploy\": {'replicas': 1}}\n",
    "another spelling of keys": "services:\n  ? web\n  : deploy:\n      ? replicas\n      : 1\n",
    "a tag": "services: {web: !!map {deploy: {replicas: !!int 1}}}\n",
}
"""Files that Docker takes, in each of which the service `web` has one replica, by what is odd about them."""


@dataclass
class Leaf:
    """A scalar or an alias, as it is written."""

    text: str


@dataclass
class Map:
    """A mapping, as it is written."""

    pairs: list[tuple[str, Node]]
    anchor: str = ""
    flow: bool = False


Node: TypeAlias = Leaf | Map


@dataclass
class _Maker:
    random: Random
    deploys: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    made: int = 0

    def chance(self, of: float) -> bool:
        return self.random.random() < of

    def anchor(self, known: list[str], of: float = 0.5) -> str:
        """A new anchor, now and then one that there is already; it is known from then on."""
        if not self.chance(of):
            return ""
        self.made += 1
        known.append(f"a{self.made}")
        return known[-1]

    def text(self) -> Leaf:
        return Leaf(self.random.choice(["x", "'a: b'", '"c # d"', "${IMAGE:-app}", "'5'", '"yes"', "a b", "|"]))

    def leaf(self) -> Leaf:
        return self.text() if self.chance(0.5) else Leaf(self.random.choice(["5", "yes", "~", "2026-01-02", "0x10"]))

    def number(self) -> Leaf:
        if self.numbers and self.chance(0.3):
            return Leaf(f"*{self.random.choice(self.numbers)}")
        anchor = self.anchor(self.numbers, 0.3)
        text = "${COUNT:-2}" if self.chance(0.15) else str(self.random.randint(0, 3))
        return Leaf(f"&{anchor} {text}" if anchor else text)

    def merged(self, anchors: list[str]) -> list[tuple[str, Node]]:
        """A merge key of one or several."""
        if not anchors or self.chance(0.4):
            return []
        if self.chance(0.7):
            return [("<<", Leaf(f"*{self.random.choice(anchors)}"))]
        chosen = ", ".join(f"*{self.random.choice(anchors)}" for _ in range(self.random.randint(1, 3)))
        return [("<<", Leaf(f"[{chosen}]"))]

    def mixed(self, merged: list[tuple[str, Node]], own: list[tuple[str, Node]]) -> list[tuple[str, Node]]:
        place = self.random.randint(0, len(own))
        return own[:place] + merged + own[place:]

    def deploy(self) -> Node:
        if self.deploys and self.chance(0.25):
            return Leaf(f"*{self.random.choice(self.deploys)}")
        known = list(self.deploys)
        own: list[tuple[str, Node]] = [("replicas", self.number())] if self.chance(0.6) else []
        if self.chance(0.3):
            own.append(("labels", Map([("a", Leaf("b")), ("c", self.number())], flow=self.chance(0.5))))
        if self.chance(0.3):
            own.insert(0, ("endpoint_mode", Leaf("vip")))
        pairs = self.mixed(self.merged(known), own)
        return Map(pairs, self.anchor(self.deploys), self.chance(0.4) or not pairs)

    def service(self) -> Node:
        if self.services and self.chance(0.15):
            return Leaf(f"*{self.random.choice(self.services)}")
        known = list(self.services)
        own: list[tuple[str, Node]] = [("image", self.text())]
        if self.chance(0.3):
            own.append(("environment", Map([("A", self.number()), ("B", self.leaf())], flow=self.chance(0.5))))
        if self.chance(0.6):
            own.append(("deploy", self.deploy() if self.chance(0.95) else Leaf("")))
        if self.chance(0.3):
            own.append(("command", self.text()))
        return Map(self.mixed(self.merged(known), own), self.anchor(self.services), self.chance(0.3))

    def file(self) -> Map:
        pairs: list[tuple[str, Node]] = [("version", Leaf('"3.8"'))]
        pairs += [
            (f"x-{number}", self.deploy() if self.chance(0.5) else self.service())
            for number in range(self.random.randint(0, 3))
        ]
        services: list[tuple[str, Node]] = []
        if self.chance(0.1):
            pairs.append(("x-common", Map([("common", self.service())], "common")))
            services.append(("<<", Leaf("*common")))
        services += [(name, self.service()) for name in "abcd"[: self.random.randint(1, 4)]]
        pairs += [("services", Map(services, flow=self.chance(0.1)))]
        return Map(pairs)


NOTES = ("# why", "# about", "# far left")
"""Comments that the files have in many places."""


def made(seed: int) -> tuple[str, dict[str, int]]:
    """A stack file, and live counts of any of its services."""
    random = Random(seed)  # noqa: S311 - no secret
    file = _Maker(random).file()
    counts = {name: random.randint(0, 4) for name in ("a", "b", "c", "d", "common") if random.random() < 0.5}
    return "".join(_lines(file, 0, random)), counts


def _lines(node: Map, indent: int, random: Random) -> list[str]:
    """The lines of a mapping in block style, with comments, tabs and blank lines."""
    lines = []
    for key, value in node.pairs:
        blank = " " * indent
        lines.append(random.choice(["", "", "", "", "\n", f"{blank}# about {key}\n", "# far left\n"]))
        if isinstance(value, Map) and not value.flow:
            anchor = f"{_gap(random)}&{value.anchor}" if value.anchor else ""
            lines += [f"{blank}{key}:{anchor}{_tail(random)}", *_lines(value, indent + random.choice([2, 4]), random)]
        elif isinstance(value, Leaf) and value.text == "|":
            lines.append(f"{blank}{key}: |{_tail(random)}{blank}  first {{line}}\n\n{blank}  second # line\n")
        elif isinstance(value, Leaf) and value.text and random.random() < 0.1:
            lines.append(f"{blank}{key}: # {key}\n{blank}  {value.text}\n\n")
        else:
            text = _flow(value, random, inside=False)
            lines.append(f"{blank}{key}:{_gap(random) + text if text else ''}{_tail(random)}")
    return lines


def _flow(node: Node, random: Random, *, inside: bool = True) -> str:
    """A node in flow style."""
    if isinstance(node, Leaf):
        if not inside:
            return node.text
        *anchor, text = node.text.split(" ", 1) if node.text.startswith("&") else [node.text]
        text = f"'{text}'" if "{" in text else "x" if text == "|" else text
        return " ".join([*anchor, text])
    comma, space = random.choice([(", ", ""), (" , ", " "), (",\t", "\t")])
    pairs = comma.join(f"{key}: {_flow(value, random)}" for key, value in node.pairs)
    return (f"&{node.anchor} " if node.anchor else "") + f"{{{space}{pairs}{space}}}"


def _gap(random: Random) -> str:
    return random.choice([" ", " ", "  ", "\t", " \t"])


def _tail(random: Random) -> str:
    return random.choice(["", "", "", " ", "\t", " # why", "\t# why", " \t # {a: *b}"]) + "\n"
