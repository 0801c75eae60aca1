"""Ledger of a worker: an SQLite database in which each batch is one transaction.

Paths are stored as the bytes of their names. Only the process that holds the worker's lock writes the batch tables.
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
from digitrec.storage.claims import Claim, DeferredFile, FileOutcome, OutcomeCounts, RemovedOriginal
from digitrec.types import Batch, BatchStage, NumberCounts, OutputFormat, Reason, TableRow

_SAME_FILE = "path = ? AND inode = ? AND size = ? AND mtime_ns = ?"


class Ledger:
    """Open ledger; not thread-safe."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None = None) -> None:
        """Use an open connection; with `path`, `is_in_place` checks the file."""
        self._db = connection
        self._path = path
        self._file = path.stat() if path else None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger at `path`; create it if missing.

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
        """Open an existing ledger to record removals and corrections, which need no lock.

        Raises:
            EnvironmentFailure: its schema has another version; only its worker may migrate it.
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
        """Return False if its file was removed or replaced since it was opened: later writes are lost."""
        if self._path is None or self._file is None:
            return True
        try:
            return os.path.samestat(self._path.stat(), self._file)
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the statements of the block as one durable transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def is_intact(self) -> bool:
        """Run SQLite's check of every page, which takes time in proportion to the size."""
        return bool(self._db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))

    def version_hint(self, worker: str) -> str:
        """Return what to do about a schema of another version."""
        is_newer = self._db.execute("PRAGMA user_version").fetchone() > (migrations.VERSION,)
        return migrations.NEWER_HINT if is_newer else f"`digitrec run --worker {worker}` brings it up to date."

    def is_up_to_date(self) -> bool:
        """Return whether the schema has the current version; its worker migrates an older one at start."""
        return bool(self._first("PRAGMA user_version") == (migrations.VERSION,))

    def query(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one SQL statement; one that changes rows belongs in a `transaction`."""
        return self._db.execute(statement, values)

    def has_table(self, name: str) -> bool:
        """Return whether a table exists; a ledger of an older version lacks some."""
        return self._first("SELECT 1 FROM sqlite_master WHERE name = ?", name) is not None

    def _first(self, statement: str, *values: object) -> Any:
        return self._db.execute(statement, values).fetchone()

    # Metadata, such as the ids of inbox and outbox.

    def get_meta(self, name: str) -> str | None:
        """Return a metadata value; None if it is not set."""
        row = self._first("SELECT value FROM facts WHERE name = ?", name)
        return row[0] if row else None

    def set_meta(self, name: str, value: str) -> None:
        """Set a metadata value."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # Steps of a batch.

    def open_batch(self, batch: Batch, planned: Iterable[Claim]) -> None:
        """Insert a batch and the files to claim, before any file is moved."""
        with self.transaction():
            self._insert_batch(batch)
            self._insert_claims(planned)

    def update_claims(self, batch_id: str, lost: Iterable[str], adopted: Iterable[Claim] = ()) -> None:
        """After the renames, delete the claims of missing files and insert those of unplanned ones."""
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
        output_format: OutputFormat,
        deferred: Sequence[DeferredFile],
        facts: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        """Store the answers of a batch: rows, outcomes of files, output format; a metadata value of None is deleted."""
        with self.transaction():
            self._insert_rows(rows)
            self._db.executemany(
                "UPDATE claims SET fate = ?, detail = ?, sha256 = ? WHERE batch_id = ? AND path = ?",
                [(claim.outcome, claim.detail, claim.sha256, batch_id, os.fsencode(claim.path)) for claim in outcomes],
            )
            self._db.executemany(schema.INSERT_DEFERRED, [schema.encode_deferred(file) for file in deferred])
            self._db.executemany("DELETE FROM facts WHERE name = ?", [(name,) for name in facts])
            values = [(name, value) for name, value in facts.items() if value is not None]
            self._db.executemany("INSERT INTO facts VALUES (?, ?)", values)
            self._db.execute(
                "UPDATE batches SET rendering = ?, stage = ? WHERE batch_id = ?",
                (json.dumps(asdict(output_format)), BatchStage.RECORDED, batch_id),
            )

    def defer(self, deferred: Sequence[DeferredFile]) -> None:
        """Store files that stay in the inbox for now."""
        with self.transaction():
            self._db.executemany(schema.INSERT_DEFERRED, [schema.encode_deferred(file) for file in deferred])

    def set_stage(self, batch_id: str, stage: BatchStage) -> None:
        """Store the last finished step of a batch."""
        with self.transaction():
            self._set_stage(batch_id, stage)

    def set_locations(self, claims: Iterable[Claim]) -> None:
        """Store the current locations of originals and reason files."""
        with self.transaction():
            self._db.executemany(
                "UPDATE claims SET place = ?, reason_file = ? WHERE batch_id = ? AND path = ?",
                [
                    (*map(os.fsencode, (claim.location, claim.reason_file)), claim.batch_id, os.fsencode(claim.path))
                    for claim in claims
                ],
            )

    def delete_batch(self, batch_id: str) -> None:
        """Delete a batch that claimed no file."""
        with self.transaction():
            self._db.execute("DELETE FROM batches WHERE batch_id = ?", (batch_id,))

    # Queries of the service.

    def batches(self, *, unfinished: bool = False) -> list[Batch]:
        """Return all batches, or those that are not closed, oldest first."""
        where = f"WHERE stage <> '{BatchStage.CLOSED}'" if unfinished else ""
        return [
            schema.decode_batch(*row) for row in self._db.execute(f"{schema.SELECT_BATCHES} {where} ORDER BY batch_id")
        ]

    def batch(self, batch_id: str) -> Batch | None:
        """Return one batch; None if it is unknown."""
        row = self._first(f"{schema.SELECT_BATCHES} WHERE batch_id = ?", batch_id)
        return schema.decode_batch(*row) if row else None

    def claims(self, batch_id: str) -> list[Claim]:
        """Return the files of a batch, by path."""
        return [schema.decode_claim(row) for row in self._db.execute(schema.SELECT_CLAIMS, (batch_id,))]

    def count(self, batch_id: str) -> OutcomeCounts:
        """Count the files of a batch by outcome."""
        sql = "SELECT fate, count(*) FROM claims WHERE batch_id = ? AND fate IS NOT NULL GROUP BY fate"
        return OutcomeCounts(**{FileOutcome(outcome): count for outcome, count in self._db.execute(sql, (batch_id,))})

    def count_numbers(self, batch_id: str) -> NumberCounts:
        """Count the numbers of a batch that this version recorded."""
        sql = "SELECT count(*), total(status = 'accepted'), max(number) FROM numbers WHERE batch_id = ?"
        return NumberCounts(*(int(value or 0) for value in self._first(sql, batch_id)))

    def rows(self, batch_id: str, *, with_numbers: bool = True) -> list[TableRow]:
        """Return the rows of a batch, in order; reading them without numbers and digits takes half the time."""
        numbers = self._select_numbers("batch_id = ?", batch_id) if with_numbers else ()
        return schema.decode_rows(self._db.execute(schema.SELECT_READINGS, (batch_id,)), *numbers)

    def _select_numbers(self, where: str, *values: object) -> tuple[Iterable[tuple[object, ...]], sqlite3.Cursor]:
        """Return the rows of `numbers` and `digits` that meet a condition, in order."""
        if not self.has_table("numbers"):  # schema 4 or earlier
            statement = f"{schema.SELECT_OLD_DIGITS} WHERE {where} ORDER BY row, place"
            return (), self._db.execute(statement, values)
        numbers = self._db.execute(f"{schema.SELECT_NUMBERS} WHERE {where} ORDER BY row, number", values)
        return numbers, self._db.execute(f"{schema.SELECT_DIGITS} WHERE {where} ORDER BY row, place", values)

    def previews(self, batch_id: str) -> dict[int, bytes]:
        """Return the previews (PNG) of the rows that need review, by row."""
        sql = "SELECT row, preview FROM readings WHERE batch_id = ? AND preview IS NOT NULL"
        return dict(self._db.execute(sql, (batch_id,)))

    def find_first_page(self, sha256: str, page: int) -> tuple[str, int] | None:
        """Return batch and row of the earliest page with these bytes."""
        row = self._first(f"{schema.SELECT_SAME_BYTES} LIMIT 1", sha256, page)
        return (row[0], row[1]) if row else None

    def deferred_file(self, identity: tuple[int, int, int]) -> DeferredFile | None:
        """Return a deferred file that has not changed since; None if this one was never deferred."""
        row = self._first(f"{schema.SELECT_DEFERRED} WHERE inode = ? AND size = ? AND mtime_ns = ?", *identity)
        return DeferredFile(*row) if row else None

    def was_answered(self, path: str, identity: tuple[int, int, int]) -> bool:
        """Return whether an unchanged file has an answer; for a source whose files are never moved."""
        sql = f"SELECT 1 FROM claims WHERE {_SAME_FILE} AND fate <> 'deferred'"
        return self._first(sql, os.fsencode(path), *identity) is not None

    def was_fresh(self, path: str, identity: tuple[int, int, int]) -> bool | None:
        """Return whether an unchanged file was fresh before its first claim; None if it was never claimed."""
        sql = f"SELECT is_fresh FROM claims WHERE {_SAME_FILE} AND fate = 'deferred' ORDER BY batch_id LIMIT 1"
        row = self._first(sql, os.fsencode(path), *identity)
        return bool(row[0]) if row else None

    def has_read_since(self, batch_id: str) -> bool:
        """Return whether this batch, or a later one, read a file."""
        where = "batch_id >= ? AND fate IN ('accepted', 'review') LIMIT 1"
        return self._first(f"SELECT 1 FROM batches JOIN claims USING (batch_id) WHERE {where}", batch_id) is not None

    def deferred(self, now_s: float) -> set[tuple[int, int, int]]:
        """Return the identities of files that must not be tried again yet; `now_s` in seconds since 1970."""
        rows = self._db.execute(f"{schema.SELECT_DEFERRED} WHERE next_at_s > ?", (now_s,))
        return {file.identity for file in (DeferredFile(*row) for row in rows) if file.is_backing_off(now_s)}

    def has_been_read(self, path: str) -> bool:
        """Return whether a file of this path has an answer."""
        sql = "SELECT 1 FROM claims WHERE path = ? AND fate IN ('accepted', 'review', 'rejected') LIMIT 1"
        return self._first(sql, os.fsencode(path)) is not None

    # Queries of commands, and removed originals.

    def get_file_rows(self, batch_id: str, path: str) -> list[TableRow]:
        """Return the rows of one file by page, without numbers."""
        sql = f"{schema.ALL_READINGS} WHERE batch_id = ? AND path = ? ORDER BY row"
        return schema.decode_rows(self._db.execute(sql, (batch_id, os.fsencode(path))))

    def row(self, batch_id: str, row: int) -> TableRow | None:
        """Return one row; None if it is unknown."""
        where = "batch_id = ? AND row = ?"
        values = self._db.execute(f"{schema.ALL_READINGS} WHERE {where}", (batch_id, row))
        return next(iter(schema.decode_rows(values, *self._select_numbers(where, batch_id, row))), None)

    def find_pages(self, sha256: str, page: int) -> list[tuple[str, int]]:
        """Return batch and row of every page with these bytes, the earliest first."""
        return [(batch_id, row) for batch_id, row in self._db.execute(schema.SELECT_SAME_BYTES, (sha256, page))]

    def find_files(self, reason: Reason) -> set[tuple[str, str]]:
        """Return batch and path of every file with a page of this reason."""
        rows = self._db.execute("SELECT DISTINCT batch_id, path FROM readings WHERE reason = ?", (reason,))
        return {(batch_id, os.fsdecode(path)) for batch_id, path in rows}

    def deferred_files(self) -> list[DeferredFile]:
        """Return all deferred files; some may have been read since."""
        return [DeferredFile(*row) for row in self._db.execute(schema.SELECT_DEFERRED)]

    def removals(self, batch_id: str) -> dict[str, RemovedOriginal]:
        """Return the removed originals of a batch, by path."""
        if not self.has_table("departures"):
            return {}  # written by an older version, which removed none
        rows = self._db.execute(f"{schema.SELECT_REMOVALS} WHERE batch_id = ?", (batch_id,))
        return {removal.path: removal for removal in map(schema.decode_removal, rows)}

    def record_removals(self, removals: Iterable[RemovedOriginal]) -> None:
        """Store originals that a person removes; any process may, in one short transaction."""
        with self.transaction():
            self._db.executemany(schema.INSERT_REMOVAL, [schema.encode_removal(removal) for removal in removals])

    def restore_batch(self, batch: Batch, claims: Sequence[Claim], rows: Sequence[TableRow]) -> None:
        """Insert a published batch into a ledger that is being rebuilt."""
        with self.transaction():
            self._insert_batch(batch)
            self._insert_claims(claims)
            self._insert_rows(rows)

    def _insert_batch(self, batch: Batch) -> None:
        output_format = json.dumps(asdict(batch.output_format)) if batch.output_format else None
        values = (batch.id, batch.opened_at, batch.stage, output_format)
        self._db.execute("INSERT INTO batches VALUES (?, ?, ?, ?)", values)

    def _insert_rows(self, rows: Sequence[TableRow]) -> None:
        self._db.executemany(schema.INSERT_READING, [schema.encode_reading(row) for row in rows])
        self._db.executemany(schema.INSERT_NUMBER, [values for row in rows for values in schema.encode_numbers(row)])
        self._db.executemany(schema.INSERT_DIGIT, [values for row in rows for values in schema.encode_digits(row)])

    def _insert_claims(self, claims: Iterable[Claim]) -> None:
        self._db.executemany(schema.INSERT_CLAIM, [schema.encode_claim(claim) for claim in claims])

    def _set_stage(self, batch_id: str, stage: BatchStage) -> None:
        self._db.execute("UPDATE batches SET stage = ? WHERE batch_id = ?", (stage, batch_id))
