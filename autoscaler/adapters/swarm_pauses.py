"""The pauses in Swarm: the labels of a config, which are written by comparing its version index (facts 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.adapters.engine_api import AlreadyExistsError, NotFoundError, VersionConflictError
from autoscaler.adapters.engine_errors import documented
from autoscaler.errors import RefusedError
from autoscaler.pauses import PauseCell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.adapters.engine_api import ConfigApi, Document
    from autoscaler.deadline import Deadline

CONFIG = "autoscaler-pauses"
"""The config that all autoscalers of one Swarm share."""
_DATA = "bGFiZWxz"
"""An engine takes no config without data: the word "labels", in base64."""


class SwarmPauses:
    """A PauseStore in the config CONFIG, through *api*. A look is one call, and a write one more."""

    def __init__(self, api: ConfigApi) -> None:
        self._api = api

    def look(self, deadline: Deadline) -> PauseCell | None:
        """The labels; None where there is no such config."""
        try:
            return _cell(self._api.config(CONFIG, deadline))
        except NotFoundError:
            return None
        except RefusedError as error:
            cure = f"let the autoscaler read the config {CONFIG}, through a socket proxy too"
            raise RefusedError(f"{error} ({cure})") from error

    def write(self, labels: Mapping[str, str], seen: PauseCell | None, deadline: Deadline) -> bool:
        """Write *labels* where the config still has the version *seen*, or is not there yet."""
        try:
            if seen is None:
                self._api.create_config({"Name": CONFIG, "Labels": dict(labels), "Data": _DATA}, deadline)
            else:
                self._api.update_config(CONFIG, seen.version, {"Name": CONFIG, "Labels": dict(labels)}, deadline)
        except (AlreadyExistsError, NotFoundError, VersionConflictError):
            return False
        except RefusedError as error:
            cure = f"let whoever pauses create and update the config {CONFIG}, through a socket proxy too"
            raise RefusedError(f"{error} ({cure})") from error
        return True


def _cell(document: Document) -> PauseCell:
    """What the config says; anybody may have written it."""
    with documented():
        labels = document["Spec"].get("Labels") or {}
        return PauseCell(int(document["Version"]["Index"]), {str(name): str(text) for name, text in labels.items()})
