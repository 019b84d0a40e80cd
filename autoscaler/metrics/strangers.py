"""Containers that report as tasks of a service although Swarm does not run them: their names, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from autoscaler.metrics.queries import MetricSettings
    from autoscaler.swarm.cluster import ServiceView
    from autoscaler.swarm.placement import NodeView

NODE_LABEL = "container_label_com_docker_swarm_node_id"
_SHOWN = 3
_LONGEST = 80


def named(
    reporters: Iterable[Mapping[str, str]],
    views: Iterable[ServiceView],
    nodes: Sequence[NodeView],
    settings: MetricSettings,
) -> dict[str, str]:
    """Return a message about the containers among *reporters* (given by labels) that Swarm does not run, by service.

    Only services of *views* with such containers have a message. A container has the name of its task, which ends with
    the task's id.
    """
    known = {view.name: {task.id for task in view.tasks} for view in views}
    hostnames = {node.id: node.hostname or node.id for node in nodes}
    found: dict[str, dict[str, str]] = {}
    for labels in reporters:
        service, task = labels.get(settings.service_label, ""), labels.get(settings.task_label, "")
        if service in known and task.rpartition(".")[2] not in known[service]:
            found.setdefault(service, {})[task] = labels.get(NODE_LABEL, "")
    return {service: _said(tasks, hostnames) for service, tasks in found.items()}


def _said(tasks: Mapping[str, str], hostnames: Mapping[str, str]) -> str:
    ours = [(task, node) for task, node in sorted(tasks.items()) if node in hostnames or not node]
    theirs = [task for task, node in sorted(tasks.items()) if node and node not in hostnames]
    said = []
    if ours:
        which = (f"{tidy(task, _LONGEST)} on {hostnames.get(node, 'an unknown node')}" for task, node in ours[:_SHOWN])
        stray = "if it stays, remove it there" if len(ours) == 1 else "remove each that stays, on its node"
        cure = f"{stray}: docker rm -f {tidy(ours[0][0], _LONGEST)}"
        said.append(f"Swarm does not run {_listed(which, len(ours))} ({cure})")
    if theirs:
        which = (tidy(task, _LONGEST) for task in theirs[:_SHOWN])
        cure = "leave the other cluster out by AUTOSCALER_METRIC_SELECTOR"
        said.append(f"{_listed(which, len(theirs))} on nodes that this Swarm does not have ({cure})")
    return "; ".join(said)


def _listed(names: Iterable[str], count: int) -> str:
    more = count - _SHOWN
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
