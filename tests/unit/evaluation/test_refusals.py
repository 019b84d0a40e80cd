"""Writes that are refused: told once, until a write passes."""

from __future__ import annotations

import pytest

from autoscaler.adapters.docker.engine_api import ForbiddenError
from autoscaler.core.records import Problem
from autoscaler.errors import RefusedError, UnreachableError
from autoscaler.evaluation.journal import Journal
from autoscaler.evaluation.refusals import Refusals
from autoscaler.ports import Receipt, RefusedBy, Written
from tests.support.world import World, policy_for, raising

REFUSED = "Docker: a proxy in front of the engine refused POST /services/x/update (let the socket proxy allow it)"


def busy(*names: str) -> World:
    """A world of services that want a replica more at each evaluation."""
    world = World(policy_for("*", name="all", up_cooldown=0))
    for name in names:
        world.service(name, cpu=95)
    world.settle()
    return world


@pytest.mark.fault("write-refused")
def test_a_proxy_that_refuses_updates() -> None:
    """Refused writes are one problem for all services, told once with the call and the cure, until a write passes."""
    world, journal = busy("api", "web"), Journal()
    world.api.before("update", *[raising(ForbiddenError(REFUSED))] * 6)

    changes, news = [], []
    for evaluation in world.run(75):
        news.append([journal.add(record) for record in evaluation.records])
        changes.append(journal.close(evaluation))

    problem = Problem("write", f"nothing was written: {REFUSED}")
    assert changes == [([problem], []), ([], []), ([], []), ([], [problem]), ([], [])]
    assert news[:3] == [[True, True], [False, False], [False, False]]


def test_a_service_whose_spec_the_engine_refuses() -> None:
    """A refusal that concerns one service is a problem of that service, and over when its write passes."""
    world = busy("api", "web")
    world.api.before("update", raising(RefusedError("invalid spec")))

    first, second = world.run(30)

    assert first.problems == (Problem("write", "nothing was written: invalid spec", "api"),)
    assert second.problems == ()


def test_what_is_no_refusal() -> None:
    """A Swarm that does not answer refuses nothing."""
    world = busy("web")
    world.api.before("service", raising(UnreachableError("away")))
    assert world.next().problems == ()


def test_a_refusal_that_does_not_matter_any_more() -> None:
    """The refusal for a service is forgotten once the service is gone, or its count is right; a proxy's stays."""
    refusals = Refusals()
    refusals.note("web", Receipt(Written.REFUSED, "no", RefusedBy.ENGINE))
    refusals.note("api", Receipt(Written.REFUSED, "no", RefusedBy.ENGINE))
    refusals.note("db", Receipt(Written.REFUSED, "never", RefusedBy.PROXY))
    refusals.not_wanted("web")
    refusals.not_wanted("db")

    assert refusals.problems(["web", "api", "db"]) == [Problem("write", "no", "api"), Problem("write", "never")]
    assert refusals.problems(["web"]) == [Problem("write", "never")]
