"""Check of queries by the library promql-parser, if it is installed.

The result is a warning and never an error, because the library does not know MetricsQL or all of the newest PromQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.policy.metric import PROMETHEUS
from autoscaler.policy_files.lint.case import Warned
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.util.text import tidy

try:
    import promql_parser
except ImportError:  # the extra promql is not installed
    INSTALLED = False
else:
    INSTALLED = True

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autoscaler.policy.metric import Metric
    from autoscaler.policy_files.lint.played import Effort

LONGEST = 2_000
"""The most characters of a query that is checked. The library takes seconds for 10,000, and may crash."""
_SHOWN = 200
_PANIC = "PanicException"
"""The exception of the library for numbers like ``[9e99]``. It cannot be imported from any module."""


def misread(metric: Metric, effort: Effort) -> Iterator[Warned]:
    """Warn of a query of Prometheus that the library refuses, or that does not give one value for each moment."""
    query = metric.query
    if not INSTALLED or query is None or metric.source != PROMETHEUS or len(query) > LONGEST:
        return
    if not effort.spend(1 + len(query) ** 2 // 200):
        return
    try:
        parsed = promql_parser.parse(query)
    except BaseException as error:
        if not isinstance(error, ValueError) and type(error).__name__ != _PANIC:
            raise
        said = tidy(str(error), _SHOWN)
        cure = "correct the query, or ignore promql here if your server accepts the query"
        yield Warned(LintId.PROMQL, ("query",), f"the query may not be PromQL: {said}", cure)
    else:
        if isinstance(parsed, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
            what = "the query gives a range of samples, but a metric needs one value for each moment"
            yield Warned(LintId.PROMQL, ("query",), what, "put the range into a function, like avg_over_time")
