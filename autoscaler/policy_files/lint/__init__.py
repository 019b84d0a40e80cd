"""The lint: warnings about policies that are valid but hardly intended, each with a stable id and its numbers.

A policy that may be intended and works never gets a warning. "Never" in a warning means: for no value of a metric, as
far as the policies show. Labels of a service may give it other bounds. So a policy that services choose only by label
gets no warning about its own bounds.
"""

from autoscaler.policy_files.lint.case import Origin
from autoscaler.policy_files.lint.findings import warnings
from autoscaler.policy_files.lint.ids import LintId

__all__ = ["LintId", "Origin", "warnings"]
