"""Watches the lacks of data: diagnoses each once when it begins or changes, and says which have lasted too long."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

from autoscaler.core.reasons import Reason
from autoscaler.core.records import NO_DATA
from autoscaler.diagnosis import lasting
from autoscaler.diagnosis.chain import Surroundings, first_broken, gaps_of
from autoscaler.diagnosis.lasting import Lasting
from autoscaler.errors import BackendError
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.util.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from autoscaler.core.lacks import Lack, Link
    from autoscaler.core.records import Problem, Record
    from autoscaler.diagnosis.chain import Gap
    from autoscaler.diagnosis.evidence import Evidence
    from autoscaler.metrics.windows import MetricWindows, Needed
    from autoscaler.policy.policy import PolicySet
    from autoscaler.swarm.cluster import Cluster

LOOKED_BACK = 720
"""The seconds for which a look without a memory looks back, to see since when data lack."""
_ASKED_EVERY = 4
"""The fewest window steps between two diagnoses."""
_AGAIN_AFTER = 300.0
"""Seconds after which the cause of a lack that has lasted too long is looked for again."""
_LONGEST = 5.0
"""The most seconds that a diagnosis takes. It is made once all is decided and written."""


class Asked(Protocol):
    """Gives evidence on the built-in metrics; each method may raise BackendError."""

    def evidence(self, name: str, deadline: Deadline, /) -> Evidence:
        """Return the evidence on the built-in metric *name*."""

    def scraped_for(self, deadline: Deadline, /) -> float | None:
        """Return the seconds of the last hour in which Prometheus scraped anything; None if it does not tell."""

    def tells_starts(self, deadline: Deadline, /) -> bool:
        """Return whether Prometheus knows when any task started."""


class Look(NamedTuple):
    """The facts of one evaluation that show which data lack."""

    needed: Sequence[Needed]
    policies: PolicySet
    windows: MetricWindows
    cluster: Cluster
    at: float
    problems: Sequence[Problem]
    records: Sequence[Record] | None = None
    """The decisions; None if every metric of every service is to be looked at."""


class Found(NamedTuple):
    """What lacks."""

    lacks: tuple[Lack, ...] = ()
    news: tuple[Lack, ...] = ()
    """Those that began, or whose link changed."""
    problems: tuple[Problem, ...] = ()
    """Those that have lasted too long."""


@dataclass(slots=True)
class LackWatch:
    """Remembers since when data lack, and why. Not for use by two threads at once."""

    asked: Asked | None = None
    """None if only the windows can be looked at."""
    _lasting: dict[tuple[str, str], Lasting] = field(default_factory=dict, init=False)
    """By service and metric."""
    _asked_at: float = field(default=-inf, init=False)
    _told: dict[tuple[str, str], Link] = field(default_factory=dict, init=False)
    """The links that were reported."""

    def look(self, look: Look, deadline: Deadline) -> Found:
        """Return the lacks of *look*, with a cause each; never raise for what Prometheus does."""
        gaps = gaps_in(look)
        around = surroundings(look, gaps)
        judged = [gap for gap in gaps if gap.metric not in around.silent]
        self._keep(judged, around)
        for gap in judged:
            self._lasting.setdefault(_key(gap), Lasting(around.at)).note(gap)
        self._diagnose(judged, around, deadline)
        known = [self._lasting[_key(gap)].lack or first_broken(gap, around) for gap in judged]
        lacks = [*known, *(first_broken(gap, around) for gap in gaps if gap.metric in around.silent)]
        return Found(tuple(lacks), self._news(known), self._problems(judged, look, around))

    def look_once(self, look: Look, deadline: Deadline) -> Found:
        """Return the lacks of *look* without a memory: the samples and the tasks' ages show how long data have lacked.

        The windows must reach LOOKED_BACK seconds back.
        """
        gaps = gaps_in(look)
        around = surroundings(look, gaps)
        judged = [gap for gap in gaps if gap.metric not in around.silent]
        scraped_for = None
        if self.asked is not None and judged:
            try:
                scraped_for = self.asked.scraped_for(deadline)
            except BackendError:
                scraped_for = None
        for gap in judged:
            self._lasting[_key(gap)] = lasting.seen_lasting(gap, around, scraped_for, LOOKED_BACK)
        self._diagnose(judged, around, deadline, every=True)
        lacks = [self._lasting[_key(gap)].lack or first_broken(gap, around) for gap in judged]
        lacks += [first_broken(gap, around) for gap in gaps if gap.metric in around.silent]
        return Found(tuple(lacks), tuple(lacks), self._problems(judged, look, around))

    def _keep(self, judged: Iterable[Gap], around: Surroundings) -> None:
        """Forget the lacks that are over. A metric without an answer tells nothing about them."""
        keys = {_key(gap) for gap in judged}
        self._lasting = {key: known for key, known in self._lasting.items() if key in keys or key[1] in around.silent}
        self._told = {key: link for key, link in self._told.items() if key in self._lasting}

    def _diagnose(
        self, judged: Iterable[Gap], around: Surroundings, deadline: Deadline, *, every: bool = False
    ) -> None:
        """Find the cause of each lack that has none yet, or that looks different from when its cause was found."""
        waiting: list[Gap] = []
        for gap in judged:
            known, seen = self._lasting[_key(gap)], _seen(gap)
            again = known.since + lasting.LONGEST <= around.at and known.diagnosed + _AGAIN_AFTER <= around.at
            if known.seen == seen and not again and not every:
                continue
            known.lack, known.seen = first_broken(gap, around), ""
            if known.lack.certain and not every:
                known.seen, known.diagnosed = seen, around.at
            elif not known.lack.passes or every:
                waiting.append(gap)
        built_in = sorted({gap.metric for gap in waiting if gap.definition.query is None})
        often = around.at - self._asked_at < _ASKED_EVERY * around.step
        if self.asked is None or not built_in or (often and not every):
            return
        self._asked_at = around.at
        evidence = {}
        limited = Deadline(deadline.remaining(at_most=_LONGEST))
        for metric in built_in:
            try:
                evidence[metric] = self.asked.evidence(metric, limited)
            except BackendError:
                continue  # the next evaluation asks again
        around = replace(around, evidence=evidence)
        for gap in waiting:
            if gap.metric in evidence:
                known = self._lasting[_key(gap)]
                known.lack, known.seen, known.diagnosed = first_broken(gap, around), _seen(gap), around.at

    def _news(self, known: Iterable[Lack]) -> tuple[Lack, ...]:
        """Return the lacks whose cause was not reported yet."""
        news = []
        for lack in known:
            key = lack.service, lack.metric
            if lack.certain and not lack.passes and self._told.get(key) is not lack.link:
                self._told[key] = lack.link
                news.append(lack)
        return tuple(news)

    def _problems(self, judged: Sequence[Gap], look: Look, around: Surroundings) -> tuple[Problem, ...]:
        eligible = _eligible(look)
        counted = [gap for gap in judged if gap.view.name in eligible]
        everybody = bool(counted) and eligible == {gap.view.name for gap in counted}
        lasted = [
            self._lasting[_key(gap)].lack
            for gap in counted
            if not lasting.excused(gap, known := self._lasting[_key(gap)], around)
            and lasting.too_long(gap, known, around, everybody=everybody)
        ]
        lacks = [lack for lack in lasted if lack is not None]
        return tuple(lasting.problems(lacks, eligible, everybody=everybody))


def combined(met: Sequence[Problem], lasting_lacks: Sequence[Problem]) -> list[Problem]:
    """Return the problems that were *met* and those of lacks, without two about the same."""
    everybody = any(not problem.subject for problem in lasting_lacks)
    left = [problem for problem in met if not (everybody and problem.kind == NO_DATA)]
    known = {problem.key for problem in left}
    return [*left, *(problem for problem in lasting_lacks if problem.key not in known)]


def gaps_in(look: Look) -> list[Gap]:
    """Return a gap for each metric and service that lack data, for services with a count that may change."""
    suspects = None if look.records is None else {record.decision.service for record in look.records if _lacks(record)}
    gaps = []
    for view, policy in look.needed:
        suspected = suspects is None or view.name in suspects
        if not suspected or view.mode != "replicated" or policy.bounds(look.at).asleep:
            continue
        windows, _ = look.windows.of(view, policy, look.policies.metrics)
        gaps += gaps_of(view, policy, look.policies.metrics, windows)
    return gaps


def surroundings(look: Look, gaps: Iterable[Gap]) -> Surroundings:
    """Return what is known beside the windows of *gaps*, without any evidence."""
    metrics = look.policies.metrics
    silent: dict[str, str] = {}
    for problem in look.problems:
        if problem.kind == "query":
            silent[problem.subject] = problem.detail
        elif problem.kind in {"prometheus", "source"}:
            source = problem.subject or PROMETHEUS
            silent |= {name: problem.detail for name, metric in metrics.items() if metric.source == source}
    return Surroundings(
        look.at,
        look.windows.settings,
        look.windows.step,
        with_samples={name: look.windows.with_samples(name) for name in sorted({gap.metric for gap in gaps})},
        services=look.cluster.services.keys(),
        hostnames={node.id: node.hostname or node.id for node in look.cluster.nodes},
        scrape_interval=look.windows.scrape_interval,
        silent=silent,
    )


def _lacks(record: Record) -> bool:
    """Return whether a rule of the decision lacks data, or a guard may."""
    decision = record.decision
    guarded = any(why.reason is Reason.GUARD for why in decision.reasons)
    return guarded or any(item.lacks_data for item in decision.recommendations)


def _eligible(look: Look) -> Collection[str]:
    """Return the services whose data must be there: not paused, not asleep, and with tasks that run."""
    paused = {record.decision.service for record in look.records or () if len(record.paused) > 1}
    return {
        view.name
        for view, policy in look.needed
        if view.mode == "replicated"
        and view.requested
        and view.running
        and policy.look_backs
        and view.name not in paused
        and not policy.bounds(look.at).asleep
    }


def _seen(gap: Gap) -> str:
    """Return what a gap looks like, as far as another look of it may have another cause."""
    window = gap.window
    if window is None or window.newest is None:
        return "nothing"
    return f"{window.lacking(gap.look_back)}"


def _key(gap: Gap) -> tuple[str, str]:
    return gap.view.name, gap.metric
