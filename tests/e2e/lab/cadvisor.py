"""cAdvisor, watching one engine's containers."""

import contextlib
import urllib.request
from types import TracebackType
from typing import Self

from .engine import Engine
from .ports import free_port
from .process import CACHE, INSTALL, Child, LabError

PROGRAM = CACHE / "cadvisor" / "usr" / "bin" / "cadvisor"


class CAdvisor:
    """A real cAdvisor; a context manager. `address` is "HOST:PORT" for Prometheus.

    It measures a container every *housekeeping* to twice as many seconds (its own jitter). At one second, and scraped
    each second with the time of the scrape, a steady load of 90 % read as 57…113 % over 4 s.
    """

    address: str

    def __init__(self, engine: Engine, *, listen: str = "127.0.0.1", housekeeping: float = 0.25) -> None:
        self._engine = engine
        self._housekeeping = housekeeping
        self._listen = listen
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.address = f"{self._listen}:{free_port(self._listen)}"
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Run it on its address; returns when it answers with metrics."""
        if not PROGRAM.exists():
            raise LabError(f"cAdvisor is not installed; {INSTALL} installs it")
        host, _, port = self.address.rpartition(":")
        self._child = Child(
            "cadvisor",
            [
                PROGRAM,
                f"--listen_ip={host}",
                f"--port={port}",
                f"--docker={self._engine.socket_url}",
                "--docker_only=true",
                f"--housekeeping_interval={round(self._housekeeping * 1000)}ms",
                "--allow_dynamic_housekeeping=false",  # else an idle container is measured once a minute
                "--logtostderr",
            ],
            self._engine.directory / "cadvisor.log",
        )
        try:
            self._child.wait_ready(self._answers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it: its target goes down in Prometheus. Nothing to do when stopped."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def pause(self) -> None:
        """Leave it hanging: scrapes time out."""
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        """Let a paused cAdvisor go on."""
        if self._child is not None:
            self._child.resume()

    @property
    def metrics(self) -> str:
        """What a scrape gets now."""
        with contextlib.closing(urllib.request.urlopen(f"http://{self.address}/metrics", timeout=30)) as answer:
            text: str = answer.read().decode()
            return text

    def _answers(self) -> bool:
        return "cadvisor_version_info" in self.metrics
