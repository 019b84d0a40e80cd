"""The evidence on missing data, asked of a real Prometheus that scrapes targets of a test's own."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.diagnosis.evidence import Evidence, Witness
from autoscaler.metrics.queries import SERVICE_LABEL, TASK_LABEL, MetricSettings
from autoscaler.util.deadline import Deadline
from tests.e2e.lab import Prometheus, Release
from tests.e2e.lab.exporter import Exporter
from tests.e2e.lab.ports import free_port
from tests.support.lab import entered, unavailable
from tests.support.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

pytestmark = pytest.mark.slow

CPU = "container_cpu_usage_seconds_total"
NAMED = {SERVICE_LABEL: "web", TASK_LABEL: "web.1.a"}
JOBS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "whole": (
        {**NAMED, "cpu": "cpu00"},
        {**NAMED, "cpu": "cpu01"},
        {**NAMED, TASK_LABEL: "web.2.b", "cpu": "cpu00"},
        {SERVICE_LABEL: "db", TASK_LABEL: "db.1.a", "cpu": "cpu00"},
    ),
    "nameless": ({"id": "/docker/a", "container_label_service": "web"},),
    "taskless": ({SERVICE_LABEL: "web", "id": "/docker/a"},),
}
BEHIND = 20


class Late(Exporter):
    """A target that dates its samples itself."""

    @property
    def metrics(self) -> str:
        """What a scrape gets now."""
        at = round((time.time() - BEHIND) * 1000)  # noqa: TID251 - a target's own clock
        return f"{CPU}{_braces(NAMED)} {at / 1e6} {at}\ncontainer_start_time_seconds{_braces(NAMED)} 1 {at}\n"


def _braces(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


@pytest.fixture(scope="module")
def prometheus(release: Release) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a job for each case, every second."""
    if reason := release.missing("prometheus"):
        unavailable(reason)
    with ExitStack() as stack:
        targets = {}
        for job, series in JOBS.items():
            exporter = Exporter({f"{CPU}{_braces(labels)}": 1.0 for labels in series})
            targets[job] = [stack.enter_context(exporter).address]
        targets["late"] = [stack.enter_context(Late({})).address]
        targets["away"] = [f"127.0.0.1:{free_port()}"]
        made = Prometheus(targets, scrape_interval=1, release=release)
        made.honors = {"late"}
        entered(stack, made)
        made.wait_for(f"count(count by (job) ({CPU}))", lambda found: found and found[0].value == len(targets) - 1)
        made.wait_for('up{job="away"} == 0')
        yield made


def witness(prometheus: Prometheus, selector: str, **labels: str) -> Witness:
    """A witness under *selector*."""
    source = PrometheusSource(ConnectionSettings(prometheus.url), SystemClock())
    return Witness(source.values, MetricSettings(1, 4, 5, selector, **labels))


def asked(prometheus: Prometheus, selector: str, metric: str = "cpu", **labels: str) -> Evidence:
    """The evidence under *selector*."""
    return witness(prometheus, selector, **labels).evidence(metric, Deadline(20))


def test_whole_series(prometheus: Prometheus) -> None:
    """With nothing broken, the tasks of each service are counted, and none is dated by its target."""
    found = asked(prometheus, 'job="whole"')
    assert (found.series, found.selected, found.with_service, found.with_task) == (7, 4, 4, 4)
    assert dict(found.services) == {"web": 2, "db": 1}
    assert found.behind == {}
    assert found.down == ()
    wait("four samples", lambda: asked(prometheus, 'job="whole"').samples["web"] >= 4)


def test_a_metric_that_does_not_exist(prometheus: Prometheus) -> None:
    """Without any series, the targets that are down are named."""
    found = asked(prometheus, "", metric="memory")
    assert (found.series, found.metric) == (0, "container_memory_working_set_bytes")
    assert found.down == tuple(prometheus.targets["away"])


def test_a_selector_that_leaves_nothing(prometheus: Prometheus) -> None:
    """What the series have for the selector's labels is told, the most frequent first."""
    found = asked(prometheus, 'job="whole,"')
    assert (found.series, found.selected) == (7, 0)
    assert found.examples[0] == 'job="whole"'


@pytest.mark.parametrize("job", ["nameless", "taskless"])
def test_labels_that_are_missing(prometheus: Prometheus, job: str) -> None:
    """The labels that a series does have are told."""
    found = asked(prometheus, f'job="{job}"')
    assert (found.selected, found.with_service, found.with_task) == (1, int(job == "taskless"), 0)
    assert set(JOBS[job][0]) <= set(found.labels)


def test_samples_that_the_target_dates(prometheus: Prometheus) -> None:
    """How far samples are dated apart from their scrape is told."""
    found = asked(prometheus, 'job="late"')
    assert found.behind["web"] == pytest.approx(BEHIND, abs=3)


def test_several_jobs_at_once(prometheus: Prometheus) -> None:
    """A service that is scraped by several jobs gives one answer, also if only one of them dates its samples."""
    found = asked(prometheus, 'job=~"whole|late|taskless"')
    assert dict(found.services) == {"web": 2, "db": 1}
    assert set(found.behind) == {"web"}


def test_what_prometheus_has_scraped(prometheus: Prometheus) -> None:
    """A Prometheus that has just started has not scraped for long, and knows the start of some tasks."""
    scraped = witness(prometheus, "").scraped_for(Deadline(20))
    assert scraped is not None
    assert scraped <= 600
    assert not witness(prometheus, 'job="whole"').tells_starts(Deadline(20))
