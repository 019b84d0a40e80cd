"""Policy files as tests write them, read as one set, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.errors import PolicyError
from autoscaler.policy_files import loader

if TYPE_CHECKING:
    from pathlib import Path

    from autoscaler.policy.policy import PolicySet

BACKEND = """\
version: 1
policies:
  - name: backend
    services: [advtom_backend]
    replicas: {min: 3, max: 10}
    rules:
      - {name: cpu-high, metric: cpu, above: 70, for: 5m, add: 1}
      - {name: cpu-low, metric: cpu, below: 30, for: 10m, remove: 1}
    scale_up: {cooldown: 5m}
"""


def policies(*entries: str) -> str:
    """A policy file of *entries*, each the flow mapping of a policy without its braces."""
    return "version: 1\npolicies:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries)


def entry(name: str, services: str, more: str = "", *, rules: str = "{name: r, metric: cpu, above: 70, add: 1}") -> str:
    """A policy, valid but for what *more* says."""
    return f"name: {name}, services: {services}, replicas: {{min: 1, max: 5}}, rules: [{rules}]{more}"


def load(folder: Path, **files: str) -> PolicySet:
    """The policies of *files*, by their names without `.yml`."""
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)
    return loader.load([folder])


def problems(folder: Path, **files: str) -> list[str]:
    """What is wrong with *files*, without the folder's path."""
    with pytest.raises(PolicyError) as caught:
        load(folder, **files)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]
