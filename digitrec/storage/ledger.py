"""SQLite: the one durable truth of a worker. A batch is one transaction.

Paths are stored as the bytes of their names. Batch tables are written only by the process that holds the worker's lock.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from digitrec import files
from digitrec.errors import EnvironmentFailure
from digitrec.storage import migrations, schema
from digitrec.types import (
    Batch,
    BatchStage,
    Claim,
    DeferredFile,
    Digit,
    FileOutcome,
    OutcomeCounts,
    OutputFormat,
    Reason,
    RemovedOriginal,
    TableRow,
)


class Ledger:
    """One open ledger. Not for use by several threads at once."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None = None) -> None:
        """Work with an open connection; `path` is that of its file, where it matters whether it stays there."""
        self._db = connection
        self._path = path
        self._file = path.stat() if path else None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open, or make, the ledger at `path`.

        Raises:
            sqlite3.DatabaseError: it is damaged.
            EnvironmentFailure: it was written by a newer digitrec.
        """
        files.make_dir(path.parent)
        db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            migrations.migrate(db, path)
            return cls(db, path)
        except BaseException:
            db.close()
            raise

    @classmethod
    def open_readonly(cls, path: Path) -> Self:
        """Open an existing ledger for reading; any process may, at any time."""
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10.0)
        return cls(db)

    @classmethod
    def open_shared(cls, path: Path) -> Self:
        """Open an existing ledger for departures and corrections, which need no lock.

        Raises:
            EnvironmentFailure: its tables are not those of this version; only its worker may change them.
        """
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=10.0)
        ledger = cls(db)
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            if migrations.check_version(db, path) < migrations.VERSION:
                raise EnvironmentFailure(
                    f"{path} was written by another version of digitrec",
                    hint=f"Start that worker once with this version: digitrec run --worker {path.parent.name}",
                )
        except BaseException:
            db.close()
            raise
        return ledger

    def is_in_place(self) -> bool:
        """Return False if its file was removed or replaced since it was opened: what is written then is lost."""
        if self._path is None or self._file is None:
            return True
        try:
            return os.path.samestat(self._path.stat(), self._file)
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close it."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable at the end."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def is_intact(self) -> bool:
        """SQLite's own check of every page; takes time with the size."""
        return bool(self._db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))

    def version_hint(self, worker: str) -> str:
        """Return what to do about tables of another version."""
        is_newer = self._db.execute("PRAGMA user_version").fetchone() > (migrations.VERSION,)
        return migrations.NEWER_HINT if is_newer else f"`digitrec run --worker {worker}` brings it up to date."

    def is_up_to_date(self) -> bool:
        """True if its tables are those of this version; a start of its worker brings older ones up to date."""
        return bool(self._db.execute("PRAGMA user_version").fetchone() == (migrations.VERSION,))

    def query(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement of a module with tables or questions of its own; what changes goes in a `transaction`."""
        return self._db.execute(statement, values)

    def has_table(self, name: str) -> bool:
        """False for a table that the version which wrote this ledger did not know."""
        return self.query("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None

    # Small facts: the folders' ids.

    def get_meta(self, name: str) -> str | None:
        """A remembered fact."""
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def set_meta(self, name: str, value: str) -> None:
        """Remember a fact."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # A batch, step by step.

    def open_batch(self, batch: Batch, planned: Iterable[Claim]) -> None:
        """Note a batch and the files it is about to claim, before any is touched."""
        with self.transaction():
            new = "INSERT INTO batches (batch_id, opened_at, stage) VALUES (?, ?, ?)"
            self._db.execute(new, (batch.id, batch.opened_at, batch.stage))
            self._insert_claims(planned)

    def update_claims(self, batch_id: str, lost: Iterable[str], adopted: Iterable[Claim] = ()) -> None:
        """The renames are done: forget what was not there any more, add what lies there unplanned."""
        with self.transaction():
            self._db.executemany(
                "DELETE FROM claims WHERE batch_id = ? AND path = ?", [(batch_id, os.fsencode(path)) for path in lost]
            )
            self._insert_claims(adopted)
            self._set_stage(batch_id, BatchStage.READING)

    def record(
        self,
        batch_id: str,
        rows: Sequence[TableRow],
        outcomes: Sequence[Claim],
        rendering: OutputFormat,
        deferred: Sequence[DeferredFile],
        facts: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        """Make the answers of a batch exist: rows, fates of files, how it is rendered. A fact of None is forgotten."""
        with self.transaction():
            self._insert_rows(rows)
            self._db.executemany(
                "UPDATE claims SET fate = ?, detail = ?, sha256 = ? WHERE batch_id = ? AND path = ?",
                [(one.outcome, one.detail, one.sha256, batch_id, os.fsencode(one.path)) for one in outcomes],
            )
            self._db.executemany(schema.INSERT_DEFERRED, [schema.encode_deferred(file) for file in deferred])
            self._db.executemany("DELETE FROM facts WHERE name = ?", [(name,) for name in facts])
            kept = [(name, value) for name, value in facts.items() if value is not None]
            self._db.executemany("INSERT INTO facts VALUES (?, ?)", kept)
            self._db.execute(
                "UPDATE batches SET rendering = ?, stage = ? WHERE batch_id = ?",
                (json.dumps(asdict(rendering)), BatchStage.RECORDED, batch_id),
            )

    def defer(self, deferred: Sequence[DeferredFile]) -> None:
        """Note files that stay in the inbox for now."""
        with self.transaction():
            self._db.executemany(schema.INSERT_DEFERRED, [schema.encode_deferred(file) for file in deferred])

    def set_stage(self, batch_id: str, stage: BatchStage) -> None:
        """A step is done."""
        with self.transaction():
            self._set_stage(batch_id, stage)

    def set_locations(self, claims: Iterable[Claim]) -> None:
        """Where originals and reason files lie now."""
        with self.transaction():
            self._db.executemany(
                "UPDATE claims SET place = ?, reason_file = ? WHERE batch_id = ? AND path = ?",
                [
                    (os.fsencode(one.location), os.fsencode(one.reason_file), one.batch_id, os.fsencode(one.path))
                    for one in claims
                ],
            )

    def delete_batch(self, batch_id: str) -> None:
        """A batch that got no file is no batch."""
        with self.transaction():
            self._db.execute("DELETE FROM batches WHERE batch_id = ?", (batch_id,))

    # Questions.

    def batches(self, *, unfinished: bool = False) -> list[Batch]:
        """All batches, or those that are not closed, oldest first."""
        where = f"WHERE stage <> '{BatchStage.CLOSED}'" if unfinished else ""
        found = self._db.execute(f"SELECT batch_id, opened_at, stage, rendering FROM batches {where} ORDER BY batch_id")
        return [_decode_batch(*one) for one in found]

    def batch(self, batch_id: str) -> Batch | None:
        """One batch."""
        found = self._db.execute(
            "SELECT batch_id, opened_at, stage, rendering FROM batches WHERE batch_id = ?", (batch_id,)
        ).fetchone()
        return _decode_batch(*found) if found else None

    def claims(self, batch_id: str) -> list[Claim]:
        """The files of a batch, by path."""
        return [schema.decode_claim(one) for one in self._db.execute(schema.SELECT_CLAIMS, (batch_id,))]

    def count(self, batch_id: str) -> OutcomeCounts:
        """The files of a batch by fate."""
        ask = "SELECT fate, count(*) FROM claims WHERE batch_id = ? AND fate IS NOT NULL GROUP BY fate"
        return OutcomeCounts(**{FileOutcome(fate): number for fate, number in self._db.execute(ask, (batch_id,))})

    def rows(self, batch_id: str, *, with_digits: bool = True) -> list[TableRow]:
        """The rows of a batch, in order; without the digits' boxes they are found in half the time."""
        digits: dict[int, list[Digit]] = {}
        for row, *values in self._db.execute(schema.SELECT_DIGITS, (batch_id,)) if with_digits else ():
            digits.setdefault(row, []).append(schema.decode_digit(tuple(values)))
        found = self._db.execute(schema.SELECT_READINGS, (batch_id,))
        return [schema.decode_row(one, tuple(digits.get(one[1], ()))) for one in found]

    def previews(self, batch_id: str) -> dict[int, bytes]:
        """The small pictures (PNG) of the rows that a person should look at, by row."""
        ask = "SELECT row, preview FROM readings WHERE batch_id = ? AND preview IS NOT NULL"
        return dict(self._db.execute(ask, (batch_id,)))

    def find_first_page(self, sha256: str, page: int) -> tuple[str, int] | None:
        """Batch and row of the earliest page with these bytes."""
        found = self._db.execute(
            "SELECT batch_id, row FROM readings WHERE sha256 = ? AND page = ? ORDER BY rowid LIMIT 1", (sha256, page)
        ).fetchone()
        return (found[0], found[1]) if found else None

    def deferred_file(self, identity: tuple[int, int, int]) -> DeferredFile | None:
        """Return what is known of a deferred file that has not changed since."""
        ask = f"{schema.SELECT_DEFERRED} WHERE inode = ? AND size = ? AND mtime_ns = ?"
        found = self._db.execute(ask, identity).fetchone()
        return DeferredFile(*found) if found else None

    def was_answered(self, path: str, identity: tuple[int, int, int]) -> bool:
        """Whether a file has an answer as it is now: for a source whose files stay where they are."""
        ask = "SELECT 1 FROM claims WHERE path = ? AND inode = ? AND size = ? AND mtime_ns = ? AND fate <> 'deferred'"
        return self._db.execute(ask, (os.fsencode(path), *identity)).fetchone() is not None

    def was_fresh(self, path: str, identity: tuple[int, int, int]) -> bool | None:
        """Whether a file was fresh before its first claim; None if it was never claimed as it is now."""
        where = "path = ? AND inode = ? AND size = ? AND mtime_ns = ? AND fate = 'deferred'"
        ask = f"SELECT is_fresh FROM claims WHERE {where} ORDER BY batch_id LIMIT 1"
        found = self._db.execute(ask, (os.fsencode(path), *identity)).fetchone()
        return bool(found[0]) if found else None

    def has_read_since(self, batch_id: str) -> bool:
        """True if this batch, or a later one, read a file."""
        ask = (
            "SELECT 1 FROM batches JOIN claims USING (batch_id) "
            "WHERE batch_id >= ? AND fate IN ('accepted', 'review') LIMIT 1"
        )
        return self._db.execute(ask, (batch_id,)).fetchone() is not None

    def deferred(self, now_s: float) -> set[tuple[int, int, int]]:
        """The files that must not be tried again yet; `now_s` in seconds since 1970."""
        found = self._db.execute(f"{schema.SELECT_DEFERRED} WHERE next_at_s > ?", (now_s,))
        return {file.identity for file in (DeferredFile(*one) for one in found) if file.is_backing_off(now_s)}

    def has_been_read(self, path: str) -> bool:
        """Return True if a file of this path has an answer."""
        ask = "SELECT 1 FROM claims WHERE path = ? AND fate IN ('accepted', 'review', 'rejected') LIMIT 1"
        return self._db.execute(ask, (os.fsencode(path),)).fetchone() is not None

    # What people ask, and let go.

    def get_file_rows(self, batch_id: str, path: str) -> list[TableRow]:
        """The rows of one file, in order of its pages, without the digits' boxes."""
        ask = f"{schema.ALL_READINGS} WHERE batch_id = ? AND path = ? ORDER BY row"
        return [schema.decode_row(one, ()) for one in self._db.execute(ask, (batch_id, os.fsencode(path)))]

    def row(self, batch_id: str, row: int) -> TableRow | None:
        """One row, without the digits' boxes."""
        ask = f"{schema.ALL_READINGS} WHERE batch_id = ? AND row = ?"
        found = self._db.execute(ask, (batch_id, row)).fetchone()
        return schema.decode_row(found, ()) if found else None

    def find_pages(self, sha256: str, page: int) -> list[tuple[str, int]]:
        """Batch and row of every page with these bytes, the earliest first."""
        ask = "SELECT batch_id, row FROM readings WHERE sha256 = ? AND page = ? ORDER BY rowid"
        return [(batch_id, row) for batch_id, row in self._db.execute(ask, (sha256, page))]

    def find_files(self, reason: Reason) -> set[tuple[str, str]]:
        """Batch and path of every file with a page of this reason."""
        found = self._db.execute("SELECT DISTINCT batch_id, path FROM readings WHERE reason = ?", (reason,))
        return {(batch_id, os.fsdecode(path)) for batch_id, path in found}

    def deferred_files(self) -> list[DeferredFile]:
        """Return all deferred files; some may have been read since."""
        return [DeferredFile(*one) for one in self._db.execute(schema.SELECT_DEFERRED)]

    def removals(self, batch_id: str) -> dict[str, RemovedOriginal]:
        """The originals of a batch that a person let go, by path."""
        if not self.has_table("departures"):
            return {}  # an older version wrote this ledger: it let nothing go
        found = self._db.execute(f"{schema.SELECT_REMOVALS} WHERE batch_id = ?", (batch_id,))
        return {one.path: one for one in map(schema.decode_removal, found)}

    def record_removals(self, departures: Iterable[RemovedOriginal]) -> None:
        """Note originals that a person lets go. Any process may, in one short transaction."""
        with self.transaction():
            self._db.executemany(schema.INSERT_REMOVAL, [schema.encode_removal(one) for one in departures])

    def restore_batch(self, batch: Batch, claims: Sequence[Claim], rows: Sequence[TableRow]) -> None:
        """Put a batch back whose CSV exists: for a ledger that is made again."""
        rendering = json.dumps(asdict(batch.rendering)) if batch.rendering else None
        with self.transaction():
            self._db.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?)", (batch.id, batch.opened_at, batch.stage, rendering)
            )
            self._insert_claims(claims)
            self._insert_rows(rows)

    def _insert_rows(self, rows: Sequence[TableRow]) -> None:
        self._db.executemany(schema.INSERT_READING, [schema.encode_reading(row) for row in rows])
        self._db.executemany(schema.INSERT_DIGIT, [values for row in rows for values in schema.encode_digits(row)])

    def _insert_claims(self, claims: Iterable[Claim]) -> None:
        self._db.executemany(schema.INSERT_CLAIM, [schema.encode_claim(claim) for claim in claims])

    def _set_stage(self, batch_id: str, stage: BatchStage) -> None:
        self._db.execute("UPDATE batches SET stage = ? WHERE batch_id = ?", (stage, batch_id))


def _decode_batch(batch_id: str, opened_at: str, stage: str, rendering: str | None) -> Batch:
    return Batch(
        batch_id, opened_at, BatchStage(stage), _decode_rendering(json.loads(rendering)) if rendering else None
    )


def _decode_rendering(found: dict[str, Any]) -> OutputFormat:
    columns, digit_columns = tuple(found.pop("columns")), tuple(found.pop("digit_columns"))
    return OutputFormat(columns=columns, digit_columns=digit_columns, **found)
