"""Stack files with the present counts of services, so that deploying them never lowers a count."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import yaml

from autoscaler.errors import ConfigurationError
from autoscaler.stack_file import nodes
from autoscaler.stack_file.edits import Editor
from autoscaler.stack_file.meaning import Comparison, Meaning, MergeRules, is_integral, is_null, number
from autoscaler.stack_file.nodes import MapNode, ScalarNode
from autoscaler.swarm.cluster import STATE_LABEL

if TYPE_CHECKING:
    from collections import abc

    from autoscaler.stack_file.edits import Value
    from autoscaler.stack_file.nodes import StackFile
    from autoscaler.swarm.cluster import Cluster

STACK_LABEL = "com.docker.stack.namespace"
_MOST_ROUNDS = 10
"""The most rounds of edits. A service that inherits from a changed one needs a second round."""

Differing: TypeAlias = dict[str, tuple[int | str | None, int]]
"""The services whose counts differ, each with the count in the file and the live one."""


def live_counts(cluster: Cluster, stack: str) -> dict[str, int]:
    """Return the counts of the services of *stack* that an autoscaler has scaled, by their names in the stack's file.

    A deploy drops the autoscaler's label. So the label of the version before the last update counts, too.
    """
    return {
        view.name.removeprefix(f"{stack}_"): view.requested
        for view in cluster.services.values()
        if view.labels.get(STACK_LABEL) == stack
        and view.mode == "replicated"
        and (STATE_LABEL in view.labels or (view.before is not None and view.before.state))
    }


def holds(cluster: Cluster, stack: str) -> bool:
    """Return whether Swarm has a service of *stack*."""
    return any(view.labels.get(STACK_LABEL) == stack for view in cluster.services.values())


def with_counts(text: str, counts: abc.Mapping[str, int], file: str) -> tuple[str, Differing]:
    """Return the stack file *text* with *counts* as `deploy.replicas`, and what differs.

    Nothing else means anything else: comments, quotes, variables and anchors stay, and a service that shares a part
    with another keeps its own count. What is returned was read again and compared with *text*. Raises
    ConfigurationError if *text*, which is called *file*, is not a stack file, or if a count cannot be filled in.
    """
    mark, body = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    before = _meanings(nodes.read(body, file), file)
    differing = _differing(before, counts, file)
    if not differing:
        return text, {}
    wanted = [_wanted(meaning, differing) for meaning in before]
    return mark + _filled(before, wanted, file), differing


def override(texts: abc.Sequence[tuple[str, str]], counts: abc.Mapping[str, int]) -> tuple[str, Differing]:
    """Return a stack file of *counts* alone, to be given to Docker behind the files *texts*; and what differs.

    Docker merges files in their order, so that the counts of the last one win. Raises ConfigurationError if one of the
    texts, which are given with the names of their files, is not a stack file.
    """
    written: dict[str, set[int | str | None]] = {}
    replicated: dict[str, bool] = {}
    version: str | None = None
    for position, (file, text) in enumerate(texts):
        meanings = _meanings(nodes.read(text.removeprefix("\ufeff"), file), file)
        if position == 0:
            version = meanings[0].version
        for name in meanings[0].services:
            if meanings[0].deploy(name).get("mode"):
                replicated[name] = meanings[0].is_replicated(name)
            said = {number(meaning.replicas(name)) for meaning in meanings}
            if said != {None} or name not in written:
                written[name] = said
    differing: Differing = {}
    for name, count in counts.items():
        odd = [said for said in written.get(name, ()) if (1 if said is None else said) != count]
        if odd and replicated.get(name, True):
            differing[name] = odd[0], count
    services = {name: {"deploy": {"replicas": live}} for name, (_, live) in differing.items()}
    head = {} if version is None else {"version": version}
    return yaml.safe_dump({**head, "services": services}, sort_keys=False, allow_unicode=True), differing


def _meanings(document: StackFile, file: str) -> tuple[Meaning, Meaning]:
    return Meaning(document, MergeRules.OWN_FIRST, file), Meaning(document, MergeRules.IN_ORDER, file)


def _differing(meanings: tuple[Meaning, Meaning], counts: abc.Mapping[str, int], file: str) -> Differing:
    differing: Differing = {}
    for name, count in counts.items():
        for meaning in meanings:
            if name not in meaning.services or name in differing:
                continue
            _check(meaning, name, file)
            said = number(meaning.replicas(name))
            if (1 if said is None else said) != count and meaning.is_replicated(name):
                differing[name] = said, count
    return differing


def _check(meaning: Meaning, name: str, file: str) -> None:
    """Raise ConfigurationError if the service has no place for a count, or something else in that place."""
    service = meaning.services[name]
    if not isinstance(service.node, MapNode):
        raise ConfigurationError(f"{file}: the service {name} is not a mapping (write {name}: {{image: …}})")
    deploy = meaning.entries(service.node).get("deploy")
    if deploy and not isinstance(deploy.node, MapNode) and not is_null(deploy.node):
        raise ConfigurationError(f"{file}: the service {name}: deploy is not a mapping (write deploy: {{replicas: 1}})")
    said = number(meaning.replicas(name))
    if isinstance(said, str) and "$" not in said and not is_integral(said):
        raise ConfigurationError(
            f"{file}: the service {name}: replicas is not a number (write a number, or a variable like ${{N:-1}})"
        )


def _wanted(meaning: Meaning, differing: Differing) -> dict[str, Value]:
    """Return the count that each service is to have: the live one if it differs, else the one that it has."""
    wanted: dict[str, Value] = {}
    for name in meaning.services:
        said = meaning.replicas(name)
        wanted[name] = differing[name][1] if name in differing else said if isinstance(said, ScalarNode) else None
    return wanted


def _has(meaning: Meaning, name: str, wanted: Value) -> bool:
    said = meaning.replicas(name)
    if isinstance(wanted, int):
        return number(said) == wanted
    return Comparison(meaning, meaning).same(said, wanted)


def _filled(before: tuple[Meaning, Meaning], wanted: list[dict[str, Value]], file: str) -> str:
    """Return the text in which each service has the count that it is to have, and all else means the same."""
    meanings = before
    name = next(iter(before[0].services))
    for _ in range(_MOST_ROUNDS):
        odd = _odd(before, meanings, wanted)
        if odd == []:
            return meanings[0].document.text
        if odd is None:
            break
        editor = Editor(before, meanings)
        left = [each for each in odd if not editor.give(each, (wanted[0][each], wanted[1][each]))]
        name = (left or odd)[0]
        if left == odd:
            break
        try:
            meanings = _meanings(nodes.read_again(editor.result(), file), file)
        except ConfigurationError:
            break
    raise ConfigurationError(
        f"{file}: the count of the service {name} cannot be filled in, because of how it shares parts with others"
        f" (give the service a deploy: {{replicas: …}} of its own, or use --override)"
    )


def _odd(
    before: tuple[Meaning, Meaning], now: tuple[Meaning, Meaning], wanted: list[dict[str, Value]]
) -> list[str] | None:
    """Return the services that do not mean what they are to mean; None if anything but services differs."""
    odd: dict[str, None] = {}
    for one, other, counts in zip(before, now, wanted, strict=True):
        comparison = Comparison(one, other)
        if one.services.keys() != other.services.keys() or not comparison.same_rest():
            return None
        for name in one.services:
            if not comparison.same_service(name) or not _has(other, name, counts[name]):
                odd[name] = None
    return list(odd)
