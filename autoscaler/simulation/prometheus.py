"""A metric source in virtual time: it samples a simulated plant at each step, and answers from its records."""

from __future__ import annotations

import threading
from math import isfinite, nan
from typing import TYPE_CHECKING

from autoscaler.errors import RefusedError
from autoscaler.metrics.queries import STARVATION
from autoscaler.ports import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from autoscaler.errors import BackendError
    from autoscaler.ports import Clock, Query
    from autoscaler.util.deadline import Deadline

_KEPT_STEPS = 1000
"""The number of samples that are kept. Older ones are missing, as beyond Prometheus' retention."""


class SimulatedPrometheus:
    """A MetricSource that records the samples of each metric at each step since *start*.

    *sample* is called with a metric and a time. It returns each service's value and the number of tasks behind it. It
    is called once for each step, in the order of time, when this source is called next. If the plant's state at the
    exact step matters, call `record` from the loop that moves the clock. Times are Unix seconds and multiples of
    *step*, by the source's own clock, which is *offset* ahead of *clock*.
    """

    def __init__(  # noqa: PLR0913 - a recording's coordinates; all but three have names
        self,
        clock: Clock,
        sample: Callable[[str, int], Mapping[str, tuple[float, int]]],
        metrics: Sequence[str] = ("cpu", "memory"),
        *,
        step: int,
        start: int | None = None,
        offset: float = 0.0,
    ) -> None:
        self._clock = clock
        self._sample = sample
        self._step = step
        self.offset = offset
        """The seconds that its clock is ahead. After it is set back, nothing is recorded until it has caught up."""
        self._next = int((clock.now() + offset if start is None else start) // step * step)
        self._recorded: dict[str, dict[int, Mapping[str, tuple[float, int]]]] = {metric: {} for metric in metrics}
        self._lost: set[str] = set()
        self._error: BackendError | None = None
        self._recording = threading.Lock()
        """A lock, because two autoscalers may ask at the same time in threads of their own."""

    def fail(self, error: BackendError | None) -> None:
        """Raise *error* at every call from now on; with None, answer again.

        Samples are still recorded, as by a Prometheus that cannot be reached.
        """
        self.record()
        self._error = error

    def lose(self, service: str) -> None:
        """Record no samples of *service* from now on."""
        self.record()
        self._lost.add(service)

    def find(self, service: str) -> None:
        """Record the samples of *service* again from now on."""
        self.record()
        self._lost.discard(service)

    def record(self) -> None:
        """Take the samples of all steps up to now that are not taken yet."""
        now = self._clock.now() + self.offset
        with self._recording:
            while self._next <= now:
                for metric, recorded in self._recorded.items():
                    services = self._sample(metric, self._next)
                    recorded[self._next] = {name: both for name, both in services.items() if name not in self._lost}
                    recorded.pop(self._next - _KEPT_STEPS * self._step, None)
                self._next += self._step

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """Return the offset of the simulation."""
        self.record()
        self._raise_if_failing()
        return self.offset

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - the port's signature
        """Return the samples at *start*, *start* + *step*, … *end*, by service, whatever the query's expression.

        Each is the newest one until then, and less than a step of the recording old. Without a label for the service,
        they are those of the query's own service.
        """
        self.record()
        self._raise_if_failing()
        recorded = self._recorded.get(query.metric)
        if recorded is None and query.metric == STARVATION:
            return {}  # nothing is starved
        if recorded is None:
            raise RefusedError(f"the simulation has no metric {query.metric} (it has {', '.join(self._recorded)})")
        length = (end - start) // step + 1
        values: dict[str, list[float]] = {}
        tasks: dict[str, list[int]] = {}
        for row in range(length):
            at = (start + row * step) // self._step * self._step
            for service, (value, count) in recorded.get(at, {}).items():
                if query.by is None and service != query.service:
                    continue
                if service not in values:
                    values[service], tasks[service] = [nan] * length, [0] * length
                values[service][row] = value if isfinite(value) else nan
                tasks[service][row] = count
        return {service: Series(values[service], tasks[service] if query.counts_tasks else None) for service in values}

    def _raise_if_failing(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)  # else it would keep the frames of every time it is raised
