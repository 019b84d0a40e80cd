"""Measures what viewers cost: the size of the overview, the time to make it, and that of `/metrics`.

    python -m benchmarks.overview [SERVICES]

Every service has noisy samples of its own, so that nothing compresses better than in real life.
"""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import generate_latest

from autoscaler.core.instance import Instance
from autoscaler.core.model import Decision, History, Observation, Outcome, ScaleEvent
from autoscaler.core.records import Evaluation, Record
from autoscaler.core.window import Window
from autoscaler.decision.decide import decide
from autoscaler.decision.recommend import recommend_all
from autoscaler.evaluation.journal import Journal
from autoscaler.plugins.isolation import PluginGuard
from autoscaler.policy.policy import Policy, PolicySet
from autoscaler.views.overview import Facts, overview_document
from autoscaler.web.bodies import Body
from autoscaler.web.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

_NOW = 1_800_000_000
_RULES: list[dict[str, Any]] = [
    {"name": "cpu-high", "metric": "cpu", "above": 70, "for": "5m", "add": 1},
    {"name": "cpu-low", "metric": "cpu", "below": 30, "for": "10m", "remove": 1},
]
_POLICY = {
    "name": "shop",
    "services": ["shop_*"],
    "replicas": {"min": 2, "max": 6},
    "rules": _RULES,
}
_HISTORY = History(events=(ScaleEvent(_NOW - 120, 2, 3),))


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    policy = Policy.model_validate(_POLICY, by_alias=True, by_name=False)
    policies = PolicySet(policies=(policy,), revision="r1")
    journal = Journal()
    records = [_record(policy, f"shop_service{number:04}", random.Random(number)) for number in range(count)]  # noqa: S311 - no secret
    for record in records:
        journal.add(record)
    journal.close(Evaluation(float(_NOW), tuple(records)))
    telemetry = Telemetry(journal, lambda: True, policies=lambda: policies)
    facts = Facts(journal.snapshot(), Instance(), policies)
    body, took = _timed(lambda: Body.of(overview_document(facts)))
    print(
        f"overview of {count} services: {len(body.raw) / 1e3:.1f} kB, {len(body.zipped or b'') / 1e3:.1f} kB with gzip"
    )
    print(f"overview made in {took * 1e3:.1f} ms of CPU, once per evaluation, for any number of viewers")
    text, took = _timed(lambda: generate_latest(telemetry.registry))
    print(f"/metrics: {len(text) / 1e3:.1f} kB, {text.count(b'shop_service') / count:.0f} series a service")
    print(f"/metrics made in {took * 1e3:.1f} ms of CPU, at each scrape")


def _record(policy: Policy, service: str, chance: random.Random) -> Record:
    level = chance.choice((15.0, 50.0, 50.0, 50.0, 85.0))
    values = tuple(level + chance.gauss(0, 4) for _ in range(41))
    requested = chance.randint(2, 6)
    window = Window(end=_NOW, step=15, values=values, unit="%", base="the limit of 0.5 cores")
    observation = Observation(service, float(_NOW), requested, requested, {"cpu": window})
    recommendations = recommend_all(policy, observation, PluginGuard())
    history = _HISTORY if chance.random() < 0.2 else History()
    decision: Decision = decide(policy, observation, history, recommendations)
    applied = Outcome.APPLIED if decision.changes else Outcome.UNCHANGED
    return Record(decision, Outcome.HELD if decision.held else applied, last_change=history.last())


def _timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """Return what *make* returns, and its CPU time in seconds, the best of five."""
    times = []
    for _ in range(5):
        began = time.process_time()
        made = make()
        times.append(time.process_time() - began)
    return made, min(times)


if __name__ == "__main__":
    main()
