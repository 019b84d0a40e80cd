"""Keeps happenings in one SQLite database, in a file or in memory; safe to use from any thread.

One process alone opens the file (`locking_mode=EXCLUSIVE`), so SQLite needs no shared memory beside the write-ahead
log. After kill -9 the next opening finds all that was committed.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from autoscaler.errors import JournalError
from autoscaler.journal.compression import deflate, inflate, is_unlike, sample_with, text_of
from autoscaler.journal.happening import Beat, Happening, HappeningKind, Page
from autoscaler.journal.rows import (
    BEGIN,
    COLUMNS,
    GO_ON,
    JOINED,
    KINDS,
    NUMBERS,
    SCHEMA,
    cursor_of,
    cursor_values,
    milliseconds,
    ranges_of,
    ranges_text,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

IN_MEMORY: Final = ":memory:"
_APPLICATION = 0x53574153
"""Marks a SQLite file as this program's: `SWAS`."""
_VERSION = 1
"""The version of the schema. A file of a later one is left alone."""
_LARGEST_FILE = 256 * 2**20
_LARGEST_MEMORY = 8 * 2**20
"""Bytes. The oldest tenth is left out if a store would be larger."""
_PATIENCE = 2.0
"""Seconds that a reader waits while a batch is written."""
_SAMPLED_FOR = 6 * 3600 * 1000
"""Milliseconds for which a sample serves, so that it can be forgotten with what was packed with it."""


class HistoryStore:
    """The happenings of one database. Every method raises JournalError if SQLite cannot do it."""

    def __init__(self, path: str | Path = IN_MEMORY, *, largest: int | None = None) -> None:
        """Open or create the database at *path*; runs that a killed process left open end at its last evaluation."""
        self._largest = largest or (_LARGEST_MEMORY if path == IN_MEMORY else _LARGEST_FILE)
        self._lock = threading.Lock()
        self._samples: tuple[int, bytes] = (0, b"")
        """The sample that was read last, by its id: the happenings of a page share a few."""
        self._numbers: dict[str, int] = {}
        """The names that were written since the last look for what is too old, by their numbers."""
        with _explained():
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def close(self) -> None:
        """Close the database. What is committed stays."""
        with self._lock, _explained():
            self._database.close()

    # writing

    def append(self, happenings: Iterable[Happening], beat: Beat | None = None) -> None:
        """Keep *happenings*, all or none of them, and *beat* as the last evaluation.

        One with the key of another that is kept already says how that one went on: only its end, its times and its
        values are taken.
        """
        with self._writing():
            for happening in happenings:
                self._put(happening)
            if beat is not None:
                values = (milliseconds(beat.at), beat.evaluations)
                self._database.execute("INSERT OR REPLACE INTO beat VALUES (1, ?, ?)", values)

    def expire(self, before: float) -> None:
        """Forget all that was over *before* that time; and the oldest, if the store is larger than it may be."""
        oldest = milliseconds(before)
        with self._writing():
            run = self._database.execute
            run("DELETE FROM happenings WHERE until < ?", (oldest,))
            while self._size() > self._largest:
                (count,) = run("SELECT count(*) FROM happenings").fetchone()
                run(
                    "DELETE FROM happenings WHERE until IS NOT NULL AND at <= "
                    "(SELECT at FROM happenings ORDER BY at LIMIT 1 OFFSET ?)",
                    (count // 10,),
                )
                if run("SELECT changes()").fetchone() == (0,):
                    break
                self._forget_samples()
            self._forget_samples()
            self._forget_caches()
            run(
                "DELETE FROM names WHERE id NOT IN (SELECT service FROM happenings UNION SELECT subject FROM "
                "happenings UNION SELECT topic FROM samples)"
            )

    def copy_to(self, other: HistoryStore, newest: int) -> None:
        """Give *other* the *newest* happenings and all that goes on."""
        statement = (
            f"SELECT {COLUMNS} FROM {JOINED} WHERE h.until IS NULL OR h.at >= coalesce("  # noqa: S608
            "(SELECT at FROM happenings ORDER BY at DESC LIMIT 1 OFFSET ?), 0) ORDER BY h.at"
        )
        with self._reading():
            rows = self._database.execute(statement, (newest,)).fetchall()
            kept = [self._raw(row) for row in rows]
            beat = self._beat()
        other.append(kept, beat)

    # reading

    def between(  # noqa: PLR0913 - as many as a reader may ask by
        self,
        since: float,
        until: float,
        *,
        service: str | None = None,
        kinds: Collection[HappeningKind] = (),
        after: str | None = None,
        limit: int = 500,
        newest_first: bool = False,
    ) -> Page:
        """Return what was so at some time from *since* to *until*, in the order in which it began.

        Without *kinds* all kinds are returned. *after* is the cursor of the page before; a wrong one raises ValueError.
        """
        wanted = ["h.at <= :until", "(h.until IS NULL OR h.until >= :since)"]
        values: dict[str, Any] = {"since": milliseconds(since), "until": milliseconds(until), "limit": limit + 1}
        if service is not None:
            wanted.append("h.service = (SELECT id FROM names WHERE name = :service)")
            values["service"] = service
        if kinds:
            wanted.append(f"h.kind IN ({', '.join(str(NUMBERS[kind]) for kind in sorted(kinds))})")
        if after is not None:
            wanted.append(f"(h.at, h.service, h.kind, h.subject) {'<' if newest_first else '>'} (:c0, :c1, :c2, :c3)")
            values.update(cursor_values(after))
        way = "DESC" if newest_first else "ASC"
        order = ", ".join(f"h.{column} {way}" for column in ("at", "service", "kind", "subject"))
        statement = (
            f"SELECT {COLUMNS}, h.service, h.subject FROM {JOINED} "  # noqa: S608 - columns and numbers of ours
            f"WHERE {' AND '.join(wanted)} ORDER BY {order} LIMIT :limit"
        )
        with self._reading():
            rows = self._database.execute(statement, values).fetchall()
            beat = self._beat()
            found = tuple(self._so_far(self._raw(row[:-2]), beat) for row in rows[:limit])
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(found, cursor_of(last) if last else None)

    def at(self, service: str, moment: float) -> Happening | None:
        """Return the run of decisions that was the newest one on *service* at that moment; None if there was none."""
        statement = (
            f"SELECT {COLUMNS} FROM {JOINED} WHERE h.service = (SELECT id FROM names WHERE name = ?) "  # noqa: S608
            "AND h.at <= ? AND h.begun > 0 ORDER BY h.at DESC LIMIT 1"
        )
        with self._reading():
            row = self._database.execute(statement, (service, milliseconds(moment))).fetchone()
            return None if row is None else self._so_far(self._raw(row), self._beat())

    def run_at(self, moment: float) -> Happening | None:
        """Return the run of the process that had begun last at that moment; None if nothing is known of any."""
        statement = f"SELECT {COLUMNS} FROM {JOINED} WHERE h.kind = ? AND h.at <= ? ORDER BY h.at DESC LIMIT 1"  # noqa: S608
        with self._reading():
            values = (NUMBERS[HappeningKind.STARTED], milliseconds(moment))
            row = self._database.execute(statement, values).fetchone()
            return None if row is None else self._so_far(self._raw(row), self._beat())

    def services(self) -> tuple[str, ...]:
        """Return the names of all services that something is known of."""
        with self._reading():
            rows = self._database.execute(
                "SELECT name FROM names WHERE name != '' AND id IN (SELECT service FROM happenings) ORDER BY name"
            ).fetchall()
        return tuple(name for (name,) in rows)

    def oldest(self) -> float | None:
        """Return the time from which on something is known; None if nothing is."""
        with self._reading():
            (at,) = self._database.execute("SELECT min(at) FROM happenings").fetchone()
        return None if at is None else at / 1000

    def size(self) -> int:
        """Return the bytes that are in use."""
        with self._reading():
            return self._size()

    # of the database

    def _forget_caches(self) -> None:
        self._samples = (0, b"")
        self._numbers.clear()

    def _forget_samples(self) -> None:
        self._database.execute(
            "DELETE FROM samples WHERE id NOT IN (SELECT sample FROM happenings WHERE sample IS NOT NULL)"
        )

    def _prepare(self) -> None:
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        (application,) = run("PRAGMA application_id").fetchone()
        (version,) = run("PRAGMA user_version").fetchone()
        empty = run("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        if not empty and (application, version) != (_APPLICATION, _VERSION):
            words = f"is of version {version}" if application == _APPLICATION else "is another program's"
            raise JournalError(f"the file {words}", foreign=True)
        run("PRAGMA temp_store = MEMORY")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA wal_autocheckpoint = 256")
        run(f"PRAGMA journal_size_limit = {2**20}")
        run("BEGIN IMMEDIATE")  # takes the lock, also where there is nothing to write
        try:
            if empty:
                run(f"PRAGMA application_id = {_APPLICATION}")
                run(f"PRAGMA user_version = {_VERSION}")
                for statement in filter(str.strip, SCHEMA.split(";")):
                    run(statement)
            else:
                self._check()
            self._end_what_goes_on()
        except BaseException:
            run("ROLLBACK")
            raise
        run("COMMIT")

    def _check(self) -> None:
        if self._database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise JournalError("the file is damaged", damaged=True)

    def _end_what_goes_on(self) -> None:
        """End what a process that was killed left open: at its last evaluation."""
        run = self._database.execute
        last = self._beat() or Beat(0.0, 0)
        run(
            "UPDATE happenings SET until = max(at, ?), times = CASE WHEN begun > 0 THEN max(1, ? - begun + 1) "
            "ELSE times END WHERE until IS NULL",
            (milliseconds(last.at), last.evaluations),
        )
        run("DELETE FROM beat")

    def _put(self, happening: Happening) -> None:
        until = None if happening.ongoing else milliseconds(happening.until or happening.at)
        ranges = ranges_text(happening.values)
        key = (
            milliseconds(happening.at),
            self._name(happening.service),
            NUMBERS[happening.kind],
            self._name(happening.subject),
        )
        if not happening.facts and self._database.execute(GO_ON, (until, happening.times, ranges, *key)).rowcount:
            return
        text = text_of({"facts": dict(happening.facts), "document": happening.document})
        sample, body = None, b""
        if happening.document:
            sample, body = self._pack(self._name(str(happening.facts.get("policy", ""))), key[0], text)
        else:
            body = deflate(text)
        self._database.execute(BEGIN, (*key, until, happening.begun, happening.times, sample, ranges, body))

    def _pack(self, topic: int, at: int, text: bytes) -> tuple[int, bytes]:
        """Return the id of a sample of the *topic* and *text* as what differs from it."""
        newest = self._database.execute(
            "SELECT id, at, packed FROM samples WHERE topic = ? ORDER BY at DESC LIMIT 1", (topic,)
        ).fetchone()
        sample = b""
        if newest is not None and newest[1] <= at < newest[1] + _SAMPLED_FOR:
            sample = self._sample(newest[0])
            packed = deflate(text, sample)
            if not is_unlike(text, packed, sample):
                return newest[0], packed
        sample = sample_with(sample, text)
        made = self._database.execute(
            "INSERT INTO samples (topic, at, packed) VALUES (?, ?, ?)", (topic, at, deflate(sample))
        )
        number = made.lastrowid or 0
        self._samples = number, sample
        return number, deflate(text, sample)

    def _sample(self, number: int) -> bytes:
        if self._samples[0] != number:
            row = self._database.execute("SELECT packed FROM samples WHERE id = ?", (number,)).fetchone()
            if row is None:
                raise JournalError("the file is damaged", damaged=True)
            self._samples = number, inflate(row[0])
        return self._samples[1]

    def _name(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            row = self._database.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
            number = row[0] if row is not None else self._new_name(name)
            self._numbers[name] = number
        return number

    def _new_name(self, name: str) -> int:
        return self._database.execute("INSERT INTO names (name) VALUES (?)", (name,)).lastrowid or 0

    def _raw(self, row: tuple[Any, ...]) -> Happening:
        at, service, kind, subject, until, begun, times, sample, ranges, body = row
        try:
            content = json.loads(inflate(body, b"" if sample is None else self._sample(sample)))
            facts, document = content["facts"], content["document"]
            values = ranges_of(ranges, facts.get("rules", ()))
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise JournalError("the file is damaged", damaged=True) from error
        return Happening(
            kind=KINDS[kind],
            at=at / 1000,
            service=service,
            subject=subject,
            until=None if until is None else until / 1000,
            ongoing=until is None,
            times=times,
            begun=begun,
            facts=facts,
            values=values,
            document=document,
        )

    @staticmethod
    def _so_far(happening: Happening, beat: Beat | None) -> Happening:
        """Return *happening* with what it has come to at the last evaluation, if it goes on."""
        if not happening.ongoing:
            return happening
        until = max(happening.at, beat.at if beat else 0.0)
        times = max(1, beat.evaluations - happening.begun + 1) if beat and happening.begun else happening.times
        return replace(happening, until=until, times=times)

    def _beat(self) -> Beat | None:
        row = self._database.execute("SELECT at, evaluations FROM beat").fetchone()
        return None if row is None else Beat(row[0] / 1000, row[1])

    def _size(self) -> int:
        run = self._database.execute
        (pages,), (free,) = run("PRAGMA page_count").fetchone(), run("PRAGMA freelist_count").fetchone()
        size: int = (pages - free) * run("PRAGMA page_size").fetchone()[0]
        return size

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, _explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                self._forget_caches()
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=_PATIENCE):
            raise JournalError("the disk is busy")
        try:
            with _explained():
                yield
        finally:
            self._lock.release()


@contextmanager
def _explained() -> Iterator[None]:
    """Raise JournalError for what SQLite raises, with its cause in words."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        damaged = name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
        locked = name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
        raise JournalError(str(error), damaged=damaged, locked=locked) from error
