"""CPU for the workloads, also on a busy machine; or none for them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

_CONTROLLER = Path("/sys/fs/cgroup/cpu")  # of cgroups v1; v2 has one tree for all
_PARENT = "swarm-lab"
_SHARES = 16 * 1024  # a group has 1024 by default, and so has a process in none
_FEWEST = 2  # the kernel's minimum
_BUSY = "swarm-lab-busy"
_BUSY_SHARES = 40  # twenty times the fewest, and a 25th of what any other process has


def preferred_parent() -> dict[str, str]:
    """Settings of an engine whose containers come before all else on the machine, within their own CPU limits.

    Else their group is one competitor among all processes, and a load that is to be 90 % is 40 % while images are
    built and other labs run. Without cgroups v1 there is no such setting: the engine's default stays.
    """
    if not _CONTROLLER.is_dir():
        return {}
    (_CONTROLLER / _PARENT).mkdir(exist_ok=True)
    (_CONTROLLER / _PARENT / "cpu.shares").write_text(f"{_SHARES}")
    return {"cgroup-parent": f"/{_PARENT}"}


def ordinary_parent() -> list[str]:
    """Options of `docker build` for what is no workload, and would keep the machine from all else."""
    return ["--cgroup-parent", "/docker"] if _CONTROLLER.is_dir() else []


@contextlib.contextmanager
def last_in_line() -> Iterator[Callable[[int], None] | None]:
    """Let the engine's containers come after all else on the machine; None, and nothing done, without cgroups v1.

    Yields what puts a process, by its pid, before them and behind everybody else.
    """
    shares = _CONTROLLER / _PARENT / "cpu.shares"
    if not shares.exists():
        yield None
        return
    busy = _CONTROLLER / _BUSY
    busy.mkdir(exist_ok=True)
    (busy / "cpu.shares").write_text(f"{_BUSY_SHARES}")
    shares.write_text(f"{_FEWEST}")

    def join(pid: int) -> None:
        (busy / "cgroup.procs").write_text(f"{pid}")

    try:
        yield join
    finally:
        shares.write_text(f"{_SHARES}")
        with contextlib.suppress(OSError):  # the kernel may still be about to let go of the processes that ended
            busy.rmdir()
