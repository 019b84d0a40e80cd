"""The lint: what is valid in a policy set but hardly meant, each with a stable id and the numbers that show it.

A warning is never about what might be meant and work. What "never" happens does so for no value of a metric, as far as
the policies themselves show. Labels of a service may give it other bounds, so that a policy that services choose only
by label gets no warning about its own bounds.
"""

from autoscaler.policy_files.lint.case import Origin
from autoscaler.policy_files.lint.findings import warnings
from autoscaler.policy_files.lint.ids import LintId

__all__ = ["LintId", "Origin", "warnings"]
