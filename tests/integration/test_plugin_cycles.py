"""Whole evaluations with plugins that do what they must not: their rules lack data, and everything else goes on."""

from __future__ import annotations

import json
import threading
from io import StringIO
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import structlog

from autoscaler.core.model import Outcome, Recommendation
from autoscaler.core.reasons import Reason
from autoscaler.evaluation.journal import Journal
from autoscaler.plugins.isolation import PluginGuard
from autoscaler.plugins.metric_source import ForeignSource
from autoscaler.policy.metric import Metric
from autoscaler.ports import Series
from autoscaler.views.logs import configure, log_record
from tests.support.builders import CPU_HIGH, CPU_LOW, threshold
from tests.support.foreign_strategy import foreign
from tests.support.world import World, policy_for, reasons, said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from autoscaler.core.records import Record
    from autoscaler.policy.policy import Policy
    from autoscaler.strategies import Rule, RuleInput


def raises(_: Rule, __: RuleInput) -> NoReturn:
    """What any program may do."""
    raise ZeroDivisionError("division by zero")


def leaves(_: Rule, __: RuleInput) -> NoReturn:
    """What no library should."""
    raise SystemExit(1)


def gives_nothing(_: Rule, __: RuleInput) -> None:
    """What a function without a return gives."""


def asks_for_half_a_replica(rule: Rule, rule_input: RuleInput) -> Recommendation:
    """What a division gives."""
    return Recommendation(rule.name, Reason.BELOW_TARGET, 0.5, rule_input.window.newest)  # type: ignore[arg-type]


class Hangs:
    """What does not come back before the test is over."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.asked = 0

    def __call__(self, rule: Rule, rule_input: RuleInput) -> Recommendation:
        """Wait."""
        self.asked += 1
        self.over.wait(60)
        return rule.no_opinion(rule_input)


@pytest.fixture
def hangs() -> Iterator[Hangs]:
    """A strategy that hangs until the test is over."""
    hanging = Hangs()
    yield hanging
    hanging.over.set()


BROKEN: list[Callable[[Rule, RuleInput], Any]] = [raises, leaves, gives_nothing, asks_for_half_a_replica]


def under(*rules: Rule, service: str = "web") -> Policy:
    """A policy of *rules*; plugins of a test are not plugged in, so that it is not validated."""
    return policy_for(service).model_copy(update={"rules": rules})


def two_services(web: Policy, *, cpu: float, shop_cpu: float) -> World:
    """`web` under a policy with a plugin's rule and `shop` under one without; both run and have complete windows."""
    world = World(web, policy_for("shop"))
    world.service("web", cpu=cpu)
    world.service("shop", cpu=shop_cpu)
    world.settle()
    return world


def by_service(records: tuple[Record, ...]) -> dict[str, Record]:
    """The records by service."""
    return {record.decision.service: record for record in records}


@pytest.mark.parametrize("broken", BROKEN)
def test_other_services_are_decided_as_ever(broken: Callable[[Rule, RuleInput], Any]) -> None:
    """What a plugin does to its service, the next one does not feel: it is scaled down by its own rules."""
    world = two_services(under(foreign(broken, name="plugin"), CPU_LOW), cpu=10, shop_cpu=10)
    evaluation = world.evaluate()
    records = by_service(evaluation.records)
    assert evaluation.problems == ()
    assert said(records["shop"]) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)
    assert said(records["web"]) == (Outcome.HELD, Reason.NO_DATA, 3, 3)
    assert world.replicas("web") == 3


@pytest.mark.parametrize("broken", BROKEN)
def test_other_rules_of_the_service_add_replicas(broken: Callable[[Rule, RuleInput], Any]) -> None:
    """A broken rule holds no increase."""
    world = two_services(under(foreign(broken, name="plugin"), CPU_HIGH), cpu=90, shop_cpu=50)
    record = by_service(world.evaluate().records)["web"]
    assert said(record) == (Outcome.APPLIED, Reason.ABOVE_THRESHOLD, 3, 4)
    assert Reason.NO_DATA in reasons(record)


@pytest.mark.fault("plugin-broken")
@pytest.mark.parametrize("broken", BROKEN)
def test_nothing_shrinks_for_as_long_as_it_is_broken(broken: Callable[[Rule, RuleInput], Any]) -> None:
    """An hour of calm under a broken plugin leaves the count as it is."""
    world = two_services(under(foreign(broken, name="plugin"), CPU_LOW), cpu=10, shop_cpu=50)
    world.run(3600)
    assert world.replicas("web") == 3


@pytest.mark.fault("plugin-broken")
@pytest.mark.parametrize("broken", BROKEN)
def test_the_log_says_why(broken: Callable[[Rule, RuleInput], Any]) -> None:
    """The line of the held service names strategy, rule and what happened, once and not at every evaluation."""
    world = two_services(under(foreign(broken, name="plugin"), CPU_LOW), cpu=10, shop_cpu=50)
    journal, stream = Journal(), StringIO()
    configure("json", "info", stream)
    for _ in range(3):
        for record in world.next().records:
            log_record(structlog.get_logger(), record, news=journal.add(record))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [line for line in lines if line["service"] == "web" and line["level"] == "info"]
    assert [(line["outcome"], line["reason"], line["rule"]) for line in told] == [("held", "no_data", "plugin")]
    assert told[0]["why"].startswith("the strategy foreign of the rule plugin ")


def test_a_plugin_that_recovers_is_asked_again() -> None:
    """Once it gives opinions again its rule counts again."""
    broken = [True]

    def sometimes(rule: Rule, rule_input: RuleInput) -> Recommendation:
        if broken[0]:
            raise KeyError("gone")
        return rule.asks_for(rule_input, 5, "cpu 50, five")

    world = two_services(under(foreign(sometimes, name="plugin")), cpu=50, shop_cpu=50)
    world.evaluate()
    assert world.replicas("web") == 3
    broken[0] = False
    world.next()
    assert world.replicas("web") == 5


def test_a_hanging_plugin(hangs: Hangs) -> None:
    """It is asked once, for one of many services, and all that it has nothing to do with is decided meanwhile."""
    names = [f"web-{number}" for number in range(20)]
    policies = [under(foreign(hangs, name="plugin"), CPU_LOW, service=name) for name in names]
    world = World(*(policy.model_copy(update={"rules": policies[0].rules}) for policy in policies), policy_for("shop"))
    for name in (*names, "shop"):
        world.service(name, 2, cpu=10)
    world.cycle.asker = PluginGuard(a_call=0.1)
    world.settle()
    records = by_service(world.evaluate().records)
    assert said(records["shop"]) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 2, 1)
    assert {said(records[name]) for name in names} == {(Outcome.HELD, Reason.NO_DATA, 2, 2)}
    details = [records[name].decision.primary.detail for name in names]
    assert details[0] == "the strategy foreign of the rule plugin did not come back within 0.1 s"
    assert all("has not come back from an earlier call" in detail for detail in details[1:])
    world.run(60)
    assert hangs.asked == 1
    assert {world.replicas(name) for name in names} == {2}


# Metric sources

COMPANIES = {"companies": Metric(query="active_companies", source="numbers", kind="total")}
FEW = threshold("few", metric="companies", below=10, remove=1)
MANY = threshold("many", metric="companies", above=100, add=1)


class Numbers:
    """A plugin's metric source with one number for `web`."""

    def __init__(self, answer: Callable[[int], Any]) -> None:
        self.answer = answer

    def fetch(self, query: object, start: int, end: int, step: int, deadline: object) -> Any:  # noqa: ARG002
        """What the test says of so many steps."""
        return self.answer((end - start) // step + 1)


def asking(answer: Callable[[int], Any], *rules: Rule, at_most: float = 10) -> World:
    """A world whose `web` has *rules* of a plugin's source, and `shop` rules of Prometheus."""
    source = ForeignSource("numbers", lambda: Numbers(answer), at_most=at_most)
    world = World(under(*rules), policy_for("shop"), metrics=COMPANIES, plugged={"numbers": source})
    world.service("web", cpu=10)
    world.service("shop", cpu=10)
    world.settle()
    return world


def constant(value: float) -> Callable[[int], dict[str, Series]]:
    """The same number at each step."""
    return lambda length: {"web": Series([value] * length)}


@pytest.mark.parametrize(("value", "replicas"), [(200, 4), (50, 3), (5, 2)])
def test_a_plugins_numbers_scale(value: float, replicas: int) -> None:
    """What a plugin's source says is a metric like any other."""
    world = asking(constant(value), FEW, MANY)
    assert world.evaluate().problems == ()
    assert world.replicas("web") == replicas


@pytest.mark.fault("plugin-broken")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda _: 1 // 0, "query"),
        (lambda _: None, "query"),
        (lambda length: {"web": Series([5.0] * (length + 1))}, "query"),
        (lambda length: {"web": Series([float("nan")] * length)}, ""),
        (lambda length: {"web": Series([float("-inf")] * length)}, ""),
        (lambda _: {}, ""),
        (lambda _: threading.Event().wait(1), "source"),
    ],
)
def test_a_broken_source_costs_its_metric_only(answer: Callable[[int], Any], kind: str) -> None:
    """Its rules lack data and remove nothing, the evaluation tells of it, and other metrics are asked as ever."""
    world = asking(answer, FEW, CPU_LOW, at_most=0.1 if kind == "source" else 10)
    evaluation = world.evaluate()
    records = by_service(evaluation.records)
    assert [problem.kind for problem in evaluation.problems] == ([kind] if kind else [])
    assert all("the metric source numbers" in problem.detail for problem in evaluation.problems)
    assert said(records["web"]) == (Outcome.HELD, Reason.NO_DATA, 3, 3)
    assert said(records["shop"]) == (Outcome.APPLIED, Reason.BELOW_THRESHOLD, 3, 2)


def test_a_source_that_breaks_leaves_the_window_incomplete() -> None:
    """What it said before is kept and ages; a calm is not made of it, and the problem goes on being told of."""
    broken = [False]
    rule = threshold("few", metric="companies", below=10, lasting="5m", remove=1)
    world = asking(lambda length: None if broken[0] else constant(5)(length), rule)
    world.evaluate()
    assert world.replicas("web") == 2
    broken[0] = True
    for evaluation in world.run(1800):
        assert by_service(evaluation.records)["web"].decision.recommendations[0].lacks_data
        assert [problem.kind for problem in evaluation.problems] == ["query"]
    assert world.replicas("web") == 2
