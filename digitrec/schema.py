"""The ledger's tables, their migrations, and how records go in and out of them."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from digitrec import files
from digitrec.errors import EnvironmentFailure
from digitrec.records import Box, Claim, Departure, Digit, Fate, Left, Reading, Reason, ReturnedFile, Row, Status

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
    # A log: nothing in it is ever changed or deleted, the newest entry of a row is what holds. `corrected_tables` says
    # up to which entry outbox/corrected/<batch>.csv tells it: one that a crash kept back is found without reading it.
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
    # The order in which people look at answers; with what they choose by, so that 50,000 are counted without the table.
    """
    CREATE INDEX readings_sureness ON readings (ifnull(confidence, 2), batch_id, row, status, text, path);
    """,
)
VERSION = len(_MIGRATIONS)

_CLAIM = (
    *("batch_id", "path", "inode", "size", "mtime_ns", "is_fresh", "received_at"),
    *("fate", "detail", "sha256", "place", "reason_file"),
)
_READING = (
    *("batch_id", "row", "path", "page", "status", "text", "confidence", "runner_up", "runner_up_confidence"),
    *("reason", "detail", "duplicate_of", "label", "format", "width", "height", "size", "sha256", "received_at"),
)
_PROBABILITIES = tuple(f"p{digit}" for digit in range(10))
_DIGIT = ("batch_id", "row", "place", "x", "y", "width", "height", *_PROBABILITIES)
_RETURNED = ("inode", "size", "mtime_ns", "sha256", "why", "first_at_s", "tries", "next_at_s")
_DEPARTURE = ("batch_id", "path", "what", "at", "place")


def _insert(table: str, columns: tuple[str, ...], verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


INSERT_CLAIM = _insert("claims", _CLAIM)
INSERT_READING = _insert("readings", (*_READING, "preview"))
INSERT_DIGIT = _insert("digits", _DIGIT)
INSERT_RETURNED = _insert("returned", _RETURNED, "INSERT OR REPLACE")
INSERT_DEPARTURE = _insert("departures", _DEPARTURE, "INSERT OR REPLACE")
ALL_CLAIMS = f"SELECT {', '.join(_CLAIM)} FROM claims"
ALL_READINGS = f"SELECT {', '.join(_READING)} FROM readings"
SELECT_CLAIMS = f"{ALL_CLAIMS} WHERE batch_id = ? ORDER BY path"
SELECT_READINGS = f"{ALL_READINGS} WHERE batch_id = ? ORDER BY row"
SELECT_DIGITS = f"SELECT {', '.join(('row', *_DIGIT[3:]))} FROM digits WHERE batch_id = ? ORDER BY row, place"
SELECT_RETURNED = f"SELECT {', '.join(_RETURNED)} FROM returned"
SELECT_DEPARTURES = f"SELECT {', '.join(_DEPARTURE)} FROM departures"


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the tables up to date, one version after the other, each in a transaction of its own.

    A ledger of an earlier version is copied first, to `<name>.backup-<its version>` beside it, once.

    Raises:
        EnvironmentFailure: a newer digitrec has written this ledger.
        sqlite3.OperationalError, OSError: there is no room for the copy, or no right to make it; nothing is changed.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise EnvironmentFailure(
            f"{path} was written by a newer digitrec (schema {version}, this one knows {VERSION})",
            hint="Upgrade digitrec, or name another --state-dir.",
        )
    if 0 < version < VERSION:
        _back_up(db, backup_of(path, version))
    for number in range(version, VERSION):
        db.executescript(f"BEGIN IMMEDIATE; {_MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;")


def backup_of(path: Path, version: int) -> Path:
    """Where the copy of a ledger lies that was made before it was brought up to date from this version."""
    return path.with_name(f"{path.name}.backup-{version}")


def _back_up(db: sqlite3.Connection, target: Path) -> None:
    """Copy the whole ledger, log included, into one file that appears whole or not at all; an earlier copy stays."""
    if target.exists():
        return
    draft = target.with_name(f".{target.name}.part")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(draft)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete without a log beside it
        with draft.open("rb+") as file:
            files.fsync(file)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    files.fsync_folder(target.parent)


def claim_values(claim: Claim) -> tuple[object, ...]:
    """A claim as a row of `claims`."""
    names = (os.fsencode(claim.path), *claim.identity, claim.is_fresh, claim.received_at)
    return (
        claim.batch_id,
        *names,
        claim.fate,
        claim.detail,
        claim.sha256,
        os.fsencode(claim.place),
        os.fsencode(claim.reason_file),
    )


def claim_from(values: tuple[object, ...]) -> Claim:
    """The claim in a row of `claims`."""
    batch_id, path, inode, size, mtime_ns, is_fresh, received_at, fate, detail, sha256, place, reason_file = values
    return Claim(
        batch_id=str(batch_id),
        path=_path(path),
        inode=_int(inode),
        size=_int(size),
        mtime_ns=_int(mtime_ns),
        is_fresh=bool(is_fresh),
        received_at=str(received_at),
        fate=Fate(str(fate)) if fate else None,
        detail=str(detail),
        sha256=str(sha256),
        place=_path(place),
        reason_file=_path(reason_file),
    )


def returned_values(file: ReturnedFile) -> tuple[object, ...]:
    """A file that was given back as a row of `returned`."""
    return (*file.identity, file.sha256, file.why, file.first_at_s, file.tries, file.next_at_s)


def reading_values(row: Row) -> tuple[object, ...]:
    """A row as a row of `readings`."""
    read = row.reading
    told = (read.page, read.status, read.text, read.confidence, read.runner_up, read.runner_up_confidence)
    why = (read.reason or "", read.detail, row.duplicate_of, _text(row.label))
    what = (read.format, read.width, read.height, row.size, row.sha256, row.received_at, row.preview)
    return (row.batch_id, row.row, os.fsencode(row.path), *told, *why, *what)


def _text(text: str) -> str | bytes:
    """A text as it is; one with bytes that are no text (of a name, or a label) as its bytes."""
    return os.fsencode(text) if any("\ud800" <= letter <= "\udfff" for letter in text) else text


def digit_values(row: Row) -> list[tuple[object, ...]]:
    """The digits of a row as rows of `digits`."""
    return [
        (row.batch_id, row.row, place, one.box.x, one.box.y, one.box.width, one.box.height, *one.probabilities)
        for place, one in enumerate(row.reading.digits, start=1)
    ]


def digit_from(values: tuple[object, ...]) -> Digit:
    """The digit in x, y, width, height, p0 .. p9."""
    x, y, width, height = (_int(value) for value in values[:4])
    return Digit(Box(x, y, width, height), tuple(map(_real, values[4:])))


def departure_values(departure: Departure) -> tuple[object, ...]:
    """A departure as a row of `departures`."""
    path, place = os.fsencode(departure.path), os.fsencode(departure.place)
    return (departure.batch_id, path, departure.what, departure.at, place)


def departure_from(values: tuple[object, ...]) -> Departure:
    """The departure in a row of `departures`."""
    batch_id, path, what, at, place = values
    return Departure(str(batch_id), _path(path), Left(str(what)), str(at), _path(place))


def row_from(values: tuple[object, ...], digits: tuple[Digit, ...]) -> Row:
    """The row in a row of `readings`, and its digits."""
    found = dict(zip(_READING, values, strict=True))
    reading = Reading(
        page=_int(found["page"]),
        status=Status(str(found["status"])),
        text=str(found["text"]),
        confidence=_float(found["confidence"]),
        runner_up=str(found["runner_up"]),
        runner_up_confidence=_float(found["runner_up_confidence"]),
        reason=Reason(str(found["reason"])) if found["reason"] else None,
        detail=str(found["detail"]),
        format=str(found["format"]),
        width=_int(found["width"]) if found["width"] is not None else None,
        height=_int(found["height"]) if found["height"] is not None else None,
        digits=digits,
    )
    return Row(
        batch_id=str(found["batch_id"]),
        row=_int(found["row"]),
        path=_path(found["path"]),
        sha256=str(found["sha256"]),
        size=_int(found["size"]),
        received_at=str(found["received_at"]),
        label=os.fsdecode(label) if isinstance(label := found["label"], bytes) else str(label),
        duplicate_of=str(found["duplicate_of"]),
        reading=reading,
    )


def _path(value: object) -> str:
    if not isinstance(value, bytes):
        raise sqlite3.DatabaseError(f"a path is stored as {type(value).__name__}")
    return os.fsdecode(value)


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise sqlite3.DatabaseError(f"a whole number is stored as {type(value).__name__}")
    return value


def _real(value: object) -> float:
    if not isinstance(value, float | int):
        raise sqlite3.DatabaseError(f"a number is stored as {type(value).__name__}")
    return value


def _float(value: object) -> float | None:
    return None if value is None else _real(value)
