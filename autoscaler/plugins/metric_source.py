"""Metric sources of plugins, with limits: each gives a valid answer in time, or an error in words."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from autoscaler.core.window import MISSING
from autoscaler.errors import BackendError, DeadlineError, RefusedError, UnreachableError
from autoscaler.ports import Series
from autoscaler.util.deadline import Deadline
from autoscaler.util.text import describe_error
from autoscaler.util.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.ports import Query

T = TypeVar("T")
_AT_MOST = 5.0
"""The most seconds of an evaluation for a plugin's source, and at most half of the remaining time."""


class ForeignSource:
    """A MetricSource that uses a plugin's, which *factory* makes when it is first needed.

    If the plugin fails, only its metrics lack data. All its queries together get half of the remaining time of an
    evaluation, and at most *at_most* seconds. All errors except UnreachableError, and invalid answers, become
    RefusedErrors. Each error names the source. The calls never overlap, and all are made in one thread.
    """

    def __init__(self, name: str, factory: Callable[[], object], *, at_most: float = _AT_MOST) -> None:
        self._name = f"the metric source {name}"
        self._factory = factory
        self._at_most = at_most
        self._worker = Worker(self._name)
        self._source: Any = None
        self._evaluation: Deadline | None = None
        self._left = 0.0

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """Return the plugin's own answer; 0 if it does not have a clock."""

        def offset(allowed: Deadline) -> float:
            ask = getattr(self._made(), "clock_offset", None)
            given = 0.0 if ask is None else ask(now, allowed)
            if not _is_number(given) or not isfinite(given):
                raise RefusedError(f"says its clock is off by {_shown(given)} (give seconds)")
            return float(given)

        return self._ask(offset, deadline)

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        """Return the plugin's answer as plain lists, in which infinite values are missing. Raise BackendError."""
        length = (end - start) // step + 1

        def answer(allowed: Deadline) -> Mapping[str, Series]:
            return _checked(self._made().fetch(query, start, end, step, allowed), length)

        return self._ask(answer, deadline)

    def _made(self) -> Any:
        if self._source is None:
            self._source = self._factory()
        return self._source

    def _ask(self, question: Callable[[Deadline], T], deadline: Deadline) -> T:
        """Return the plugin's answer, within the source's time in the evaluation that ends at *deadline*."""
        if deadline is not self._evaluation:
            self._evaluation, self._left = deadline, min(self._at_most, deadline.remaining() / 2)
        seconds = min(self._left, deadline.remaining())
        if seconds <= 0:
            raise DeadlineError(f"{self._name} has used up its time of this evaluation")
        allowed = Deadline(seconds)

        def answer() -> T:
            try:
                return question(allowed)
            except UnreachableError as error:
                raise UnreachableError(self._said_by(error)) from error
            except BackendError as error:
                raise RefusedError(self._said_by(error)) from error
            except BaseException as error:  # a plugin that calls sys.exit() must not end the daemon
                raise RefusedError(f"{self._name} raised {describe_error(error)}") from error

        try:
            return self._worker.call(answer, seconds)
        finally:
            self._left -= seconds - allowed.remaining()

    def _said_by(self, error: BackendError) -> str:
        return f"{self._name}: {describe_error(error).removeprefix(f'{type(error).__name__}: ')}"


def _checked(answer: object, length: int) -> dict[str, Series]:
    if not isinstance(answer, Mapping):
        raise RefusedError(f"answered {_shown(answer)} (a mapping of service names to Series)")
    checked = {}
    for service, series in answer.items():
        if type(service) is not str:
            raise RefusedError(f"answered for {_shown(service)} (the name of a service, a str)")
        if not isinstance(series, Series):
            raise RefusedError(f"answered {_shown(series)} for {service:.80} (a Series)")
        values = _column(series.values, length, service, "values")
        for value in values:
            if not _is_number(value):
                raise RefusedError(f"gave {service:.80} the value {_shown(value)} (a float, NaN if missing)")
        tasks = None if series.tasks is None else _column(series.tasks, length, service, "counts of tasks")
        for count in tasks or ():
            if type(count) is not int or count < 0:
                raise RefusedError(f"gave {service:.80} {_shown(count)} tasks (an int of 0 or more)")
        checked[service] = Series([float(value) if isfinite(value) else MISSING for value in values], tasks)
    if len({series.tasks is None for series in checked.values()}) > 1:
        raise RefusedError("counted the tasks of some services (of all, or of none: tasks=None)")
    return checked


def _column(given: object, length: int, service: str, what: str) -> list[Any]:
    if not isinstance(given, list | tuple):
        raise RefusedError(f"gave {service:.80} {_shown(given)} for {what} (a list)")
    if len(given) != length:
        cure = f"one for each step from start to end, both included: {length}; NaN where one is missing"
        raise RefusedError(f"gave {service:.80} {len(given)} {what} ({cure})")
    return list(given)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return f"{value!r:.60} of type {type(value).__name__}" if value is not None else "None"
