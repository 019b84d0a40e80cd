from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.journal.store import IN_MEMORY, HistoryStore
from tests.contract.history_cases import HistoryContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestInMemory(HistoryContract):
    """A store in memory."""

    @pytest.fixture
    def store(self) -> Iterator[HistoryStore]:
        """An empty store."""
        store = HistoryStore(IN_MEMORY)
        yield store
        store.close()


class TestInFile(HistoryContract):
    """A store in a file."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[HistoryStore]:
        """An empty store."""
        store = HistoryStore(tmp_path / "history.sqlite3")
        yield store
        store.close()
