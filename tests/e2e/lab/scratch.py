"""Temporary directories that hold mounts and must not outlive the lab."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from .process import LabError, run

_PREFIX = "swarm-lab-"
_LOCK = "lock"


class Scratch:
    """A temporary directory, removed with everything mounted below it.

    It is locked as long as anything started with `lock_fd` lives, so that the next lab can tell the remains of a killed
    one from a lab at work, and removes them.
    """

    path: Path
    lock_fd: int

    def __enter__(self) -> Self:
        _sweep()
        # The path is short (unlike pytest's tmp_path): sockets below it are limited to 107 bytes.
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Locked before it bears the name by which sweepers find it.
        unlocked = self.path / "lock.new"
        self.lock_fd = os.open(unlocked, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(self.lock_fd, fcntl.LOCK_EX)
        unlocked.rename(self.path / _LOCK)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            _remove(self.path)
        finally:
            os.close(self.lock_fd)


def _sweep() -> None:
    """Remove what labs left that were killed before they could."""
    for path in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # another user's, or not locked yet
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)
        except (OSError, LabError):  # at work, or the same remains are being removed by another lab
            continue
        finally:
            os.close(lock)


def mounts_below(path: Path) -> list[Path]:
    """The mount points below *path*, the deepest first."""
    # Field 5 is the mount point, with blanks, tabs, newlines and backslashes as octal escapes.
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [Path(point.encode().decode("unicode_escape")) for point in points if point.startswith(f"{path}/")]
    return sorted(below, key=lambda point: len(point.parts), reverse=True)


def _remove(path: Path) -> None:
    for point in mounts_below(path):
        run("umount", "--lazy", point)
    if left := mounts_below(path):  # rmtree would delete into a mount
        raise LabError(f"cannot unmount {left}; unmount them by hand, then remove {path}")
    shutil.rmtree(path)
