"""The HTTP client of a running daemon: `status`, `watch`, `explain` and `history` ask its API."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import click
from yarl import URL

from autoscaler.errors import DaemonError, SettingsError
from autoscaler.util.addresses import DEFAULT_LISTEN, split_address
from autoscaler.util.text import tidy
from autoscaler.web.answers import CLOCK, HEADERS, NEXT_EVALUATION

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE = 10.0
"""Seconds in which a daemon must have answered."""
_CONNECTING = 5.0
"""Seconds in which it must have taken the connection."""
_LONGEST_WORDS = 300
"""Characters of a refusal that are shown."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not listened on
"""Addresses that mean all addresses of the host, with the one to ask."""
_LISTEN = "AUTOSCALER_LISTEN"
_OK = 200
_NOT_FOUND = 404
_CREDENTIALS_WANTED = frozenset({401, 407})

url_option = click.option(
    "--url",
    metavar="URL",
    help="Address of the daemon's API [http://127.0.0.1 with the port of AUTOSCALER_LISTEN, 9595].",
)


@dataclass(frozen=True, slots=True)
class DaemonAnswer:
    """A document of a running daemon, and the time there."""

    document: dict[str, Any]
    seconds_left: float | None = None
    """Real seconds until its next evaluation; None if it does not say."""
    now: float | None = None
    """The time of its clock, in Unix seconds; None if it does not say."""


@dataclass(frozen=True, slots=True)
class DaemonClient:
    """Asks one running daemon. Every method raises DaemonError with the cure if it gives no usable answer."""

    url: URL

    @classmethod
    def at(cls, url: str | None = None) -> Self:
        """Return the client of the daemon at *url*; by default of the one that runs beside this command."""
        return cls(_beside(os.environ) if url is None else _checked(url))

    def get(self, path: str, **query: float | str | None) -> dict[str, Any]:
        """Return the JSON document at *path*, such as ``/api/v1/overview``; a *query* of None is left out."""
        return self.ask(path, **query).document

    def ask(self, path: str, **query: float | str | None) -> DaemonAnswer:
        """Return the same as `get`, with what the answer's headers say of time."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        return asyncio.run(self._ask(self.url.joinpath(path.lstrip("/")).update_query(given)))

    async def _ask(self, url: URL) -> DaemonAnswer:
        timeout = aiohttp.ClientTimeout(total=_PATIENCE, connect=_CONNECTING)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
                document = self._document(response.status, response.headers, await response.read())
                left, now = (_number(response.headers.get(name)) for name in (NEXT_EVALUATION, CLOCK))
                return DaemonAnswer(document, left, now)
        except TimeoutError as error:
            raise DaemonError(
                f"{self.shown} does not answer within {_PATIENCE:.0f} s (is it overloaded, or does a firewall drop "
                "the connection?)"
            ) from error
        except aiohttp.ClientSSLError as error:
            raise DaemonError(f"{self.shown}: TLS fails: {_words(error)} (the daemon itself speaks http)") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise DaemonError(f"{self.shown}: the host is not known (is --url right?)") from error
        except aiohttp.ClientConnectorError as error:
            raise DaemonError(self._nobody(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DaemonError(f"{self.shown} is not an autoscaler: {_words(error)} (is --url right?)") from error

    @property
    def shown(self) -> str:
        """Return the URL without its credentials."""
        return str(self.url.with_user(None)).rstrip("/")

    def _nobody(self, error: aiohttp.ClientConnectorError) -> str:
        number = error.os_error.errno
        why = os.strerror(number) if number else _words(error.os_error)
        return (
            f"nothing answers at {self.shown}: {why.lower()} (is `autoscaler run` running here? Give its address with "
            "--url; in a stack, run this command with `docker exec` in the autoscaler's container, on the node where "
            "it runs; `autoscaler plan` needs no daemon)"
        )

    def _document(self, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        ours = headers.get("Server") == HEADERS["Server"]
        if status == _OK and isinstance(document, dict):
            return document
        if isinstance(document, dict) and isinstance(document.get("error"), str) and ours:
            raise DaemonError(tidy(document["error"], _LONGEST_WORDS))
        if ours and status == _NOT_FOUND:
            raise DaemonError(f"the autoscaler at {self.shown} has no such path (is it an older version?)")
        if status in _CREDENTIALS_WANTED:
            raise DaemonError(
                f"{self.shown} refuses with HTTP {status}: a proxy in front of it wants credentials (give them as "
                "--url http://USER:PASSWORD@HOST)"
            )
        answer = f"it answers HTTP {status}" if status != _OK else "its answer is not a JSON document"
        raise DaemonError(f"{self.shown} is not an autoscaler: {answer} (is --url right?)")


def _beside(environment: Mapping[str, str]) -> URL:
    """Return where the daemon listens that has the same *environment*."""
    listen = environment.get(_LISTEN) or DEFAULT_LISTEN
    try:
        host, port = split_address(listen)
    except ValueError as error:
        raise SettingsError([f"{_LISTEN}: {error}"]) from error
    return URL.build(scheme="http", host=_EVERYWHERE.get(host, host), port=port)


def _checked(url: str) -> URL:
    try:
        given = URL(url)
        right = given.scheme in {"http", "https"} and bool(given.host) and given.port is not None
    except ValueError:
        right = False
    if not right:
        raise SettingsError([f"--url: {tidy(url, 100)!r} is not the URL of a server (write http://127.0.0.1:9595)"])
    return given.with_query(None).with_fragment(None)


def _words(error: BaseException) -> str:
    return tidy(str(error) or type(error).__name__, _LONGEST_WORDS)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
