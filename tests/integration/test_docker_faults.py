"""What goes wrong with Docker, and what then: over a real socket, through the docker SDK."""

from __future__ import annotations

import base64
import gc
import json
import os
import socket
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from autoscaler.adapters.docker.engine import DockerEngine
from autoscaler.adapters.docker.orchestrator import DockerSwarm, DryRun
from autoscaler.errors import BackendError, DeadlineError, RefusedError, UnreachableError
from autoscaler.ports import Order, Receipt, Written
from autoscaler.simulation.engine import SimulatedEngine
from autoscaler.swarm.cluster import STATE_LABEL
from autoscaler.testing import ManualClock
from autoscaler.util.deadline import Deadline
from tests.support import engine_server as server_side
from tests.support.engine_server import EngineServer, Exchange, Fault, says
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SILENCE = 2.0
"""Seconds without a byte after which a request is given up; the server under test is on this machine."""


@dataclass
class Bench:
    """A service of two replicas, old enough to be scaled, behind an engine that can misbehave."""

    clock: ManualClock
    engine: SimulatedEngine
    server: EngineServer
    swarm: DockerSwarm

    def order(self, replicas: int = 3) -> Order:
        """To scale the service as it is now."""
        found = self.engine.service("web")
        count = found["Spec"]["Mode"]["Replicated"]["Replicas"]
        return Order(found["ID"], "web", found["Version"]["Index"], count, replicas, "our label")

    def scale(self, order: Order | None = None, seconds: float = 10) -> Receipt:
        """Carry out an order, by default for three replicas."""
        return self.swarm.scale(order or self.order(), Deadline(seconds))

    def read(self, seconds: float = 10) -> int:
        """Read all, and say how many tasks of the service run."""
        return self.swarm.read(Deadline(seconds)).services["web"].running

    @property
    def written(self) -> tuple[int, str]:
        """The service's count and label as the engine has them."""
        spec = self.engine.service("web")["Spec"]
        return spec["Mode"]["Replicated"]["Replicas"], spec["Labels"].get(STATE_LABEL, "")

    @property
    def posts(self) -> int:
        """How many writes were sent."""
        return sum(request.method == "POST" for request in self.server.asked)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """One service and one engine."""
    clock = ManualClock()
    engine = SimulatedEngine(clock)
    engine.create_service(
        {
            "Name": "web",
            "Mode": {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"ContainerSpec": {"Image": "registry.example/app:1"}},
        }
    )
    clock.time += 60
    with EngineServer(engine, tmp_path / "docker.sock") as server:
        client = DockerEngine(server.url, SILENCE)
        yield Bench(clock, engine, server, DockerSwarm(client))
        client.close()


@contextmanager
def silent_address() -> Iterator[tuple[str, int]]:
    """An address that connections are not refused at and never made to, as of a machine that is off."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


def unusable(url: str) -> str:
    """What is said where nothing at *url* answers."""
    with pytest.raises(BackendError) as caught:
        DockerSwarm(DockerEngine(url, SILENCE)).read(Deadline(5))
    return str(caught.value)


@pytest.mark.parametrize("on", ["", "GET /services"])
@pytest.mark.parametrize(
    "fault", [server_side.cut, server_side.truncated, server_side.broken_json, server_side.html, server_side.NO_LEADER]
)
@pytest.mark.fault("swarm-away")
def test_no_socket_of_a_failed_call_stays_open(bench: Bench, fault: Fault, on: str) -> None:
    """What a failed call opened is closed with it, not when Python next looks for garbage."""
    client = DockerEngine(bench.server.url, SILENCE)
    bench.server.misbehave(fault, on)
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(BackendError):
                client.services(Deadline(2))
        assert bench.server.all_closed(seconds=PATIENCE)
    finally:
        gc.enable()
        client.close()


class TestSocket:
    @pytest.mark.fault("swarm-away")
    def test_missing(self, tmp_path: Path) -> None:
        """Where there is no socket, its path and the cure are said."""
        said = unusable(f"unix://{tmp_path}/docker.sock")

        assert said.startswith(f"Docker at unix://{tmp_path}/docker.sock: there is no such socket; start the engine")
        assert "AUTOSCALER_DOCKER_HOST" in said

    @pytest.mark.fault("swarm-away")
    def test_nobody_listens(self, tmp_path: Path) -> None:
        """A socket that a dead engine left behind is told from a missing one."""
        with socket.socket(socket.AF_UNIX) as abandoned:
            abandoned.bind(f"{tmp_path}/docker.sock")

        assert "nobody listens there; start the engine" in unusable(f"unix://{tmp_path}/docker.sock")

    def test_port_refused(self) -> None:
        """The same for a port."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            assert "nobody listens there" in unusable(f"tcp://127.0.0.1:{held.getsockname()[1]}")

    @pytest.mark.fault("swarm-away")
    def test_permission_denied(self, bench: Bench, tmp_path: Path) -> None:
        """A socket that may not be used is told from a missing one."""
        (tmp_path / "docker.sock").chmod(0)

        with _as_nobody():
            said = unusable(bench.server.url)

        assert "no permission to use the socket; run the autoscaler in the group that owns it" in said

    @pytest.mark.parametrize("url", ["ftp://somewhere", "tcp://127.0.0.1", "npipe:////./pipe/docker", "unix:///"])
    def test_nonsense_address(self, url: str) -> None:
        """An address that none can be is an error of the autoscaler's own kind as well."""
        assert unusable(url).startswith(f"Docker at {url}: ")

    @pytest.mark.fault("swarm-away")
    def test_engine_comes_back(self, tmp_path: Path) -> None:
        """Whatever was wrong, the next evaluation after its end works, and speaks the new engine's version."""
        clock = ManualClock()
        engine = SimulatedEngine(clock)
        client = DockerEngine(f"unix://{tmp_path}/docker.sock", SILENCE)
        swarm = DockerSwarm(client)
        for version in ("1.41", "1.51"):
            with pytest.raises(UnreachableError):
                swarm.read(Deadline(5))
            with EngineServer(engine, tmp_path / "docker.sock", api_version=version) as server:
                assert swarm.read(Deadline(5)).services == {}
                assert {request.version for request in server.asked} == {version}
            (tmp_path / "docker.sock").unlink()
        client.close()

    @pytest.mark.fault("leader-dies")
    def test_one_of_two_addresses_is_silent(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of two socket proxies of one name the other is asked where the first one's node has died: within one call."""
        with EngineServer(bench.engine) as server, silent_address() as dead:
            alive = ("127.0.0.1", int(server.url.rpartition(":")[2]))
            families = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, alive)]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_: families)
            client = DockerEngine("tcp://socket-proxy:2375", timeout=6)

            assert client.service("web", Deadline(6))["Spec"]["Name"] == "web"
            client.close()

    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
    def test_no_proxy_of_the_environment(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        """A web proxy that the environment names is not asked: it reaches no engine here, and would read every spec."""
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with EngineServer(bench.engine) as server, EngineServer(bench.engine) as proxy:
            monkeypatch.setenv(variable, proxy.url.replace("tcp", "http"))
            client = DockerEngine(server.url, SILENCE)

            bench.swarm = DockerSwarm(client)
            assert bench.read() == 2
            assert bench.scale().written is Written.APPLIED

            assert proxy.all_asked == []
            client.close()

    @pytest.mark.fault("engine-upgraded")
    def test_engine_upgraded_unseen(self, tmp_path: Path) -> None:
        """An engine upgraded between two evaluations is read anew in its own version: an older one strips fields."""
        engine = SimulatedEngine(ManualClock())
        client = DockerEngine(f"unix://{tmp_path}/docker.sock", SILENCE)
        swarm = DockerSwarm(client)
        for version in ("1.41", "1.51"):
            with EngineServer(engine, tmp_path / "docker.sock", api_version=version) as server:
                swarm.read(Deadline(5))
                swarm.read(Deadline(5))
                read = [request.version for request in server.asked if request.path == "/services"]
                assert read[-2:] == [version, version]
                assert len(read) <= 3
            (tmp_path / "docker.sock").unlink()
        client.close()


class TestReads:
    def test_three_calls(self, bench: Bench) -> None:
        """A read is three calls, whatever it needs; ended tasks are asked for while a service is short of tasks."""
        bench.read()
        bench.read()
        bench.engine.operator_scale("web", 3)
        bench.read()
        bench.read()

        paths = [request.path for request in bench.server.asked]
        assert paths == ["/services", "/tasks", "/nodes"] * 4
        asked_for = [request.query.get("filters") for request in bench.server.asked if request.path == "/tasks"]
        only_running = '{"desired-state": ["running"]}'
        assert asked_for == [None, only_running, only_running, None]
        assert bench.server.negotiations == 1

    @pytest.mark.parametrize(
        "fault", [server_side.cut, server_side.truncated, server_side.NO_LEADER, says(500, "raft")]
    )
    @pytest.mark.parametrize("on", ["GET /services", "GET /tasks", "GET /nodes", "GET /version"])
    def test_passing_trouble(self, bench: Bench, fault: Fault, on: str) -> None:
        """A read that fails for a moment is repeated within the evaluation."""
        bench.server.misbehave(fault, on, times=2)

        assert bench.read() == 2

    @pytest.mark.fault("swarm-away")
    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (server_side.cut, "the connection failed"),
            (server_side.truncated, "the connection failed"),
            (server_side.NO_LEADER, "the Swarm has no leader, because too few of its managers are online"),
            (says(500, "raft: stopped"), "status 500: raft: stopped"),
        ],
    )
    @pytest.mark.parametrize("on", ["GET /services", "GET /version"])
    def test_lasting_trouble(self, bench: Bench, fault: Fault, words: str, on: str) -> None:
        """After three attempts it is said what is wrong, and with its end all is well."""
        bench.server.misbehave(fault, on)

        with pytest.raises(UnreachableError) as caught:
            bench.read()

        assert words in str(caught.value)
        assert str(caught.value).startswith(f"Docker at {bench.server.url}: ")
        assert len(bench.server.asked) + bench.server.negotiations == (3 if "version" in on else 6)
        bench.server.behave()
        assert bench.read() == 2

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (server_side.NO_SWARM, "this engine is not in a Swarm"),
            (server_side.NO_SWARM, "`docker swarm init`"),
            (server_side.WORKER, "this node is a worker"),
            (server_side.WORKER, "`node.role == manager`"),
            (server_side.html, "the answer is not the Docker API's"),
            (server_side.bad_gateway, "status 502 without Docker's message"),
            (server_side.broken_json, "the answer is not the Docker API's"),
            (server_side.other_json, "KeyError"),
            (lambda exchange: exchange.send(200, {"message": "a list?"}), "no JSON list of objects"),
            (lambda exchange: exchange.send(200, [1, None]), "no JSON list of objects"),
            (lambda exchange: exchange.send(201, []), "no JSON list"),
            pytest.param(
                lambda exchange: exchange.send(200, "[{}" + ", {}" * 1_000_000 + "]"),
                "more than 1000000 objects",
                marks=pytest.mark.slow,
            ),
            (lambda exchange: exchange.send(200, "null"), "the answer is not the Docker API's"),
            (lambda exchange: exchange.send(200, "[" * 100_000), "the answer is not the Docker API's"),
            (
                lambda exchange: exchange.send(403, "<html>403 Forbidden</html>"),
                "a proxy in front of the engine refused GET /services",
            ),
            (lambda exchange: exchange.send(403, "<html>403 Forbidden</html>"), "in -allowGET, or SERVICES=1)"),
            (lambda exchange: exchange.send(405, "refused"), "a proxy in front of the engine refused GET /services"),
            (says(404, "page not found"), "Docker at unix://"),
            (says(403, "authorization denied by plugin"), "refused with status 403: authorization denied by plugin"),
            (says(400, "client version 1.99 is too new"), "refused with status 400: client version 1.99 is too new"),
        ],
    )
    def test_no_use_to_repeat(self, bench: Bench, fault: Fault, words: str) -> None:
        """What a moment will not change is said at once; with its end all is well."""
        bench.server.misbehave(fault, "GET /services")

        with pytest.raises(BackendError) as caught:
            bench.read(seconds=60)

        assert words in str(caught.value)
        assert sum(request.path == "/services" for request in bench.server.asked) == 1
        bench.server.behave()
        assert bench.read() == 2

    @pytest.mark.parametrize(
        "fault", [server_side.html, server_side.other_json, server_side.broken_json, server_side.bad_gateway]
    )
    def test_something_else_answers(self, bench: Bench, fault: Fault) -> None:
        """Another server at the engine's address is an error with its cure, from the first word on."""
        bench.server.misbehave(fault)

        with pytest.raises(UnreachableError, match="Docker at unix://"):
            bench.read()

    @pytest.mark.fault("secrets")
    @pytest.mark.parametrize("status", [301, 302, 307])
    @pytest.mark.parametrize("on", ["GET /version", "GET /services", "POST /services"])
    def test_redirect(self, bench: Bench, on: str, status: int) -> None:
        """Nobody is asked whom a redirect names: a service's spec would go along, with what is secret in it."""
        with EngineServer(bench.engine) as server, EngineServer(bench.engine) as elsewhere:
            client = DockerEngine(server.url, SILENCE)
            bench.swarm = DockerSwarm(client)
            server.misbehave(server_side.redirects(status, elsewhere.url.replace("tcp", "http")), on)

            if on.startswith("GET"):
                with pytest.raises(UnreachableError) as caught:
                    bench.read()
                said = str(caught.value)
            else:
                said = bench.scale().detail

            assert elsewhere.all_asked == []
            assert f"(status {status}, a redirect, which is not followed)" in said
            client.close()
        assert bench.written == (2, "")

    def test_too_old(self, tmp_path: Path) -> None:
        """An engine whose API the SDK does not speak any more is refused, with the cure."""
        with (
            EngineServer(SimulatedEngine(ManualClock()), tmp_path / "docker.sock", api_version="1.12") as server,
            pytest.raises(RefusedError, match="the engine is too old; upgrade it"),
        ):
            DockerEngine(server.url).services(Deadline(5))

    @pytest.mark.parametrize("on", ["GET /services", "GET /nodes", "GET /version"])
    def test_hang(self, bench: Bench, on: str) -> None:
        """An engine that does not answer is waited for no longer than the silence allowed, once, and forgotten."""
        bench.server.misbehave(server_side.hang, on)

        with pytest.raises(DeadlineError, match="no answer in time"):
            bench.read()

        bench.server.behave()
        assert bench.read() == 2

    def test_drip(self, bench: Bench) -> None:
        """An engine that answers a byte at a time is left at the deadline; the next call has a client of its own."""
        bench.server.misbehave(server_side.drip, "GET /services")
        with pytest.raises(DeadlineError, match="gave no answer within"):
            bench.read(seconds=0.5)

        bench.server.misbehave(server_side.drip, "nothing")
        assert bench.read() == 2
        assert bench.server.negotiations == 2

    def test_no_time_left(self, bench: Bench) -> None:
        """After the deadline nothing is asked."""
        with pytest.raises(DeadlineError):
            bench.read(seconds=0)

        assert bench.server.asked == []


class TestWrites:
    def test_request(self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A scale is one inspection without defaults and one update, without this machine's registry credentials."""
        secret = base64.b64encode(b"mallory:pw").decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example": {"auth": secret}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        order = bench.order()

        assert bench.scale(order) == Receipt(Written.APPLIED)

        inspection, update = bench.server.asked
        assert (inspection.method, inspection.path, inspection.query) == ("GET", f"/services/{order.service_id}", {})
        assert (update.method, update.path) == ("POST", f"/services/{order.service_id}/update")
        assert update.query == {"version": str(order.version)}
        assert not {"x-registry-auth", "authorization"} & {name.lower() for name in update.headers}
        assert bench.written == (3, "our label")

    @pytest.mark.fault("write-unanswered")
    @pytest.mark.parametrize("fault", [server_side.applied_then_cut, server_side.applied_then_hang])
    def test_answer_lost(self, bench: Bench, fault: Fault) -> None:
        """A write whose answer is lost is read back, and found."""
        bench.server.misbehave(fault, "POST", times=1)

        receipt = bench.scale()

        assert receipt.written is Written.APPLIED
        assert receipt.detail.endswith("read back: it is applied")
        assert (bench.posts, bench.written) == (1, (3, "our label"))

    @pytest.mark.fault("write-unanswered")
    @pytest.mark.parametrize(
        "fault",
        [
            server_side.cut,
            server_side.hang,
            server_side.html,
            server_side.bad_gateway,
            server_side.NO_LEADER,
            says(500, "context deadline exceeded"),
        ],
    )
    def test_no_answer(self, bench: Bench, fault: Fault) -> None:
        """A write without a clear answer that a read does not show is unknown, and never sent twice."""
        bench.server.misbehave(fault, "POST", times=1)

        receipt = bench.scale()

        assert receipt.written is Written.UNKNOWN
        assert receipt.detail.endswith("read back: not applied yet, it may still be")
        assert (bench.posts, bench.written) == (1, (2, ""))

    def test_drip(self, bench: Bench) -> None:
        """A write whose answer never ends leaves the time to read back."""
        bench.server.misbehave(_applied_then_drip, "POST", times=1)

        receipt = bench.scale(seconds=4)

        assert receipt.written is Written.APPLIED
        assert bench.posts == 1

    @pytest.mark.parametrize("fault", [server_side.cut, server_side.hang, server_side.WORKER])
    def test_no_reading_back(self, bench: Bench, fault: Fault) -> None:
        """Where reading back fails too, the write is unknown."""

        def then_worse(exchange: Exchange) -> None:
            exchange.result()
            bench.server.misbehave(fault)
            server_side.cut(exchange)

        bench.server.misbehave(then_worse, "POST")

        receipt = bench.scale()

        assert receipt.written is Written.UNKNOWN
        assert "reading back failed too" in receipt.detail
        assert bench.posts == 1

    def test_refused(self, bench: Bench) -> None:
        """A write that the engine refuses is refused, in the engine's words."""
        bench.server.misbehave(says(400, "invalid: no such thing"), "POST")

        receipt = bench.scale()

        assert receipt.written is Written.REFUSED
        assert "refused with status 400: invalid: no such thing" in receipt.detail
        assert bench.posts == 1

    @pytest.mark.fault("labels-damaged")
    def test_too_large(self, bench: Bench) -> None:
        """A service that Swarm cannot store is refused in words that say what would help; nothing is awaited."""
        bench.engine.change_service("web", lambda spec: spec["Labels"].update(theirs="x" * 10**6))
        bench.clock.time += 60

        receipt = bench.scale()

        assert receipt.written is Written.REFUSED
        assert "is larger than Swarm stores" in receipt.detail
        assert "shorten long labels" in receipt.detail
        assert bench.posts == 1

    @pytest.mark.fault("write-conflict")
    def test_overtaken(self, bench: Bench) -> None:
        """Somebody who writes between the inspection and the update is not overwritten."""

        def somebody_first(exchange: Exchange) -> None:
            bench.engine.operator_scale("web", 7)
            exchange.answer()

        bench.server.misbehave(somebody_first, "POST")

        receipt = bench.scale()

        assert receipt.written is Written.CONFLICT
        assert "update out of sequence" in receipt.detail
        assert (bench.posts, bench.written) == (1, (7, ""))

    def test_changed_before(self, bench: Bench) -> None:
        """A service that has another version than the decision saw is not even tried, whatever changed in it."""
        order = bench.order()
        bench.engine.change_service("web", lambda spec: spec.update(Labels={"theirs": "1"}))

        receipt = bench.scale(order)

        assert receipt.written is Written.CONFLICT
        assert receipt.detail.startswith("changed since it was read")
        assert bench.posts == 0

    @pytest.mark.parametrize("labels", [{}, {STATE_LABEL: "our label before"}])
    def test_same_count_by_somebody_else(self, bench: Bench, labels: dict[str, str]) -> None:
        """A count that somebody else set meanwhile is not taken for the write that has no answer."""

        def somebody_first(exchange: Exchange) -> None:
            bench.engine.change_service("web", lambda spec: spec.update(Labels=labels))
            bench.engine.operator_scale("web", 3)
            server_side.cut(exchange)

        bench.server.misbehave(somebody_first, "POST")

        assert bench.scale().written is Written.UNKNOWN

    def test_overwritten_after_a_cut(self, bench: Bench) -> None:
        """A write that was applied, and its count changed by hand at once, is not taken for the present state."""

        def applied_and_overwritten(exchange: Exchange) -> None:
            exchange.result()
            bench.engine.operator_scale("web", 7)
            server_side.cut(exchange)

        bench.server.misbehave(applied_and_overwritten, "POST")

        assert bench.scale().written is Written.UNKNOWN
        assert bench.written == (7, "our label")

    @pytest.mark.fault("service-removed")
    def test_removed_meanwhile(self, bench: Bench) -> None:
        """A service that is removed between the inspection and the update is gone."""

        def removed_first(exchange: Exchange) -> None:
            bench.engine.remove("web")
            exchange.answer()

        bench.server.misbehave(removed_first, "POST")

        assert bench.scale().written is Written.GONE

    def test_removed_after_a_cut(self, bench: Bench) -> None:
        """A service that is gone at the reading back is gone."""

        def removed_and_cut(exchange: Exchange) -> None:
            bench.engine.remove("web")
            server_side.cut(exchange)

        bench.server.misbehave(removed_and_cut, "POST")

        assert bench.scale().written is Written.GONE

    @pytest.mark.parametrize(
        "fault", [server_side.cut, server_side.hang, server_side.WORKER, server_side.html, server_side.other_json]
    )
    def test_no_inspection(self, bench: Bench, fault: Fault) -> None:
        """A service that cannot be inspected is not written, and that is said."""
        bench.server.misbehave(fault, "GET /services/")

        receipt = bench.scale()

        assert receipt.written is Written.REFUSED
        assert receipt.detail.startswith("nothing was written: ")
        assert bench.posts == 0

    def test_no_time_left(self, bench: Bench) -> None:
        """After the deadline nothing is asked and nothing written."""
        receipt = bench.scale(seconds=0)

        assert receipt.written is Written.REFUSED
        assert bench.server.asked == []

    @pytest.mark.parametrize("mode", [{"Replicated": {"Replicas": None}}, {"Replicated": {}}, {}, None])
    def test_no_count(self, bench: Bench, mode: object) -> None:
        """A service without a count is not written: Swarm would make it one replica."""

        def without_count(exchange: Exchange) -> None:
            document: dict[str, Any] = deepcopy(exchange.result())
            document["Spec"]["Mode"] = mode
            exchange.send(200, document)

        bench.server.misbehave(without_count, "GET /services/")

        receipt = bench.scale()

        assert receipt.written is Written.REFUSED
        assert "replicated without a count" in receipt.detail
        assert bench.posts == 0

    def test_dry_run(self, bench: Bench) -> None:
        """A dry-run reads, and asks for nothing else."""
        dry = DryRun(bench.swarm)
        assert dry.read(Deadline(10)).services["web"].running == 2

        assert dry.scale(bench.order(), Deadline(10)) == Receipt(Written.DRY_RUN)

        assert [request.path for request in bench.server.asked] == ["/services", "/tasks", "/nodes"]


def _applied_then_drip(exchange: Exchange) -> None:
    exchange.result()
    server_side.drip(exchange)


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without root's way around permissions."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
