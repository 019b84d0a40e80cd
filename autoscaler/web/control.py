"""What HTTP can change: it begins and ends pauses and reloads policies, for whoever has the token."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import structlog
from aiohttp import hdrs, web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from autoscaler.coordination.pauses import LONGEST_NAME, LONGEST_REASON
from autoscaler.coordination.pausing import PauseRequest, UnknownServiceError
from autoscaler.core.model import Direction
from autoscaler.errors import BackendError, RefusedError
from autoscaler.util.durations import SomeTime
from autoscaler.util.text import tidy
from autoscaler.views.documents import done_document
from autoscaler.web.answers import RefusedRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autoscaler.coordination.pausing import PauseResult
    from autoscaler.views.documents import PoliciesDocument

T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)

_AT_ONCE = 2
"""Requests that change something and are on their way at the same time: evaluations need threads too."""
_MOST_SERVICES = 100
"""About as many as the pauses have room for by name."""


_Name = Annotated[str, Field(max_length=LONGEST_NAME)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    services: Annotated[tuple[_Name, ...], Field(max_length=_MOST_SERVICES)] = ()
    """The services by name, as `docker service ls` shows them; none means all services together."""


class ResumeBody(_Body):
    """What to resume. What was paused by its name is resumed by its name."""


class PauseBody(_Body):
    """What to pause, as `autoscaler pause` is told."""

    direction: Literal["up", "down"] | None = None
    """Hold only increases, or only reductions."""
    lasting: SomeTime | None = Field(default=None, alias="for")
    """End by itself after this time."""
    reason: Annotated[str, Field(max_length=LONGEST_REASON), AfterValidator(partial(tidy, longest=LONGEST_REASON))] = ""
    """Why, for whoever asks."""
    by: Annotated[_Name, AfterValidator(partial(tidy, longest=LONGEST_NAME))] = ""
    """Who pauses; the client's address where it is not said."""

    def wish(self, client: str) -> PauseRequest:
        """What is wished for, by this *client*."""
        direction = Direction(self.direction) if self.direction else None
        return PauseRequest(self.services, direction, self.lasting, self.by or f"HTTP client {client}", self.reason)


@dataclass(frozen=True, slots=True)
class Controls:
    """What HTTP can change. The functions block, end by a deadline of their own, and are called in threads."""

    token: SecretStr | None = None
    """What a request must bear; without one nothing can be changed."""
    reload: Callable[[], PoliciesDocument] = lambda: {"revision": "", "problems": []}
    """Reads the policies anew; their revision, and what is wrong with them."""
    pause: Callable[[PauseRequest], PauseResult] | None = None
    """None where nothing may be written to Swarm, as in a dry-run."""
    resume: Callable[[Sequence[str]], PauseResult] | None = None
    now: Callable[[], float] = lambda: 0.0


_NO_WRITES = (
    "this autoscaler writes nothing to Swarm, as in a dry-run (use `autoscaler pause` and `autoscaler resume`, "
    "or set AUTOSCALER_DRY_RUN=false)"
)


@dataclass(slots=True)
class Control:
    """The handlers of the endpoints that change something."""

    controls: Controls
    _on_their_way: int = field(default=0, init=False)

    async def reload(self, request: web.Request) -> web.Response:
        """Read the policy files anew, as SIGHUP does; 422 where they are refused and the last good set stays."""
        self._admit(request)
        document = await self._in_thread(self.controls.reload)
        return web.json_response(document, status=422 if document["problems"] else 200)

    async def pause(self, request: web.Request) -> web.Response:
        """Pause services, or all; answered once Swarm has it."""
        self._admit(request)
        pause, body = self.controls.pause, await _body(request, PauseBody)
        if pause is None:
            raise RefusedRequestError(409, _NO_WRITES)
        wish = body.wish(request.remote or "unknown")
        return await self._change("pause_requested", lambda: pause(wish), body, wish.by)

    async def resume(self, request: web.Request) -> web.Response:
        """End the pauses of services, or that of all; answered once Swarm has it."""
        self._admit(request)
        resume, body = self.controls.resume, await _body(request, ResumeBody)
        if resume is None:
            raise RefusedRequestError(409, _NO_WRITES)
        return await self._change("resume_requested", lambda: resume(body.services), body, request.remote or "unknown")

    def _admit(self, request: web.Request) -> None:
        """Let through who bears the token."""
        token = self.controls.token
        if token is None:
            raise RefusedRequestError(
                403,
                "nothing can be changed over HTTP without a token (set AUTOSCALER_HTTP_TOKEN, best as the secret "
                "autoscaler_http_token, and send it as `Authorization: Bearer TOKEN`; or use the command line)",
            )
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        right = hmac.compare_digest(
            given.strip().encode(errors="surrogateescape"), token.get_secret_value().encode(errors="surrogateescape")
        )
        if scheme.lower() != "bearer" or not right:
            raise RefusedRequestError(
                401,
                "the token is missing or wrong (send it as `Authorization: Bearer TOKEN`)",
                {hdrs.WWW_AUTHENTICATE: 'Bearer realm="swarm-autoscaler"'},
            )

    async def _change(self, event: str, change: Callable[[], PauseResult], body: _Body, by: str) -> web.Response:
        try:
            done = await self._in_thread(change)
        except UnknownServiceError as error:
            raise RefusedRequestError(404, str(error)) from error
        except RefusedError as error:
            raise RefusedRequestError(502, str(error)) from error
        except BackendError as error:
            raise RefusedRequestError(503, f"{error}; it may have been written, so ask again") from error
        facts = body.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"by": by}
        structlog.get_logger().info(event, **facts, changed=list(done.changed))
        return web.json_response(done_document(done, self.controls.now()))

    async def _in_thread(self, function: Callable[[], T]) -> T:
        """What *function* returns or raises, as one of a few at the same time."""
        if self._on_their_way >= _AT_ONCE:
            words = f"{self._on_their_way} other changes are on their way (ask again in a moment)"
            raise RefusedRequestError(503, words, {hdrs.RETRY_AFTER: "1"})
        self._on_their_way += 1
        try:
            return await asyncio.to_thread(function)
        finally:
            self._on_their_way -= 1


async def _body(request: web.Request, model: type[B]) -> B:
    """The body of *request*; an empty one says nothing."""
    content = await request.read()
    if content and request.content_type != "application/json":
        raise RefusedRequestError(415, "the body's Content-Type is not JSON (send application/json)")
    try:
        return model.model_validate_json(content or b"{}")
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        said = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in problems[:10])
        raise RefusedRequestError(400, f"{said} (see /api/v1/openapi.json)") from error
