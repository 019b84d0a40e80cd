from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from autoscaler.coordination.pauses import ALL, LABEL, Pause, Pauses
from autoscaler.core.model import Direction
from autoscaler.errors import RefusedError, UnreachableError
from tests.support.builders import NOW
from tests.support.site import TOKEN, Site, bearing
from tests.support.world import raising

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

CHANGES = ["/-/reload", "/api/v1/pause", "/api/v1/resume"]
WRITES = CHANGES[1:]
BY = "HTTP client 127.0.0.1"


async def post(client: ClientSession, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    """Status and document of the answer to a request that bears the token."""
    async with client.post(path, json=body, headers=bearing(), **options) as response:
        return response.status, await response.json()


async def error(response: ClientResponse) -> str:
    """Why it was refused."""
    assert response.content_type == "application/json"
    document = await response.json()
    assert document.keys() == {"error"}
    said: str = document["error"]
    return said


# who may


@pytest.mark.parametrize("path", CHANGES)
async def test_without_a_token_nothing_can_be_changed(path: str) -> None:
    """Where no token is set every change is forbidden, whatever the request bears, and it is said what to set."""
    site = Site(token=None)
    async with site.client() as client:
        for headers in ({}, bearing(""), bearing()):
            async with client.post(path, headers=headers) as response:
                assert response.status == 403
                assert "AUTOSCALER_HTTP_TOKEN" in await error(response)
    assert site.api.calls.total() == 0


@pytest.mark.fault("http-stranger")
@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer ü€\udc80",
        f"Basic {TOKEN}",
        TOKEN,
    ],
)
async def test_a_wrong_token_changes_nothing(path: str, authorization: str | None) -> None:
    """A request without the token, or with another one, is told to bear it, and changes nothing."""
    site = Site()
    headers = {} if authorization is None else {"Authorization": authorization}
    async with site.client() as client, client.post(path, headers=headers) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="swarm-autoscaler"'
        assert "missing or wrong" in await error(response)
    assert site.api.calls.total() == 0


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_s_case_does_not_matter(scheme: str) -> None:
    """A scheme is the same in any case, and blanks around the token do not matter (RFC 9110, 11.1)."""
    headers = {"Authorization": f"{scheme} {TOKEN} "}
    async with Site().client() as client, client.post("/api/v1/resume", headers=headers) as response:
        assert response.status == 200


async def test_reading_needs_no_token() -> None:
    """What only shows needs no token."""
    async with Site().client() as client:
        for path in ("/metrics", "/-/healthy", "/-/ready", "/api/v1/services", "/api/v1/openapi.json"):
            async with client.get(path) as response:
                assert response.status == 200


async def test_no_token_is_ever_told() -> None:
    """Neither the right token nor a wrong one is in an answer, in a metric, or in a log line."""
    site = Site()
    site.engine.create_config({"Name": "autoscaler-pauses", "Data": "YQ=="})
    site.api.before("update_config", raising(ZeroDivisionError("a defect")))
    wrong = "a-wrong-token-0123456789"
    told = []
    with capture_logs() as logs:
        async with site.client() as client:
            for token in (wrong, TOKEN, TOKEN):
                for path in (*CHANGES, "/nothing"):
                    async with client.post(path, json={}, headers=bearing(token)) as response:
                        told += [await response.text(), str(response.headers)]
            for path in ("/metrics", "/api/v1/services"):
                async with client.get(path, headers=bearing()) as response:
                    told.append(await response.text())
    told.append(repr(logs))
    assert any(event["event"] == "request_failed" for event in logs)
    assert not [text for text in told if wrong in text or TOKEN in text]


# pausing


async def test_pause_and_resume() -> None:
    """A pause is answered once Swarm has it, with all that is paused; so is its end."""
    site = Site()
    async with site.client() as client:
        body = {"services": ["web"], "direction": "up", "for": "2h", "reason": "database moves", "by": "ana"}
        status, document = await post(client, "/api/v1/pause", body)

        assert status == 200
        assert document == {
            "changed": ["web"],
            "unchanged": [],
            "paused": [
                {
                    "service": "web",
                    "direction": "up",
                    "since": NOW,
                    "until": NOW + 7200,
                    "by": "ana",
                    "reason": "database moves",
                }
            ],
        }
        assert site.pauses.of == {"web": {Direction.UP: Pause(NOW, NOW + 7200, "ana", "database moves")}}
        again = await post(client, "/api/v1/pause", body)
        assert again == (200, document | {"changed": [], "unchanged": ["web"]})
        status, document = await post(client, "/api/v1/resume", {"services": ["web"]})
        assert (status, document) == (200, {"changed": ["web"], "unchanged": [], "paused": []})
    assert site.pauses == Pauses()


@pytest.mark.parametrize("body", [None, b"", b"{}"])
async def test_without_a_service_all_are_meant(body: bytes | None) -> None:
    """A request that names no service means all of them, as the command does; who asks is the client's address."""
    site = Site()
    headers = bearing() | {"Content-Type": "application/json"}
    async with site.client() as client:
        async with client.post("/api/v1/pause", data=body, headers=headers) as response:
            document = await response.json()
        assert [(each["service"], each["by"]) for each in document["paused"]] == [(ALL, BY)] * 2
        async with client.post("/api/v1/resume", data=body, headers=headers) as response:
            assert (await response.json())["paused"] == []


async def test_a_damaged_label_is_told() -> None:
    """A pause of which nothing can be read has neither a time nor a name."""
    site = Site()
    site.engine.create_config({"Name": "autoscaler-pauses", "Data": "YQ==", "Labels": {f"{LABEL}web": "?"}})
    async with site.client() as client:
        _, document = await post(client, "/api/v1/resume")
    assert document["paused"][0] == {
        "service": "web",
        "direction": "up",
        "since": None,
        "until": None,
        "by": None,
        "reason": "paused, because the label autoscaler.pause.web cannot be read",
    }


async def test_what_people_write_stays_on_its_line() -> None:
    """A name and a reason with line breaks and control characters are one line, in Swarm and in the log."""
    site = Site()
    with capture_logs() as logs:
        async with site.client() as client:
            await post(client, "/api/v1/pause", {"by": "a\nb\x1b[31m", "reason": "one\r\ntwo\x00"})
    assert site.pauses.of[ALL][Direction.UP] == Pause(NOW, None, "a b [31m", "one two")
    assert [(event["by"], event["reason"]) for event in logs if event["event"] == "pause_requested"] == [
        ("a b [31m", "one two")
    ]


async def test_what_is_asked_for_is_logged() -> None:
    """The log says what was asked for over HTTP, and by whom."""
    with capture_logs() as logs:
        async with Site().client() as client:
            await post(client, "/api/v1/pause", {"services": ["web"], "for": "1h", "by": "ana"})
            await post(client, "/api/v1/resume", {"services": ["web"]})
    assert [{**event} for event in logs if event["event"].endswith("_requested")] == [
        {
            "event": "pause_requested",
            "log_level": "info",
            "services": ["web"],
            "for": "1h",
            "by": "ana",
            "changed": ["web"],
        },
        {"event": "resume_requested", "log_level": "info", "services": ["web"], "by": "127.0.0.1", "changed": ["web"]},
    ]


@pytest.mark.parametrize("path", WRITES)
async def test_an_unknown_service(path: str) -> None:
    """A name that no service has is refused with those that are near, and nothing is written."""
    site = Site()
    async with site.client() as client:
        status, document = await post(client, path, {"services": ["wbe"]})
    assert (status, document) == (404, {"error": "Swarm has no service 'wbe' (did you mean web?)"})
    assert site.pauses == Pauses()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "body: Invalid JSON"),
        (b"[]", "body: Input should be an object"),
        (b"null", "body: Input should be an object"),
        (b"[" * 60_000, "body: Invalid JSON"),
        (b"\xff", "body: Invalid JSON"),
        (b'{"services": "web"}', "services: Input should be a valid"),
        (b'{"services": [1]}', "services.0: Input should be a valid string"),
        (b'{"service": ["web"]}', "service: Extra inputs are not permitted"),
        (b'{"services": ["' + b"x" * 65 + b'"]}', "services.0: String should have at most 64 characters"),
        (b'{"direction": "left"}', "direction: Input should be 'up' or 'down'"),
        (b'{"for": 7200}', "for: Value error, 7200 has no unit (write 7200s for seconds"),
        (b'{"for": "0s"}', "for: Value error, 0s is too short (write 1s or more)"),
        (b'{"reason": "' + b"x" * 201 + b'"}', "reason: String should have at most 200 characters"),
    ],
)
async def test_a_body_that_says_nothing_sensible(body: bytes, said: str) -> None:
    """What is wrong with a body is said by its key; nothing is written."""
    site = Site()
    headers = bearing() | {"Content-Type": "application/json"}
    async with (
        site.client() as client,
        client.post("/api/v1/pause", data=body, headers=headers) as response,
    ):
        assert response.status == 400
        assert (await error(response)).startswith(said)
    assert site.api.calls.total() == 0


@pytest.mark.parametrize("path", WRITES)
async def test_a_body_of_another_kind(path: str) -> None:
    """A body that is no JSON by what its header says is refused: a form of some page is none."""
    site = Site()
    async with site.client() as client, client.post(path, data={"a": "b"}, headers=bearing()) as response:
        assert response.status == 415
    assert site.api.calls.total() == 0


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large(path: str, *, chunked: bool) -> None:
    """A body of more than 64 KiB is refused, also where its length is not said beforehand."""
    site = Site()

    async def pieces() -> Any:
        for _ in range(20):
            yield b" " * 8192

    body = pieces() if chunked else b" " * 100_000
    headers = bearing() | {"Content-Type": "application/json"}
    async with site.client() as client:
        with suppress(ConnectionError):  # the server need not read what it refused
            async with client.post(path, data=body, headers=headers) as response:
                assert response.status == 413
                assert "at most" in await error(response)
    assert site.api.calls.total() == 0


@pytest.mark.parametrize("path", WRITES)
async def test_a_dry_run_writes_nothing(path: str) -> None:
    """An autoscaler in dry-run refuses to pause and resume, for it writes nothing to Swarm, and says what to do."""
    site = Site(dry_run=True)
    async with site.client() as client:
        status, document = await post(client, path, {"services": ["web"]})
    assert status == 409
    assert "autoscaler pause" in document["error"]
    assert site.api.calls.total() == 0


@pytest.mark.parametrize(
    ("trouble", "status", "said"),
    [
        (RefusedError("the proxy forbids it"), 502, "the proxy forbids it (let those who pause create and update"),
        (UnreachableError("connection refused"), 503, "connection refused; it may have been written, so ask again"),
    ],
)
async def test_a_swarm_that_does_not_do_it(trouble: Exception, status: int, said: str) -> None:
    """Where Swarm refuses or does not answer the write, the answer says so."""
    site = Site()
    site.api.before("create_config", *[raising(trouble)] * 100)
    async with site.client() as client:
        answered, document = await post(client, "/api/v1/pause")
    assert answered == status
    assert document["error"].startswith(said)


async def test_a_defect_costs_one_request() -> None:
    """What is raised unforeseen is answered without its words, logged whole, and the next request is served."""
    site = Site()
    site.api.before("config", raising(ZeroDivisionError("inner words")))
    with capture_logs() as logs:
        async with site.client() as client:
            status, document = await post(client, "/api/v1/pause")
            assert (await post(client, "/api/v1/pause"))[0] == 200
    assert (status, "inner words" in str(document)) == (500, False)
    assert [event["path"] for event in logs if event["event"] == "request_failed"] == ["/api/v1/pause"]


# reloading


async def test_reload() -> None:
    """A reload is answered with the revision in force, and where the files are refused with what is wrong."""
    site = Site()
    async with site.client() as client:
        assert await post(client, "/-/reload") == (200, {"revision": "r1", "problems": []})
        site.policies = {"revision": "r1", "problems": ["web.yml:1:1: version: is missing (write version: 1)"]}
        assert await post(client, "/-/reload") == (422, site.policies)


# many at once


@pytest.mark.parametrize("path", CHANGES)
async def test_a_change_keeps_nobody_waiting(path: str) -> None:
    """While changes are on their way others are served; a third change is told to come again, and changes nothing."""
    site = Site()
    async with site.client() as client:
        site.gate.clear()
        waiting = [asyncio.create_task(post(client, path)) for _ in range(3)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        ((status, document),) = (each.result() for each in done)
        assert (status, document["error"]) == (503, "2 other changes are on their way (ask again in a moment)")
        async with client.get("/-/healthy") as response:
            assert response.status == 200
        site.gate.set()
        assert sorted(status for status, _ in await asyncio.gather(*waiting)) == [200, 200, 503]
        assert (await post(client, path))[0] == 200
