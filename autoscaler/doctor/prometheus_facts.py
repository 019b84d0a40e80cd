"""Asks Prometheus what checks need to know."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from autoscaler.adapters.prometheus.probe import StatusError
from autoscaler.diagnosis.evidence import gather
from autoscaler.doctor.facts import PrometheusFacts
from autoscaler.errors import BackendError, RefusedError
from autoscaler.metrics import queries
from autoscaler.policy import promql
from autoscaler.util.text import tidy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from autoscaler.adapters.prometheus.probe import PrometheusProbe
    from autoscaler.adapters.prometheus.source import PrometheusSource
    from autoscaler.diagnosis.evidence import Evidence
    from autoscaler.metrics.queries import MetricSettings
    from autoscaler.ports import Clock
    from autoscaler.util.deadline import Deadline

T = TypeVar("T")

_MOST_DOWN = 20
_LONGEST = 200
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_DEFAULT_RETENTION = 15 * 86400.0
"""Seconds for which Prometheus keeps samples if no flag says otherwise."""
_TASKS = "container_memory_working_set_bytes"


@dataclass(frozen=True, slots=True)
class PrometheusParts:
    """How Prometheus is asked."""

    probe: PrometheusProbe
    source: PrometheusSource
    settings: MetricSettings
    clock: Clock


def ask_prometheus(parts: PrometheusParts, built_in: Collection[str], deadline: Deadline) -> PrometheusFacts:
    """Return what Prometheus says, with evidence on the *built_in* metrics. Never raise for what it does."""
    try:
        parts.probe.page("/api/v1/query", deadline, {"query": "vector(1)"})
        offset = parts.source.clock_offset(parts.clock.now(), deadline)
    except StatusError as error:
        return PrometheusFacts(trouble=str(error), status=error.status)
    except BackendError as error:
        return PrometheusFacts(
            trouble=str(error), reached=isinstance(error, RefusedError) or "answers with" in str(error)
        )
    source, settings = parts.source, parts.settings
    facts = PrometheusFacts(
        version=_version(_page(parts, "/api/v1/status/buildinfo", deadline)),
        retention=_retention(_page(parts, "/api/v1/status/flags", deadline)),
        clock_offset=offset,
        clock_cure=source.clock_cure(offset),
        scrape_interval=_tried(lambda: source.scrape_interval(queries.oldest_task(settings), deadline)),
        evidence=_evidence(parts, built_in, deadline),
    )
    if "cpu" in built_in:
        told = queries.starvation_told(settings).expression
        facts = replace(facts, tells_starvation=_tried(lambda: bool(source.labels(told, deadline))))
    return _of_the_jobs(parts, facts, deadline)


def _evidence(parts: PrometheusParts, built_in: Iterable[str], deadline: Deadline) -> dict[str, Evidence]:
    found: dict[str, Evidence] = {}
    for metric in built_in:
        with suppress(BackendError):
            found[metric] = gather(parts.source.values, metric, parts.settings, deadline)
    return found


def _of_the_jobs(parts: PrometheusParts, facts: PrometheusFacts, deadline: Deadline) -> PrometheusFacts:
    """Return *facts* with what is known of the jobs that scrape tasks, if any does."""
    source, settings, task = parts.source, parts.settings, parts.settings.task_label
    by_task = f"count by (job,{task}) ({queries.series(_TASKS, settings)})"
    by_job = _tried(lambda: source.values(f"count by (job) ({by_task})", deadline))
    if not by_job:
        return facts
    jobs = tuple(sorted(labels.get("job", "") for labels, _ in by_job))
    twice = _tried(lambda: source.values(f"count(count by ({task}) ({by_task}) > 1)", deadline))
    names = f"job=~{promql.any_of(jobs)}"
    down = _tried(lambda: source.values(f"topk({_MOST_DOWN}, up{{{names}}} == 0)", deadline))
    return replace(
        facts,
        jobs=jobs,
        twice=None if twice is None else sum(int(count) for _, count in twice),
        down=None if down is None else _down(down, _page(parts, "/api/v1/targets", deadline)),
        tells_starts=_tried(lambda: bool(source.labels(queries.starts(settings), deadline))),
    )


def _tried(ask: Callable[[], T]) -> T | None:
    """Return what *ask* returns; None if Prometheus gives no answer to it."""
    with suppress(BackendError):
        return ask()
    return None


def _page(parts: PrometheusParts, path: str, deadline: Deadline) -> Mapping[str, Any]:
    page = _tried(lambda: parts.probe.page(path, deadline))
    return page if isinstance(page, dict) else {}


def _version(page: Mapping[str, Any]) -> str | None:
    version = page.get("version")
    return tidy(version, _LONGEST) if isinstance(version, str) else None


def _retention(flags: Mapping[str, Any]) -> float | None:
    """Return the seconds for which samples are kept; None if the flags do not tell, or the size bounds them."""
    given = flags.get("storage.tsdb.retention.time")
    if not isinstance(given, str) or not re.fullmatch(r"(\d+(ms|[ywdhms]))+", given):
        return None
    seconds = sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|[ywdhms])", given))
    by_size = str(flags.get("storage.tsdb.retention.size", "0B")) not in {"0", "0B"}
    return seconds or (None if by_size else _DEFAULT_RETENTION)


def _down(found: Iterable[tuple[Mapping[str, str], float]], targets: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the targets that are down, with the error of their last scrape."""
    errors: dict[str, str] = {}
    listed = targets.get("activeTargets")
    for target in listed if isinstance(listed, list) else ():
        with suppress(KeyError, TypeError):
            errors[str(target["labels"]["instance"])] = str(target["lastError"])
    names = sorted({labels.get("instance", "") for labels, _ in found} - {""})
    return tuple(
        f"{name} is down" + (f": {tidy(errors[name], _LONGEST)}" if errors.get(name) else "") for name in names
    )


UNANSWERED = PrometheusFacts(trouble="Prometheus gave no answer in time (look whether it hangs)", reached=False)
"""The facts about a Prometheus that hangs."""
