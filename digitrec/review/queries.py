"""Select answers for review from closed batches, lowest confidence first, with keyset pagination.

Batches that are not closed are left out: their originals may not be archived yet.
"""

import hashlib
import heapq
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from digitrec.storage.corrections import Correction, ReviewMethod, Verdict, read_history, read_number_corrections
from digitrec.storage.ledger import Ledger
from digitrec.text import unescape_cell
from digitrec.types import PageStatus, TableRow

Key = tuple[float, str, int]
"""Confidence (2 if there is no answer), batch and row: the sort key of every list."""
RowId = tuple[str, int]
"""Batch and row."""

START: Key = (-1.0, "", 0)
"""A key before all others."""

_CONFIDENCE = "ifnull(readings.confidence, 2)"
_CLOSED = "readings.batch_id NOT IN (SELECT batch_id FROM batches WHERE stage <> 'closed')"
_KEYS = f"SELECT {_CONFIDENCE}, readings.batch_id, readings.row FROM readings"
_HOLDS = (
    "ifnull((SELECT verdict FROM corrections WHERE corrections.batch_id = readings.batch_id "
    "AND corrections.row = readings.row ORDER BY id DESC LIMIT 1), 'withdrawn')"
)
_NEWEST = (
    "FROM corrections JOIN readings USING (batch_id, row) "
    "WHERE corrections.id IN (SELECT MAX(id) FROM corrections GROUP BY batch_id, row)"
)


class State(StrEnum):
    """State of the review of an answer; the value is part of addresses."""

    OPEN = "open"
    UNSURE = "unsure"
    RESOLVED = "settled"
    ANY = "any"


_STATES = {
    State.OPEN: "('withdrawn')",
    State.UNSURE: "('unsure')",
    State.RESOLVED: "('confirmed', 'corrected', 'illegible')",
}

NUMBERS = "numbers"
"""Filter text for answers with more than one digit."""
NO_DIGIT = "none"
"""Filter text for answers with the reason `not_a_digit`; the same word as in `labels.csv`."""
NOTHING = "nothing"
"""Filter text for answers without a text."""

# The status comes first because the index holds it, and not the reason.
_IS_NO_DIGIT = "readings.status = 'review' AND readings.reason = 'not_a_digit'"


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on answers; an empty field matches all."""

    status: PageStatus | None = None
    state: State = State.OPEN
    text: str = ""
    """The exact text, or `NUMBERS`, `NO_DIGIT`, `NOTHING`, which exclude one another."""
    batch: str = ""
    file: str = ""
    """Part of the path, or of the path as escaped in the CSV; case does not matter."""

    def sql_conditions(self) -> tuple[str, list[object]]:
        """Return the SQL condition of all fields but the state, and its values."""
        conditions: list[str] = [_CLOSED]
        values: list[object] = []
        if self.status is not None:
            conditions.append("readings.status = ?")
            values.append(self.status)
        if self.text == NO_DIGIT:
            conditions.append(_IS_NO_DIGIT)
        elif self.text == NUMBERS:
            conditions.append(f"length(readings.text) > 1 AND NOT ({_IS_NO_DIGIT})")
        elif self.text:
            conditions.append(f"readings.text = ? AND NOT ({_IS_NO_DIGIT})")
            values.append("" if self.text == NOTHING else self.text)
        if self.batch:
            conditions.append("readings.batch_id = ?")
            values.append(self.batch)
        if self.file:
            spellings = sorted({self.file, unescape_cell(self.file)})
            contains = "instr(lower(CAST(readings.path AS TEXT)), lower(CAST(? AS TEXT))) > 0"
            conditions.append(f"({' OR '.join([contains] * len(spellings))})")
            values += map(os.fsencode, spellings)
        return " AND ".join(conditions), values


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer and its newest judgement."""

    row: TableRow
    """The row, with its digits."""
    location: str
    """Path of the archived original, relative to the workspace."""
    newest: Correction | None
    """Newest entry of the corrections log for the page, also if it withdraws a judgement."""
    of_numbers: Mapping[int, Correction]
    """Valid entries for numbers of the page, by position from 1."""


@dataclass(frozen=True, slots=True)
class ReviewProgress:
    """Number of answers in each review state."""

    open: int = 0
    unsure: int = 0
    resolved: int = 0

    def __add__(self, other: "ReviewProgress") -> "ReviewProgress":
        return ReviewProgress(self.open + other.open, self.unsure + other.unsure, self.resolved + other.resolved)

    def __sub__(self, other: "ReviewProgress") -> "ReviewProgress":
        return ReviewProgress(self.open - other.open, self.unsure - other.unsure, self.resolved - other.resolved)


def list_keys(ledgers: Iterable[Ledger], chosen: Filter, after: Key, most: int) -> list[Key]:
    """Return the keys of the next answers of all ledgers, lowest confidence first."""
    return list(heapq.merge(*(_keys(ledger, chosen, after, most) for ledger in ledgers)))[:most]


def read_entry(ledger: Ledger, batch_id: str, number: int) -> Entry | None:
    """Return an answer; None if this ledger has no such row."""
    row = ledger.row(batch_id, number)
    if row is None:
        return None
    ask = "SELECT place FROM claims WHERE batch_id = ? AND path = ?"
    claim = ledger.query(ask, (batch_id, os.fsencode(row.path))).fetchone()
    corrections = read_history(ledger, batch_id, number)
    of_numbers = read_number_corrections(ledger, batch_id, number) if len(row.reading.numbers) > 1 else {}
    return Entry(
        row,
        os.fsdecode(claim[0]) if claim else "",
        corrections[-1] if corrections else None,
        {position: correction for (_, position), correction in of_numbers.items()},
    )


def read_preview(ledger: Ledger, batch_id: str, number: int) -> bytes | None:
    """Return the preview (PNG) of a page; None if the ledger holds none."""
    ask = "SELECT preview FROM readings WHERE batch_id = ? AND row = ?"
    record = ledger.query(ask, (batch_id, number)).fetchone()
    return record[0] if record else None


def count_answers(ledger: Ledger, chosen: Filter) -> ReviewProgress:
    """Count the answers of a filter by state; the state of the filter itself is ignored."""
    where, values = chosen.sql_conditions()
    (total,) = ledger.query(f"SELECT COUNT(*) FROM readings WHERE {where}", values).fetchone()
    verdicts = dict(ledger.query(f"SELECT verdict, COUNT(*) {_NEWEST} AND {where} GROUP BY verdict", values))
    resolved = sum(count for verdict, count in verdicts.items() if Verdict(verdict).is_settled)
    unsure = verdicts.get(Verdict.UNSURE, 0)
    return ReviewProgress(total - resolved - unsure, unsure, resolved)


def count_answers_by(ledger: Ledger, column: str, chosen: Filter) -> dict[str, ReviewProgress]:
    """Count the answers of a filter by state, for each value of a column (`batch_id` or `text`)."""
    where, values = chosen.sql_conditions()
    ask = f"SELECT readings.{column}, COUNT(*) FROM readings WHERE {where} GROUP BY readings.{column}"
    counts = {value: ReviewProgress(open=total) for value, total in ledger.query(ask, values)}
    ask = f"SELECT readings.{column}, verdict, COUNT(*) {_NEWEST} AND {where} GROUP BY readings.{column}, verdict"
    for value, verdict, number in ledger.query(ask, values):
        if Verdict(verdict) is Verdict.UNSURE:
            counts[value] += ReviewProgress(-number, number, 0)
        elif Verdict(verdict).is_settled:
            counts[value] += ReviewProgress(-number, 0, number)
    return counts


def draw_sample(ledgers: Iterable[Ledger], size: int, seed: int) -> list[RowId]:
    """Draw accepted answers for an audit: those with the smallest hash of seed, batch and row.

    Answers that were judged outside an audit are left out; those judged in an audit stay, so that the next start
    draws the same sample.
    """
    hashes = ((_hash(seed, row_id), row_id) for ledger in ledgers for row_id in _auditable(ledger))
    return [row_id for _, row_id in heapq.nsmallest(size, hashes)]


def _auditable(ledger: Ledger) -> Iterator[RowId]:
    ask = f"SELECT readings.batch_id, readings.row {_NEWEST} AND verdict <> 'withdrawn' AND how <> ?"
    judged = set(ledger.query(ask, (ReviewMethod.AUDIT,)))
    for row_id in ledger.query(f"SELECT batch_id, row FROM readings WHERE status = 'accepted' AND {_CLOSED}"):
        if row_id not in judged:
            yield row_id


def _hash(seed: int, row_id: RowId) -> bytes:
    return hashlib.sha256(f"{seed}/{row_id[0]}/{row_id[1]}".encode()).digest()


def _keys(ledger: Ledger, chosen: Filter, after: Key, most: int) -> list[Key]:
    where, values = chosen.sql_conditions()
    if chosen.state is not State.ANY:
        where += f" AND {_HOLDS} IN {_STATES[chosen.state]}"
    # The first of the two conditions selects the range of the index.
    where += f" AND {_CONFIDENCE} >= ? AND ({_CONFIDENCE}, readings.batch_id, readings.row) > (?, ?, ?)"
    ask = f"{_KEYS} WHERE {where} ORDER BY 1, 2, 3 LIMIT ?"
    return ledger.query(ask, (*values, after[0], *after, most)).fetchall()
