"""Prometheus, or a server with the same API, as a metric source.

PrometheusConnect builds the requests, and its session (`Wire`) sends them. This module asks in parts, tries again while
that may help, and puts the answers into columns by service.
"""

from __future__ import annotations

import json
from array import array
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from math import isfinite, nan
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3
from prometheus_api_client import PrometheusConnect
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay, wait_exponential

from autoscaler.adapters.prometheus.connection import ConnectionSettings
from autoscaler.adapters.prometheus.wire import Offset, PassingError, Wire
from autoscaler.errors import DeadlineError, RefusedError
from autoscaler.metrics.queries import STAT_LABEL, TASKS, VALUE
from autoscaler.ports import Series
from autoscaler.util.deadline import TimedCall
from autoscaler.util.moments import parse_unix_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

    from autoscaler.ports import Clock, Query
    from autoscaler.util.deadline import Deadline

__all__ = ["ConnectionSettings", "PrometheusSource"]

T = TypeVar("T")

_POINTS = 11_000
"""The most points of one series in one answer of Prometheus (docs/facts.md#limits-and-errors)."""
_ATTEMPTS = 3
_BACKOFF = wait_exponential(multiplier=0.1, max=1)
_OFFSET_FRESH = 60.0
"""The seconds for which the Date of an answer is used."""
_SECOND, _TICK = 1.0, 0.001
"""The resolution of a Date and of Prometheus' own time, in seconds."""
_LATE, _NEARLY = 30.0, 5.0
"""Seconds that VictoriaMetrics is late by default (-search.latencyOffset), and seconds that its clock may add."""
_SHORTEST_TIMEOUT = 0.001
_LOOKED_AT = 900
"""The seconds before now in which the scrapes of a series are looked at."""


class PrometheusSource:
    """A MetricSource. Two threads must not use it at once.

    Raise SettingsError if the file of a certificate cannot be used.
    """

    def __init__(self, connection: ConnectionSettings, clock: Clock) -> None:
        self._clock = clock
        self._timeout = connection.timeout
        self._dates_tell = True
        """True if the Date of the answers may be that of Prometheus' own clock."""
        self._guard = TimedCall("Prometheus")
        self._wire = Wire(connection, clock)
        credentials = connection.credentials
        self._prometheus = PrometheusConnect(
            url=connection.address,
            headers=connection.all_headers,
            # As bytes, because requests would encode text as Latin-1, and servers read UTF-8 (RFC 7617).
            auth=tuple(part.encode() for part in credentials) if credentials else None,
            session=self._wire,
            retry=urllib3.Retry(total=0),
            timeout=connection.timeout,
        )

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """Return how far Prometheus' clock is behind (negative) or ahead of *now*, in seconds; 0 within a second.

        The answer is 0 if the Date of an answer of the last minute shows no difference. Otherwise Prometheus is asked
        for its time, because the Date may come from a proxy or a cache. If the Date agrees with our clock and
        Prometheus' own time does not, the Date is not Prometheus'. Prometheus is then asked each time.
        """
        if self._dates_tell and self._agrees(now):
            return 0.0
        told = self._call(self._time, deadline).offset
        near, agrees = abs(told) < _SECOND, self._agrees(self._clock.now())
        self._dates_tell = near or not agrees
        return 0.0 if abs(told) < _TICK or (near and agrees) else told

    def clock_cure(self, offset: float) -> str:
        """Return what to do about a clock that is *offset* seconds ahead of ours, or behind it if negative."""
        if offset < 0 and self._wire.is_victoria_metrics:
            return "VictoriaMetrics answers late by its -search.latencyOffset: set that to 1ms"
        if abs(offset + _LATE) <= _NEARLY:
            return "set both by NTP; if it is VictoriaMetrics, set its -search.latencyOffset=1ms"
        return "set both by NTP"

    def _agrees(self, now: float) -> bool:
        """Return whether the Date of a recent answer agrees with our clock."""
        dated = self._wire.dated
        return dated is not None and 0 <= now - dated.received <= _OFFSET_FRESH and not dated.offset

    def _time(self, timeout: float) -> Offset:
        """Return the offset of Prometheus' own clock."""
        sent = self._clock.now()
        answer = self._prometheus.custom_query("vector(time())", timeout=timeout)
        received = self._clock.now()
        try:
            theirs = parse_unix_time(float(answer[0]["value"][1]))
            return Offset.between(theirs - received, theirs - sent, received)
        except (LookupError, TypeError, ValueError) as error:
            raise RefusedError(f"Prometheus does not answer with its time, but with {str(answer)[:100]}") from error

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:
        """Return the samples at *start*, *start* + *step*, … *end*, by service."""
        grid = range(start, end + 1, step)
        table = _Columns(query, len(grid))
        for first in range(0, len(grid), _POINTS):
            part = grid[first : first + _POINTS]
            table.take(self._call(partial(self._range, query, part), deadline), first, part)
        return table.series()

    def labels(self, expression: str, deadline: Deadline) -> list[dict[str, str]]:
        """Return the labels of each series that *expression* gives now. Raises BackendError."""
        answer = self._call(lambda timeout: self._prometheus.custom_query(expression, timeout=timeout), deadline)
        return [dict(series["metric"]) for series in answer]

    def values(self, expression: str, deadline: Deadline) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series that *expression* gives now. Raises BackendError."""
        answer = self._call(lambda timeout: self._prometheus.custom_query(expression, timeout=timeout), deadline)
        try:
            return [(dict(series["metric"]), float(series["value"][1])) for series in answer]
        except (LookupError, TypeError, ValueError) as error:
            raise RefusedError(f"Prometheus answers a query for numbers with {str(answer)[:100]}") from error

    def scrape_interval(self, series: str, deadline: Deadline) -> float | None:
        """Return the seconds between the scrapes of the series that the expression *series* gives.

        It is the median over a quarter of an hour. It is None without such a series, or if the series has less than
        three samples in the order of time. Raise BackendError.
        """
        found = self._call(lambda timeout: self._prometheus.custom_query(series, timeout=timeout), deadline)
        if not found:
            return None
        labels = dict(found[0]["metric"])
        matchers = ",".join(f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items())
        samples = f"{{{matchers}}}[{_LOOKED_AT}s]"
        answer = self._call(lambda timeout: self._prometheus.custom_query(samples, timeout=timeout), deadline)
        scrapes = answer[0].get("values") if answer else None
        if not isinstance(scrapes, tuple):  # `Wire` parses samples into a tuple
            return None
        times, _ = scrapes
        gaps = [later - earlier for earlier, later in pairwise(times)]
        between = median(gaps) if len(gaps) > 1 else 0.0
        return between if 0 < between <= _LOOKED_AT else None  # the times may be NaN or in a wrong order

    def _range(self, query: Query, grid: range, timeout: float) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._prometheus.custom_query_range(
            query.expression,
            start_time=datetime.fromtimestamp(grid[0], UTC),
            end_time=datetime.fromtimestamp(grid[-1], UTC),
            step=f"{grid.step}",
            timeout=timeout,
        )
        return answer

    def _call(self, ask: Callable[[float], T], deadline: Deadline) -> T:
        """Return what *ask* returns when called with its timeout. Try again if that may help within the *deadline*."""

        def once() -> T:
            try:
                return self._guard.call(
                    lambda: ask(max(_SHORTEST_TIMEOUT, deadline.remaining(self._timeout))), deadline.remaining()
                )
            except DeadlineError:
                self._wire.abandon()
                raise

        retrying = Retrying(
            retry=retry_if_exception_type(PassingError),
            stop=stop_after_attempt(_ATTEMPTS) | stop_before_delay(deadline.remaining()),
            wait=_pause,
            reraise=True,
        )
        return retrying(once)


def _pause(state: RetryCallState) -> float:
    """Return the seconds before the next attempt: longer each time, and at least as long as the server asks."""
    error = state.outcome.exception() if state.outcome else None
    return max(_BACKOFF(state), error.after if isinstance(error, PassingError) else 0.0)


class _Columns:
    """The columns of the answer to one query, filled part by part."""

    def __init__(self, query: Query, length: int) -> None:
        self._query = query
        self._length = length
        self._values: dict[str, list[float]] = {}
        self._tasks: dict[str, list[int]] = {}

    def take(self, answer: list[dict[str, Any]], first: int, grid: range) -> None:
        """Put the *answer* for *grid* into the columns, from row *first* on. Raise RefusedError."""
        times = array("d", grid)
        seen: set[tuple[str, str]] = set()
        for series in self._of_services(answer):
            service, stat = self._key(series)
            if (service, stat) in seen:
                raise RefusedError(f"the query of the metric {self._query.metric} gives {self._several(service)}")
            seen.add((service, stat))
            samples = _on_grid(series["values"], times, grid)
            if stat == TASKS:
                counts = [int(count) if count > 0 else 0 for count in samples]  # NaN is not above 0
                self._tasks.setdefault(service, [0] * self._length)[first : first + len(grid)] = counts
            else:
                self._values.setdefault(service, [nan] * self._length)[first : first + len(grid)] = samples

    def series(self) -> dict[str, Series]:
        """Return the columns by service."""
        if not self._query.counts_tasks:
            return {service: Series(values) for service, values in self._values.items()}
        return {
            service: Series(
                self._values.get(service) or [nan] * self._length, self._tasks.get(service) or [0] * self._length
            )
            for service in self._values.keys() | self._tasks.keys()
        }

    def _several(self, service: str) -> str:
        if self._query.by is not None:
            return f"several series for the service {service} (aggregate them, as in sum by ({self._query.by}) (…))"
        if service:
            return f"several series for the service {service} (make one of them, as in sum(…))"
        return "several series (make one of them, as in sum(…), or name the label of the service with by:)"

    def _of_services(self, answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the series of the *answer* that are about services.

        A series without the label for the service's name is about something else, like a proxy's own dashboard. If no
        series has the label, it is the wrong one.
        """
        by = self._query.by
        if by is None:
            return answer
        found = [series for series in answer if series["metric"].get(by)]
        if answer and not found:
            labels = ", ".join(sorted(answer[0]["metric"])) or "no label"
            raise RefusedError(
                f"the query of the metric {self._query.metric} gives series without the label {by}, which should have "
                f"the service's name; the first series has {labels} "
                f"(aggregate by it, as in sum by ({by}) (…), or name another label)"
            )
        return found

    def _key(self, series: dict[str, Any]) -> tuple[str, str]:
        """Return the service and the stat that a series is about."""
        labels = series["metric"]
        service: str = self._query.service if self._query.by is None else labels[self._query.by]
        if not isinstance(series.get("values"), tuple) or "histograms" in series:
            raise RefusedError(
                f"the query of the metric {self._query.metric} gives native histograms "
                "(make numbers of them, as in histogram_quantile(0.95, …))"
            )
        if not self._query.counts_tasks:
            return service, VALUE
        stat = labels.get(STAT_LABEL)
        if stat not in {VALUE, TASKS}:
            raise RefusedError(
                f"the query of the metric {self._query.metric} gives a series of the service {service} "
                f"without the label {STAT_LABEL} ({VALUE} or {TASKS})"
            )
        return service, stat


def _on_grid(samples: tuple[array[float], array[float]], times: array[float], grid: range) -> list[float]:
    """Return the samples at the moments *times* of the *grid*. A missing or infinite sample is NaN."""
    at, values = samples
    if at == times and isfinite(sum(values)):
        return values.tolist()
    column = [nan] * len(grid)
    for moment, value in zip(at, values, strict=True):
        row, off = divmod(moment - grid.start, grid.step)
        if not off and 0 <= row < len(grid) and isfinite(value):
            column[int(row)] = value
    return column
