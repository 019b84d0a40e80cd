"""The first broken link of the chain of data, and its cure: a pure function of a few values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import inf, isfinite
from typing import TYPE_CHECKING, NamedTuple

from autoscaler.core.lacks import Lack, Link
from autoscaler.core.reasons import Reason
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.util.amounts import plural
from autoscaler.util.durations import words
from autoscaler.util.suggestions import near
from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from autoscaler.core.window import Window
    from autoscaler.diagnosis.evidence import Evidence
    from autoscaler.metrics.queries import MetricSettings
    from autoscaler.policy.metric import Metric
    from autoscaler.policy.policy import Policy
    from autoscaler.swarm.cluster import ServiceView

SELECTOR, SERVICE_LABEL, TASK_LABEL, WARMUP, SCRAPE_INTERVAL, RATE_WINDOW = (
    f"AUTOSCALER_{name}"
    for name in ("METRIC_SELECTOR", "SERVICE_LABEL", "TASK_LABEL", "WARMUP", "SCRAPE_INTERVAL", "RATE_WINDOW")
)
_SHOWN = 3
_LONGEST = 80
_LINGER = 3
"""The number of scrape intervals for which the last sample of a gauge is believed (docs/facts.md#lingering-gauges)."""
_TOLERANCE = 1.2
"""A scrape interval that is longer than the setting by this factor leaves holes in windows."""


class Gap(NamedTuple):
    """A service and a metric that a policy needs and that has no data for it."""

    view: ServiceView
    policy: Policy
    metric: str
    definition: Metric
    window: Window | None
    look_back: int
    """The shortest look-back that lacks data, in seconds."""
    longest: int
    """The longest look-back at the metric, in seconds."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside a gap's own window. Nothing is asked for the built-in metrics if *evidence* lacks them."""

    at: float
    settings: MetricSettings
    step: int
    """The window step in seconds."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    """By metric."""
    with_samples: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The services that the window of a metric has samples of, by metric."""
    services: Collection[str] = ()
    """The names of Swarm's services."""
    hostnames: Mapping[str, str] = field(default_factory=dict)
    """The names of the nodes, by id."""
    scrape_interval: float | None = None
    """The real one, in seconds, as far as it is known."""
    silent: Mapping[str, str] = field(default_factory=dict)
    """Why a metric's query or source has no answer, by metric."""


def gaps_of(
    view: ServiceView, policy: Policy, metrics: Mapping[str, Metric], windows: Mapping[str, Window]
) -> list[Gap]:
    """Return a gap for each metric that a rule or a guard of *policy* lacks data of."""
    looks: dict[str, list[int]] = {}
    for metric, look_back in policy.looks():
        looks.setdefault(metric, []).append(look_back)
    gaps = []
    for metric, look_backs in looks.items():
        window = windows.get(metric)
        lacking = [each for each in look_backs if window is None or window.lacking(each) is not None]
        if lacking:
            gaps.append(Gap(view, policy, metric, metrics[metric], window, min(lacking), max(look_backs)))
    return gaps


def first_broken(gap: Gap, around: Surroundings) -> Lack:
    """Return the first broken link of *gap*."""
    if gap.metric in around.silent:
        cure = "see the problem about it"
        return _lack(gap, Link.SOURCE, f"its query has no answer: {around.silent[gap.metric]}", cure)
    if gap.definition.query is not None:
        return next(_of_query(gap, around))
    return replace(next(_of_built_in(gap, around)), certain=gap.metric in around.evidence)


# custom metrics


def _of_query(gap: Gap, around: Surroundings) -> Iterator[Lack]:
    """Yield the broken links of a metric with a query of its own."""
    metric, service = gap.definition, gap.view.name
    known = around.with_samples.get(gap.metric, ())
    if metric.source != PROMETHEUS:
        asked = f"the source {metric.source}"
    else:
        asked = f"the query for {service}" if metric.per_service else "the query"
    cure = "run the query in Prometheus, and correct it or what exports its series"
    if gap.window is None and (metric.one_value or metric.per_service):
        yield _lack(gap, Link.QUERY, f"{asked} gives no series", cure)
    elif gap.window is None and not known:
        if metric.source != PROMETHEUS:
            cure = "look at what the plugin's source returns"
        yield _lack(gap, Link.QUERY, f"{asked} gives no series of any service", cure)
    if gap.window is None:
        yield from _young(gap, around)
        named = f'with {metric.by}="{service}"' if metric.by else f"of {service}"
        cure = _meant(service, known, around) or f"let {metric.by or 'the source'} carry the names of Swarm's services"
        said = f"{asked} gives series of {plural(len(known), 'other service')}, and none {named}"
        yield _lack(gap, Link.SERVICE, said, cure)
    yield from _in_window(gap, around, ())


# the built-in metrics


def _of_built_in(gap: Gap, around: Surroundings) -> Iterator[Lack]:
    """Yield the broken links of `cpu` or `memory`."""
    evidence = around.evidence.get(gap.metric)
    settings, service = around.settings, gap.view.name
    if evidence is not None:
        yield from _for_everybody(gap, evidence, around)
    yield from _young(gap, around)
    if evidence is None:
        yield from _in_window(gap, around, ())
        return
    if service not in evidence.services:
        nodes = sorted({around.hostnames.get(task.node, task.node) for task in gap.view.tasks if task.running})
        cure = _meant(service, evidence.services, around) or _see_to(evidence.down, nodes)
        others = plural(len(evidence.services), "other service")
        said = f"no series names it in {settings.service_label}, and there are series of {others}"
        yield _lack(gap, Link.SERVICE, said, cure)
    yield from _in_window(gap, around, evidence.down)


def _for_everybody(gap: Gap, evidence: Evidence, around: Surroundings) -> Iterator[Lack]:
    """Yield the links that are broken for all services at once."""
    settings, name = around.settings, evidence.metric
    under = f" under the selector {settings.selector}" if settings.selector.strip() else ""
    if not evidence.series:
        yield _lack(gap, Link.METRIC, f"Prometheus has no series of {name}", _see_to(evidence.down, ()))
    if not evidence.selected:
        found = " or ".join(evidence.examples)
        cure = f"correct {SELECTOR}; the series have {found}" if found else f"correct {SELECTOR}"
        said = f"none of the {evidence.series} series of {name} has {settings.selector.strip()}"
        yield _lack(gap, Link.SELECTOR, said, cure, SELECTOR)
    for count, link, label, setting in (
        (evidence.with_service, Link.SERVICE_LABEL, settings.service_label, SERVICE_LABEL),
        (evidence.with_task, Link.TASK_LABEL, settings.task_label, TASK_LABEL),
    ):
        if not count:
            said = f"none of the {evidence.selected} series of {name}{under} has the label {label}"
            yield _lack(gap, link, said, _keep(label, setting, evidence.labels), setting)


def _keep(label: str, setting: str, labels: Iterable[str]) -> str:
    """Return how to get the *label* onto the series."""
    like = near(label, [each for each in labels if each != label], most=1, likeness=0.7)
    if like:
        return f"if {like[0]} is meant, set {setting}={like[0]}"
    if label.startswith(_DOCKER):
        return (
            f"let cAdvisor export it, by --store_container_labels=true or with "
            f"--whitelisted_container_labels, and let no relabelling drop it; or set {setting} to the label that has it"
        )
    return f"set {setting} to the label that has it"


_DOCKER = "container_label_"


def _see_to(down: Iterable[str], nodes: Iterable[str]) -> str:
    """Return the cure for series that are not there at all."""
    targets, where = list(down), list(nodes)
    if targets:
        return f"its last scrape failed: {', '.join(targets)}; start cAdvisor there, or correct the scrape job"
    if where:
        more = f" and {len(where) - _SHOWN} more" if len(where) > _SHOWN else ""
        return (
            f"see whether cAdvisor runs on {', '.join(where[:_SHOWN])}{more}, and whether Prometheus scrapes it there"
        )
    return "run cAdvisor on every node, and let Prometheus scrape it"


def _meant(service: str, known: Iterable[str], around: Surroundings) -> str:
    """Return which names that series have may be those of *service*; empty if none is like it."""
    strangers = [name for name in known if name not in around.services]
    found = near(service, strangers, most=_SHOWN, likeness=0.6)
    found += [name for name in strangers if name not in found and (service.endswith(f"_{name}"))][:1]
    if not found:
        return ""
    return f"there are series of {' and '.join(tidy(name, _LONGEST) for name in found)}, which Swarm does not have"


def _young(gap: Gap, around: Surroundings) -> Iterator[Lack]:
    """Yield that all tasks are younger than the warm-up."""
    settings, view = around.settings, gap.view
    started = [task.since for task in view.tasks if task.running]
    warm = max(settings.warmup, 2 * settings.scrape_interval)
    if not started or min(started) + warm <= around.at - around.step:
        return
    ages = sorted({words(max(0.0, around.at - since)) for since in (min(started), max(started))})
    said = (
        f"{len(started)} of {plural(len(started), 'task')} started {' to '.join(ages)} ago, and samples count once a "
        f"task is older than {words(warm)}; first decision about {_first_decision(gap, min(started) + warm, around)}"
    )
    yield _lack(gap, Link.WARM_UP, said, f"wait, or lower {WARMUP}", WARMUP, passes=True)


def _first_decision(gap: Gap, sample: float, around: Surroundings) -> str:
    """Return the time at which a window is full that begins with the first window step from *sample* on."""
    return _clock(-(-sample // around.step) * around.step + gap.look_back)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def _in_window(gap: Gap, around: Surroundings, down: Iterable[str]) -> Iterator[Lack]:
    """Yield what is wrong although there are series of the service, or what its window alone shows."""
    window, service = gap.window, gap.view.name
    evidence = around.evidence.get(gap.metric)
    lacking = Reason.NO_DATA if window is None else window.lacking(gap.look_back)
    if evidence is not None and service in evidence.behind and lacking is not None:
        said = f"its samples are dated by cAdvisor, up to {words(evidence.behind[service])} apart from their scrape"
        cure = "write honor_timestamps: false in Prometheus' scrape job of cAdvisor"
        yield _lack(gap, Link.TIMESTAMPS, said, cure)
    if gap.definition.query is None:
        yield from _seldom(gap, around)
    if lacking is Reason.PARTIAL_DATA and window is not None and window.reporting and window.owed:
        reporting, owed = window.reporting[-1], window.owed[-1]
        if reporting < owed:
            nodes = sorted({around.hostnames.get(task.node, task.node) for task in gap.view.tasks if task.running})
            yield _lack(gap, Link.TASKS, f"only {reporting} of {owed} tasks have samples", _see_to(down, nodes))
    if window is None and evidence is not None:
        yield _lack(gap, Link.WINDOW, "its series give no sample", _LOOK)
    if window is None:
        said = "it has no sample of the service"
        yield _lack(gap, Link.SERVICE, said, "autoscaler check --live asks Prometheus why")
        return
    rows = window.values[-(gap.look_back // window.step + 1) :]
    present = sum(map(isfinite, rows))
    counted = f"{present} of the {gap.look_back // window.step + 1} samples of the last {words(gap.look_back)}"
    if (began := unbroken_since(window)) < inf:
        full = _clock(began + gap.look_back)
        said = f"its window fills, with {counted} so far; first decision about {full}"
        yield _lack(gap, Link.WINDOW, said, "wait", passes=True)
    elif window.newest is None:
        last = next((age for age, value in enumerate(reversed(window.values)) if isfinite(value)), len(window.values))
        said = f"its newest sample is {words(last * window.step)} old"
        yield _lack(gap, Link.WINDOW, said, _see_to(down, ()) if down else _LOOK)
    else:
        yield _lack(gap, Link.WINDOW, f"its window has holes, with {counted}", _see_to(down, ()) if down else _LOOK)


_LOOK = (
    "look for failed scrapes in Prometheus (up, scrape_duration_seconds), and for honor_timestamps in the scrape job"
)


def unbroken_since(window: Window) -> float:
    """Return the time of the oldest sample from which on no sample is missing or partial; infinity if there is none."""
    if window.newest is None:
        return inf
    whole = window.whole()
    oldest = next((row for row in reversed(range(len(whole))) if not isfinite(whole[row])), -1) + 1
    return window.end - (len(whole) - 1 - oldest) * window.step if oldest < len(whole) else inf


def _seldom(gap: Gap, around: Surroundings) -> Iterator[Lack]:
    """Yield that Prometheus scrapes too seldom for the settings."""
    settings, real = around.settings, around.scrape_interval
    said_every, rate = settings.scrape_interval, settings.rate_window
    evidence = around.evidence.get(gap.metric)
    if real is not None and real > _TOLERANCE * said_every:
        effect = f"the settings say every {words(said_every)}"
        if gap.metric == "cpu" and 2 * real > rate:
            effect = f"the rate window of {words(rate)} holds less than the two samples that cpu needs"
        cure = (
            f"set {SCRAPE_INTERVAL}={words(real)} and {RATE_WINDOW}={words(max(rate, 4 * real))}, or scrape more often"
        )
        said = f"Prometheus scrapes cAdvisor every {words(real)}, and {effect}"
        yield _lack(gap, Link.SCRAPE_INTERVAL, said, cure, SCRAPE_INTERVAL)
    elif real is None and evidence is not None and gap.metric == "cpu":
        samples = evidence.samples.get(gap.view.name, 0)
        if samples < 2:  # noqa: PLR2004 - a slope has two points
            said = f"the rate window of {words(rate)} holds {plural(int(samples), 'sample')}, and cpu needs two"
            cure = (
                f"set {SCRAPE_INTERVAL} to the real interval and {RATE_WINDOW} to four times that, or scrape more often"
            )
            yield _lack(gap, Link.SCRAPE_INTERVAL, said, cure, SCRAPE_INTERVAL)


def _lack(  # noqa: PLR0913 - a lack's parts
    gap: Gap, link: Link, sentence: str, cure: str, setting: str = "", *, passes: bool = False
) -> Lack:
    return Lack(gap.view.name, gap.metric, link, sentence, cure, setting, passes=passes)
