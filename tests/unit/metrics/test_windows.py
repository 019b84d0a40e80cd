from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.core.model import History, Outcome
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Problem
from autoscaler.errors import BackendError, DeadlineError, RefusedError, UnreachableError
from autoscaler.metrics.queries import MetricSettings
from autoscaler.metrics.windows import MetricWindows, Needed
from autoscaler.policy.metric import PROMETHEUS, Metric, with_built_in
from autoscaler.ports import Series
from autoscaler.swarm.cluster import ServiceView, TaskView
from autoscaler.util.deadline import Deadline
from tests.support.builders import NOW, STEP, observation, written
from tests.support.deciding import decide
from tests.support.world import only, said, settled_world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.core.window import Window
    from autoscaler.policy.policy import Policy
    from autoscaler.ports import Query

WARMUP = 30
SETTINGS = MetricSettings(scrape_interval=STEP, rate_window=4 * STEP, warmup=WARMUP)
LONG_AGO = NOW - 86_400.0
BY = {"query": "sum by (svc) (load)", "by": "svc"}
PER_TASK = {"query": "load", "by": "svc", "task": "pod"}
TEMPLATE = {"query": 'sum(load{queue="$service"})'}
SHARED = {"query": "sum(orders)"}
TARGET = {"name": "target", "metric": "load", "strategy": "target", "target": 50}
PLUGGED = {"query": "llen jobs", "source": "redis"}


def metrics(**defined: dict[str, Any]) -> dict[str, Metric]:
    """All metrics there are, with the *defined* ones as a policy file writes them."""
    return with_built_in({name: Metric.model_validate(keys) for name, keys in defined.items()})


def policy(*names: str, lasting: str = "1m", name: str = "web") -> Policy:
    """A policy that looks at the metrics *names*, as far back as *lasting*."""
    rules = [{"name": metric, "metric": metric, "above": 70, "for": lasting, "add": 1} for metric in names]
    return written(*rules, name=name)


def view(name: str = "web", *since: float, memory_limit: float | None = None) -> ServiceView:
    """A service whose tasks run *since* these moments; three of them since long ago unless told otherwise."""
    moments = since or (LONG_AGO,) * 3
    tasks = [TaskView(f"{name}{number}", "running", at, on_ready_node=True) for number, at in enumerate(moments)]
    return ServiceView(
        id=name,
        name=name,
        version=1,
        mode="replicated",
        requested=len(tasks),
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
        tasks=tuple(tasks),
        memory_limit=memory_limit,
    )


@dataclass
class Plant:
    """A metric source that answers each query with one value at all times, and notes what is asked of it.

    A query without `by` is answered for the service that it is about.
    """

    values: dict[str, float] = field(default_factory=dict)
    """By service, or else by the query's expression; 50 where neither is here."""
    tasks: Mapping[int, int] = field(default_factory=dict)
    """How many tasks report at a time; three at all others."""
    services: tuple[str, ...] = ("web", "api")
    errors: dict[str, BackendError] = field(default_factory=dict)
    """What the query of a service raises, or that of a metric."""
    offset: float | BackendError = 0.0
    allowed: list[float] = field(default_factory=list)
    """How many seconds each call might have taken."""
    asked: list[tuple[str, str, int, int]] = field(default_factory=list)
    """The metric, the service, the first and the last step of each query."""

    def clock_offset(self, now: float, deadline: Deadline) -> float:  # noqa: ARG002 - the port's signature
        """The offset that it was given."""
        self.allowed.append(deadline.remaining())
        if isinstance(self.offset, BackendError):
            raise self.offset
        return self.offset

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:
        """The value at each step."""
        self.allowed.append(deadline.remaining())
        if not deadline.remaining():
            raise DeadlineError("no time left")
        self.asked.append((query.metric, query.service, start, end))
        for key in (query.metric, query.service):
            if key in self.errors:
                raise self.errors[key]
        times = range(start, end + 1, step)
        counts = [self.tasks.get(at, 3) for at in times] if query.counts_tasks else None
        whose = self.services if query.by or query.metric in {"cpu", "memory"} else (query.service,)
        return {
            name: Series([self.values.get(name, self.values.get(query.expression, 50.0))] * len(times), counts)
            for name in whose
        }

    def forget(self) -> None:
        """Note anew what is asked."""
        self.asked.clear()

    @property
    def names(self) -> list[str]:
        """The metrics of the queries, in their order."""
        return [metric for metric, *_ in self.asked]


@dataclass
class Rig:
    """Windows on a plant, and what they are asked for."""

    known: dict[str, Metric]
    plant: Plant = field(default_factory=Plant)
    plugged: Plant = field(default_factory=Plant)
    windows: MetricWindows = field(init=False)
    now: float = NOW

    def __post_init__(self) -> None:
        self.windows = MetricWindows({PROMETHEUS: self.plant, "redis": self.plugged}, SETTINGS, STEP)

    def refresh(self, rules: Policy, *views: ServiceView, seconds: float = 60) -> list[Problem]:
        """What went wrong when the windows were brought up to the present."""
        needed = [Needed(each, rules) for each in views or (view(),)]
        return self.windows.refresh(needed, self.known, self.now, Deadline(seconds))

    def later(self, seconds: float = STEP) -> None:
        """Let time pass, and note anew what is asked."""
        self.now += seconds
        self.plant.forget()
        self.plugged.forget()

    def shown(self, rules: Policy, service: ServiceView | None = None) -> dict[str, Window]:
        """The windows that rules are shown."""
        return self.windows.of(service or view(), rules, self.known)[0]

    def values(self, rules: Policy, metric: str = "load", service: ServiceView | None = None) -> list[float | None]:
        """The samples of one window, None for what is missing; nothing at all where there is none."""
        held = self.shown(rules, service).get(metric)
        return [None if isnan(value) else value for value in held.values] if held else []


class TestQueries:
    @pytest.mark.parametrize(
        ("keys", "asked"),
        [
            (BY, [""]),
            (PER_TASK, [""]),
            (SHARED, [""]),
            (TEMPLATE, ["web", "api"]),
            ({**TEMPLATE, "task": "pod"}, ["web", "api"]),
        ],
    )
    def test_how_many(self, keys: dict[str, Any], asked: list[str]) -> None:
        """One query for all services, or one value for all; with `$service` one for each service, and no more."""
        rig, rules = Rig(metrics(load=keys)), policy("load")

        rig.refresh(rules, view("web"), view("api"))

        assert [service for _, service, *_ in rig.plant.asked] == asked

    def test_only_what_is_needed(self) -> None:
        """A metric that no policy looks at is not asked for, be it defined or built in."""
        rig = Rig(metrics(load=BY, other=BY, each=TEMPLATE))
        rig.refresh(policy("load"))
        assert rig.plant.names == ["load"]

    def test_a_template_is_asked_for_the_services_that_need_it(self) -> None:
        """A service whose policy does not look at the metric costs no query."""
        rig = Rig(metrics(load=TEMPLATE))
        needed = [Needed(view("web"), policy("load")), Needed(view("api"), policy("cpu", name="api"))]

        rig.windows.refresh(needed, rig.known, NOW, Deadline(60))

        assert Counter((metric, service) for metric, service, *_ in rig.plant.asked) == {
            ("load", "web"): 1,
            ("cpu", ""): 1,
        }

    def test_the_longest_look_back_counts(self) -> None:
        """Where policies look back differently far, one query reaches back as far as the farthest needs."""
        rig = Rig(metrics(load=BY))
        near, far = policy("load", lasting="1m"), policy("load", lasting="3m", name="api")

        rig.windows.refresh([Needed(view("web"), near), Needed(view("api"), far)], rig.known, NOW, Deadline(60))

        assert [(last - first) for _, _, first, last in rig.plant.asked] == [180 + STEP]


class TestForgetting:
    def test_a_metric_that_is_not_used_any_more(self) -> None:
        """What no policy looks at is forgotten: asked for again later, it is filled anew."""
        rig, rules = Rig(metrics(load=BY)), policy("load")
        rig.refresh(rules)
        rig.later()
        rig.refresh(policy("cpu"))
        assert rig.shown(rules) == {}
        rig.later()
        rig.refresh(rules)

        assert rig.plant.asked == [("load", "", int(rig.now) - 60 - STEP, int(rig.now))]

    def test_services_that_come_and_go(self) -> None:
        """The windows of a removed service's own query go with it, and those of a new one begin with it."""
        rig, rules = Rig(metrics(load=TEMPLATE)), policy("load")
        rig.refresh(rules, view("web"), view("api"))
        rig.later()
        rig.refresh(rules, view("web"))
        assert [service for _, service, *_ in rig.plant.asked] == ["web"]
        assert rig.values(rules, service=view("api")) == []
        rig.later()
        rig.refresh(rules, view("web"), view("api"))

        assert {service: last - first for _, service, first, last in rig.plant.asked} == {
            "web": 2 * STEP,
            "api": 60 + STEP,
        }

    def test_nothing_grows_with_the_services_that_were_there(self) -> None:
        """After a thousand services have come and gone nothing of them is held."""
        rig, rules = Rig(metrics(load=TEMPLATE)), policy("load")
        for number in range(1000):
            rig.refresh(rules, view(f"web{number}"))
        assert (len(rig.windows._caches), len(rig.windows._in_force)) == (1, 1)

    @pytest.mark.parametrize(
        "anew",
        [
            pytest.param({**BY, "query": "sum by (svc) (other)"}, id="another query"),
            pytest.param({**BY, "by": "service"}, id="another label"),
            pytest.param({**BY, "task": "pod"}, id="with tasks"),
            pytest.param(TEMPLATE, id="a query per service"),
            pytest.param(SHARED, id="one value"),
            pytest.param({**BY, "step": "30s"}, id="another step"),
        ],
    )
    def test_a_metric_that_is_defined_anew(self, anew: dict[str, Any]) -> None:
        """After a reload a metric that is another one begins anew: no sample of the former is shown, whatever fails."""
        rig, rules = Rig(metrics(load=BY)), policy("load")
        rig.refresh(rules)
        rig.known = metrics(load=anew)
        rig.plant.errors["load"] = RefusedError("no")
        rig.refresh(rules)
        assert rig.values(rules) == []
        rig.later()
        rig.plant.errors.clear()
        rig.refresh(rules)

        (_, _, first, last), *_ = rig.plant.asked
        assert last - first >= 60
        assert set(rig.values(rules)) == {50.0}

    def test_a_metric_that_is_shown_differently(self) -> None:
        """What does not concern the query is in force at once, and the samples stay."""
        rig, rules = Rig(metrics(load=BY)), policy("load")
        rig.refresh(rules)
        rig.known = metrics(load={**BY, "kind": "total", "unit": "jobs", "redistributes": False})
        rig.later()
        rig.refresh(rules)

        held = rig.shown(rules)["load"]
        assert (held.total, held.averaged, held.unit) == (True, False, "jobs")
        assert [last - first for *_, first, last in rig.plant.asked] == [2 * STEP]


class TestLookBack:
    def test_a_look_back_that_grows(self) -> None:
        """A longer look-back fills the window again, all of it."""
        rig = Rig(metrics(load=BY))
        rig.refresh(policy("load"))
        rig.later()
        longer = policy("load", lasting="4m")
        rig.refresh(longer)

        assert rig.plant.asked == [("load", "", int(rig.now) - 240 - STEP, int(rig.now))]
        assert rig.shown(longer)["load"].lacking(240) is None

    def test_while_it_cannot_be_filled_what_is_held_stays(self) -> None:
        """As long as the longer window is not answered for, the shorter one serves the rules that it suffices for."""
        rig = Rig(metrics(load=BY))
        rig.refresh(policy("load"))
        longer = policy("load", lasting="4m")
        rig.plant.errors["load"] = RefusedError("no")
        rig.refresh(longer)

        held = rig.shown(longer)["load"]
        assert held.lacking(60) is None
        assert held.lacking(240) is Reason.WINDOW_INCOMPLETE

    def test_a_look_back_that_shrinks(self) -> None:
        """A shorter look-back asks for nothing again."""
        rig = Rig(metrics(load=BY))
        rig.refresh(policy("load", lasting="4m"))
        rig.later()
        rig.refresh(policy("load"))
        assert [last - first for *_, first, last in rig.plant.asked] == [2 * STEP]


class TestFaults:
    def test_the_query_of_one_service(self) -> None:
        """One service's query that is refused leaves the others whole, and is told by its metric."""
        rig, rules = Rig(metrics(load=TEMPLATE)), policy("load")
        rig.plant.errors["web"] = RefusedError("no")
        views = view("api"), view("web"), view("db")

        problems = rig.refresh(rules, *views)

        assert problems == [Problem("query", "no", "load")]
        assert [bool(rig.values(rules, service=each)) for each in views] == [True, False, True]

    def test_a_thousand_refused_queries_are_one_problem(self) -> None:
        """Of the same problem with many services the first is told."""
        rig, rules = Rig(metrics(load=TEMPLATE)), policy("load")
        rig.plant.errors = {"web": RefusedError("first"), "api": RefusedError("second")}
        assert rig.refresh(rules, view("web"), view("api")) == [Problem("query", "first", "load")]

    def test_a_name_that_cannot_stand_in_the_query(self) -> None:
        """A name that cannot be quoted is a problem of its metric; the other services are asked for."""
        rig, rules = Rig(metrics(load={"query": "sum(load{queue=`$service`})"})), policy("load")
        views = view("we`b"), view("api")

        problems = rig.refresh(rules, *views)

        assert [(problem.kind, problem.subject) for problem in problems] == [("query", "load")]
        assert [bool(rig.values(rules, service=each)) for each in views] == [False, True]

    @pytest.mark.parametrize("lost", ["prometheus", "redis"])
    def test_a_silent_source_is_not_asked_again_and_the_other_is(self, lost: str) -> None:
        """What is unreachable is not waited for a second time in an evaluation; other sources are asked."""
        rig, rules = (
            Rig(metrics(load=BY, each=TEMPLATE, jobs=PLUGGED, more=PLUGGED)),
            policy("load", "each", "jobs", "more"),
        )
        silent, other = (rig.plant, rig.plugged) if lost == "prometheus" else (rig.plugged, rig.plant)
        silent.errors = dict.fromkeys(("load", "each", "jobs", "more"), UnreachableError("away"))

        problems = rig.refresh(rules, view("web"), view("api"))

        assert len(silent.asked) == 1
        assert len(other.asked) == (2 if lost == "prometheus" else 3)
        assert [(problem.kind, problem.subject) for problem in problems] == [
            ("prometheus", "") if lost == "prometheus" else ("source", "redis")
        ]

    def test_without_prometheus_clock(self) -> None:
        """Where Prometheus does not even tell its time it is not asked for samples; other sources are."""
        rig, rules = Rig(metrics(load=BY, jobs=PLUGGED)), policy("load", "jobs")
        rig.plant.offset = UnreachableError("away")
        problems = rig.refresh(rules)
        assert (rig.plant.names, rig.plugged.names) == ([], ["jobs"])
        assert [problem.kind for problem in problems] == ["prometheus"]

    @pytest.mark.fault("query-fails")
    @pytest.mark.parametrize("keys", [BY, TEMPLATE])
    def test_a_metric_at_which_prometheus_falls_silent_starves_no_other(self, keys: dict[str, Any]) -> None:
        """A query that is too slow at every evaluation is asked last: the other metrics have their data."""
        rig, rules = Rig(metrics(slow=keys)), policy("slow", "cpu", "memory")
        rig.plant.errors["slow"] = UnreachableError("the query takes too long")
        views = view("web", memory_limit=100), view("api", memory_limit=100)
        rig.refresh(rules, *views)

        for _ in range(20):
            rig.later()
            rig.refresh(rules, *views)
            held = rig.shown(rules, views[0])
            assert {name: each.lacking(60) for name, each in held.items()} == {"cpu": None, "memory": None}

    def test_of_several_slow_metrics_each_has_its_turn(self) -> None:
        """Of several metrics at which Prometheus falls silent another is tried each time: it may have recovered."""
        rig, rules = Rig(metrics(slow=BY, slower=BY)), policy("slow", "slower", "cpu")
        rig.plant.errors = dict.fromkeys(("slow", "slower"), UnreachableError("the query takes too long"))
        for _ in range(4):
            rig.later()
            rig.refresh(rules)
        del rig.plant.errors["slower"]
        for _ in range(2):
            rig.later()
            rig.refresh(rules)

        assert set(rig.shown(rules)) == {"cpu", "slower"}

    def test_a_metric_that_answers_again_keeps_its_place(self) -> None:
        """A metric whose query is answered again is one like the others."""
        rig, rules = Rig(metrics(slow=BY)), policy("slow", "cpu")
        rig.plant.errors["slow"] = UnreachableError("the query takes too long")
        rig.refresh(rules)
        rig.later()
        del rig.plant.errors["slow"]
        rig.refresh(rules)
        assert rig.plant.names == ["cpu", "slow"]
        rig.later()
        rig.refresh(rules)
        assert rig.plant.names == ["slow", "cpu"]

    def test_the_deadline(self) -> None:
        """Once the evaluation's time has run out nothing more is asked, and what is held becomes old."""
        rig, rules = Rig(metrics(load=BY)), policy("load", "cpu")
        rig.refresh(rules)
        rig.later()

        problems = rig.refresh(rules, seconds=0)

        assert rig.plant.asked == []
        assert [problem.kind for problem in problems] == ["prometheus"]
        assert rig.shown(rules)["load"].lacking(60) is Reason.STALE_DATA

    def test_time_is_left_for_what_is_decided(self) -> None:
        """However long sources are silent, a third of the time is left, for bounds are corrected without them."""
        rig = Rig(metrics(load=BY, jobs=PLUGGED))
        rig.refresh(policy("load", "jobs"), seconds=60)
        assert len(rig.plant.allowed) == 2
        assert len(rig.plugged.allowed) == 1
        assert all(0 < seconds <= 40 for seconds in (*rig.plant.allowed, *rig.plugged.allowed))

    def test_after_an_outage_only_what_is_missing_is_asked_for(self) -> None:
        """Samples that were held before an outage are not asked for again after it."""
        rig, rules = Rig(metrics(load=BY)), policy("load", lasting="10m")
        rig.refresh(rules)
        rig.plant.offset = UnreachableError("away")
        for _ in range(4):
            rig.later()
            rig.refresh(rules)
        rig.plant.offset = 0.0
        rig.refresh(rules)

        assert [last - first for *_, first, last in rig.plant.asked] == [5 * STEP]
        assert rig.shown(rules)["load"].lacking(600) is None


class TestTime:
    @pytest.mark.parametrize(
        ("keys", "now", "end", "step"),
        [
            ({}, NOW, NOW, STEP),
            ({}, NOW + 14.9, NOW, STEP),
            ({"step": "1m"}, NOW + 59, NOW, 60),
            ({"step": "1m"}, NOW + 60, NOW + 60, 60),
            ({"offset": "10s"}, NOW, NOW - 15, STEP),
            ({"offset": "15s"}, NOW, NOW - 15, STEP),
            ({"offset": "5m"}, NOW, NOW - 300, STEP),
            ({"step": "1m", "offset": "90s"}, NOW + 30, NOW - 60, 60),
            ({"step": "7s"}, NOW, NOW // 7 * 7, 7),
        ],
    )
    def test_step_and_offset(self, keys: dict[str, str], now: float, end: int, step: int) -> None:
        """A slow exporter's metric has its own steps, and ends as long before the present as samples are late."""
        rig, rules = Rig(metrics(load={**BY, **keys}), now=now), policy("load")

        rig.refresh(rules)

        held = rig.shown(rules)["load"]
        assert (held.end, held.step) == (end, step)
        assert rig.plant.asked == [("load", "", end - (-(-60 // step) + 1) * step, end)]
        assert held.lacking(60) is None

    def test_between_two_of_its_steps(self) -> None:
        """A metric whose step is longer than the interval is not stale between two of its steps."""
        rig, rules = Rig(metrics(load={**BY, "step": "1m"})), policy("load", lasting="2m")
        for _ in range(9):
            rig.refresh(rules)
            assert rig.shown(rules)["load"].lacking(120) is None
            rig.later()

    def test_a_step_that_does_not_come(self) -> None:
        """When its next step has no sample such a metric is stale, as any other."""
        rig, rules = Rig(metrics(load={**BY, "step": "1m"})), policy("load", lasting="2m")
        rig.refresh(rules)
        rig.plant.errors["load"] = RefusedError("no")
        lacking = []
        for _ in range(5):
            rig.refresh(rules)
            lacking.append(rig.shown(rules)["load"].lacking(120))
            rig.later()
        assert lacking == [None] * 4 + [Reason.STALE_DATA]

    @pytest.mark.parametrize("step", ["20s", "5s", "1m10s"])
    def test_a_step_of_its_own(self, step: str) -> None:
        """A metric's step need be no multiple of the evaluation's: at each the newest sample until then counts."""
        metric = Metric.model_validate({**PER_TASK, "step": step})
        high = {"name": "high", "metric": "load", "above": 70, "for": "3m", "add": 1}
        world = settled_world(written(high), metrics={"load": metric})
        world.load["web", "load"] = 90

        record = world.until_changed()

        assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)


class TestOwed:
    def owed(self, rig: Rig, rules: Policy, *since: float) -> tuple[int, ...] | None:
        """How many tasks the newest samples are owed by, where the service's tasks run *since* these moments."""
        rig.refresh(rules)
        held = rig.shown(rules, view("web", *since))["load"]
        return None if held.owed is None else held.owed[-4:]

    def test_where_no_step_lacks_any(self) -> None:
        """Where as many tasks report at each step as run now, there is nothing to count."""
        rig, rules = Rig(metrics(load=PER_TASK)), policy("load")
        assert self.owed(rig, rules, LONG_AGO, LONG_AGO, LONG_AGO) is None

    def test_tasks_that_started_meanwhile(self) -> None:
        """A task owes samples from the end of its warm-up on, and none before."""
        rig, rules = Rig(metrics(load=PER_TASK)), policy("load")
        young = NOW - WARMUP - STEP
        assert self.owed(rig, rules, LONG_AGO, LONG_AGO, LONG_AGO, young) == (3, 3, 4, 4)

    def test_tasks_owe_at_the_windows_end(self) -> None:
        """Where samples arrive late a task owes none for the time before it ran: the end of the window decides."""
        rig, rules = Rig(metrics(load={**PER_TASK, "offset": "5m"})), policy("load")
        assert self.owed(rig, rules, *[LONG_AGO] * 3, NOW - 300) == (3, 3, 3, 3)
        assert self.owed(rig, rules, *[LONG_AGO] * 3, NOW - 300 - WARMUP) == (3, 3, 3, 4)
        assert self.owed(rig, rules, *[LONG_AGO] * 3, NOW - 300 - WARMUP + 1) == (3, 3, 3, 3)

    def test_tasks_owe_on_the_metrics_own_steps(self) -> None:
        """The warm-up is counted in seconds, whatever the metric's step."""
        rig, rules = Rig(metrics(load={**PER_TASK, "step": "1m"})), policy("load", lasting="3m")
        assert self.owed(rig, rules, *[LONG_AGO] * 3, NOW - 61) == (3, 3, 3, 4)
        assert self.owed(rig, rules, *[LONG_AGO] * 3, NOW - 60 - WARMUP) == (3, 3, 4, 4)

    @pytest.mark.parametrize("keys", [BY, SHARED, TEMPLATE])
    def test_metrics_without_tasks_are_owed_by_nobody(self, keys: dict[str, Any]) -> None:
        """Where nobody says which tasks are behind a value, none can be missing."""
        rig, rules = Rig(metrics(load=keys)), policy("load")
        rig.refresh(rules)
        held = rig.shown(rules, view("web", *[LONG_AGO] * 9))["load"]
        assert (held.reporting, held.owed, held.lacking(60)) == (None, None, None)

    @pytest.mark.parametrize(
        ("share", "running", "reporting", "complete"),
        [
            ("100%", 1, 0, False),
            ("100%", 3, 2, False),
            ("80%", 1, 0, False),
            ("80%", 1, 1, True),
            ("80%", 2, 1, False),
            ("80%", 2, 2, True),
            ("80%", 3, 2, False),
            ("80%", 4, 3, False),
            ("80%", 5, 4, True),
            ("80%", 5, 3, False),
            ("80%", 10, 8, True),
            ("80%", 10, 7, False),
            ("70%", 10, 7, True),
            ("1%", 10, 1, True),
            ("1%", 10, 0, False),
            ("50%", 3, 1, False),
            ("50%", 3, 2, True),
            ("7%", 100, 7, True),
            ("7%", 100, 6, False),
        ],
    )
    def test_the_part_that_must_report(self, share: str, running: int, reporting: int, *, complete: bool) -> None:
        """With `reporting: 80%` a sample is complete with four tasks of five, and never with none."""
        rig = Rig(metrics(load={**PER_TASK, "reporting": share}))
        rules = policy("load")
        rig.plant.tasks = dict.fromkeys(range(NOW - 600, NOW + 1, STEP), reporting)
        rig.refresh(rules)
        held = rig.shown(rules, view("web", *[LONG_AGO] * running))["load"]
        assert held.lacking(60) is (None if complete else Reason.PARTIAL_DATA)
        assert (held.doubt(60) is None) is complete

    def test_cpu_too(self) -> None:
        """The built-in metrics may be content with a part of the tasks as well."""
        rig, rules = Rig(metrics(cpu={"reporting": "60%"})), policy("cpu")
        rig.refresh(rules)
        held = {count: rig.shown(rules, view("web", *[LONG_AGO] * count))["cpu"].lacking(60) for count in (3, 5, 6)}
        assert held == {3: None, 5: None, 6: Reason.PARTIAL_DATA}


class TestShown:
    def test_the_built_in_ones_are_percent(self) -> None:
        """Cpu and memory are shown in percent of what 100 % is for the service, and say of what."""
        rig, rules = Rig(metrics()), policy("cpu", "memory")
        rig.plant.values["web"] = 0.5
        service = view("web", memory_limit=2.0)
        rig.refresh(rules, service)

        windows, bases = rig.windows.of(service, rules, rig.known)
        assert {name: (held.newest, held.unit) for name, held in windows.items()} == {
            "cpu": (50.0, "%"),
            "memory": (25.0, "%"),
        }
        assert bases == {"cpu": "1 core (no limit)", "memory": "the limit of 2 B"}
        assert (windows["cpu"].redistributes, windows["memory"].redistributes) == (True, False)

    def test_a_memory_whose_base_nobody_knows(self) -> None:
        """Without a limit and a node no percentage is known, and no window that could look calm."""
        rig, rules = Rig(metrics()), policy("cpu", "memory")
        rig.refresh(rules)
        assert set(rig.shown(rules)) == {"cpu"}

    def test_a_built_in_one_with_a_query_of_its_own(self) -> None:
        """A built-in metric that is given a query is what the query says: no percentage is computed."""
        rig, rules = Rig(metrics(cpu=BY, memory={**BY, "unit": "MiB"})), policy("cpu", "memory")
        rig.refresh(rules)

        windows, bases = rig.windows.of(view(), rules, rig.known)
        assert {name: (held.newest, held.unit, held.base) for name, held in windows.items()} == {
            "cpu": (50.0, "", ""),
            "memory": (50.0, "MiB", ""),
        }
        assert bases == {}

    @pytest.mark.parametrize(
        ("keys", "averaged", "total"),
        [
            (PER_TASK, True, False),
            ({**PER_TASK, "aggregate": "max"}, False, False),
            ({**PER_TASK, "kind": "total"}, False, True),
            ({**TEMPLATE, "kind": "total"}, False, True),
        ],
    )
    def test_what_a_value_is(self, keys: dict[str, Any], *, averaged: bool, total: bool) -> None:
        """A window says whether its values are averages over the tasks, and whether they are totals."""
        rig, rules = Rig(metrics(load=keys)), policy("load")
        rig.refresh(rules)
        held = rig.shown(rules)["load"]
        assert (held.averaged, held.total) == (averaged, total)

    def test_one_value_for_all(self) -> None:
        """A value without a service is every service's, whatever its name."""
        rig, rules = Rig(metrics(load=SHARED)), policy("load")
        views = view("web"), view("api"), view("größe")
        rig.refresh(rules, *views)
        assert [rig.values(rules, service=each)[-1] for each in views] == [50.0] * 3

    def test_a_template_shows_each_service_its_own(self) -> None:
        """With `$service` each service sees the answer to its own query, and no other's."""
        rig, rules = Rig(metrics(load=TEMPLATE)), policy("load")
        rig.plant.values = {"web": 1.0, "api": 2.0}
        views = view("web"), view("api"), view("db")
        rig.refresh(rules, *views)
        assert [rig.values(rules, service=each)[-1] for each in views] == [1.0, 2.0, 50.0]

    def test_a_service_that_no_series_is_about(self) -> None:
        """A service without a series of its own has no window, whatever others have."""
        rig, rules = Rig(metrics(load=BY)), policy("load")
        rig.refresh(rules, view("web"), view("db"))
        assert (rig.values(rules)[-1], rig.values(rules, service=view("db"))) == (50.0, [])


class TestNeverShrinks:
    """By none of the ways in which data may be missing is a service lowered."""

    @pytest.mark.parametrize(
        "keys",
        [PER_TASK, {**PER_TASK, "kind": "total"}, {**PER_TASK, "aggregate": "max"}, {**TEMPLATE, "task": "pod"}],
        ids=["average", "total", "max", "template"],
    )
    def test_tasks_that_do_not_report(self, keys: dict[str, Any]) -> None:
        """What the missing tasks might add to an average, a total or a maximum is not taken for nothing."""
        rig, rules = Rig(metrics(load=keys)), written(TARGET)
        rig.plant.values = {"web": 10.0, "api": 10.0}
        complete, partial = view("web", *[LONG_AGO] * 3), view("web", *[LONG_AGO] * 4)
        rig.refresh(rules, complete)

        lowered, held = (
            decide(rules, observation(each.running, windows=rig.shown(rules, each)), History())
            for each in (complete, partial)
        )

        assert (lowered.desired, lowered.primary.reason) == (1, Reason.BELOW_TARGET)
        assert (held.desired, held.primary.reason) == (4, Reason.PARTIAL_DATA)

    @pytest.mark.parametrize(
        ("keys", "value", "desired"),
        [
            pytest.param(PER_TASK, 200.0, 12, id="the average counts the missing as 0"),
            pytest.param({**PER_TASK, "kind": "total"}, 300.0, 6, id="a total is that much at least"),
            pytest.param({**PER_TASK, "aggregate": "max"}, 100.0, 8, id="a maximum is that much at least"),
        ],
    )
    def test_what_is_certain_may_add(self, keys: dict[str, Any], value: float, desired: int) -> None:
        """Replicas are added on partial data where those that report alone demand it."""
        rig, rules = Rig(metrics(load=keys)), written(TARGET)
        rig.plant.values["web"] = value
        rig.refresh(rules)
        service = view("web", *[LONG_AGO] * 4)

        decision = decide(rules, observation(4, windows=rig.shown(rules, service)), History())

        assert (decision.desired, decision.primary.reason) == (desired, Reason.ABOVE_TARGET)

    @pytest.mark.fault("samples-missing")
    @pytest.mark.parametrize("other", [SHARED, TEMPLATE, BY, PLUGGED], ids=["one value", "template", "by", "plugin"])
    @pytest.mark.parametrize("lost", [RefusedError("no"), UnreachableError("away")], ids=["refused", "away"])
    def test_any_metric_that_is_missing(self, other: dict[str, Any], lost: BackendError) -> None:
        """A calm on one metric removes nothing while another metric of the policy is missing, whatever its kind."""
        rig = Rig(metrics(load=BY, other=other))
        low = {"name": "low", "metric": "load", "below": 30, "for": "1m", "remove": 1}
        rules = written(low, {"name": "high", "metric": "other", "above": 90, "add": 1})
        rig.plant.values["web"] = rig.plugged.values["llen jobs"] = 10.0
        rig.plant.errors["other"] = rig.plugged.errors["other"] = lost
        rig.refresh(rules)

        held = decide(rules, observation(3, windows=rig.shown(rules)), History())

        assert (held.desired, held.primary.reason) == (3, Reason.NO_DATA)

    def test_a_metric_that_went_silent(self) -> None:
        """The last values of a silent source are not gone on with."""
        rig, rules = (
            Rig(metrics(load=TEMPLATE)),
            written({"name": "low", "metric": "load", "below": 30, "for": "1m", "remove": 1}),
        )
        rig.plant.values["web"] = 10.0
        rig.refresh(rules)
        rig.later()
        rig.plant.offset = UnreachableError("away")
        rig.refresh(rules)

        held = decide(rules, observation(3, windows=rig.shown(rules)), History())

        assert (held.desired, held.primary.reason) == (3, Reason.STALE_DATA)

    def test_new_tasks_behind_a_late_window(self) -> None:
        """Tasks that started after a late window's end owe it nothing, and what it says of the others counts."""
        metric = Metric.model_validate({**PER_TASK, "offset": "2m"})
        low = {"name": "low", "metric": "load", "below": 30, "for": "1m", "remove": 1}
        world = settled_world(written(low), metrics={"load": metric}, replicas=3)
        world.load["web", "load"] = 10
        world.engine.operator_scale("web", 5)

        records = [only(evaluation) for evaluation in world.run(240)]

        reduced = [record for record in records if record.decision.changes]
        assert said(reduced[0]) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 5, 4)
        assert reduced[0].decision.at - (NOW + 30 * STEP) == 2 * 60 + 60 + STEP

    @pytest.mark.fault("node-lost")
    def test_a_lost_task_behind_a_late_window(self) -> None:
        """A task that stops reporting holds reductions once the window reaches that time, and as long as it lasts."""
        metric = Metric.model_validate({**PER_TASK, "offset": "2m"})
        low = {"name": "low", "metric": "load", "below": 30, "for": "1m", "remove": 1}
        guard = {"name": "not-yet", "metric": "cpu", "above": 0, "block": "down"}
        world = settled_world(written(low, guards=[guard]), metrics={"load": metric}, replicas=3)
        world.load["web", "load"] = 10
        world.settle()
        world.silent["web"] = 1

        said_of = [only(evaluation).decision.primary.reason for evaluation in world.run(240)]

        # The first two samples that lack a task end 2 minutes later; cpu, the guard's metric, is partial before.
        assert said_of == [Reason.GUARD] * 8 + [Reason.PARTIAL_DATA] * 8
