"""Log of corrections: append-only, of pages and of single numbers. Any process may write.

The latest entry of a page (`number` 0) is valid, and so is the latest entry of each of its numbers. Every change of a
row ends with an entry of its page: its id identifies the state of the row. A page with one number has no entries of
numbers.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from digitrec.storage.ledger import Ledger

NONE = "none"
"""Text of a page without a digit, as in `labels.csv`; of a number, that there is none."""
ILLEGIBLE = "illegible"
"""Text of a judgement that nobody can read what is there."""

_PAGE_FIELDS = "id, batch_id, row, at, who, verdict, old, new, how"
_FIELDS = f"{_PAGE_FIELDS}, number"

_SELECT_REVIEWED = """
    SELECT batch_id, row, page, readings.sha256, place, new, verdict, at
    FROM corrections JOIN readings USING (batch_id, row) JOIN claims USING (batch_id, path)
    WHERE id IN (SELECT MAX(id) FROM corrections GROUP BY batch_id, row) AND verdict IN ('confirmed', 'corrected')
    ORDER BY batch_id, row
"""


class Verdict(StrEnum):
    """Verdict of a reviewer on a page or a number."""

    CONFIRMED = "confirmed"
    CORRECTED = "corrected"
    UNSURE = "unsure"
    WITHDRAWN = "withdrawn"
    """No verdict: the former one was undone, or numbers of the page that need review have none yet."""
    ILLEGIBLE = "illegible"

    @property
    def has_text(self) -> bool:
        """Return whether the true text is known."""
        return self in {Verdict.CONFIRMED, Verdict.CORRECTED}

    @property
    def is_settled(self) -> bool:
        """Return whether no further review is needed: the true text is known, or nobody can read it."""
        return self.has_text or self is Verdict.ILLEGIBLE


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
    """The text that was valid before: as in the tables, 'none', or '' if there was none."""
    new: str
    """The true text; 'none' if there is no digit; '' if the verdict has no text."""
    method: ReviewMethod
    number: int = 0
    """Number of the page, from 1; 0 for the whole page."""


@dataclass(frozen=True, slots=True)
class ReviewedRow:
    """Page that a reviewer confirmed or corrected, with the location of its original."""

    batch_id: str
    row: int
    page: int
    sha256: str
    location: str
    """Location of the archived original under the workspace (as `Claim.location`); it may have been pruned since."""
    text: str
    """The true text: digits, or 'none'."""
    verdict: Verdict
    """Confirmed or corrected."""
    reviewed_at: str


def read_latest(ledger: Ledger, batch_id: str | None = None) -> dict[tuple[str, int], Correction]:
    """Return the valid entries of pages by batch and row; rows without one, or with a withdrawn one, are missing.

    Args:
        ledger: one of an older version has no entries.
        batch_id: limits the result to this batch.
    """
    if not ledger.has_table("corrections"):
        return {}
    where, values = ("WHERE batch_id = ?", (batch_id,)) if batch_id is not None else ("", ())
    ids = f"SELECT MAX(id) FROM corrections {where} GROUP BY batch_id, row"
    sql = f"SELECT {_PAGE_FIELDS} FROM corrections WHERE id IN ({ids}) AND verdict <> 'withdrawn'"
    entries = map(_decode_correction, ledger.query(f"{sql} ORDER BY batch_id, row", values))
    return {(entry.batch_id, entry.row): entry for entry in entries}


def read_number_corrections(ledger: Ledger, batch_id: str, row: int | None = None) -> dict[tuple[int, int], Correction]:
    """Return the valid entries of numbers of a batch by row and number, without withdrawn ones.

    Args:
        ledger: one of an older version has no entries.
        batch_id: of the rows.
        row: limits the result to this row.
    """
    if not ledger.has_table("numbers"):
        return {}
    where, values = ("batch_id = ? AND row = ?", (batch_id, row)) if row is not None else ("batch_id = ?", (batch_id,))
    ids = f"SELECT MAX(id) FROM corrections WHERE {where} AND number > 0 GROUP BY row, number"
    sql = f"SELECT {_FIELDS} FROM corrections WHERE id IN ({ids}) AND verdict <> 'withdrawn' ORDER BY row, number"
    return {(entry.row, entry.number): entry for entry in map(_decode_correction, ledger.query(sql, values))}


def read_reviewed_rows(ledger: Ledger) -> Iterator[ReviewedRow]:
    """Yield every confirmed or corrected row, by batch and row; a ledger of an older version has none."""
    if not ledger.has_table("corrections"):
        return
    for batch_id, row, page, sha256, location, new, verdict, at in ledger.query(_SELECT_REVIEWED):
        yield ReviewedRow(batch_id, row, page, sha256, os.fsdecode(location), new, Verdict(verdict), at)


def read_history(ledger: Ledger, batch_id: str, row: int) -> list[Correction]:
    """Return all entries of a row and its numbers, oldest first; the last one is of the page."""
    if not ledger.has_table("corrections"):
        return []
    fields = _FIELDS if ledger.has_table("numbers") else _PAGE_FIELDS
    sql = f"SELECT {fields} FROM corrections WHERE batch_id = ? AND row = ? ORDER BY id"
    return [_decode_correction(entry) for entry in ledger.query(sql, (batch_id, row))]


def find_audited_rows(ledger: Ledger, batch_id: str) -> set[int]:
    """Return the rows of a batch that were judged in an audit, regardless of later entries."""
    if not ledger.has_table("corrections"):
        return set()
    sql = "SELECT DISTINCT row FROM corrections WHERE batch_id = ? AND how = ?"
    return {int(row) for (row,) in ledger.query(sql, (batch_id, ReviewMethod.AUDIT))}


def get_latest_id(ledger: Ledger, batch_id: str, row: int) -> int:
    """Return the id of the latest entry of a row, the `seen_id` of a `Judgement`; 0 if there is none."""
    sql = "SELECT COALESCE(MAX(id), 0) FROM corrections WHERE batch_id = ? AND row = ?"
    return int(ledger.query(sql, (batch_id, row)).fetchone()[0])


def count_open_rows(ledger: Ledger, batch_id: str) -> int:
    """Count the rows of a batch in review that are not settled."""
    return _count(ledger, "status = 'review'", batch_id) - _count_settled(ledger, batch_id, "status = 'review'")


def is_review_finished(ledger: Ledger, batch_id: str) -> bool:
    """Return whether a batch has rows in review or judged rows, and no open row."""
    is_reviewed = _count(ledger, "status = 'review'", batch_id) or _count_settled(ledger, batch_id, "1")
    return bool(is_reviewed) and count_open_rows(ledger, batch_id) == 0


def _count(ledger: Ledger, condition: str, batch_id: str) -> int:
    sql = f"SELECT COUNT(*) FROM readings WHERE batch_id = ? AND {condition}"
    return int(ledger.query(sql, (batch_id,)).fetchone()[0])


def _count_settled(ledger: Ledger, batch_id: str, condition: str) -> int:
    if not ledger.has_table("corrections"):
        return 0
    sql = (
        "SELECT COUNT(*) FROM corrections JOIN readings USING (batch_id, row) WHERE id IN "
        "(SELECT MAX(id) FROM corrections WHERE batch_id = ? GROUP BY row) "
        f"AND verdict IN ('confirmed', 'corrected', 'illegible') AND {condition}"
    )
    return int(ledger.query(sql, (batch_id,)).fetchone()[0])


def _decode_correction(values: Iterable[Any]) -> Correction:
    entry_id, batch_id, row, reviewed_at, reviewer, verdict, old, new, method, *number = values
    return Correction(
        entry_id, batch_id, row, reviewed_at, reviewer, Verdict(verdict), old, new, ReviewMethod(method), *number
    )
