"""The lease in Swarm: the labels of a config, which are written by comparing its version index (facts 4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autoscaler.adapters.engine_api import AlreadyExistsError, NotFoundError, VersionConflictError
from autoscaler.adapters.engine_errors import documented
from autoscaler.errors import RefusedError
from autoscaler.lease import Cell

if TYPE_CHECKING:
    from autoscaler.adapters.engine_api import ConfigApi, Document
    from autoscaler.deadline import Deadline

CONFIG = "autoscaler-lease"
"""The config that all autoscalers of one Swarm share: a Swarm has one lease, whatever services they scale."""
HOLDER_LABEL = "autoscaler.lease.holder"
RENEWS_LABEL = "autoscaler.lease.renews"
_DATA = "bGFiZWxz"
"""An engine takes no config without data: the word "labels", in base64."""
_CURE = f"let the autoscaler read, create and update the config {CONFIG}, through a socket proxy too"


class SwarmLease:
    """A LeaseStore in the config CONFIG, through *api*. A look is one call, and a write one more."""

    def __init__(self, api: ConfigApi) -> None:
        self._api = api

    def look(self, deadline: Deadline) -> Cell | None:
        """The cell; None where there is no such config."""
        try:
            return _cell(self._api.config(CONFIG, deadline))
        except NotFoundError:
            return None
        except RefusedError as error:
            raise RefusedError(f"{error} ({_CURE})") from error

    def write(self, holder: str, seen: Cell | None, deadline: Deadline, *, renewal: bool = False) -> bool:
        """Write *holder* where the config still has the version *seen*, or is not there yet."""
        labels = {HOLDER_LABEL: holder, RENEWS_LABEL: str(seen.version if renewal and seen else 0)}
        try:
            if seen is None:
                self._api.create_config({"Name": CONFIG, "Labels": labels, "Data": _DATA}, deadline)
            else:
                self._api.update_config(CONFIG, seen.version, {"Name": CONFIG, "Labels": labels}, deadline)
        except (AlreadyExistsError, NotFoundError, VersionConflictError):
            return False
        except RefusedError as error:
            raise RefusedError(f"{error} ({_CURE})") from error
        return True


def _cell(document: Document) -> Cell:
    """What the config says. Anybody may have written its labels: who is not named holds nothing."""
    with documented():
        labels = document["Spec"].get("Labels") or {}
        renews = str(labels.get(RENEWS_LABEL))
        return Cell(
            version=int(document["Version"]["Index"]),
            holder=str(labels.get(HOLDER_LABEL, "")),
            renews=int(renews) if re.fullmatch(r"[0-9]{1,18}", renews) else 0,
        )
