"""What the built-in queries are made of; what they answer is tested on a real Prometheus (tests/integration)."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from autoscaler.metrics import BUILT_IN
from autoscaler.queries import (
    SERVICE_LABEL,
    MetricSettings,
    problems_of_label,
    problems_of_selector,
    query_of,
)

RIGHT_SELECTORS = [
    "",
    "  ",
    'job="cadvisor"',
    'job="cadvisor",',
    "job = 'cadvisor' , cluster !~ `a|\\d`",
    'a="} or vector(1) {",b!="\\"\\\\\\n\\x41\\u00e9"',
]
WRONG_SELECTORS = [
    ('{job="x"}', "a label name at character 1"),
    ("job", "a quoted value at character 4"),
    ("job=cadvisor", "a quoted value at character 4"),
    ('job="cadvisor', "a quoted value at character 4"),
    ('job="a\nb"', "a quoted value at character 4"),
    ('job="\\q"', "a quoted value at character 4"),
    ('job=="x"', "a quoted value at character 4"),
    ('job="a"} or vector(1) or x{a="b"', "a comma at character 8"),
    ('job="a" cluster="b"', "a comma at character 9"),
    ('job="a",,cluster="b"', "a label name at character 9"),
    (",", "a label name at character 1"),
    ('job="a",__name__="b"', "another label than the metric's name at character 9"),
    ('größe="x"', "at character 3"),
]
"""With what is needed, and where."""
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
            ({"service_label": 'a"}) or vector(1)'}, "no label name"),
            ({"task_label": "cpu"}, "meaning of its own"),
            ({"task_label": SERVICE_LABEL}, "are both"),
        ],
    )
    def test_settings_that_make_no_query(self, wrong: dict[str, object], said: str) -> None:
        """Settings that could not make a valid query are refused when they are made, with the cure."""
        with pytest.raises(ValueError, match=re.escape(said)):
            replace(SETTINGS, **wrong)  # type: ignore[arg-type]


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
