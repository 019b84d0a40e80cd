"""Whether the daemon can do its work: the answer of `/-/ready`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.core.records import NO_DATA, WRITE
from autoscaler.views.problems import problem_line
from autoscaler.web.app import Health

if TYPE_CHECKING:
    from autoscaler.core.records import Problem
    from autoscaler.evaluation.journal import Snapshot


def readiness(snapshot: Snapshot, *, loaded: bool) -> Health:
    """Return whether any service can be decided on and written, with the reason or the problems that there are.

    A standby, a dry-run, and windows that still fill since the start are ready.
    """
    if not loaded:
        return Health(good=False, detail="not ready: no policies are loaded")
    if snapshot.last_evaluation is None:
        return Health(good=False, detail="not ready: the first evaluation has not ended yet")
    hindering = [problem_line(problem) for problem in snapshot.problems if _hinders_all(problem)]
    if hindering:
        return Health(good=False, detail=f"not ready: {'; '.join(hindering)}")
    problems = "".join(f"\n{problem_line(problem)}" for problem in snapshot.problems)
    return Health(good=True, detail=f"ready{problems}")


def _hinders_all(problem: Problem) -> bool:
    """Return whether no service can be decided on or written while *problem* lasts."""
    return problem.kind in {"swarm", "prometheus"} or (problem.kind in {NO_DATA, WRITE} and not problem.subject)
