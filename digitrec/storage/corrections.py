"""The log of corrections: only ever added to; the newest entry of a row is what holds. Any process may write."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from digitrec import text
from digitrec.errors import DigitrecError, UsageError
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus, Reason

NONE = "none"
"""What a person says of a page without a digit; the same word as in `labels.csv`."""

_TEXT = re.compile("[0-9]{1,1000}")
_MAX_REVIEWER_LENGTH = 100
_FIELDS = "id, batch_id, row, at, who, verdict, old, new, how"
_NEWEST_OF_ROW = f"SELECT {_FIELDS} FROM corrections WHERE batch_id = ? AND row = ? ORDER BY id DESC LIMIT 1"
_BEFORE = f"SELECT {_FIELDS} FROM corrections WHERE batch_id = ? AND row = ? AND id < ? ORDER BY id DESC LIMIT 1"
_INSERT = "INSERT INTO corrections (batch_id, row, at, who, verdict, old, new, how) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Verdict(StrEnum):
    """What a person found."""

    CONFIRMED = "confirmed"
    CORRECTED = "corrected"
    UNSURE = "unsure"
    WITHDRAWN = "withdrawn"

    @property
    def is_settled(self) -> bool:
        """True if the truth is known now."""
        return self in {Verdict.CONFIRMED, Verdict.CORRECTED}


class ReviewMethod(StrEnum):
    """Where a person said it: one by one, by digit, in an audit, in a file made elsewhere; or it was taken back."""

    ONE = "one"
    GRID = "grid"
    AUDIT = "audit"
    FILE = "file"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Correction:
    """One entry of the log."""

    id: int
    """Rises with every entry of a ledger."""
    batch_id: str
    row: int
    reviewed_at: str
    reviewer: str
    verdict: Verdict
    old: str
    """The text that was valid before: digits, 'none', or '' for a page that had no answer."""
    new: str
    """Digits; 'none' if there is no digit on the page; '' only if unsure or withdrawn."""
    method: ReviewMethod


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a person says of one row."""

    batch_id: str
    row: int
    new: str | None
    """Digits, 'none' if there is no digit on the page, or None: not sure."""
    seen_id: int
    """The id of the newest entry of the row when the person looked; 0 if there was none."""


class Conflict(DigitrecError):
    """Somebody else has judged the row in between; `correction` is what they said, None if `seen_id` names no entry."""

    exit_code: ClassVar[int] = 75
    hint = "Look at the row again, then decide."

    def __init__(self, batch_id: str, row: int, correction: Correction | None) -> None:
        by = f"by {correction.reviewer}" if correction else "otherwise"
        super().__init__(f"row {row} of batch {batch_id} was judged {by} in between")
        self.correction = correction


def record_judgements(
    ledger: Ledger, judgements: Sequence[Judgement], *, reviewer: str, method: ReviewMethod, reviewed_at: str
) -> list[Correction]:
    """Add what a person says: all of it, or nothing.

    Args:
        ledger: opened with `Ledger.for_notes`, or by its worker.
        judgements: in the order in which they were made.
        reviewer: a person's name.
        method: where they said it.
        reviewed_at: ISO 8601.

    Raises:
        Conflict: one of the rows was judged since it was looked at.
        UsageError: a text is neither digits nor 'none', a row is not in this ledger, or `reviewer` is no name.
    """
    reviewer = normalize_reviewer(reviewer)
    with ledger.transaction():
        return [_judged(ledger, one, reviewer, method, reviewed_at) for one in judgements]


def undo_correction(
    ledger: Ledger, batch_id: str, row: int, *, seen_id: int, reviewer: str, reviewed_at: str
) -> Correction:
    """Bring back what held before the newest entry of a row; undone again, that entry holds again.

    Args:
        ledger: opened with `Ledger.for_notes`, or by its worker.
        batch_id: of the row.
        row: its number.
        seen_id: the id of the entry to take back.
        reviewer: a person's name.
        reviewed_at: ISO 8601.

    Raises:
        Conflict: it is not the newest one of the row.
        UsageError: `reviewer` is no name.
    """
    reviewer = normalize_reviewer(reviewer)
    with ledger.transaction():
        taken_back = _unchanged(ledger, batch_id, row, seen_id)
        if taken_back is None:
            raise Conflict(batch_id, row, None)
        before = _one(ledger, _BEFORE, batch_id, row, seen_id)
        verdict, new = (before.verdict, before.new) if before else (Verdict.WITHDRAWN, "")
        old = taken_back.new if taken_back.verdict.is_settled else _read(ledger, batch_id, row)[0]
        return _append(ledger, batch_id, row, reviewed_at, reviewer, verdict, old, new, ReviewMethod.UNDO)


def read_latest(ledger: Ledger, batch_id: str | None = None) -> dict[tuple[str, int], Correction]:
    """What holds now, by batch and row; rows nobody looked at, or whose entries were withdrawn, are missing.

    Args:
        ledger: one of an older version has none.
        batch_id: only of this batch.
    """
    if not ledger.has_table("corrections"):
        return {}
    where, values = ("WHERE batch_id = ?", (batch_id,)) if batch_id is not None else ("", ())
    ids = f"SELECT MAX(id) FROM corrections {where} GROUP BY batch_id, row"
    ask = f"SELECT {_FIELDS} FROM corrections WHERE id IN ({ids}) AND verdict <> 'withdrawn' ORDER BY batch_id, row"
    return {(one.batch_id, one.row): one for one in map(_correction, ledger.query(ask, values))}


def read_history(ledger: Ledger, batch_id: str, row: int) -> list[Correction]:
    """All that was said about a row, the oldest first."""
    if not ledger.has_table("corrections"):
        return []
    ask = f"SELECT {_FIELDS} FROM corrections WHERE batch_id = ? AND row = ? ORDER BY id"
    return [_correction(one) for one in ledger.query(ask, (batch_id, row))]


def find_audited_rows(ledger: Ledger, batch_id: str) -> set[int]:
    """The rows of a batch that were drawn for an audit and judged in it, whatever was said of them since."""
    if not ledger.has_table("corrections"):
        return set()
    ask = "SELECT DISTINCT row FROM corrections WHERE batch_id = ? AND how = ?"
    return {int(row) for (row,) in ledger.query(ask, (batch_id, ReviewMethod.AUDIT))}


def get_latest_id(ledger: Ledger, batch_id: str, row: int) -> int:
    """The id of the newest entry of a row, which is what a `Judgement` has to have seen; 0 if there is none."""
    found = _one(ledger, _NEWEST_OF_ROW, batch_id, row)
    return found.id if found else 0


def count_open_rows(ledger: Ledger, batch_id: str) -> int:
    """How many rows of a batch wait for a person: in review, and neither confirmed nor corrected."""
    return _count(ledger, "status = 'review'", batch_id) - _settled(ledger, batch_id, "status = 'review'")


def is_review_finished(ledger: Ledger, batch_id: str) -> bool:
    """True if a batch had rows to review, or answers that a person judged all the same, and none is open."""
    is_reviewed = _count(ledger, "status = 'review'", batch_id) or _settled(ledger, batch_id, "1")
    return bool(is_reviewed) and count_open_rows(ledger, batch_id) == 0


def normalize_reviewer(reviewer: str) -> str:
    """A person's name as it is kept and shown: escaped, once. UsageError if it is none."""
    name = text.escape(reviewer.strip())
    if "\0" in reviewer:
        raise UsageError("a name holds no NUL character", hint="Use --reviewer NAME.")
    if not 1 <= len(name) <= _MAX_REVIEWER_LENGTH:
        raise UsageError(
            f"a name has {len(name)} characters; it lies in 1..{_MAX_REVIEWER_LENGTH}", hint="Use --reviewer NAME."
        )
    return name


def _count(ledger: Ledger, condition: str, batch_id: str) -> int:
    (number,) = ledger.query(
        f"SELECT COUNT(*) FROM readings WHERE batch_id = ? AND {condition}", (batch_id,)
    ).fetchone()
    return int(number)


def _settled(ledger: Ledger, batch_id: str, condition: str) -> int:
    if not ledger.has_table("corrections"):
        return 0
    ask = (
        "SELECT COUNT(*) FROM corrections JOIN readings USING (batch_id, row) WHERE id IN "
        "(SELECT MAX(id) FROM corrections WHERE batch_id = ? GROUP BY row) "
        f"AND verdict IN ('confirmed', 'corrected') AND {condition}"
    )
    return int(ledger.query(ask, (batch_id,)).fetchone()[0])


def _judged(ledger: Ledger, one: Judgement, reviewer: str, method: ReviewMethod, reviewed_at: str) -> Correction:
    if one.new is not None and one.new != NONE and not _TEXT.fullmatch(one.new):
        shown = text.escape(one.new[:40])
        raise UsageError(f"{shown!r} is no number", hint=f"A text is made of the digits 0 to 9, or is {NONE!r}.")
    read, reason = _read(ledger, one.batch_id, one.row)
    before = _unchanged(ledger, one.batch_id, one.row, one.seen_id)
    old = before.new if before is not None and before.verdict.is_settled else read
    if one.new is None:
        return _append(ledger, one.batch_id, one.row, reviewed_at, reviewer, Verdict.UNSURE, old, "", method)
    is_right = one.new == read or (one.new == NONE and reason in {Reason.NOT_A_DIGIT, Reason.BLANK})
    verdict = Verdict.CONFIRMED if is_right else Verdict.CORRECTED
    return _append(ledger, one.batch_id, one.row, reviewed_at, reviewer, verdict, old, one.new, method)


def _read(ledger: Ledger, batch_id: str, row: int) -> tuple[str, str]:
    """What the service read in a row, and its reason."""
    found = ledger.query("SELECT text, reason FROM readings WHERE batch_id = ? AND row = ?", (batch_id, row)).fetchone()
    if found is None:
        raise UsageError(f"batch {text.escape(batch_id)} has no row {row} here")
    return found[0], found[1]


def _unchanged(ledger: Ledger, batch_id: str, row: int, seen_id: int) -> Correction | None:
    """The newest entry of a row; Conflict if it is not the one that was seen."""
    found = _one(ledger, _NEWEST_OF_ROW, batch_id, row)
    if (found.id if found else 0) != seen_id:
        raise Conflict(batch_id, row, found)
    return found


def _append(ledger: Ledger, *values: object) -> Correction:
    return _correction((ledger.query(_INSERT, values).lastrowid, *values))


def _one(ledger: Ledger, ask: str, *values: object) -> Correction | None:
    found = ledger.query(ask, values).fetchone()
    return _correction(found) if found else None


def _correction(values: tuple[object, ...]) -> Correction:
    number, batch_id, row, reviewed_at, reviewer, verdict, old, new, method = values
    return Correction(
        id=int(str(number)),
        batch_id=str(batch_id),
        row=int(str(row)),
        reviewed_at=str(reviewed_at),
        reviewer=str(reviewer),
        verdict=Verdict(str(verdict)),
        old=str(old),
        new=str(new),
        method=ReviewMethod(str(method)),
    )


_ASK = """
    SELECT batch_id, row, readings.path, page, readings.sha256, place, text, new, status, confidence, verdict, how, at
    FROM corrections JOIN readings USING (batch_id, row) JOIN claims USING (batch_id, path)
    WHERE id IN (SELECT MAX(id) FROM corrections GROUP BY batch_id, row) AND verdict IN ('confirmed', 'corrected')
    ORDER BY batch_id, row
"""


@dataclass(frozen=True, slots=True)
class ReviewedRow:
    """One page, what the service read on it, and the truth."""

    worker: str
    batch_id: str
    row: int
    path: str
    """Under the inbox, as it was claimed."""
    page: int
    sha256: str
    location: str
    """Where the original was filed away, under the workspace (as `Claim.location`); it may have been pruned since."""
    text: str
    """The truth: digits, or 'none'."""
    read_text: str
    """What the service said; '' if nothing."""
    status: PageStatus
    """What the service made of it: accepted, review or rejected."""
    confidence: float | None
    verdict: Verdict
    """Confirmed or corrected."""
    method: ReviewMethod
    reviewed_at: str


def read_reviewed_rows(ledger: Ledger, worker: str) -> Iterator[ReviewedRow]:
    """Every row that a person confirmed or corrected, by batch and row; a ledger of an older version has none.

    The ledger is being read until the last one was taken.
    """
    if not ledger.has_table("corrections"):
        return
    for found in ledger.query(_ASK):
        batch_id, row, path, page, sha256, location, read, new, status, confidence, verdict, method, reviewed_at = found
        yield ReviewedRow(
            worker=worker,
            batch_id=batch_id,
            row=row,
            path=os.fsdecode(path),
            page=page,
            sha256=sha256,
            location=os.fsdecode(location),
            text=new,
            read_text=read,
            status=PageStatus(status),
            confidence=confidence,
            verdict=Verdict(verdict),
            method=ReviewMethod(method),
            reviewed_at=reviewed_at,
        )
