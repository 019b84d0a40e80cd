"""The windows of all metrics: the queries that an evaluation sends to metric sources, and the windows for rules."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.core.lacks import Link
from autoscaler.core.records import NO_DATA, Problem
from autoscaler.core.window import MISSING, Window
from autoscaler.errors import BackendError, UnreachableError
from autoscaler.metrics import queries
from autoscaler.metrics.percent_base import base_of
from autoscaler.metrics.prometheus_clock import PrometheusClock
from autoscaler.metrics.reporting_tasks import ReportingTasks
from autoscaler.metrics.sample_cache import SampleCache
from autoscaler.metrics.starvation import METRIC as CPU
from autoscaler.metrics.starvation import Starvation, looks_back
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.util.deadline import Deadline
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from autoscaler.metrics.percent_base import PercentBase
    from autoscaler.metrics.queries import MetricSettings
    from autoscaler.policy.metric import Metric
    from autoscaler.policy.policy import Policy
    from autoscaler.ports import MetricSource, Query, Series
    from autoscaler.swarm.cluster import ServiceView
    from autoscaler.swarm.placement import NodeView

_PART = 22
"""The most window steps that one query asks for, so that Prometheus answers for 5,000 services within its timeout
(docs/performance.md). A long window is filled in parts. If the time runs out, the next evaluation goes on."""

_SHARE = 2 / 3
"""The part of the remaining time that the sources may take. Bounds are corrected without data, too. If Prometheus
hangs, time must be left for that."""

_PROBED_EVERY = 600.0
"""Seconds after which the real scrape interval is measured again."""
_TOLERANCE = 0.2


class Needed(NamedTuple):
    """A service, and the policy whose metrics it needs."""

    view: ServiceView
    policy: Policy


class _Question(NamedTuple):
    """A query that is needed, its metric, and how far back it looks."""

    query: Query
    metric: Metric
    look_back: int


@dataclass(slots=True)
class MetricWindows:
    """Holds the samples of all metrics between evaluations. Two threads must not use it at once."""

    sources: Mapping[str, MetricSource]
    """By name; Prometheus among them."""
    settings: MetricSettings
    step: int
    """The window step of a metric that has none of its own, in seconds."""
    probe: Callable[[Deadline], float | None] = lambda _: None
    """Measures Prometheus' real scrape interval in seconds, if it can be told; may raise BackendError."""
    clock_cure: Callable[[float], str] = lambda _: "set both by NTP"
    """Returns what to do about a clock of Prometheus that is ahead of ours by a number of seconds."""
    scrape_interval: float | None = None
    """The real scrape interval as it was last measured."""
    _probed_at: float = field(default=-inf, init=False)
    _caches: dict[tuple[Query, int], SampleCache] = field(default_factory=dict, init=False)
    """By query and window step. A metric with a changed definition begins with an empty window."""
    _in_force: dict[tuple[str, str], SampleCache] = field(default_factory=dict, init=False)
    """By metric, and by service if each service has its own query."""
    _failed: dict[str, float] = field(default_factory=dict, init=False)
    """The last time that a query of a metric failed, by metric; removed once a query is answered."""
    reporters: Callable[[str, Deadline], Iterable[Mapping[str, str]]] = lambda _expression, _deadline: ()
    """Gives the labels of each series that an expression gives now; may raise BackendError."""
    counts_running: bool = True
    """Whether windows contain how many tasks ran over the time of each sample."""
    _starvation: Starvation = field(init=False)
    _wary: dict[str, int] = field(default_factory=dict, init=False)
    """How far back each policy looks at the built-in `cpu`, for policies whose removals by `cpu` need proof that no
    task is starved."""
    _clock: PrometheusClock = field(init=False)
    _tasks: ReportingTasks = field(init=False)

    def __post_init__(self) -> None:
        self._starvation = Starvation(self.settings.rate_window)
        self._clock = PrometheusClock(self.step)
        self._tasks = ReportingTasks(self.settings, self._clock)

    def refresh(  # noqa: PLR0913 - what is looked at, when, and for how long
        self,
        needed: Iterable[Needed],
        metrics: Mapping[str, Metric],
        now: float,
        deadline: Deadline,
        *,
        at_least: int = 0,
        nodes: Sequence[NodeView] = (),
    ) -> list[Problem]:
        """Bring the windows that are *needed* up to *now*, as far as the sources answer; return the problems.

        The windows reach back as far as a rule or a guard needs, and *at_least* this many seconds. Part of the time
        until the *deadline* is left to others. *nodes* are Swarm's: they give names, and show containers that Swarm
        does not run.
        """
        deadline = Deadline(_SHARE * deadline.remaining())
        problems: list[Problem] = []
        needed = list(needed)
        self._tasks.note([item.view for item in needed], now)
        questions = [
            *self._questions(needed, metrics, at_least, problems),
            *self._question_of_starvation(needed, metrics),
        ]
        for key in self._caches.keys() - {self._key(question) for question in questions}:
            del self._caches[key]  # no policy looks at it any more
        self._clock.advance(now)
        lost: set[str] = set()
        try:
            offset = self.sources[PROMETHEUS].clock_offset(now, deadline)
            self._clock.set(now, offset)
        except BackendError as error:
            problems.append(_silent(PROMETHEUS, error))
            lost.add(PROMETHEUS)
        else:
            if abs(offset) > self.step:
                where = "behind" if offset < 0 else "ahead of"
                detail = f"Prometheus' clock is {words(abs(offset))} {where} ours ({self.clock_cure(offset)})"
                problems.append(Problem("clock", detail))
            by_cpu = any(each.query.metric == CPU and each.metric.query is None for each in questions)
            problems += self._differing_interval(now, deadline, by_cpu=by_cpu)
        self._ask_all(questions, lost, now, deadline, problems)
        self._in_force = {
            (question.query.metric, question.query.service): cache
            for question in questions
            if (cache := self._caches.get(self._key(question))) is not None
        }
        problems += self._watch_starvation(needed, metrics, nodes, now)
        if PROMETHEUS not in lost:
            self._name_strangers(needed, metrics, nodes, deadline)
        return _first_of_each(problems)

    def of(
        self, view: ServiceView, policy: Policy, metrics: Mapping[str, Metric]
    ) -> tuple[dict[str, Window], dict[str, str]]:
        """Return the windows of the metrics of *policy*, and in words what 100 % is for metrics that are a share.

        A metric has no window if it has no sample, or if its 100 % is not known.
        """
        windows: dict[str, Window] = {}
        bases: dict[str, str] = {}
        for name in policy.look_backs:
            metric = metrics[name]
            base = base_of(name, view) if metric.query is None else None
            if metric.query is None and base is None:
                continue
            if base is not None:
                bases[name] = base.words
            window = self._window(name, metric, view, base)
            if window is not None:
                windows[name] = window
        if policy.name in self._wary and (window := windows.get(CPU)) is not None:
            doubt = self._starvation.doubt(view, window)
            if doubt is not None:
                windows[CPU] = replace(window, doubts=(*window.doubts, doubt))
        return windows, bases

    def _watch_starvation(
        self, needed: list[Needed], metrics: Mapping[str, Metric], nodes: Iterable[NodeView], now: float
    ) -> list[Problem]:
        """Note which tasks may be starved, and return a problem for each node that has been starved for long."""
        if not self._wary:
            self._starvation = Starvation(self.settings.rate_window)
            return []
        views = {item.view.name: item.view for item in needed if item.policy.name in self._wary}
        known = self._in_force.get((queries.STARVATION, ""))
        self._starvation.note(known, self._clock.newest(metrics[CPU]), views, nodes, now)
        return list(self._starvation.problems(now))

    def with_samples(self, name: str) -> tuple[str, ...]:
        """Return the services that the window of the metric *name* has samples of."""
        held = (cache for (metric, _), cache in self._in_force.items() if metric == name)
        return tuple(service for cache in held for service in cache.services)

    def tells_of_starvation(self, metrics: Mapping[str, Metric], deadline: Deadline) -> bool:
        """Return whether Prometheus has the series that show starved tasks; true also if no policy needs them.

        Raise BackendError if the query fails.
        """
        if not self._wary:
            return True
        newest = self._clock.newest(metrics[CPU])
        query, step = queries.starvation_told(self.settings), metrics[CPU].step or self.step
        return bool(self.sources[PROMETHEUS].fetch(query, newest, newest, step, deadline))

    # asking

    def _questions(
        self, needed: list[Needed], metrics: Mapping[str, Metric], at_least: int, problems: list[Problem]
    ) -> Iterator[_Question]:
        """Yield the queries that are needed, each once."""
        look_backs: dict[str, int] = {}
        for policy in {item.policy.name: item.policy for item in needed}.values():
            for name, look_back in policy.look_backs.items():
                look_backs[name] = max(look_backs.get(name, at_least), look_back)
        for name, look_back in look_backs.items():
            metric = metrics[name]
            if not metric.per_service:
                yield _Question(queries.query_of(name, metric, self.settings), metric, look_back)
                continue
            for item in needed:
                if name in item.policy.look_backs:
                    try:
                        query = queries.query_of(name, metric, self.settings, item.view.name)
                    except ValueError as error:
                        problems.append(Problem("query", str(error), name))
                    else:
                        yield _Question(query, metric, look_back)

    def _question_of_starvation(self, needed: list[Needed], metrics: Mapping[str, Metric]) -> Iterator[_Question]:
        """Yield the query for starved tasks, if the removals of a policy by the built-in `cpu` need it."""
        self._wary = {}
        if metrics[CPU].query is None:
            for policy in {item.policy.name: item.policy for item in needed}.values():
                back = looks_back(policy)
                if back is not None:
                    self._wary[policy.name] = back
        if self._wary:
            # A sample covers the rate window before it. Older samples than that are not needed.
            step = metrics[CPU].step or self.step
            back = max(0, max(self._wary.values()) + self.settings.rate_window - 2 * step)
            yield _Question(queries.starvation_query(self.settings), metrics[CPU], back)

    def _ask_all(
        self, questions: list[_Question], lost: set[str], now: float, deadline: Deadline, problems: list[Problem]
    ) -> None:
        """Ask the sources that are not *lost*; add silent sources to *lost*, and what went wrong to *problems*."""
        # A query may fail at every evaluation, for example because it takes the source too long. So the other queries
        # come first. Of those that failed, the one whose failure is oldest comes first.
        for question in sorted(questions, key=lambda question: self._failed.get(question.query.metric, -inf)):
            source, metric = question.metric.source, question.query.metric
            if source in lost:
                continue
            try:
                self._ask(question, deadline)
            except UnreachableError as error:
                # The other queries would wait for the same silent server, each for its whole time-out.
                lost.add(source)
                self._failed[metric] = now
                problems.append(_silent(source, error))
            except BackendError as error:
                self._failed[metric] = now
                problems.append(Problem("query", str(error), metric))
            else:
                self._failed.pop(metric, None)

    def _key(self, question: _Question) -> tuple[Query, int]:
        return question.query, question.metric.step or self.step

    def _ask(self, question: _Question, deadline: Deadline) -> None:
        """Ask for the samples that are missing; raise BackendError. What was answered before an error is kept."""
        key = query, step = self._key(question)
        newest = self._clock.newest(question.metric)
        length = -(-question.look_back // step) + 2  # both ends, and the one before that may stand for the oldest
        cache = self._caches.get(key)
        if cache is None or cache.length < length:
            cache = SampleCache(step, length)
        source = self.sources[question.metric.source]
        start, _ = cache.missing(newest)
        for first in range(start, newest + 1, _PART * step):
            last = min(first + (_PART - 1) * step, newest)
            answer = source.fetch(query, first, last, step, deadline)
            if question.metric.never_negative:
                answer = {name: _without_negatives(series) for name, series in answer.items()}
            cache.merge(answer, first, last)
            self._caches[key] = cache
            if question.metric.source == PROMETHEUS and any(isfinite(series.values[-1]) for series in answer.values()):
                self._clock.saw_sample(last + question.metric.offset)

    def _differing_interval(self, now: float, deadline: Deadline, *, by_cpu: bool) -> Iterator[Problem]:
        """Yield a problem if the real scrape interval differs from the setting, as far as it is known.

        It is a problem of missing data if policies scale *by_cpu*, and the interval is too long for that.
        """
        if now - self._probed_at >= _PROBED_EVERY or self.scrape_interval is None:
            try:
                self.scrape_interval = self.probe(deadline)
            except BackendError:
                return  # the queries fail for the same reason, and report it
            self._probed_at = now
        real, said = self.scrape_interval, self.settings.scrape_interval
        if real is not None and abs(real - said) > max(_TOLERANCE * said, 0.5):
            cure = f"set AUTOSCALER_SCRAPE_INTERVAL={words(real)}"
            detail = f"Prometheus scrapes every {words(real)}, the settings say every {words(said)}"
            window = self.settings.rate_window
            if by_cpu and 2 * real > window:
                effect = f"the rate window of {words(window)} holds less than the two samples that cpu needs"
                cure = f"{cure} and AUTOSCALER_RATE_WINDOW={words(4 * real)}, or scrape more often"
                said_so = f"nothing scales by cpu: {detail}, and {effect} ({cure})"
                yield Problem(NO_DATA, said_so, f"metric {CPU}", cause=f"{CPU}:{Link.SCRAPE_INTERVAL}")
            else:
                yield Problem("scrape_interval", f"{detail} ({cure})")

    # showing

    def _window(self, name: str, metric: Metric, view: ServiceView, base: PercentBase | None) -> Window | None:
        cache = self._in_force.get((name, view.name if metric.per_service else ""))
        newest = self._clock.newest(metric)
        held = cache.values("" if metric.one_value else view.name, newest) if cache else None
        if cache is None or held is None:
            return None
        values, tasks = held
        running = None
        if self.counts_running and metric.source == PROMETHEUS:
            running = self._tasks.running(name, metric, view, newest, cache.step, len(values))
        factor = 100 / base.amount if base else 1.0
        return Window(
            cache.step,
            newest,
            tuple([value * factor for value in values]) if base else tuple(values),
            None if tasks is None else tuple(tasks),
            None if tasks is None else self._tasks.owed(values, tasks, newest, cache.step, view),
            metric.reporting,
            unit="%" if base else metric.unit,
            base=base.words if base else "",
            averaged=metric.averages,
            redistributes=bool(metric.redistributes),
            total=metric.kind == "total",
            doubts=tuple(self._tasks.doubts(name, metric, view, values, tasks, newest, cache.step)),
            running=running,
        )

    def _name_strangers(
        self, needed: list[Needed], metrics: Mapping[str, Metric], nodes: Sequence[NodeView], deadline: Deadline
    ) -> None:
        """Find the names of containers that report although Swarm does not run them, by one query for all services.

        Nothing is asked again while the same services and tasks are seen.
        """
        averages: dict[str, list[str]] = {}
        seen: dict[str, object] = {}
        for view, policy in needed:
            names = averages.get(policy.name)
            if names is None:
                looked_at = ((name, metrics[name]) for name in policy.look_backs)
                names = [name for name, metric in looked_at if metric.query is None and metric.averages]
                averages[policy.name] = names
            for name in names:
                cache = self._in_force.get((name, ""))
                newest = self._clock.newest(metrics[name])
                reporting = cache.reporting(view.name, newest) if cache is not None else 0
                if self._tasks.excess(name, metrics[name], view, reporting, newest):
                    seen[view.name] = reporting, frozenset(task.id for task in view.tasks)
        self._tasks.name_strangers(
            seen,
            [item.view for item in needed],
            nodes,
            lambda services: self.reporters(queries.reporters(services, self.settings), deadline),
        )


def _without_negatives(series: Series) -> Series:
    """Return *series* with its values below 0 as missing ones; for what cannot be below 0."""
    if min(series.values, default=0.0) >= 0:  # a NaN that comes first is not 0 or more
        return series
    return replace(series, values=[MISSING if value < 0 else value for value in series.values])


def _silent(source: str, error: BackendError) -> Problem:
    return Problem("prometheus", str(error)) if source == PROMETHEUS else Problem("source", str(error), source)


def _first_of_each(problems: list[Problem]) -> list[Problem]:
    """Return the first of the problems that count as the same one, because a thousand services may have the same."""
    return list({problem.key: problem for problem in reversed(problems)}.values())[::-1]
