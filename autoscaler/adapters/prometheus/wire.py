"""The wire to Prometheus: who it is and how to be let in, and the session that PrometheusConnect sends its requests by.

The library drops warnings, obeys Retry-After for ever, waits without end and keeps no answer's status
(docs/facts.md#prometheus-api-client). What comes back from here is a complete answer or a
BackendError that says where, what, and what would help, without any secret.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
from array import array
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import SplitResult, unquote, urlsplit
from weakref import WeakSet

import requests
import urllib3
from msgspec import Raw, ValidationError
from msgspec.json import Decoder, decode
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from autoscaler.errors import DeadlineError, RefusedError, SettingsError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretStr

    from autoscaler.errors import BackendError
    from autoscaler.ports import Clock

_PREFIX = "AUTOSCALER_PROMETHEUS_"
_LARGEST_ANSWER = 64 * 2**20
"""Bytes, unpacked: ten times what the widest query for 5,000 services gives, and what the stack leaves of memory."""
_LARGEST_REFUSAL = 64 * 2**10
_CHUNK = 256 * 2**10
_CONNECTIONS = 2
"""Connections kept open: one that is in use, and one that an abandoned call still holds."""
_WORDS = 300
_VICTORIA_METRICS = "X-Server-Hostname"
"""A header of all answers of VictoriaMetrics, and of none of Prometheus'."""
_MASK = "***"
_SHORTEST_SECRET = 4


@dataclass(frozen=True)
class ConnectionSettings:
    """Where Prometheus is and how to be let in, as `Settings` found it valid. Its representation holds no secret."""

    url: str = field(repr=False)
    """With user and password in it, if need be."""
    username: str = ""
    password: SecretStr | None = None
    bearer_token: SecretStr | None = None
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    """How many seconds one read may take."""

    @property
    def address(self) -> str:
        """The URL without user and password."""
        return self._parts._replace(netloc=self._parts.netloc.rpartition("@")[2]).geturl().rstrip("/")

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password, from the settings or else the URL; None where there are none."""
        if self.username:
            return self.username, _revealed(self.password)
        if self._parts.username:
            return unquote(self._parts.username), unquote(self._parts.password or "")
        return None

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers to send along, the bearer token's among them."""
        token = {"Authorization": f"Bearer {_revealed(self.bearer_token)}"} if self.bearer_token is not None else {}
        return {**self.headers, **token}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text of four characters or more that must not be shown, the longest first."""
        user, password = self.credentials or ("", "")
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if password else ""
        texts = {password, basic, _revealed(self.bearer_token), *self.headers.values()}
        return tuple(sorted((text for text in texts if len(text) >= _SHORTEST_SECRET), key=len, reverse=True))

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)


class PassingError(UnreachableError):
    """A failure that a second try may not meet."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after
        """How many seconds the server asks to wait before that."""


@dataclass(frozen=True, slots=True)
class Offset:
    """What an answer shows of the server's clock, in seconds beside ours, and when it was received."""

    offset: float
    received: float

    @classmethod
    def between(cls, least: float, most: float, received: float) -> Self:
        """The offset nearest to 0 of those that are possible."""
        return cls(least if least > 0 else min(most, 0.0), received)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What PrometheusConnect reads of a response: a good one, every other has been raised."""

    document: Any
    status_code: int = 200

    def json(self) -> Any:
        return self.document


class Wire:
    """The session that PrometheusConnect uses: sends one request, and returns its complete answer or raises.

    It takes nothing from the environment, because a netrc entry would replace the bearer token, and follows no
    redirect, for the headers would go along to whatever host it names.
    """

    def __init__(self, connection: ConnectionSettings, clock: Clock) -> None:
        _check_certificates(connection)
        self._where = f"Prometheus at {connection.address}"
        self._timeout = connection.timeout
        self._secrets = connection.secrets
        self._clock = clock
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._session = requests.Session()
        self._session.trust_env = False
        self.verify: bool | str = connection.ca_file or True
        self.cert: str | tuple[str, str] | None = connection.cert_file or None
        if connection.key_file:
            self.cert = (connection.cert_file, connection.key_file)
        self.dated: Offset | None = None
        """What the Date of the newest good answer showed; None before the first, and without one."""
        self.is_victoria_metrics = False
        """Whether the newest good answer is that of VictoriaMetrics, as far as it shows."""

    def mount(self, prefix: str, _: HTTPAdapter) -> None:
        """Called by PrometheusConnect with an adapter of its own making; ours keeps track of the sockets."""
        # read=False lets a time-out be told from other failures; with it being 0, all are "Max retries exceeded".
        retries = urllib3.Retry(total=0, read=False)
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS, max_retries=retries)
        adapter.poolmanager.pool_classes_by_scheme = _tracking_pools(self._sockets)
        self._session.mount(prefix, adapter)

    def request(self, method: str, url: str, **options: Any) -> _Answer:
        """The answer to one request, called by PrometheusConnect. Raises BackendError."""
        sent = self._clock.now()
        try:
            with self._session.request(method, url, **options, stream=True, allow_redirects=False) as response:
                received = self._clock.now()
                good = 200 <= response.status_code < 300  # noqa: PLR2004 - HTTP's successes
                body = self._read(response, _LARGEST_ANSWER if good else _LARGEST_REFUSAL, strict=good)
        except (OSError, urllib3.exceptions.HTTPError, UnicodeError) as error:  # requests' errors are OSErrors
            raise self._lost(error, options["timeout"]) from error
        if not good:
            raise self._refused(response, body)
        document = self._document(body)
        self._note(response.headers.get("Date", ""), sent, received)
        self.is_victoria_metrics = _VICTORIA_METRICS in response.headers
        return _Answer(document)

    def abandon(self) -> None:
        """Cut the connections, so that a thread that waits for a drip of bytes ends: its time-outs bound one read."""
        for connected in list(self._sockets):
            try:
                connected.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already

    def _read(self, response: requests.Response, at_most: int, *, strict: bool) -> str:
        """The body as text; cut short at the bound, or refused there where *strict*."""
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > at_most:
                if strict:
                    raise RefusedError(
                        f"{self._where} answers with more than {at_most // 2**20} MiB "
                        "(narrow the query, or AUTOSCALER_METRIC_SELECTOR, so that it gives one series per service)"
                    )
                break
        return body.decode(errors="replace")

    def _document(self, text: str) -> Any:
        """The answer's document, its samples as pairs of arrays (see `_samples`)."""
        try:
            parts = _PARTS.decode(text)
            status = decode(parts["status"])
            document = {name: decode(part) for name, part in parts.items() if name != "data"}
            document["data"] = _data(parts["data"]) if status == "success" else None
            doubt = _doubt(document)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            what = "a web page" if text.lstrip().startswith("<") else "something that is not an answer to a query"
            raise UnreachableError(
                f"{self._where} answers with {what} (is {_PREFIX}URL right, with its path, and no login before it?): "
                f"{self._shown(text)}"
            ) from error
        if status != "success":
            raise UnreachableError(
                f"{self._where} answers with status {self._shown(str(status))}: {self._said(document)}"
            )
        if doubt:
            # Thanos and others answer with what they have when a store is away: not the whole truth, so no data.
            raise RefusedError(f"{self._where} warns of its own answer, so it is not used: {self._shown(doubt)}")
        return document

    def _refused(self, response: requests.Response, body: str) -> BackendError:
        """The error for an answer whose status is no success."""
        status = response.status_code
        said = self._said(_loaded(body)) or self._shown(body)
        said = f": {said}" if said else ""
        if status in {requests.codes.too_many_requests, requests.codes.request_timeout} or status >= 500:  # noqa: PLR2004 - HTTP's server errors
            strange = status == requests.codes.internal_server_error and not _error_type(_loaded(body))
            message = f"{self._where} fails with HTTP {status}{said}{_STRANGER if strange else ''}"
            if _error_type(_loaded(body)) in {"timeout", "canceled"}:
                # Its own time limit for a query: another try would only be the same load again.
                return RefusedError(f"{message} (the query takes it too long; simplify it, or use a recording rule)")
            return PassingError(message, _seconds(response.headers.get("Retry-After", "")))
        cure = _CURES.get(status, "" if _error_type(_loaded(body)) else _STRANGER)
        if response.is_redirect or response.is_permanent_redirect:
            target = urlsplit(response.headers.get("Location", ""))
            target = target._replace(netloc=target.netloc.rpartition("@")[2], query="", fragment="")
            cure = f" (redirects are not followed; set {_PREFIX}URL to where it moved, {self._shown(target.geturl())})"
            said = ""
        return RefusedError(f"{self._where} refuses with HTTP {status}{said}{cure}")

    def _lost(self, error: Exception, timeout: float) -> UnreachableError:
        """The error for no answer within *timeout*, or none that is complete."""
        cause = self._shown(_cause(error))
        if isinstance(error, requests.exceptions.SSLError):
            cure = (
                f"give the authority that signed its certificate as {_PREFIX}CA_FILE"
                if "certificate" in cause.lower()
                else f"does it speak TLS, and {_PREFIX}URL the right one of http and https?"
            )
            return UnreachableError(f"{self._where}: TLS failed: {cause} ({cure})")
        if isinstance(error, requests.Timeout) or "timed out" in cause:
            said = f"{self._where} gave no answer within {timeout:.3g} s"
            if timeout < self._timeout:  # so it was the rest of the deadline
                return DeadlineError(f"{said}, the rest of this evaluation's time")
            return PassingError(f"{said} ({_PREFIX}TIMEOUT)")
        if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
            return PassingError(f"{self._where} broke off in the middle of an answer: {cause}")
        if isinstance(error, requests.ConnectionError):
            return PassingError(f"{self._where} cannot be reached: {cause} (does it run, is {_PREFIX}URL right?)")
        return UnreachableError(f"{self._where} cannot be asked: {cause}")

    def _note(self, date: str, sent: float, received: float) -> None:
        """Remember what the *date* of an answer, which leaves out parts of a second, says of the two clocks."""
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            self.dated = None
            return
        self.dated = Offset.between(theirs - received, theirs + 1 - sent, received)

    def _said(self, document: Any) -> str:
        """Prometheus' own words on an error; empty where there are none."""
        return self._shown(f"{document['error']}") if isinstance(document, dict) and document.get("error") else ""

    def _shown(self, text: str) -> str:
        """*text* on one line, shortened, without secrets: a server may send back what it was sent."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        line = " ".join(text.split())
        return line if len(line) <= _WORDS else f"{line[:_WORDS]}…"


_STRANGER = f" (this is not the answer of a Prometheus; does {_PREFIX}URL name another server, such as cAdvisor?)"
_CURES = {
    401: f" (set {_PREFIX}USERNAME and {_PREFIX}PASSWORD, or {_PREFIX}BEARER_TOKEN, to what it accepts)",
    403: f" (the credentials it was given, {_PREFIX}USERNAME or {_PREFIX}BEARER_TOKEN, do not allow queries)",
    404: f" (is {_PREFIX}URL right, with its path, as Mimir's /prometheus, and without /api/v1?)",
    414: " (the query is too long for the server before it; use a recording rule)",
}


def _check_certificates(connection: ConnectionSettings) -> None:
    """Raise SettingsError where a certificate's file cannot be used; requests would fail at each query, naming none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    name, cure = "CA_FILE", "name a PEM file with the authority's certificate"
    try:
        if connection.ca_file:
            context.load_verify_locations(connection.ca_file)
        name, cure = "CERT_FILE", f"name a PEM file with certificate and key, or give the key as {_PREFIX}KEY_FILE"
        if connection.cert_file:
            # With a password, however wrong, so that an encrypted key is an error and no prompt.
            context.load_cert_chain(connection.cert_file, connection.key_file or None, password="-")  # noqa: S106 - no secret
    except OSError as error:  # TLS's own errors are OSErrors
        said = (getattr(error, "reason", None) or error.strerror or f"{error}").replace("_", " ").lower()
        raise SettingsError([f"{_PREFIX}{name}: cannot be used: {said} ({cure})"]) from error


def _data(text: Raw) -> dict[str, Any]:
    """The data of an answer to a query. Each series is parsed alone: a wide answer as lists of lists is too large."""
    parts = _PARTS.decode(text)
    data = {name: decode(part) for name, part in parts.items() if name != "result"}
    data["result"] = [_series(series) for series in _RESULT.decode(parts["result"])]
    return data


def _series(parts: dict[str, Raw]) -> dict[str, Any]:
    """One series of a result; raises KeyError if it has no labels at all, which every series has."""
    return {"metric": _LABELS.decode(parts["metric"])} | {
        name: _READERS.get(name, decode)(part) for name, part in parts.items() if name != "metric"
    }


def _samples(text: Raw) -> tuple[array[float], array[float]]:
    """A series' samples ``[[time, "value"], …]`` as two arrays."""
    try:
        samples = _NUMBERS.decode(text)
    except ValidationError:  # a value that is no number in JSON: NaN, say
        samples = [(moment, float(value)) for moment, value in _TEXTS.decode(text)]
    times, values = zip(*samples, strict=True) if samples else ((), ())
    return array("d", times), array("d", values)


_PARTS = Decoder(dict[str, Raw])
_RESULT = Decoder(list[dict[str, Raw]])
_NUMBERS = Decoder(list[tuple[float, float]], strict=False)
_TEXTS = Decoder(list[tuple[float, str]])
_LABELS = Decoder(dict[str, str])
_READERS: dict[str, Callable[[Raw], Any]] = {"values": _samples}


def _doubt(document: dict[str, Any]) -> str:
    """What an answer says against itself; empty where it is whole."""
    if document.get("isPartial"):  # VictoriaMetrics
        return "isPartial"
    warnings = [f"{warning}" for warning in document.get("warnings") or ()]
    # Prometheus 2.48 to 2.53 puts notes on the query's style beside warnings (prometheus/prometheus#14135).
    return "; ".join(warning for warning in warnings if not warning.startswith("PromQL info:"))


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _error_type(document: Any) -> str:
    return f"{document.get('errorType')}" if isinstance(document, dict) else ""


def _seconds(text: str) -> float:
    """What Retry-After says, where it says it in seconds; else 0."""
    return float(text) if re.fullmatch(r"\d{1,6}", text.strip()) else 0.0


def _cause(error: BaseException) -> str:
    """What went wrong at the bottom of *error*, in the words of the operating system where it has some."""
    inner: object = error
    while isinstance(inner, Exception):
        if isinstance(inner, OSError) and inner.strerror and not isinstance(inner, requests.RequestException):
            return f"{inner.strerror}".lower()
        error = inner
        inner = getattr(inner, "reason", None) or inner.__cause__ or (inner.args[-1] if inner.args else None)
    return f"{error}" or type(error).__name__


def _revealed(secret: SecretStr | None) -> str:
    """What *secret* hides, without the line break that files end in."""
    return secret.get_secret_value().rstrip("\r\n") if secret is not None else ""


def _tracking_pools(sockets: WeakSet[socket.socket]) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """urllib3's pools, made to put each socket they connect into *sockets*."""

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
