"""The world that the benchmarks measure in: how many services, what loads them, and the policies that apply.

Of every ten services, three ask for more replicas (two by CPU, one by memory), three for fewer, and four for none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.metrics.queries import NODE_LABEL, SERVICE_LABEL, TASK_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRAPE = 15
"""Seconds between two scrapes; also the evaluation interval and the window step."""
HISTORY = 60
"""Scrapes before the first evaluation: 15 minutes, more than the longest window."""
TASKS = 3
CORES = 1.0
MEMORY = 512 * 2**20
"""Limits of each task: cores and bytes."""
AGE = 3600
"""How many seconds before the first sample the tasks began to run."""
PER_STACK = 50
"""Services of one stack; a policy applies to each stack."""
MEMORY_AND_CPU = 2
"""How many metrics the guide's rules look at."""
_SCRAPED_AFTER = 7
"""Seconds between a window step and the scrape that follows it."""
_LOADS = {
    0: (0.85, 0.55),
    1: (0.15, 0.55),
    2: (0.50, 0.90),
    3: (0.50, 0.20),
    5: (0.85, 0.55),
    6: (0.15, 0.55),
}
"""Shares of the limits that the tasks use, CPU and memory, by the service's number modulo ten; of the others:"""
_CALM = (0.50, 0.55)
_PER_NODE = 50
"""Tasks on each node, whose cAdvisor is an instance of its own."""
_NODE_CORES = 64
"""More than the tasks of a node use."""
_CPUS = (("cpu00", 0.6), ("cpu01", 0.4))
"""How a task's load is spread over two CPUs."""

_POLICY = """\
  - name: {stack}
    services: ["{stack}_*"]
    replicas: {{min: 2, max: 10}}
    rules:
      - {{name: cpu-high,    metric: cpu,    above: 70, for: 5m,  add: 1}}
      - {{name: cpu-low,     metric: cpu,    below: 30, for: 10m, remove: 1}}
      - {{name: memory-high, metric: memory, above: 80, for: 1m,  add: 1}}
      - {{name: memory-low,  metric: memory, below: 30, for: 10m, remove: 1}}
    scale_up:   {{cooldown: 5m}}
    scale_down: {{cooldown: 10m}}
"""


@dataclass(frozen=True, slots=True)
class World:
    """A Swarm of *services*, whose samples begin at *start* (Unix seconds, a window step)."""

    services: int
    start: int

    @property
    def names(self) -> list[str]:
        """The services' names."""
        return [f"{stack_of(number)}_service{number % PER_STACK:02d}" for number in range(self.services)]

    @property
    def metrics(self) -> int:
        """How many metrics the policies look at."""
        return MEMORY_AND_CPU

    @property
    def rising(self) -> int:
        """How many services have a rule that asks for more replicas."""
        return sum(map(self.rises, range(self.services)))

    @property
    def falling(self) -> int:
        """How many services have rules that ask for fewer replicas."""
        return sum(map(self.falls, range(self.services)))

    @property
    def acting(self) -> int:
        """For how many services the first evaluation proposes what the rules ask for."""
        asking = (number for number in range(self.services) if self.rises(number) or self.falls(number))
        return sum(not self.holds(number) for number in asking)

    def rises(self, number: int) -> bool:
        """Whether a rule asks for more replicas of the service."""
        return number % 10 in {0, 2, 5}

    def falls(self, number: int) -> bool:
        """Whether rules ask for fewer replicas of the service."""
        return number % 10 in {1, 3, 6}

    def holds(self, number: int) -> bool:
        """Whether the policy holds back, from the first evaluation on, what the rules ask for."""
        return number % 10 == 3  # the CPU of three tasks would be too much for two

    @property
    def first_evaluation(self) -> float:
        """When the first evaluation is due: just after a window step, as the daemon does it."""
        return self.start + HISTORY * SCRAPE + 0.25

    def policies(self) -> str:
        """A policy file with the four rules for each stack."""
        stacks = dict.fromkeys(stack_of(number) for number in range(self.services))
        return "version: 1\npolicies:\n" + "".join(_POLICY.format(stack=stack) for stack in stacks)

    def openmetrics(self, scrapes: int) -> str:
        """What Prometheus saw in that many scrapes, as samples with time stamps."""
        moments = [self.start + row * SCRAPE + _SCRAPED_AFTER for row in range(scrapes)]
        return "".join([*self._lines(moments), "# EOF\n"])

    def _lines(self, moments: list[int]) -> Iterator[str]:
        """What cAdvisor shows of all tasks."""
        chance = random.Random(self.services)  # noqa: S311 - the same noise in every run
        for number, service in enumerate(self.names):
            cpu_share, memory_share = _LOADS.get(number % 10, _CALM)
            for slot in range(1, TASKS + 1):
                task = f"{service}.{slot}.{chance.getrandbits(100):025x}"
                node = (number * TASKS + slot - 1) // _PER_NODE
                names = f'{SERVICE_LABEL}="{service}",{TASK_LABEL}="{task}",{NODE_LABEL}="{node}"'
                labels = f'id="/docker/{task[-25:]}",instance="node{node}:8080",{names}'
                used = [chance.uniform(0, 100) for _ in _CPUS]
                for at in moments:
                    # Up to 5 % more or less than the service's load: no sample leaves its side of a bound.
                    cores = CORES * cpu_share * chance.uniform(0.95, 1.05)
                    for index, (cpu, part) in enumerate(_CPUS):
                        used[index] += cores * part * SCRAPE
                        yield f'container_cpu_usage_seconds_total{{cpu="{cpu}",{labels}}} {used[index]:.9f} {at}\n'
                    held = int(MEMORY * memory_share * chance.uniform(0.95, 1.05))
                    yield f"container_memory_working_set_bytes{{{labels}}} {held} {at}\n"
                    yield f"container_start_time_seconds{{{labels}}} {self.start - AGE} {at}\n"
        yield from self._nodes(moments)

    def _nodes(self, moments: list[int]) -> Iterator[str]:
        """What cAdvisor shows of the nodes, which have CPU to spare."""
        for node in range(-(-self.services * TASKS // _PER_NODE)):
            instance = f'instance="node{node}:8080"'
            for at in moments:
                yield f"machine_cpu_cores{{{instance}}} {_NODE_CORES} {at}\n"
                for cpu, part in _CPUS:
                    used = _NODE_CORES / 2 * part * (at - self.start)
                    yield f'container_cpu_usage_seconds_total{{cpu="{cpu}",id="/",{instance}}} {used} {at}\n'


def stack_of(number: int) -> str:
    """The stack of the service of this number."""
    return f"stack{number // PER_STACK:03d}"
