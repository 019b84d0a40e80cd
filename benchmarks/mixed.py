"""The world of the benchmarks with every strategy in it: a policy for each stack, of five kinds in turn.

The loads are those of the world with thresholds; a latency by service and one number for all services come beside.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.world import MEMORY_AND_CPU, PER_STACK, World, stack_of

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPANIES = 60
_LATENCIES = {0: 900, 1: 40}
"""Milliseconds, by the service's number modulo ten; of the others:"""
_CALM = 150
_METRICS = """\
metrics:
  p95_ms: {query: shop_p95_ms, by: swarm_service, unit: ms}
  companies: {query: sum(shop_active_companies), kind: total}
"""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of policy, and what it makes of the ten loads, by the service's number modulo ten."""

    policy: str
    rising: frozenset[int]
    falling: frozenset[int]
    held: frozenset[int] = frozenset()
    """Those of them that something holds back already at the first evaluation."""


_THRESHOLDS = _Kind(
    """\
    replicas: {min: 2, max: 10}
    rules:
      - {name: cpu-high,    metric: cpu,    above: 70, for: 5m,  at_least: 80%, add: 1}
      - {name: cpu-low,     metric: cpu,    below: 30, for: 10m, remove: 1, group: idle}
      - {name: memory-high, metric: memory, above: 80, for: 1m,  add: 50%}
      - {name: memory-low,  metric: memory, below: 60, for: 10m, remove: 1, group: idle}
""",
    rising=frozenset({0, 2, 5}),
    falling=frozenset({1, 6}),
)
_TARGETS = _Kind(
    """\
    replicas: {min: 1, max: 10}
    rules:
      - {name: cpu,       metric: cpu,       strategy: target, target: 50}
      - {name: memory,    metric: memory,    strategy: target, target: 90}
      - {name: latency,   metric: p95_ms,    strategy: target, target: 300}
      - {name: companies, metric: companies, strategy: target, target: 30}
    scale_up:   {limits: [{replicas: 4, per: 1m}, {percent: 100, per: 1m}]}
    scale_down: {stabilization: 5m}
""",
    rising=frozenset({0, 5}),
    falling=frozenset({1, 6}),
    held=frozenset({1, 6}),  # the first look remembers the count that it found
)
_STEPS = _Kind(
    """\
    replicas: {min: 1, max: 10}
    rules:
      - name: slow
        metric: p95_ms
        strategy: steps
        above: 400
        for: 1m
        steps: [{lower: 0, upper: 200, add: 1}, {lower: 200, add: 50%}]
      - name: fast
        metric: p95_ms
        strategy: steps
        below: 100
        for: 5m
        steps: [{upper: -50, remove: 2}, {lower: -50, upper: 0, remove: 1}]
      - {name: busy, metric: cpu,    strategy: steps, above: 70, for: 5m, steps: [{lower: 0, exactly: 6}]}
      - {name: full, metric: memory, strategy: steps, above: 80, for: 1m, steps: [{lower: 0, add: 1}]}
    scale_down: {limits: [{percent: 50, per: 5m}]}
""",
    rising=frozenset({0, 2, 5}),
    falling=frozenset({1}),
)
_TABLE = _Kind(
    """\
    replicas: {min: 2, max: 10}
    rules:
      - {name: companies, metric: companies, strategy: table, table: {1: 2, 51: 3, 101: 5, 201: 8}, group: fewer}
      - {name: cpu-high,    metric: cpu,    above: 70, for: 5m,  add: 1}
      - {name: cpu-low,     metric: cpu,    below: 30, for: 10m, remove: 1, group: fewer}
      - {name: memory-high, metric: memory, above: 80, for: 1m,  add: 1}
""",
    rising=frozenset({0, 2, 5}),
    falling=frozenset(),
)
_GUARDED = _Kind(
    """\
    replicas: {min: 2, max: 10}
    rules:
      - {name: cpu-high,    metric: cpu,    above: 70,  for: 5m,  add: 1}
      - {name: cpu-low,     metric: cpu,    below: 30,  for: 10m, remove: 1}
      - {name: memory-high, metric: memory, above: 80,  for: 1m,  add: 1}
      - {name: slow,        metric: p95_ms, above: 500, for: 1m,  add: 1}
    guards: [{name: full, metric: companies, above: 40, block: up}]
    fallback: {after: 10m, replicas: 6}
    schedules:
      - {name: work, start: "0 8 * * mon-fri", end: "0 18 * * mon-fri", timezone: America/Sao_Paulo, min: 3}
      - {name: evening, start: "0 17 * * *", end: "0 1 * * *", timezone: America/Sao_Paulo, max: 8}
""",
    rising=frozenset({0, 2, 5}),
    falling=frozenset({1, 6}),
    held=frozenset({0, 2, 5}),
)
_KINDS = (_THRESHOLDS, _TARGETS, _STEPS, _TABLE, _GUARDED)


@dataclass(frozen=True, slots=True)
class MixedWorld(World):
    """A world whose policies use every strategy, and whatever else a policy may hold."""

    @property
    def metrics(self) -> int:
        """How many metrics the policies look at: those of each service, its latency, and the number of companies."""
        return MEMORY_AND_CPU + 2

    def policies(self) -> str:
        """A policy file with one policy for each stack."""
        kinds = {stack_of(number): _kind(number).policy for number in range(self.services)}
        entries = (f'  - name: {stack}\n    services: ["{stack}_*"]\n{policy}' for stack, policy in kinds.items())
        return f"version: 1\n{_METRICS}policies:\n" + "".join(entries)

    def rises(self, number: int) -> bool:
        """Whether a rule asks for more replicas of the service."""
        return number % 10 in _kind(number).rising

    def falls(self, number: int) -> bool:
        """Whether rules ask for fewer replicas of the service."""
        return number % 10 in _kind(number).falling

    def holds(self, number: int) -> bool:
        """Whether the policy holds back, from the first evaluation on, what the rules ask for."""
        return number % 10 in _kind(number).held

    def _lines(self, moments: list[int]) -> Iterator[str]:
        yield from World._lines(self, moments)  # noqa: SLF001 - dataclasses with slots know no super() here
        chance = random.Random(self.services)  # noqa: S311 - the same noise in every run
        for number, service in enumerate(self.names):
            latency = _LATENCIES.get(number % 10, _CALM)
            for at in moments:
                yield f'shop_p95_ms{{swarm_service="{service}"}} {latency * chance.uniform(0.95, 1.05):.1f} {at}\n'
        for at in moments:
            yield f"shop_active_companies {COMPANIES} {at}\n"


def _kind(number: int) -> _Kind:
    """What kind of policy applies to the service of this number."""
    return _KINDS[number // PER_STACK % len(_KINDS)]
