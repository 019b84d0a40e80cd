from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autoscaler.core.model import Outcome, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Record
from autoscaler.journal.keeper import FILE, HistoryKeeper
from autoscaler.journal.store import HistoryStore
from tests.integration.test_history import asked, with_history
from tests.support.builders import NOW
from tests.support.daemons import running
from tests.support.waiting import PATIENCE, until, wait
from tests.support.world import decided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOREVER = NOW + 1e6

WRITER = """
import sys
from autoscaler.journal.happening import Beat, Happening, HappeningKind
from autoscaler.journal.store import HistoryStore
store, start = HistoryStore(sys.argv[1]), int(sys.argv[2])
for batch in range(start, start + 10**6):
    at = 1.8e9 + batch
    store.append(
        [Happening(HappeningKind.HOLD, at, f"w{index}", until=at, begun=1, facts={"batch": batch},
                   document={"text": f"{batch} " * 300}) for index in range(20)],
        Beat(at, batch),
    )
    if batch % 50 == 0:
        store.expire(0)
    print(batch, flush=True)
"""
FULL = """
import resource, sys, time
from pathlib import Path
from autoscaler.core.records import Evaluation
from autoscaler.journal.keeper import HistoryKeeper
def wait(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)
def notes(count):
    for _ in range(count):
        global at
        at += 15
        wait(lambda: keeper._notes.qsize() < 4)
        keeper.evaluated(Evaluation(at, paused=(f"w{at:.0f}: up paused " + "x" * 3000,)))
at = 1.8e9
keeper = HistoryKeeper(Path(sys.argv[1]))
keeper.start(at)
notes(5)
wait(lambda: keeper.kept_in == "file")
(_, hard) = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
while keeper.problem is None:
    notes(1)
print(keeper.kept_in, "|", keeper.problem.detail)
notes(3)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
notes(45)
wait(lambda: keeper.kept_in == "file" and keeper.problem is None)
keeper.stop(at)
print(at)
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs this code."""
    return subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Callable[[], HistoryKeeper]]:
    """Make keepers of the same folder; they are stopped at the end."""
    made: list[HistoryKeeper] = []

    def make() -> HistoryKeeper:
        made.append(HistoryKeeper(tmp_path / "state"))
        made[-1].start(NOW)
        return made[-1]

    yield make
    for keeper in made:
        keeper.stop(NOW)


def note(keeper: HistoryKeeper, count: int = 1) -> None:
    """Note evaluations one after another, so that none is left out; each has another pause."""
    for number in range(count):
        wait("a free place", lambda: not keeper._notes.full())
        keeper.evaluated(Evaluation(NOW + number, paused=(f"w{number}: up paused by ana",)))
    wait("the notes to be written", lambda: not keeper._notes.unfinished_tasks)


def pauses(keeper: HistoryKeeper) -> set[str]:
    """The services of which a pause is kept."""
    return {each.service for each in keeper.between(0, FOREVER, limit=1000).happenings if each.subject}


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_in_the_middle_of_a_write(tmp_path: Path, seed: int) -> None:
    """Whatever moment kill -9 comes at, the next process opens the file at once and finds all that was committed."""
    path, start, chance = tmp_path / FILE, 0, random.Random(seed)  # noqa: S311 - not a secret
    for _ in range(3):
        process = started(WRITER, path, start)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randint(1, 120))]
        time.sleep(chance.random() / 100)
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=PATIENCE)
        committed = int((lines + rest.splitlines())[-1])

        store = HistoryStore(path)
        found = store.between(0, FOREVER, limit=10**6).happenings
        store.close()

        batches = sorted({int(each.facts["batch"]) for each in found})
        assert batches[: committed + 1] == list(range(committed + 1))
        assert len(found) == 20 * len(batches)
        start = batches[-1] + 1


@pytest.mark.fault("history-unwritable")
def test_a_full_disk(tmp_path: Path) -> None:
    """On a full disk the history goes on in memory and says why; once there is room the file has all of it."""
    process = started(FULL, tmp_path)
    out, errors = process.communicate(timeout=10 * PATIENCE)

    assert process.returncode == 0, errors
    first, last = out.splitlines()
    assert first.startswith(f"memory | the history cannot be kept in {tmp_path / FILE}: ")
    assert "the disk must have room" in first
    store = HistoryStore(tmp_path / FILE)
    kept = store.between(0, FOREVER * 2, limit=10_000).happenings
    store.close()
    notes = [each.at for each in kept if each.subject.startswith("w")]
    assert notes == [1.8e9 + 15 * index for index in range(1, round((float(last) - 1.8e9) / 15) + 1)]


@pytest.mark.fault("history-unwritable")
def test_a_folder_that_cannot_be_written(keeping: Callable[[], HistoryKeeper], tmp_path: Path) -> None:
    """If the folder is not one, or takes no files, the history is in memory and says why."""
    (tmp_path / "state").write_text("a file")
    for keeper in (keeping(), HistoryKeeper(Path("/proc/self"))):
        keeper.start(NOW)
        note(keeper, 3)

        assert (keeper.kept_in, pauses(keeper)) == ("memory", {"w0", "w1", "w2"})
        assert keeper.problem is not None
        assert "the disk must have room and let the autoscaler's user write" in keeper.problem.detail
        keeper.stop(NOW)


@pytest.mark.fault("history-damaged")
def test_a_damaged_file_is_set_aside(keeping: Callable[[], HistoryKeeper], tmp_path: Path) -> None:
    """A damaged file gets another name and is never deleted; after three of them the history stays in memory."""
    folder = tmp_path / "state"
    folder.mkdir()
    for number in range(1, 4):
        (folder / FILE).write_bytes(b"damaged" * 1000 * number)
        keeper = keeping()
        note(keeper)
        assert keeper.kept_in == "file"
        assert keeper.problem is None
        keeper.stop(NOW)
        assert (folder / f"{FILE}.damaged-{number}").read_bytes() == b"damaged" * 1000 * number

    (folder / FILE).write_bytes(b"damaged")
    keeper = keeping()
    note(keeper)

    assert keeper.problem is not None
    assert "3 damaged ones lie beside it" in keeper.problem.detail
    assert (folder / FILE).read_bytes() == b"damaged"


@pytest.mark.fault("history-shared")
def test_two_processes_on_one_file(keeping: Callable[[], HistoryKeeper], tmp_path: Path) -> None:
    """A second process keeps its history in memory and says why; it takes the file over when the first one ends."""
    (tmp_path / "state").mkdir()
    first = started(WRITER, tmp_path / "state" / FILE, 0)
    assert first.stdout is not None
    assert first.stdout.readline() == "0\n"
    second = keeping()
    note(second, 3)
    assert second.kept_in == "memory"
    assert second.problem is not None
    assert "another process uses the file" in second.problem.detail

    first.kill()
    first.communicate(timeout=PATIENCE)
    note(second, 45)

    assert second.kept_in == "file"
    assert not any([second.problem])
    services = {each.service for each in second.between(0, FOREVER, limit=10_000).happenings}
    assert {"w0", "w19", "w44"} <= services


@pytest.mark.fault("history-unwritable")
def test_a_disk_that_hangs(keeping: Callable[[], HistoryKeeper]) -> None:
    """While a write hangs no evaluation waits: what there is no place for is left out, and that is told."""
    keeper = keeping()
    note(keeper)
    with keeper._store._lock:
        for number in range(100):
            keeper.evaluated(Evaluation(NOW + number))
        assert keeper.problem is not None
        assert "notes are missing in the history" in keeper.problem.detail
    wait("the notes to be written", lambda: not keeper._notes.unfinished_tasks)
    note(keeper)
    wait("the problem to end", lambda: keeper.problem is None)


def test_a_defect_of_a_document_costs_the_document(tmp_path: Path) -> None:
    """If the whole document of a decision cannot be made, the run is known without it."""

    def broken(_: Record) -> dict[str, object]:
        raise ZeroDivisionError

    keeper = HistoryKeeper(tmp_path, document=broken)
    keeper.start(NOW)
    why = Why(Reason.NO_BREACH)
    keeper.evaluated(Evaluation(NOW, (Record(decided(why), Outcome.UNCHANGED),)))
    note(keeper)

    found = keeper.at("web", NOW)
    assert found is not None
    assert (found.facts["reason"], found.document) == ("no_breach", None)
    keeper.stop(NOW)


def test_a_defect_costs_one_note(tmp_path: Path) -> None:
    """A note that cannot be made is logged whole, and the next ones are written."""
    keeper = HistoryKeeper(tmp_path)
    keeper.start(NOW)
    keeper.policies(NOW, "r", 1, [object()])  # type: ignore[list-item]
    keeper.evaluated(None)  # type: ignore[arg-type]
    note(keeper)

    assert pauses(keeper) == {"w0"}
    keeper.stop(NOW)


@pytest.mark.fault("history-unwritable")
async def test_no_evaluation_is_stopped(tmp_path: Path) -> None:
    """A history that cannot be kept is a problem that is logged once; evaluations and scaling go on."""
    made = with_history(tmp_path, Path("/proc/self/state"))
    made.world.load["web0", "cpu"] = 90

    async with running(made):
        await until(lambda: bool(made.world.api.updates))
        await made.next_evaluations(30)
        problems = await asked(made, "/api/v1/problems")
        history = await asked(made, "/api/v1/history")

    assert [problem["kind"] for problem in problems["problems"]] == ["history"]
    assert len(made.events("history_lost")) == 1
    assert history["kept_in"] == "memory"
    assert "cannot be kept in /proc/self/state/history.sqlite3" in history["problem"]
    assert any(each["kind"] == "change" for each in history["happenings"])
