"""A machine without CPU to spare for the lab's tasks, and with enough for everybody else."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .priority import last_in_line
from .process import Child, tool

_LOOPS = 2 * (os.cpu_count() or 1)


@contextlib.contextmanager
def starving(directory: Path) -> Iterator[bool]:
    """Keep every core busy with what gives way to all else but the lab's tasks.

    True where the tasks really starve. Without cgroups v1 only the cores are busy, and the tasks have what they want.
    """
    with contextlib.ExitStack() as stack:
        join = stack.enter_context(last_in_line())
        for number in range(_LOOPS):
            argv = [tool("nice"), "-n", "19", tool("sh"), "-c", "while :; do :; done"]
            loop = Child(f"busy-{number}", argv, directory / f"busy-{number}.log")
            stack.callback(loop.stop)
            if join is not None:
                join(loop.pid)
        yield join is not None
