"""Files of policy unit tests, written and run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.errors import PolicyError
from autoscaler.policy_tests import run_file

if TYPE_CHECKING:
    from pathlib import Path

    from autoscaler.policy_tests import TestResult

POLICIES = """\
version: 1
policies:
  - name: backend
    services: [backend, "web_*"]
    replicas: {min: 2, max: 8}
    rules:
      - {name: high, metric: cpu, above: 70, for: 1m, add: 1}
      - {name: low, metric: cpu, below: 30, for: 2m, remove: 1}
    scale_up: {cooldown: 1m}
    scale_down: {cooldown: 2m}
"""
TEST = """\
policies: policies.yml
interval: 15s
tests:
  - name: grows
    service: backend
    replicas: 3
    series: {cpu: "80x40"}
    expect:
      - {at: 45s, replicas: 3}
      - {at: 1m, replicas: 4, reason: above_threshold, rule: high}
"""


def run(folder: Path, text: str = TEST, policies: str = POLICIES) -> list[TestResult]:
    """The results of a test file beside a policy file."""
    (folder / "policies.yml").write_text(policies)
    (folder / "test.yml").write_text(text)
    return run_file(folder / "test.yml")


def case(series: str, expect: str, more: str = "", service: str = "backend", replicas: int = 3) -> str:
    """A file of one test."""
    head = f"policies: policies.yml\ntests:\n  - name: t\n    service: {service}\n    replicas: {replicas}\n"
    return f"{head}    series: {series}\n    expect: [{expect}]\n{more}"


def failures(folder: Path, series: str, expect: str, more: str = "", **others: Any) -> list[str]:
    """How one test fails."""
    (result,) = run(folder, case(series, expect, more, **others))
    return [str(failure) for failure in result.failures]


def fails(folder: Path, text: str, policies: str) -> list[str]:
    """How the one test of a file fails, on other policies."""
    (result,) = run(folder, text, policies)
    return [str(failure) for failure in result.failures]


def problems(folder: Path, text: str, policies: str = POLICIES) -> list[str]:
    """What is wrong with a test file."""
    with pytest.raises(PolicyError) as caught:
        run(folder, text, policies)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]
