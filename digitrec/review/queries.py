"""Which answers a person looks at, and in which order: the least sure first, by key, so that every page costs the same.

Only batches that are closed: before that, an original may still be on its way.
"""

import hashlib
import heapq
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from digitrec.storage import schema
from digitrec.storage.corrections import Correction, ReviewMethod, Verdict, read_history
from digitrec.storage.ledger import Ledger
from digitrec.text import unescape_cell
from digitrec.types import Digit, PageStatus, TableRow

Key = tuple[float, str, int]
"""How sure (2 where there is no answer), batch and row: the order of every list here."""
RowId = tuple[str, int]
"""Batch and row."""

START: Key = (-1.0, "", 0)
"""Before every key."""

_SURENESS = "ifnull(readings.confidence, 2)"
_CLOSED = "readings.batch_id NOT IN (SELECT batch_id FROM batches WHERE stage <> 'closed')"
_KEYS = f"SELECT {_SURENESS}, readings.batch_id, readings.row FROM readings"
_HOLDS = (
    "ifnull((SELECT verdict FROM corrections WHERE corrections.batch_id = readings.batch_id "
    "AND corrections.row = readings.row ORDER BY id DESC LIMIT 1), 'withdrawn')"
)
_NEWEST = (
    "FROM corrections JOIN readings USING (batch_id, row) "
    "WHERE corrections.id IN (SELECT MAX(id) FROM corrections GROUP BY batch_id, row)"
)


class State(StrEnum):
    """What people have said so far."""

    OPEN = "open"
    UNSURE = "unsure"
    RESOLVED = "settled"
    ANY = "any"


_STATES = {State.OPEN: "('withdrawn')", State.UNSURE: "('unsure')", State.RESOLVED: "('confirmed', 'corrected')"}

NUMBERS = "numbers"
"""Instead of a text: more than one digit."""
NO_DIGIT = "none"
"""Instead of a text: it does not look like a digit, whatever was read; the word that `labels.csv` has for it."""
NOTHING = "nothing"
"""Instead of a text: none was read."""

# The status first: that is in the index, the reason is not.
_IS_NO_DIGIT = "readings.status = 'review' AND readings.reason = 'not_a_digit'"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which answers are meant; what is empty does not matter."""

    status: PageStatus | None = None
    state: State = State.OPEN
    text: str = ""
    """Digits that were read, exactly; or `NUMBERS`, `NO_DIGIT`, `NOTHING`. An answer is among one of them only."""
    batch: str = ""
    file: str = ""
    """A part of the path, upper and lower case alike; or of the path as the CSV writes it."""

    def sql_conditions(self) -> tuple[str, list[object]]:
        """What SQL asks for it, without the state, and the values in that."""
        asked: list[tuple[str, list[object]]] = [(_CLOSED, [])]
        if self.status is not None:
            asked.append(("readings.status = ?", [self.status]))
        if self.text == NO_DIGIT:
            asked.append((_IS_NO_DIGIT, []))
        elif self.text == NUMBERS:
            asked.append((f"length(readings.text) > 1 AND NOT ({_IS_NO_DIGIT})", []))
        elif self.text:
            text = "" if self.text == NOTHING else self.text
            asked.append((f"readings.text = ? AND NOT ({_IS_NO_DIGIT})", [text]))
        if self.batch:
            asked.append(("readings.batch_id = ?", [self.batch]))
        if self.file:
            spelt = sorted({self.file, unescape_cell(self.file)})
            one = "instr(lower(CAST(readings.path AS TEXT)), lower(CAST(? AS TEXT))) > 0"
            asked.append((f"({' OR '.join([one] * len(spelt))})", [os.fsencode(each) for each in spelt]))
        return " AND ".join(condition for condition, _ in asked), [value for _, values in asked for value in values]


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer, and what people said of it."""

    row: TableRow
    """With its digits."""
    location: str
    """Where its original was filed away, under the workspace."""
    newest: Correction | None
    """The newest entry of the log, a withdrawn one too."""


@dataclass(frozen=True, slots=True)
class ReviewProgress:
    """How far a review is."""

    open: int = 0
    unsure: int = 0
    resolved: int = 0

    def __add__(self, other: "ReviewProgress") -> "ReviewProgress":
        return ReviewProgress(self.open + other.open, self.unsure + other.unsure, self.resolved + other.resolved)

    def __sub__(self, other: "ReviewProgress") -> "ReviewProgress":
        return ReviewProgress(self.open - other.open, self.unsure - other.unsure, self.resolved - other.resolved)


def list_keys(ledgers: Iterable[Ledger], chosen: Filter, after: Key, most: int) -> list[Key]:
    """The next answers, the least sure first, over all ledgers."""
    return list(heapq.merge(*(_keys(ledger, chosen, after, most) for ledger in ledgers)))[:most]


def read_entry(ledger: Ledger, batch_id: str, number: int) -> Entry | None:
    """One answer; None if this ledger has no such row."""
    row = ledger.row(batch_id, number)
    if row is None:
        return None
    ask = "SELECT place FROM claims WHERE batch_id = ? AND path = ?"
    found = ledger.query(ask, (batch_id, os.fsencode(row.path))).fetchone()
    said = read_history(ledger, batch_id, number)
    row = _with_digits(row, _digits(ledger, batch_id, number))
    return Entry(row, os.fsdecode(found[0]) if found else "", said[-1] if said else None)


def read_preview(ledger: Ledger, batch_id: str, number: int) -> bytes | None:
    """The small picture (PNG) that was kept of a page; None if none was."""
    ask = "SELECT preview FROM readings WHERE batch_id = ? AND row = ?"
    found = ledger.query(ask, (batch_id, number)).fetchone()
    return found[0] if found else None


def count_answers(ledger: Ledger, chosen: Filter) -> ReviewProgress:
    """How many of the answers that are meant are in each state; the filter's own state does not matter."""
    where, values = chosen.sql_conditions()
    (total,) = ledger.query(f"SELECT COUNT(*) FROM readings WHERE {where}", values).fetchone()
    said = dict(ledger.query(f"SELECT verdict, COUNT(*) {_NEWEST} AND {where} GROUP BY verdict", values))
    settled, unsure = said.get("confirmed", 0) + said.get("corrected", 0), said.get("unsure", 0)
    return ReviewProgress(total - settled - unsure, unsure, settled)


def count_answers_by(ledger: Ledger, column: str, chosen: Filter) -> dict[str, ReviewProgress]:
    """The same for each batch (`batch_id`), or for each text that was read (`text`)."""
    where, values = chosen.sql_conditions()
    asked = f"SELECT readings.{column}, COUNT(*) FROM readings WHERE {where} GROUP BY readings.{column}"
    found = {each: ReviewProgress(open=total) for each, total in ledger.query(asked, values)}
    asked = f"SELECT readings.{column}, verdict, COUNT(*) {_NEWEST} AND {where} GROUP BY readings.{column}, verdict"
    for each, said, number in ledger.query(asked, values):
        verdict = Verdict(said)
        if verdict is Verdict.UNSURE:
            found[each] += ReviewProgress(-number, number, 0)
        elif verdict.is_settled:
            found[each] += ReviewProgress(-number, 0, number)
    return found


def draw_sample(ledgers: Iterable[Ledger], size: int, seed: int) -> list[RowId]:
    """Draw accepted answers for an audit: those a draw with this seed takes first, wherever the ledgers stand.

    What was looked at in another way is left out; what the audit itself looked at stays, so that a sample that was
    begun is the same at the next start.
    """
    drawn = ((_lot(seed, place), place) for ledger in ledgers for place in _auditable(ledger))
    return [place for _, place in heapq.nsmallest(size, drawn)]


def _auditable(ledger: Ledger) -> Iterator[RowId]:
    ask = f"SELECT readings.batch_id, readings.row {_NEWEST} AND verdict <> 'withdrawn' AND how <> ?"
    seen = set(ledger.query(ask, (ReviewMethod.AUDIT,)))
    for place in ledger.query(f"SELECT batch_id, row FROM readings WHERE status = 'accepted' AND {_CLOSED}"):
        if place not in seen:
            yield place


def _lot(seed: int, place: RowId) -> bytes:
    return hashlib.sha256(f"{seed}/{place[0]}/{place[1]}".encode()).digest()


def _keys(ledger: Ledger, chosen: Filter, after: Key, most: int) -> list[Key]:
    where, values = chosen.sql_conditions()
    if chosen.state is not State.ANY:
        where += f" AND {_HOLDS} IN {_STATES[chosen.state]}"
    # The first of the two is what the index is entered by.
    where += f" AND {_SURENESS} >= ? AND ({_SURENESS}, readings.batch_id, readings.row) > (?, ?, ?)"
    ask = f"{_KEYS} WHERE {where} ORDER BY 1, 2, 3 LIMIT ?"
    return ledger.query(ask, (*values, after[0], *after, most)).fetchall()


def _digits(ledger: Ledger, batch_id: str, number: int) -> tuple[Digit, ...]:
    columns = ", ".join(("x", "y", "width", "height", *(f"p{digit}" for digit in range(10))))
    ask = f"SELECT {columns} FROM digits WHERE batch_id = ? AND row = ? ORDER BY place"
    return tuple(schema.decode_digit(one) for one in ledger.query(ask, (batch_id, number)))


def _with_digits(row: TableRow, digits: tuple[Digit, ...]) -> TableRow:
    return replace(row, reading=replace(row.reading, digits=digits))
