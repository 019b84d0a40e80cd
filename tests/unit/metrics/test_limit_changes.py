from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from autoscaler.metrics.limit_changes import LimitChanges
from autoscaler.swarm.cluster import ServiceView, SpecBefore
from tests.support.builders import NOW

VIEW = ServiceView("id", "web", 1, "replicated", 3, NOW - 9999, NOW - 9999, cpu_limit=0.5, memory_limit=100.0)
LATER = NOW + 60
RAISED = replace(VIEW, cpu_limit=2.0)
ROLLING = replace(RAISED, update_state="updating")


def raised(*looks: tuple[float, ServiceView]) -> tuple[float, float]:
    """The last moments at which tasks may have had a lower limit of CPU and of memory, after *looks*."""
    limits = LimitChanges()
    for now, view in looks:
        limits.note([view], now)
    view = looks[-1][1]
    return limits.raised(view, "cpu"), limits.raised(view, "memory")


@pytest.mark.parametrize(
    ("limit", "is_raised"),
    [(0.5, False), (0.2, False), (0.6, True), (None, True)],
    ids=["same", "less", "more", "none"],
)
def test_a_limit_that_is_raised(limit: float | None, *, is_raised: bool) -> None:
    """A higher limit and none at all count from when they are seen; a lower one and the same do not."""
    assert raised((NOW, VIEW), (LATER, replace(VIEW, cpu_limit=limit))) == (LATER if is_raised else -inf, -inf)


def test_memory_and_cpu_each_for_itself() -> None:
    """A higher limit of memory says nothing of the CPU."""
    assert raised((NOW, VIEW), (LATER, replace(VIEW, memory_limit=200.0))) == (-inf, LATER)


def test_until_the_rollout_is_over() -> None:
    """Tasks of the version before report until the rollout ends; a rollout of something else does not count."""
    looks = (NOW, VIEW), (LATER, ROLLING), (LATER + 30, ROLLING), (LATER + 60, RAISED)
    assert raised(*looks) == (LATER + 30, -inf)
    assert raised(*looks, (LATER + 90, ROLLING)) == (LATER + 30, -inf)


@pytest.mark.parametrize(
    ("before", "since"),
    [
        (None, -inf),
        (SpecBefore(3, "", 0.5, 100.0), -inf),
        (SpecBefore(3, "", 0.2, 100.0), NOW - 9999),
        (SpecBefore(3, "", None, 100.0), -inf),
    ],
)
def test_after_a_restart(before: SpecBefore | None, since: float) -> None:
    """At the first look the version before tells, from the last update on."""
    assert raised((NOW, replace(VIEW, before=before))) == (since, -inf)


def test_a_restart_during_the_rollout() -> None:
    """A rollout that is met at the first look is waited for too."""
    before = SpecBefore(3, "", 0.5, 100.0)
    assert raised((NOW, replace(ROLLING, before=before)), (LATER, replace(RAISED, before=before))) == (NOW, -inf)


def test_a_service_that_is_gone_is_forgotten() -> None:
    """A service that is not looked at any more is unknown."""
    limits = LimitChanges()
    limits.note([VIEW], NOW)
    limits.note([RAISED], LATER)
    limits.note([], LATER + 1)
    assert limits.raised(RAISED, "cpu") == -inf
