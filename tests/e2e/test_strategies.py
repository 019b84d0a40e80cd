"""Every strategy, guard, schedule and opt-in on a real engine, a real cAdvisor and a real Prometheus.

The policies are a directory: the guide's table of companies as it is shipped, and a shop with the rest.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemon import command
from tests.e2e.lab import Exporter, LabError, start_load, wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from tests.e2e.lab import Engine, Load, Prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.one_release(reason="what it holds is decided without the engine")]

GUIDE = Path(__file__).parents[2] / "policies" / "companies" / "advwell.yml"
SHOP = """
version: 1
metrics:
  p95_ms: {query: shop_p95_ms, by: swarm_service, unit: ms}
  queue: {query: 'sum(rabbitmq_queue_messages{queue="$service"})', kind: total, unit: messages}
  pool: {query: sum(pgbouncer_waiting_clients), unit: clients}
policies:
  - name: threshold-up
    services: [shop_cart]
    replicas: {min: 1, max: 6}
    rules: [{name: memory-high, metric: memory, above: 80, for: 3s, add: 1}]
  - name: threshold-down
    services: [shop_blog]
    replicas: {min: 1, max: 6}
    rules: [{name: cpu-low, metric: cpu, below: 30, for: 3s, remove: 1}]
  - name: target-average
    services: [shop_search]
    replicas: {min: 1, max: 6}
    rules: [{name: cpu-60, metric: cpu, strategy: target, target: 60}]
  - name: target-total
    services: [shop_orders]
    replicas: {min: 1, max: 6}
    rules: [{name: queue-100, metric: queue, strategy: target, target: 100}]
  - name: steps
    services: [shop_api]
    replicas: {min: 1, max: 6}
    rules:
      - name: slow
        metric: p95_ms
        strategy: steps
        above: 200
        for: 2s
        steps: [{lower: 0, upper: 100, add: 1}, {lower: 100, add: 2}]
  - name: guarded
    services: [shop_pay]
    replicas: {min: 1, max: 6}
    rules: [{name: slow, metric: p95_ms, above: 200, for: 2s, add: 1}]
    guards: [{name: pool-exhausted, metric: pool, above: 0, block: up}]
  - name: by-label
    replicas: {min: 1, max: 6}
    rules: [{name: p95-100, metric: p95_ms, strategy: target, target: 100}]
  - name: scheduled
    services: [shop_mail]
    replicas: {min: 1, max: 6}
    rules: [{name: slow, metric: p95_ms, above: 200, for: 2s, add: 1}]
    schedules: [{name: always, start: "* * * * *", end: "0 0 1 1 *", min: 2}]
"""
POOL = "pgbouncer_waiting_clients"
SERIES = {
    "advwell_active_companies": 30,
    'rabbitmq_queue_messages{queue="shop_orders"}': 230,
    'rabbitmq_queue_messages{queue="another"}': 9000,
    'shop_p95_ms{swarm_service="shop_api"}': 620,
    'shop_p95_ms{swarm_service="shop_pay"}': 620,
    'shop_p95_ms{swarm_service="shop_web"}': 500,
    'shop_p95_ms{swarm_service="shop_mail"}': 40,
    POOL: 12,
}


@dataclass(frozen=True)
class Case:
    """A service as it is deployed, and what is to be decided on it."""

    requested: int
    desired: int
    reason: str
    rule: str | None
    why: str
    """A pattern of the sentence that explains it."""
    value: tuple[float, float]
    """Between what the rule's metric lies: measured ones are not known beforehand."""
    held: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    load: Mapping[str, float] = field(default_factory=dict)


CASES = {
    "advtom_backend": Case(2, 3, "table_value", "companies", "companies 30, from 21 on 3", (30, 30)),
    "advtom_frontend": Case(1, 2, "table_value", "companies", "companies 30, from 21 on 2", (30, 30)),
    # The table asks for the count that is there, and no rule for more; those that lack data hold reductions alone.
    "advtom_pgbouncer": Case(1, 1, "table_value", "companies", "companies 30, from 1 on 1", (30, 30), held=True),
    "shop_cart": Case(
        1,
        2,
        "above_threshold",
        "memory-high",
        r"memory \S+ % of the limit of 32 MiB, above 80 % for 3s",
        (80, 100),
        load={"mem": 90},
    ),
    "shop_blog": Case(
        2, 1, "below_threshold", "cpu-low", r"cpu \S+ % of the limit of 0.15 cores, below 30 % for 3s", (0, 30)
    ),
    "shop_search": Case(
        1,
        2,
        "above_target",
        "cpu-60",
        r"cpu \S+ % of the limit of 0.15 cores, target 60 %: 1\.\d+ of 1 running replicas needed",
        (66, 120),
        load={"cpu": 95},
    ),
    "shop_orders": Case(
        1,
        3,
        "above_target",
        "queue-100",
        "queue 230 messages, target 100 messages: 2.3 of 1 running replicas needed",
        (230, 230),
    ),
    "shop_api": Case(1, 3, "step_matched", "slow", "p95_ms 620 ms, 420 above 200 ms for 2s", (620, 620)),
    "shop_pay": Case(
        1,
        1,
        "guard",
        "slow",
        "wants 2; the guard pool-exhausted: pool 12 clients, above 0 clients",
        (620, 620),
        held=True,
    ),
    "shop_web": Case(
        1,
        3,
        "at_max",
        "p95-100",
        "wants 5, above max 3",
        (500, 500),
        labels={"autoscaler.policy": "by-label", "autoscaler.replicas.max": "3"},
    ),
    "shop_mail": Case(1, 2, "schedule_bounds", None, "1 is below min 2 of the schedule always", (40, 40)),
}


@dataclass(frozen=True)
class Shop:
    """The services of the cases, the metrics that load them, and the policies for them."""

    engine: Engine
    prometheus: Prometheus
    exporter: Exporter
    policies: Path
    tasks: dict[str, frozenset[str]]
    """The ids of the tasks that ran at first, by service."""

    def autoscaler(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What the autoscaler's command does here."""
        return command(self.engine, self.prometheus.url, self.policies, *arguments)

    def plan(self) -> dict[str, dict[str, Any]]:
        """What `plan --output json` says, by service."""
        done = self.autoscaler("plan", "--output", "json")
        assert done.returncode in {0, 2}, done.stdout + done.stderr
        return {record["service"]: record for record in json.loads(done.stdout)["services"]}

    def plan_for(self, service: str, desired: int) -> dict[str, Any]:
        """The plan's record of *service* as soon as it is to have *desired* replicas."""

        def reached() -> dict[str, Any]:
            record = self.plan()[service]
            if record["desired"] != desired:
                raise LabError(f"{record['desired']} replicas are planned: {record['primary']}")
            return record

        return wait_for(f"{desired} replicas of {service} to be planned", reached)

    def replaced(self, service: str, count: int) -> tuple[int, int]:
        """How many tasks ended and how many were started beyond what it takes for *count* to run, once they do."""
        first = self.tasks[service]
        running = {task["ID"] for task in self.engine.wait_running(service, count)}
        started = {task["ID"] for task in self.engine.tasks(service)} - first
        return len(first - running) - max(0, len(first) - count), len(started) - max(0, count - len(first))


@pytest.fixture(scope="module")
def shop(engine: Engine, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """All services under their loads, seen by Prometheus."""
    policies = tmp_path_factory.mktemp("policies")
    # One evaluation shows what a target asks for, and the machine that runs the tests is often busy.
    given = "defaults:\n  on_starved: allow\n"
    guide = (
        GUIDE.read_text().replace("defaults:\n", given).replace("{cooldown: 10m}", "{cooldown: 10m, stabilization: 0s}")
    )
    (policies / "advwell.yml").write_text(guide)
    (policies / "shop.yml").write_text(SHOP)
    with contextlib.ExitStack() as stack:
        exporter = stack.enter_context(Exporter(SERIES))
        stack.callback(prometheus.reload)
        stack.callback(prometheus.targets.pop, "shop")
        prometheus.targets["shop"] = [exporter.address]
        prometheus.reload()
        loads: dict[str, Load] = {}
        for name, case in CASES.items():
            stack.callback(engine.remove_service, name)
            loads[name] = start_load(engine, name, replicas=case.requested, labels=case.labels, wait=False)
            loads[name].set(cpu=case.load.get("cpu"), mem=case.load.get("mem"))
        for name, case in CASES.items():
            engine.wait_running(name, case.requested)
        yield Shop(engine, prometheus, exporter, policies, {name: load.task_ids for name, load in loads.items()})
        engine.docker("service", "rm", *CASES)  # at once; the callbacks then wait for each


@pytest.fixture(scope="module")
def planned(shop: Shop) -> dict[str, dict[str, Any]]:
    """The plan as soon as each service's windows are full and its deploy is over."""

    def settled() -> dict[str, dict[str, Any]]:
        plan = shop.plan()
        off = {
            name: plan[name]["primary"]
            for name, case in CASES.items()
            if (plan[name]["desired"], plan[name]["primary"]["reason"]) != (case.desired, case.reason)
        }
        if off:
            raise LabError(f"decided otherwise: {off}")
        return plan

    return wait_for("the decisions that the loads demand", settled)


@pytest.fixture(scope="module")
def applied(shop: Shop, planned: Mapping[str, Any]) -> Mapping[str, Any]:
    """The plan, carried out by `run --once`: again where a scrape was missed meanwhile; cooldowns hold the others."""

    def carried_out() -> bool:
        done = shop.autoscaler("run", "--once")
        assert done.returncode == 0, done.stdout + done.stderr
        return all(shop.engine.replicas(name) == record["desired"] for name, record in planned.items())

    wait_for("the plan to be carried out", carried_out, interval=1)
    return planned


@pytest.mark.parametrize("service", CASES)
def test_plan_explains_the_decision_of_each_strategy(planned: Mapping[str, Any], service: str) -> None:
    """`plan --output json` has current and desired, the reason's word, its rule and value, and a sentence with both."""
    case, record = CASES[service], planned[service]
    assert (case.requested, case.requested, case.desired) == tuple(
        record[key] for key in ("requested", "running", "desired")
    )
    assert (case.reason, case.rule) == (record["primary"]["reason"], record["primary"]["rule"])
    assert re.fullmatch(case.why, record["primary"]["detail"])
    assert (record["outcome"] == "held") is case.held
    rule = next(rule for rule in record["rules"] if case.rule in {rule["rule"], None})
    lowest, highest = case.value
    assert lowest <= rule["value"] <= highest


def test_plan_says_the_same_in_a_table_for_people(shop: Shop, planned: Mapping[str, Any]) -> None:
    """`plan` prints a row for each service with `current → desired`, bounds, reason and sentence; then a summary."""
    done = shop.autoscaler("plan")
    assert done.returncode == 2, done.stdout + done.stderr
    text = " ".join(done.stdout.split())  # sentences may be wrapped
    for name, case in CASES.items():
        change = f"{case.requested} → {case.desired}" if case.desired != case.requested else f"{case.requested}"
        rule = rf"\[{re.escape(case.rule)}\] " if case.rule else ""
        row = rf"\b{re.escape(name)} {change} \d+ \d+ {case.reason} [^\[]*{rule}{case.why}"
        assert re.search(row, text), f"{row} is not in\n{done.stdout}"
    changes = sum(record["desired"] != record["requested"] for record in planned.values())
    assert f"{len(CASES)} services: {changes} to change, 2 held. This plan changed nothing." in text


@pytest.mark.parametrize("service", CASES)
def test_one_evaluation_sets_the_counts_and_restarts_no_task(
    shop: Shop, applied: Mapping[str, Any], service: str
) -> None:
    """`run --once` leaves in Swarm what the plan said; the tasks that ran go on, and none was replaced."""
    desired = applied[service]["desired"]
    assert desired == shop.engine.replicas(service)
    assert shop.replaced(service, desired) == (0, 0)


def test_a_veto_ends_with_its_cause(shop: Shop, applied: Mapping[str, Any]) -> None:
    """Once the guard's metric is within its bound again, the rule that it held back adds its replica."""
    assert applied["shop_pay"]["primary"]["reason"] == "guard"
    shop.exporter.set(POOL, 0)
    record = shop.plan_for("shop_pay", 2)
    assert record["primary"]["reason"] == "above_threshold"
    done = shop.autoscaler("run", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.replaced("shop_pay", 2) == (0, 0)
