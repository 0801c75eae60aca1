"""Find the least certain digit of each number, and select numbers by it."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from digitrec.review.queries import Filter, State
from digitrec.storage.ledger import Ledger
from digitrec.types import Digit, Number, PageStatus, Reason

NumberKey = tuple[float, str, int, int]
"""Probability of the least certain digit, batch, row and number: the sort key of a list of numbers."""

_CERTAIN = 0.9
"""Probability from which a digit is not marked, unless its number needs review for its low confidence."""

_PROBABILITIES = ", ".join(f"p{digit}" for digit in range(10))
_BEST = f"max({_PROBABILITIES})"
_DIGIT = f"CASE {_BEST} {' '.join(f'WHEN p{digit} THEN {digit}' for digit in range(10))} END"
_IS_OPEN = " AND ".join(
    "ifnull((SELECT verdict FROM corrections WHERE corrections.batch_id = numbers_read.batch_id AND "
    f"corrections.row = numbers_read.row AND corrections.number = {number} ORDER BY id DESC LIMIT 1), "
    "'withdrawn') = 'withdrawn'"
    for number in ("0", "numbers_read.number")
)
"""Condition that neither the page nor the number was judged."""


@dataclass(frozen=True, slots=True)
class DoubtfulDigit:
    """The least certain digit of a number."""

    index: int
    """Its position in the text, from 0."""
    digit: Digit


def find_doubtful_digit(number: Number) -> DoubtfulDigit | None:
    """Return the least certain digit of a number; None if all are certain."""
    positions = [index for index, character in enumerate(number.text) if character.isdigit()]
    if not number.digits or len(positions) != len(number.digits):
        return None
    index, digit = min(zip(positions, number.digits, strict=True), key=lambda item: item[1].confidence)
    is_in_doubt = number.status is PageStatus.REVIEW and number.reason is Reason.LOW_CONFIDENCE
    return DoubtfulDigit(index, digit) if is_in_doubt or digit.confidence < _CERTAIN else None


def list_keys(ledgers: Iterable[Ledger], chosen: Filter, digit: int) -> list[NumberKey]:
    """Return the keys of all numbers whose least certain digit is `digit`, lowest first.

    Pages that hold one digit and nothing else are left out: lists of answers have them. A number is left out, too, if
    it or its page was judged, unless the filter asks for any state.
    """
    return list(heapq.merge(*(_keys(ledger, chosen, digit) for ledger in ledgers if ledger.has_table("numbers"))))


def count_numbers(ledgers: Iterable[Ledger]) -> dict[str, int]:
    """Count the numbers that `list_keys` lists without a filter, by their least certain digit."""
    counts: Counter[str] = Counter()
    for ledger in ledgers:
        if ledger.has_table("numbers"):
            numbers, values = _select_numbers(Filter())
            ask = f"SELECT digit, count(*) FROM ({numbers}) AS numbers_read WHERE {_IS_OPEN} GROUP BY digit"
            counts.update({str(digit): count for digit, count in ledger.query(ask, values)})
    return {str(digit): counts[str(digit)] for digit in range(10)}


def _keys(ledger: Ledger, chosen: Filter, digit: int) -> list[NumberKey]:
    numbers, values = _select_numbers(chosen)
    is_open = "1" if chosen.state is State.ANY else _IS_OPEN
    sql = (
        f"SELECT least, batch_id, row, number FROM ({numbers}) AS numbers_read "
        f"WHERE digit = ? AND {is_open} ORDER BY 1, 2, 3, 4"
    )
    return ledger.query(sql, (*values, digit)).fetchall()


def _select_numbers(chosen: Filter) -> tuple[str, list[object]]:
    """Return SQL that selects batch, row, number, least probability and its digit; and the values of the SQL."""
    where, values = chosen.sql_conditions()
    # CROSS JOIN keeps the order of the tables: most pages have one digit, and theirs are not looked up.
    # With the aggregate min(), SQLite takes the other columns of the row that holds the minimum.
    sql = (
        f"SELECT batch_id, row, number, min({_BEST}) AS least, {_DIGIT} AS digit "
        f"FROM readings CROSS JOIN digits USING (batch_id, row) WHERE length(readings.text) > 1 AND {where} "
        "GROUP BY batch_id, row, number"
    )
    return sql, values
