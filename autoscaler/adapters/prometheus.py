"""Prometheus, or what speaks its API, as a metric source.

PrometheusConnect puts the requests together; the session it is given (`_Wire`) sends them, because the library drops
warnings, obeys Retry-After for ever, waits without end and keeps no answer's status (facts 9). What comes back is a
complete answer or a BackendError that says where, what, and what would help, without any secret.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit
from weakref import WeakSet

import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from requests.adapters import HTTPAdapter
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay, wait_exponential
from urllib3.connection import HTTPConnection, HTTPSConnection

from autoscaler.deadline import Guard
from autoscaler.errors import DeadlineError, RefusedError, SettingsError, UnreachableError
from autoscaler.ports import Series
from autoscaler.queries import STAT_LABEL, TASKS, VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import SecretStr
    from tenacity import RetryCallState

    from autoscaler.deadline import Deadline
    from autoscaler.errors import BackendError
    from autoscaler.ports import Clock, Query

T = TypeVar("T")

_PREFIX = "AUTOSCALER_PROMETHEUS_"
_POINTS = 11_000
"""How many points of one series Prometheus gives in one answer at most (facts 9)."""
_LARGEST_ANSWER = 256 * 2**20
_LARGEST_REFUSAL = 64 * 2**10
_CHUNK = 256 * 2**10
_CONNECTIONS = 2
"""Connections kept open: one that is in use, and one that an abandoned call still holds."""
_ATTEMPTS = 3
_BACKOFF = wait_exponential(multiplier=0.1, max=1)
_OFFSET_FRESH = 60.0
"""For how many seconds the clock offset that an answer showed is believed."""
_SHORTEST_TIMEOUT = 0.001
_WORDS = 300
_MASK = "***"
_SHORTEST_SECRET = 4
_NO_HEADER_VALUE = "is empty, or holds a blank end, a line break or a character beyond ASCII"


@dataclass(frozen=True)
class ConnectionSettings:
    """Where Prometheus is and how to be let in. Its representation holds no secret."""

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
    def secrets(self) -> tuple[str, ...]:
        """Every text of four characters or more that must not be shown, the longest first."""
        user, password = self.credentials or ("", "")
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if password else ""
        texts = {password, basic, _revealed(self.bearer_token), *self.headers.values()}
        return tuple(sorted((text for text in texts if len(text) >= _SHORTEST_SECRET), key=len, reverse=True))

    def problems(self) -> list[str]:
        """What is wrong with these settings, and the cures."""
        problems = [*self._problems_of_url(), *self._problems_of_files()]
        return problems or [*self._problems_of_credentials()]

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url.strip())

    def _problems_of_url(self) -> Iterator[str]:
        name = f"{_PREFIX}URL"
        try:
            parts = self._parts
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            yield f"{name}: is no URL (give http://HOST:PORT or https://HOST)"
            return
        if not usable:
            yield f"{name}: is no URL of a server (give http://HOST:PORT or https://HOST)"
        elif parts.query or parts.fragment:
            yield f"{name}: takes no ? or # (give what it ends in as {_PREFIX}HEADERS, or leave it out)"
        if self.timeout <= 0:
            yield f"{_PREFIX}TIMEOUT: {self.timeout:g} s is no time to answer in (10s is usual)"

    def _problems_of_credentials(self) -> Iterator[str]:
        if self._parts.username and self.username:
            yield f"{_PREFIX}URL: holds a user, and so does {_PREFIX}USERNAME (give one of them)"
        if self.password is not None and not self.username:
            yield f"{_PREFIX}PASSWORD: has no user to it (set {_PREFIX}USERNAME)"
        if self.bearer_token is not None and (self.username or self._parts.username):
            yield f"{_PREFIX}BEARER_TOKEN: is set beside a user (give the token or the user)"
        if self.bearer_token is not None and not _header_value(_revealed(self.bearer_token)):
            yield f"{_PREFIX}BEARER_TOKEN: {_NO_HEADER_VALUE}"
        for header, value in self.headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", header):
                yield f"{_PREFIX}HEADERS: {header!r} is no name of a header"
            elif not _header_value(value):
                yield f"{_PREFIX}HEADERS: {header} {_NO_HEADER_VALUE}"
            elif header.lower() == "authorization" and (self.credentials or self.bearer_token):
                yield f"{_PREFIX}HEADERS: holds Authorization beside a user or a token (give one of them)"

    def _problems_of_files(self) -> Iterator[str]:
        if self.key_file and not self.cert_file:
            yield f"{_PREFIX}KEY_FILE: has no certificate to it (set {_PREFIX}CERT_FILE)"
        for name, path in (("CA_FILE", self.ca_file), ("CERT_FILE", self.cert_file), ("KEY_FILE", self.key_file)):
            if path:
                try:
                    Path(path).open("rb").close()
                except OSError as error:
                    yield f"{_PREFIX}{name}: cannot read {path}: {error.strerror}"


class PrometheusSource:
    """A MetricSource. Not for use by two threads at once.

    Raises SettingsError where the settings hold problems.
    """

    def __init__(self, connection: ConnectionSettings, clock: Clock) -> None:
        if problems := connection.problems():
            raise SettingsError(problems)
        self._clock = clock
        self._timeout = connection.timeout
        self._guard = Guard("Prometheus")
        self._wire = _Wire(connection, clock)
        headers = dict(connection.headers)
        if connection.bearer_token is not None:
            headers["Authorization"] = f"Bearer {_revealed(connection.bearer_token)}"
        credentials = connection.credentials
        self._prometheus = PrometheusConnect(
            url=connection.address,
            headers=headers,
            # As bytes: requests would encode text as Latin-1, and servers read UTF-8 (RFC 7617).
            auth=tuple(part.encode() for part in credentials) if credentials else None,
            session=self._wire,
            retry=urllib3.Retry(total=0),
            timeout=connection.timeout,
        )

    def clock_offset(self, now: float, deadline: Deadline) -> float:
        """How far Prometheus' clock is behind (negative) or ahead of *now*, in seconds; 0 within a second.

        As the Date of an answer of the last minute shows it; it asks for one where there is none.
        """
        seen = self._wire.dated
        if seen is None or not 0 <= now - seen.received <= _OFFSET_FRESH:
            self._call(lambda timeout: self._prometheus.custom_query("vector(1)", timeout=timeout), deadline)
            seen = self._wire.dated
        return seen.offset if seen else 0.0

    def fetch(self, query: Query, start: int, end: int, step: int, deadline: Deadline) -> dict[str, Series]:
        """The samples at *start*, *start* + *step*, … *end*, by service."""
        grid = range(start, end + 1, step)
        table = _Table(query, len(grid))
        for first in range(0, len(grid), _POINTS):
            part = grid[first : first + _POINTS]
            table.take(self._call(partial(self._range, query, part), deadline), first, part)
        return table.series()

    def _range(self, query: Query, grid: range, timeout: float) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._prometheus.custom_query_range(
            query.expression,
            start_time=datetime.fromtimestamp(grid[0], UTC),
            end_time=datetime.fromtimestamp(grid[-1], UTC),
            step=f"{grid.step}",
            timeout=timeout,
        )
        return answer

    def _call(self, ask: Callable[[float], T], deadline: Deadline) -> T:
        """What *ask* returns, given its time-out; tried again while that may help and the *deadline* allows it."""

        def once() -> T:
            try:
                return self._guard.call(
                    lambda: ask(max(_SHORTEST_TIMEOUT, deadline.remaining(self._timeout))), deadline.remaining()
                )
            except DeadlineError:
                self._wire.abandon()
                raise

        retrying = Retrying(
            retry=retry_if_exception_type(_PassingError),
            stop=stop_after_attempt(_ATTEMPTS) | stop_before_delay(deadline.remaining()),
            wait=_pause,
            reraise=True,
        )
        return retrying(once)


class _PassingError(UnreachableError):
    """A failure that a second try may not meet."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after
        """How many seconds the server asks to wait before that."""


@dataclass(frozen=True, slots=True)
class _Dated:
    """What the Date of an answer says of the two clocks."""

    offset: float
    received: float


@dataclass(frozen=True, slots=True)
class _Answer:
    """What PrometheusConnect reads of a response: a good one, every other has been raised."""

    document: Any
    status_code: int = 200

    def json(self) -> Any:
        return self.document


class _Wire:
    """The session that PrometheusConnect uses: sends one request, and returns its complete answer or raises.

    It takes nothing from the environment, for a netrc entry would replace the bearer token (facts 9), and follows no
    redirect, for the headers would go along to whatever host it names.
    """

    def __init__(self, connection: ConnectionSettings, clock: Clock) -> None:
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
        self.dated: _Dated | None = None
        """What the newest good answer showed; None before the first."""

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
        """The answer's document, its samples as pairs of arrays (see `_compact`)."""
        try:
            document = json.loads(text, object_hook=_compact)
            status = document["status"]
            result = document["data"]["result"] if status == "success" else []
            sound = all(isinstance(series["metric"], dict) for series in result)
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            sound, status = False, ""
        if not sound:
            what = "a web page" if text.lstrip().startswith("<") else "something that is no answer to a query"
            raise UnreachableError(
                f"{self._where} answers with {what} (is {_PREFIX}URL right, with its path, and no login before it?): "
                f"{self._shown(text)}"
            )
        if status != "success":
            raise UnreachableError(f"{self._where} answers with status {status}: {self._said(document)}")
        if doubt := _doubt(document):
            # Thanos and others answer with what they have when a store is away: not the whole truth, so no data.
            raise UnreachableError(f"{self._where} warns of its own answer, so it is not used: {self._shown(doubt)}")
        return document

    def _refused(self, response: requests.Response, body: str) -> BackendError:
        """The error for an answer whose status is no success."""
        status = response.status_code
        said = self._said(_loaded(body)) or self._shown(body)
        said = f": {said}" if said else ""
        if status in {requests.codes.too_many_requests, requests.codes.request_timeout} or status >= 500:  # noqa: PLR2004 - HTTP's server errors
            message = f"{self._where} fails with HTTP {status}{said}"
            if _error_type(_loaded(body)) in {"timeout", "canceled"}:
                # Its own time limit for a query: another try would only be the same load again.
                return UnreachableError(
                    f"{message} (the query takes it too long; simplify it, or use a recording rule)"
                )
            return _PassingError(message, _seconds(response.headers.get("Retry-After", "")))
        cure = _CURES.get(status, "")
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
            limit = f" ({_PREFIX}TIMEOUT)" if timeout == self._timeout else ", the rest of this evaluation's time"
            return _PassingError(f"{self._where} gave no answer within {timeout:.3g} s{limit}")
        if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
            return _PassingError(f"{self._where} broke off in the middle of an answer: {cause}")
        if isinstance(error, requests.ConnectionError):
            return _PassingError(f"{self._where} cannot be reached: {cause} (does it run, is {_PREFIX}URL right?)")
        return UnreachableError(f"{self._where} cannot be asked: {cause}")

    def _note(self, date: str, sent: float, received: float) -> None:
        """Remember what the *date* of an answer, which leaves out parts of a second, says of the two clocks."""
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except ValueError:
            self.dated = _Dated(0.0, received)
            return
        least, most = theirs - received, theirs + 1 - sent
        self.dated = _Dated(least if least > 0 else min(most, 0.0), received)

    def _said(self, document: Any) -> str:
        """Prometheus' own words on an error; empty where there are none."""
        return self._shown(f"{document['error']}") if isinstance(document, dict) and document.get("error") else ""

    def _shown(self, text: str) -> str:
        """*text* on one line, shortened, without secrets: a server may send back what it was sent."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        line = " ".join(text.split())
        return line if len(line) <= _WORDS else f"{line[:_WORDS]}…"


_CURES = {
    401: f" (set {_PREFIX}USERNAME and {_PREFIX}PASSWORD, or {_PREFIX}BEARER_TOKEN, to what it accepts)",
    403: f" (the credentials it was given, {_PREFIX}USERNAME or {_PREFIX}BEARER_TOKEN, do not allow queries)",
    404: f" (is {_PREFIX}URL right, with its path, as Mimir's /prometheus, and without /api/v1?)",
    414: " (the query is too long for the server before it; use a recording rule)",
}


class _Table:
    """The columns of one query's answer, filled part by part."""

    def __init__(self, query: Query, length: int) -> None:
        self._query = query
        self._length = length
        self._values: dict[str, list[float]] = {}
        self._tasks: dict[str, list[int]] = {}

    def take(self, answer: list[dict[str, Any]], first: int, grid: range) -> None:
        """Put the *answer* for *grid* into the columns, from row *first* on. Raises RefusedError."""
        times = array("d", grid)
        seen: set[tuple[str, str]] = set()
        for series in answer:
            service, stat = self._key(series)
            if (service, stat) in seen:
                raise RefusedError(
                    f"the query of the metric {self._query.metric} gives several series for the service {service} "
                    f"(aggregate them, as in sum by ({self._query.by}) (…))"
                )
            seen.add((service, stat))
            samples = _on_grid(series["values"], times, grid)
            if stat == TASKS:
                counts = [int(count) if count > 0 else 0 for count in samples]  # NaN is not above 0
                self._tasks.setdefault(service, [0] * self._length)[first : first + len(grid)] = counts
            else:
                self._values.setdefault(service, [nan] * self._length)[first : first + len(grid)] = samples

    def series(self) -> dict[str, Series]:
        """The columns by service."""
        if not self._query.counts_tasks:
            return {service: Series(values) for service, values in self._values.items()}
        return {
            service: Series(
                self._values.get(service) or [nan] * self._length, self._tasks.get(service) or [0] * self._length
            )
            for service in self._values.keys() | self._tasks.keys()
        }

    def _key(self, series: dict[str, Any]) -> tuple[str, str]:
        """The service and the stat that a series is about."""
        labels = series["metric"]
        service = labels.get(self._query.by)
        if not service:
            raise RefusedError(
                f"the query of the metric {self._query.metric} gives a series without the label {self._query.by}, "
                f"which is to carry the service's name; it has {', '.join(sorted(labels)) or 'no label'} "
                f"(aggregate by it, as in sum by ({self._query.by}) (…), or name another label)"
            )
        if not isinstance(series.get("values"), tuple) or "histograms" in series:
            raise RefusedError(
                f"the query of the metric {self._query.metric} gives native histograms "
                "(make a number of them, as in histogram_quantile(0.95, …))"
            )
        if not self._query.counts_tasks:
            return service, VALUE
        stat = labels.get(STAT_LABEL)
        if stat not in {VALUE, TASKS}:
            raise RefusedError(
                f"the query of the metric {self._query.metric} gives a series of the service {service} "
                f"without the label {STAT_LABEL} ({VALUE} or {TASKS})"
            )
        return service, stat


def _on_grid(samples: tuple[array[float], array[float]], times: array[float], grid: range) -> list[float]:
    """The samples on the *grid*, whose moments *times* are too; one that is missing or not finite is NaN."""
    at, values = samples
    if at == times and isfinite(sum(values)):
        return values.tolist()
    column = [nan] * len(grid)
    for moment, value in zip(at, values, strict=True):
        row, off = divmod(moment - grid.start, grid.step)
        if not off and 0 <= row < len(grid) and isfinite(value):
            column[int(row)] = value
    return column


def _compact(document: dict[str, Any]) -> dict[str, Any]:
    """A series' samples ``[[time, "value"], …]`` as two arrays; any other document as it is.

    Called for every JSON object as it is parsed, so that an answer never exists whole as lists of lists, which would
    take six times the memory.
    """
    samples = document.get("values")
    if isinstance(samples, list) and "metric" in document:
        times, texts = zip(*samples, strict=True) if samples else ((), ())
        document["values"] = (array("d", times), array("d", map(float, texts)))
    return document


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


def _pause(state: RetryCallState) -> float:
    """How long to wait before the next try: longer each time, and what the server asks for at least."""
    error = state.outcome.exception() if state.outcome else None
    return max(_BACKOFF(state), error.after if isinstance(error, _PassingError) else 0.0)


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


def _header_value(text: str) -> bool:
    """Whether *text* can be sent as a header's value, and shows up in no error of requests on its form."""
    return bool(text) and text == text.strip() and all(" " <= character <= "~" for character in text)


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
