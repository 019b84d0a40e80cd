"""Policy unit tests: the decisions of policies on given series, in virtual time, by the daemon's own evaluation.

A test file names its policies and holds tests; `run_file` gives a result for each, as values. A test file that is
itself wrong raises PolicyError with all its problems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.errors import PolicyError
from autoscaler.policy_files.validation import validate
from autoscaler.policy_tests import files, results
from autoscaler.policy_tests.checks import problems
from autoscaler.policy_tests.results import Failure, TestResult

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Failure", "TestResult", "run_file"]


def run_file(path: Path) -> list[TestResult]:
    """Return the results of the tests in the file at *path*, in its order. Raise PolicyError if it is invalid."""
    document = files.opened(path)
    content, found = validate(document, files.CaseFile)
    policies, of_policies = files.policies_of(document, path.parent)
    cases, of_cases = files.cases_of(document)
    found.extend(of_cases)
    if content is not None:
        found.extend(problems(cases, content.interval, policies))
    if found or of_policies or content is None or policies is None:
        raise PolicyError([*map(str, sorted(set(found))), *map(str, of_policies)])
    return [results.of(case, policies, content.interval) for case in cases]
