"""Find answers by part of a file name, by text, by sha256, or by batch; newest first."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from digitrec.review import queries
from digitrec.review.queries import Entry, RowId
from digitrec.storage.judgements import is_text
from digitrec.storage.ledger import Ledger
from digitrec.text import BATCH_ID, unescape_cell

MAX_RESULTS = 60
MAX_QUERY_LENGTH = 400
_SHA256_PREFIX = re.compile(r"[0-9a-f]{8,64}")

_CLOSED = "batch_id NOT IN (SELECT batch_id FROM batches WHERE stage <> 'closed')"
_CONTAINS = "instr(lower(CAST(path AS TEXT)), lower(CAST(? AS TEXT))) > 0"
# A number is a word of the text of its page.
_HOLDS = "instr(' ' || text || ' ', ' ' || ? || ' ') > 0"
_CORRECTED = (
    "SELECT corrections.batch_id, corrections.row FROM corrections WHERE id IN "
    "(SELECT MAX(id) FROM corrections GROUP BY batch_id, row) AND instr(' ' || new || ' ', ' ' || ? || ' ') > 0"
)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Answers found."""

    entries: tuple[Entry, ...]
    has_more: bool


def find_answers(ledgers: Iterable[Ledger], query: str, batch_id: str = "") -> SearchResult:
    """Return the newest answers that match.

    Args:
        ledgers: of all workers.
        query: part of a path, a number, or the first 8 or more digits of a sha256; "" for all.
        batch_id: only answers of this batch, in the order of its rows; "" for all batches.
    """
    entries: list[Entry] = []
    for ledger in ledgers:
        for row_batch_id, row in _find_rows(ledger, query, batch_id):
            entry = queries.read_entry(ledger, row_batch_id, row)
            if entry is not None:
                entries.append(entry)
    entries.sort(key=lambda entry: (entry.row.batch_id, -entry.row.row), reverse=True)
    return SearchResult(tuple(entries[:MAX_RESULTS]), len(entries) > MAX_RESULTS)


def find_original(ledger: Ledger, batch_id: str, location: str) -> RowId | None:
    """Return batch and row of the first page of an archived original; None if this ledger has none there."""
    sql = (
        "SELECT row FROM claims JOIN readings USING (batch_id, path) "
        "WHERE claims.batch_id = ? AND place = ? ORDER BY row LIMIT 1"
    )
    record = ledger.query(sql, (batch_id, os.fsencode(location))).fetchone()
    return (batch_id, record[0]) if record else None


def _find_rows(ledger: Ledger, query: str, batch_id: str) -> list[RowId]:
    conditions, values = [_CLOSED], list[object]()
    if batch_id:
        conditions.append("batch_id = ?")
        values.append(batch_id)
    if query:
        matches = [_CONTAINS]
        values.append(os.fsencode(query))
        if (unescaped := unescape_cell(query)) != query:
            matches.append(_CONTAINS)
            values.append(os.fsencode(unescaped))
        if is_text(query):
            matches.append(_HOLDS)
            values.append(query)
            if ledger.has_table("corrections"):
                matches.append(f"(batch_id, row) IN ({_CORRECTED})")
                values.append(query)
        if BATCH_ID.fullmatch(query):
            matches.append("batch_id = ?")
            values.append(query)
        conditions.append(f"({' OR '.join(matches)})")
    order = "row" if batch_id else "batch_id DESC, row"
    rows: list[RowId] = []
    if _SHA256_PREFIX.fullmatch(query.lower()):
        # The index holds the digests: a range instead of a scan.
        sql = (
            "SELECT batch_id, row FROM readings WHERE sha256 >= ? AND sha256 < ? "
            f"AND batch_id GLOB ? AND {_CLOSED} LIMIT ?"
        )
        values_of_hash = (query.lower(), query.lower() + "g", batch_id or "*", MAX_RESULTS + 1)
        rows = ledger.query(sql, values_of_hash).fetchall()
    sql = f"SELECT batch_id, row FROM readings WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"
    rows += ledger.query(sql, (*values, MAX_RESULTS + 1)).fetchall()
    return list(dict.fromkeys(rows))
