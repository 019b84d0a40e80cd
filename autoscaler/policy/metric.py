"""Metrics that rules look at. `cpu` and `memory` are built in. A policy file may define others, or replace these."""

from __future__ import annotations

import re
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from autoscaler.policy import promql
from autoscaler.strategies.base import Frozen
from autoscaler.strategies.quantities import Share
from autoscaler.util.durations import Duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROMETHEUS = "prometheus"
"""The default source of a metric."""
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
"""A name of a label in Prometheus."""
_LONGEST_TIME = 3600
"""The most seconds of a step and of an offset."""


def _label(name: str) -> str:
    if not LABEL.fullmatch(name):
        raise ValueError(f"{name!r:.60} is not a label name of Prometheus (letters, digits and _, no digit first)")
    return name


_Label = Annotated[str, Field(strict=True, max_length=255), AfterValidator(_label)]
_Truth = Annotated[bool, Field(strict=True)]


class Metric(Frozen):
    """A named number per service over time, and its source."""

    query: Annotated[str, Field(strict=True, min_length=1, max_length=20_000)] | None = None
    """The PromQL expression that gives the number. The built-in `cpu` and `memory` need none.

    With `by`, one query for all services. With `$service` in quotes, a query per service. With neither, one value that
    is the same for every service.
    """
    source: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=63)] = PROMETHEUS
    """The source to ask: `prometheus`, or the name of a plugin's metric source. `query` is in its language."""
    by: _Label | None = None
    """The label of the answer that carries the Swarm service's name."""
    task: _Label | None = None
    """The label that names the task, if the query gives one series per task. A task without a series then lacks data,
    and does not count as idle."""
    kind: Literal["average", "total"] = "average"
    """The meaning of the value: an average per replica, or the total over the service."""
    aggregate: Literal["average", "max"] = "average"
    """The value to take from a service's tasks: their average, or that of the busiest one (`max`)."""
    reporting: Share = 1.0
    """The part of the tasks that must report for a value to count as complete."""
    redistributes: _Truth | None = None
    """Write `true` if the load moves to the remaining replicas when some are removed, as it does for `cpu`."""
    unit: Annotated[str, Field(strict=True, max_length=20)] = ""
    """The unit of the value, as messages print it."""
    step: Duration | None = None
    """The time between two samples, for a metric that changes less often than the evaluation interval."""
    offset: Duration = 0
    """The delay with which samples arrive. The newest sample that is asked for is this old."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for problem in (*self._problems_of_query(), *self._problems_of_tasks(), *self._problems_of_time()):
            raise ValueError(problem)
        return self

    def _problems_of_query(self) -> Iterator[str]:
        if self.query is None:
            for key in ("by", "task", "unit"):
                if getattr(self, key):
                    yield f"{key} belongs to a query (add query, or remove {key})"
            if self.source != PROMETHEUS:
                yield f"the source {self.source} has no query (add query)"
            if self.kind == "total":
                yield "the built-in metrics are averages (remove kind, or give a query)"
        elif self.source != PROMETHEUS:
            if self.by is not None or self.task is not None:
                yield "a plugin's source names the services itself (remove by and task)"
        elif (problem := promql.problem_of(self.query)) is not None:
            yield problem
        elif self.by is not None and self.per_service:
            yield f"{promql.SERVICE} asks for one service, and by for all at once (keep one of the two)"

    def _problems_of_tasks(self) -> Iterator[str]:
        if self.task is not None and self.one_value:
            yield "one value for all services has no tasks (add by, or remove task)"
        if self.task is not None and self.task == self.by:
            yield f"the label {self.task} cannot name both services and tasks (name another one in by or task)"
        if not self.counts_tasks and {"aggregate", "reporting"} & self.model_fields_set:
            yield "aggregate and reporting are about tasks (add task, the label that names the task)"
        if self.kind == "total" and self.aggregate == "max":
            yield "the busiest task is not a total (remove kind or aggregate)"
        if self.kind == "total" and self.redistributes:
            yield "a total stays what it is when replicas are removed (remove redistributes, or kind)"
        if not self.reporting:
            yield "reporting 0% would take no data for an idle service (give a share above 0%)"

    def _problems_of_time(self) -> Iterator[str]:
        if self.step is not None and not 1 <= self.step <= _LONGEST_TIME:
            yield "the step is empty or too long (give 1s to 1h)"
        if self.offset > _LONGEST_TIME:
            yield "the offset is too long (give 1h at most)"

    @property
    def never_negative(self) -> bool:
        """Return whether a value below 0 counts as missing, because used CPU and memory are at least 0."""
        return self.query is None

    @cached_property
    def per_service(self) -> bool:
        """Return whether each service has a query of its own."""
        return self.source == PROMETHEUS and self.query is not None and promql.mentions_service(self.query)

    @property
    def averages(self) -> bool:
        """Return whether a value is an average over the tasks."""
        return self.kind == "average" and self.aggregate == "average"

    @property
    def counts_tasks(self) -> bool:
        """Return whether the tasks behind each value are known."""
        return self.query is None or self.task is not None

    @cached_property
    def one_value(self) -> bool:
        """Return whether the value is the same for every service."""
        return self.source == PROMETHEUS and self.query is not None and self.by is None and not self.per_service


BUILT_IN: Mapping[str, Metric] = MappingProxyType(
    {
        "cpu": Metric(redistributes=True),
        "memory": Metric(redistributes=False),
    }
)
"""The metrics that need no definition: averages over the running replicas in percent of a limit."""


def with_built_in(defined: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return all metrics: the *defined* ones, and the built-in ones that are not replaced.

    A metric that replaces a built-in one has its `redistributes`, unless it gives its own or is a total.
    """
    return {**BUILT_IN, **{name: _completed(name, metric) for name, metric in defined.items()}}


def _completed(name: str, metric: Metric) -> Metric:
    if metric.redistributes is not None:
        return metric
    built_in = BUILT_IN.get(name)
    redistributes = built_in is not None and built_in.redistributes and metric.kind != "total"
    return metric.model_copy(update={"redistributes": redistributes})
