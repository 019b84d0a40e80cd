from __future__ import annotations

import gzip
import json
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from autoscaler.core.instance import Instance, Mode, Role
from autoscaler.core.model import Direction, Outcome, Recommendation, ScaleEvent, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from autoscaler.core.states import State
from autoscaler.core.window import Window
from autoscaler.evaluation.journal import Journal
from autoscaler.policy.policy import PolicySet
from autoscaler.views.policies import PoliciesInForce
from autoscaler.web.answers import CLOCK, NEXT_EVALUATION
from autoscaler.web.app import Health, Views, application
from autoscaler.web.telemetry import Telemetry
from tests.support.builders import CPU_HIGH, NOW, STEP, written
from tests.support.world import decided

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

HIGH = Why(Reason.ABOVE_THRESHOLD, "cpu 85.52 %, above 70 % for 1m", "cpu-high")
ASKS = Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 4, 85.5234, "cpu 85.52 %", "above 70 % for 1m")
LACKS = Recommendation("cpu-high", Reason.NO_DATA, seen="cpu has no samples")
LIVE = Instance(
    leader="one-1",
    revision="r1",
    prometheus="http://prometheus:9090",
    docker="unix:///var/run/docker.sock",
    started=NOW - 60.0,
    next_evaluation=NOW + 15.25,
    seconds_left=12.5,
    now=NOW + 2.75,
)


def record(
    service: str = "web",
    outcome: Outcome = Outcome.APPLIED,
    why: Why = HIGH,
    item: Recommendation = ASKS,
    at: float = NOW,
    **more: Any,
) -> Record:
    """A decision of the policy `shop` to go from 3 replicas, of which 2 run, to 4, of 2 to 6 allowed."""
    decision = decided(why, service=service, running=2, desired=4, at=at, recommendations=[item])
    facts: dict[str, Any] = {"minimum": 2, "maximum": 6}
    facts |= {name: more.pop(name) for name in ("maximum", "minimum", "recommended", "unplaced") if name in more}
    decision = replace(decision, **facts)
    return Record(decision, outcome, **more)


class Shown:
    """The application over a journal, with a policy `shop` in force."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.instance = LIVE
        rule = CPU_HIGH.model_dump(mode="json", by_alias=True, exclude_none=True) | {"for": "1m"}
        rule = {key: rule[key] for key in ("name", "metric", "above", "for", "add")}
        schedule = {"name": "day", "start": "0 8 * * *", "end": "0 20 * * *", "min": 3}
        policy = written(rule, least=2, most=6, schedules=[schedule]).model_copy(update={"name": "shop"})
        self.loaded = PoliciesInForce(PolicySet(policies=(policy,), revision="r1"), {"shop": "shop.yml:3"})

    def application(self) -> web.Application:
        """The application."""
        good = Health(good=True, detail="good")
        telemetry = Telemetry(self.journal, lambda: True)
        views = Views(
            self.journal,
            telemetry.registry,
            lambda: good,
            lambda: good,
            lambda: {"revision": "r1", "problems": []},
            instance=lambda: self.instance,
            loaded=lambda: self.loaded,
        )
        return application(views)

    def evaluated(self, *records: Record, at: float = NOW, problems: tuple[Problem, ...] = ()) -> None:
        """An evaluation has left these behind."""
        for item in records:
            self.journal.add(item)
        self.journal.close(Evaluation(at, records, problems, ("all services: up paused by ana",)))


@pytest.fixture
def shown() -> Shown:
    """An application before the first evaluation."""
    return Shown()


Client = TestClient["web.Request", "web.Application"]


@pytest.fixture
async def client(shown: Shown) -> AsyncIterator[Client]:
    """A client of the application over a real socket."""
    async with TestClient(TestServer(shown.application())) as client:
        yield client


async def document(client: Client, path: str) -> Any:
    """What is at *path*."""
    response = await client.get(path)
    assert response.status == 200, await response.text()
    return await response.json()


async def test_the_overview_says_who_answers(shown: Shown, client: Client) -> None:
    """The overview has mode, role, leader, revision, backends, version and the times of evaluations."""
    shown.evaluated()

    daemon = (await document(client, "/api/v1/overview"))["daemon"]

    assert daemon | {"version": ""} == {
        "mode": "live",
        "role": "leader",
        "leader": "one-1",
        "revision": "r1",
        "prometheus": "http://prometheus:9090",
        "docker": "unix:///var/run/docker.sock",
        "version": "",
        "interval": 15.0,
        "started": NOW - 60.0,
        "last_evaluation": NOW,
        "next_evaluation": NOW + 15.25,
        "missed_evaluations": 0,
    }


async def test_the_overview_has_a_row_for_each_service(shown: Shown, client: Client) -> None:
    """A row has the counts, the bounds, the reason with its sentence, the states, the hold's end and the metrics."""
    waits = Why(Reason.COOLING_DOWN, "wants 4; scale-up cooldown 3m", "cpu-high", until=NOW + 90.0)
    shown.evaluated(record(outcome=Outcome.HELD, why=waits, last_change=ScaleEvent(NOW - 90, 2, 3, by_others=True)))

    (row,) = (await document(client, "/api/v1/overview"))["services"]

    assert row == {
        "service": "web",
        "policy": "shop",
        "requested": 3,
        "running": 2,
        "desired": 4,
        "recommended": 4,
        "min": 2,
        "max": 6,
        "outcome": "held",
        "reason": "cooling_down",
        "rule": "cpu-high",
        "why": "wants 4; scale-up cooldown 3m",
        "detail": "",
        "lacking": "",
        "unplaced": 0,
        "states": ["held", "changed"],
        "since": {"held": NOW},
        "hold_ends": NOW + 90.0,
        "last_change": {"at": NOW - 90, "before": 2, "after": 3, "by_others": True},
        "paused": [],
        "metrics": [{"metric": "cpu", "value": 85.52, "unit": "", "rules": {"cpu-high": {"above": 70.0}}}],
    }


async def test_the_overview_counts_states_and_names_what_needs_attention(shown: Shown, client: Client) -> None:
    """The counts are those of the rows; what is only held or was changed needs no attention."""
    shown.evaluated(
        record("applied"),
        record("lacks", Outcome.HELD, item=LACKS),
        record("most", Outcome.HELD, recommended=9, maximum=3),
        record("pinned", Outcome.HELD, recommended=9, minimum=3, maximum=3),
        record("stays", Outcome.HELD, paused={Direction.UP: "paused by ana", Direction.DOWN: "paused by ana"}),
        record("fails", Outcome.FAILED),
        record("waits", unplaced=1),
    )

    overview = await document(client, "/api/v1/overview")

    rows = overview["services"]
    assert overview["counts"] == {state: sum(state in row["states"] for row in rows) for state in State}
    assert overview["attention"] == ["fails", "lacks", "most", "stays", "waits"]
    assert next(row for row in rows if row["service"] == "stays")["paused"] == ["paused by ana"]


async def test_a_state_has_the_time_of_its_beginning(shown: Shown, client: Client) -> None:
    """A state that goes on keeps its time; one that ends and comes again begins again."""
    for number, wants in enumerate((9, 9, 3, 9)):
        shown.evaluated(record(outcome=Outcome.HELD, recommended=wants, maximum=3, at=NOW + number * STEP))

    (row,) = (await document(client, "/api/v1/overview"))["services"]

    assert row["since"] == {"at_maximum": NOW + 3 * STEP, "held": NOW}


async def test_problems_have_sentences_and_times(shown: Shown, client: Client) -> None:
    """A problem has its words, its consequence and the time of the evaluation that met it first."""
    lost = (Problem("query", "HTTP 400", "rps"),)
    shown.loaded = replace(shown.loaded, problems=["shop.yml:1:1: version: is missing (write version: 1)"])
    shown.evaluated(problems=lost)
    shown.evaluated(problems=lost, at=NOW + STEP)

    found = await document(client, "/api/v1/problems")

    assert found["problems"] == [
        {
            "kind": "query",
            "subject": "rps",
            "detail": "HTTP 400",
            "sentence": "the query of rps: HTTP 400",
            "consequence": "no service is scaled down on missing data; scaling goes on when the data are back",
            "since": NOW,
        }
    ]
    assert found["policy_problems"] == list(shown.loaded.problems)
    overview = await document(client, "/api/v1/overview")
    assert (overview["problems"], overview["policy_problems"]) == (found["problems"], found["policy_problems"])
    assert overview["paused"] == ["all services: up paused by ana"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/overview",
        "/api/v1/services",
        "/api/v1/services/web",
        "/api/v1/services/web/decisions",
        "/api/v1/services/web/windows",
        "/api/v1/windows?services=web",
        "/api/v1/policies",
        "/api/v1/problems",
    ],
)
async def test_an_answer_is_made_once_per_evaluation(shown: Shown, client: Client, path: str) -> None:
    """Each answer names the daemon, has an ETag that holds until the next evaluation, and the time until that."""
    shown.evaluated(record())
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    shown.evaluated(record(), at=NOW + STEP)
    later = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status, again.status, later.status) == (200, 304, 200)
    assert first.headers[NEXT_EVALUATION] == again.headers[NEXT_EVALUATION] == "12.50"
    assert first.headers[CLOCK] == f"{NOW + 2}.75"
    assert (await again.read(), again.headers["ETag"]) == (b"", first.headers["ETag"])
    assert (await later.json())["daemon"]["mode"] == "live"


async def test_an_answer_follows_the_lease_and_the_policies(shown: Shown, client: Client) -> None:
    """A lease that is lost and a file that is broken are shown at once, before the next evaluation."""
    shown.evaluated(record())
    before = await document(client, "/api/v1/overview")
    shown.instance = replace(shown.instance, role=Role.STANDBY, leader="other-2")
    shown.loaded = replace(shown.loaded, problems=["shop.yml: does not exist (give the path of a policy file)"])
    after = await document(client, "/api/v1/overview")

    assert (before["daemon"]["role"], before["policy_problems"]) == ("leader", [])
    assert (after["daemon"]["role"], after["daemon"]["leader"]) == ("standby", "other-2")
    assert after["policy_problems"] == list(shown.loaded.problems)


async def test_large_answers_are_compressed_for_who_wants_it(shown: Shown, client: Client) -> None:
    """An answer is the same with gzip and without; a client that does not ask for gzip gets none."""
    shown.evaluated(*(record(f"web{number}") for number in range(50)))
    plain = await client.get("/api/v1/overview", headers={"Accept-Encoding": "identity"})
    async with client.session.get(
        client.make_url("/api/v1/overview"), headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as zipped:
        content = await zipped.read()

    assert "Content-Encoding" not in plain.headers
    assert (zipped.headers["Content-Encoding"], zipped.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert json.loads(gzip.decompress(content)) == await plain.json()
    assert len(content) < int(plain.headers["Content-Length"]) / 5


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_pages_have_each_service_once(shown: Shown, client: Client, limit: int) -> None:
    """Following `next` from page to page gives each service once, by name."""
    names = [f"web{number}" for number in range(7)]
    shown.evaluated(*map(record, names))
    found: list[str] = []
    after = ""
    while True:
        page = await document(client, f"/api/v1/services?limit={limit}&after={after}")
        assert (len(page["services"]) <= limit, page["total"]) == (True, 7)
        found += [each["service"] for each in page["services"]]
        if page["next"] is None:
            break
        after = page["next"]

    assert found == names


async def test_services_can_be_listed_by_state(shown: Shown, client: Client) -> None:
    """A page has only the services in the state that the request names."""
    shown.evaluated(record("good"), record("full", Outcome.HELD, recommended=9, maximum=3))

    page = await document(client, "/api/v1/services?state=at_maximum")

    assert ([each["service"] for each in page["services"]], page["total"]) == (["full"], 1)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "state=good", "page=2", "after=a&after=b"])
async def test_a_wrong_query_is_refused(shown: Shown, client: Client, query: str) -> None:
    """A parameter that is unknown or wrong is a 400 that says which ones there are."""
    shown.evaluated(record())

    response = await client.get(f"/api/v1/services?{query}")

    assert response.status == 400
    assert "(" in (await response.json())["error"]


async def test_an_unknown_service_names_near_ones(shown: Shown, client: Client) -> None:
    """A service that no policy applies to is a 404 with the names that may be meant."""
    early = await client.get("/api/v1/services/web")
    shown.evaluated(record("shop_web"), record("shop_api"))
    near = await client.get("/api/v1/services/shop_wbe/windows")
    far = await client.get("/api/v1/services/zzz")

    assert [each.status for each in (early, near, far)] == [404] * 3
    assert "no evaluation has ended yet" in (await early.json())["error"]
    assert "(did you mean shop_web" in (await near.json())["error"]
    assert "(GET /api/v1/services lists those that there are)" in (await far.json())["error"]


async def test_a_service_has_its_row_its_decision_and_its_place(shown: Shown, client: Client) -> None:
    """The document of a service has the row of the overview, the decision with every fact, and file and line."""
    shown.evaluated(record("web"), record("shop/api"))

    found = await document(client, "/api/v1/services/web")
    overview = await document(client, "/api/v1/overview")

    assert found["service"] == next(row for row in overview["services"] if row["service"] == "web")
    assert (found["decision"]["service"], found["decision"]["max"]) == ("web", 6)
    assert (found["place"], found["explanation"], found["story"]) == ("shop.yml:3", None, "")
    assert (await document(client, "/api/v1/services/shop%2Fapi"))["decision"]["service"] == "shop/api"


async def test_windows_show_gaps_and_bounds(shown: Shown, client: Client) -> None:
    """A window has the rule's bound and look-back, and its samples with null for each that is missing."""
    window = Window(end=NOW, step=STEP, values=(71.23456, nan, 85.5234), unit="%")
    shown.evaluated(record(windows={"cpu": window}, bases={"cpu": "1 core"}), record("api", item=LACKS))

    (found,) = (await document(client, "/api/v1/services/web/windows"))["windows"]
    (empty,) = (await document(client, "/api/v1/services/api/windows"))["windows"]

    assert found == {
        "rule": "cpu-high",
        "metric": "cpu",
        "unit": "%",
        "base": "1 core",
        "bounds": {"above": 70.0},
        "look_back": 60,
        "step": STEP,
        "end": NOW,
        "samples": [71.23, None, 85.52],
        "lacking": "",
    }
    assert (empty["samples"], empty["end"], empty["lacking"]) == ([], None, "cpu has no samples")


async def test_the_newest_samples_of_several_services_are_one_answer(shown: Shown, client: Client) -> None:
    """An answer has a window per metric of each service that is there: at most 60 samples, null for a missing one."""
    long = Window(end=NOW, step=STEP, values=(*map(float, range(99)), nan), unit="%")
    short = Window(end=NOW, step=STEP, values=(71.23456, nan), unit="%")
    shown.evaluated(
        record("web", windows={"cpu": long}), record("api", windows={"cpu": short}), record("bare"), record("other")
    )

    found = (await document(client, "/api/v1/windows?services=web,api,bare,gone,web"))["services"]

    assert found == {
        "api": [{"metric": "cpu", "samples": [71.2, None], "shaded": 1}],
        "bare": [],
        "web": [{"metric": "cpu", "samples": [*map(float, range(40, 99)), None], "shaded": 4}],
    }


@pytest.mark.parametrize("query", ["", "?services=", "?services=web&service=api", f"?services={'x' * 6500}"])
async def test_the_newest_samples_are_of_services_that_the_request_names(
    shown: Shown, client: Client, query: str
) -> None:
    """A request that names no service, or too many, is refused."""
    shown.evaluated(record())

    assert (await client.get(f"/api/v1/windows{query}")).status == 400


async def test_decisions_are_the_newest_first(shown: Shown, client: Client) -> None:
    """The decisions of a service are its last one and those before that said something new, each once."""
    calm = Why(Reason.NO_BREACH, "")
    for number, outcome in enumerate((Outcome.APPLIED, Outcome.UNCHANGED, Outcome.APPLIED, Outcome.UNCHANGED)):
        why = HIGH if outcome is Outcome.APPLIED else calm
        shown.evaluated(record(outcome=outcome, why=why, at=NOW + number * STEP), at=NOW + number * STEP)

    found = (await document(client, "/api/v1/services/web/decisions"))["decisions"]

    assert [(each["at"] - NOW) / STEP for each in found] == [3, 2, 0]


async def test_policies_say_where_they_stand_and_what_they_apply_to(shown: Shown, client: Client) -> None:
    """A policy has its place, its services, its rules with their bounds, and its schedules with what comes next."""
    shown.evaluated(record("web"), record("api"))

    (policy,) = (await document(client, "/api/v1/policies"))["policies"]

    assert (policy["name"], policy["place"], policy["applies_to"]) == ("shop", "shop.yml:3", ["api", "web"])
    assert (policy["min"], policy["max"], policy["services"], policy["paused"]) == (2, 6, ["web"], False)
    assert policy["rules"] == [
        {"name": "cpu-high", "metric": "cpu", "strategy": "threshold", "bounds": {"above": 70.0}, "look_back": 60}
    ]
    # 1,800,000,000 is 08:00 in UTC on 15 January 2027.
    (schedule,) = policy["schedules"]
    assert (schedule["name"], schedule["active"], schedule["min"], schedule["max"]) == ("day", True, 3, None)
    assert (schedule["next_start"] - NOW, schedule["next_end"] - NOW) == (86_400, 43_200)


async def test_a_dry_run_has_no_role(shown: Shown, client: Client) -> None:
    """A dry-run says so, and is neither leader nor standby."""
    shown.instance = replace(LIVE, mode=Mode.DRY_RUN, role=None, leader="")
    shown.evaluated(record(outcome=Outcome.DRY_RUN))

    daemon = (await document(client, "/api/v1/overview"))["daemon"]

    assert (daemon["mode"], daemon["role"], daemon["leader"]) == ("dry_run", None, None)
