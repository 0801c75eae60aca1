"""Aligns the numbers that were read on a page with those that are written there, and counts the differences."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from digitrec.reports.alignment import count_digit_errors

_BREAK = " "
_BREAK_COST = 0.1
"""Cost of an additional or missing break between two numbers, in digits."""
_NEVER = 3.0
"""Cost of a break in place of a digit: more than removing one and adding the other."""


@dataclass(frozen=True, slots=True)
class ReadNumber:
    """A number as it was read."""

    text: str
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class NumberCounts:
    """Counts of the numbers and digits of some pages."""

    written: int = 0
    right: int = 0
    """Written numbers that were read exactly, whatever their status."""
    accepted: int = 0
    """Numbers that were read and accepted, and those that are missing on an accepted page."""
    wrong: int = 0
    """Accepted ones with other, additional or missing characters."""
    joined: int = 0
    """Accepted ones whose characters are right and that begin or end within another number, or hold several."""
    digits: int = 0
    digit_errors: int = 0
    """Edit distance between the digits read and those written."""

    def __add__(self, other: "NumberCounts") -> "NumberCounts":
        names = [field.name for field in fields(self)]
        return NumberCounts(*(getattr(self, name) + getattr(other, name) for name in names))


def count_numbers(
    written: Sequence[str], read: Sequence[ReadNumber], *, is_accepted: bool, has_limits: bool = True
) -> NumberCounts:
    """Compare the numbers of a page, both in reading order.

    Args:
        written: the true numbers.
        read: the answer.
        is_accepted: whether the page was accepted.
        has_limits: False if `written` holds the digits of several numbers without their limits, as labels do; then
            only digits are compared.

    >>> answer = [ReadNumber("12", True), ReadNumber("45", True), ReadNumber("67", False)]
    >>> count_numbers(["12", "345", "67"], answer, is_accepted=False)
    NumberCounts(written=3, right=2, accepted=2, wrong=1, joined=0, digits=7, digit_errors=1)
    """
    if not has_limits:
        written = [digits_of(text) for text in written]
        read = [ReadNumber(digits_of(number.text), number.is_accepted) for number in read]
    true_text, read_text = _BREAK.join(written), _BREAK.join(number.text for number in read)
    place_of = _matches(true_text, read_text)
    is_matched = set(place_of.values())
    # A break counts as matched: nothing of a number is missing beside it.
    is_matched |= {place for place, character in enumerate(true_text) if character == _BREAK} | {-1, len(true_text)}
    starts = _starts(written)
    spans = {(start, start + len(text)) for start, text in zip(starts, written, strict=True)}
    right = accepted = wrong = joined = 0
    for number, start in zip(read, _starts([number.text for number in read]), strict=True):
        positions = [place_of.get(start + offset, -1) for offset in range(len(number.text))]
        is_same = _is_run(positions, true_text)
        is_right = (
            is_same
            and (positions[0], positions[-1] + 1) in spans
            and len(positions) == positions[-1] + 1 - positions[0]
        )
        right += is_right
        if not number.is_accepted:
            continue
        accepted += 1
        can_miss = has_limits or len(read) == 1
        misses = can_miss and is_same and not {positions[0] - 1, positions[-1] + 1} <= is_matched
        wrong += not is_same or misses
        joined += has_limits and is_same and not misses and not is_right
    if is_accepted:
        missing = sum(not any(place in is_matched for place in range(*span)) for span in spans)
        accepted, wrong = accepted + missing, wrong + missing
    digits = digits_of(true_text)
    errors = count_digit_errors(read_text, true_text)
    if not has_limits:
        right = int(bool(written) and errors == 0)
    return NumberCounts(len(written), right, accepted, wrong, joined, len(digits), errors)


def digits_of(text: str) -> str:
    """Return the digits of a text.

    >>> digits_of("-12,5")
    '125'
    """
    return "".join(character for character in text if character.isdigit())


def _costs(first: str, second: str) -> np.ndarray:
    """Return the cost of turning each beginning of a text into each of another, (len(first) + 1, len(second) + 1)."""
    add = np.array([0.0, *(_BREAK_COST if character == _BREAK else 1.0 for character in second)]).cumsum()
    costs = np.empty((len(first) + 1, len(second) + 1))
    costs[0] = add
    others = np.array([*second])
    for row, character in enumerate(first):
        replaced = np.where((others == _BREAK) | (character == _BREAK), _NEVER, 1.0)
        replaced[others == character] = 0.0
        above = costs[row]
        best = above + (_BREAK_COST if character == _BREAK else 1.0)
        best[1:] = np.minimum(best[1:], above[:-1] + replaced)
        # The cheapest way along the row: additions cost the difference of `add`.
        costs[row + 1] = np.minimum.accumulate(best - add) + add
    return costs


def _matches(true_text: str, read_text: str) -> dict[int, int]:
    """Return for the places of `read_text` that are right their places in `true_text`, by the cheapest alignment."""
    costs = _costs(true_text, read_text)
    row, column = len(true_text), len(read_text)
    positions = {}
    while row and column:
        true_character, read_character = true_text[row - 1], read_text[column - 1]
        here = costs[row, column]
        is_equal = true_character == read_character
        replaced = 0.0 if is_equal else _NEVER if _BREAK in {true_character, read_character} else 1.0
        if abs(here - costs[row - 1, column - 1] - replaced) < 1e-6:
            if is_equal:
                positions[column - 1] = row - 1
            row, column = row - 1, column - 1
        elif abs(here - costs[row - 1, column] - (_BREAK_COST if true_character == _BREAK else 1.0)) < 1e-6:
            row -= 1
        else:
            column -= 1
    return positions


def _starts(texts: Sequence[str]) -> list[int]:
    """Return where each text begins when they are joined by breaks."""
    ends = np.cumsum([len(text) + 1 for text in texts])
    return [0, *map(int, ends[:-1])] if texts else []


def _is_run(positions: Sequence[int], text: str) -> bool:
    """Return whether places follow each other, with nothing but breaks between them."""
    return (
        bool(positions)
        and positions[0] >= 0
        and all(
            last >= 0 and text[last + 1 : place].strip(_BREAK) == "" and place > last
            for last, place in pairwise(positions)
        )
    )
