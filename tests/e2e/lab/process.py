"""Commands, waits with a deadline, and child processes that end with the lab."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from docker.errors import DockerException

INSTALL = "sudo .ci/install-lab"
CACHE = Path(os.environ.get("LAB_CACHE", "/var/cache/swarm-autoscaler-lab"))  # as there
_LOG_TAIL = 2000  # characters of a child's log in an error: enough for the reason, short enough to read

# Administration programs are not on every user's PATH, and dockerd looks for some itself.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

PATIENCE = 300.0
"""Seconds to wait for what must come.

A limit is there only against hanging. What takes a second on a quiet machine takes a minute on one with other work, as
when images are built beside four labs and other programs.
"""

T = TypeVar("T")


class LabError(RuntimeError):
    """The lab cannot do what was asked; the message says what is missing or what was seen."""


def tool(name: str) -> str:
    """The absolute path of a program; a LabError names the script that installs it."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise LabError(f"the program {name} is not installed; {INSTALL} installs it")
    return found


def run(
    *argv: str | Path, timeout: float = PATIENCE, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> str:
    """The standard output of a finished command; *env* is laid over this process's environment.

    A command that fails or takes longer than *timeout* seconds is a LabError with what it printed.
    """
    command = [tool(str(argv[0])), *map(str, argv[1:])]
    try:
        done = subprocess.run(  # noqa: S603 -- the callers are tests; no shell, no outside input
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env={**os.environ, "PATH": _PATH, **(env or {})},
            cwd=cwd,
            text=True,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)}: still running after {timeout:g} s") from error
    if done.returncode != 0:
        printed = (done.stdout + done.stderr)[-_LOG_TAIL:].strip()
        raise LabError(f"{' '.join(command)}: exit status {done.returncode}: {printed}")
    return done.stdout


def wait_for(what: str, probe: Callable[[], T | None], timeout: float = PATIENCE, interval: float = 0.1) -> T:
    """The first truthy answer of *probe*, asked every *interval* seconds.

    Errors of the engine, of HTTP and of the lab count as "not yet". After *timeout* seconds a LabError says what
    was waited for and the last answer or error.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            answer = probe()
            if answer:
                return answer
            last = answer
        except (OSError, DockerException, LabError) as error:  # requests' errors are OSErrors
            last = error
        if time.monotonic() >= deadline:
            raise LabError(f"waited {timeout:g} s for {what}; last seen: {last!r}")
        time.sleep(interval)


class Child:
    """A program this process started, with its output in a log file; ended by its pid and by nobody's name.

    It dies with us even when we are killed: the kernel sends it *death_signal* when the thread that started it is gone
    (so start it from a thread that outlives it: pytest's main thread). It leads a session of its own, so that Ctrl-C
    at the terminal reaches only us and the teardown keeps its order.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        *,
        keep_fds: Sequence[int] = (),
        death_signal: str = "TERM",
    ) -> None:
        self.name = name
        self.log = log
        command = [tool("setpriv"), "--pdeathsig", death_signal, "--", tool(str(argv[0])), *map(str, argv[1:])]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 -- as in run()
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": _PATH},
                start_new_session=True,
                pass_fds=tuple(keep_fds),
            )

    @property
    def pid(self) -> int:
        """The process's id, also after it ended."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet (a paused one has not)."""
        return self._process.poll() is None

    @property
    def log_tail(self) -> str:
        """The end of what the process printed."""
        return self.log.read_text(errors="replace")[-_LOG_TAIL:].strip()

    def wait_ready(self, probe: Callable[[], object], timeout: float = PATIENCE) -> None:
        """Return when *probe* answers truthy; a LabError carries the log when the process ends first or time is up."""

        def ready_or_ended() -> bool:
            return not self.alive or bool(probe())

        try:
            wait_for(f"{self.name} to be ready", ready_or_ended, timeout)
        except LabError as error:
            raise LabError(f"{error}; its log ends: {self.log_tail}") from error
        if not self.alive:
            raise LabError(f"{self.name} ended with {self._process.returncode} before it was ready: {self.log_tail}")

    def pause(self) -> None:
        """Leave the process hanging: it keeps its sockets and, from the return of this call on, answers nobody."""
        self._process.send_signal(signal.SIGSTOP)
        # The signal is accepted at once but takes effect thread by thread.
        wait_for(f"every thread of {self.name} to stand still", self._stands_still, interval=0.01)

    def resume(self) -> None:
        """Let a paused process go on; harmless for a running or an ended one."""
        self._process.send_signal(signal.SIGCONT)

    def _stands_still(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return all((stat := _stat(thread)) is None or stat[0] in "TZ" for thread in threads)

    def stop(self, timeout: float = 30) -> None:
        """End the process: asked first, killed after *timeout* seconds; nothing to do when it has ended."""
        self._process.terminate()
        self.resume()  # a stopped process takes no signal but SIGKILL
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)


def ended(pids: Sequence[int], timeout: float = PATIENCE) -> None:
    """Kill processes of the lab that are not our children and see them gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(f"processes {list(pids)} to be gone", lambda: not any(map(_runs, pids)), timeout)


def _runs(pid: int) -> bool:
    """Whether a process exists and is no zombie (whose parent, not we, must collect it)."""
    stat = _stat(Path(f"/proc/{pid}"))
    return stat is not None and stat[0] != "Z"


def _stat(entry: Path) -> list[str] | None:
    """The stat fields of a process or thread below /proc from the state on (state, parent, …), or None without it."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def processes() -> Iterator[tuple[int, int]]:
    """The (pid, parent's pid) of every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(entry)) is not None:
            yield int(entry.name), int(stat[1])
