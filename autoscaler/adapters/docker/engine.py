"""The Docker Engine's API over its socket, through the docker SDK's session, with time limits and retries.

The SDK's own service methods are not used. They insert defaults or drop fields, which restarts tasks, and they send
this machine's registry credentials (docs/facts.md#inserted-defaults, docs/facts.md#registry-credentials).
"""

from __future__ import annotations

import json
import socket
import traceback
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import docker
import requests
from tenacity import Retrying, retry_if_exception_type, wait_exponential

from autoscaler.adapters.docker.engine_api import NO_TEMPLATES, AlreadyExistsError, NotFoundError, VersionConflictError
from autoscaler.adapters.docker.engine_errors import TransientError, causes, failure, not_docker, parse
from autoscaler.adapters.docker.lists import read_nodes, read_services, read_tasks
from autoscaler.errors import BackendError
from autoscaler.util.deadline import TimedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tenacity import RetryCallState

    from autoscaler.adapters.docker.engine_api import Document, Templates
    from autoscaler.util.deadline import Deadline

    _Listed: TypeAlias = tuple[Document, ...]
    _Reader: TypeAlias = Callable[[Iterable[bytes]], _Listed]

_PIECE = 2**17
"""Bytes that are read at once."""
_LARGEST = {True: 256 * 2**20, False: 16 * 2**20}
"""The most bytes of a list, and of any other answer. The lists of a large Swarm have tens of megabytes."""
_ATTEMPTS = 3
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 1.0
"""Seconds between two attempts to read."""
_KEPT_CONNECTIONS = 4
"""Idle connections that the SDK keeps for a URL: those for the lists, and one for the service that is scaled."""


class DockerEngine:
    """An EngineApi and ConfigApi on the Docker Engine at *base_url* (`unix:///…` or `tcp://…`).

    *timeout* limits the seconds between two packets. The deadline of a call limits the whole call. Nothing is contacted
    before the first call. Two threads must not use it at once.
    """

    def __init__(self, base_url: str, timeout: float = 5.0) -> None:
        self._base_url = base_url
        self._where = f"Docker at {base_url}"
        self._timeout = timeout
        self._guard = TimedCall(self._where)
        self._client: docker.APIClient | None = None

    def services(self, deadline: Deadline, /) -> _Listed:
        """Return all services of every mode."""
        return self._list("/services", deadline, {}, read_services)

    def tasks(self, deadline: Deadline, /, *, ended: bool, templates: Templates = NO_TEMPLATES) -> _Listed:
        """Return the tasks with the desired state running; with *ended*, all. See EngineApi for *templates*."""
        filters = {} if ended else {"filters": json.dumps({"desired-state": ["running"]})}
        return self._list("/tasks", deadline, filters, partial(read_tasks, templates=templates))

    def nodes(self, deadline: Deadline, /) -> _Listed:
        """Return all nodes."""
        return self._list("/nodes", deadline, {}, read_nodes)

    def service(self, service_id: str, deadline: Deadline, /) -> Document:
        """Return one service as it is stored, without inserted defaults."""
        return self._object(f"/services/{quote(service_id, safe='')}", deadline)

    def update(self, service_id: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the spec. It is tried only once, because a write without an answer may be carried out later."""
        path = f"/services/{quote(service_id, safe='')}/update"
        if self._call("POST", path, deadline, {"version": version}, spec) is None:
            raise not_docker(self._where, "status 200 without JSON")

    def config(self, name: str, deadline: Deadline, /) -> Document:
        """Return the config of this name."""
        return self._object(f"/configs/{quote(name, safe='')}", deadline)

    def create_config(self, spec: Document, deadline: Deadline, /) -> None:
        """Create a config. It is tried only once."""
        self._call("POST", "/configs/create", deadline, {}, spec)

    def update_config(self, name: str, version: int, spec: Document, deadline: Deadline, /) -> None:
        """Replace the labels of the config. It is tried only once."""
        self._call("POST", f"/configs/{quote(name, safe='')}/update", deadline, {"version": version}, spec)

    def close(self) -> None:
        """Close the connection. The next call opens a new one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _list(self, path: str, deadline: Deadline, params: Mapping[str, str], reader: _Reader) -> _Listed:
        found = self._read(path, deadline, params, reader)
        if not isinstance(found, tuple):  # only a reader returns a tuple
            raise not_docker(self._where, "no JSON list")
        return found

    def _object(self, path: str, deadline: Deadline) -> Document:
        found = self._read(path, deadline, {})
        if not isinstance(found, dict):
            raise not_docker(self._where, "no JSON object")
        return found

    def _read(self, path: str, deadline: Deadline, params: Mapping[str, str], reader: _Reader | None = None) -> Any:
        """Return the answer to a GET, as *reader* reads it. Try again if that may help and the time allows it."""

        def enough(state: RetryCallState) -> bool:
            return state.attempt_number >= _ATTEMPTS or deadline.remaining() <= _LONGEST_WAIT

        attempts = Retrying(
            stop=enough,
            wait=wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            retry=retry_if_exception_type(TransientError),
            reraise=True,
        )
        return attempts(self._call, "GET", path, deadline, params, reader=reader)

    def _call(  # noqa: PLR0913 - as many as a request has parts
        self,
        method: str,
        path: str,
        deadline: Deadline,
        params: Mapping[str, Any],
        body: Document | None = None,
        *,
        reader: _Reader | None = None,
    ) -> Any:
        """Return the JSON of the answer to one request, or what *reader* makes of it.

        A failed client is not used again. Another version of the engine may answer next time. After the deadline, the
        abandoned call still uses its client in its own thread.

        A client is not used either if its engine was upgraded since. It would go on in the older API version, which
        strips fields from specs (docs/facts.md#api-versions). If the connection was idle, only the version in the
        answer shows the upgrade. The read is then repeated in the new version.
        """
        client, self._client = self._client, None
        silence = deadline.remaining(at_most=self._timeout)

        def ask(own: docker.APIClient) -> requests.Response:
            url = f"{own.base_url}/v{own.api_version}{path}"
            # A redirect would send a spec, with its secrets, to any host.
            return own.request(
                method, url, params=params, json=body, timeout=_patience(silence), stream=True, allow_redirects=False
            )

        def exchange() -> tuple[docker.APIClient, int, str | _Listed | ValueError]:
            own = client
            try:
                own = own or self._connect(silence)
                response = ask(own)
                if own is client and method == "GET" and not _of_version(response, own.api_version):
                    own.close()
                    own = self._connect(silence)
                    response = ask(own)
                return own, response.status_code, _content(response, reader)
            except Exception as error:
                if own is not None:
                    own.close()
                close_sockets(error)
                raise failure(self._where, error) from error

        used, status, content = self._guard.call(exchange, deadline.remaining())
        try:
            if isinstance(content, ValueError):
                raise not_docker(self._where, str(content))
            answer = parse(self._where, status, content, f"{method} {path}") if isinstance(content, str) else content
        except (AlreadyExistsError, NotFoundError, VersionConflictError):
            self._client = used
            raise
        except BackendError:
            used.close()
            raise
        self._client = used
        return answer

    def _connect(self, silence: float) -> docker.APIClient:
        """Return a client with the engine's own API version, because an older one strips fields from specs."""
        return _Client(
            self._base_url,
            version="auto",
            timeout=silence,  # type: ignore[arg-type] # the stubs ask for whole seconds; sockets take fractions
            num_pools=_KEPT_CONNECTIONS,
        )


def _patience(silence: float) -> tuple[float, float]:
    """Return the seconds to connect to one address, and to wait for its next packet.

    A name may have the addresses of several socket proxies. If one of their machines is down, the others are tried.
    """
    return silence / 2, silence


def _of_version(response: requests.Response, version: str) -> bool:
    """Return whether *version* is the engine's own API version, which every answer names."""
    return response.headers.get("Api-Version", version) == version


class _Client(docker.APIClient):
    """The SDK's client, which also limits the length of the answer to its first request.

    It ignores the environment. A web proxy named there cannot reach a socket proxy, and would read every spec.
    """

    def version(self, api_version: bool = True) -> Document:  # noqa: FBT001, FBT002, ARG002 - the SDK's signature
        """Return the engine's description of itself. The SDK asks for it first, when the client is made."""
        self.trust_env = False
        url = f"{self.base_url}/version"
        response = self.get(url, timeout=_patience(self.timeout), stream=True, allow_redirects=False)
        response._content = b"".join(bounded(response.iter_content(_PIECE), _LARGEST[False]))  # noqa: SLF001 - requests does the same without a limit
        if response.status_code != HTTPStatus.OK:
            raise requests.HTTPError(response=response)
        answer: Document = response.json()
        return answer


def _content(response: requests.Response, reader: _Reader | None) -> str | _Listed | ValueError:
    """Return the body as text, or what *reader* makes of it, or the reason why it is neither.

    The lists of a large Swarm have tens of megabytes, and hundreds once parsed. So each object is reduced as it comes.
    """
    listed = reader if response.status_code == HTTPStatus.OK else None
    pieces = bounded(response.iter_content(_PIECE), _LARGEST[listed is not None])
    try:
        return b"".join(pieces).decode(errors="replace") if listed is None else listed(pieces)
    except ValueError as error:
        return error


def bounded(pieces: Iterator[bytes], at_most: int) -> Iterator[bytes]:
    """Yield the *pieces*; raise ValueError if they have more than *at_most* bytes, unpacked."""
    left = at_most
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise ValueError(f"more than {at_most} bytes")
        yield piece


def close_sockets(error: Exception) -> None:
    """Close what the SDK leaves open.

    It leaves open a unix socket that it cannot connect (docker/transport/unixconn.py), and a client that it cannot
    make because it does not understand the engine's version.
    """
    for cause in causes(error):
        for frame, _ in traceback.walk_tb(cause.__traceback__):
            for left in (frame.f_locals.get("sock"), frame.f_locals.get("self")):
                if isinstance(left, socket.socket | docker.APIClient):
                    left.close()
