"""Convert dataclasses to rows of the ledger's tables, and back. SQL columns keep the names of their first version."""

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from digitrec.storage.claims import Claim, DeferredFile, FileOutcome, RemovalKind, RemovedOriginal
from digitrec.types import (
    Batch,
    BatchStage,
    Box,
    Digit,
    Number,
    OutputFormat,
    PageReading,
    PageStatus,
    Reason,
    TableRow,
    Thresholds,
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
_BOX = ("x", "y", "width", "height")
_NUMBER = ("batch_id", "row", "number", "line", '"column"', *_BOX, "text", "confidence", "status", "reason")
_DIGIT = ("batch_id", "row", "place", *_BOX, *_PROBABILITIES, "number")
_DEFERRED = ("inode", "size", "mtime_ns", "sha256", "why", "first_at_s", "tries", "next_at_s")
_REMOVAL = ("batch_id", "path", "what", "at", "place")


def _insert_statement(table: str, columns: tuple[str, ...], verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


INSERT_CLAIM = _insert_statement("claims", _CLAIM)
INSERT_READING = _insert_statement("readings", (*_READING, "preview"))
INSERT_DIGIT = _insert_statement("digits", _DIGIT)
INSERT_NUMBER = _insert_statement("numbers", _NUMBER)
INSERT_DEFERRED = _insert_statement("returned", _DEFERRED, "INSERT OR REPLACE")
INSERT_REMOVAL = _insert_statement("departures", _REMOVAL, "INSERT OR REPLACE")
ALL_CLAIMS = f"SELECT {', '.join(_CLAIM)} FROM claims"
ALL_READINGS = f"SELECT {', '.join(_READING)} FROM readings"
SELECT_BATCHES = "SELECT batch_id, opened_at, stage, rendering FROM batches"
SELECT_SAME_BYTES = "SELECT batch_id, row FROM readings WHERE sha256 = ? AND page = ? ORDER BY rowid"
SELECT_CLAIMS = f"{ALL_CLAIMS} WHERE batch_id = ? ORDER BY path"
SELECT_READINGS = f"{ALL_READINGS} WHERE batch_id = ? ORDER BY row"
SELECT_NUMBERS = f"SELECT {', '.join(('row', *_NUMBER[2:]))} FROM numbers"
SELECT_DIGITS = f"SELECT {', '.join(('row', 'number', *_BOX, *_PROBABILITIES))} FROM digits"
SELECT_OLD_DIGITS = f"SELECT {', '.join(('row', '0', *_BOX, *_PROBABILITIES))} FROM digits"
"""Digits in a ledger of schema 4 or earlier, which has no numbers."""
SELECT_DEFERRED = f"SELECT {', '.join(_DEFERRED)} FROM returned"
SELECT_REMOVALS = f"SELECT {', '.join(_REMOVAL)} FROM departures"
REBUILT_AT = "rebuilt_at"
"""Metadata of a ledger that was rebuilt: when, ISO 8601."""


def decode_batch(batch_id: str, opened_at: str, stage: str, rendering: str | None) -> Batch:
    """Return the batch in a row of `batches`."""
    output_format = _decode_output_format(json.loads(rendering)) if rendering else None
    return Batch(batch_id, opened_at, BatchStage(stage), output_format)


def _decode_output_format(fields: dict[str, Any]) -> OutputFormat:
    """Return the output format in a JSON object; 0.1 wrote one threshold, and no table of numbers."""
    if "threshold" in fields:
        threshold = fields.pop("threshold")
        fields["thresholds"] = None if threshold is None else {"digit": threshold, "number": threshold}
    thresholds = fields.pop("thresholds")
    return OutputFormat(
        columns=tuple(fields.pop("columns")),
        digit_columns=tuple(fields.pop("digit_columns")),
        number_columns=tuple(fields.pop("number_columns", ())),
        thresholds=None if thresholds is None else Thresholds(**thresholds),
        **fields,
    )


def encode_claim(claim: Claim) -> tuple[object, ...]:
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


def decode_claim(values: tuple[object, ...]) -> Claim:
    """Return the claim in a row of `claims`."""
    batch_id, path, inode, size, mtime_ns, is_fresh, received_at, outcome, detail, sha256, location, reason_file = (
        values
    )
    return Claim(
        batch_id=str(batch_id),
        path=_decode_path(path),
        inode=_check_int(inode),
        size=_check_int(size),
        mtime_ns=_check_int(mtime_ns),
        is_fresh=bool(is_fresh),
        received_at=str(received_at),
        outcome=FileOutcome(str(outcome)) if outcome else None,
        detail=str(detail),
        sha256=str(sha256),
        location=_decode_path(location),
        reason_file=_decode_path(reason_file),
    )


def encode_deferred(file: DeferredFile) -> tuple[object, ...]:
    """Return a deferred file as a row of `returned`."""
    return (*file.identity, file.sha256, file.why, file.first_at_s, file.tries, file.next_at_s)


def encode_reading(row: TableRow) -> tuple[object, ...]:
    """Return a row of the table as a row of `readings`."""
    reading = row.reading
    return (
        *(row.batch_id, row.row, os.fsencode(row.path), reading.page, reading.status),
        *(reading.text, reading.confidence, reading.runner_up, reading.runner_up_confidence),
        *(reading.reason or "", reading.detail, row.duplicate_of, _encode_text(row.label)),
        *(reading.format, reading.width, reading.height, row.size, row.sha256, row.received_at, row.preview),
    )


def _encode_text(text: str) -> str | bytes:
    """Return a text as it is, and one with undecodable bytes (of a name or a label) as bytes."""
    return os.fsencode(text) if any("\ud800" <= letter <= "\udfff" for letter in text) else text


def encode_numbers(row: TableRow) -> list[tuple[object, ...]]:
    """Return the numbers of a row as rows of `numbers`."""
    return [
        (
            *(row.batch_id, row.row, position, number.line, number.column, *_encode_box(number.box)),
            *(number.text, number.confidence, number.status, number.reason or ""),
        )
        for position, number in enumerate(row.reading.numbers, start=1)
    ]


def encode_digits(row: TableRow) -> list[tuple[object, ...]]:
    """Return the digits of a row as rows of `digits`."""
    digits = [
        (position, digit) for position, number in enumerate(row.reading.numbers, start=1) for digit in number.digits
    ]
    return [
        (row.batch_id, row.row, index, *_encode_box(digit.box), *digit.probabilities, position)
        for index, (position, digit) in enumerate(digits, start=1)
    ]


def _encode_box(box: Box) -> tuple[int, int, int, int]:
    return box.x, box.y, box.width, box.height


def _decode_digit(values: Sequence[object]) -> Digit:
    """Return the digit in the columns x, y, width, height, p0 .. p9."""
    return Digit(Box(*map(_check_int, values[:4])), tuple(map(_check_real, values[4:])))


def _decode_number(values: Sequence[object], digits: Sequence[Digit]) -> Number:
    """Return the number in the columns line, column, x, y, width, height, text, confidence, status, reason."""
    line, column, x, y, width, height = map(_check_int, values[:6])
    text, confidence, status, reason = values[6:]
    return Number(
        line=line,
        column=column,
        box=Box(x, y, width, height),
        text=str(text),
        digits=tuple(digits),
        confidence=_check_optional_real(confidence),
        status=PageStatus(str(status)),
        reason=Reason(str(reason)) if reason else None,
    )


def decode_rows(
    readings: Iterable[Sequence[object]],
    numbers: Iterable[Sequence[object]] = (),
    digits: Iterable[Sequence[object]] = (),
) -> list[TableRow]:
    """Return the rows of a batch, in order.

    Args:
        readings: rows of `SELECT_READINGS`.
        numbers: rows of `SELECT_NUMBERS`.
        digits: rows of `SELECT_DIGITS` or `SELECT_OLD_DIGITS`.
    """
    digits_by_number: dict[tuple[object, object], list[Digit]] = {}
    for row, position, *values in digits:
        digits_by_number.setdefault((row, position), []).append(_decode_digit(values))
    numbers_by_row: dict[object, list[Number]] = {}
    for row, position, *values in numbers:
        number = _decode_number(values, digits_by_number.get((row, position), ()))
        numbers_by_row.setdefault(row, []).append(number)
    return [
        _decode_row(values, numbers_by_row.get(values[1], ()), digits_by_number.get((values[1], 0), ()))
        for values in readings
    ]


def join_digits(reading: PageReading, digits: Sequence[Digit]) -> Number:
    """Return the digits of a page as one number: that of a page which 0.1 read."""
    return Number(
        line=1,
        column=1,
        box=Box.enclose([digit.box for digit in digits]),
        text=reading.text,
        digits=tuple(digits),
        confidence=reading.confidence,
        status=reading.status,
        reason=reading.reason,
    )


def encode_removal(removal: RemovedOriginal) -> tuple[object, ...]:
    """Return a removed original as a row of `departures`."""
    path, location = os.fsencode(removal.path), os.fsencode(removal.location)
    return (removal.batch_id, path, removal.kind, removal.removed_at, location)


def decode_removal(values: tuple[object, ...]) -> RemovedOriginal:
    """Return the removed original in a row of `departures`."""
    batch_id, path, kind, removed_at, location = values
    return RemovedOriginal(
        str(batch_id), _decode_path(path), RemovalKind(str(kind)), str(removed_at), _decode_path(location)
    )


def _decode_row(values: Sequence[object], numbers: Sequence[Number], loose_digits: Sequence[Digit]) -> TableRow:
    """Return the row in a row of `readings`, with its numbers; `loose_digits` belong to none of these."""
    columns = dict(zip(_READING, values, strict=True))
    reading = PageReading(
        page=_check_int(columns["page"]),
        status=PageStatus(str(columns["status"])),
        text=str(columns["text"]),
        confidence=_check_optional_real(columns["confidence"]),
        runner_up=str(columns["runner_up"]),
        runner_up_confidence=_check_optional_real(columns["runner_up_confidence"]),
        reason=Reason(str(columns["reason"])) if columns["reason"] else None,
        detail=str(columns["detail"]),
        format=str(columns["format"]),
        width=_check_int(columns["width"]) if columns["width"] is not None else None,
        height=_check_int(columns["height"]) if columns["height"] is not None else None,
        numbers=tuple(numbers),
    )
    if loose_digits:
        reading = replace(reading, numbers=(join_digits(reading, loose_digits),))
    return TableRow(
        batch_id=str(columns["batch_id"]),
        row=_check_int(columns["row"]),
        path=_decode_path(columns["path"]),
        sha256=str(columns["sha256"]),
        size=_check_int(columns["size"]),
        received_at=str(columns["received_at"]),
        label=os.fsdecode(label) if isinstance(label := columns["label"], bytes) else str(label),
        duplicate_of=str(columns["duplicate_of"]),
        reading=reading,
    )


def _decode_path(value: object) -> str:
    if not isinstance(value, bytes):
        raise sqlite3.DatabaseError(f"a path is stored as {type(value).__name__}")
    return os.fsdecode(value)


def _check_int(value: object) -> int:
    if not isinstance(value, int):
        raise sqlite3.DatabaseError(f"a whole number is stored as {type(value).__name__}")
    return value


def _check_real(value: object) -> float:
    if not isinstance(value, float | int):
        raise sqlite3.DatabaseError(f"a number is stored as {type(value).__name__}")
    return value


def _check_optional_real(value: object) -> float | None:
    return None if value is None else _check_real(value)
