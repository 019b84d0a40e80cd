"""The HTTP server: bounds on how many connections there are, how long each may take, and how much it may send.

aiohttp bounds none of the times in which a client sends its request and reads the answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self, cast

import structlog
from aiohttp import web

from autoscaler.web.answers import HEADERS, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_SHUTDOWN = 5.0
"""Seconds that requests on their way have when the server ends."""
_SIZES: Mapping[str, Any] = {
    "max_line_size": 4096,
    "max_field_size": 4096,
    "max_headers": 64,
    "lingering_time": 1.0,
    "auto_decompress": False,  # a small body could become a large one
}


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How much strangers may hold of the server."""

    patience: float = 30.0
    """Seconds from the opening of a connection, or from its last answer, to its next answer, and for reading that."""
    connections: int = 100
    """The most connections that may be open. If another one comes, the one that has been silent longest is closed."""


@dataclass(slots=True)
class Connections:
    """The open connections, the one that has been silent longest first. Only the event loop's thread uses them."""

    bounds: ConnectionLimits
    _timers: dict[asyncio.Transport, asyncio.TimerHandle] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._timers)

    def opened(self, transport: asyncio.Transport) -> None:
        """Take note of a new one, and give it its time; the oldest goes where there are too many."""
        self.answered(transport)
        while len(self._timers) > self.bounds.connections:
            self.drop(next(iter(self._timers)))

    def answered(self, transport: asyncio.Transport) -> None:
        """Give *transport* its time anew."""
        self.closed(transport)
        loop = asyncio.get_running_loop()
        self._timers[transport] = loop.call_later(self.bounds.patience, self.drop, transport)

    def closed(self, transport: asyncio.Transport) -> None:
        """Forget *transport*."""
        timer = self._timers.pop(transport, None)
        if timer is not None:
            timer.cancel()

    def drop(self, transport: asyncio.Transport) -> None:
        """Close *transport*, whatever its client has not read yet."""
        self.closed(transport)
        transport.abort()


class _Connection(web.RequestHandler):
    """aiohttp's connection, counted and bounded; it says no without the words of a parser, and without versions."""

    __slots__ = ("_connections",)

    def __init__(self, manager: web.Server, connections: Connections) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), access_log=None, **_SIZES)  # type: ignore[arg-type] # None means none
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._connections.opened(cast("asyncio.Transport", transport))
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone."""
        if self.transport is not None:
            self._connections.closed(self.transport)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - the base class's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - likewise
    ) -> web.StreamResponse:
        """The answer to what is no request; nothing of it is repeated, nor logged: anybody may send it."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            structlog.get_logger().error("request_failed", exc_info=exc)
        response = refusal(status, "the request is too large or malformed (check its size and its form)", HEADERS)
        response.force_close()
        return response


@dataclass(slots=True)
class Server:
    """An application, served."""

    address: tuple[str, int]
    connections: Connections
    runner: web.AppRunner
    listening: asyncio.Server

    @classmethod
    async def start(cls, app: web.Application, host: str, port: int, bounds: ConnectionLimits | None = None) -> Self:
        """Serve *app* at *host* and *port* (0 means any). Raises OSError where that cannot be listened on."""
        connections = Connections(bounds or ConnectionLimits())

        async def note(request: web.Request, _: web.StreamResponse) -> None:
            if request.transport is not None:
                connections.answered(request.transport)

        app.on_response_prepare.append(note)
        runner = web.AppRunner(app, shutdown_timeout=_LONGEST_SHUTDOWN)
        await runner.setup()
        manager = runner.server
        assert manager is not None  # noqa: S101 - it is set up
        loop = asyncio.get_running_loop()
        try:
            listening = await loop.create_server(lambda: _Connection(manager, connections), host, port)
        except OSError:
            await runner.cleanup()
            raise
        return cls(listening.sockets[0].getsockname()[:2], connections, runner, listening)

    async def stop(self) -> None:
        """Take no further connection, let requests on their way be answered for a while, and close all."""
        self.listening.close()
        await self.runner.cleanup()
