"""Single requests to an engine as a doctor asks them: the status, the words and the clock of each answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from autoscaler.adapters.docker.engine import DockerEngine, bounded, close_sockets
from autoscaler.adapters.docker.engine_errors import failure, parse
from autoscaler.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.adapters.docker.engine_api import Document
    from autoscaler.ports import Clock
    from autoscaler.util.deadline import Deadline

_LARGEST = 16 * 2**20
"""Bytes of an answer, which is parsed as a whole."""
_PIECE = 2**17
_REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED})


@dataclass(frozen=True, slots=True)
class EngineReply:
    """An answer to one request."""

    status: int
    document: Any
    """The parsed body; None if it is not JSON."""
    offset: float | None
    """How far the engine's clock is ahead of ours in seconds, 0 within its precision; None if it does not tell."""
    error: BackendError | None = None
    """The error that the answer means; None if it is a success."""

    @property
    def message(self) -> str:
        """Return the engine's own words on an error; empty without any."""
        said = self.document.get("message") if isinstance(self.document, dict) else None
        return said if isinstance(said, str) else ""

    @property
    def came_through(self) -> bool:
        """Return whether the engine itself answered, and not a proxy or a plugin that forbids the request."""
        if self.status in _REFUSALS:
            return False
        return self.error is None or bool(self.message)


class EngineProbe(DockerEngine):
    """Asks an engine one request at a time. Not for use by two threads at once."""

    def __init__(self, base_url: str, clock: Clock, timeout: float = 5.0) -> None:
        super().__init__(base_url, timeout)
        self._clock = clock

    def reply(
        self, method: str, path: str, deadline: Deadline, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> EngineReply:
        """Return the answer to one request; raise BackendError if none came."""
        silence = deadline.remaining(at_most=self._timeout)

        def exchange() -> tuple[int, bytes, float | None]:
            client, self._client = self._client, None
            try:
                client = client or self._connect(silence)
                version = "" if path == "/version" else f"/v{client.api_version}"
                sent = self._clock.now()
                response = client.request(
                    method,
                    f"{client.base_url}{version}{path}",
                    params=params,
                    json=body,
                    timeout=(silence / 2, silence),
                    stream=True,
                    allow_redirects=False,
                )
                received = self._clock.now()
                content = b"".join(bounded(response.iter_content(_PIECE), _LARGEST))
            except Exception as error:
                if client is not None:
                    client.close()
                close_sockets(error)
                raise failure(self._where, error) from error
            self._client = client
            return response.status_code, content, _offset(response.headers.get("Date", ""), sent, received)

        status, content, offset = self._guard.call(exchange, deadline.remaining())
        try:
            document: Document | None = parse(self._where, status, content)
        except BackendError as error:
            return EngineReply(status, _loaded(content), offset, error)
        return EngineReply(status, document, offset)


def _offset(date: str, sent: float, received: float) -> float | None:
    """Return what a Date, which leaves out parts of a second, says about the engine's clock."""
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    least, most = theirs - received, theirs + 1 - sent
    return least if least > 0 else min(most, 0.0)


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
