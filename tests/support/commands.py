"""Commands as processes of their own, forked from one that has loaded the program already: that takes a second each."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([f"autoscaler.cli.commands.{name}" for name in ("run", "plan", "check", "test", "demo")])


@dataclass(frozen=True)
class Ended:
    """What became of a process."""

    returncode: int
    """Its exit status; of one that a signal ended, the signal's number, negative."""
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Bounds:
    """What a process may take before the kernel ends it, or refuses it more."""

    cpu: int
    """Seconds."""
    memory: int
    """Bytes of address space."""


def autoscaler() -> None:
    """`autoscaler` with the process' arguments."""
    from autoscaler.cli.main import main  # noqa: PLC0415 - loaded already where it runs

    main()


@dataclass(frozen=True)
class _Task:
    """What a process is to do, and where; a call of it does that."""

    code: Callable[[], None]
    arguments: Sequence[str]
    env: Mapping[str, str]
    out: Path
    err: Path
    bounds: Bounds | None = None
    cwd: Path | None = None

    def __call__(self) -> None:
        for path, stream in ((self.out, 1), (self.err, 2)):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(opened, stream)
            os.close(opened)
        os.environ.clear()
        os.environ.update(self.env)
        if self.cwd is not None:
            os.chdir(self.cwd)
        sys.argv = ["autoscaler", *self.arguments]
        if self.bounds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (self.bounds.cpu, self.bounds.cpu))
            resource.setrlimit(resource.RLIMIT_AS, (self.bounds.memory, self.bounds.memory))
        self.code()


def run(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    code: Callable[[], None] = autoscaler,
    bounds: Bounds | None = None,
    cwd: Path | None = None,
    timeout: float = PATIENCE,
) -> Ended:
    """`autoscaler ARGUMENTS`, or other *code* with them, to its end; *env* is its whole environment."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        task = _Task(code, arguments, dict(os.environ if env is None else env), out, err, bounds, cwd)
        process = _FORKS.Process(target=task)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{arguments} took more than {timeout} s: {err.read_text(errors='replace')[-2000:]}")
        return Ended(process.exitcode, out.read_text(), err.read_text())


@contextmanager
def started(*arguments: str, env: Mapping[str, str], log: Path) -> Iterator[Callable[[], bool]]:
    """`autoscaler ARGUMENTS` with all its output in *log*, asked to end afterwards; gives whether it runs."""
    process = _FORKS.Process(target=_Task(autoscaler, arguments, dict(env), log, log))
    process.start()
    try:
        yield process.is_alive
    finally:
        process.terminate()
        process.join(PATIENCE)
        process.kill()
        process.join()
