"""The pauses in Swarm: the labels of a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoscaler.adapters.docker.config_cell import ConfigCell
from autoscaler.coordination.pauses import PauseCell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.adapters.docker.engine_api import ConfigApi
    from autoscaler.util.deadline import Deadline

CONFIG = "autoscaler-pauses"
"""The config that all autoscalers of one Swarm share."""


class SwarmPauses:
    """A PauseStore in the config CONFIG, through *api*."""

    def __init__(self, api: ConfigApi) -> None:
        self._cell = ConfigCell(api, CONFIG, "let the autoscaler read", "let those who pause create and update")

    def look(self, deadline: Deadline) -> PauseCell | None:
        """Return the labels; None if there is no such config."""
        found = self._cell.look(deadline)
        return None if found is None else PauseCell(*found)

    def write(self, labels: Mapping[str, str], seen: PauseCell | None, deadline: Deadline) -> bool:
        """Write *labels* if the config still has the version *seen*, or with None if there is no such config yet."""
        return self._cell.write(labels, seen.version if seen else None, deadline)
