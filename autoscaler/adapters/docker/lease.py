"""The lease in Swarm: the labels of a config."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autoscaler.adapters.docker.config_cell import ConfigCell
from autoscaler.coordination.lease import Cell

if TYPE_CHECKING:
    from autoscaler.adapters.docker.engine_api import ConfigApi
    from autoscaler.util.deadline import Deadline

CONFIG = "autoscaler-lease"
"""The config that all autoscalers of one Swarm share. A Swarm has one lease, whatever services they scale."""
HOLDER_LABEL = "autoscaler.lease.holder"
RENEWS_LABEL = "autoscaler.lease.renews"


class SwarmLease:
    """A LeaseStore in the config CONFIG, through *api*."""

    def __init__(self, api: ConfigApi) -> None:
        allowed = "let the autoscaler read, create and update"
        self._cell = ConfigCell(api, CONFIG, allowed, allowed)

    def look(self, deadline: Deadline) -> Cell | None:
        """Return the cell; None if there is no such config. Without a name nobody holds the lease."""
        found = self._cell.look(deadline)
        if found is None:
            return None
        version, labels = found
        renews = labels.get(RENEWS_LABEL, "")
        return Cell(version, labels.get(HOLDER_LABEL, ""), int(renews) if re.fullmatch(r"[0-9]{1,18}", renews) else 0)

    def write(self, holder: str, seen: Cell | None, deadline: Deadline, *, renewal: bool = False) -> bool:
        """Write *holder* if the config still has the version *seen*, or with None if there is no such config yet."""
        labels = {HOLDER_LABEL: holder, RENEWS_LABEL: str(seen.version if renewal and seen else 0)}
        return self._cell.write(labels, seen.version if seen else None, deadline)
