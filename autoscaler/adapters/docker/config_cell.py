"""A cell in Swarm: the labels of a config, written only if its version index is still the expected one.

The engine refuses a write that names an older version (docs/facts.md#configs-as-cells).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoscaler.adapters.docker.engine_api import (
    AlreadyExistsError,
    ForbiddenError,
    NotFoundError,
    VersionConflictError,
)
from autoscaler.adapters.docker.engine_errors import documented
from autoscaler.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.adapters.docker.engine_api import ConfigApi
    from autoscaler.util.deadline import Deadline

_DATA = "bGFiZWxz"
"""The word "labels" in base64, because an engine refuses a config without data."""


@dataclass(frozen=True, slots=True)
class ConfigCell:
    """The labels of the config *name*, through *api*. A look is one call, and a write one more."""

    api: ConfigApi
    name: str
    to_look: str
    """What to allow if a look is refused: ``let the autoscaler read``."""
    to_write: str
    """What to allow if a write is refused."""

    def look(self, deadline: Deadline) -> tuple[int, dict[str, str]] | None:
        """Return the version and the labels, which anybody may have written; None if there is no such config."""
        try:
            document = self.api.config(self.name, deadline)
        except NotFoundError:
            return None
        except RefusedError as error:
            if isinstance(error, ForbiddenError) and error.cured:
                raise
            raise RefusedError(
                f"{error} ({self.to_look} the config {self.name}, through a socket proxy too)"
            ) from error
        with documented():
            given = document["Spec"].get("Labels") or {}
            labels = {str(label): str(text) for label, text in given.items()}
            for text in (*labels, *labels.values()):
                text.encode()  # JSON may hold half of a surrogate pair, which cannot be written
            return int(document["Version"]["Index"]), labels

    def write(self, labels: Mapping[str, str], version: int | None, deadline: Deadline) -> bool:
        """Write *labels* if the config still has the *version*; with None, if there is no such config yet.

        Return whether the labels were written.
        """
        spec = {"Name": self.name, "Labels": dict(labels)}
        try:
            if version is None:
                self.api.create_config(spec | {"Data": _DATA}, deadline)
            else:
                self.api.update_config(self.name, version, spec, deadline)
        except (AlreadyExistsError, NotFoundError, VersionConflictError):
            return False
        except RefusedError as error:
            if isinstance(error, ForbiddenError) and error.cured:
                raise
            raise RefusedError(
                f"{error} ({self.to_write} the config {self.name}, through a socket proxy too)"
            ) from error
        return True
