"""Stack files with the counts that services have now, so that deploying them lowers none, not even for a moment."""

from __future__ import annotations

from copy import deepcopy
from io import StringIO
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from autoscaler.errors import ConfigurationError
from autoscaler.swarm.cluster import STATE_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.swarm.cluster import Cluster

STACK_LABEL = "com.docker.stack.namespace"
_LARGEST = 2**20
"""Bytes of a stack file: a larger one takes minutes to read."""
_WIDEST = 2**20
"""No line is folded: what a file says on one line stays on one."""


def live_counts(cluster: Cluster, stack: str) -> dict[str, int]:
    """The counts of the services of *stack* that an autoscaler has scaled, by their names in the stack's file."""
    return {
        view.name.removeprefix(f"{stack}_"): view.requested
        for view in cluster.services.values()
        if view.labels.get(STACK_LABEL) == stack and STATE_LABEL in view.labels and view.mode == "replicated"
    }


def holds(cluster: Cluster, stack: str) -> bool:
    """Whether Swarm has a service of *stack*."""
    return any(view.labels.get(STACK_LABEL) == stack for view in cluster.services.values())


def with_counts(text: str, counts: Mapping[str, int], file: str) -> tuple[str, dict[str, tuple[int | str | None, int]]]:
    """The stack file *text* with *counts* as `deploy.replicas`, and what differs: each service's count there and now.

    Nothing else means anything else: comments, quotes, variables and anchors stay, and a service that shares a part
    with another keeps its own count. Raises ConfigurationError where *text*, which is called *file*, is none.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDEST
    document = _loaded(yaml, text, file)
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise ConfigurationError(f"{file}: has no services (give the file that you pass to docker stack deploy -c)")
    odd = next((name for name in counts if name in services and not isinstance(services[name], dict)), None)
    if odd is not None:
        raise ConfigurationError(f"{file}: the service {odd} is no mapping (write {odd}: {{image: …}})")
    meant = {name: _deploy(service) for name, service in services.items()}
    differing: dict[str, tuple[int | str | None, int]] = {}
    for name, count in counts.items():
        if name in services and meant[name].get("replicas", 1) != count:
            differing[name] = meant[name].get("replicas"), count
            meant[name]["replicas"] = count
    for name in differing:
        if any(services[name] is other for key, other in services.items() if key != name):
            services[name] = CommentedMap(services[name])  # an alias: the same service twice
        _give(services[name], meant[name])
    for name, service in services.items():
        if _deploy(service).get("replicas") != meant[name].get("replicas"):  # it inherits from one that was changed
            service["deploy"] = CommentedMap(meant[name])
    if not differing:
        return text, {}
    written = StringIO()
    yaml.dump(document, written)
    return written.getvalue(), differing


def _loaded(yaml: YAML, text: str, file: str) -> Any:
    if len(text) > _LARGEST:
        raise ConfigurationError(f"{file}: is larger than {_LARGEST} bytes (give the stack file itself)")
    try:
        return yaml.load(text)
    except RecursionError as error:
        raise ConfigurationError(f"{file}: is nested too deeply (give the stack file itself)") from error
    except (YAMLError, ValueError) as error:  # a date that is none, a number of thousands of digits
        said = " ".join(str(error).split())
        raise ConfigurationError(f"{file}: is no YAML: {said} (correct it)") from error


def _deploy(service: Any) -> dict[str, Any]:
    """A copy of what *service* says under `deploy`, inherited parts included."""
    deploy = service.get("deploy") if isinstance(service, dict) else None
    return {key: deepcopy(value) for key, value in deploy.items()} if isinstance(deploy, dict) else {}


def _give(service: CommentedMap, meant: Mapping[str, Any]) -> None:
    """Write the count into the service's own `deploy`; into one of its own where it has it from somewhere else."""
    own = dict.get(service, "deploy") if dict.__contains__(service, "deploy") else None
    if isinstance(own, CommentedMap) and own.anchor.value is None:
        own["replicas"] = meant["replicas"]
    else:
        service["deploy"] = CommentedMap(meant)
