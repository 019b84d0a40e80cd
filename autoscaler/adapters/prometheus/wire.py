"""The session that PrometheusConnect sends its requests by.

The library drops warnings, obeys Retry-After for ever, waits without end and keeps no answer's status
(docs/facts.md#prometheus-api-client). This session returns a complete answer. Otherwise it raises a BackendError with
the place, the cause and the cure, and without any secret.
"""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from weakref import WeakSet

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from autoscaler.adapters.prometheus.answers import doubt_of, parse
from autoscaler.adapters.prometheus.connection import PREFIX, check_certificates
from autoscaler.errors import DeadlineError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from autoscaler.adapters.prometheus.connection import ConnectionSettings
    from autoscaler.errors import BackendError
    from autoscaler.ports import Clock

_LARGEST_ANSWER = 64 * 2**20
"""The most bytes of an answer, unpacked: ten times those of the widest query for 5,000 services."""
_LARGEST_REFUSAL = 64 * 2**10
_CHUNK = 256 * 2**10
"""Bytes that are read at once."""
_CONNECTIONS = 2
"""Connections that are kept open: one that is in use, and one that an abandoned call still holds."""
_LONGEST_QUOTE = 300
"""The most characters of a server's text in a message."""
_VICTORIA_METRICS = "X-Server-Hostname"
"""A header that all answers of VictoriaMetrics have, and those of Prometheus do not."""
_MASK = "***"


class PassingError(UnreachableError):
    """A failure that may pass, so that another attempt can succeed."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after
        """How many seconds the server asks to wait before the next attempt."""


@dataclass(frozen=True, slots=True)
class Offset:
    """The server's clock as an answer shows it, in seconds ahead of ours, and when the answer was received."""

    offset: float
    received: float

    @classmethod
    def between(cls, least: float, most: float, received: float) -> Self:
        """Return the possible offset that is nearest to 0."""
        return cls(least if least > 0 else min(most, 0.0), received)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The part of a good response that PrometheusConnect reads. All other responses were raised."""

    document: Any
    status_code: int = 200

    def json(self) -> Any:
        return self.document


class Wire:
    """The session that PrometheusConnect uses: sends one request, and returns its complete answer or raises.

    It ignores the environment, because a netrc entry would replace the bearer token. It does not follow redirects,
    because the headers would be sent to any host.
    """

    def __init__(self, connection: ConnectionSettings, clock: Clock) -> None:
        check_certificates(connection)
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
        """The clock according to the Date of the newest good answer; None before the first, and without a Date."""
        self.is_victoria_metrics = False
        """True if the newest good answer is from VictoriaMetrics, as far as it shows."""

    def mount(self, prefix: str, _: HTTPAdapter) -> None:
        """Mount our own adapter, which keeps track of the sockets, in place of the one from PrometheusConnect."""
        # read=False keeps timeouts apart from other failures. With 0, all are "Max retries exceeded".
        retries = urllib3.Retry(total=0, read=False)
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS, max_retries=retries)
        adapter.poolmanager.pool_classes_by_scheme = _tracking_pools(self._sockets)
        self._session.mount(prefix, adapter)

    def request(self, method: str, url: str, **options: Any) -> _Answer:
        """Return the answer to one request of PrometheusConnect. Raise BackendError."""
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
        """Cut the connections, to end a thread that reads a slow answer. Its timeouts only limit each single read."""
        for connected in list(self._sockets):
            try:
                connected.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already

    def _read(self, response: requests.Response, at_most: int, *, strict: bool) -> str:
        """Return the body as text. A body that is too long is refused if *strict*, and else cut."""
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
        """Return the answer's document, the samples of each series as two arrays."""
        try:
            document = parse(text)
        except ValueError as error:
            what = "a web page" if text.lstrip().startswith("<") else "something that is not an answer to a query"
            raise UnreachableError(
                f"{self._where} answers with {what} (is {PREFIX}URL right, with its path, and no login before it?): "
                f"{self._shown(text)}"
            ) from error
        status = document["status"]
        if status != "success":
            raise UnreachableError(
                f"{self._where} answers with status {self._shown(str(status))}: {self._said(document)}"
            )
        if doubt := doubt_of(document):
            # Thanos and others answer with a part of the data if a store is away. Such an answer counts as no data.
            raise RefusedError(f"{self._where} warns of its own answer, so it is not used: {self._shown(doubt)}")
        return document

    def _refused(self, response: requests.Response, body: str) -> BackendError:
        """Return the error for an answer whose status is not a success."""
        status = response.status_code
        said = self._said(_loaded(body)) or self._shown(body)
        said = f": {said}" if said else ""
        if status in {requests.codes.too_many_requests, requests.codes.request_timeout} or status >= 500:  # noqa: PLR2004 - HTTP's server errors
            strange = status == requests.codes.internal_server_error and not _error_type(_loaded(body))
            message = f"{self._where} fails with HTTP {status}{said}{_STRANGER if strange else ''}"
            if _error_type(_loaded(body)) in {"timeout", "canceled"}:
                # Prometheus' own time limit for a query. Another attempt would only cause the same load.
                return RefusedError(f"{message} (the query takes it too long; simplify it, or use a recording rule)")
            return PassingError(message, _seconds(response.headers.get("Retry-After", "")))
        cure = _CURES.get(status, "" if _error_type(_loaded(body)) else _STRANGER)
        if response.is_redirect or response.is_permanent_redirect:
            target = urlsplit(response.headers.get("Location", ""))
            target = target._replace(netloc=target.netloc.rpartition("@")[2], query="", fragment="")
            cure = f" (redirects are not followed; set {PREFIX}URL to where it moved, {self._shown(target.geturl())})"
            said = ""
        return RefusedError(f"{self._where} refuses with HTTP {status}{said}{cure}")

    def _lost(self, error: Exception, timeout: float) -> UnreachableError:
        """Return the error for an answer that did not come within *timeout*, or is incomplete."""
        cause = self._shown(_cause(error))
        if isinstance(error, requests.exceptions.SSLError):
            cure = (
                f"give the authority that signed its certificate as {PREFIX}CA_FILE"
                if "certificate" in cause.lower()
                else f"does it speak TLS, and {PREFIX}URL the right one of http and https?"
            )
            return UnreachableError(f"{self._where}: TLS failed: {cause} ({cure})")
        if isinstance(error, requests.Timeout) or "timed out" in cause:
            said = f"{self._where} gave no answer within {timeout:.3g} s"
            if timeout < self._timeout:  # the timeout was the rest of the deadline
                return DeadlineError(f"{said}, the rest of this evaluation's time")
            return PassingError(f"{said} ({PREFIX}TIMEOUT)")
        if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
            return PassingError(f"{self._where} broke off in the middle of an answer: {cause}")
        if isinstance(error, requests.ConnectionError):
            return PassingError(f"{self._where} cannot be reached: {cause} (does it run, is {PREFIX}URL right?)")
        return UnreachableError(f"{self._where} cannot be asked: {cause}")

    def _note(self, date: str, sent: float, received: float) -> None:
        """Remember the difference of the clocks by the *date* of an answer, which is in whole seconds."""
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            self.dated = None
            return
        self.dated = Offset.between(theirs - received, theirs + 1 - sent, received)

    def _said(self, document: Any) -> str:
        """Return Prometheus' own message on an error; empty without one."""
        return self._shown(f"{document['error']}") if isinstance(document, dict) and document.get("error") else ""

    def _shown(self, text: str) -> str:
        """Return *text* on one line, shortened, and without secrets, because a server may echo its request."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        line = " ".join(text.split())
        return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}…"


_STRANGER = f" (this is not the answer of a Prometheus; does {PREFIX}URL name another server, such as cAdvisor?)"
_CURES = {
    401: f" (set {PREFIX}USERNAME and {PREFIX}PASSWORD, or {PREFIX}BEARER_TOKEN, to what it accepts)",
    403: f" (allow queries to the user of {PREFIX}USERNAME or {PREFIX}BEARER_TOKEN)",
    404: f" (is {PREFIX}URL right, with its path, as Mimir's /prometheus, and without /api/v1?)",
    414: " (the query is too long for the server before it; use a recording rule)",
}


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _error_type(document: Any) -> str:
    return f"{document.get('errorType')}" if isinstance(document, dict) else ""


def _seconds(text: str) -> float:
    """Return the seconds of Retry-After; 0 if it is not in seconds."""
    return float(text) if re.fullmatch(r"\d{1,6}", text.strip()) else 0.0


def _cause(error: BaseException) -> str:
    """Return the innermost cause of *error*, in the words of the operating system if there are any."""
    inner: object = error
    while isinstance(inner, Exception):
        if isinstance(inner, OSError) and inner.strerror and not isinstance(inner, requests.RequestException):
            return f"{inner.strerror}".lower()
        error = inner
        inner = getattr(inner, "reason", None) or inner.__cause__ or (inner.args[-1] if inner.args else None)
    return f"{error}" or type(error).__name__


def _tracking_pools(sockets: WeakSet[socket.socket]) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return pools of urllib3 that put each socket that they connect into *sockets*."""

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
