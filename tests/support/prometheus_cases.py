"""Answers of Prometheus that are of no use, and what is said of each."""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.errors import BackendError, RefusedError, UnreachableError
from tests.support import prometheus_server as server_side
from tests.support.builders import NOW
from tests.support.prometheus_server import Fault, status, success


def error(words: str, kind: str = "execution") -> dict[str, object]:
    """An error as Prometheus puts it."""
    return {"status": "error", "errorType": kind, "error": words}


@dataclass(frozen=True)
class Case:
    """A fault, the error it is, what that says, and how often it is asked."""

    fault: Fault
    error: type[BackendError]
    says: str
    attempts: int = 1


NO_HISTOGRAM = success([{"metric": {"service": "web"}, "histograms": []}])
TWICE = success([{"metric": {"service": "web", "pod": pod}, "values": [[NOW, "1"]]} for pod in "ab"])
NAMELESS = success([{"metric": {"pod": "a"}, "values": [[NOW, "1"]]}])
BROKEN = success([{"metric": {"service": "web"}, "values": [[NOW]]}])
_NO_ANSWER = "not an answer to a query"

CASES = {
    # Nothing, or not all of it: another try may fare better.
    "cut": Case(server_side.cut, UnreachableError, "cannot be reached: remote end closed", 3),
    "reset": Case(server_side.reset, UnreachableError, "cannot be reached: connection reset by peer", 3),
    "another protocol": Case(server_side.no_http, UnreachableError, "cannot be reached: SSH-2.0", 3),
    "a body too short": Case(server_side.short_body, UnreachableError, "in the middle of an answer", 3),
    "a truncated chunk": Case(server_side.truncated_chunk, UnreachableError, "in the middle of an answer", 3),
    "a broken gzip": Case(server_side.broken_gzip, UnreachableError, "in the middle of an answer", 3),
    "503": Case(status(503, "no healthy upstream"), UnreachableError, "HTTP 503: no healthy upstream", 3),
    "500": Case(status(500, error("boom", "internal")), UnreachableError, "HTTP 500: boom", 3),
    "502 in HTML": Case(status(502, "<html>\n<h1>Bad Gateway"), UnreachableError, "HTTP 502: <html> <h1>Bad Gate", 3),
    "429": Case(status(429, "slow down"), UnreachableError, "HTTP 429: slow down", 3),
    # Longer than there is time for.
    "503 with a long Retry-After": Case(status(503, "", {"Retry-After": "3600"}), UnreachableError, "HTTP 503"),
    # Something else than an answer.
    "HTML": Case(status(200, "<!doctype html><title>Sign in</title>"), UnreachableError, "a web page (is AUTOSCALER_"),
    "text": Case(status(200, "ok"), UnreachableError, "not an answer to a query (is AUTOSCALER_PROMETHEUS_URL right"),
    "nothing": Case(status(204), UnreachableError, _NO_ANSWER),
    "other JSON": Case(status(200, [1]), UnreachableError, _NO_ANSWER),
    "JSON that breaks off": Case(
        status(200, '{"status":"success","data":{'), UnreachableError, "not an answer to a query"
    ),
    "JSON without data": Case(status(200, {"status": "success"}), UnreachableError, _NO_ANSWER),
    "JSON without end": Case(status(200, "[" * 100_000), UnreachableError, _NO_ANSWER),
    "broken samples": Case(status(200, BROKEN), UnreachableError, _NO_ANSWER),
    "warnings that are no list": Case(
        status(200, success([], warnings=7)), UnreachableError, "not an answer to a query"
    ),
    "status error": Case(status(200, error("store is away")), UnreachableError, "status error: store is away"),
    # No, and no again.
    "400": Case(status(400, error("parse error: unexpected end", "bad_data")), RefusedError, "400: parse error: unexp"),
    "401": Case(status(401, "Unauthorized\n"), RefusedError, "HTTP 401: Unauthorized (set AUTOSCALER_PROMETHEUS_USER"),
    "403": Case(status(403), RefusedError, "HTTP 403 (allow queries"),
    "404": Case(status(404, "404 page not found"), RefusedError, "is AUTOSCALER_PROMETHEUS_URL right, with its path"),
    "422": Case(status(422, error("found duplicate series")), RefusedError, "HTTP 422: found duplicate series"),
    "a long refusal": Case(status(400, error("x" * 10**6)), RefusedError, "HTTP 400: {"),
    "a redirect": Case(
        status(302, "", {"Location": "https://bob:pw@login.example/auth?state=s"}),
        RefusedError,
        "set AUTOSCALER_PROMETHEUS_URL to where it moved, https://login.example/auth)",
    ),
    # An answer of no use, to this query: another one may fare better.
    "warnings": Case(status(200, success([], warnings=["store-2 is away"])), RefusedError, "store-2 is away"),
    "a partial answer": Case(status(200, success([], isPartial=True)), RefusedError, "isPartial"),
    "503 for a slow query": Case(status(503, error("query timed out", "timeout")), RefusedError, "recording rule"),
    # An answer, but to another question.
    "two series": Case(
        status(200, TWICE), RefusedError, "several series for the service web (aggregate them, as in sum"
    ),
    "no label": Case(status(200, NAMELESS), RefusedError, "without the label service, which should have the"),
    "histograms": Case(status(200, NO_HISTOGRAM), RefusedError, "histogram_quantile"),
}
