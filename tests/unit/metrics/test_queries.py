"""What the built-in queries are made of; what they answer is tested on a real Prometheus (tests/integration)."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from autoscaler.metrics.queries import (
    SERVICE_LABEL,
    MetricSettings,
    lingers,
    problems_of_label,
    problems_of_selector,
    query_of,
    reporters,
    span_of,
)
from autoscaler.policy.metric import BUILT_IN, Metric
from autoscaler.ports import Query
from tests.support.promql_texts import RIGHT_SELECTORS, WRONG_SELECTORS

SETTINGS = MetricSettings(scrape_interval=15, rate_window=60, warmup=75)


def series_of(expression: str) -> list[str]:
    """Every selector of *expression* between its braces."""
    return re.findall(r"\{([^}]*)\}", expression)


class TestBuiltin:
    def test_the_metrics(self) -> None:
        """Cpu and memory are built in, each one query for all services, with the number of tasks."""
        queries = {name: query_of(name, metric, SETTINGS) for name, metric in BUILT_IN.items()}
        assert {name: query.metric for name, query in queries.items()} == {"cpu": "cpu", "memory": "memory"}
        assert all(query.by == SERVICE_LABEL and query.counts_tasks for query in queries.values())

    @pytest.mark.parametrize("metric", ["cpu", "memory"])
    def test_the_selector_is_in_every_series(self, metric: str) -> None:
        """The operator's selector applies to everything that is read; a comma at its end does no harm."""
        settings = replace(SETTINGS, selector='job="cadvisor",cluster=~"a|b", ')
        selectors = series_of(query_of(metric, BUILT_IN[metric], settings).expression)
        assert selectors
        assert all(selector.endswith(',job="cadvisor",cluster=~"a|b"') for selector in selectors)

    @pytest.mark.parametrize("metric", ["cpu", "memory"])
    def test_only_series_of_tasks(self, metric: str) -> None:
        """Series without a service's or a task's name are never read."""
        settings = replace(SETTINGS, service_label="svc", task_label="task")
        assert all(
            'svc!="",task!=""' in selector
            for selector in series_of(query_of(metric, BUILT_IN[metric], settings).expression)
        )

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"scrape_interval": 0}, "scrape interval of 0 s"),
            ({"rate_window": 29}, "twice the scrape interval, 30s"),
            ({"warmup": -1}, "warm-up of -1 s"),
            ({"selector": '{job="x"}'}, "without braces"),
            ({"service_label": 'a"}) or vector(1)'}, "is not a label name"),
            ({"task_label": "cpu"}, "meaning of its own"),
            ({"task_label": SERVICE_LABEL}, "are both"),
        ],
    )
    def test_settings_that_make_no_query(self, wrong: dict[str, object], said: str) -> None:
        """Settings that could not make a valid query are refused when they are made, with the cure."""
        with pytest.raises(ValueError, match=re.escape(said)):
            replace(SETTINGS, **wrong)  # type: ignore[arg-type]


class TestCustom:
    def test_one_query_for_all_services(self) -> None:
        """With `by` the query is sent as it is, and its answer told apart by the label."""
        query = query_of("load", custom(query="sum by (svc) (load) # all", by="svc"), SETTINGS, "web")
        assert query == Query("load", "sum by (svc) (load) # all", "svc")

    def test_one_value(self) -> None:
        """With neither `by` nor `$service` the answer is about nobody, and so about all."""
        query = query_of("load", custom(query="sum(load)"), SETTINGS, "web")
        assert query == Query("load", "sum(load)", None)

    def test_a_query_per_service(self) -> None:
        """With `$service` each service has a query of its own, which says whose it is."""
        metric = custom(query='sum(load{queue="$service"})')
        assert query_of("load", metric, SETTINGS, 'we"b') == Query(
            "load", 'sum(load{queue="we\\"b"})', None, service='we"b'
        )

    def test_a_plugins_query_is_left_as_it_is(self) -> None:
        """What a plugin's source is asked is its own language: nothing is put into it."""
        metric = custom(query='LLEN "$service"', source="redis")
        assert query_of("load", metric, SETTINGS, "web") == Query("load", 'LLEN "$service"', None)

    @pytest.mark.parametrize(
        ("keys", "operator"),
        [({}, "avg"), ({"aggregate": "average"}, "avg"), ({"aggregate": "max"}, "max"), ({"kind": "total"}, "sum")],
    )
    @pytest.mark.parametrize(
        ("of", "by", "tasks"),
        [
            pytest.param({"query": "load", "by": "svc"}, "svc", "max by (svc,pod) (load\n)", id="for all services"),
            pytest.param(
                {"query": "load{s='$service'}"}, "", "max by (pod) (load{s='web'}\n)", id="for each service by itself"
            ),
            pytest.param(
                {"query": "load # all", "by": "svc"}, "svc", "max by (svc,pod) (load # all\n)", id="with a comment"
            ),
        ],
    )
    def test_tasks(self, of: dict[str, str], by: str, tasks: str, keys: dict[str, str], operator: str) -> None:
        """Of a query that gives a series per task each counts once; their number stands beside what they come to."""
        query = query_of("load", custom(**of, task="pod", **keys), SETTINGS, "web")
        assert query.counts_tasks
        assert query.expression == (
            f'label_replace({operator} by ({by}) ({tasks}), "autoscaler_stat", "value", "", "")'
            f' or label_replace(count by ({by}) ({tasks}), "autoscaler_stat", "tasks", "", "")'
        )

    def test_queries_that_differ_are_different(self) -> None:
        """Two services' queries are never taken for one another, and neither are two metrics of one query."""
        metric = custom(query='sum(load{queue=~"$service"})')
        made = {query_of(name, metric, SETTINGS, service) for name in ("a", "b") for service in ("web", "api")}
        made |= {query_of(name, custom(query="sum(load)"), SETTINGS) for name in ("a", "b")}
        assert len(made) == 6

    @pytest.mark.parametrize("name", ["cpu", "memory"])
    def test_a_built_in_one_with_a_query_of_its_own(self, name: str) -> None:
        """A built-in metric that is given a query is asked by that, and by nothing of its own."""
        query = query_of(name, custom(query="sum by (svc) (load)", by="svc"), SETTINGS)
        assert query == Query(name, "sum by (svc) (load)", "svc")

    def test_the_busiest_task_of_a_built_in_one(self) -> None:
        """With `aggregate: max` a built-in metric is that of the busiest task, still beside the number of all."""
        average, busiest = (query_of("cpu", custom(aggregate=each), SETTINGS).expression for each in ("average", "max"))
        by = SERVICE_LABEL
        assert average.replace(f"avg by ({by})", f"max by ({by})") == busiest != average
        assert f"count by ({by})" in busiest


def custom(**keys: object) -> Metric:
    """A metric as a policy file writes it."""
    return Metric.model_validate(keys)


class TestTime:
    @pytest.mark.parametrize(
        ("window", "parts"),
        [
            (60, [(60, 45, 3), (45, 30, 4), (30, 15, 3)]),
            (30, [(30, 15, 1)]),
            (75, [(75, 60, 4), (60, 45, 6), (45, 30, 6), (30, 15, 4)]),
        ],
    )
    def test_the_slope_of_the_cpu_weighs_the_middle_most(self, window: int, parts: list[tuple[int, int, int]]) -> None:
        """A slope through k samples weighs gap i by i * (k - i); the last scrape may be an interval old."""
        assert list(span_of("cpu", BUILT_IN["cpu"], replace(SETTINGS, rate_window=window))) == parts

    @pytest.mark.parametrize(
        ("name", "metric", "parts"),
        [
            ("memory", BUILT_IN["memory"], [(15, 15, 1)]),
            ("load", Metric(query="sum(load)"), [(15, 15, 1)]),
            ("load", Metric(query="sum(rate(load[2m]))"), [(120, 15, 1)]),
            ("load", Metric(query="max_over_time(rate(load[1m])[10m:])"), [(600, 15, 1)]),
        ],
    )
    def test_the_time_of_other_samples(self, name: str, metric: Metric, parts: list[tuple[int, int, int]]) -> None:
        """A gauge is of a moment, a query with a range of the longest one."""
        assert list(span_of(name, metric, SETTINGS)) == parts

    @pytest.mark.parametrize(
        ("metric", "times"),
        [
            (BUILT_IN["cpu"], (30, 75)),
            (Metric(query="load", by="svc", task="pod"), (0, 60)),
            (Metric(query="rate(load[5m])", by="svc", task="pod"), (0, 315)),
        ],
    )
    def test_how_long_a_dead_task_reports(self, metric: Metric, times: tuple[int, int]) -> None:
        """A container that is gone shows for two scrapes certainly, and as long as its window and a scrape at most."""
        assert lingers(metric, SETTINGS) == times

    def test_which_containers_report(self) -> None:
        """One query for all services that are asked about, with the operator's selector."""
        assert reporters(["web", "a.b"], replace(SETTINGS, selector='job="x"')) == (
            f'last_over_time(container_memory_working_set_bytes{{{SERVICE_LABEL}!="",'
            f'container_label_com_docker_swarm_task_name!="",{SERVICE_LABEL}=~"a\\\\.b|web",job="x"}}[45s])'
        )


class TestProblems:
    @pytest.mark.parametrize("text", RIGHT_SELECTORS)
    def test_right_selectors(self, text: str) -> None:
        """What Prometheus' grammar takes between braces is right, quoted braces included; so is nothing."""
        assert problems_of_selector(text) is None

    @pytest.mark.parametrize(("text", "said"), WRONG_SELECTORS)
    def test_wrong_selectors(self, text: str, said: str) -> None:
        """A selector that would break the query, or leave its braces, is refused with its place and the cure."""
        problem = problems_of_selector(text)
        assert problem is not None
        assert said in problem
        assert 'like job="cadvisor",cluster="prod"' in problem

    @pytest.mark.parametrize("name", [SERVICE_LABEL, "_x", "a1"])
    def test_right_labels(self, name: str) -> None:
        """A label's name is letters, digits and underscores."""
        assert problems_of_label(name) is None

    @pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", 'a="b"', "größe", "a\n", "__name__", "autoscaler_stat"])
    def test_wrong_labels(self, name: str) -> None:
        """Anything else is none, and a few names are taken."""
        assert problems_of_label(name) is not None
