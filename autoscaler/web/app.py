"""The HTTP application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from autoscaler.documents import problem_document, record_document

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prometheus_client import CollectorRegistry

    from autoscaler.journal import Journal

_LARGEST_REQUEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Health:
    """What the health endpoints answer."""

    good: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Views:
    """What the application shows: read-only, and nothing here asks Swarm or Prometheus."""

    journal: Journal
    registry: CollectorRegistry
    healthy: Callable[[], Health]
    ready: Callable[[], Health]
    policies: Callable[[], dict[str, Any]]
    """The revision in force, and what is wrong with the files as they are now."""


def application(views: Views) -> web.Application:
    """The application: `/metrics`, `/-/healthy`, `/-/ready`, `/api/v1/services`."""
    app = web.Application(middlewares=[_refuse_oversized])

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(views.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthy(_: web.Request) -> web.Response:
        return _health(views.healthy())

    async def ready(_: web.Request) -> web.Response:
        return _health(views.ready())

    async def services(_: web.Request) -> web.Response:
        snapshot = views.journal.snapshot()
        return web.json_response(
            {
                "services": [record_document(record) for _, record in sorted(snapshot.latest.items())],
                "policies": views.policies(),
                "problems": [problem_document(problem) for problem in snapshot.problems],
                "last_evaluation": snapshot.last_evaluation,
            }
        )

    app.router.add_get("/metrics", metrics)
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", ready)
    app.router.add_get("/api/v1/services", services)
    app.on_response_prepare.append(_harden)
    return app


@web.middleware
async def _refuse_oversized(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    # aiohttp's own limit counts only where a handler reads the body, and none here does.
    if (request.content_length or 0) > _LARGEST_REQUEST:
        raise web.HTTPRequestEntityTooLarge(_LARGEST_REQUEST, request.content_length or 0)
    return await handler(request)


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "swarm-autoscaler"  # instead of the versions of what it is made of


def _health(health: Health) -> web.Response:
    return web.Response(text=health.detail + "\n", status=200 if health.good else 503)
