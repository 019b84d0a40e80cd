"""A metric source on virtual time: it samples a simulated plant step by step and answers from what it recorded."""

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
"""How many samples are kept; what is older is missing, as behind a Prometheus' retention."""


class SimulatedPrometheus:
    """A MetricSource that records what *sample* says of each metric at each step since *start*.

    *sample* is given a metric and a time, and returns each service's value and the number of tasks behind it. It is
    asked once for each step, in the order of time, as soon after that time as this source is called: call `record` from
    the loop that moves the clock where the plant's state at the very step matters. Times are Unix seconds and multiples
    of *step*, by its own clock, which is *offset* ahead of *clock*.
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
        """How far its clock is ahead; set back, it records nothing until it has caught up, as Prometheus does."""
        self._next = int((clock.now() + offset if start is None else start) // step * step)
        self._recorded: dict[str, dict[int, Mapping[str, tuple[float, int]]]] = {metric: {} for metric in metrics}
        self._lost: set[str] = set()
        self._error: BackendError | None = None
        self._recording = threading.Lock()
        """Two autoscalers may ask at the same time, each in a thread of its own."""

    def fail(self, error: BackendError | None) -> None:
        """Raise *error* in answer to every call from now on; answer again from now on where it is None.

        Samples go on being recorded, as by a Prometheus that cannot be reached.
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
        """Take the samples of every step up to now that was not taken yet."""
        now = self._clock.now() + self.offset
        with self._recording:
            while self._next <= now:
                for metric, recorded in self._recorded.items():
                    services = self._sample(metric, self._next)
                    recorded[self._next] = {name: both for name, both in services.items() if name not in self._lost}
                    recorded.pop(self._next - _KEPT_STEPS * self._step, None)
                self._next += self._step

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """The offset that the simulation was given."""
        self.record()
        self._raise_if_failing()
        return self.offset

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:  # noqa: ARG002 - the port's signature
        """The samples at *start*, *start* + *step*, … *end*, by service, whatever the query's expression.

        Each is the newest recorded one until then, not as old as a step of the recording. Of the query's own service
        where no label says whose they are.
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
