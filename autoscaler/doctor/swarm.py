"""The checks of the Docker engine, the Swarm, the lease and the pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.doctor.checks import Check, Unseen, failure, hint, judged, warning
from autoscaler.doctor.facts import Membership, Subject
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.coordination.pauses import Pauses
    from autoscaler.doctor.checks import Finding, Verdict
    from autoscaler.doctor.facts import Deployed, EngineFacts, Installation, Machine
    from autoscaler.swarm.capacity import Capacity

DOCKER, SWARM, COORDINATION = "docker", "swarm", "lease and pauses"
_OLDEST = (1, 41)
"""The API version of the oldest supported engine, 20.10."""
_SKEW = 5.0
"""Seconds by which two clocks may differ: cooldowns and pauses are longer."""
_LONG = 24 * 3600.0
"""Seconds after which a pause without an end looks forgotten."""
_SPARE = 2
"""The number of managers that is worse than one: if either fails, the Swarm has no leader."""

_engine = judged(lambda installation: installation.engine, "needs valid settings")
_machines = judged(lambda it: it.engine.machines if it.engine else None, "needs the nodes of Swarm")
_autoscalers = judged(
    lambda it: it.engine.autoscalers if it.engine else None, "the list of services cannot be read, or is too large"
)
_pauses_read = judged(lambda it: it.engine.pauses if it.engine else None, "needs the pauses of Swarm")
_capacity = judged(lambda it: it.survey.capacity if it.survey else None, "needs the services and nodes of Swarm")


def _told(message: str) -> Finding:
    """Return a failure from what is said about the engine: the cause, and the cure behind a semicolon."""
    cause, _, cure = message.partition("; ")
    return failure(cause, cure)


@_engine
def _answers(engine: EngineFacts, _: Installation) -> Verdict:
    return _told(engine.trouble) if engine.trouble else None


@_engine
def _api(engine: EngineFacts, _: Installation) -> Verdict:
    version = tuple(int(part) for part in engine.api_version.split(".") if part.isdigit())
    if not version:
        return Unseen("the engine does not tell its API version")
    if version >= _OLDEST:
        return None
    oldest = ".".join(map(str, _OLDEST))
    seen = f"engine {engine.version} has API {engine.api_version}, and {oldest} is the oldest supported"
    return failure(seen, "upgrade the engine to 20.10 or newer")


@_engine
def _manager(engine: EngineFacts, _: Installation) -> Verdict:
    if engine.membership in {Membership.WORKER, Membership.NONE}:
        return _told(engine.membership_said)
    return None if engine.membership else Unseen(engine.membership_said or "Swarm gave no clear answer")


@_engine
def _leader(engine: EngineFacts, _: Installation) -> Verdict:
    return _told(engine.membership_said) if engine.membership is Membership.LEADERLESS else None


def _may(subject: Subject) -> Callable[[Installation], Verdict]:
    """Return the judge of the calls with one *subject*."""

    @_engine
    def judge(engine: EngineFacts, _: Installation) -> Verdict:
        rights = [right for right in engine.rights if right.subject is subject]
        refused = [right for right in rights if right.allowed is False]
        if refused:
            seen = [f"{right.request} is refused: {right.said}" for right in refused]
            names = list(dict.fromkeys(name for right in refused for name in right.permission.split()))
            calls = ", ".join(right.request for right in refused)
            flag = f"-allow{refused[0].request.partition(' ')[0]}"
            given = " ".join(f"{name}=1" for name in names)
            return failure(seen, f"let the socket proxy pass {calls}: {given}, or its path in {flag}")
        unclear = [right.said for right in rights if right.allowed is None]
        if not rights or unclear:
            return Unseen(unclear[0] if unclear else "no call was tried")
        return None

    return judge


@_engine
def _clock(engine: EngineFacts, _: Installation) -> Verdict:
    offset = engine.clock_offset
    if offset is None:
        return Unseen("the engine's answers have no date")
    if abs(offset) <= _SKEW:
        return None
    side = "ahead of" if offset > 0 else "behind"
    return warning(f"the engine's clock is {words(abs(offset))} {side} ours", "set both clocks by NTP")


@_machines
def _quorum(machines: Sequence[Machine], _: Installation) -> Verdict:
    managers = [machine for machine in machines if machine.role == "manager"]
    away = [machine.name for machine in managers if machine.reachability not in {"", "reachable"}]
    if away:
        seen = [f"the manager {name} is unreachable" for name in away]
        return warning(seen, f"bring it back, or remove it: docker node demote {away[0]}")
    if len(managers) == _SPARE:
        cure = "promote a third node, or demote one: docker node promote NODE"
        return warning("the Swarm has 2 managers, and needs both", cure)
    return None


@_machines
def _nodes(machines: Sequence[Machine], _: Installation) -> Verdict:
    away = [machine for machine in machines if machine.state != "ready"]
    if not away:
        return None
    seen = [f"node {machine.name} is {machine.state}" for machine in away]
    return warning(seen, f"start it again, or remove it: docker node rm {away[0].name}")


@_capacity
def _room(capacity: Capacity, _: Installation) -> Verdict:
    lacking = [place for place in capacity.places if not place.fits]
    if not lacking:
        return None
    seen = [
        f"{place.service}: {place.with_others} of {place.maximum} replicas find room ({place.obstacle})"
        for place in lacking
    ]
    return warning(seen, lacking[0].cure)


@_capacity
def _overcommit(capacity: Capacity, _: Installation) -> Verdict:
    if not capacity.places:
        return Unseen("no policy applies to a service")
    most, total = capacity.limits_at_maxima, capacity.total
    seen = [
        f"with every policy at its maximum the limits are {ours:.0f} % of the {what} of all nodes"
        for what, ours in (
            ("memory", 100 * most.memory / (total.memory or 1)),
            ("CPU", 100 * most.nano_cpus / (total.nano_cpus or 1)),
        )
        if ours > 100  # noqa: PLR2004 - percent
    ]
    return hint(seen, "lower max or the limits, or add nodes") if seen else None


@_pauses_read
def _forgotten(pauses: Pauses, installation: Installation) -> Verdict:
    now = installation.at
    old: dict[str, str] = {}
    for service, _, pause in pauses.in_force(now):
        endless = pause is None or pause.until is None or pause.until - now > _LONG
        if endless and (pause is None or now - pause.since > _LONG):
            name = "all services" if service == "*" else service
            old[service] = f"{name}: {pause or 'the label of its pause cannot be read, so it counts as paused'}"
    if not old:
        return None
    first = next(iter(old))
    return warning(tuple(old.values()), "autoscaler resume" if first == "*" else f"autoscaler resume {first}")


@_autoscalers
def _alone(autoscalers: Sequence[Deployed], _: Installation) -> Verdict:
    if len(autoscalers) < 2:  # noqa: PLR2004 - one may be there
        return None
    ordered = sorted(autoscalers, key=lambda each: not each.live)
    seen = [f"the service {each.service} runs {each.image}, {'live' if each.live else 'dry-run'}" for each in ordered]
    cure = f"keep one of them: docker service rm {ordered[-1].service}"
    same = len({(each.image, each.live) for each in autoscalers}) == 1
    return warning(seen, cure) if same else failure(seen, cure)


_READS = ("D-MANAGER", "D-LEADER", "D-READ")

CHECKS = (
    Check(
        "D-DOCKER",
        DOCKER,
        "Docker answers",
        "without the engine nothing is seen and nothing is scaled",
        "Start the engine, mount its socket, or correct AUTOSCALER_DOCKER_HOST.",
        _answers,
        ("D-SETTINGS",),
    ),
    Check(
        "D-API",
        DOCKER,
        "The engine is 20.10 or newer",
        "an older API strips fields from services, and a scale would restart tasks",
        "Upgrade the engine.",
        _api,
        ("D-DOCKER",),
    ),
    Check(
        "D-MANAGER",
        DOCKER,
        "The engine is a manager of a Swarm",
        "only managers know the services",
        "Run the autoscaler on a manager: `node.role == manager` in its placement constraints.",
        _manager,
        ("D-DOCKER",),
    ),
    Check(
        "D-LEADER",
        SWARM,
        "The Swarm has a leader",
        "without a Swarm leader nobody can read or change services",
        "Bring managers back until more than half of them are online.",
        _leader,
        ("D-MANAGER",),
    ),
    Check(
        "D-READ",
        DOCKER,
        "Services, tasks and nodes may be read",
        "what cannot be read cannot be decided on",
        "Let the socket proxy pass the call that is named.",
        _may(Subject.READ),
        ("D-LEADER",),
    ),
    Check(
        "D-WRITE",
        DOCKER,
        "Services may be updated, and configs created and updated",
        "every scale, and the lease, would be refused",
        "Let the socket proxy pass the call that is named.",
        _may(Subject.WRITE),
        ("D-LEADER",),
    ),
    Check(
        "D-CLOCK",
        DOCKER,
        "The engine's clock agrees with ours",
        "cooldowns and the age of tasks would be wrong",
        "Set both clocks by NTP.",
        _clock,
        ("D-DOCKER",),
    ),
    Check(
        "D-QUORUM",
        SWARM,
        "The Swarm survives the loss of its managers as well as it can",
        "without more than half of its managers a Swarm changes nothing",
        "Have one, three or five managers, and all of them reachable.",
        _quorum,
        ("D-READ",),
    ),
    Check(
        "D-NODES",
        SWARM,
        "All nodes are ready",
        "their room is missing, and their tasks are started elsewhere",
        "Start the node again, or remove it: `docker node rm NODE`.",
        _nodes,
        ("D-READ",),
    ),
    Check(
        "D-ROOM",
        SWARM,
        "Every policy's maximum finds room",
        "replicas beyond the room stay pending",
        "Lower `max` or the reservations, or add nodes.",
        _room,
        ("D-POLICIES", "D-READ"),
    ),
    Check(
        "D-OVERCOMMIT",
        SWARM,
        "The limits at every policy's maximum are within the nodes' size",
        "tasks may then take CPU from each other, or be killed for lack of memory",
        "Lower `max` or the limits, or add nodes.",
        _overcommit,
        ("D-POLICIES", "D-READ"),
    ),
    Check(
        "D-LEASE",
        COORDINATION,
        "The lease can be read",
        "an autoscaler without the lease writes nothing",
        "Let the socket proxy pass reading the config autoscaler-lease.",
        _may(Subject.LEASE),
        ("D-LEADER",),
    ),
    Check(
        "D-PAUSES",
        COORDINATION,
        "The pauses can be read",
        "until pauses are read, every service counts as paused",
        "Let the socket proxy pass reading the config autoscaler-pauses.",
        _may(Subject.PAUSES),
        ("D-LEADER",),
    ),
    Check(
        "D-FORGOTTEN",
        COORDINATION,
        "No pause is left behind",
        "a paused service is not scaled, whatever its load",
        "End the pause: `autoscaler resume SERVICE`.",
        _forgotten,
        ("D-PAUSES",),
    ),
    Check(
        "D-ALONE",
        COORDINATION,
        "The Swarm has one autoscaler",
        "autoscalers of different versions, modes or policies undo each other's decisions",
        "Keep one of the services, with as many replicas as you like.",
        _alone,
        ("D-READ",),
    ),
)
