"""The HTTP application: what it shows of the journal, and what it lets change."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from autoscaler.core.instance import Instance
from autoscaler.journal.keeper import HistoryKeeper
from autoscaler.views.documents import DoneDocument, PoliciesDocument
from autoscaler.views.policies import PoliciesInForce
from autoscaler.web.answers import HEADERS, ErrorDocument, RefusedRequestError, refusal
from autoscaler.web.control import Control, Controls, PauseBody, ResumeBody
from autoscaler.web.evaluations import EvaluationEndpoints, no_explanation
from autoscaler.web.history import HistoryEndpoints
from autoscaler.web.openapi import Endpoint, openapi
from autoscaler.web.page import OF_THE_PAGE, routes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prometheus_client import CollectorRegistry

    from autoscaler.core.records import Record
    from autoscaler.evaluation.journal import Journal
    from autoscaler.views.explanations import ExplanationDocument

_LARGEST_REQUEST = 64 * 1024
_TEXT = "text/plain"
_WORDS = {
    404: "there is nothing at this path (see /api/v1/openapi.json)",
    405: "this path does not take this method (the header Allow lists the methods that it takes)",
    413: f"the request is too large (send {_LARGEST_REQUEST} bytes at most)",
}
"""Instead of the library's words, which repeat the request."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the health endpoints answer."""

    good: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Views:
    """What the application shows, for which nobody asks Swarm or Prometheus, and what it lets change."""

    journal: Journal
    registry: CollectorRegistry
    healthy: Callable[[], Health]
    ready: Callable[[], Health]
    policies: Callable[[], PoliciesDocument]
    """The revision in force, and what is wrong with the files as they are now."""
    controls: Controls = field(default_factory=Controls)
    instance: Callable[[], Instance] = Instance
    """What the autoscaler is at the moment."""
    loaded: Callable[[], PoliciesInForce] = PoliciesInForce
    """The policies in force, and where they stand."""
    history: HistoryKeeper = field(default_factory=HistoryKeeper)
    """What happened."""
    explain: Callable[[Record], ExplanationDocument | None] = no_explanation
    """Explains a decision as a JSON object; None if it cannot."""


def application(views: Views) -> web.Application:
    """The application, with its endpoints and their description."""
    app = web.Application(middlewares=[_answer_in_documents, _refuse_oversized], client_max_size=_LARGEST_REQUEST)
    turn = asyncio.Semaphore(1)  # one long answer is made at a time, so that evaluations have a thread
    evaluations = EvaluationEndpoints(views.journal, views.instance, views.loaded, turn, explain=views.explain)
    history = HistoryEndpoints(views.history, lambda: views.journal.snapshot().latest, views.controls.now, turn)
    endpoints = [
        *_health_and_metrics(views, turn),
        *evaluations.endpoints(),
        *history.endpoints(),
        *_changing(Control(views.controls)),
    ]

    async def description(_: web.Request) -> web.Response:
        # Made when it is asked for: the schemas of all documents take memory that a daemon needs for its work.
        return web.json_response(await asyncio.to_thread(openapi, endpoints))

    for endpoint in (*endpoints, Endpoint(hdrs.METH_GET, "/api/v1/openapi.json", "This description.", description)):
        route = web.get if endpoint.method == hdrs.METH_GET else web.post  # where GET is, HEAD is too
        app.add_routes([route(endpoint.path, endpoint.handler, expect_handler=_expected)])
    app.add_routes(routes())
    app.on_response_prepare.append(_harden)
    return app


def _health_and_metrics(views: Views, turn: asyncio.Semaphore) -> list[Endpoint]:
    async def made(make: Callable[[], bytes]) -> bytes:
        """Return what *make* returns in a thread. It takes a while for many services, and the loop keeps the lease."""
        async with turn:
            return await asyncio.to_thread(make)

    async def metrics(_: web.Request) -> web.Response:
        body = await made(lambda: generate_latest(views.registry))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthy(_: web.Request) -> web.Response:
        return _health(views.healthy())

    async def ready(_: web.Request) -> web.Response:
        return _health(views.ready())

    health = {200: _TEXT, 503: _TEXT}
    get = hdrs.METH_GET
    return [
        Endpoint(get, "/metrics", "The autoscaler's own metrics, in Prometheus' format.", metrics, {200: _TEXT}),
        Endpoint(
            get,
            "/-/healthy",
            "200 while the evaluation loop runs, also while Docker or Prometheus does not answer.",
            healthy,
            health,
        ),
        Endpoint(
            get,
            "/-/ready",
            "200 while any service can be decided on and written; else 503, with the reason.",
            ready,
            health,
        ),
    ]


def _changing(control: Control) -> list[Endpoint]:
    refused = dict.fromkeys((401, 403, 413, 503), ErrorDocument)
    written = {200: DoneDocument} | refused | dict.fromkeys((400, 404, 409, 415, 502), ErrorDocument)
    post = hdrs.METH_POST
    return [
        Endpoint(
            post,
            "/-/reload",
            "Reads the policy files again, as SIGHUP does. 422 if they are invalid; the last valid set stays.",
            control.reload,
            {200: PoliciesDocument, 422: PoliciesDocument} | refused,
            guarded=True,
        ),
        Endpoint(
            post,
            "/api/v1/pause",
            "Pauses services, or all of them. Answers once Swarm has it. Counts from the next evaluation on.",
            control.pause,
            written,
            PauseBody,
            guarded=True,
        ),
        Endpoint(
            post,
            "/api/v1/resume",
            "Ends the pauses of services, or that of all services. Answers once Swarm has stored the change.",
            control.resume,
            written,
            ResumeBody,
            guarded=True,
        ),
    ]


@web.middleware
async def _answer_in_documents(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedRequestError as error:
        return refusal(error.status, str(error), error.headers)
    except web.HTTPException as error:
        allowed = {str(name): error.headers[name] for name in (hdrs.ALLOW,) if name in error.headers}
        return refusal(error.status, _WORDS.get(error.status, HTTPStatus(error.status).phrase.lower()), allowed)
    except ConnectionError:
        raise  # the client went away
    except Exception:  # noqa: BLE001 - a defect of ours costs one request; it is logged whole
        structlog.get_logger().exception("request_failed", method=request.method[:10], path=request.path[:100])
        return refusal(500, "a defect of the autoscaler (its log says more; report it)")


@web.middleware
async def _refuse_oversized(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    # aiohttp's own limit counts only where a handler reads the body, and most here do not.
    if (request.content_length or 0) > _LARGEST_REQUEST:
        raise web.HTTPRequestEntityTooLarge(_LARGEST_REQUEST, request.content_length or 0)
    return await handler(request)


async def _expected(request: web.Request) -> None:
    """Let a client go on that waits for it; refuse what else it expects, without the library's repetition of it."""
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        document: ErrorDocument = {"error": "only 100-continue can be expected"}
        raise web.HTTPExpectationFailed(text=json.dumps(document), content_type="application/json")
    if request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    of_the_page = {name: response.headers[name] for name in OF_THE_PAGE if name in response.headers}
    response.headers.update(HEADERS | of_the_page)


def _health(health: Health) -> web.Response:
    return web.Response(text=health.detail + "\n", status=200 if health.good else 503)
