"""The process under measurement: the daemon's parts as `autoscaler run` puts them together, in dry-run.

    python -m benchmarks.measured '{"docker_host": …, "prometheus_url": …, "policies": …, "first": …, …}'

Only its clock is another one, and its patience greater: the samples lie in the past, and each evaluation is due one
window step after the one before, without a wait in between. Prints what each evaluation took, as JSON.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import sys
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autoscaler.cli.commands.run import collect_garbage_rarely, daemon_of
from autoscaler.daemon.reload import Policies
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.settings import Settings
from autoscaler.util.deadline import TimedCall
from autoscaler.views.logs import configure
from benchmarks.world import SCRAPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from autoscaler.core.records import Evaluation
    from autoscaler.daemon.daemon import Daemon
    from autoscaler.ports import MetricSource, Query, Series
    from autoscaler.util.deadline import Deadline

T = TypeVar("T")

_PATIENCE = 120
"""Seconds an answer, and an evaluation, may take here: so that what is too slow for the daemon is measured too."""
_LISTS = ("services", "tasks", "nodes")


@dataclass(slots=True)
class Steps:
    """A clock that stands still within an evaluation."""

    moment: float

    def now(self) -> float:
        """The moment it stands at."""
        return self.moment


@dataclass(slots=True)
class TimedSource:
    """A metric source that is timed, and whose clock never differs from ours: its Date is real, ours is in the past."""

    source: MetricSource
    slowest: float = 0.0
    """The longest wait for an answer since this was last set to 0, in seconds."""

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """None."""
        return 0.0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> Mapping[str, Series]:
        """The source's own answer."""
        began = time.perf_counter()
        try:
            return self.source.fetch(query, start, end, step, deadline)
        finally:
            self.slowest = max(self.slowest, time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one evaluation took, and what came of it; seconds and bytes."""

    cpu: float
    """Of all threads of this process."""
    wall: float
    slowest_query: float
    """How long the slower metric's answer took to come and be read."""
    prometheus_requests: int
    """HTTP requests to Prometheus, of whatever kind."""
    swarm_lists: int
    swarm_requests: int
    """HTTP requests to Docker that are no lists."""
    resident: int
    decided: int
    rising: int
    """Services that a rule asks to have more replicas."""
    falling: int
    """Services whose rules ask for fewer, and none for more."""
    outcomes: dict[str, int]
    lacking: dict[str, int]
    """How many rules could not judge, by reason: none should be."""
    problems: list[str]


@contextmanager
def requests_counted() -> Iterator[Counter[str]]:
    """Counts the HTTP requests that any library in this process sends, by the last part of their path."""
    sent: Counter[str] = Counter()
    original = HTTPConnection.putrequest

    def counting(self: HTTPConnection, method: str, url: str, *args: Any, **options: Any) -> None:
        kind = "prometheus" if "/api/v1/" in url else url.partition("?")[0].rpartition("/")[2]
        sent[kind] += 1
        original(self, method, url, *args, **options)

    HTTPConnection.putrequest = counting  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        HTTPConnection.putrequest = original  # type: ignore[method-assign]


def memory(which: str, pid: int | str = "self") -> int:
    """A process' memory in bytes: `VmRSS` is resident now, `VmHWM` was at its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == which:
            return int(value.split()[0]) * 1024
    raise ValueError(f"this system does not tell {which}")


def _measure(daemon: Daemon, source: TimedSource, sent: Counter[str]) -> Figures:
    sent.clear()
    source.slowest = 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    evaluation = daemon.evaluate_once()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    asked = [record.decision.recommended - record.decision.requested for record in evaluation.records]
    return Figures(
        cpu=cpu,
        wall=wall,
        slowest_query=source.slowest,
        prometheus_requests=sent["prometheus"],
        swarm_lists=sum(sent[kind] for kind in _LISTS),
        swarm_requests=sum(count for kind, count in sent.items() if kind not in {"prometheus", *_LISTS}),
        resident=memory("VmRSS"),
        decided=len(evaluation.records),
        rising=sum(change > 0 for change in asked),
        falling=sum(change < 0 for change in asked),
        outcomes=dict(Counter(record.outcome.value for record in evaluation.records)),
        lacking=_lacking(evaluation),
        problems=[problem.detail for problem in evaluation.problems],
    )


def _lacking(evaluation: Evaluation) -> dict[str, int]:
    lacks = (
        item.reason.value
        for record in evaluation.records
        for item in record.decision.recommendations
        if item.lacks_data
    )
    return dict(Counter(lacks))


def _daemon(options: Mapping[str, Any], clock: Steps) -> tuple[Daemon, TimedSource]:
    names = ("docker_host", "prometheus_url", "policies")
    given = {name: options[name] for name in names} | {"prometheus_timeout": f"{_PATIENCE}s", "dry_run": True}
    settings = Settings.read(given)
    policies = Policies([settings.policies])
    policies.load()
    daemon = daemon_of(settings, policies)
    collect_garbage_rarely()  # as `autoscaler run` does
    cycle = daemon.cycle
    source = TimedSource(cycle.windows.sources[PROMETHEUS])
    cycle.windows.sources = {PROMETHEUS: source}
    cycle.windows.probe = lambda _: float(SCRAPE)  # the real one looks at the last quarter of an hour of today
    cycle.clock, cycle.deadline = clock, _PATIENCE
    return daemon, source


@contextmanager
def _profiled() -> Iterator[None]:
    """Prints to standard error where the CPU time goes, all calls made in one thread."""

    def at_once(self: TimedCall, function: Callable[[], T], seconds: float) -> T:  # noqa: ARG001 - the guard's signature
        return function()

    original = TimedCall.call
    TimedCall.call = at_once  # type: ignore[method-assign]
    profile = cProfile.Profile(time.process_time)
    try:
        with profile:
            yield
    finally:
        TimedCall.call = original  # type: ignore[method-assign]
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)


def main(options: Mapping[str, Any]) -> None:
    """Evaluate as often as the *options* say, and print what it took."""
    clock = Steps(options["first"])
    evaluations = []
    with Path(os.devnull).open("w") as nowhere, requests_counted() as sent:
        configure("json", "info", nowhere)
        daemon, source = _daemon(options, clock)
        evaluations.append(asdict(_measure(daemon, source, sent)))
        with _profiled() if options["profile"] else nullcontext():
            for _ in range(options["evaluations"] - 1):
                clock.moment += daemon.interval
                evaluations.append(asdict(_measure(daemon, source, sent)))
    print(json.dumps({"peak": memory("VmHWM"), "evaluations": evaluations}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
