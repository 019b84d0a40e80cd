from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.errors import BackendError
from autoscaler.metrics.queries import SERVICE_LABEL, STAT_LABEL, TASKS, VALUE
from autoscaler.ports import Query
from autoscaler.testing import ManualClock
from autoscaler.util.deadline import Deadline
from tests.support.builders import NOW, STEP
from tests.support.hostile_json import JSON, twists

if TYPE_CHECKING:
    from collections.abc import Iterator

START = NOW - 4 * STEP
GOOD = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [
            {
                "metric": {SERVICE_LABEL: "web", STAT_LABEL: stat},
                "values": [[START + number * STEP, "3"] for number in range(5)],
            }
            for stat in (VALUE, TASKS)
        ],
    },
}
QUERIES = [
    Query("cpu", "x", SERVICE_LABEL, counts_tasks=True),
    Query("p95", "x", SERVICE_LABEL),
    Query("companies", "x", None),
]


@dataclass
class Answer:
    """A response as requests gives it."""

    body: bytes
    status_code: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    is_redirect: bool = False
    is_permanent_redirect: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def iter_content(self, _: int) -> Iterator[bytes]:
        """The body."""
        yield self.body


def source(answer: Answer) -> PrometheusSource:
    """A source that gets the *answer*, whatever it asks."""
    made = PrometheusSource(ConnectionSettings("http://prometheus:9090"), ManualClock())
    made._wire._session.request = lambda *_, **__: answer  # type: ignore[assignment] # as much of one as is read
    return made


@settings(max_examples=300)
@given(twists(GOOD) | JSON, st.sampled_from(QUERIES), st.sampled_from([200, 400, 422, 500]))
@pytest.mark.fault("hostile-answers")
def test_no_answer_of_prometheus_is_anything_but_samples_or_an_error(document: Any, query: Query, status: int) -> None:
    """Whatever JSON comes, it is columns of numbers on the grid that was asked for, or a BackendError in one line."""
    answer = Answer(json.dumps(document).encode(), status)
    asked = source(answer)
    try:
        found = asked.fetch(query, START, NOW, STEP, Deadline(10))
    except BackendError as error:
        told, found = str(error), {}
    else:
        told = ""
    assert "\n" not in told
    assert len(told) < 2000
    for name, series in found.items():
        name.encode()
        assert len(series.values) == 5
        assert all(isfinite(value) or isnan(value) for value in series.values)
        assert all(type(count) is int and count >= 0 for count in series.tasks or ())


@settings(max_examples=100)
@given(twists(GOOD) | JSON)
def test_no_answer_breaks_the_probe_of_the_scrape_interval_or_the_clock(document: Any) -> None:
    """What is only looked at for advice is as little trusted."""
    asked = source(Answer(json.dumps(document).encode(), headers={"Date": "Thu, 99 Foo 2026"}))
    with suppress(BackendError):
        assert isinstance(asked.scrape_interval("up", Deadline(10)), float | None)
    with suppress(BackendError):
        assert isinstance(asked.clock_offset(NOW, Deadline(10)), float)


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "body",
    [DEEP, b'{"a":' * 100_000, b'{"status": "success", "data": {"result": ' + DEEP, b"9" * 10_000, b"\xff\xfe"],
)
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.fault("hostile-answers")
def test_no_nesting_and_no_number_breaks_the_parser(body: bytes, status: int) -> None:
    """What Python's parser gives up on is no answer."""
    with pytest.raises(BackendError):
        source(Answer(body, status)).fetch(QUERIES[0], START, NOW, STEP, Deadline(10))


@pytest.mark.parametrize(
    "date", ["", "x", "Thu, 01 Jan 1 00:00:00 GMT", "9" * 5000, "Mon, 01 Jan 99999 00:00:00 GMT", "\x00"]
)
def test_no_date_breaks_the_clock(date: str) -> None:
    """A Date that is none says nothing: Prometheus is asked what time it is."""
    told = {"resultType": "vector", "result": [{"metric": {}, "value": [NOW, str(NOW + 7)]}]}
    asked = source(Answer(json.dumps({"status": "success", "data": told}).encode(), headers={"Date": date}))
    assert asked.clock_offset(NOW, Deadline(10)) == 7


@given(JSON)
def test_no_time_told_breaks_the_clock(told: Any) -> None:
    """What Prometheus says of its clock is a number of seconds, or its clock is not known."""
    asked = source(Answer(json.dumps({"status": "success", "data": told}).encode()))
    with suppress(BackendError):
        assert isfinite(asked.clock_offset(NOW, Deadline(10)))
