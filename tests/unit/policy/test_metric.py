from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from autoscaler.policy.metric import BUILT_IN, Metric, with_built_in

BY = {"query": "sum by (svc) (load)", "by": "svc"}
PER_TASK = {"query": "load", "by": "svc", "task": "pod"}
TEMPLATE = {"query": 'sum(load{queue="$service"})'}
ONE = {"query": "sum(load)"}
PLUGGED = {"query": "llen jobs:$service", "source": "redis"}


def metric(**keys: Any) -> Metric:
    """A metric as a policy file writes it."""
    return Metric.model_validate(keys)


def refused(keys: dict[str, Any]) -> str:
    """What is said of a metric that is refused, all problems in one."""
    with pytest.raises(ValidationError) as caught:
        metric(**keys)
    return "\n".join(error["msg"] for error in caught.value.errors())


class TestKinds:
    @pytest.mark.parametrize(
        ("keys", "per_service", "one_value", "counts_tasks"),
        [
            pytest.param({}, False, False, True, id="built in"),
            pytest.param({"aggregate": "max", "reporting": "80%"}, False, False, True, id="built in, changed"),
            pytest.param(BY, False, False, False, id="one query for all services"),
            pytest.param(PER_TASK, False, False, True, id="one query for all tasks"),
            pytest.param(TEMPLATE, True, False, False, id="a query per service"),
            pytest.param({**TEMPLATE, "task": "pod"}, True, False, True, id="a query per service, of tasks"),
            pytest.param(ONE, False, True, False, id="one value"),
            pytest.param({"query": 'load{a="b"} # "$service"'}, False, True, False, id="one value, a comment"),
            pytest.param(PLUGGED, False, False, False, id="a plugin's source"),
        ],
    )
    def test_what_a_query_says(
        self, keys: dict[str, Any], *, per_service: bool, one_value: bool, counts_tasks: bool
    ) -> None:
        """With `by` one query for all services, with `$service` one for each, with neither one value for all."""
        read = metric(**keys)
        assert (read.per_service, read.one_value, read.counts_tasks) == (per_service, one_value, counts_tasks)

    @pytest.mark.parametrize(
        ("keys", "averages"),
        [
            ({}, True),
            ({"aggregate": "max"}, False),
            (PER_TASK, True),
            ({**PER_TASK, "aggregate": "max"}, False),
            ({**PER_TASK, "kind": "total"}, False),
            ({**BY, "kind": "total"}, False),
        ],
    )
    def test_what_counts_as_an_average(self, keys: dict[str, Any], *, averages: bool) -> None:
        """A total and a maximum are no averages: tasks that are missing cannot be counted as 0 in them."""
        assert metric(**keys).averages is averages


class TestDefaults:
    def test_a_custom_metric(self) -> None:
        """An average per replica, of all tasks, whose load stays where it is, on the evaluation's own steps."""
        read = with_built_in({"load": metric(**BY)})["load"]
        assert (read.kind, read.aggregate, read.reporting) == ("average", "average", 1.0)
        assert (read.redistributes, read.step, read.offset, read.unit) == (False, None, 0, "")

    def test_the_built_in_ones_are_always_there(self) -> None:
        """Cpu and memory need no definition, and none takes them away."""
        assert with_built_in({}) == dict(BUILT_IN)
        assert set(with_built_in({"load": metric(**BY)})) == {"cpu", "memory", "load"}

    @pytest.mark.parametrize(
        ("name", "keys", "redistributes"),
        [
            pytest.param("cpu", {}, True, id="cpu moves"),
            pytest.param("memory", {}, False, id="memory stays"),
            pytest.param("cpu", {"aggregate": "max"}, True, id="cpu of the busiest moves"),
            pytest.param("cpu", BY, True, id="cpu with a query of its own moves"),
            pytest.param("cpu", {"redistributes": False}, False, id="cpu that was said to stay"),
            pytest.param("memory", {"redistributes": True}, True, id="memory that was said to move"),
            pytest.param("cpu", {**BY, "kind": "total"}, False, id="a total stays what it is"),
            pytest.param("load", BY, False, id="a custom metric stays"),
            pytest.param("load", {**BY, "redistributes": True}, True, id="a custom metric that was said to move"),
        ],
    )
    def test_whether_load_moves(self, name: str, keys: dict[str, Any], *, redistributes: bool) -> None:
        """A built-in metric that is defined anew keeps what is not said; custom ones move only where they say so."""
        assert with_built_in({name: metric(**keys)})[name].redistributes is redistributes

    def test_what_is_defined_is_not_touched(self) -> None:
        """Completing a definition leaves the given one as it was."""
        given = {"cpu": metric(**BY)}
        with_built_in(given)
        assert given == {"cpu": metric(**BY)}
        assert given["cpu"].redistributes is None


class TestRefused:
    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            pytest.param({"by": "svc"}, "by belongs to a query (add query", id="by alone"),
            pytest.param({"task": "pod"}, "task belongs to a query (add query", id="task alone"),
            pytest.param({"unit": "ms"}, "unit belongs to a query (add query", id="a unit alone"),
            pytest.param({"source": "redis"}, "the source redis has no query (add query)", id="a source alone"),
            pytest.param({"kind": "total"}, "built-in metrics are averages (remove kind", id="a total without a query"),
            pytest.param({**PLUGGED, "by": "svc"}, "names the services itself (remove by and task)", id="plugin, by"),
            pytest.param(
                {**PLUGGED, "task": "pod"}, "names the services itself (remove by and task)", id="plugin, task"
            ),
            pytest.param({**TEMPLATE, "by": "queue"}, "for all at once (keep one of the two)", id="$service and by"),
            pytest.param({**ONE, "task": "pod"}, "has no tasks (add by, or remove task)", id="tasks of one value"),
            pytest.param(
                {**PER_TASK, "task": "svc"}, "svc cannot name both services and tasks", id="by and task alike"
            ),
            pytest.param({**BY, "aggregate": "max"}, "are about tasks (add task", id="the busiest of no tasks"),
            pytest.param({**BY, "reporting": "80%"}, "are about tasks (add task", id="a part of no tasks"),
            pytest.param(
                {**PER_TASK, "kind": "total", "aggregate": "max"}, "not a total (remove kind", id="total and max"
            ),
            pytest.param({**BY, "kind": "total", "redistributes": True}, "a total stays what", id="a total that moves"),
            pytest.param({**PER_TASK, "reporting": "0%"}, "no data for an idle service", id="reporting of nobody"),
            pytest.param({**PER_TASK, "reporting": "101%"}, "is not a percentage", id="reporting of more than all"),
            pytest.param({**PER_TASK, "reporting": 0.8}, "is not a percentage", id="reporting as a number"),
            pytest.param({**BY, "step": "0s"}, "the step is empty or too long (give 1s to 1h)", id="no step"),
            pytest.param({**BY, "step": "61m"}, "the step is empty or too long (give 1s to 1h)", id="a step of a day"),
            pytest.param({**BY, "offset": "61m"}, "the offset is too long (give 1h at most)", id="an offset of a day"),
            pytest.param({**BY, "offset": "-1m"}, "is not a duration", id="an offset into the future"),
            pytest.param({**BY, "by": "s v c"}, "is not a label name of Prometheus", id="no label"),
            pytest.param({**BY, "by": ""}, "is not a label name of Prometheus", id="an empty label"),
            pytest.param({**PER_TASK, "task": 'p"} or x{'}, "is not a label name of Prometheus", id="a hostile label"),
            pytest.param({**PER_TASK, "task": "größe"}, "is not a label name of Prometheus", id="a label beyond ASCII"),
            pytest.param({"query": "sum(load"}, "lacks a )", id="PromQL that is open"),
            pytest.param({"query": "sum(load{a=$service})"}, "outside of quotes", id="an unquoted variable"),
            pytest.param({"query": "# nothing"}, "the query is empty", id="no PromQL at all"),
            pytest.param({"query": ""}, "at least 1 character", id="an empty query"),
            pytest.param({"query": "x" * 20_001}, "at most 20000 characters", id="a query without end"),
            pytest.param({**BY, "redistributes": 1}, "valid boolean", id="a truth of 1"),
            pytest.param({**BY, "kind": "sum"}, "'average' or 'total'", id="an unknown kind"),
            pytest.param({**BY, "quantile": 0.9}, "not permitted", id="an unknown key"),
        ],
    )
    def test_what_cannot_be_meant(self, keys: dict[str, Any], said: str) -> None:
        """What cannot be meant is an error at load, with the cure where it is ours to tell."""
        assert said in refused(keys)

    def test_a_plugins_query_is_its_own_language(self) -> None:
        """A plugin's query is not read as PromQL."""
        assert metric(source="redis", query='eval "return {"').query == 'eval "return {"'

    def test_the_longest_query_is_read(self) -> None:
        """A query of 20,000 characters that is nothing but trouble is refused, and it is at once."""
        assert "not closed" in refused({"query": '"' + '\\"' * 9_999 + "x", "by": "svc", "task": "pod"})

    @pytest.mark.parametrize("at_the_edge", [{"step": "1s"}, {"step": "1h"}, {"offset": "0s"}, {"offset": "1h"}])
    def test_the_edges_of_time(self, at_the_edge: dict[str, str]) -> None:
        """Steps of 1s to 1h and offsets up to 1h are right."""
        metric(**BY, **at_the_edge)
