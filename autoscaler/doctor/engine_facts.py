"""Asks an engine what checks need to know. It writes nothing: the calls that would write name what cannot exist."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from autoscaler.adapters.docker import lease, pauses
from autoscaler.adapters.docker.engine_errors import documented
from autoscaler.adapters.docker.pauses import SwarmPauses
from autoscaler.coordination.pauses import Pauses
from autoscaler.doctor.facts import Deployed, EngineFacts, Machine, Membership, Right, Subject
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
class EngineCall:
    """A call that the autoscaler makes, in a form that changes nothing."""

    request: str
    """The method and the path, as people read them."""
    permission: str
    subject: Subject
    path: str = ""
    """The path that is asked, if it is another one."""
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None

    def ask(self, probe: EngineProbe, deadline: Deadline) -> EngineReply:
        """Return the answer to the call; raise BackendError if none came."""
        method, _, path = self.request.partition(" ")
        return probe.reply(method, self.path or path, deadline, self.params or None, self.body)


_NONE_OF_THEM = {"filters": json.dumps({"id": [NOBODY]})}
_LEASE, _PAUSES = f"/configs/{lease.CONFIG}", f"/configs/{pauses.CONFIG}"
_UNWRITTEN = {"version": _NO_VERSION}
CALLS = (
    EngineCall("GET /services", "SERVICES", Subject.READ, params=_NONE_OF_THEM),
    EngineCall("GET /tasks", "TASKS", Subject.READ, params=_NONE_OF_THEM),
    EngineCall("GET /nodes", "NODES", Subject.READ),
    EngineCall("GET /services/ID", "SERVICES", Subject.READ, path=f"/services/{NOBODY}"),
    EngineCall(f"GET {_LEASE}", "CONFIGS", Subject.LEASE),
    EngineCall(f"GET {_PAUSES}", "CONFIGS", Subject.PAUSES),
    # The engine refuses each of these for two reasons: nothing has the id or the version, and the spec is not valid
    # (docs/facts.md#writes-that-name-nothing).
    EngineCall(
        "POST /services/ID/update", "SERVICES POST", Subject.WRITE, f"/services/{NOBODY}/update", _UNWRITTEN, body={}
    ),
    EngineCall("POST /configs/create", "CONFIGS POST", Subject.WRITE, body={"Name": ""}),
    EngineCall(f"POST {_LEASE}/update", "CONFIGS POST", Subject.WRITE, params=_UNWRITTEN, body={"Name": ""}),
)
"""The calls that the autoscaler makes."""


def ask_engine(probe: EngineProbe, deadline: Deadline) -> EngineFacts:
    """Return what the engine says. Never raise for what it does."""
    try:
        with documented():
            return _asked(probe, deadline)
    except BackendError as error:
        return EngineFacts(trouble=str(error))


def _asked(probe: EngineProbe, deadline: Deadline) -> EngineFacts:
    about = probe.reply("GET", "/version", deadline)
    if about.error is not None:
        raise about.error
    services = CALLS[0].ask(probe, deadline)
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
    replies = {CALLS[0].request: services}
    rights = []
    for call in CALLS:
        try:
            reply = replies.get(call.request) or call.ask(probe, deadline)
        except BackendError as error:
            rights.append(Right(call.request, call.permission, call.subject, None, str(error)))
            continue
        replies[call.request] = reply
        rights.append(_right(call, reply))
    return replace(
        known,
        rights=tuple(rights),
        machines=_machines(replies.get("GET /nodes")),
        autoscalers=_autoscalers(probe, deadline),
        pauses=_pauses(probe, deadline),
    )


def _right(call: EngineCall, reply: EngineReply) -> Right:
    if reply.came_through:
        return Right(call.request, call.permission, call.subject, allowed=True)
    if reply.status < HTTPStatus.BAD_REQUEST or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Right(call.request, call.permission, call.subject, None, str(reply.error))
    words = reply.message or f"HTTP {reply.status} {_phrase(reply.status)}"
    return Right(call.request, call.permission, call.subject, allowed=False, said=tidy(words, _LONGEST))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _pauses(probe: EngineProbe, deadline: Deadline) -> Pauses | None:
    try:
        cell = SwarmPauses(probe).look(deadline)
    except BackendError:
        return None
    return Pauses.of_labels(cell.labels) if cell else Pauses()


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


def _autoscalers(probe: EngineProbe, deadline: Deadline) -> tuple[Deployed, ...] | None:
    """Return the services whose environment holds settings of the autoscaler; None if the list is too large."""
    try:
        services = probe.reply("GET", "/services", deadline)
    except BackendError:
        return None
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
