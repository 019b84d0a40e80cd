"""The policy of most tests, and what a service's label tells of its changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.lab import Engine, Load


def policy(service: str, *, low: int = 1, high: int = 4, up: str = "2s", down: str = "2s") -> str:
    """The guide's rules, in seconds."""
    return f"""
version: 1
policies:
  - name: guide
    services: [{service}]
    replicas: {{min: {low}, max: {high}}}
    rules:
      - {{name: cpu-high, metric: cpu, above: 70, for: 3s, add: 1}}
      - {{name: cpu-low, metric: cpu, below: 30, for: 5s, remove: 1}}
      - {{name: memory-high, metric: memory, above: 80, for: 2s, add: 1}}
    on_starved: allow  # the machine that runs the tests is often busy
    scale_up: {{cooldown: {up}}}
    scale_down: {{cooldown: {down}}}
"""


def changes(engine: Engine, load: Load) -> list[list[int]]:
    """The changes of the count that the autoscaler's label on the service tells of."""
    state = json.loads(engine.service(load.name)["Spec"]["Labels"]["autoscaler.state"])
    return [change[1:] for change in state["changes"]]
