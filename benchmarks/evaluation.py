"""What an evaluation costs, and an idle daemon, on a real Prometheus and a Swarm that answers as Docker's API.

    python benchmarks/evaluation.py                         all sizes and the idle daemon, as `make bench` does
    python benchmarks/evaluation.py --services 1000         one size, with the guide's thresholds and with a mix
    python benchmarks/evaluation.py --services 1000 --policies mix --profile    and where its CPU time goes

Prints each figure beside its budget (docs/performance.md). It fails if an evaluation does not decide as the loads
demand, never because of a figure: a machine may be busy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import requests

from autoscaler.adapters.system_clock import SystemClock
from benchmarks.measured import memory
from benchmarks.mixed import MixedWorld
from benchmarks.world import HISTORY, SCRAPE, World
from tests.e2e.lab import Prometheus, wait_for
from tests.e2e.lab.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORLDS = {"thresholds": World, "mix": MixedWorld}
SIZES = {"thresholds": (50, 1_000, 5_000), "mix": (1_000, 5_000)}
EVALUATIONS = 8
"""In each process: the first, which fills the windows, and those that follow."""
IDLE_SERVICES = 50
_BLOCK = 7200
_START = 1_700_000_000 // _BLOCK * _BLOCK
"""When the samples begin: all of them within one block of Prometheus, as a running one would have them."""
_MB = 1e6
_STARTUP = 90.0
_CPU_BUDGETS = {1_000: 0.5, 5_000: 2.5}
_MEMORY_BUDGETS = {1_000: 120, 5_000: 250}
_QUERIES_PER_METRIC = 2
_QUERY_LIMIT = 10
"""AUTOSCALER_PROMETHEUS_TIMEOUT: a slower answer is none."""
_WALL_LIMIT = 15
"""The deadline of an evaluation at an interval of 15 s."""


class WrongDecisionsError(RuntimeError):
    """What was measured is not what should have been: the figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    services: int
    policies: str
    name: str
    value: float
    unit: str
    at_most: float | None = None
    """A budget of docs/performance.md, or a time-out of the daemon as it is by default."""

    def __str__(self) -> str:
        at_most = "" if self.at_most is None else f"{self.at_most:g} {self.unit}"
        ratio = "" if self.at_most is None else f"{self.value / self.at_most:.2f}"
        return _row(f"{self.services}", self.policies, self.name, f"{self.value:.3g} {self.unit}", at_most, ratio)


def _row(*columns: str) -> str:
    services, policies, name, measured, at_most, ratio = columns
    return f"{services:>8}  {policies:<10}  {name:<45}{measured:>12}{at_most:>10}{ratio:>7}"


@dataclass(frozen=True, slots=True)
class Running:
    """A world that runs: where its Swarm and its Prometheus are, and its policy file."""

    docker_host: str
    prometheus_url: str
    policies: str


@contextmanager
def running(world: World, scrapes: int) -> Iterator[Running]:
    """The *world* with that many scrapes, its Prometheus and its Swarm in processes of their own."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autoscaler-bench-")))
        prometheus = stack.enter_context(Prometheus(openmetrics=world.openmetrics(scrapes)))
        policies, socket = directory / "policies.yml", directory / "docker.sock"
        policies.write_text(world.policies())
        stack.enter_context(_swarm(socket, world))
        yield Running(f"unix://{socket}", prometheus.url, str(policies))


@contextmanager
def _swarm(socket: Path, world: World) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.swarm", str(socket), str(world.services), str(world.start)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("the Swarm did not start; what it said is above")
            yield
        finally:
            process.terminate()


def evaluate(services: int, policies: str, runs: int, *, profile: bool = False) -> list[Figure]:
    """The figures of evaluations of that many services: medians over *runs* fresh processes."""
    world = WORLDS[policies](services, _START)
    reports = []
    with running(world, HISTORY + EVALUATIONS + 1) as there:
        options = {
            "docker_host": there.docker_host,
            "prometheus_url": there.prometheus_url,
            "policies": there.policies,
            "first": world.first_evaluation,
            "evaluations": EVALUATIONS,
            "profile": profile,
        }
        command = [sys.executable, "-m", "benchmarks.measured", json.dumps(options)]
        for _ in range(runs):
            done = subprocess.run(command, env=_environment(), stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own
            reports.append(json.loads(done.stdout))
    for report in reports:
        _verify(world, report["evaluations"])
    return _figures(world, policies, reports)


def _verify(world: World, evaluations: Sequence[dict[str, Any]]) -> None:
    """Every window was complete, the rules of the known share of services fired, and the first evaluation acted.

    What a dry-run proposes starts a cooldown, which holds the services from then on.
    """
    for number, evaluation in enumerate(evaluations):
        expected = {
            "problems": [],
            "lacking": {},
            "decided": world.services,
            "rising": world.rising,
            "falling": world.falling,
            "proposed": 0 if number else world.acting,
            "unchanged": world.services - world.rising - world.falling,
        }
        outcomes = evaluation["outcomes"]
        counts = {"proposed": outcomes.get("dry_run", 0), "unchanged": outcomes.get("unchanged", 0)}
        found = {name: (evaluation | counts)[name] for name in expected}
        if found != expected:
            raise WrongDecisionsError(f"evaluation {number} of {world.services} services: {found}, not {expected}")


def _figures(world: World, policies: str, reports: Sequence[dict[str, Any]]) -> list[Figure]:
    firsts = [report["evaluations"][0] for report in reports]
    following = [evaluation for report in reports for evaluation in report["evaluations"][1:]]

    def of(evaluations: Sequence[dict[str, Any]], name: str) -> float:
        return median(float(evaluation[name]) for evaluation in evaluations)

    def figure(name: str, value: float, unit: str, at_most: float | None) -> Figure:
        return Figure(world.services, policies, name, value, unit, at_most)

    cpu, size = _CPU_BUDGETS.get(world.services), _MEMORY_BUDGETS.get(world.services)
    queries = _QUERIES_PER_METRIC * world.metrics
    return [
        figure("following evaluations: CPU", of(following, "cpu"), "s", cpu),
        figure("following evaluations: wall", of(following, "wall"), "s", _WALL_LIMIT),
        figure("following evaluations: slowest query", of(following, "slowest_query"), "s", _QUERY_LIMIT),
        figure("following evaluations: queries to Prometheus", of(following, "prometheus_requests"), "", queries),
        figure("following evaluations: lists from Swarm", of(following, "swarm_lists"), "", 3),
        figure("first evaluation: CPU", of(firsts, "cpu"), "s", cpu),
        figure("first evaluation: wall", of(firsts, "wall"), "s", _WALL_LIMIT),
        figure("first evaluation: slowest query", of(firsts, "slowest_query"), "s", _QUERY_LIMIT),
        figure("first evaluation: queries to Prometheus", of(firsts, "prometheus_requests"), "", queries),
        figure("memory: resident between evaluations", of(following, "resident") / _MB, "MB", size),
        figure("memory: peak", median(float(report["peak"]) for report in reports) / _MB, "MB", size),
    ]


def idle(seconds: int) -> list[Figure]:
    """The figures of the real daemon over that many seconds, at an interval of 15 s with the samples of today."""
    now = int(SystemClock().now())
    # The samples reach into the future, as far as the daemon will run.
    world = World(IDLE_SERVICES, now // SCRAPE * SCRAPE - HISTORY * SCRAPE)
    scrapes = HISTORY + (int(_STARTUP) + seconds + 4 * SCRAPE) // SCRAPE
    with running(world, scrapes) as there, tempfile.TemporaryFile() as log:
        listen = f"127.0.0.1:{free_port()}"
        environment = _environment() | {
            "AUTOSCALER_DOCKER_HOST": there.docker_host,
            "AUTOSCALER_PROMETHEUS_URL": there.prometheus_url,
            "AUTOSCALER_POLICIES": there.policies,
            "AUTOSCALER_LISTEN": listen,
        }
        command = [str(Path(sys.executable).with_name("autoscaler")), "run", "--dry-run"]
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:  # noqa: S603 - our own
            try:
                wait_for("the daemon's first evaluation", lambda: _ready(listen), _STARTUP / 2)
                time.sleep(SCRAPE)  # what a start costs is over
                before, began = _evaluations(listen), time.monotonic()
                cpu = -_cpu_time(process.pid)
                time.sleep(seconds)
                cpu += _cpu_time(process.pid)
                lasted = time.monotonic() - began
                evaluations = _evaluations(listen) - before
                _verify_idle(world, listen, evaluations, lasted)
                resident, peak = memory("VmRSS", process.pid), memory("VmHWM", process.pid)
            finally:
                process.terminate()
    return [
        Figure(IDLE_SERVICES, "thresholds", "idle daemon: resident", resident / _MB, "MB", 80),
        Figure(IDLE_SERVICES, "thresholds", "idle daemon: peak", peak / _MB, "MB"),
        Figure(IDLE_SERVICES, "thresholds", f"idle daemon: of a core, over {lasted:.0f} s", 100 * cpu / lasted, "%", 1),
    ]


def _environment() -> dict[str, str]:
    """This process' environment without the settings of an autoscaler."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AUTOSCALER_", "DOCKER_"))}


def _ready(listen: str) -> bool:
    return requests.get(f"http://{listen}/-/ready", timeout=2).ok


def _evaluations(listen: str) -> int:
    """How many evaluations the daemon says it has made."""
    for line in requests.get(f"http://{listen}/metrics", timeout=5).text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == "autoscaler_evaluation_duration_seconds_count":
            return int(float(value))
    raise WrongDecisionsError("the daemon counts no evaluations")


def _verify_idle(world: World, listen: str, evaluations: int, lasted: float) -> None:
    """It evaluated at every interval, on complete windows."""
    if abs(evaluations - lasted / SCRAPE) > 1:
        raise WrongDecisionsError(f"{evaluations} evaluations in {lasted:.0f} s at an interval of {SCRAPE} s")
    services = requests.get(f"http://{listen}/api/v1/services", timeout=5).json()["services"]
    outcomes = Counter(service["outcome"] for service in services)
    expected = {"held": world.rising + world.falling, "unchanged": world.services - world.rising - world.falling}
    if outcomes != expected:
        raise WrongDecisionsError(f"the daemon decided {dict(outcomes)}, not {expected}")


def _cpu_time(pid: int) -> float:
    """What a process and its threads have used of a CPU so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure what the command line asks for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, nargs="*", metavar="N", help="how many services; several sizes if need")
    parser.add_argument("--policies", choices=list(WORLDS), help="the kind of policies (default: both, each in turn)")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes per size (default: %(default)s)")
    parser.add_argument("--idle", type=int, nargs="?", const=60, metavar="SECONDS", help="measure the idle daemon")
    parser.add_argument("--profile", action="store_true", help="print where CPU time goes; the figures are worthless")
    given = parser.parse_args()
    everything = given.services is None and given.idle is None
    print(_row("services", "policies", "figure", "measured", "at most", "ratio"))
    for policies in [given.policies] if given.policies else list(WORLDS):
        for services in SIZES[policies] if everything else given.services or ():
            for figure in evaluate(services, policies, 1 if given.profile else given.runs, profile=given.profile):
                print(figure, flush=True)
    if everything or given.idle is not None:
        for figure in idle(given.idle or 60):
            print(figure)


if __name__ == "__main__":
    main()
