"""Docker's documents as the autoscaler's values. Pure.

If a part is not what the API documents, an exception is raised that `engine_errors.documented` knows. So each value
really has the type that is annotated.
"""

from __future__ import annotations

import re
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any

from autoscaler.swarm.cluster import ROLLBACK_LABEL, STATE_LABEL, Cluster, ServiceView, SpecBefore, TaskView
from autoscaler.swarm.placement import Demand, NodeView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from autoscaler.adapters.docker.engine_api import Document

_MODES = {
    "Replicated": "replicated",
    "Global": "global",
    "ReplicatedJob": "replicated-job",
    "GlobalJob": "global-job",
}
_WITHOUT_COUNT = "replicated without a count"
TEMPLATE = ("TaskTemplate", "EndpointSpec", "Networks")
"""The parts of a spec whose changes replace tasks (swarmkit's IsTaskDirty)."""
_NOT_MADE_FROM = ("Placement", "Runtime")
"""The parts of a template that may differ between a service and a task made from it. Tasks are shown without a runtime
(measured, 20.10 and 28)."""
_UNSCHEDULED = ("new", "pending")
_ANY = Demand()
_BEYOND = 2**64
"""More than any number that an engine gives."""
_CONTAINER_ID = re.compile(r"[0-9a-f]{12,64}")
"""The default hostname of a container: the first twelve digits of its id."""


def cluster(
    services: Sequence[Document],
    tasks: Iterable[Document],
    nodes: Sequence[Document],
    hostname: str | None = None,
) -> Cluster:
    """Return all services with the tasks that Swarm wants to run.

    *tasks* may include ended ones. If a service lacks running tasks, the newest failure among them is quoted. If
    *hostname* is that of a container of a service, the service is this process' own.
    """
    seen = tuple(map(node_view, nodes))
    memory = {node.id: node.memory for node in seen}
    ready = frozenset(node["ID"] for node in nodes if _is_ready(node))
    listed: dict[str, list[Document]] = {}
    for task in tasks:
        listed.setdefault(task.get("ServiceID", ""), []).append(task)
    own_container = hostname if hostname and _CONTAINER_ID.fullmatch(hostname) else None
    own_service = None
    views = {}
    for document in services:
        own_tasks = listed.get(document["ID"], ())
        occupied = {task["NodeID"] for task in own_tasks if task.get("NodeID") and _is_running(task)}
        amounts = [memory.get(node) for node in occupied] or [memory[node] for node in ready]
        views_of_tasks = task_views(own_tasks, ready, requested_replicas(document["Spec"]) or 0)
        smallest = min((amount for amount in amounts if amount), default=None)
        with_spec = [task for task in own_tasks if task.get("Spec")]
        template = _repeated(document) if with_spec else None
        mixed = template is not None and any(_of_another(template, task) for task in with_spec)
        view = service_view(document, views_of_tasks, smallest, mixed=mixed)
        views[view.name] = view
        if own_container and any(_container_id(task).startswith(own_container) for task in own_tasks):
            own_service = view.name
    return Cluster(views, own_service, seen)


def _of_another(template: Document, task: Document) -> bool:
    """Return whether the *task* is to run and was made from another template; False without its spec."""
    spec = task.get("Spec")
    wanted = task.get("DesiredState") == "running"
    return wanted and isinstance(spec, dict) and bool(spec) and made_from(spec) != template


def made_from(template: Document) -> Document:
    """Return the parts of *template* that a task is made from. A changed placement alone need not replace a task."""
    return {part: value for part, value in template.items() if part not in _NOT_MADE_FROM}


def repeated(services: Iterable[Document]) -> dict[str, Document]:
    """Return what tasks are made from, by the ids of the services whose last update changed nothing.

    Such a service may have a rollout that Swarm does not show. The update cleared the UpdateStatus. It did not end the
    rollout, because that works towards the same spec (20.10).
    """
    templates = ((document, _repeated(document)) for document in services)
    return {_text(document["ID"]): template for document, template in templates if template is not None}


def _repeated(service: Document) -> Document | None:
    """Return what the service's tasks are made from if its last update changed nothing."""
    if service.get("UpdateStatus") or service.get("PreviousSpec") != service["Spec"]:
        return None
    return made_from(_path(service, "Spec", "TaskTemplate"))


def service_view(
    document: Document,
    tasks: tuple[TaskView, ...] = (),
    node_memory: float | None = None,
    *,
    mixed: bool = False,
) -> ServiceView:
    """Return the service as it is listed or inspected. *node_memory* is in bytes; for *mixed* see `ServiceView`."""
    spec = document["Spec"]
    update = document.get("UpdateStatus") or {}
    previous = document.get("PreviousSpec")
    cpu_limit, memory_limit = _limits(spec)
    return ServiceView(
        id=_text(document["ID"]),
        name=_text(spec["Name"]),
        version=_whole(document["Version"]["Index"]),
        mode=mode_in_words(spec),
        requested=requested_replicas(spec) or 0,
        created_at=unix_time(document["CreatedAt"]),
        updated_at=unix_time(document["UpdatedAt"]),
        labels=_labels(spec),
        tasks=tasks,
        update_state=_text(update.get("State", "")),
        update_message=_text(update.get("Message", "")),
        update_started=unix_time(update["StartedAt"]) if update.get("StartedAt") else None,
        template_changed=previous is None or any(spec.get(part) != previous.get(part) for part in TEMPLATE),
        before=None if previous is None else _spec_before(previous),
        cpu_limit=cpu_limit,
        memory_limit=memory_limit,
        node_memory=node_memory,
        demand=demand(spec),
        mixed=mixed,
    )


def demand(spec: Document) -> Demand:
    """Return the demand of a task of *spec* on its node."""
    reservations = _path(spec, "TaskTemplate", "Resources", "Reservations")
    placement = _path(spec, "TaskTemplate", "Placement")
    ports = _path(spec, "EndpointSpec").get("Ports") or ()
    taken = [port for port in ports if port.get("PublishMode") == "host" and port.get("PublishedPort")]
    if not (reservations or placement or taken):
        return _ANY  # one value for most services
    return Demand(
        nano_cpus=_whole(reservations.get("NanoCPUs", 0)),
        memory=_whole(reservations.get("MemoryBytes", 0)),
        constraints=tuple(map(_text, placement.get("Constraints") or ())),
        platforms=tuple(
            (_text(platform.get("OS", "")), _text(platform.get("Architecture", "")))
            for platform in placement.get("Platforms") or ()
        ),
        max_per_node=_whole(placement.get("MaxReplicas", 0)),
        host_ports=tuple(f"{_whole(port['PublishedPort'])}/{_text(port.get('Protocol', 'tcp'))}" for port in taken),
    )


def node_view(document: Document) -> NodeView:
    """Return the node as it is listed."""
    spec, description = _path(document, "Spec"), _path(document, "Description")
    resources, platform = _path(description, "Resources"), _path(description, "Platform")
    return NodeView(
        id=_text(document["ID"]),
        hostname=_text(description.get("Hostname", "")),
        role=_text(spec.get("Role", "")),
        takes_tasks=_is_ready(document) and spec.get("Availability", "active") == "active",
        nano_cpus=_whole(resources.get("NanoCPUs", 0)),
        memory=_whole(resources.get("MemoryBytes", 0)),
        os=_text(platform.get("OS", "")),
        architecture=_text(platform.get("Architecture", "")),
        address=_text(_path(document, "Status").get("Addr", "")),
        labels=_labels(spec),
        engine_labels=_labels(_path(description, "Engine")),
    )


def mode_in_words(spec: Document) -> str:
    """Return the mode's name in the autoscaler's words. Only `replicated` may be scaled.

    A replicated spec without a whole number of replicas has another name. If it were written back, Swarm would set the
    count to 1 (docs/facts.md#a-missing-count).
    """
    mode = spec.get("Mode") or {}
    if list(mode) == ["Replicated"] and requested_replicas(spec) is None:
        return _WITHOUT_COUNT
    return " and ".join(_MODES.get(kind, kind) for kind in mode) or _WITHOUT_COUNT


def requested_replicas(spec: Document) -> int | None:
    """Return the count that a spec of the mode Replicated asks for; None in other modes, and without a count."""
    mode = spec.get("Mode") or {}
    if list(mode) != ["Replicated"]:
        return None
    count = (mode["Replicated"] or {}).get("Replicas")
    return count if type(count) is int and 0 <= count < _BEYOND else None


def scaled(spec: Document, replicas: int, state: str, point: str | None = None) -> Document:
    """Return a copy of *spec* in which only the count and the autoscaler's labels differ.

    *point* is a rollback point to keep. With None the spec keeps the one that it has.
    """
    replicated = spec["Mode"]["Replicated"] | {"Replicas": replicas}
    labels = (spec.get("Labels") or {}) | {STATE_LABEL: state}
    if point is not None:
        labels[ROLLBACK_LABEL] = point
    return spec | {"Mode": spec["Mode"] | {"Replicated": replicated}, "Labels": labels}


def image(spec: Document) -> str:
    """Return the image that tasks of *spec* run, as people write it."""
    return str(_path(spec, "TaskTemplate", "ContainerSpec").get("Image", "")).partition("@")[0]


def task_views(tasks: Iterable[Document], ready_nodes: frozenset[str], requested: int) -> tuple[TaskView, ...]:
    """Return the tasks that Swarm wants to run, now or after the delay of a restart (desired `ready`).

    If fewer than *requested* tasks run, those without an error of their own quote the newest failed task. If no such
    task is left, because Swarm does not restart it, the failed task itself is returned with the others.
    """
    wanted = [task for task in tasks if task.get("DesiredState") in ("running", "ready")]
    failed = [task for task in tasks if task["Status"].get("State") in ("failed", "rejected")]
    newest = max(failed, key=lambda task: unix_time(task["Status"]["Timestamp"]), default=None)
    views = tuple(_task_view(task, ready_nodes, newest) for task in wanted)
    running = sum(view.running for view in views)
    if newest is not None and running == len(views) and running < requested:
        return (*views, _task_view(newest, ready_nodes, None))
    return views


def _task_view(task: Document, ready_nodes: frozenset[str], failed: Document | None) -> TaskView:
    status = task["Status"]
    state = status["State"]
    said = status.get("Err", "")
    if not said and failed is not None and state != "running":
        said = f"the task before it {failed['Status']['State']}: {_said(failed['Status'])}"
    return TaskView(
        id=_text(task["ID"]),
        state=_text(state),
        # A task that was never placed waits since it was created, however often Swarm has tried since.
        since=unix_time(task["CreatedAt"] if state in _UNSCHEDULED else status["Timestamp"]),
        on_ready_node=task.get("NodeID", "") in ready_nodes,
        words=_text(said or status.get("Message", "")),
        node=_text(task.get("NodeID", "")),
    )


def _said(status: Document) -> str:
    said: str = status.get("Err") or status.get("Message", "")
    return said


def _spec_before(previous: Document) -> SpecBefore:
    state = _text((previous.get("Labels") or {}).get(STATE_LABEL, ""))
    return SpecBefore(requested_replicas(previous), state, *_limits(previous))


def _limits(spec: Document) -> tuple[float | None, float | None]:
    """Return the cores and the bytes that a task may use; None without a limit."""
    limits = _path(spec, "TaskTemplate", "Resources", "Limits")
    return _amount(limits.get("NanoCPUs", 0)) / 1e9 or None, _amount(limits.get("MemoryBytes", 0)) or None


def _is_ready(node: Document) -> bool:
    return bool(_path(node, "Status").get("State") == "ready")


def _is_running(task: Document) -> bool:
    return bool(task.get("DesiredState") == "running" and task["Status"].get("State") == "running")


def _container_id(task: Document) -> str:
    identity: str = _path(task, "Status", "ContainerStatus").get("ContainerID", "")
    return identity


def _path(document: Mapping[str, Any], *keys: str) -> Document:
    """Return the object at *keys*; empty if a part of the path is absent or null."""
    found: Any = document
    for key in keys:
        found = found.get(key) or {}
    if not isinstance(found, dict):
        raise TypeError(f"{type(found).__name__} where an object belongs")
    return found


def _labels(labelled: Document) -> dict[str, str]:
    return {_text(label): _text(value) for label, value in (labelled.get("Labels") or {}).items()}


def _text(value: object) -> str:
    """Return *value*, a text that can be written. JSON may have half of a surrogate pair, which cannot."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    if not value.isascii():
        value.encode()
    return value


def _whole(value: object) -> int:
    if type(value) is not int or not -_BEYOND < value < _BEYOND:
        raise TypeError(f"{value!r:.40} where a whole number of 64 bits belongs")
    return value


def _amount(value: object) -> float:
    """Return *value*, a finite amount of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise TypeError(f"{type(value).__name__} where an amount belongs")
    return float(value)


def unix_time(text: str) -> float:
    """Return the Unix seconds of Docker's RFC 3339 time. Its nanoseconds are cut to microseconds."""
    return datetime.fromisoformat(text).timestamp()
