"""Schema of the ledger, as one migration per version."""

import sqlite3
from contextlib import closing
from pathlib import Path

from digitrec import files
from digitrec.errors import EnvironmentFailure

_MIGRATIONS = (
    """
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE batches (
        batch_id  TEXT PRIMARY KEY,
        opened_at TEXT NOT NULL,
        stage     TEXT NOT NULL CHECK (stage IN ('planned', 'reading', 'recorded', 'published', 'closed')),
        rendering TEXT,
        CHECK (rendering IS NOT NULL OR stage IN ('planned', 'reading'))
    ) WITHOUT ROWID;
    CREATE INDEX batches_unfinished ON batches (batch_id) WHERE stage <> 'closed';

    CREATE TABLE claims (
        batch_id    TEXT NOT NULL REFERENCES batches ON DELETE CASCADE,
        path        BLOB NOT NULL,
        inode       INTEGER NOT NULL,
        size        INTEGER NOT NULL,
        mtime_ns    INTEGER NOT NULL,
        is_fresh    INTEGER NOT NULL CHECK (is_fresh IN (0, 1)),
        received_at TEXT NOT NULL,
        fate        TEXT CHECK (fate IN ('accepted', 'review', 'rejected', 'released')),
        detail      TEXT NOT NULL DEFAULT '',
        sha256      TEXT NOT NULL DEFAULT '',
        place       BLOB NOT NULL DEFAULT x'',
        reason_file BLOB NOT NULL DEFAULT x'',
        PRIMARY KEY (batch_id, path)
    ) WITHOUT ROWID;
    CREATE INDEX claims_path ON claims (path);

    CREATE TABLE readings (
        batch_id     TEXT NOT NULL REFERENCES batches ON DELETE CASCADE,
        row          INTEGER NOT NULL CHECK (row >= 1),
        path         BLOB NOT NULL,
        page         INTEGER NOT NULL CHECK (page >= 1),
        status       TEXT NOT NULL CHECK (status IN ('accepted', 'review', 'rejected')),
        text         TEXT NOT NULL CHECK (text NOT GLOB '*[^0-9]*'),
        confidence   REAL CHECK (confidence BETWEEN 0 AND 1),
        runner_up    TEXT NOT NULL CHECK (runner_up NOT GLOB '*[^0-9]*'),
        runner_up_confidence REAL CHECK (runner_up_confidence BETWEEN 0 AND 1),
        reason       TEXT NOT NULL,
        detail       TEXT NOT NULL,
        duplicate_of TEXT NOT NULL,
        label        TEXT NOT NULL,
        format       TEXT NOT NULL,
        width        INTEGER,
        height       INTEGER,
        size         INTEGER NOT NULL,
        sha256       TEXT NOT NULL,
        received_at  TEXT NOT NULL,
        preview      BLOB,
        UNIQUE (batch_id, row),
        CHECK (status <> 'rejected' OR text = ''),
        CHECK ((status = 'accepted') = (reason = ''))
    );
    CREATE INDEX readings_bytes ON readings (sha256, page);

    CREATE TABLE digits (
        batch_id TEXT NOT NULL,
        row      INTEGER NOT NULL,
        place    INTEGER NOT NULL,
        x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
        p0 REAL NOT NULL, p1 REAL NOT NULL, p2 REAL NOT NULL, p3 REAL NOT NULL, p4 REAL NOT NULL,
        p5 REAL NOT NULL, p6 REAL NOT NULL, p7 REAL NOT NULL, p8 REAL NOT NULL, p9 REAL NOT NULL,
        PRIMARY KEY (batch_id, row, place),
        FOREIGN KEY (batch_id, row) REFERENCES readings (batch_id, row) ON DELETE CASCADE
    ) WITHOUT ROWID;

    CREATE TABLE returned (
        inode      INTEGER NOT NULL,
        size       INTEGER NOT NULL,
        mtime_ns   INTEGER NOT NULL,
        sha256     TEXT NOT NULL,
        why        TEXT NOT NULL,
        first_at_s REAL NOT NULL,
        tries      INTEGER NOT NULL CHECK (tries >= 1),
        next_at_s  REAL NOT NULL,
        PRIMARY KEY (inode, size, mtime_ns)
    ) WITHOUT ROWID;
    """,
    # Not columns of `claims`: that is written only under the worker's lock, and a person must be able to requeue
    # and to prune while `watch` runs.
    """
    CREATE TABLE departures (
        batch_id TEXT NOT NULL REFERENCES batches ON DELETE CASCADE,
        path     BLOB NOT NULL,
        what     TEXT NOT NULL CHECK (what IN ('requeued', 'pruned')),
        at       TEXT NOT NULL,
        place    BLOB NOT NULL DEFAULT x'',
        PRIMARY KEY (batch_id, path)
    ) WITHOUT ROWID;
    """,
    # `corrections` is an append-only log; the latest entry of a row is valid. `corrected_tables` has the id of the
    # latest entry in outbox/corrected/<batch>.csv, so an outdated table is found without reading it.
    """
    CREATE TABLE corrections (
        id       INTEGER PRIMARY KEY,
        batch_id TEXT NOT NULL,
        row      INTEGER NOT NULL,
        at       TEXT NOT NULL,
        who      TEXT NOT NULL CHECK (who <> ''),
        verdict  TEXT NOT NULL CHECK (verdict IN ('confirmed', 'corrected', 'unsure', 'withdrawn')),
        old      TEXT NOT NULL CHECK (old = 'none' OR old NOT GLOB '*[^0-9]*'),
        new      TEXT NOT NULL CHECK (new = 'none' OR new NOT GLOB '*[^0-9]*'),
        how      TEXT NOT NULL CHECK (how IN ('one', 'grid', 'audit', 'file', 'undo')),
        FOREIGN KEY (batch_id, row) REFERENCES readings (batch_id, row),
        CHECK ((new = '') = (verdict IN ('unsure', 'withdrawn')))
    );
    CREATE INDEX corrections_row ON corrections (batch_id, row, id);
    CREATE TRIGGER corrections_stay BEFORE UPDATE ON corrections
        BEGIN SELECT RAISE (ABORT, 'a correction is never changed'); END;
    CREATE TRIGGER corrections_are_kept BEFORE DELETE ON corrections
        BEGIN SELECT RAISE (ABORT, 'a correction is never deleted'); END;

    CREATE TABLE corrected_tables (
        batch_id TEXT PRIMARY KEY REFERENCES batches,
        up_to    INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    # Covering index for the review list, by confidence: counts 50,000 rows without reading the table.
    """
    CREATE INDEX readings_sureness ON readings (ifnull(confidence, 2), batch_id, row, status, text, path);
    """,
    # Texts with signs and separators; several numbers on a page. SQLite cannot change a CHECK: tables are created again
    # and their rows copied, `readings` with their rowids, whose order tells the earliest page of equal bytes.
    """
    CREATE TABLE new_claims (
        batch_id    TEXT NOT NULL REFERENCES batches ON DELETE CASCADE,
        path        BLOB NOT NULL,
        inode       INTEGER NOT NULL,
        size        INTEGER NOT NULL,
        mtime_ns    INTEGER NOT NULL,
        is_fresh    INTEGER NOT NULL CHECK (is_fresh IN (0, 1)),
        received_at TEXT NOT NULL,
        fate        TEXT CHECK (fate IN ('accepted', 'review', 'rejected', 'deferred')),
        detail      TEXT NOT NULL DEFAULT '',
        sha256      TEXT NOT NULL DEFAULT '',
        place       BLOB NOT NULL DEFAULT x'',
        reason_file BLOB NOT NULL DEFAULT x'',
        PRIMARY KEY (batch_id, path)
    ) WITHOUT ROWID;
    INSERT INTO new_claims
        SELECT batch_id, path, inode, size, mtime_ns, is_fresh, received_at,
            CASE fate WHEN 'released' THEN 'deferred' ELSE fate END, detail, sha256, place, reason_file
        FROM claims;
    DROP TABLE claims;
    ALTER TABLE new_claims RENAME TO claims;
    CREATE INDEX claims_path ON claims (path);

    CREATE TABLE new_readings (
        batch_id     TEXT NOT NULL REFERENCES batches ON DELETE CASCADE,
        row          INTEGER NOT NULL CHECK (row >= 1),
        path         BLOB NOT NULL,
        page         INTEGER NOT NULL CHECK (page >= 1),
        status       TEXT NOT NULL CHECK (status IN ('accepted', 'review', 'rejected')),
        text         TEXT NOT NULL CHECK (text NOT GLOB '*[^0-9 +.,/:-]*'),
        confidence   REAL CHECK (confidence BETWEEN 0 AND 1),
        runner_up    TEXT NOT NULL CHECK (runner_up NOT GLOB '*[^0-9 +.,/:-]*'),
        runner_up_confidence REAL CHECK (runner_up_confidence BETWEEN 0 AND 1),
        reason       TEXT NOT NULL,
        detail       TEXT NOT NULL,
        duplicate_of TEXT NOT NULL,
        label        TEXT NOT NULL,
        format       TEXT NOT NULL,
        width        INTEGER,
        height       INTEGER,
        size         INTEGER NOT NULL,
        sha256       TEXT NOT NULL,
        received_at  TEXT NOT NULL,
        preview      BLOB,
        UNIQUE (batch_id, row),
        CHECK (status <> 'rejected' OR text = ''),
        CHECK ((status = 'accepted') = (reason = ''))
    );
    INSERT INTO new_readings (
        rowid, batch_id, row, path, page, status, text, confidence, runner_up, runner_up_confidence, reason, detail,
        duplicate_of, label, format, width, height, size, sha256, received_at, preview)
        SELECT rowid, * FROM readings;
    DROP TABLE readings;
    ALTER TABLE new_readings RENAME TO readings;
    CREATE INDEX readings_bytes ON readings (sha256, page);
    CREATE INDEX readings_sureness ON readings (ifnull(confidence, 2), batch_id, row, status, text, path);

    CREATE TABLE numbers (
        batch_id   TEXT NOT NULL,
        row        INTEGER NOT NULL,
        number     INTEGER NOT NULL CHECK (number >= 1),
        line       INTEGER NOT NULL CHECK (line >= 1),
        "column"   INTEGER NOT NULL CHECK ("column" >= 1),
        x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
        text       TEXT NOT NULL CHECK (text <> '' AND text NOT GLOB '*[^0-9 +.,/:-]*'),
        confidence REAL CHECK (confidence BETWEEN 0 AND 1),
        status     TEXT NOT NULL CHECK (status IN ('accepted', 'review')),
        reason     TEXT NOT NULL,
        PRIMARY KEY (batch_id, row, number),
        FOREIGN KEY (batch_id, row) REFERENCES readings (batch_id, row) ON DELETE CASCADE,
        CHECK ((status = 'accepted') = (reason = ''))
    ) WITHOUT ROWID;
    ALTER TABLE digits ADD COLUMN number INTEGER NOT NULL DEFAULT 0 CHECK (number >= 0);

    CREATE TABLE new_corrections (
        id       INTEGER PRIMARY KEY,
        batch_id TEXT NOT NULL,
        row      INTEGER NOT NULL,
        at       TEXT NOT NULL,
        who      TEXT NOT NULL CHECK (who <> ''),
        verdict  TEXT NOT NULL CHECK (verdict IN ('confirmed', 'corrected', 'unsure', 'withdrawn', 'illegible')),
        old      TEXT NOT NULL CHECK (old = 'none' OR old NOT GLOB '*[^0-9 +.,/:-]*'),
        new      TEXT NOT NULL CHECK (new = 'none' OR new NOT GLOB '*[^0-9 +.,/:-]*'),
        how      TEXT NOT NULL CHECK (how IN ('one', 'grid', 'audit', 'file', 'undo')),
        number   INTEGER NOT NULL DEFAULT 0 CHECK (number >= 0),  -- 0: the whole page
        FOREIGN KEY (batch_id, row) REFERENCES readings (batch_id, row),
        CHECK ((new = '') = (verdict IN ('unsure', 'withdrawn', 'illegible')))
    );
    INSERT INTO new_corrections SELECT *, 0 FROM corrections;
    DROP TABLE corrections;
    ALTER TABLE new_corrections RENAME TO corrections;
    CREATE INDEX corrections_row ON corrections (batch_id, row, id);
    CREATE TRIGGER corrections_stay BEFORE UPDATE ON corrections
        BEGIN SELECT RAISE (ABORT, 'a correction is never changed'); END;
    CREATE TRIGGER corrections_are_kept BEFORE DELETE ON corrections
        BEGIN SELECT RAISE (ABORT, 'a correction is never deleted'); END;
    """,
)
VERSION = len(_MIGRATIONS)
NEWER_HINT = "Upgrade digitrec, or go back with the copy that the upgrade made (docs/running.md)."


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Migrate the schema to the current version, one transaction per version.

    A ledger of an earlier version is copied first, to `<name>.backup-<its version>` beside it, once.
    `foreign_keys` is off meanwhile: with it on, dropping a table deletes the rows that refer to it.

    Raises:
        EnvironmentFailure: a newer digitrec has written this ledger, or rows refer to missing rows.
        sqlite3.OperationalError, OSError: the copy cannot be made; nothing is changed.
    """
    version = check_version(db, path)
    if version == VERSION:
        return
    if version > 0:
        _back_up(db, get_backup_path(path, version))
    db.execute("PRAGMA foreign_keys = OFF")  # without effect inside a transaction
    try:
        for number in range(version, VERSION):
            db.executescript(f"BEGIN IMMEDIATE; {_MIGRATIONS[number]}; PRAGMA user_version = {number + 1};")
            if broken := db.execute("PRAGMA foreign_key_check").fetchone():
                raise EnvironmentFailure(
                    f"{path} cannot be brought up to date: rows of its table {broken[0]} refer to missing rows",
                    hint="Nothing was changed. Move the ledger away: the next start rebuilds it from the tables.",
                )
            db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("PRAGMA foreign_keys = ON")


def check_version(db: sqlite3.Connection, path: Path) -> int:
    """Return the schema version; EnvironmentFailure if a newer digitrec has written this ledger."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise EnvironmentFailure(
            f"{path} was written by a newer digitrec (schema {version}, this version supports {VERSION})",
            hint=NEWER_HINT,
        )
    return version


def get_backup_path(path: Path, version: int) -> Path:
    """Return the path of the backup of a ledger made before the migration from this version."""
    return path.with_name(f"{path.name}.backup-{version}")


def _back_up(db: sqlite3.Connection, target: Path) -> None:
    """Copy the ledger, including its log, into one file that appears atomically; keep an earlier copy."""
    if target.exists():
        return
    temp = target.with_name(f".{target.name}.part")
    temp.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(temp)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete without a log beside it
        with temp.open("rb+") as file:
            files.fsync(file)
        temp.replace(target)
    finally:
        temp.unlink(missing_ok=True)
    files.fsync_folder(target.parent)
