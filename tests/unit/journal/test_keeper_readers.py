"""Readers of the history while its thread goes over from one store to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.errors import JournalError
from autoscaler.journal.keeper import HistoryKeeper
from autoscaler.journal.store import HistoryStore

if TYPE_CHECKING:
    from pathlib import Path


class Overtaken(HistoryStore):
    """A store that the keeper leaves and closes just before the reader asks it."""

    def __init__(self, keeper: HistoryKeeper) -> None:
        super().__init__()
        self.keeper = keeper

    def services(self) -> tuple[str, ...]:
        """Close the store first, as the keeper's thread does."""
        self.keeper._store = HistoryStore()
        self.close()
        return super().services()


def test_a_reader_is_not_refused_because_the_store_changed(tmp_path: Path) -> None:
    """A reader that met a store just as it was left gets the answer of the one that took its place."""
    keeper = HistoryKeeper(tmp_path)
    keeper._store = Overtaken(keeper)

    assert keeper.services() == ()


def test_a_reader_is_told_that_the_store_fails() -> None:
    """A store that nothing takes the place of gives its error to the reader."""
    keeper = HistoryKeeper()
    keeper._store.close()

    with pytest.raises(JournalError):
        keeper.services()
