"""The places in policy files at which a policy and its parts are written, so that people find what decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEPARATOR = "/"


class PolicyLine(NamedTuple):
    """A line of a policy file."""

    file: str
    line: int
    """Counted from 1."""

    def __str__(self) -> str:
        """Return the place as people read it, without the folder: ``shop.yml:14``."""
        return f"{self.file.rpartition(_SEPARATOR)[2]}:{self.line}"


@dataclass(frozen=True)
class Places:
    """The lines at which a policy is written.

    Two sets of policies are equal if they say the same, wherever they are written. So comparisons leave all of this
    out.
    """

    file: str = field(compare=False)
    lines: Mapping[str, int] = field(compare=False)
    """The line of each key that the policy writes, as `rules/cpu-high` or `scale_up/cooldown`; the policy's own is
    empty."""
    defaults: Places | None = field(default=None, compare=False)
    """The lines of the keys that the policy leaves to `defaults`."""

    def of(self, *keys: str) -> PolicyLine:
        """Return where the part at *keys* is written: by the policy, by the defaults, else the nearest part above."""
        for length in range(len(keys), 0, -1):
            key = _SEPARATOR.join(keys[:length])
            for places in (self, self.defaults):
                if places is not None and key in places.lines:
                    return PolicyLine(places.file, places.lines[key])
        return PolicyLine(self.file, self.lines.get("", 1))

    def written(self, *keys: str) -> bool:
        """Return whether the policy or its defaults write the part at *keys*."""
        key = _SEPARATOR.join(keys)
        return any(places is not None and key in places.lines for places in (self, self.defaults))
