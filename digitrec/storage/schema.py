"""Convert records to rows of the ledger's tables, and back."""

import os
import sqlite3

from digitrec.types import (
    Box,
    Claim,
    DeferredFile,
    Digit,
    FileOutcome,
    PageReading,
    PageStatus,
    Reason,
    RemovalKind,
    RemovedOriginal,
    TableRow,
)

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
_DEFERRED = ("inode", "size", "mtime_ns", "sha256", "why", "first_at_s", "tries", "next_at_s")
_DEPARTURE = ("batch_id", "path", "what", "at", "place")


def _insert(table: str, columns: tuple[str, ...], verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


INSERT_CLAIM = _insert("claims", _CLAIM)
INSERT_READING = _insert("readings", (*_READING, "preview"))
INSERT_DIGIT = _insert("digits", _DIGIT)
INSERT_DEFERRED = _insert("returned", _DEFERRED, "INSERT OR REPLACE")
INSERT_DEPARTURE = _insert("departures", _DEPARTURE, "INSERT OR REPLACE")
ALL_CLAIMS = f"SELECT {', '.join(_CLAIM)} FROM claims"
ALL_READINGS = f"SELECT {', '.join(_READING)} FROM readings"
SELECT_CLAIMS = f"{ALL_CLAIMS} WHERE batch_id = ? ORDER BY path"
SELECT_READINGS = f"{ALL_READINGS} WHERE batch_id = ? ORDER BY row"
SELECT_DIGITS = f"SELECT {', '.join(('row', *_DIGIT[3:]))} FROM digits WHERE batch_id = ? ORDER BY row, place"
SELECT_DEFERRED = f"SELECT {', '.join(_DEFERRED)} FROM returned"
SELECT_DEPARTURES = f"SELECT {', '.join(_DEPARTURE)} FROM departures"


def claim_values(claim: Claim) -> tuple[object, ...]:
    """Return a claim as a row of `claims`."""
    names = (os.fsencode(claim.path), *claim.identity, claim.is_fresh, claim.received_at)
    return (
        claim.batch_id,
        *names,
        claim.outcome,
        claim.detail,
        claim.sha256,
        os.fsencode(claim.location),
        os.fsencode(claim.reason_file),
    )


def claim_from(values: tuple[object, ...]) -> Claim:
    """Return the claim in a row of `claims`."""
    batch_id, path, inode, size, mtime_ns, is_fresh, received_at, fate, detail, sha256, place, reason_file = values
    return Claim(
        batch_id=str(batch_id),
        path=_path(path),
        inode=_int(inode),
        size=_int(size),
        mtime_ns=_int(mtime_ns),
        is_fresh=bool(is_fresh),
        received_at=str(received_at),
        outcome=FileOutcome(str(fate)) if fate else None,
        detail=str(detail),
        sha256=str(sha256),
        location=_path(place),
        reason_file=_path(reason_file),
    )


def deferred_values(file: DeferredFile) -> tuple[object, ...]:
    """Return a deferred file as a row of `returned`."""
    return (*file.identity, file.sha256, file.why, file.first_at_s, file.tries, file.next_at_s)


def reading_values(row: TableRow) -> tuple[object, ...]:
    """Return a row of the table as a row of `readings`."""
    read = row.reading
    answer = (read.page, read.status, read.text, read.confidence, read.runner_up, read.runner_up_confidence)
    why = (read.reason or "", read.detail, row.duplicate_of, _text(row.label))
    what = (read.format, read.width, read.height, row.size, row.sha256, row.received_at, row.preview)
    return (row.batch_id, row.row, os.fsencode(row.path), *answer, *why, *what)


def _text(text: str) -> str | bytes:
    """Return a text as it is, and one with undecodable bytes (of a name or a label) as bytes."""
    return os.fsencode(text) if any("\ud800" <= letter <= "\udfff" for letter in text) else text


def digit_values(row: TableRow) -> list[tuple[object, ...]]:
    """Return the digits of a row as rows of `digits`."""
    return [
        (
            row.batch_id,
            row.row,
            place,
            digit.box.x,
            digit.box.y,
            digit.box.width,
            digit.box.height,
            *digit.probabilities,
        )
        for place, digit in enumerate(row.reading.digits, start=1)
    ]


def digit_from(values: tuple[object, ...]) -> Digit:
    """Return the digit in x, y, width, height, p0 .. p9."""
    x, y, width, height = (_int(value) for value in values[:4])
    return Digit(Box(x, y, width, height), tuple(map(_real, values[4:])))


def departure_values(departure: RemovedOriginal) -> tuple[object, ...]:
    """Return a departure as a row of `departures`."""
    path, place = os.fsencode(departure.path), os.fsencode(departure.location)
    return (departure.batch_id, path, departure.kind, departure.removed_at, place)


def departure_from(values: tuple[object, ...]) -> RemovedOriginal:
    """Return the departure in a row of `departures`."""
    batch_id, path, what, at, place = values
    return RemovedOriginal(str(batch_id), _path(path), RemovalKind(str(what)), str(at), _path(place))


def row_from(values: tuple[object, ...], digits: tuple[Digit, ...]) -> TableRow:
    """Return the row in a row of `readings`, with its digits."""
    columns = dict(zip(_READING, values, strict=True))
    reading = PageReading(
        page=_int(columns["page"]),
        status=PageStatus(str(columns["status"])),
        text=str(columns["text"]),
        confidence=_float(columns["confidence"]),
        runner_up=str(columns["runner_up"]),
        runner_up_confidence=_float(columns["runner_up_confidence"]),
        reason=Reason(str(columns["reason"])) if columns["reason"] else None,
        detail=str(columns["detail"]),
        format=str(columns["format"]),
        width=_int(columns["width"]) if columns["width"] is not None else None,
        height=_int(columns["height"]) if columns["height"] is not None else None,
        digits=digits,
    )
    return TableRow(
        batch_id=str(columns["batch_id"]),
        row=_int(columns["row"]),
        path=_path(columns["path"]),
        sha256=str(columns["sha256"]),
        size=_int(columns["size"]),
        received_at=str(columns["received_at"]),
        label=os.fsdecode(label) if isinstance(label := columns["label"], bytes) else str(label),
        duplicate_of=str(columns["duplicate_of"]),
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
