from __future__ import annotations

import asyncio
import re
import socket
import threading
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from autoscaler.core.model import Outcome, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Record
from autoscaler.evaluation.journal import Journal, Snapshot
from autoscaler.web.answers import HEADERS
from autoscaler.web.server import ConnectionLimits, Server
from tests.support.daemons import make, running
from tests.support.site import TOKEN, Site
from tests.support.waiting import PATIENCE, until
from tests.support.world import decided

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SOON = ConnectionLimits(patience=1, connections=20)
HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
SERVICES = HEALTHY.replace(b"/-/healthy", b"/api/v1/services")
METRICS = HEALTHY.replace(b"/-/healthy", b"/metrics")
HEAD = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-Slow: "
BODY = (
    f"POST /api/v1/pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
    "Content-Length: 60000\r\n\r\n"
).encode()


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of a client of few words."""
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def idle(address: tuple[str, int], number: int, *begin: bytes) -> AsyncIterator[None]:
    """So many connections on which nothing comes any more, after one of the texts that they *begin* with, in turn."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for index in range(number):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            await loop.sock_connect(client, address)
            if begin:
                await loop.sock_sendall(client, begin[index % len(begin)])
        yield


async def ask(server: Server, request: bytes) -> bytes:
    """What comes back until the server closes, or says that it is all."""
    async with connected(server) as (reader, writer):
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return head + await reader.readexactly(length)


async def gone(reader: asyncio.StreamReader) -> None:
    """Read until the server has closed."""
    with suppress(ConnectionError):
        while await asyncio.wait_for(reader.read(1000), PATIENCE):
            pass


def fill(site: Site, services: int) -> None:
    """Let the journal hold so many decisions."""
    why = Why(Reason.NO_BREACH, "x" * 1000)
    records = tuple(Record(decided(why, service=f"s{number}"), Outcome.UNCHANGED) for number in range(services))
    for record in records:
        site.journal.add(record)
    site.journal.close(Evaluation(0.0, records))


# times


@pytest.mark.fault("http-slow")
@pytest.mark.parametrize("begin", [b"", HEAD, BODY], ids=["nothing", "head", "body"])
async def test_a_client_that_drips_is_closed(begin: bytes) -> None:
    """Who sends a head or a body byte by byte, or nothing at all, is closed when its time is up; others are served."""
    site = Site(bounds=SOON)
    async with site.served() as server, connected(server) as (reader, writer):
        writer.write(begin)

        async def drip() -> None:
            with suppress(ConnectionError):
                while begin:
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        assert (await ask(server, HEALTHY)).startswith(b"HTTP/1.1 200")
        await gone(reader)
        await until(lambda: len(server.connections) == 0)
        dripping.cancel()
    assert site.api.calls.total() == 0


@pytest.mark.fault("http-slow")
@pytest.mark.parametrize("requests", [1, 50])
async def test_a_client_that_never_reads_is_closed(requests: int) -> None:
    """Who asks for much, or for the same again and again, and never reads, is closed when its time is up."""
    site = Site(bounds=SOON)
    fill(site, 3000)
    async with site.served() as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(0)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, server.address)
            await loop.sock_sendall(client, b"GET /api/v1/services HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
            await until(lambda: len(server.connections) == 1)
            assert (await ask(server, HEALTHY)).startswith(b"HTTP/1.1 200")
            await until(lambda: len(server.connections) == 0)


async def test_a_connection_that_is_used_stays() -> None:
    """A connection that was answered has its time anew: where there are too many, one goes that was silent longer."""
    bounds = ConnectionLimits(patience=PATIENCE, connections=2)
    async with (
        Site(bounds=bounds).served() as server,
        connected(server) as (used, writer),
        connected(server) as (silent, _),
    ):
        writer.write(HEALTHY)
        await used.readuntil(b"good\n")
        async with connected(server):
            await gone(silent)
            writer.write(HEALTHY)
            await used.readuntil(b"good\n")


async def test_a_client_that_waits_to_be_let_on() -> None:
    """Who asks whether to send a body is told to go on, as HTTP has it."""
    async with Site().served() as server, connected(server) as (reader, writer):
        writer.write(BODY.replace(b"60000", b"2").replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"


# numbers


@pytest.mark.fault("http-slow")
async def test_many_idle_connections_keep_nobody_out() -> None:
    """Of many connections on which nothing comes so many are kept as may be, the newest; who asks is answered."""
    bounds = ConnectionLimits(patience=PATIENCE, connections=20)
    async with Site(bounds=bounds).served() as server:
        async with idle(server.address, 60):
            assert (await ask(server, HEALTHY)).startswith(b"HTTP/1.1 200")
            assert 0 < len(server.connections) <= bounds.connections
        await until(lambda: len(server.connections) == 0)


@pytest.mark.fault("http-slow")
async def test_evaluations_go_on_under_many_connections(tmp_path: Path) -> None:
    """Whatever hundreds of clients do not say, the daemon evaluates, and says that it is healthy."""
    made = make(tmp_path)
    async with running(made):
        await made.next_evaluations()
        assert made.daemon.address is not None
        async with idle(made.daemon.address, 300, HEAD, BODY):
            await made.next_evaluations(3)
            assert await made.get("/-/healthy") == (200, "healthy\n")
        await made.next_evaluations()


class Slow(Journal):
    """A journal that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.go = threading.Event()

    def snapshot(self) -> Snapshot:
        """Nothing, once it is let go."""
        self.asked += 1
        assert self.go.wait(PATIENCE)
        return super().snapshot()


@pytest.mark.fault("http-slow")
async def test_who_asks_for_much_keeps_nobody_waiting() -> None:
    """Long answers are made one at a time and beside the loop, which serves others meanwhile, and keeps the lease."""
    journal = Slow()
    journal.go.set()
    async with Site(journal=journal).served() as server:
        journal.asked = 0
        journal.go.clear()
        much = [asyncio.create_task(ask(server, request)) for request in (METRICS, SERVICES) * 3]
        await until(lambda: journal.asked > 0)
        assert (await ask(server, HEALTHY)).startswith(b"HTTP/1.1 200")
        assert journal.asked == 1
        journal.go.set()
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in await asyncio.gather(*much))


# what is no request


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE <script>\r\n\r\n",
        b"GET /<script> HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n<script>: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n no: y\r\n\r\n",
        b"GET /" + b"<script>" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"<script>" * 2000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: <script>\r\n" * 200 + b"\r\n",
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: <script>\r\n\r\n",
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nExpect: <script>\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03<script>\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /<script> HTTP/1.1\r\nHost: <script>\r\n\r\n",
        b"<SCRIPT> / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://<script>/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda _: "",
)
async def test_what_is_no_request_is_refused_without_repeating_it(request_: bytes) -> None:
    """Whatever comes in place of a request is answered with 4xx and all headers, repeats nothing, and logs nothing."""
    with capture_logs() as logs:
        async with Site().served() as server:
            answer = await ask(server, request_)
            assert (await ask(server, HEALTHY)).startswith(b"HTTP/1.1 200")

    head, _, body = answer.decode().partition("\r\n\r\n")
    assert re.match(r"HTTP/1\.[01] 4\d\d ", head)
    assert set(head.split("\r\n")) >= {f"{name}: {value}" for name, value in HEADERS.items()}
    assert "script" not in answer.decode().lower()
    assert "aiohttp" not in answer.decode().lower()
    assert body
    assert logs == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/metrics", 200),
        ("HEAD", "/-/healthy", 200),
        ("GET", "/api/v1/openapi.json", 200),
        ("POST", "/-/reload", 401),
        ("GET", "/-/reload", 405),
        ("DELETE", "/api/v1/pause", 405),
        ("POST", "/api/v1/services", 405),
    ],
)
async def test_every_answer_has_every_header(method: str, path: str, status: int) -> None:
    """Nothing may be kept, guessed at, run, framed or embedded of any answer, errors included; no version is told."""
    async with Site().client() as client, client.request(method, path) as response:
        assert response.status == status
        assert {name: response.headers[name] for name in HEADERS} == HEADERS
        assert ("Allow" in response.headers) is (status == 405)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "", "x" * 200])
async def test_the_host_does_not_matter(host: str) -> None:
    """What a client calls the server changes nothing: no answer is made from it, and a change needs the token."""
    site = Site()
    async with site.client() as client:
        async with client.get("/api/v1/services", headers={"Host": host}) as response:
            assert (response.status, host and host in await response.text()) == (200, host and False)
        async with client.post("/api/v1/pause", headers={"Host": host, "Origin": f"http://{host}"}) as response:
            assert response.status == 401
    assert site.api.calls.total() == 0
