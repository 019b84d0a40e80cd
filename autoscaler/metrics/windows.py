"""The windows of all metrics: the queries that an evaluation sends to metric sources, and the windows for rules."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem
from autoscaler.core.window import MISSING, Doubt, Window, full
from autoscaler.errors import BackendError, UnreachableError
from autoscaler.metrics import queries, strangers
from autoscaler.metrics.limit_changes import LimitChanges
from autoscaler.metrics.percent_base import base_of
from autoscaler.metrics.sample_cache import SampleCache
from autoscaler.metrics.starvation import METRIC as CPU
from autoscaler.metrics.starvation import Starvation, looks_back
from autoscaler.metrics.task_runs import Runs
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.util.deadline import Deadline
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from autoscaler.core.window import Part
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
_PRECISION = 2.0
"""Seconds by which Prometheus' clock may seem to have gone back, because it is known only to about a second."""


class Needed(NamedTuple):
    """A service, and the policy whose metrics it needs."""

    view: ServiceView
    policy: Policy


class _Question(NamedTuple):
    """A query that is needed, its metric, and how far back it looks."""

    query: Query
    metric: Metric
    look_back: int


class _Timing(NamedTuple):
    """The time that a metric's samples are about, as far as it is known."""

    metric: Metric
    span: tuple[Part, ...]
    lingers: int
    """Seconds after its end for which a task is behind samples, at least."""
    lingers_at_most: int


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
    _probed_at: float = -inf
    _caches: dict[tuple[Query, int], SampleCache] = field(default_factory=dict)
    """By query and window step. A metric with a changed definition begins with an empty window."""
    _in_force: dict[tuple[str, str], SampleCache] = field(default_factory=dict)
    """By metric, and by service if each service has its own query."""
    _failed: dict[str, float] = field(default_factory=dict)
    """The last time that a query of a metric failed, by metric; removed once a query is answered."""
    reporters: Callable[[str, Deadline], Iterable[Mapping[str, str]]] = lambda _expression, _deadline: ()
    """Gives the labels of each series that an expression gives now; may raise BackendError."""
    counts_running: bool = True
    """Whether windows contain how many tasks ran over the time of each sample."""
    _limits: LimitChanges = field(default_factory=LimitChanges)
    _starvation: Starvation = field(init=False)
    _wary: dict[str, int] = field(default_factory=dict)
    """How far back each policy looks at the built-in `cpu`, for policies whose removals by `cpu` need proof that no
    task is starved."""
    _timings: dict[str, _Timing] = field(default_factory=dict)
    """By metric."""
    _runs: Runs = field(default_factory=Runs)
    _strangers: dict[str, tuple[object, str]] = field(default_factory=dict)
    """What was seen of containers that report although Swarm does not run them, and the message about them, by
    service."""
    _moment: float = 0.0
    """The moment up to which samples are asked for, by Prometheus' clock, which dates them."""
    _offset: float = 0.0
    """How far Prometheus' clock is ahead of ours, as last measured."""
    _latest: float = -inf
    """The latest moment for which Prometheus had a sample, by its own clock."""
    _went_back: bool = False
    """Whether Prometheus' clock was set back and has not caught up yet."""

    def __post_init__(self) -> None:
        self._starvation = Starvation(self.settings.rate_window)

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
        for remembered in (self._limits, self._runs):
            remembered.note((item.view for item in needed), now)
        questions = [
            *self._questions(needed, metrics, at_least, problems),
            *self._question_of_starvation(needed, metrics),
        ]
        for key in self._caches.keys() - {self._key(question) for question in questions}:
            del self._caches[key]  # no policy looks at it any more
        self._moment = now + self._offset
        lost: set[str] = set()
        try:
            offset = self.sources[PROMETHEUS].clock_offset(now, deadline)
            self._set_clock(now, offset)
        except BackendError as error:
            problems.append(_silent(PROMETHEUS, error))
            lost.add(PROMETHEUS)
        else:
            if abs(offset) > self.step:
                where = "behind" if offset < 0 else "ahead of"
                detail = f"Prometheus' clock is {words(abs(offset))} {where} ours ({self.clock_cure(offset)})"
                problems.append(Problem("clock", detail))
            problems += self._differing_interval(now, deadline)
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
        self._starvation.note(known, self._newest(metrics[CPU]), views, nodes, now)
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
        newest = self._newest(metrics[CPU])
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
        newest = self._newest(question.metric)
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
                self._latest = max(self._latest, last + question.metric.offset)

    def _set_clock(self, now: float, offset: float) -> None:
        """Use Prometheus' clock, which is *offset* ahead of ours; raise UnreachableError if it was set back."""
        theirs = now + offset
        back = self._latest - theirs
        if back > _PRECISION:
            # The samples that Prometheus holds for that time are old, and it takes no new sample of a series before
            # its clock is there again. Windows end beyond that moment, so that their newest sample is missing.
            self._moment = max(self._moment, self._latest)
            self._went_back = True
            raise UnreachableError(
                f"Prometheus' clock went back by {words(back)}: its samples of that time are old and are not used "
                "until that time has passed (set its clock by NTP; restart the autoscaler if Prometheus lost them)"
            )
        self._offset, self._moment, self._went_back = offset, theirs, False

    def _newest(self, metric: Metric) -> int:
        """Return the newest window step for which a sample is expected."""
        step = metric.step or self.step
        beyond = 2 * step if self._went_back else 0
        return int((self._moment - metric.offset) // step * step) + beyond

    def _differing_interval(self, now: float, deadline: Deadline) -> Iterator[Problem]:
        """Yield a problem if the real scrape interval differs from the setting, as far as it is known."""
        if now - self._probed_at >= _PROBED_EVERY or self.scrape_interval is None:
            try:
                self.scrape_interval = self.probe(deadline)
            except BackendError:
                return  # the queries fail for the same reason, and report it
            self._probed_at = now
        real, said = self.scrape_interval, self.settings.scrape_interval
        if real is not None and abs(real - said) > max(_TOLERANCE * said, 0.5):
            cure = f"set AUTOSCALER_SCRAPE_INTERVAL={words(real)}"
            detail = f"Prometheus scrapes every {words(real)}, the settings say every {words(said)} ({cure})"
            yield Problem("scrape_interval", detail)

    # showing

    def _window(self, name: str, metric: Metric, view: ServiceView, base: PercentBase | None) -> Window | None:
        cache = self._in_force.get((name, view.name if metric.per_service else ""))
        newest = self._newest(metric)
        held = cache.values("" if metric.one_value else view.name, newest) if cache else None
        if cache is None or held is None:
            return None
        values, tasks = held
        running = None
        if self.counts_running and metric.source == PROMETHEUS:
            span = self._timing_of(name, metric).span
            running = self._runs.behind(view, span, newest - self._offset, cache.step, len(values))
        factor = 100 / base.amount if base else 1.0
        return Window(
            cache.step,
            newest,
            tuple([value * factor for value in values]) if base else tuple(values),
            None if tasks is None else tuple(tasks),
            None if tasks is None else self._owed(values, tasks, newest, cache.step, view),
            metric.reporting,
            unit="%" if base else metric.unit,
            base=base.words if base else "",
            averaged=metric.averages,
            redistributes=bool(metric.redistributes),
            total=metric.kind == "total",
            doubts=tuple(self._doubts(name, metric, view, values, tasks, newest, cache.step)),
            running=running,
        )

    def _doubts(  # noqa: PLR0913, PLR0917 - a window's facts
        self,
        name: str,
        metric: Metric,
        view: ServiceView,
        values: list[float],
        tasks: list[int] | None,
        newest: int,
        step: int,
    ) -> Iterator[Doubt]:
        """Yield why the samples must not justify a scale-down although the right number of tasks reports."""
        built_in = metric.query is None
        if metric.kind == "total" and (below := _last_below_0(values)) is not None:
            age = (len(values) - 1 - below) * step
            before = f", {words(age)} before" if age else ""
            said = f"it was {values[below]:.4g}{before}, and a total below 0 does not prove low load"
            # The sample one step before a look-back may stand for its beginning.
            yield Doubt(Reason.WINDOW_INCOMPLETE, newest - age + step + 1, said)
        if not metric.one_value:
            said = "the service was created again; older samples belong to an earlier service of its name"
            yield Doubt(Reason.WINDOW_INCOMPLETE, view.created_at + self._offset, said)
        if built_in and (raised := self._limits.raised(view, name)) > -inf:
            ago = words(max(0.0, newest - self._offset - raised))
            said = f"its limit was raised {ago} ago; older samples were capped by the old limit"
            yield Doubt(Reason.WINDOW_INCOMPLETE, raised + self._offset + self.settings.warmup, said)
        if tasks is None:
            return
        at, reporting = newest - self._offset, tasks[-1]
        if reporting > view.running or self._runs.any_ended(view):
            yield from self._doubts_of_others(name, metric, view, reporting, at)
        if not built_in and reporting < full(running := view.running_since(at), metric.reporting):
            # The count includes young tasks, which may report in place of an older one that does not.
            said = f"{reporting} of {running} tasks report, but a young one may report in place of an older one"
            yield Doubt(Reason.PARTIAL_DATA, inf, said)

    def _doubts_of_others(
        self, name: str, metric: Metric, view: ServiceView, reporting: int, at: float
    ) -> Iterator[Doubt]:
        """Yield why tasks that do not run may be behind the sample of the moment *at*."""
        if self._excess(name, metric, view, reporting, at):
            which = self._strangers[view.name][1] if metric.query is None and view.name in self._strangers else ""
            of_them = which or "the others may make the average too low"
            known = f"{view.running} run"
            if reporting <= view.running:
                known = f"{view.running_since(at - self.settings.warmup)} run longer than the warm-up"
            yield Doubt(Reason.PARTIAL_DATA, inf, f"{reporting} tasks report and {known}: {of_them}")
        elif metric.query is None:
            # A task that has ended may still be among those that report. It must not hide a silent running task.
            ended = self._runs.shown(view, at, self.settings.warmup, self._timing_of(name, metric).lingers)
            if ended and reporting < full(view.running_since(at - self.settings.warmup), metric.reporting) + ended:
                hidden = f"{reporting} tasks report, but {ended} of them ended, so a running task may not report"
                yield Doubt(Reason.PARTIAL_DATA, inf, hidden)

    def _timing_of(self, name: str, metric: Metric) -> _Timing:
        """Return the time that samples of the metric *name* are about. The text of each query is parsed once."""
        known = self._timings.get(name)
        if known is None or known.metric is not metric:
            span = queries.span_of(name, metric, self.settings)
            known = self._timings[name] = _Timing(metric, span, *queries.lingers(metric, self.settings))
        return known

    def _excess(self, name: str, metric: Metric, view: ServiceView, reporting: int, at: float) -> int:
        """Return how many tasks behind an average of the moment *at* neither run nor were just removed.

        A task that a scale-down removed still reports for some time. It carried its part of the load in the time that
        the sample is about, so the average is right. Other tasks that do not run, and removed tasks after that time,
        may distort the average.
        """
        running = view.running
        if not metric.averages or (reporting <= running and not self._runs.any_ended(view)):
            return 0
        if metric.query is None and self._runs.replaced(view, warm := at - self.settings.warmup):
            running = view.running_since(warm)
        if reporting <= running:
            return 0
        most = self._timing_of(name, metric).lingers_at_most
        return max(0, reporting - running - self._runs.removed(view, at - most))

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
                newest = self._newest(metrics[name])
                reporting = cache.reporting(view.name, newest) if cache is not None else 0
                at = newest - self._offset
                if self._excess(name, metrics[name], view, reporting, at):
                    seen[view.name] = reporting, frozenset(task.id for task in view.tasks)
        self._strangers = {name: known for name, known in self._strangers.items() if name in seen}
        if all(name in self._strangers and self._strangers[name][0] == found for name, found in seen.items()):
            return
        try:
            reporters = self.reporters(queries.reporters(seen, self.settings), deadline)
            said = strangers.named(reporters, (item.view for item in needed), nodes, self.settings)
        except BackendError:
            return  # only the names are missing, and the next evaluation asks for them again
        self._strangers = {name: (found, said.get(name, "")) for name, found in seen.items()}

    def _owed(
        self, values: list[float], tasks: list[int], newest: int, step: int, view: ServiceView
    ) -> tuple[int, ...] | None:
        """Return how many of the running tasks should have reported at each step; None if no step lacks a task."""
        if min(tasks) >= view.running:
            return None
        # Swarm dates tasks by its clock, which is taken to be ours.
        oldest = newest - self._offset - self.settings.warmup - (len(tasks) - 1) * step
        return tuple(
            # It does not matter for a sample that is missing, or for which all running tasks reported.
            view.running_since(oldest + row * step) if count < view.running and isfinite(value) else 0
            for row, (value, count) in enumerate(zip(values, tasks, strict=True))
        )


def _without_negatives(series: Series) -> Series:
    """Return *series* with its values below 0 as missing ones; for what cannot be below 0."""
    if min(series.values, default=0.0) >= 0:  # a NaN that comes first is not 0 or more
        return series
    return replace(series, values=[MISSING if value < 0 else value for value in series.values])


def _last_below_0(values: list[float]) -> int | None:
    """Return the row of the newest sample below 0; None if there is none."""
    return next((row for row in reversed(range(len(values))) if values[row] < 0), None)


def _silent(source: str, error: BackendError) -> Problem:
    return Problem("prometheus", str(error)) if source == PROMETHEUS else Problem("source", str(error), source)


def _first_of_each(problems: list[Problem]) -> list[Problem]:
    """Return the first of the problems that count as the same one, because a thousand services may have the same."""
    return list({problem.key: problem for problem in reversed(problems)}.values())[::-1]
