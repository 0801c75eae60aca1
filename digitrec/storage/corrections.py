"""Log of corrections: append-only; the latest entry of a row is valid. Any process may write."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from digitrec import text
from digitrec.errors import DigitrecError, UsageError
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus, Reason

NONE = "none"
"""Text of a page without a digit, as in `labels.csv`."""

_TEXT = re.compile("[0-9]{1,1000}")
_MAX_REVIEWER_LENGTH = 100
_FIELDS = "id, batch_id, row, at, who, verdict, old, new, how"
_SELECT_LATEST = f"SELECT {_FIELDS} FROM corrections WHERE batch_id = ? AND row = ? ORDER BY id DESC LIMIT 1"
_SELECT_PREVIOUS = (
    f"SELECT {_FIELDS} FROM corrections WHERE batch_id = ? AND row = ? AND id < ? ORDER BY id DESC LIMIT 1"
)
_INSERT = "INSERT INTO corrections (batch_id, row, at, who, verdict, old, new, how) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Verdict(StrEnum):
    """Verdict of a reviewer on a row."""

    CONFIRMED = "confirmed"
    CORRECTED = "corrected"
    UNSURE = "unsure"
    WITHDRAWN = "withdrawn"

    @property
    def is_settled(self) -> bool:
        """Whether the true text is known."""
        return self in {Verdict.CONFIRMED, Verdict.CORRECTED}


class ReviewMethod(StrEnum):
    """Source of a verdict: one row, a grid of one digit, an audit, an imported file, or undo."""

    ONE = "one"
    GRID = "grid"
    AUDIT = "audit"
    FILE = "file"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Correction:
    """Entry of the log."""

    id: int
    """Increases with every entry of a ledger."""
    batch_id: str
    row: int
    reviewed_at: str
    reviewer: str
    verdict: Verdict
    old: str
    """The text that was valid before: digits, 'none', or '' for a page without an answer."""
    new: str
    """Digits; 'none' if there is no digit on the page; '' only if unsure or withdrawn."""
    method: ReviewMethod


@dataclass(frozen=True, slots=True)
class Judgement:
    """Judgement of a reviewer on one row."""

    batch_id: str
    row: int
    new: str | None
    """Digits, 'none' if there is no digit on the page, or None if the reviewer is unsure."""
    seen_id: int
    """Id of the latest entry of the row when it was shown; 0 if there was none."""


class Conflict(DigitrecError):
    """The row was judged since it was shown; `correction` is that entry, None if `seen_id` names no entry."""

    exit_code: ClassVar[int] = 75
    hint = "Look at the row again, then decide."

    def __init__(self, batch_id: str, row: int, correction: Correction | None) -> None:
        by = f"by {correction.reviewer}" if correction else "otherwise"
        super().__init__(f"row {row} of batch {batch_id} was judged {by} in between")
        self.correction = correction


def record_judgements(
    ledger: Ledger, judgements: Sequence[Judgement], *, reviewer: str, method: ReviewMethod, reviewed_at: str
) -> list[Correction]:
    """Append the judgements of a reviewer in one transaction.

    Args:
        ledger: opened with `Ledger.open_shared`, or by its worker.
        judgements: in order of time.
        reviewer: name of the person.
        method: source of the judgements.
        reviewed_at: ISO 8601.

    Raises:
        Conflict: a row was judged since it was shown.
        UsageError: a text is neither digits nor 'none', a row is not in this ledger, or `reviewer` is not valid.
    """
    reviewer = normalize_reviewer(reviewer)
    with ledger.transaction():
        return [_record(ledger, judgement, reviewer, method, reviewed_at) for judgement in judgements]


def undo_correction(
    ledger: Ledger, batch_id: str, row: int, *, seen_id: int, reviewer: str, reviewed_at: str
) -> Correction:
    """Append the entry before the latest one of a row again; a second undo restores the latest one.

    Args:
        ledger: opened with `Ledger.open_shared`, or by its worker.
        batch_id: of the row.
        row: its number.
        seen_id: id of the entry to undo.
        reviewer: name of the person.
        reviewed_at: ISO 8601.

    Raises:
        Conflict: it is not the latest one of the row.
        UsageError: `reviewer` is not valid.
    """
    reviewer = normalize_reviewer(reviewer)
    with ledger.transaction():
        undone = _check_latest(ledger, batch_id, row, seen_id)
        if undone is None:
            raise Conflict(batch_id, row, None)
        before = _select_entry(ledger, _SELECT_PREVIOUS, batch_id, row, seen_id)
        verdict, new = (before.verdict, before.new) if before else (Verdict.WITHDRAWN, "")
        old = undone.new if undone.verdict.is_settled else _read_answer(ledger, batch_id, row)[0]
        return _append(ledger, batch_id, row, reviewed_at, reviewer, verdict, old, new, ReviewMethod.UNDO)


def read_latest(ledger: Ledger, batch_id: str | None = None) -> dict[tuple[str, int], Correction]:
    """Return the valid entries by batch and row; rows without an entry, or with a withdrawn one, are missing.

    Args:
        ledger: one of an older version has no entries.
        batch_id: limits the result to this batch.
    """
    if not ledger.has_table("corrections"):
        return {}
    where, values = ("WHERE batch_id = ?", (batch_id,)) if batch_id is not None else ("", ())
    ids = f"SELECT MAX(id) FROM corrections {where} GROUP BY batch_id, row"
    sql = f"SELECT {_FIELDS} FROM corrections WHERE id IN ({ids}) AND verdict <> 'withdrawn' ORDER BY batch_id, row"
    return {(entry.batch_id, entry.row): entry for entry in map(_decode_correction, ledger.query(sql, values))}


def read_history(ledger: Ledger, batch_id: str, row: int) -> list[Correction]:
    """Return all entries of a row, oldest first."""
    if not ledger.has_table("corrections"):
        return []
    sql = f"SELECT {_FIELDS} FROM corrections WHERE batch_id = ? AND row = ? ORDER BY id"
    return [_decode_correction(entry) for entry in ledger.query(sql, (batch_id, row))]


def find_audited_rows(ledger: Ledger, batch_id: str) -> set[int]:
    """Return the rows of a batch that were judged in an audit, regardless of later entries."""
    if not ledger.has_table("corrections"):
        return set()
    sql = "SELECT DISTINCT row FROM corrections WHERE batch_id = ? AND how = ?"
    return {int(row) for (row,) in ledger.query(sql, (batch_id, ReviewMethod.AUDIT))}


def get_latest_id(ledger: Ledger, batch_id: str, row: int) -> int:
    """Return the id of the latest entry of a row, the `seen_id` of a `Judgement`; 0 if there is none."""
    latest = _select_entry(ledger, _SELECT_LATEST, batch_id, row)
    return latest.id if latest else 0


def count_open_rows(ledger: Ledger, batch_id: str) -> int:
    """Count the rows of a batch in review that are neither confirmed nor corrected."""
    return _count(ledger, "status = 'review'", batch_id) - _count_settled(ledger, batch_id, "status = 'review'")


def is_review_finished(ledger: Ledger, batch_id: str) -> bool:
    """Return whether a batch has rows in review or judged rows, and no open row."""
    is_reviewed = _count(ledger, "status = 'review'", batch_id) or _count_settled(ledger, batch_id, "1")
    return bool(is_reviewed) and count_open_rows(ledger, batch_id) == 0


def normalize_reviewer(reviewer: str) -> str:
    """Return the name of a reviewer as it is stored and shown: stripped and escaped; UsageError if it is not valid."""
    name = text.escape(reviewer.strip())
    if "\0" in reviewer:
        raise UsageError("a name holds no NUL character", hint="Use --reviewer NAME.")
    if not 1 <= len(name) <= _MAX_REVIEWER_LENGTH:
        raise UsageError(
            f"a name has {len(name)} characters; the limits are 1..{_MAX_REVIEWER_LENGTH}", hint="Use --reviewer NAME."
        )
    return name


def _count(ledger: Ledger, condition: str, batch_id: str) -> int:
    sql = f"SELECT COUNT(*) FROM readings WHERE batch_id = ? AND {condition}"
    return int(ledger.query(sql, (batch_id,)).fetchone()[0])


def _count_settled(ledger: Ledger, batch_id: str, condition: str) -> int:
    if not ledger.has_table("corrections"):
        return 0
    sql = (
        "SELECT COUNT(*) FROM corrections JOIN readings USING (batch_id, row) WHERE id IN "
        "(SELECT MAX(id) FROM corrections WHERE batch_id = ? GROUP BY row) "
        f"AND verdict IN ('confirmed', 'corrected') AND {condition}"
    )
    return int(ledger.query(sql, (batch_id,)).fetchone()[0])


def _record(ledger: Ledger, judgement: Judgement, reviewer: str, method: ReviewMethod, reviewed_at: str) -> Correction:
    batch_id, row, new = judgement.batch_id, judgement.row, judgement.new
    if new is not None and new != NONE and not _TEXT.fullmatch(new):
        raise UsageError(
            f"{text.escape(new[:40])!r} is no number", hint=f"A text is made of the digits 0 to 9, or is {NONE!r}."
        )
    answer, reason = _read_answer(ledger, batch_id, row)
    latest = _check_latest(ledger, batch_id, row, judgement.seen_id)
    old = latest.new if latest is not None and latest.verdict.is_settled else answer
    is_right = new == answer or (new == NONE and reason in {Reason.NOT_A_DIGIT, Reason.BLANK})
    verdict = Verdict.UNSURE if new is None else Verdict.CONFIRMED if is_right else Verdict.CORRECTED
    return _append(ledger, batch_id, row, reviewed_at, reviewer, verdict, old, new or "", method)


def _read_answer(ledger: Ledger, batch_id: str, row: int) -> tuple[str, str]:
    """Return text and reason of a row as the service read it."""
    answer = ledger.query(
        "SELECT text, reason FROM readings WHERE batch_id = ? AND row = ?", (batch_id, row)
    ).fetchone()
    if answer is None:
        raise UsageError(f"batch {text.escape(batch_id)} has no row {row} here")
    return answer[0], answer[1]


def _check_latest(ledger: Ledger, batch_id: str, row: int, seen_id: int) -> Correction | None:
    """Return the latest entry of a row; Conflict if it is not the one that was shown."""
    latest = _select_entry(ledger, _SELECT_LATEST, batch_id, row)
    if (latest.id if latest else 0) != seen_id:
        raise Conflict(batch_id, row, latest)
    return latest


def _append(ledger: Ledger, *values: object) -> Correction:
    return _decode_correction((ledger.query(_INSERT, values).lastrowid, *values))


def _select_entry(ledger: Ledger, sql: str, *values: object) -> Correction | None:
    entry = ledger.query(sql, values).fetchone()
    return _decode_correction(entry) if entry else None


def _decode_correction(values: tuple[Any, ...]) -> Correction:
    number, batch_id, row, reviewed_at, reviewer, verdict, old, new, method = values
    return Correction(number, batch_id, row, reviewed_at, reviewer, Verdict(verdict), old, new, ReviewMethod(method))


_SELECT_REVIEWED = """
    SELECT batch_id, row, readings.path, page, readings.sha256, place, new, text, status, confidence, verdict, how, at
    FROM corrections JOIN readings USING (batch_id, row) JOIN claims USING (batch_id, path)
    WHERE id IN (SELECT MAX(id) FROM corrections GROUP BY batch_id, row) AND verdict IN ('confirmed', 'corrected')
    ORDER BY batch_id, row
"""


@dataclass(frozen=True, slots=True)
class ReviewedRow:
    """Page that a reviewer confirmed or corrected, with the answer of the service and the true text."""

    worker: str
    batch_id: str
    row: int
    path: str
    """Under the inbox, when it was claimed."""
    page: int
    sha256: str
    location: str
    """Location of the archived original under the workspace (as `Claim.location`); it may have been pruned since."""
    text: str
    """The true text: digits, or 'none'."""
    read_text: str
    """The answer of the service; '' if it had none."""
    status: PageStatus
    """Status before the review: accepted, review or rejected."""
    confidence: float | None
    verdict: Verdict
    """Confirmed or corrected."""
    method: ReviewMethod
    reviewed_at: str


def read_reviewed_rows(ledger: Ledger, worker: str) -> Iterator[ReviewedRow]:
    """Yield every confirmed or corrected row, by batch and row; a ledger of an older version has none."""
    if not ledger.has_table("corrections"):
        return
    for values in ledger.query(_SELECT_REVIEWED):
        batch_id, row, path, page, sha256, location, new, answer, status, confidence, verdict, method, at = values
        yield ReviewedRow(
            worker, batch_id, row, os.fsdecode(path), page, sha256, os.fsdecode(location), new, answer,
            PageStatus(status), confidence, Verdict(verdict), ReviewMethod(method), at,
        )  # fmt: skip
