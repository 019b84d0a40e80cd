"""The policy files of a running program, which may be edited meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.errors import PolicyError
from autoscaler.policy.policy import PolicySet
from autoscaler.policy_files import loader
from autoscaler.views.policies import PoliciesInForce

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from autoscaler.views.documents import PoliciesDocument


@dataclass(slots=True)
class Policies:
    """The policies in force and the files they come from; a broken edit leaves the last good set in force.

    What is in force is what one look read, as a whole. A file that is written in place can be read half, and half a
    file may be a valid one. So a change is taken up when two looks in a row read the same. What was read half all the
    same is read whole by the looks that follow.
    """

    paths: Sequence[Path]
    current: PolicySet = field(default_factory=PolicySet)
    error: PolicyError | None = None
    """What is wrong with the files as they are now; None where they are in force."""
    places: Mapping[str, str] = field(default_factory=dict, init=False)
    """File and line of each policy in force, by its name."""
    _judged: str = field(default="", init=False)
    """The fingerprint of what was last taken up or refused."""
    _seen: str = field(default="", init=False)
    """The fingerprint of what the last look read."""
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def load(self) -> None:
        """Read the files; raises PolicyError, and changes nothing, where they are invalid."""
        with self._lock:
            self._judge(loader.look(self.paths))

    def _judge(self, files: loader.Files) -> None:
        self._judged = self._seen = files.fingerprint
        loaded = files.as_set()
        self.places = {
            name: f"{origin.document.file}:{origin.document.place(origin.path).line}"
            for name, origin in loaded.origins.items()
        }
        self.current = loaded.policies
        self.error = None

    def reload(self, *, forced: bool = False) -> bool:
        """Take up what the files say if it has changed, and the last look read the same; or if *forced*.

        Return whether anything was taken up or refused.
        """
        with self._lock:
            files = loader.look(self.paths)
            settled = files.fingerprint == self._seen
            self._seen = files.fingerprint
            if not forced and (not settled or files.fingerprint == self._judged):
                return False
            try:
                self._judge(files)
            except PolicyError as error:
                self.error = error
            return True

    def document(self) -> PoliciesDocument:
        """The revision in force, and what is wrong with the files as they are now, as a JSON object."""
        return {"revision": self.current.revision, "problems": self.error.problems if self.error else []}

    def in_force(self) -> PoliciesInForce:
        """Return the policies in force with their places, and what is wrong with the files as they are now."""
        with self._lock:
            return PoliciesInForce(self.current, self.places, self.error.problems if self.error else [])
