"""Asks an engine what checks need to know. It writes nothing: the calls that would write name what cannot exist."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from autoscaler.adapters.docker import lease, pauses
from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.pauses import Pauses
from autoscaler.doctor.facts import Deployed, EngineFacts, Machine, Membership, Right
from autoscaler.errors import BackendError, UnreachableError
from autoscaler.settings import PREFIX, Settings
from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from autoscaler.adapters.docker.probe import EngineProbe, EngineReply
    from autoscaler.util.deadline import Deadline

NOBODY = "0" * 25
"""An id that no service has: Swarm's ids are random."""
_NO_VERSION = 0
"""A version index that no object has."""
_LONGEST = 160
_MEMBERSHIPS = (
    ("Worker nodes can't be used", Membership.WORKER),
    ("not a swarm manager", Membership.NONE),
    ("does not have a leader", Membership.LEADERLESS),
)
_TRUE = frozenset({"true", "yes", "1"})


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that the autoscaler makes, in a form that changes nothing."""

    call: str
    request: str
    permission: str
    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


_NONE_OF_THEM = {"filters": json.dumps({"id": [NOBODY]})}
_READS = (
    _Call("list services", "GET /services", "SERVICES", "GET", "/services"),
    _Call("list tasks", "GET /tasks", "TASKS", "GET", "/tasks", _NONE_OF_THEM),
    _Call("list nodes", "GET /nodes", "NODES", "GET", "/nodes"),
    _Call("read services", "GET /services/ID", "SERVICES", "GET", f"/services/{NOBODY}"),
    _Call("read the lease", f"GET /configs/{lease.CONFIG}", "CONFIGS", "GET", f"/configs/{lease.CONFIG}"),
    _Call("read the pauses", f"GET /configs/{pauses.CONFIG}", "CONFIGS", "GET", f"/configs/{pauses.CONFIG}"),
)
# Each of these is refused twice over by the engine: nothing has the id or the version, and an empty spec is not valid.
_WRITES = (
    _Call(
        "update services",
        "POST /services/ID/update",
        "SERVICES POST",
        "POST",
        f"/services/{NOBODY}/update",
        {"version": _NO_VERSION},
        {},
    ),
    _Call("create configs", "POST /configs/create", "CONFIGS POST", "POST", "/configs/create", {}, {"Name": ""}),
    _Call(
        "update configs",
        f"POST /configs/{lease.CONFIG}/update",
        "CONFIGS POST",
        "POST",
        f"/configs/{lease.CONFIG}/update",
        {"version": _NO_VERSION},
        {"Name": ""},
    ),
)


def ask_engine(probe: EngineProbe, deadline: Deadline) -> EngineFacts:
    """Return what the engine says. Never raise for what it does."""
    try:
        about = probe.reply("GET", "/version", deadline)
        if about.error is not None:
            raise about.error
        services = probe.reply("GET", "/services", deadline)
    except BackendError as error:
        return EngineFacts(trouble=str(error))
    said = about.document if isinstance(about.document, dict) else {}
    membership = _membership(services)
    known = EngineFacts(
        version=tidy(str(said.get("Version", "")), _LONGEST),
        api_version=tidy(str(said.get("ApiVersion", "")), _LONGEST),
        clock_offset=about.offset,
        membership=membership,
        membership_said="" if services.error is None else str(services.error),
    )
    if membership is not Membership.MANAGER:
        return known
    return _of_the_swarm(probe, known, services, deadline)


def _membership(services: EngineReply) -> Membership | None:
    """Return the engine's part in a Swarm, as its answer about services shows it; a refused call shows nothing."""
    for words, meaning in _MEMBERSHIPS:
        if words in services.message:
            return meaning
    # A proxy that forbids this call is told by the rights.
    return Membership.MANAGER if services.status != HTTPStatus.SERVICE_UNAVAILABLE else None


def _of_the_swarm(probe: EngineProbe, known: EngineFacts, services: EngineReply, deadline: Deadline) -> EngineFacts:
    replies = {_READS[0].request: services}
    rights = []
    for call in (*_READS, *_WRITES):
        reply: EngineReply | BackendError
        try:
            reply = replies.get(call.request) or probe.reply(
                call.method, call.path, deadline, call.params or None, call.body
            )
        except BackendError as error:
            reply = error
        if not isinstance(reply, BackendError):
            replies[call.request] = reply
        rights.append(_right(call, reply))
    held, trouble = _pauses(probe, deadline)
    return EngineFacts(
        version=known.version,
        api_version=known.api_version,
        clock_offset=known.clock_offset,
        membership=known.membership,
        rights=tuple(rights),
        machines=_machines(replies.get("GET /nodes")),
        autoscalers=_autoscalers(services),
        lease_trouble=_unreadable(replies.get(f"GET /configs/{lease.CONFIG}")),
        pauses=held,
        pauses_trouble=trouble,
    )


def _right(call: _Call, reply: EngineReply | BackendError) -> Right:
    writes = call.method == "POST"
    if isinstance(reply, BackendError):
        return Right(call.call, call.request, call.permission, writes, None, str(reply))
    if reply.came_through:
        return Right(call.call, call.request, call.permission, writes, allowed=True)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Right(call.call, call.request, call.permission, writes, None, str(reply.error))
    words = reply.message or f"HTTP {reply.status} {_phrase(reply.status)}"
    return Right(call.call, call.request, call.permission, writes, allowed=False, said=tidy(words, _LONGEST))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _unreadable(reply: EngineReply | None) -> str:
    if reply is None:
        return "the engine gave no answer about the lease (try again)"
    if reply.error is None or reply.status == HTTPStatus.NOT_FOUND:
        return ""
    return str(reply.error)


def _pauses(probe: EngineProbe, deadline: Deadline) -> tuple[Pauses | None, str]:
    try:
        cell = SwarmPauses(probe).look(deadline)
    except BackendError as error:
        return None, str(error)
    return (Pauses.of_labels(cell.labels) if cell else Pauses()), ""


def _machines(reply: EngineReply | None) -> tuple[Machine, ...] | None:
    if reply is None or reply.error is not None or not isinstance(reply.document, list):
        return None
    return tuple(sorted((_machine(node) for node in _objects(reply.document)), key=lambda machine: machine.name))


def _machine(node: Mapping[str, Any]) -> Machine:
    spec, status, manager = (_part(node, name) for name in ("Spec", "Status", "ManagerStatus"))
    return Machine(
        name=tidy(str(_part(node, "Description").get("Hostname") or node.get("ID", "")), _LONGEST),
        state=str(status.get("State", "unknown")),
        role=str(spec.get("Role", "")),
        availability=str(spec.get("Availability", "active")),
        reachability=str(manager.get("Reachability", "")),
        leads=manager.get("Leader") is True,
    )


def _autoscalers(services: EngineReply) -> tuple[Deployed, ...] | None:
    """Return the services whose environment holds settings of the autoscaler."""
    if services.error is not None or not isinstance(services.document, list):
        return None
    found = []
    for document in _objects(services.document):
        spec = _part(document, "Spec")
        container = _part(_part(spec, "TaskTemplate"), "ContainerSpec")
        environment = dict(_variables(container.get("Env")))
        if any(name.lower().removeprefix(PREFIX.lower()) in Settings.model_fields for name in environment):
            options = [*(container.get("Command") or ()), *(container.get("Args") or ())]
            dry = environment.get(f"{PREFIX}DRY_RUN", "").lower() in _TRUE or "--dry-run" in options
            count = _part(_part(spec, "Mode"), "Replicated").get("Replicas", 1)
            image = str(container.get("Image", "")).partition("@")[0]
            name = tidy(str(spec.get("Name", "")), _LONGEST)
            if count:
                found.append(Deployed(name, tidy(image, _LONGEST), not dry or "--live" in options, int(count)))
    return tuple(sorted(found, key=lambda each: each.service))


def _variables(given: Any) -> Iterator[tuple[str, str]]:
    for entry in given if isinstance(given, list) else ():
        name, _, value = str(entry).partition("=")
        if re.match(rf"(?i){PREFIX}", name):
            yield name.upper(), value


def _objects(listed: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    return (each for each in listed if isinstance(each, dict))


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


UNANSWERED = EngineFacts(trouble=str(UnreachableError("Docker gave no answer in time (look whether the engine hangs)")))
