"""Problems in words. The daemon needs these, and nothing else that commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoscaler.core.records import Problem


def problem_line(problem: Problem) -> str:
    """Return a problem in one sentence."""
    where = {
        "query": f"the query of {problem.subject}",
        "source": f"the metric source {problem.subject}",
        "service": f"the service {problem.subject}",
        "no_data": "no data",
        "write": f"writes to {problem.subject}" if problem.subject else "writes to Swarm",
        "starved": f"the node {problem.subject} is starved of CPU",
    }
    return f"{where.get(problem.kind, problem.kind.replace('_', ' '))}: {problem.detail}"
