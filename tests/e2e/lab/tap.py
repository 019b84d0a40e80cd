"""A way to the engine on which a test can act at the very moment of a call."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection

from tests.support.serving import Answering, LocalServing

from .engine import Engine

Before = Callable[[], None]
After = Callable[[bytes], None]


class Tap(LocalServing):
    """Passes every call on to *engine*; a context manager. `url` is for DOCKER_HOST.

    What `once` is given happens just before the next call it names is passed on, or just after, with the answer's body.
    A ConnectionError that it raises cuts the call there.
    """

    def __init__(self, engine: Engine) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[re.Pattern[str], Before, After]] = []
        super().__init__(type("Handler", (_Call,), {"tap": self, "path_of_socket": str(engine.socket)}))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"tcp://{self.address}"

    def once(self, call: str, before: Before, after: After = lambda _: None) -> None:
        """Do this around the next call that matches *call*: method and path, like `GET /v1.41/services`."""
        with self._lock:
            self._waiting.append((re.compile(call), before, after))

    def take(self, call: str) -> tuple[Before, After] | None:
        """What is to be done around *call*, the first time that it is asked for."""
        with self._lock:
            for index, (pattern, before, after) in enumerate(self._waiting):
                if pattern.fullmatch(call):
                    del self._waiting[index]
                    return before, after
        return None


class _EngineConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Call(Answering):
    protocol_version = "HTTP/1.1"
    tap: Tap
    path_of_socket: str

    def reply(self) -> None:
        try:
            self._pass_on()
        except ConnectionError:
            self.close_connection = True  # cut on purpose, or who called is no more

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        todo = self.tap.take(f"{self.command} {self.path.partition('?')[0]}")
        if todo is not None:
            todo[0]()
        with closing(_EngineConnection(self.path_of_socket)) as engine:
            engine.request(self.command, self.path, body or None, {"Content-Type": "application/json"})
            answer = engine.getresponse()
            content = answer.read()
        if todo is not None:
            todo[1](content)
        self.answer(answer.status, content)
