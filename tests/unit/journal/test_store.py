from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from autoscaler.errors import JournalError
from autoscaler.journal.happening import Beat, Happening, HappeningKind
from autoscaler.journal.store import HistoryStore
from tests.contract.history_cases import CHANGED, FOREVER, HELD, PROBLEM
from tests.support.builders import NOW

if TYPE_CHECKING:
    from pathlib import Path


def test_what_a_killed_process_left_open_ends_at_its_last_evaluation(tmp_path: Path) -> None:
    """After kill -9 the runs and problems that went on end when the process was last known to evaluate."""
    path = tmp_path / "history.sqlite3"
    first = HistoryStore(path)
    first.append([replace(HELD, begun=2), PROBLEM, replace(PROBLEM, at=NOW + 90, subject="later")], Beat(NOW + 45, 5))
    first.close()

    store = HistoryStore(path)

    ends = [(each.until, each.times, each.ongoing) for each in store.between(0, FOREVER).happenings]
    assert ends == [(NOW + 45, 4, False), (NOW + 45, 1, False), (NOW + 90, 1, False)]
    store.close()


def test_a_process_that_never_evaluated_left_nothing_for_long(tmp_path: Path) -> None:
    """What began before the first evaluation ended when it began."""
    path = tmp_path / "history.sqlite3"
    first = HistoryStore(path)
    first.append([Happening(HappeningKind.STARTED, NOW, ongoing=True, begun=1)])
    first.close()

    store = HistoryStore(path)

    assert [(each.until, each.times) for each in store.between(0, FOREVER).happenings] == [(NOW, 1)]
    store.close()


def test_one_process_alone_has_the_file(tmp_path: Path) -> None:
    """Another process cannot open the file, and says that it is locked; nor can it read half of what is written."""
    path = tmp_path / "history.sqlite3"
    store = HistoryStore(path)
    code = (
        "import sys; from autoscaler.journal.store import HistoryStore; from autoscaler.errors import JournalError\n"
        "try: HistoryStore(sys.argv[1])\n"
        "except JournalError as error: print(error.locked)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert done.stdout == "True\n"
    store.append([CHANGED])
    store.close()


@pytest.mark.parametrize("content", [b"this is not a database" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    """A file that is not a database is damaged."""
    path = tmp_path / "history.sqlite3"
    path.write_bytes(content)

    with pytest.raises(JournalError) as caught:
        HistoryStore(path)

    assert caught.value.damaged
    assert path.read_bytes() == content


def test_damage_within_the_file_is_told(tmp_path: Path) -> None:
    """A database whose pages are overwritten is damaged, and is found so when it is opened."""
    path = tmp_path / "history.sqlite3"
    store = HistoryStore(path)
    store.append([replace(CHANGED, at=NOW + index, service=f"web{index}") for index in range(500)])
    store.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xaa" * (len(content) - 8192)
    path.write_bytes(content)

    with pytest.raises(JournalError) as caught:
        HistoryStore(path)

    assert caught.value.damaged


@pytest.mark.parametrize(
    ("statement", "words"),
    [("PRAGMA user_version = 7", "is of version 7"), ("PRAGMA application_id = 5", "is another program's")],
)
def test_another_programs_file_is_left_alone(tmp_path: Path, statement: str, words: str) -> None:
    """A database of a later version or of another program is neither read nor changed."""
    path = tmp_path / "history.sqlite3"
    HistoryStore(path).close()
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    before = path.read_bytes()

    with pytest.raises(JournalError, match=words) as caught:
        HistoryStore(path)

    assert caught.value.foreign
    assert path.read_bytes() == before


def test_a_store_stays_as_small_as_it_may_be() -> None:
    """If the store is larger than it may be, the oldest is forgotten before its time; what goes on stays."""
    store = HistoryStore(largest=200_000)
    store.append([replace(HELD, begun=1, service="lasting")], Beat(NOW, 1))
    for batch in range(30):
        many = [
            replace(
                CHANGED,
                at=NOW + batch * 100 + index,
                until=None,
                service=f"w{index}",
                facts={"n": "x" * 100, "i": index},
            )
            for index in range(100)
        ]
        store.append(many)
        store.expire(0)

    assert store.size() <= 200_000
    kept = store.between(0, FOREVER, limit=10_000).happenings
    assert kept[0].service == "lasting"
    assert kept[-1].at == NOW + 2999
    assert 100 < len(kept) < 3000
    store.close()
