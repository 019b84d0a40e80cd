"""A witness of the built-in metrics' series whose evidence a test gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autoscaler.diagnosis.evidence import Evidence

if TYPE_CHECKING:
    from autoscaler.errors import BackendError
    from autoscaler.util.deadline import Deadline

WHOLE = Evidence("container_cpu_usage_seconds_total", 12, 12, 12, 12, services={"web": 3}, samples={"web": 4.0})
"""Nothing is broken: three tasks of the service `web` report."""


def broken(**parts: object) -> Evidence:
    """The evidence of a whole chain but for these *parts*."""
    return replace(WHOLE, **parts)  # type: ignore[arg-type] # a test names the fields


@dataclass
class FakeWitness:
    """Gives the same evidence on every metric, and counts how often it is asked."""

    given: Evidence = WHOLE
    scraped: float | None = 3600.0
    starts: bool = True
    error: BackendError | None = None
    """What each call raises instead."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often it was asked for each metric."""

    def evidence(self, name: str, deadline: Deadline, /) -> Evidence:  # noqa: ARG002 - the port's signature
        """The evidence that the test gives."""
        self.asked[name] += 1
        if self.error is not None:
            raise self.error
        return self.given

    def scraped_for(self, deadline: Deadline, /) -> float | None:  # noqa: ARG002 - the port's signature
        """The seconds that the test gives."""
        if self.error is not None:
            raise self.error
        return self.scraped

    def tells_starts(self, deadline: Deadline, /) -> bool:  # noqa: ARG002 - the port's signature
        """Whether the test says so."""
        if self.error is not None:
            raise self.error
        return self.starts
