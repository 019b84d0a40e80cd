"""The errors between the autoscaler and a Docker Engine, in sentences that name the cure. Pure."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests
from docker.errors import InvalidVersion

from autoscaler.adapters.docker.engine_api import (
    AlreadyExistsError,
    ForbiddenError,
    NotFoundError,
    VersionConflictError,
)
from autoscaler.errors import BackendError, DeadlineError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_QUOTE = 300


class TransientError(UnreachableError):
    """No usable answer came. A read may succeed a moment later."""


_NO_SOCKET = (
    "there is no such socket; start the engine, mount its socket into the container (/var/run/docker.sock), "
    "or set AUTOSCALER_DOCKER_HOST to where it is"
)
_NO_PERMISSION = (
    "no permission to use the socket; run the autoscaler in the group that owns it "
    '(`user: "65532:GROUP"` in the stack file, GROUP as `stat -c %g` prints it), or through a socket proxy'
)
_NOBODY_LISTENS = "nobody listens there; start the engine (`systemctl start docker`)"
_SILENCE = "no answer in time; the engine hangs or is overloaded, or its Swarm is electing a leader"
_NO_LEADER = (
    "the Swarm has no leader, because too few of its managers are online; "
    "bring managers back until more than half are online"
)
_WORKER = (
    "this node is a worker, and only managers know the services; run the autoscaler on a manager "
    "(`node.role == manager` in its placement constraints)"
)
_NO_SWARM = (
    "this engine is not in a Swarm, or its manager does not run; make this engine a manager with `docker swarm init`, "
    "or run the autoscaler on a manager"
)
_TOO_LARGE = "the service (with its previous spec) or config is larger than Swarm stores; shorten long labels"
_FAILURES: tuple[tuple[type[BaseException], type[BackendError], str], ...] = (
    (InvalidVersion, RefusedError, "the engine is too old; upgrade it"),
    (requests.Timeout, DeadlineError, _SILENCE),
    (TimeoutError, DeadlineError, _SILENCE),
    (FileNotFoundError, TransientError, _NO_SOCKET),
    (PermissionError, UnreachableError, _NO_PERMISSION),
    (ConnectionRefusedError, TransientError, _NOBODY_LISTENS),
)
"""The meaning of an exception among the causes. The first one that is found counts."""
_SAID: tuple[tuple[str, type[BackendError], str], ...] = (
    ("Worker nodes can't be used", UnreachableError, _WORKER),
    ("not a swarm manager", UnreachableError, _NO_SWARM),
    ("does not have a leader", TransientError, _NO_LEADER),
    ("raft message is too large", RefusedError, _TOO_LARGE),
    ("received message larger than max", RefusedError, _TOO_LARGE),
)
"""The meaning of the engine's words. The first ones that are found count."""
_CLEAR: dict[int, type[RefusedError]] = {HTTPStatus.NOT_FOUND: NotFoundError, HTTPStatus.CONFLICT: AlreadyExistsError}


def parse(where: str, status: int, content: str | bytes, call: str = "GET /version") -> Any:
    """Return the JSON of the engine's answer, None if it is empty; raise the error that its status and words mean.

    *where* names the engine and begins every message. *call* is the method and the path of the request.
    """
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if status in (HTTPStatus.OK, HTTPStatus.CREATED):
        if answer is None and content:
            raise not_docker(where, f"status {status} without JSON")
        return answer
    message = answer.get("message") if isinstance(answer, dict) else None
    if not isinstance(message, str):
        if status in (HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED):
            refused = f"a proxy in front of the engine refused {call}"
            raise ForbiddenError(f"{where}: {refused} ({_allow(call)})", cured=True)
        redirected = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
        lacks = ", a redirect, which is not followed" if redirected else " without Docker's message"
        raise not_docker(where, f"status {status}{lacks}")
    raise _refusal(where, status, message.strip()[:_LONGEST_QUOTE])


def failure(where: str, error: Exception) -> BackendError:
    """Return the error that an exception of the client's libraries means.

    The libraries wrap exceptions as causes and as arguments, up to four deep (docs/facts.md#dockers-errors).
    """
    wrapped = list(causes(error))
    for cause in wrapped:
        if isinstance(cause, requests.HTTPError) and cause.response is not None:  # while the version was negotiated
            return _of_answer(where, cause.response)
    for kind, meaning, sentence in _FAILURES:
        if any(isinstance(cause, kind) for cause in wrapped):
            return meaning(f"{where}: {sentence}")
    if any(isinstance(cause, json.JSONDecodeError) for cause in wrapped):
        return not_docker(where, "no JSON")
    words = str(wrapped[-1])[:_LONGEST_QUOTE]
    if any(isinstance(cause, OSError) for cause in wrapped):  # requests' exceptions are OSErrors too
        return TransientError(f"{where}: the connection failed: {words}")
    return UnreachableError(f"{where}: no usable answer: {words}")


def not_docker(where: str, what: str) -> UnreachableError:
    """Return the error for an answer that the engine cannot have sent."""
    return UnreachableError(
        f"{where}: the answer is not the Docker API's ({what}); does AUTOSCALER_DOCKER_HOST name the engine?"
    )


@contextmanager
def documented() -> Iterator[None]:
    """Raise UnreachableError if parsing fails because a document is not one of Docker's."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise UnreachableError(
            f"Docker's answer is not what its API documents ({type(error).__name__}: {error}); "
            "is something else answering at AUTOSCALER_DOCKER_HOST?"
        ) from error


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and the exceptions that it wraps as causes or arguments, outermost first."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if any(current is known for known in seen):
            continue
        seen.append(current)
        yield current
        wrapped = [current.__cause__, current.__context__, *current.args]
        waiting.extend(item for item in wrapped if isinstance(item, BaseException))


def _refusal(where: str, status: int, message: str) -> BackendError:
    """Return the error that the engine's words mean. They decide, because its status is often only 500."""
    if status in _CLEAR:
        return _CLEAR[status](f"{where}: {message}")
    if "update out of sequence" in message:
        return VersionConflictError(message)
    for words, meaning, sentence in _SAID:
        if words in message:
            return meaning(f"{where}: {sentence}")
    if status == HTTPStatus.FORBIDDEN:
        return ForbiddenError(f"{where}: refused with status {status}: {message}")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TransientError(f"{where}: status {status}: {message}")
    return RefusedError(f"{where}: refused with status {status}: {message}")


def _allow(call: str) -> str:
    """Return what a socket proxy must allow for the *call*: by flags on paths, or by the sections of the API."""
    method, _, path = call.partition(" ")
    section = path.strip("/").partition("/")[0].upper()
    writing = "" if method == "GET" else f" and {method}=1"
    return f"let the socket proxy allow it: its path in -allow{method}, or {section}=1{writing}"


def _of_answer(where: str, response: requests.Response) -> BackendError:
    try:
        parse(where, response.status_code, response.content)
    except BackendError as error:
        return error
    return not_docker(where, f"status {response.status_code}")
