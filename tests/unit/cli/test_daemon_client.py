from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, ClassVar

import pytest

from autoscaler.cli.daemon_client import DaemonClient
from autoscaler.errors import DaemonError, SettingsError
from autoscaler.web.answers import HEADERS
from tests.support.serving import Answering, LocalServing

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stranger(Answering):
    """Gives one answer to everything, and keeps what was asked."""

    status: ClassVar[int]
    content: ClassVar[bytes]
    kind: ClassVar[str]
    name: ClassVar[str]
    asked: ClassVar[list[str]]

    def reply(self) -> None:
        """Answer."""
        self.asked.append(self.path)
        self.answer(self.status, self.content, self.kind)

    def version_string(self) -> str:
        """The header `Server`."""
        return self.name


class Cut(Answering):
    """Cuts every connection."""

    def reply(self) -> None:
        """Say nothing."""
        self.close_connection = True


@pytest.fixture
def stranger() -> Iterator[str]:
    """A server's URL; it answers with the attributes of `Stranger`."""
    Stranger.status, Stranger.content, Stranger.kind = 200, b"{}", "application/json"
    Stranger.name, Stranger.asked = HEADERS["Server"], []
    with LocalServing(Stranger) as serving:
        yield f"http://{serving.address}"


def error_of(url: str, path: str = "/api/v1/overview") -> str:
    """What the client says instead of a document."""
    with pytest.raises(DaemonError) as caught:
        DaemonClient.at(url).get(path)
    return str(caught.value)


def test_a_document_is_asked_with_its_query(stranger: str) -> None:
    """The client returns the JSON of the path, and sends the query without what is None."""
    Stranger.content = json.dumps({"services": []}).encode()

    assert DaemonClient.at(stranger).get("/api/v1/history", service="web shop", since=1.5, until=None) == {
        "services": []
    }
    assert Stranger.asked == ["/api/v1/history?service=web+shop&since=1.5"]


def test_a_path_below_a_proxys_prefix_is_kept(stranger: str) -> None:
    """A daemon behind a proxy's path is asked below that path."""
    DaemonClient.at(f"{stranger}/autoscaler/").get("/api/v1/overview")

    assert Stranger.asked == ["/autoscaler/api/v1/overview"]


def test_where_nothing_listens_the_cures_are_named() -> None:
    """If nothing listens, the error names the daemon, --url, docker exec and plan."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said = error_of(url)

    assert said.startswith(f"nothing answers at {url}: connection refused (is `autoscaler run` running here?")
    assert all(cure in said for cure in ("--url", "`docker exec`", "`autoscaler plan`"))


def test_a_refusal_is_told_in_the_daemons_words(stranger: str) -> None:
    """A 404 for a service is told in the words of the daemon, which name near names."""
    Stranger.status = 404
    Stranger.content = json.dumps({"error": "no policy applies to web (did you mean web1?)"}).encode()

    assert error_of(stranger) == "no policy applies to web (did you mean web1?)"


@pytest.mark.parametrize(
    ("status", "content", "server", "said"),
    [
        (200, b"<html>", "another", "is not an autoscaler: its answer is not a JSON document (is --url right?)"),
        (404, b"{}", "another", "is not an autoscaler: it answers HTTP 404 (is --url right?)"),
        (500, b'{"error": "theirs"}', "another", "is not an autoscaler: it answers HTTP 500 (is --url right?)"),
        (401, b"", "another", "refuses with HTTP 401: a proxy in front of it wants credentials"),
        (404, b"", HEADERS["Server"], "has no such path (is it an older version?)"),
    ],
)
def test_what_is_not_an_autoscaler_is_called_so(
    stranger: str, status: int, content: bytes, server: str, said: str
) -> None:
    """An answer that is not an autoscaler's is named as such, with the cure."""
    Stranger.status, Stranger.content, Stranger.name = status, content, server

    assert said in error_of(stranger)


def test_a_cut_connection_is_an_error_with_a_cure() -> None:
    """A server that closes the connection is not an autoscaler."""
    with LocalServing(Cut) as serving:
        assert "is not an autoscaler" in error_of(f"http://{serving.address}")


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is given up after the client's patience."""
    monkeypatch.setattr("autoscaler.cli.daemon_client._PATIENCE", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        said = error_of(f"http://127.0.0.1:{silent.getsockname()[1]}")

    assert "does not answer within" in said


def test_credentials_are_not_repeated(stranger: str) -> None:
    """Credentials in the URL are used, and not shown in errors."""
    Stranger.name, Stranger.status = "another", 503

    said = error_of(stranger.replace("http://", "http://ana:secret@"))

    assert "secret" not in said
    assert "ana" not in said


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        (None, "http://127.0.0.1:9595"),
        ("0.0.0.0:9700", "http://127.0.0.1:9700"),
        ("[::]:9700", "http://[::1]:9700"),
        ("10.0.0.7:80", "http://10.0.0.7"),
    ],
)
def test_by_default_the_daemon_beside_is_asked(monkeypatch: pytest.MonkeyPatch, listen: str | None, url: str) -> None:
    """Without --url the daemon is asked that listens where AUTOSCALER_LISTEN says."""
    monkeypatch.delenv("AUTOSCALER_LISTEN", raising=False)
    if listen is not None:
        monkeypatch.setenv("AUTOSCALER_LISTEN", listen)

    assert DaemonClient.at().shown == url


@pytest.mark.parametrize("url", ["localhost:9595", "ftp://host", "http://", "http://host:99999", "", "//x"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """A --url that is not a server's URL is refused with an example."""
    with pytest.raises(SettingsError, match=r"write http://127\.0\.0\.1:9595"):
        DaemonClient.at(url)
