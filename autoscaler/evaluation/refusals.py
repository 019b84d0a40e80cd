"""Writes that are refused: one problem for all services if a proxy refuses, and one for a service if Swarm does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.core.records import WRITE, Problem
from autoscaler.ports import RefusedBy, Written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autoscaler.ports import Receipt

_EVERY = ""


@dataclass(slots=True)
class Refusals:
    """Remembers each refusal until a write passes. Not for use by two threads at once."""

    _details: dict[str, str] = field(default_factory=dict, init=False)
    """The first refusal in words, by service; by an empty name if the writes to all services are refused."""

    def note(self, service: str, receipt: Receipt) -> None:
        """Take note of the result of a write to *service*."""
        if receipt.written is Written.APPLIED:
            self._details.pop(_EVERY, None)
            self._details.pop(service, None)
        elif receipt.refused_by is RefusedBy.PROXY:
            self._details.setdefault(_EVERY, receipt.detail)
        elif receipt.refused_by is RefusedBy.ENGINE:
            self._details.setdefault(service, receipt.detail)

    def not_wanted(self, service: str) -> None:
        """Take note that no write to *service* is wanted any more, so that the refusal of one does not matter."""
        self._details.pop(service, None)

    def problems(self, services: Iterable[str]) -> list[Problem]:
        """Return the problems that go on; a service that is not among *services* is gone."""
        present = {_EVERY, *services}
        self._details = {name: detail for name, detail in self._details.items() if name in present}
        return [Problem(WRITE, detail, name) for name, detail in self._details.items()]
