from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from tenacity import wait_none

from autoscaler.adapters.prometheus import source as prometheus
from autoscaler.adapters.prometheus import wire as prometheus_wire
from autoscaler.adapters.prometheus.source import ConnectionSettings, PrometheusSource
from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.errors import RefusedError
from autoscaler.evaluation.journal import Journal
from autoscaler.metrics.queries import PLACE_LABEL, SERVICE_LABEL, STAT_LABEL, TASKS, VALUE
from tests.support import prometheus_server as server_side
from tests.support.builders import NOW, STEP
from tests.support.prometheus_cases import CASES
from tests.support.prometheus_server import Exchange, Fault, PrometheusServer, Served, status, success
from tests.support.world import World, policy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autoscaler.core.records import Evaluation

pytestmark = pytest.mark.slow

Matrix = list[dict[str, Any]]

BEFORE, DURING, AFTER = 4, 12, 30
"""How many evaluations there are before a fault, during it, and at most until all is well after it."""
BEGINS = NOW + 48 * STEP
"""The last window step before the fault."""


def answering(change: Callable[[Matrix], Any]) -> Fault:
    """Answers to range queries that are *changed*; what time it is, is told as ever."""
    return of_ranges(lambda exchange: exchange.send(200, success(change(exchange.matrix()))))


def of_ranges(fault: Fault) -> Fault:
    """A *fault* that range queries meet, and nothing else."""
    return lambda exchange: fault(exchange) if exchange.path.startswith("/api/v1/query_range") else exchange.answer()


def since(change: Callable[[int, str], list[Any] | None], stat: str = "") -> Fault:
    """Samples that are changed from the fault's begin on: each is another one or, where None is given, missing.

    Those of one *stat* only, where one is named.
    """

    def changed(matrix: Matrix) -> Matrix:
        for series in matrix:
            if stat in {"", series["metric"][STAT_LABEL]}:
                values = [change(at, value) if at > BEGINS else [at, value] for at, value in series["values"]]
                series["values"] = [sample for sample in values if sample is not None]
        return [series for series in matrix if series["values"]]

    return answering(changed)


def said(text: str) -> Fault:
    """Values that are all *text* since the fault began."""
    return since(lambda at, _: [at, text], VALUE)


def relabelled(matrix: Matrix) -> Matrix:
    """Series that carry the service's name under another label."""
    return [{**each, "metric": {"service": each["metric"][SERVICE_LABEL]}} for each in matrix]


def doubled(matrix: Matrix) -> Matrix:
    """Every series twice, under a label more."""
    return [{**each, "metric": {**each["metric"], "replica": name}} for each in matrix for name in "ab"]


def instants(matrix: Matrix) -> Matrix:
    """An instant vector in place of a range."""
    return [{"metric": each["metric"], "value": each["values"][-1]} for each in matrix]


def timeless(exchange: Exchange) -> None:
    """No samples, and no time that any calendar has, neither in an answer nor in its Date."""
    of_range = exchange.path.startswith("/api/v1/query_range")
    body = success([] if of_range else [{"metric": {}, "value": [NOW, "NaN"]}])
    head = f"HTTP/1.1 200 OK\r\nDate: Mon, {10**20} Jan 2026 00:00:00 GMT\r\n\r\n"
    exchange.raw(f"{head}{json.dumps(body)}".encode())


def odd(exchange: Exchange) -> None:
    """The same numbers otherwise written, with more about them than anybody asks for, and about others too."""
    matrix = exchange.matrix()
    for series in matrix:
        series["values"] = [[at + 0.0, f"{float(value):e}"] for at, value in series["values"]]
    stranger = {
        "metric": {SERVICE_LABEL: "été/☃", STAT_LABEL: VALUE},
        "values": [[BEGINS, "-0"], [BEGINS + STEP, "NaN"]],
    }
    nobody = {"metric": {"job": "cadvisor"}, "values": [[BEGINS, "7"]]}
    more: dict[str, object] = {
        "warnings": None,
        "infos": [],
        "isPartial": False,
        "stats": {"timings": {}},
        "trace": None,
    }
    # A series without the label that is asked for is about something else only beside one that has it.
    others = [] if PLACE_LABEL in exchange.form["query"] else [stranger, nobody]
    exchange.send(200, success([*others, *reversed(matrix)]) | more)


LOST = {Reason.STALE_DATA, Reason.NO_DATA}
AWAY, QUERY, ONE_QUERY = ("prometheus",), ("query", "query"), ("query",)
"""What is told once: the server is away, or fails both queries, for the values of cpu and for starved tasks; or the
first, as nothing is wrong with an answer that no task is starved."""
HOLES = {*LOST, Reason.WINDOW_INCOMPLETE}


@dataclass(frozen=True)
class Case:
    """A way in which data are bad, the reasons that decisions may then have, and the problems that are told."""

    fault: Fault | None
    reasons: set[Reason] = field(default_factory=lambda: LOST)
    problems: tuple[str, ...] = ()
    clock: float = 0.0
    """How far Prometheus' clock is ahead."""
    slow: bool = False
    """Whether every question takes the whole time that there is for it."""
    restarted: bool = True
    """Whether the autoscaler is restarted in the middle of it."""


BAD = {
    # Every way in which a server fails that the adapter knows of.
    **{
        name: Case(of_ranges(case.fault), LOST, QUERY) if case.error is RefusedError else Case(case.fault, LOST, AWAY)
        for name, case in CASES.items()
    },
    "everything is refused": Case(status(403), LOST, (*QUERY, *AWAY)),
    "hang": Case(server_side.hang, LOST, AWAY, slow=True),
    "a drip of headers": Case(server_side.drip_headers, LOST, AWAY, slow=True),
    "a drip of a body": Case(server_side.drip_body, LOST, AWAY, slow=True),
    "429 with a Retry-After": Case(status(429, "", {"Retry-After": "600"}), LOST, AWAY),
    "a huge answer": Case(of_ranges(server_side.huge_body(2**20)), LOST, QUERY),
    # Answers that are none, or not to this question.
    "another label": Case(answering(relabelled), LOST, ONE_QUERY),
    "duplicate series": Case(answering(doubled), LOST, ONE_QUERY),
    "an instant vector": Case(answering(instants), LOST, ONE_QUERY),
    "a scalar": Case(answering(lambda _: [NOW, "1"]), LOST, AWAY),
    "a string": Case(answering(lambda _: "up"), LOST, AWAY),
    "no result": Case(answering(lambda _: None), LOST, AWAY),
    "null for a value": Case(answering(lambda m: [{**each, "values": [[BEGINS, None]]} for each in m]), LOST, AWAY),
    # Answers without the numbers.
    "empty": Case(answering(lambda _: [])),
    "series without samples": Case(answering(lambda matrix: [{**each, "values": []} for each in matrix])),
    "NaN": Case(said("NaN")),
    "infinite": Case(said("+Inf")),
    "infinitely small": Case(said("-Inf")),
    "too large for a number": Case(said("1e999")),
    "stale": Case(since(lambda *_: None)),
    "a hole": Case(since(lambda at, value: [at, value] if at // STEP % 3 == 0 else None), HOLES),
    "samples of an hour ago": Case(since(lambda at, value: [at - 3600, value])),
    "samples of the future": Case(since(lambda at, value: [at + 3600, value])),
    "samples between the steps": Case(since(lambda at, value: [at + 7, value])),
    "counts without values": Case(since(lambda *_: None, VALUE)),
    # Numbers that not all tasks stand behind.
    "a task does not report": Case(since(lambda at, _: [at, "2"], TASKS), {Reason.PARTIAL_DATA}),
    "one of all reports": Case(since(lambda at, _: [at, "1"], TASKS), {Reason.PARTIAL_DATA}),
    "values without counts": Case(since(lambda *_: None, TASKS), {Reason.PARTIAL_DATA}),
    "counts that are none": Case(since(lambda at, _: [at, "NaN"], TASKS), {Reason.PARTIAL_DATA}),
    "counts below nothing": Case(since(lambda at, _: [at, "-3"], TASKS), {Reason.PARTIAL_DATA}),
    "a clock without a time": Case(timeless, LOST, AWAY),
    # So it takes no samples for as long. A restarted autoscaler does not know of it (docs/critiques.md).
    "a clock that is set back": Case(since(lambda *_: None), LOST, AWAY, clock=-1800, restarted=False),
}

GOOD = {
    "nothing": Case(None),
    "infos": Case(lambda exchange: exchange.send(200, success(exchange.matrix(), infos=["PromQL info: a note"]))),
    "odd": Case(of_ranges(odd)),
    "one sample is missing": Case(since(lambda at, value: None if at == BEGINS + STEP else [at, value])),
    "one task once does not report": Case(since(lambda at, value: [at, "2" if at == BEGINS + STEP else value], TASKS)),
}


@dataclass
class Bench:
    """Two calm services: `web` since some samples before the fault, `api` for long, and scaled not long ago."""

    server: PrometheusServer
    world: World = field(default_factory=lambda: World(policy_for("web", "api")))
    journal: Journal = field(default_factory=Journal)
    clock: float = 0.0
    told: list[tuple[str, str]] = field(default_factory=list)
    """The kinds of problems that began and ended."""
    news: list[tuple[str, Outcome, Reason]] = field(default_factory=list)
    """What was told of each service at info or above."""

    def __post_init__(self) -> None:
        world = self.world
        connection = ConnectionSettings(self.server.url, timeout=5)
        world.source.source = PrometheusSource(connection, world.clock)
        world.service("web", cpu=50)
        world.service("api", replicas=2, cpu=10)
        world.settle(30 * STEP)
        world.engine.operator_scale("api", 3)
        world.settle(14 * STEP)
        world.load["web", "cpu"] = 10

    @property
    def replicas(self) -> tuple[int, int]:
        """Of `web` and of `api`."""
        return self.world.replicas("web"), self.world.replicas("api")

    def next(self) -> Evaluation:
        """The evaluation at the next window step, and what is told of it."""
        self.world.pass_step()
        self.server.set_clock(self.world.clock.time + self.clock)
        self.server.serve(list(self._series()))
        evaluation = self.world.evaluate()
        for record in evaluation.records:
            if self.journal.add(record) and record.outcome is not Outcome.UNCHANGED:
                decision = record.decision
                self.news.append((decision.service, record.outcome, decision.primary.reason))
        began, ended = self.journal.close(evaluation)
        self.told += [("began", problem.kind) for problem in began] + [("ended", problem.kind) for problem in ended]
        return evaluation

    def _series(self) -> Iterator[Served]:
        for (service, metric), samples in self.world.truth.items():
            if metric != "cpu":
                continue
            labels = {SERVICE_LABEL: service}
            cores = {at: percent / 100 for at, (percent, _) in samples.items()}
            counts = {at: float(count) for at, (_, count) in samples.items()}
            yield Served({**labels, STAT_LABEL: VALUE}, cores)
            yield Served({**labels, STAT_LABEL: TASKS}, counts)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench that tries again at once, and takes a mebibyte for a huge answer."""
    monkeypatch.setattr(prometheus, "_BACKOFF", wait_none())
    monkeypatch.setattr(prometheus_wire, "_LARGEST_ANSWER", 2**20)
    with PrometheusServer() as server:
        yield Bench(server)


@pytest.mark.fault("prometheus-away", "query-fails", "samples-missing", "tasks-silent", "clock-skew")
@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_nothing_shrinks_on_bad_data(bench: Bench, case: Case) -> None:
    """While data are bad no count falls, not even where all that is known is calm; then scaling goes on by itself.

    The reason says which, each change of state is told once, and a restart in the middle makes no difference.
    """
    for _ in range(BEFORE):
        assert not bench.next().problems
    assert bench.replicas == (3, 3)
    assert bench.world.clock.time == BEGINS
    bench.told.clear()
    bench.news.clear()
    if case.fault is not None:
        bench.server.fail(case.fault)
    bench.clock = case.clock
    if case.slow:
        bench.world.cycle.deadline = 0.15

    for number in range(DURING):
        if case.restarted and number == DURING // 2:
            bench.world.restart()
            bench.world.cycle.deadline = 0.15 if case.slow else 10.0
        evaluation = bench.next()
        assert {record.decision.primary.reason for record in evaluation.records} <= case.reasons
        assert {record.outcome for record in evaluation.records} == {Outcome.HELD}
        assert bench.replicas == (3, 3)
    assert bench.told == [("began", kind) for kind in case.problems]
    for service in ("web", "api"):
        mine = [what for what in bench.news if what[0] == service]
        assert mine
        assert all(earlier != later for earlier, later in pairwise(mine)), "a state is told once"

    bench.server.recover()
    bench.clock = 0.0
    bench.world.cycle.deadline = 10.0
    for _ in range(AFTER):
        bench.next()
        if bench.replicas == (2, 2):
            break
    assert bench.replicas == (2, 2)
    assert sorted(bench.told) == sorted((what, kind) for what in ("began", "ended") for kind in case.problems)


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_good_data_shrink(bench: Bench, case: Case) -> None:
    """Without a fault, and with what is none, both counts fall in the time that the faults are given."""
    for _ in range(BEFORE):
        bench.next()
    if case.fault is not None:
        bench.server.fail(case.fault)
    for _ in range(DURING):
        bench.next()
    assert bench.replicas == (2, 2)
    assert bench.told == []
