from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

import autoscaler
from autoscaler.core.model import Direction, Outcome, Recommendation, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import PROBLEM_KINDS, Evaluation, Problem, Record
from autoscaler.evaluation.journal import Journal
from autoscaler.web.app import Health, Views, application
from autoscaler.web.telemetry import Telemetry
from tests.support.world import decided

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse, web

    from autoscaler.views.documents import PoliciesDocument

HIGH = Why(Reason.ABOVE_THRESHOLD, "cpu 85 %", "cpu-high")
ROLLING = Why(Reason.ROLLOUT_IN_PROGRESS, "a rolling update is in progress")
METRICS = {
    "autoscaler_requested_replicas",
    "autoscaler_running_replicas",
    "autoscaler_desired_replicas",
    "autoscaler_unplaced_replicas",
    "autoscaler_recommended_replicas",
    "autoscaler_min_replicas",
    "autoscaler_max_replicas",
    "autoscaler_decisions",
    "autoscaler_held",
    "autoscaler_hold",
    "autoscaler_hold_ends_timestamp_seconds",
    "autoscaler_scaled",
    "autoscaler_last_change_timestamp_seconds",
    "autoscaler_mode",
    "autoscaler_rule_bound",
    "autoscaler_paused",
    "autoscaler_problems",
    "autoscaler_rule_value",
    "autoscaler_evaluation_duration_seconds",
    "autoscaler_last_evaluation_timestamp_seconds",
    "autoscaler_evaluations_missed",
    "autoscaler_prometheus_queries",
    "autoscaler_swarm_requests",
    "autoscaler_policies_last_reload_successful",
    "autoscaler_leader",
    "autoscaler_build_info",
}
"""The autoscaler's own metrics; counters without their `_total`."""


def record(service: str = "web", outcome: Outcome = Outcome.APPLIED, why: Why = HIGH, **more: Any) -> Record:
    """A decision to go from 3 replicas, of which 2 run, to 4."""
    told = (
        Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 4, 85.5, "cpu 85.5 %"),
        Recommendation("memory-high", Reason.NO_DATA, seen="memory has no samples"),
    )
    decision = decided(why, service=service, running=2, desired=4, recommendations=told)
    return Record(decision, outcome, **more)


class Site:
    """The application over a journal, its answers and what it is told."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.reload_successful = True
        self.health = Health(good=True, detail="healthy")
        self.readiness = Health(good=False, detail="not reached yet: swarm")
        self.policies: PoliciesDocument = {"revision": "r1", "problems": []}
        self.telemetry = Telemetry(self.journal, lambda: self.reload_successful)

    def application(self) -> web.Application:
        """The application."""
        registry = self.telemetry.registry
        views = Views(self.journal, registry, lambda: self.health, lambda: self.readiness, lambda: self.policies)
        return application(views)

    def evaluated(self, *records: Record, at: float = 1_800_000_000.0, problems: tuple[Problem, ...] = ()) -> None:
        """An evaluation has left these behind."""
        for item in records:
            self.journal.add(item)
        self.journal.close(Evaluation(at, records, problems))


@pytest.fixture
def site() -> Site:
    """An application before the first evaluation."""
    return Site()


@pytest.fixture
async def client(site: Site) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A client of the application over a real socket."""
    async with TestClient(TestServer(site.application())) as client:
        yield client


async def samples(response: ClientResponse) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples of an exposition by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(await response.text())
        for sample in family.samples
    }


async def test_the_metrics_are_those_of_the_specification(
    site: Site, client: TestClient[web.Request, web.Application]
) -> None:
    """`/metrics` lists the autoscaler's own metrics and nothing else, each with a help text."""
    site.telemetry.count_query("success")
    site.telemetry.count_request("read", "success")
    site.evaluated(record())

    response = await client.get("/metrics")
    families = list(text_string_to_metric_families(await response.text()))

    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert {family.name for family in families} == METRICS
    assert all(family.documentation.endswith(".") for family in families)


async def test_what_is_paused_is_a_metric(site: Site, client: TestClient[web.Request, web.Application]) -> None:
    """Each service has a series for each direction: 1 where it is paused, 0 where it is not."""
    site.evaluated(record("api"), record("web", paused={Direction.DOWN: "paused by ana"}))

    found = await samples(await client.get("/metrics"))

    assert {labels: value for (name, labels), value in found.items() if name == "autoscaler_paused"} == {
        (("direction", direction), ("service", service)): (service, direction) == ("web", "down")
        for service in ("api", "web")
        for direction in ("up", "down")
    }


async def test_what_keeps_evaluations_from_their_work_is_a_metric(
    site: Site, client: TestClient[web.Request, web.Application]
) -> None:
    """Each kind of problem has a series that counts those that last, 0 where there is none, so that one can alert."""
    site.journal.close(
        Evaluation(0.0, problems=(Problem("query", "refused", "p95"), Problem("query", "refused", "rps")))
    )

    found = await samples(await client.get("/metrics"))
    counts = {dict(labels)["kind"]: value for (name, labels), value in found.items() if name == "autoscaler_problems"}

    assert counts == {**dict.fromkeys(PROBLEM_KINDS, 0), "query": 2}


async def test_the_metrics_before_the_first_evaluation(client: TestClient[web.Request, web.Application]) -> None:
    """Before anything was evaluated there are no series of services, and no time of an evaluation."""
    found = await samples(await client.get("/metrics"))

    assert not [name for name, labels in found if "service" in dict(labels)]
    assert found["autoscaler_last_evaluation_timestamp_seconds", ()] == 0
    assert found["autoscaler_build_info", (("version", autoscaler.__version__),)] == 1


async def test_the_metrics_have_the_values_of_the_journal(
    site: Site, client: TestClient[web.Request, web.Application]
) -> None:
    """Counts, outcomes, holds and values are those of the decisions; what has no value has no series."""
    told = (
        Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 6, 91.5),
        Recommendation("memory-high", Reason.NO_DATA),
    )
    waiting = replace(decided(ROLLING, requested=4, running=3, desired=4, recommendations=told), unplaced=1)
    held = Record(waiting, Outcome.HELD)
    site.evaluated(record())
    site.evaluated(held)
    site.evaluated(held, at=1_800_000_030.5)
    site.journal.miss()
    site.telemetry.count_query("success")
    site.telemetry.count_query("unreachable")
    site.telemetry.count_request("scale", "applied")
    site.telemetry.duration.observe(0.3)
    site.reload_successful = False

    found = await samples(await client.get("/metrics"))

    expected = {
        ("autoscaler_requested_replicas", (("service", "web"),)): 4,
        ("autoscaler_running_replicas", (("service", "web"),)): 3,
        ("autoscaler_desired_replicas", (("service", "web"),)): 4,
        ("autoscaler_unplaced_replicas", (("service", "web"),)): 1,
        ("autoscaler_decisions_total", (("outcome", "applied"), ("service", "web"))): 1,
        ("autoscaler_decisions_total", (("outcome", "held"), ("service", "web"))): 2,
        ("autoscaler_held_total", (("reason", "rollout_in_progress"), ("service", "web"))): 2,
        ("autoscaler_rule_value", (("rule", "cpu-high"), ("service", "web"))): 91.5,
        ("autoscaler_last_evaluation_timestamp_seconds", ()): 1_800_000_030.5,
        ("autoscaler_evaluations_missed_total", ()): 1,
        ("autoscaler_prometheus_queries_total", (("result", "success"),)): 1,
        ("autoscaler_prometheus_queries_total", (("result", "unreachable"),)): 1,
        ("autoscaler_swarm_requests_total", (("operation", "scale"), ("result", "applied"))): 1,
        ("autoscaler_policies_last_reload_successful", ()): 0,
        ("autoscaler_evaluation_duration_seconds_count", ()): 1,
        ("autoscaler_evaluation_duration_seconds_sum", ()): 0.3,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert ("autoscaler_rule_value", (("rule", "memory-high"), ("service", "web"))) not in found


async def test_a_vanished_service_leaves_no_series(
    site: Site, client: TestClient[web.Request, web.Application]
) -> None:
    """A service that no policy applies to any more, or that was removed, has no series left."""
    site.evaluated(record("web"), record("api", Outcome.HELD))
    site.evaluated(record("web"))

    found = await samples(await client.get("/metrics"))

    assert {dict(labels)["service"] for _, labels in found if "service" in dict(labels)} == {"web"}


async def test_a_service_that_swarm_does_not_have_has_no_replicas(
    site: Site, client: TestClient[web.Request, web.Application]
) -> None:
    """A service that a policy names and Swarm lacks is held, and not shown as one with 0 replicas."""
    why = Why(Reason.SERVICE_NOT_FOUND, "Swarm has no service of this name")
    lacking = Record(decided(why, service="wbe", requested=0, held=True), Outcome.HELD)
    site.evaluated(record("web"), lacking)

    found = await samples(await client.get("/metrics"))

    assert found["autoscaler_held_total", (("reason", "service_not_found"), ("service", "wbe"))] == 1
    assert [dict(labels)["service"] for name, labels in found if name.endswith("_replicas")] == ["web"] * 4


async def test_odd_names_are_escaped(site: Site, client: TestClient[web.Request, web.Application]) -> None:
    """Whatever a service is called, the exposition stays readable."""
    site.evaluated(record('we"b\\\n'))

    found = await samples(await client.get("/metrics"))

    assert found["autoscaler_requested_replicas", (("service", 'we"b\\\n'),)] == 3


async def test_health_and_readiness(site: Site, client: TestClient[web.Request, web.Application]) -> None:
    """The health endpoints answer in a status and in words."""
    healthy, ready = await client.get("/-/healthy"), await client.get("/-/ready")
    assert (healthy.status, await healthy.text()) == (200, "healthy\n")
    assert (ready.status, await ready.text()) == (503, "not reached yet: swarm\n")

    site.health = Health(good=False, detail="no evaluation has ended for 90 s")
    assert (await client.get("/-/healthy")).status == 503


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/api/v1/services", "/nothing"])
async def test_every_answer_has_the_security_headers(
    client: TestClient[web.Request, web.Application], path: str
) -> None:
    """No answer is guessed at or kept by a browser, errors included."""
    response = await client.get(path)

    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


async def test_an_unknown_path_is_not_found(client: TestClient[web.Request, web.Application]) -> None:
    """What is not there is a 404, a directory above included."""
    for path in ("/nothing", "/api/v1/", "/metrics/..%2f..%2fetc/passwd"):
        assert (await client.get(path)).status == 404


async def test_nothing_can_be_changed(client: TestClient[web.Request, web.Application]) -> None:
    """No endpoint takes anything but a question."""
    for path in ("/metrics", "/-/healthy", "/api/v1/services"):
        assert (await client.post(path, data="x")).status == 405


async def test_an_oversized_request_is_refused(client: TestClient[web.Request, web.Application]) -> None:
    """A body, a path or a header that nobody needs is refused, and the next request is served."""
    body = await client.get("/metrics", data=b"x" * 100_000)
    path = await client.get("/" + "x" * 20_000)
    header = await client.get("/metrics", headers={"X-Long": "x" * 20_000})

    assert (body.status, path.status, header.status) == (413, 400, 400)
    assert (await client.get("/-/healthy")).status == 200
