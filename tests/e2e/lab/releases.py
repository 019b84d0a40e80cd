"""Which engine and which Prometheus the lab runs: the oldest that the product is for, or a current one."""

import os
from dataclasses import dataclass
from pathlib import Path

from .process import CACHE, INSTALL, LabError, tool

VARIABLE = "LAB_ENGINE"

# Bind mounts are private to the namespace that unshare makes: they are gone with its last process, however that ends.
_UNDER_ANOTHER_USR = ("unshare", "--mount", "--", "sh", "-c", 'mount --bind "$0" /usr && exec "$@"')


@dataclass(frozen=True)
class Release:
    """An engine and the Prometheus of its time."""

    name: str
    """The engine's version, as LAB_ENGINE has it; a current one is that version or newer."""
    usr: Path | None = None
    """The /usr in which both are; None where they are the machine's own."""

    def command(self, *argv: str | Path) -> list[str]:
        """The command that runs *argv* with this release's programs and libraries; all other files are the machine's.

        The process that it starts becomes the program, by the same pid.
        """
        words = [str(word) for word in argv]
        return words if self.usr is None else [*_UNDER_ANOTHER_USR, str(self.usr), *words]

    def program(self, name: str) -> Path:
        """Where the file of one of its programs is; a LabError where it is not installed."""
        if self.usr is None:
            return Path(tool(name))
        for directory in ("bin", "sbin"):
            if (found := self.usr / directory / name).exists():
                return found
        raise LabError(f"{name} of release {self.name} is not installed; {INSTALL} installs it")

    def missing(self, *programs: str) -> str | None:
        """One sentence on why these programs cannot run here and what would help, or None."""
        if self.usr is not None and os.geteuid() != 0:
            return f"only root can run release {self.name} beside the machine's own; run the tests as root"
        try:
            for name in programs:
                self.program(name)
        except LabError as error:
            return str(error)
        return None


OLDEST = Release("20.10")
CURRENT = Release("28", CACHE / "current" / "usr")
_RELEASES = {release.name: release for release in (OLDEST, CURRENT)}


def selected() -> list[Release]:
    """The releases that LAB_ENGINE names (`28`, `20.10 28`); without it the oldest."""
    names = os.environ.get(VARIABLE, "").split() or [OLDEST.name]
    if unknown := set(names) - set(_RELEASES):
        raise LabError(f"{VARIABLE} names {', '.join(sorted(unknown))} (one or more of {', '.join(_RELEASES)})")
    return [_RELEASES[name] for name in names]


def chosen() -> Release:
    """The release for what is started now: the first that LAB_ENGINE names, which for a test is the one it runs on."""
    return selected()[0]
