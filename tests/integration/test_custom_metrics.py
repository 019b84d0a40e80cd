"""The PromQL of custom metrics on a real Prometheus: what is written here is what an operator may write in a policy."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.adapters.system_clock import SystemClock
from autoscaler.errors import RefusedError
from autoscaler.metrics.queries import MetricSettings, query_of
from autoscaler.policy.metric import Metric
from autoscaler.policy.promql import mentions_service
from autoscaler.util.deadline import Deadline
from tests.contract.metric_source_cases import START, STEP, close, shown
from tests.e2e.lab import Prometheus, Release
from tests.support.lab import entered, unavailable
from tests.support.promql_texts import NASTY, RIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from autoscaler.ports import Series

pytestmark = pytest.mark.slow

SETTINGS = MetricSettings(STEP, 4 * STEP, 4 * STEP)
ROWS = 21
NAMES = ("web", "webb", "we.b", "weXb", "other", "x" * 63, "a+", "(a)", "^a$", "{a}", "a&b~c-d", *NASTY)
"""Services whose queues hold as many messages as their place here says; the last of them are hostile."""
QUEUED = {name: float(number) for number, name in enumerate(NAMES, 1)}
TEMPLATES = {
    "double quotes": 'queue_length{queue="$service"}',
    "single quotes": "queue_length{queue='$service'}",
    "backquotes": "queue_length{queue=`$service`}",
    "pattern, double quotes": 'queue_length{queue=~"$service"}',
    "pattern, single quotes": "queue_length{queue=~'$service'}",
    "pattern, backquotes": "queue_length{queue=~`$service`}",
    "pattern behind a comment": 'queue_length{queue=~ # it\'s a "pattern\n "$service"}',
    "part of a pattern": 'queue_length{path=~"/queues/$service/(in|out)"}',
    "part of a text": 'queue_length{path="/queues/$service/in"}',
    "not another": 'queue_length unless queue_length{queue!="$service"}',
    "not another pattern": "queue_length unless queue_length{queue!~'$service'}",
    "several matchers": "queue_length{queue=\"$service\",path=~'/queues/$service/in', queue!~`^$`}",
    "a comment behind": 'queue_length{queue="$service"} # "$service',
    "through other labels": 'label_replace(queue_length{queue="$service"}, "copy", "$1", "queue", "(.+)")',
}
"""None of them aggregates: a second series would be refused."""
TASKS = (("web", "web.1", 10.0), ("web", "web.2", 30.0), ("web", "web.3", 80.0), ("api", "api.1", 5.0))


def openmetrics() -> str:
    """The samples of all tests."""
    lines = [line for row in range(ROWS) for line in _at(row)]
    families = groupby(sorted(lines, key=_name), key=_name)  # each in one piece, its samples in the order of time
    return "\n".join([*(line for _, family in families for line in family), "# EOF\n"])


def _at(row: int) -> Iterator[str]:
    """The samples of a row: its time is a scrape's, just before the window step."""
    at = START + row * STEP - 1
    for queue, length in QUEUED.items():
        yield f"queue_length{_braces(queue=queue, path=f'/queues/{queue}/in')} {length} {at}"
    for service, task, load in TASKS:
        for instance in ("a", "b"):  # scraped twice
            if task != "web.3" or row <= 10:
                yield f"app_load{_braces(service=service, task=task, instance=instance)} {load} {at}"
    for tenant, companies in (("a", 20), ("b", 22)):
        yield f"active_companies{_braces(tenant=tenant)} {companies} {at}"
    yield f"odd_value{_braces(service='nan', task='nan.1')} NaN {at}"
    yield f"odd_value{_braces(service='inf', task='inf.1')} +Inf {at}"


def _name(line: str) -> str:
    return line.partition("{")[0]


def _braces(**labels: str) -> str:
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    return "{" + ",".join(f'{name}="{value.translate(escapes)}"' for name, value in labels.items()) + "}"


@pytest.fixture(scope="module")
def source(release: Release) -> Iterator[PrometheusSource]:
    """The adapter on a real Prometheus that holds all samples."""
    if reason := release.missing("prometheus", "promtool"):
        unavailable(reason)
    with ExitStack() as stack:
        running = entered(stack, Prometheus(openmetrics=openmetrics(), release=release))
        yield PrometheusSource(ConnectionSettings(running.url), SystemClock())


def ask(
    source: PrometheusSource, service: str = "", rows: tuple[int, int] = (5, 5), **keys: Any
) -> Mapping[str, Series]:
    """The answer to the query of a metric that a policy file writes so, from one row to another."""
    query = query_of("load", Metric.model_validate(keys), SETTINGS, service)
    first, last = rows
    return source.fetch(query, START + first * STEP, START + last * STEP, STEP, Deadline(20))


class TestTemplates:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
    def test_just_the_service(self, source: PrometheusSource, template: str, name: str) -> None:
        """With `$service`, whatever a service is called, the answer is its own series: nothing is injected."""
        answer = ask(source, name, query=template)

        assert {service: shown(series) for service, series in answer.items()} == {name: [QUEUED[name]]}
        assert answer[name].tasks is None

    @pytest.mark.parametrize("template", TEMPLATES.values(), ids=list(TEMPLATES))
    @pytest.mark.parametrize("name", ["nobody", "", '"} or queue_length{queue=~".+', "' or vector(1) or '"])
    def test_a_service_without_a_series(self, source: PrometheusSource, template: str, name: str) -> None:
        """A service that the query finds nothing for has no data, and not another's."""
        assert dict(ask(source, name, query=template)) == {}

    def test_backquotes_between_backquotes(self, source: PrometheusSource) -> None:
        """The one thing that a quote cannot hold is refused before anything is asked."""
        with pytest.raises(ValueError, match="backquotes"):
            ask(source, "` or vector(1) or `", query="queue_length{queue=`$service`}")

    def test_of_tasks(self, source: PrometheusSource) -> None:
        """A query per service may give its tasks, too; duplicates of a task count once."""
        answer = ask(source, "web", query="app_load{service='$service'} # its tasks", task="task", kind="total")
        assert {service: (shown(series), series.tasks) for service, series in answer.items()} == {"web": ([120.0], [3])}

    def test_several_series(self, source: PrometheusSource) -> None:
        """Several series for one service are refused by its name, with the cure."""
        with pytest.raises(RefusedError, match=r"several series for the service web \(make one of them, as in sum\("):
            ask(source, "web", query='app_load{service="$service"}')


class TestAllServices:
    def test_by_a_label(self, source: PrometheusSource) -> None:
        """With `by` one query answers for all services, by the label that carries their names."""
        answer = ask(source, query="sum by (queue) (queue_length) # all of them", by="queue")
        assert {service: series.values[0] for service, series in answer.items()} == QUEUED

    def test_names_made_of_others(self, source: PrometheusSource) -> None:
        """A label made with label_replace is one as well: its `$1` is left alone."""
        query = 'sum by (svc) (label_replace(app_load{task=~".+1"}, "svc", "shop_$1", "task", "(.+)[.]1"))'
        answer = ask(source, query=query, by="svc")
        assert set(answer) == {"shop_web", "shop_api"}

    def test_several_series(self, source: PrometheusSource) -> None:
        """Several series for one service are refused by its name, with the cure."""
        with pytest.raises(RefusedError, match=r"several series for the service (web|api) .*sum by \(service\)"):
            ask(source, query="app_load", by="service")

    def test_a_label_that_no_series_has(self, source: PrometheusSource) -> None:
        """Where no series has the label the error names those that they have."""
        with pytest.raises(
            RefusedError, match=r"without the label svc.*the first series has __name__, instance, service, task"
        ):
            ask(source, query="app_load", by="svc")


class TestOneValue:
    @pytest.mark.parametrize(
        ("query", "value"),
        [
            ("sum(active_companies)", 42.0),
            ("sum(active_companies) # customers", 42.0),
            ('active_companies{tenant="a"}', 20.0),
            ("scalar(sum(active_companies)) / 2", 21.0),
            ("5", 5.0),
            ("count(queue_length > 3)", float(len(NAMES) - 3)),
        ],
    )
    def test_under_no_name(self, source: PrometheusSource, query: str, value: float) -> None:
        """With neither `by` nor `$service` the answer is one value, be it a vector of one or a scalar."""
        answer = ask(source, query=query, rows=(5, 6))
        assert {service: shown(series) for service, series in answer.items()} == {"": [value, value]}

    def test_no_series(self, source: PrometheusSource) -> None:
        """An empty answer is no zero."""
        assert dict(ask(source, query="sum(active_companies > 1000)")) == {}

    def test_several_series(self, source: PrometheusSource) -> None:
        """Several series are refused with both cures: to make one of them, or to say whose they are."""
        with pytest.raises(RefusedError, match=r"several series \(make one of them, as in sum\(…\), or name the label"):
            ask(source, query="active_companies")


class TestTasks:
    @pytest.mark.parametrize(
        ("keys", "web", "api"),
        [
            pytest.param({}, 40.0, 5.0, id="average"),
            pytest.param({"aggregate": "max"}, 80.0, 5.0, id="max"),
            pytest.param({"kind": "total"}, 120.0, 5.0, id="total"),
        ],
    )
    @pytest.mark.parametrize("query", ["app_load", "app_load # twice, \"each'", "app_load > 0", "app_load or app_load"])
    def test_what_they_come_to(
        self, source: PrometheusSource, query: str, keys: dict[str, Any], web: float, api: float
    ) -> None:
        """The tasks' average, total or maximum stands beside their number; a task scraped twice counts once."""
        answer = ask(source, query=query, by="service", task="task", **keys)

        assert {service: (shown(series), series.tasks) for service, series in answer.items()} == {
            "web": ([web], [3]),
            "api": ([api], [1]),
        }

    def test_a_task_that_goes_silent(self, source: PrometheusSource) -> None:
        """A task without samples is one fewer, and no zero in the average."""
        query = f"last_over_time(app_load[{STEP}s])"
        answer = ask(source, query=query, by="service", task="task", rows=(8, 13))["web"]
        assert shown(answer) == close(40, 40, 40, 20, 20, 20)
        assert answer.tasks == [3, 3, 3, 2, 2, 2]

    def test_tasks_without_the_label(self, source: PrometheusSource) -> None:
        """Where the series do not have the task's label they look like one task, and never like all of them."""
        assert ask(source, query="app_load", by="service", task="pod")["web"].tasks == [1]

    def test_values_that_are_no_numbers(self, source: PrometheusSource) -> None:
        """NaN and infinity are no samples, whatever they are made to."""
        ways: list[dict[str, Any]] = [{}, {"aggregate": "max"}, {"kind": "total"}]
        for keys in ways:
            answer = ask(source, query="odd_value", by="service", task="task", **keys)
            assert {service: shown(series) for service, series in answer.items()} == {"nan": [None], "inf": [None]}


class TestTime:
    def test_other_steps(self, source: PrometheusSource) -> None:
        """A metric's own step need not be that of the scrapes."""
        query = query_of("load", Metric(query="sum(active_companies)"), SETTINGS)
        answer = source.fetch(query, START + 7, START + 7 + 4 * 20, 20, Deadline(20))
        assert shown(answer[""]) == [42.0] * 5


@pytest.mark.parametrize("query", RIGHT)
def test_what_has_no_problem_is_promql(source: PrometheusSource, query: str) -> None:
    """Prometheus reads every query in which no problem is found, with a service's name in it or without."""
    assert "parse error" not in refusal(
        source, "web", query=query, **({} if mentions_service(query) else {"by": "job"})
    )


def refusal(source: PrometheusSource, service: str, **keys: Any) -> str:
    """What Prometheus finds wrong with a query; empty where nothing is."""
    try:
        ask(source, service, **keys)
    except RefusedError as error:
        return str(error)
    return ""
