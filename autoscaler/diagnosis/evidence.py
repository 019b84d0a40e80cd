"""The facts about a built-in metric's series that a diagnosis needs, and the few queries that give them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING

from autoscaler.metrics import queries
from autoscaler.policy.metric import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from autoscaler.metrics.queries import MetricSettings
    from autoscaler.util.deadline import Deadline

    Ask = Callable[[str, Deadline], Sequence[tuple[Mapping[str, str], float]]]
    """Gives the labels and the value of each series that an expression gives now; may raise BackendError."""

SHOWN = 3
"""How many examples are kept of what may be thousands."""
_STEP = "autoscaler_step"
_STEPS = ("metric", "selector", "service_label", "task_label")
_HOUR = 3600
_STRIDE = 15


@dataclass(frozen=True, slots=True)
class Evidence:
    """What Prometheus has of one built-in metric now. Counts are of series, names are those of the service label."""

    metric: str
    """Prometheus' name of it."""
    series: int = 0
    selected: int = 0
    """Those that satisfy the selector."""
    with_service: int = 0
    """Those of them with a service label."""
    with_task: int = 0
    """Those of them with a task label."""
    examples: tuple[str, ...] = ()
    """What the selector's labels are in fact, in series of the metric; only if the selector leaves none."""
    labels: tuple[str, ...] = ()
    """The labels that a series has; only if the service label or the task label is on none."""
    services: Mapping[str, int] = field(default_factory=dict)
    """The number of tasks with series, by service."""
    behind: Mapping[str, float] = field(default_factory=dict)
    """The seconds by which samples are dated apart from their scrape, by service; only if that is more than half a
    scrape interval. Stores that merge the samples of two Prometheus show less."""
    samples: Mapping[str, float] = field(default_factory=dict)
    """The number of samples of a series within the rate window, by service."""
    down: tuple[str, ...] = ()
    """The targets under the selector that the last scrape failed for."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Gives evidence about the built-in metrics, by asking Prometheus."""

    ask: Ask
    settings: MetricSettings

    def evidence(self, name: str, deadline: Deadline) -> Evidence:
        """Return the evidence on the built-in metric *name*; raise BackendError."""
        return gather(self.ask, name, self.settings, deadline)

    def scraped_for(self, deadline: Deadline) -> float | None:
        """Return the seconds of the last hour in which Prometheus scraped anything; None if it does not tell.

        Raise BackendError.
        """
        counted = self.ask(f"max(count_over_time(up[{_HOUR}s:{_STRIDE}s])) or 0 * max(up)", deadline)
        return _STRIDE * counted[0][1] if counted and isfinite(counted[0][1]) else None

    def tells_starts(self, deadline: Deadline) -> bool:
        """Return whether Prometheus knows when any task started; raise BackendError."""
        return bool(self.ask(queries.starts(self.settings), deadline))


def gather(ask: Ask, name: str, settings: MetricSettings, deadline: Deadline) -> Evidence:
    """Return the evidence on the built-in metric *name*, in at most five queries for any number of services.

    Links behind a broken one are not asked for. Raise BackendError.
    """
    metric = queries.SERIES_OF[name]
    found = _counts(ask, metric, settings, deadline)
    if not found.series:
        return found
    if not found.selected:
        return replace(found, examples=_examples(ask, metric, settings, deadline))
    if not found.with_task:
        ((labels, _), *_) = ask(f"topk(1, {queries.selected(metric, settings)})", deadline) or [({}, 0.0)]
        return replace(found, labels=tuple(sorted(labels.keys() - {"__name__"})))
    service, whole = settings.service_label, queries.series(metric, settings)
    tasks = f"count by ({service}) (count by ({service},{settings.task_label}) ({whole}))"
    scraped = f"max by (job,instance) (timestamp({queries.selected('up', settings)}))"
    behind = f"abs({scraped} - on (job,instance) group_right () timestamp({whole}))"
    return replace(
        found,
        services={name: int(count) for name, count in _by(service, ask(tasks, deadline)).items()},
        behind=_by(service, ask(f"max by ({service}) ({behind}) > {settings.scrape_interval / 2}", deadline)),
        samples=_by(service, ask(f"max by ({service}) (count_over_time({whole}[{settings.rate_window}s]))", deadline)),
    )


def _counts(ask: Ask, metric: str, settings: MetricSettings, deadline: Deadline) -> Evidence:
    """Return how many series each of the first links leaves, and the targets that are down, in two queries."""
    service = f'{settings.service_label}!=""'
    each = (
        metric,
        queries.selected(metric, settings),
        queries.selected(metric, settings, service),
        queries.series(metric, settings),
    )
    counted = " or ".join(_marked(f"count({selected})", step) for step, selected in zip(_STEPS, each, strict=True))
    counts = {labels.get(_STEP, ""): int(value) for labels, value in ask(counted, deadline)}
    down = ask(f"topk({SHOWN}, {queries.selected('up', settings)} == 0)", deadline)
    targets = tuple(sorted({labels["instance"] for labels, _ in down if labels.get("instance")}))
    all_series, selected, with_service, with_task = (counts.get(step, 0) for step in _STEPS)
    return Evidence(metric, all_series, selected, with_service, with_task, down=targets)


def _examples(ask: Ask, metric: str, settings: MetricSettings, deadline: Deadline) -> tuple[str, ...]:
    """Return what series of the *metric* have of the selector's labels, the most frequent first."""
    names = sorted(set(_label_names(settings.selector)))
    if not names:
        return ()
    found = ask(f"topk({SHOWN}, count by ({','.join(names)}) ({metric}))", deadline)
    ordered = sorted(found, key=lambda each: -each[1])
    shown = (",".join(f'{name}="{labels[name]}"' for name in names if labels.get(name)) for labels, _ in ordered)
    return tuple(filter(None, shown))


def _label_names(selector: str) -> list[str]:
    """Return the names of the labels in a valid *selector*. Names within quoted values are left out."""
    without_values = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`', "", selector)
    return LABEL.findall(without_values)


def _marked(expression: str, step: str) -> str:
    return f'label_replace({expression}, "{_STEP}", "{step}", "", "")'


def _by(label: str, answer: Sequence[tuple[Mapping[str, str], float]]) -> dict[str, float]:
    return {labels[label]: value for labels, value in answer if labels.get(label)}
