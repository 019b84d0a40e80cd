"""The walk along the chain between a service and its next change of count. It stops at the first broken link. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.core.lacks import Link
from autoscaler.core.reasons import Reason
from autoscaler.doctor.checks import Examination, Grade, apart
from autoscaler.policy.matching import ENABLED_LABEL, POLICY_LABEL, Matcher
from autoscaler.swarm.cluster import unknown_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.core.model import Decision
    from autoscaler.core.records import Record
    from autoscaler.doctor.checks import CheckResult
    from autoscaler.doctor.facts import Installation
    from autoscaler.policy.matching import Match
    from autoscaler.policy.policy import Bounds, Policy
    from autoscaler.swarm.cluster import ServiceView

PAGE = "docs/doctor.md#a-service-that-does-not-scale"
_QUERY = (Link.SOURCE, Link.QUERY)
_SERIES = (Link.METRIC, Link.SELECTOR, Link.SERVICE_LABEL, Link.TASK_LABEL, Link.SERVICE)
_TASKS = (Link.TASKS,)
_WINDOW = (Link.WARM_UP, Link.TIMESTAMPS, Link.SCRAPE_INTERVAL, Link.WINDOW)
_WAIT = "wait; `autoscaler plan` shows what is left"
_CURES = {
    Reason.AT_MAX: "raise max in the policy {policy}",
    Reason.AT_MIN: "lower min in the policy {policy}",
    Reason.SCHEDULE_BOUNDS: "change the schedule in the policy {policy}, or wait for its end",
    Reason.COOLING_DOWN: "wait, or shorten the cooldown in the policy {policy}",
    Reason.ROLLOUT_IN_PROGRESS: "wait for the rollout: docker service ps {service}",
    Reason.TASKS_PENDING: "see why tasks do not run: docker service ps {service}",
    Reason.NO_ROOM: "add nodes, or reserve less: docker service ps {service}",
    Reason.SCALED_TO_ZERO: "docker service scale {service}=1",
    Reason.INEFFECTIVE: "see whether replicas are the bottleneck; more of them did not lower the metric",
    Reason.WOULD_FLAP: "lower the bound of the rule that removes, or write flap_guard: false",
    Reason.GUARD: "see the guard's metric, or change the guard in the policy {policy}",
    Reason.STARVED: "give the node more CPU, or write on_starved: allow",
}


@dataclass(frozen=True, slots=True)
class WalkedLink:
    """One link of the chain, as it was found."""

    statement: str
    """The sentence that is true if the link holds."""
    grade: Grade = Grade.GOOD
    """Good if the link holds. A hint if it is broken in the normal course of things."""
    seen: tuple[str, ...] = ()
    cure: str = ""
    code: str = ""
    """The check that failed, if the link is broken because of one."""
    help: str = PAGE


@dataclass(frozen=True, slots=True)
class Walk:
    """The links up to the first broken one."""

    service: str
    links: tuple[WalkedLink, ...]
    outcome: str
    """The answer in one sentence."""

    @property
    def broken(self) -> WalkedLink | None:
        """Return the broken link; None if all hold."""
        last = self.links[-1] if self.links else None
        return last if last is not None and last.grade is not Grade.GOOD else None

    def bad(self, *, strict: bool) -> bool:
        """Return whether the broken link is a failure; if *strict*, a warning is one too."""
        grade = self.broken.grade if self.broken else Grade.GOOD
        return grade is Grade.FAILURE or (strict and grade is Grade.WARNING)


def walk(service: str, installation: Installation, found: Examination) -> Walk:
    """Return the walk along the chain of *service*, after what was *found* of the whole installation."""
    links: list[WalkedLink] = []
    for link in _links(service, installation, found):
        links.append(link)
        if link.grade is not Grade.GOOD:
            return Walk(service, tuple(links), _stopped(link, service))
    record = _record(service, installation)
    decision = record.decision if record else None
    if decision is None:
        return Walk(service, tuple(links), f"Every link holds, and no decision on {service} is known")
    change = f"{decision.requested} → {decision.desired}"
    said = f"Every link holds. The next evaluation changes {service} {change}: {decision.primary.detail}"
    return Walk(service, tuple(links), said)


def _stopped(link: WalkedLink, service: str) -> str:
    if link.grade is Grade.HINT:
        return f"{service}: nothing is broken, and `autoscaler explain {service}` shows what comes next"
    return f"The chain of {service} is broken here"


class _OfService(NamedTuple):
    """What is known of a service that Swarm has and a policy means."""

    installation: Installation
    view: ServiceView
    policy: Policy


def _links(service: str, installation: Installation, found: Examination) -> Iterator[WalkedLink]:
    """Yield the links in their order, without an end at a broken one."""
    base = ("D-SETTINGS", "D-POLICIES", "D-DOCKER", "D-MANAGER", "D-LEADER", "D-READ")
    yield from _installed(found, "Settings, policies and Swarm can be read", *base)
    cluster, given = installation.cluster, installation.policies
    if cluster is None or given is None or given.policies is None:
        yield WalkedLink("Swarm's services can be read", Grade.FAILURE, ("Swarm gave no answer in time",), "try again")
        return
    view = cluster.services.get(service)
    if view is None:
        seen, cure = apart(unknown_service(service, cluster.services))
        yield WalkedLink(f"Swarm has the service {service}", Grade.FAILURE, (seen,), cure)
        return
    yield WalkedLink(f"Swarm has the service {service}")
    match = Matcher(given.policies).find(service, view.labels, own=service == cluster.own_service)
    yield _opted_in(view, match)
    if match.policy is None:
        return
    subject = _OfService(installation, view, match.policy)
    yield _replicated(view)
    yield _bounded(match.policy, match.policy.bounds(installation.at))
    # What lasts comes before what passes.
    yield from _installed(found, "Its count may be written", "D-LEASE", "D-WRITE")
    yield _free(subject)
    if match.policy.look_backs:
        yield from _installed(found, "Prometheus answers", "D-PROMETHEUS", "D-LOGIN", "D-QUERIES")
        yield from _data(subject)
    yield from _decided(subject)
    yield from _live(installation)


def _installed(found: Examination, statement: str, *codes: str) -> Iterator[WalkedLink]:
    """Yield a link for checks that all services need, with the *statement* or the first check that is not good."""
    results: list[CheckResult] = [result for result in found.results if result.check.code in codes]
    for result in results:
        if result.grade in {Grade.FAILURE, Grade.SKIPPED}:
            seen = result.seen or (f"not looked at: {result.reason}",)
            check = result.check
            yield WalkedLink(check.statement, Grade.FAILURE, seen, result.cure or check.cure, check.code, check.anchor)
            return
    yield WalkedLink(statement)


def _opted_in(view: ServiceView, match: Match) -> WalkedLink:
    if match.policy is not None:
        return WalkedLink(f"The policy {match.policy.name} applies to it")
    statement = "One policy applies to it"
    if match.conflict:
        seen, cure = apart(match.conflict)
        return WalkedLink(statement, Grade.FAILURE, (seen,), cure)
    if view.labels.get(ENABLED_LABEL) == "false":
        cure = f"docker service update --label-rm {ENABLED_LABEL} {view.name}, and remove it from the stack file"
        return WalkedLink(statement, Grade.WARNING, (f"it has the label {ENABLED_LABEL}=false",), cure)
    cure = f"add {view.name} to services: of a policy, or the label {POLICY_LABEL}=NAME to the service"
    return WalkedLink(statement, Grade.WARNING, ("no policy names it or matches it",), cure)


def _replicated(view: ServiceView) -> WalkedLink:
    statement = "It is replicated"
    if view.mode == "replicated":
        return WalkedLink(statement)
    cure = "deploy it with mode: replicated"
    return WalkedLink(statement, Grade.WARNING, (f"its mode is {view.mode}, and only replicated are scaled",), cure)


def _bounded(policy: Policy, bounds: Bounds) -> WalkedLink:
    statement = f"Its bounds leave room: {bounds.min} to {bounds.max} replicas"
    if bounds.asleep:
        cure = f"wait, or change the schedule in the policy {policy.name}"
        return WalkedLink("Its bounds leave room", Grade.HINT, ("a schedule lets it sleep at 0 replicas",), cure)
    if bounds.min == bounds.max:
        by = f" by the schedule {bounds.max_by}" if bounds.max_by else ""
        cure = f"raise max in the policy {policy.name}"
        seen = f"min and max are both {bounds.max}{by}"
        return WalkedLink("Its bounds leave room", Grade.WARNING, (seen,), cure)
    return WalkedLink(statement)


def _free(subject: _OfService) -> WalkedLink:
    statement = "Its changes are not paused"
    record = _record(subject.view.name, subject.installation)
    paused = dict.fromkeys(record.paused.values()) if record else {}
    if not paused:
        return WalkedLink(statement)
    parts = [apart(said) for said in paused]
    return WalkedLink(statement, Grade.WARNING, tuple(seen for seen, _ in parts), parts[0][1] or "end the pause")


def _live(installation: Installation) -> Iterator[WalkedLink]:
    daemon = installation.daemon
    mode = (daemon.document.get("daemon") or {}).get("mode") if daemon else None
    if mode == "dry_run":
        seen = "the daemon is in dry-run: it decides, and writes nothing"
        yield WalkedLink("The daemon is live", Grade.HINT, (seen,), "set AUTOSCALER_DRY_RUN=false")
    elif mode:
        yield WalkedLink("The daemon is live")


def _data(subject: _OfService) -> Iterator[WalkedLink]:
    """Yield the links of data of all metrics that the policy looks at."""
    names = ", ".join(subject.policy.look_backs)
    for links, statement in (
        (_QUERY, f"The queries of its metrics are answered: {names}"),
        (_SERIES, "Prometheus has series of it"),
        (_TASKS, "Every task reports"),
        (_WINDOW, "Its windows are complete"),
    ):
        yield _held_by_data(subject, links, statement)


def _held_by_data(subject: _OfService, links: tuple[Link, ...], statement: str) -> WalkedLink:
    plan = subject.installation.plan
    survey = subject.installation.survey
    known = [*(plan.evaluation.lacks if plan else ()), *(survey.lacks if survey else ())]
    lacks = [lack for lack in known if lack.service == subject.view.name and lack.link in links]
    if not lacks:
        return WalkedLink(statement)
    seen = tuple(dict.fromkeys(f"{lack.metric}: {lack.sentence}" for lack in lacks))
    grade = Grade.HINT if all(lack.passes for lack in lacks) else Grade.FAILURE
    return WalkedLink(statement, grade, seen, lacks[0].cure)


def _record(service: str, installation: Installation) -> Record | None:
    records = installation.plan.evaluation.records if installation.plan else ()
    return next((record for record in records if record.decision.service == service), None)


def _decided(subject: _OfService) -> Iterator[WalkedLink]:
    """Yield whether a rule asks for another count, and whether something holds it."""
    record = _record(subject.view.name, subject.installation)
    if record is None:
        cure = "run `autoscaler plan`, which shows the error"
        yield WalkedLink("A decision can be made", Grade.FAILURE, ("the evaluation gave no decision",), cure)
        return
    explanation = record.explanation()
    sooner = explanation.sooner if explanation else ""
    yield _rules(record.decision, sooner)
    yield _gates(record.decision, sooner, explanation.written if explanation else "")


def _rules(decision: Decision, sooner: str) -> WalkedLink:
    wanting = [each for each in decision.recommendations if each.replicas not in {None, decision.requested}]
    if wanting:
        return WalkedLink(f"A rule asks for another count: {wanting[0].rule} wants {wanting[0].replicas}")
    if decision.changes or not decision.recommendations:
        return WalkedLink("The bounds or a schedule decide the count")
    seen = tuple(f"{each.rule}: {each.detail}" for each in decision.recommendations)
    cure = "it scales once a value is beyond its bound for the whole window; change the bound if that is too late"
    return WalkedLink(
        "A rule asks for another count", Grade.HINT, seen, f"{cure}, or now: {sooner}" if sooner else cure
    )


def _gates(decision: Decision, sooner: str, written: str) -> WalkedLink:
    statement = "Nothing holds the change"
    if decision.changes:
        return WalkedLink(statement)
    reason = decision.primary.reason
    detail, cure = apart(decision.primary.detail)
    grade = Grade.WARNING if reason in {Reason.PAUSED, Reason.NO_ROOM, Reason.GUARD} else Grade.HINT
    policy = f"{decision.policy} ({written})" if written else decision.policy
    known = _CURES.get(reason, "").format(service=decision.service, policy=policy)
    return WalkedLink(statement, grade, (f"{reason}: {detail}",), cure or known or sooner or _WAIT)
