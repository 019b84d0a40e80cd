"""The checks of Prometheus and of its scrapes."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from autoscaler.doctor.checks import Check, Unseen, failure, hint, judged, told, warning
from autoscaler.util.amounts import plural
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from autoscaler.doctor.checks import Verdict
    from autoscaler.doctor.facts import Installation, PrometheusFacts

PROMETHEUS, SCRAPES = "prometheus", "scrapes"
_OLDEST = (2, 30)
_SKEW = 2.0
"""Seconds by which Prometheus' clock may differ from ours: windows end by its clock."""
_TOLERANCE = 0.2
_LOGINS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

_prometheus = judged(lambda installation: installation.prometheus, "needs valid settings")


@_prometheus
def _reached(facts: PrometheusFacts, _: Installation) -> Verdict:
    return told(facts.trouble) if facts.trouble and not facts.reached else None


@_prometheus
def _login(facts: PrometheusFacts, _: Installation) -> Verdict:
    return told(facts.trouble) if facts.status in _LOGINS else None


@_prometheus
def _queries(facts: PrometheusFacts, _: Installation) -> Verdict:
    return told(facts.trouble) if facts.trouble else None


@_prometheus
def _version(facts: PrometheusFacts, _: Installation) -> Verdict:
    found = re.match(r"v?(\d+)\.(\d+)", facts.version or "")
    if not found:
        return Unseen("the server does not tell its version as Prometheus does")
    if (int(found[1]), int(found[2])) >= _OLDEST:
        return None
    seen = f"Prometheus {facts.version} answers, and {_OLDEST[0]}.{_OLDEST[1]} is the oldest that is tried"
    return warning(seen, "upgrade Prometheus")


@_prometheus
def _clock(facts: PrometheusFacts, _: Installation) -> Verdict:
    offset = facts.clock_offset
    if offset is None:
        return Unseen("Prometheus did not tell its time")
    if abs(offset) <= _SKEW:
        return None
    side = "ahead of" if offset > 0 else "behind"
    return warning(f"Prometheus' clock is {words(abs(offset))} {side} ours", facts.clock_cure)


@_prometheus
def _interval(facts: PrometheusFacts, installation: Installation) -> Verdict:
    real, settings = facts.scrape_interval, installation.given.settings
    if real is None or settings is None:
        return Unseen("no task has been scraped three times yet")
    said = settings.scrape_interval
    if abs(real - said) <= _TOLERANCE * said:
        return None
    seen = f"Prometheus scrapes cAdvisor every {words(real)}, and the settings say every {words(said)}"
    cure = f"set AUTOSCALER_SCRAPE_INTERVAL={words(max(1, round(real)))}"
    too_short = settings.rate_window < 2 * real
    if too_short:
        seen += f"; the rate window of {words(settings.rate_window)} then holds fewer than two samples"
        cure += f" and AUTOSCALER_RATE_WINDOW={words(4 * round(real))}"
    return (failure if too_short else warning)(seen, cure)


@_prometheus
def _retention(facts: PrometheusFacts, installation: Installation) -> Verdict:
    if facts.retention is None:
        return Unseen("the server does not tell how long it keeps samples")
    needed = max((back for _, policy in installation.needed or () for back in policy.look_backs.values()), default=None)
    if needed is None:
        return Unseen("no policy looks at a metric of a service")
    if facts.retention >= needed:
        return None
    seen = f"Prometheus keeps samples for {words(facts.retention)}, and a rule looks back {words(needed)}"
    return failure(seen, f"start Prometheus with --storage.tsdb.retention.time={words(max(needed, 86400))} or more")


@_prometheus
def _targets(facts: PrometheusFacts, _: Installation) -> Verdict:
    if facts.down is None:
        return Unseen("Prometheus did not tell its targets")
    if not facts.down:
        return None
    return warning(facts.down, "start cAdvisor there, or take the target out of the scrape job")


@_prometheus
def _twice(facts: PrometheusFacts, _: Installation) -> Verdict:
    if facts.twice is None:
        return Unseen("Prometheus has no series of tasks")
    if not facts.twice:
        return None
    jobs = " and ".join(facts.jobs)
    cure = f"""set AUTOSCALER_METRIC_SELECTOR='job="{facts.jobs[0]}"', or remove one of the jobs"""
    are = "is" if facts.twice == 1 else "are"
    return hint(f"{plural(facts.twice, 'task')} {are} scraped by the jobs {jobs}", cure)


@_prometheus
def _starts(facts: PrometheusFacts, _: Installation) -> Verdict:
    if facts.tells_starts is None:
        return Unseen("Prometheus has no series of tasks")
    seen = "Prometheus has no container_start_time_seconds of any task"
    cure = "let the scrape job keep container_start_time_seconds, under the selector of the settings"
    return None if facts.tells_starts else warning(seen, cure)


@_prometheus
def _starvation(facts: PrometheusFacts, _: Installation) -> Verdict:
    if facts.tells_starvation is None:
        return Unseen("no policy looks at cpu")
    if not facts.jobs:
        return Unseen("Prometheus has no series of tasks")
    seen = "Prometheus has no series that show whether a node has CPU to spare"
    cure = (
        'let the scrape job keep cAdvisor\'s container_cpu_usage_seconds_total{id="/"} and machine_cpu_cores, '
        "or its container_pressure_cpu_* series, under the selector of the settings"
    )
    return None if facts.tells_starvation else hint(seen, cure)


CHECKS = (
    Check(
        "D-PROMETHEUS",
        PROMETHEUS,
        "Prometheus can be reached",
        "without samples no rule changes a count",
        "Start Prometheus, correct AUTOSCALER_PROMETHEUS_URL, or join its network.",
        _reached,
        ("D-SETTINGS",),
    ),
    Check(
        "D-LOGIN",
        PROMETHEUS,
        "Prometheus accepts the credentials",
        "every query is refused",
        "Set AUTOSCALER_PROMETHEUS_USERNAME and its password, or AUTOSCALER_PROMETHEUS_BEARER_TOKEN.",
        _login,
        ("D-PROMETHEUS",),
    ),
    Check(
        "D-QUERIES",
        PROMETHEUS,
        "The server answers queries as Prometheus does",
        "something else listens there, or a login page stands before it",
        "Correct AUTOSCALER_PROMETHEUS_URL, with its path.",
        _queries,
        ("D-LOGIN",),
    ),
    Check(
        "D-PROMVERSION",
        PROMETHEUS,
        "Prometheus is 2.30 or newer",
        "older versions were never tried",
        "Upgrade Prometheus.",
        _version,
        ("D-QUERIES",),
    ),
    Check(
        "D-PROMCLOCK",
        PROMETHEUS,
        "Prometheus' clock agrees with ours",
        "samples seem older or newer than they are",
        "Set both clocks by NTP.",
        _clock,
        ("D-QUERIES",),
    ),
    Check(
        "D-SCRAPE",
        SCRAPES,
        "Prometheus scrapes cAdvisor as often as the settings say",
        "windows then have holes, or rules see old samples",
        "Set AUTOSCALER_SCRAPE_INTERVAL to the real interval.",
        _interval,
        ("D-QUERIES",),
    ),
    Check(
        "D-RETENTION",
        PROMETHEUS,
        "Prometheus keeps samples for as long as rules look back",
        "a window is never complete, so the rule lacks data for ever",
        "Start Prometheus with a longer --storage.tsdb.retention.time.",
        _retention,
        ("D-QUERIES", "D-POLICIES", "D-READ"),
    ),
    Check(
        "D-TARGETS",
        SCRAPES,
        "Every cAdvisor target is up",
        "services with a task on that node lack data",
        "Start cAdvisor there, or take the target out of the scrape job.",
        _targets,
        ("D-QUERIES",),
    ),
    Check(
        "D-TWICE",
        SCRAPES,
        "One job scrapes each task",
        "every sample is stored and read twice, and a difference between the jobs looks like a change",
        "Name one of the jobs in AUTOSCALER_METRIC_SELECTOR, or remove the other job.",
        _twice,
        ("D-QUERIES",),
    ),
    Check(
        "D-STARTS",
        SCRAPES,
        "Prometheus knows when tasks started",
        "samples of new tasks count before their warm-up is over",
        "Keep cAdvisor's container_start_time_seconds in the scrape job.",
        _starts,
        ("D-QUERIES",),
    ),
    Check(
        "D-STARVATION",
        SCRAPES,
        "Prometheus shows whether nodes have CPU to spare",
        "a task that gets no CPU looks idle, and could be removed",
        "Keep cAdvisor's series of the node, or of CPU pressure, in the scrape job.",
        _starvation,
        ("D-QUERIES", "D-POLICIES", "D-READ"),
    ),
)
