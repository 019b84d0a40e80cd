from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from autoscaler.core.model import Direction, Outcome, Recommendation, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem, Record
from tests.support.site import TOKEN, Site, bearing
from tests.support.waiting import PATIENCE
from tests.support.world import decided

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

EXAMPLES = 60
"""Requests per endpoint and kind."""


class Served:
    """A site in a thread of its own, at a URL."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(PATIENCE)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        async with self.site.served() as server:
            self.url = "http://{}:{}".format(*server.address)
            self._ready.set()
            await self._ended.wait()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """An application whose journal holds a decision with every fact, and a problem."""
    site = Site()
    told = (
        Recommendation("cpu-high", Reason.ABOVE_THRESHOLD, 4, 85.5, "cpu 85.5 %"),
        Recommendation("memory-high", Reason.NO_DATA, seen="memory has no samples"),
    )
    why = Why(Reason.PAUSED, "wants 4; paused by ana")
    record = Record(
        decided(why, requested=3, recommendations=told),
        Outcome.HELD,
        bases={"cpu": "1 core"},
        paused={Direction.UP: "paused by ana"},
    )
    site.journal.add(record)
    problems = (Problem("query", "bad_data", "memory"), Problem("pauses", "connection refused"))
    site.journal.close(Evaluation(0.5, (record,), problems, ("web: up paused by ana",)))
    with Served(site) as running:
        yield running


@pytest.fixture(scope="module")
def schema(served: Served) -> Any:
    """What the description says, as schemathesis reads it."""
    return schemathesis.openapi.from_url(f"{served.url}/api/v1/openapi.json")


def test_the_description_is_of_all_there_is(served: Served) -> None:
    """The description names every path but its own, and nothing else."""
    document = requests.get(f"{served.url}/api/v1/openapi.json", timeout=PATIENCE).json()

    assert {(method, path) for path, item in document["paths"].items() for method in item} == {
        ("get", "/metrics"),
        ("get", "/-/healthy"),
        ("get", "/-/ready"),
        ("get", "/api/v1/overview"),
        ("get", "/api/v1/services"),
        ("get", "/api/v1/services/{name}"),
        ("get", "/api/v1/services/{name}/decisions"),
        ("get", "/api/v1/services/{name}/windows"),
        ("get", "/api/v1/services/{name}/history"),
        ("get", "/api/v1/services/{name}/decision"),
        ("get", "/api/v1/windows"),
        ("get", "/api/v1/history"),
        ("get", "/api/v1/policies"),
        ("get", "/api/v1/problems"),
        ("post", "/-/reload"),
        ("post", "/api/v1/pause"),
        ("post", "/api/v1/resume"),
    }
    guarded = {path for path, item in document["paths"].items() for each in item.values() if "security" in each}
    assert guarded == {"/-/reload", "/api/v1/pause", "/api/v1/resume"}
    bodies = document["components"]["schemas"]
    assert bodies["PauseBody"]["properties"].keys() == {"services", "direction", "for", "reason", "by"}
    assert all(part.get("description") for part in bodies.values())


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_every_answer_is_as_described(schema: Any, mode: schemathesis.GenerationMode) -> None:
    """Whatever is asked, right or wrong, with the token or without, is answered as described, and never with 5xx."""
    for result in schema.get_all_operations():
        operation = result.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and not (operation.body or operation.query):
            continue  # what takes nothing can be given nothing wrong

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), bears=st.booleans())
        def ask(case: schemathesis.Case[Any], bears: bool) -> None:  # noqa: FBT001 - hypothesis gives it by name
            headers = bearing() if bears else {}
            response = case.call(headers=headers, timeout=PATIENCE)
            excluded: list[Any] = []
            if response.status_code == 400 and response.json()["error"].startswith("for: Value error"):
                # JSON Schema has no words for a duration that is a second at least and a year at most.
                excluded.append(positive_data_acceptance)
            if response.status_code == 413:
                excluded.append(negative_data_rejection)  # to which this status is no rejection
            case.validate_response(response, excluded_checks=excluded)
            assert response.status_code < 500
            assert TOKEN not in response.text

        ask()
