"""Keeps the journal of a running process: one thread writes what evaluations leave behind, and never in their way."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Full, Queue
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from autoscaler.core.records import Problem
from autoscaler.errors import JournalError
from autoscaler.journal.chronicle import Chronicle
from autoscaler.journal.store import HistoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from autoscaler.core.records import Evaluation, Record
    from autoscaler.journal.happening import Beat, Happening, Page

    Told = tuple[list[Happening], Beat | None]
    Note = Callable[[Chronicle], Told]

T = TypeVar("T")

FILE: Final = "history.sqlite3"
"""The name of the file below the folder for state."""
DAY: Final = 24 * 3600
_WAITING = 8
"""The most evaluations that wait to be written."""
_ROUNDS = 20
"""Evaluations between two looks for what is too old, and between two attempts to use a file that failed."""
_COPIED = 5000
"""Happenings that are taken over from a file that can no longer be written."""
_ALL = 10**9
_LAST_WORDS = 2.0
"""Seconds that the end of the process waits for a place in the queue, and for what is still to be written."""
_MOST_SET_ASIDE = 3


def _no_document(_: Record) -> Mapping[str, Any]:
    return {}


class HistoryKeeper:
    """Takes notes from the daemon, writes them in a thread of its own, and answers readers.

    If the file cannot be used, the history goes on in memory and `problem` says why. The file is tried again later.
    """

    def __init__(
        self,
        folder: Path | None = None,
        kept_for: float = DAY,
        document: Callable[[Record], Mapping[str, Any]] = _no_document,
        about: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Keep the history below *folder*, in memory without one, for *kept_for* seconds.

        *document* makes a whole document of a decision. It is called in the writing thread. *about* says what is so
        as long as the process runs.
        """
        self._about = dict(about)
        self._path = None if folder is None else folder / FILE
        self._kept_for = kept_for
        self._make_document = document
        self._chronicle = Chronicle(self._document)
        self._store = HistoryStore()
        self._in_file = False
        self._notes: Queue[Note | None] = Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._trouble = ""
        self._missed = 0
        self._rounds = 0

    # notes: what the daemon tells, never waiting

    def start(self, at: float) -> None:
        """Begin to write, and note that the process started."""
        self._chronicle.earliest = at - self._kept_for
        self._thread = threading.Thread(target=self._write_notes, name="history", daemon=True)
        self._thread.start()
        self._note(lambda chronicle: (chronicle.started(at, self._about), None))

    def stop(self, at: float) -> None:
        """Write what is left, note that the process stopped, and close the file; waits four seconds at most."""
        if self._thread is None:
            return
        self._note(lambda chronicle: (chronicle.stopped(at), None))
        try:
            self._notes.put(None, timeout=_LAST_WORDS)
            self._thread.join(_LAST_WORDS)
        except Full:
            pass
        self._thread = None

    def evaluated(self, evaluation: Evaluation, began: Iterable[Problem] = (), ended: Iterable[Problem] = ()) -> None:
        """Note *evaluation*, and the problems that *began* and *ended* by it."""
        self._note(lambda chronicle: chronicle.evaluated(evaluation, began, ended))

    def policies(self, at: float, revision: str, policies: int, problems: Collection[str] = ()) -> None:
        """Note that policies were loaded, or refused for their *problems*."""
        self._note(lambda chronicle: (chronicle.policies(at, revision, policies, problems), None))

    def role(self, at: float, holder: str, *, leads: bool) -> None:
        """Note that this autoscaler became the leader, or a standby of *holder*."""
        self._note(lambda chronicle: (chronicle.role(at, holder, leads=leads), None))

    @property
    def problem(self) -> Problem | None:
        """Return why the history is not kept as it should be; None if it is."""
        trouble = self._trouble
        if self._missed:
            trouble = trouble or f"the disk is slow: {self._missed} notes are missing in the history"
        return Problem("history", trouble) if trouble else None

    def _document(self, record: Record) -> Mapping[str, Any]:
        """Return the document of *record*; nothing if it cannot be made, because the run must be known all the same."""
        try:
            return self._make_document(record)
        except Exception:  # noqa: BLE001 - a defect of ours costs one document; it is logged whole
            structlog.get_logger().exception("history_failed")
            return {}

    def _note(self, note: Note) -> None:
        if self._thread is None:
            return
        try:
            self._notes.put_nowait(note)
        except Full:
            self._missed += 1

    # readers

    @property
    def kept_in(self) -> str:
        """Return `file` or `memory`: where the history is now."""
        return "file" if self._in_file else "memory"

    def between(self, since: float, until: float, **by: Any) -> Page:
        """As HistoryStore.between."""
        return self._asked(lambda store: store.between(since, until, **by))

    def at(self, service: str, moment: float) -> Happening | None:
        """As HistoryStore.at."""
        return self._asked(lambda store: store.at(service, moment))

    def run_at(self, moment: float) -> Happening | None:
        """As HistoryStore.run_at."""
        return self._asked(lambda store: store.run_at(moment))

    def services(self) -> tuple[str, ...]:
        """As HistoryStore.services."""
        return self._asked(lambda store: store.services())

    def oldest(self) -> float | None:
        """As HistoryStore.oldest."""
        return self._asked(lambda store: store.oldest())

    def _asked(self, question: Callable[[HistoryStore], T]) -> T:
        """Return the store's answer; ask the other store if the writer's thread has gone over to it meanwhile."""
        while True:
            store = self._store
            try:
                return question(store)
            except JournalError:
                if store is self._store:
                    raise

    # the thread

    def _write_notes(self) -> None:
        self._use_file()
        while (note := self._notes.get()) is not None:
            try:
                self._write(*note(self._chronicle))
            except Exception:  # noqa: BLE001 - a defect of ours costs one note, not the history; it is logged whole
                structlog.get_logger().exception("history_failed")
            finally:
                self._notes.task_done()
        self._store.close()

    def _write(self, happenings: list[Happening], beat: Beat | None) -> None:
        try:
            self._store.append(happenings, beat)
            self._tidy(beat)
        except JournalError as error:
            if not self._in_file:
                raise
            self._fall_back(error)
            self._store.append(happenings, beat)

    def _tidy(self, beat: Beat | None) -> None:
        if beat is None:
            return
        self._missed = 0
        self._rounds += 1
        if self._rounds % _ROUNDS == 0:
            self._store.expire(beat.at - self._kept_for)
            if self._path is not None and not self._in_file:
                self._use_file()

    def _use_file(self) -> None:
        """Go on in the file with what memory has, if the file can be used."""
        if self._path is None:
            return
        try:
            store = self._opened(self._path)
            try:
                self._store.copy_to(store, _ALL)
            except JournalError:
                store.close()
                raise
        except JournalError as error:
            self._trouble = _in_words(self._path, error)
            return
        memory, self._store = self._store, store
        memory.close()
        self._in_file, self._trouble = True, ""

    def _opened(self, path: Path) -> HistoryStore:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(error.strerror or str(error)) from error
        try:
            return HistoryStore(path)
        except JournalError as error:
            if not error.damaged:
                raise
        aside = _set_aside(path)
        structlog.get_logger().warning("history_set_aside", file=str(path), to=str(aside))
        return HistoryStore(path)

    def _fall_back(self, error: JournalError) -> None:
        """Go on in memory with the newest of what the file has, if it can be read."""
        memory = HistoryStore()
        try:
            self._store.copy_to(memory, _COPIED)
        except JournalError:
            memory.close()
            memory = HistoryStore()
        failed, self._store, self._in_file = self._store, memory, False
        self._trouble = _in_words(self._path, error)
        with suppress(JournalError):
            failed.close()


def _set_aside(path: Path) -> Path:
    """Give the damaged file another name, which is returned; nothing is deleted. Raises JournalError."""
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in range(1, _MOST_SET_ASIDE + 1))
    aside = next((name for name in names if not name.exists()), None)
    if aside is None:
        raise JournalError(f"the file is damaged, and {_MOST_SET_ASIDE} damaged ones lie beside it", damaged=True)
    try:
        path.rename(aside)
        log = path.with_name(f"{path.name}-wal")
        if log.exists():
            log.rename(aside.with_name(f"{aside.name}-wal"))
    except OSError as error:
        raise JournalError(f"the file is damaged, and cannot be renamed: {error.strerror}", damaged=True) from error
    return aside


def _in_words(path: Path | None, error: JournalError) -> str:
    """Return what is wrong with the file, and the cure."""
    if error.locked:
        said, cure = (
            "another process uses the file",
            "give each autoscaler a folder of its own, as deploy/stack.yml does",
        )
    elif error.foreign:
        said, cure = str(error), "move the file away, or set AUTOSCALER_STATE_DIR to another folder"
    elif error.damaged:
        said, cure = str(error), "remove the damaged files, or keep them elsewhere"
    else:
        said, cure = str(error), "the disk must have room and let the autoscaler's user write"
    return f"the history cannot be kept in {path}: {said} ({cure}; the file is tried again every {_ROUNDS} evaluations)"
