"""The policy files of a running program, which may be edited meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.errors import PolicyError
from autoscaler.policy.policy import PolicySet
from autoscaler.policy_files import loader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from autoscaler.views.documents import PoliciesDocument


@dataclass(slots=True)
class Policies:
    """The policies in force and the files they come from; a broken edit leaves the last good set in force."""

    paths: Sequence[Path]
    current: PolicySet = field(default_factory=PolicySet)
    error: PolicyError | None = None
    """What is wrong with the files as they are now; None where they are in force."""
    _fingerprint: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def load(self) -> None:
        """Read the files; raises PolicyError, and changes nothing, where they are invalid."""
        with self._lock:
            self._load()

    def _load(self) -> None:
        self._fingerprint = loader.fingerprint(self.paths)
        self.current = loader.load(self.paths)
        self.error = None

    def reload(self, *, forced: bool = False) -> bool:
        """Read the files anew where their content has changed, or *forced*; whether they were read."""
        with self._lock:
            if not forced and loader.fingerprint(self.paths) == self._fingerprint:
                return False
            try:
                self._load()
            except PolicyError as error:
                self.error = error
            return True

    def document(self) -> PoliciesDocument:
        """The revision in force, and what is wrong with the files as they are now, as a JSON object."""
        return {"revision": self.current.revision, "problems": self.error.problems if self.error else []}
