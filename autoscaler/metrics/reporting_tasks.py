"""The tasks behind the samples of a metric: how many report, how many run, and why they make a sample doubtful."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.core.reasons import Reason
from autoscaler.core.window import Doubt, full
from autoscaler.errors import BackendError
from autoscaler.metrics import queries, strangers
from autoscaler.metrics.limit_changes import LimitChanges
from autoscaler.metrics.task_runs import Runs
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from autoscaler.core.window import Part
    from autoscaler.metrics.prometheus_clock import PrometheusClock
    from autoscaler.metrics.queries import MetricSettings
    from autoscaler.policy.metric import Metric
    from autoscaler.swarm.cluster import ServiceView
    from autoscaler.swarm.placement import NodeView


class _Timing(NamedTuple):
    """The time that a metric's samples are about, as far as it is known."""

    metric: Metric
    span: tuple[Part, ...]
    lingers: int
    """Seconds after its end for which a task is behind samples, at least."""
    lingers_at_most: int


@dataclass(slots=True)
class ReportingTasks:
    """The tasks of services as they run and report, as known from one evaluation to the next."""

    settings: MetricSettings
    clock: PrometheusClock
    _limits: LimitChanges = field(default_factory=LimitChanges, init=False)
    _runs: Runs = field(default_factory=Runs, init=False)
    _timings: dict[str, _Timing] = field(default_factory=dict, init=False)
    """By metric."""
    _strangers: dict[str, tuple[object, str]] = field(default_factory=dict, init=False)
    """What was seen of containers that report although Swarm does not run them, and the message about them, by
    service."""

    def note(self, views: Sequence[ServiceView], now: float) -> None:
        """Note the tasks and the limits of *views*, and forget all other services."""
        self._limits.note(views, now)
        self._runs.note(views, now)

    def running(  # noqa: PLR0913, PLR0917 - a window's facts
        self, name: str, metric: Metric, view: ServiceView, newest: int, step: int, rows: int
    ) -> tuple[float, ...]:
        """Return how many tasks ran on average over the time of each of the *rows* samples up to *newest*."""
        span = self._timing_of(name, metric).span
        return self._runs.behind(view, span, newest - self.clock.offset, step, rows)

    def doubts(  # noqa: PLR0913, PLR0917 - a window's facts
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
            yield Doubt(Reason.WINDOW_INCOMPLETE, view.created_at + self.clock.offset, said)
        if built_in and (raised := self._limits.raised(view, name)) > -inf:
            ago = words(max(0.0, newest - self.clock.offset - raised))
            said = f"its limit was raised {ago} ago; older samples were capped by the old limit"
            yield Doubt(Reason.WINDOW_INCOMPLETE, raised + self.clock.offset + self.settings.warmup, said)
        if tasks is None:
            return
        at, reporting = newest - self.clock.offset, tasks[-1]
        if reporting > view.running or self._runs.any_ended(view):
            yield from self._doubts_of_others(name, metric, view, reporting, at)
        if not built_in and reporting < full(running := view.running_since(at), metric.reporting):
            # The count includes young tasks, which may report in place of an older one that does not.
            said = f"{reporting} of {running} tasks report, but a young one may report in place of an older one"
            yield Doubt(Reason.PARTIAL_DATA, inf, said)

    def owed(
        self, values: list[float], tasks: list[int], newest: int, step: int, view: ServiceView
    ) -> tuple[int, ...] | None:
        """Return how many of the running tasks should have reported at each step; None if no step lacks a task."""
        if min(tasks) >= view.running:
            return None
        # Swarm dates tasks by its clock, which is taken to be ours.
        oldest = newest - self.clock.offset - self.settings.warmup - (len(tasks) - 1) * step
        return tuple(
            # It does not matter for a sample that is missing, or for which all running tasks reported.
            view.running_since(oldest + row * step) if count < view.running and isfinite(value) else 0
            for row, (value, count) in enumerate(zip(values, tasks, strict=True))
        )

    def excess(self, name: str, metric: Metric, view: ServiceView, reporting: int, newest: int) -> int:
        """Return how many of the tasks behind the sample of the moment *newest* neither run nor were just removed."""
        return self._excess(name, metric, view, reporting, newest - self.clock.offset)

    def name_strangers(
        self,
        seen: Mapping[str, object],
        views: Iterable[ServiceView],
        nodes: Sequence[NodeView],
        ask: Callable[[Iterable[str]], Iterable[Mapping[str, str]]],
    ) -> None:
        """Find the names of containers that report although Swarm does not run them.

        *seen* has what was seen of them, by service. *ask* returns the labels of all that report for services, and is
        called once if something else is seen than before. It may raise BackendError.
        """
        self._strangers = {name: known for name, known in self._strangers.items() if name in seen}
        if all(name in self._strangers and self._strangers[name][0] == found for name, found in seen.items()):
            return
        try:
            said = strangers.named(ask(seen), views, nodes, self.settings)
        except BackendError:
            return  # only the names are missing, and the next evaluation asks for them again
        self._strangers = {name: (found, said.get(name, "")) for name, found in seen.items()}

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


def _last_below_0(values: list[float]) -> int | None:
    """Return the row of the newest sample below 0; None if there is none."""
    return next((row for row in reversed(range(len(values))) if values[row] < 0), None)
