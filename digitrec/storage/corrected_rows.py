"""Apply corrections to the rows of a batch and to their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from digitrec.storage.corrections import NONE, Correction, Verdict, read_latest, read_number_corrections
from digitrec.storage.ledger import Ledger
from digitrec.types import Box, Number, PageReading, PageStatus, Reason, TableRow

NO_CORRECTIONS: Mapping[int, Correction] = MappingProxyType({})


def apply_corrections(ledger: Ledger, batch_id: str) -> list[TableRow]:
    """Return the rows of a batch with the corrections in place of the answers."""
    pages = read_latest(ledger, batch_id)
    numbers: dict[int, dict[int, Correction]] = {}
    for (row, number), correction in read_number_corrections(ledger, batch_id).items():
        numbers.setdefault(row, {})[number] = correction
    return [
        apply_correction(row, pages.get((batch_id, row.row)), numbers.get(row.row, NO_CORRECTIONS))
        for row in ledger.rows(batch_id)
    ]


def apply_correction(
    row: TableRow, correction: Correction | None, of_numbers: Mapping[int, Correction] = NO_CORRECTIONS
) -> TableRow:
    """Return a row with its corrections applied.

    A text that is not the service's has neither confidence nor runner-up. Text and status of a page change once it is
    settled, those of its numbers before.

    Args:
        row: as the service read it.
        correction: the valid one of the page, if there is one.
        of_numbers: the valid ones of its numbers, by position from 1.
    """
    numbered = enumerate(row.reading.numbers, start=1)
    numbers = tuple(_correct_number(number, of_numbers.get(position)) for position, number in numbered)
    if correction is None or not correction.verdict.is_settled:
        return replace(row, reading=replace(row.reading, numbers=numbers))
    numbers = _choose_numbers(row.reading, numbers, correction)
    text = _join(numbers)
    status, reason = _choose_status(correction)
    detail = reason.description if reason else ""
    reading = replace(row.reading, status=status, text=text, reason=reason, detail=detail, numbers=numbers)
    if text != row.reading.text:
        reading = replace(reading, confidence=None, runner_up="", runner_up_confidence=None)
    return replace(row, label=correction.new or row.label, reading=reading)


def _correct_number(number: Number, correction: Correction | None) -> Number:
    if correction is None or not correction.verdict.is_settled:
        return number
    status, reason = _choose_status(correction)
    text = "" if correction.new == NONE else correction.new
    confidence = number.confidence if text == number.text else None
    return replace(number, text=text, confidence=confidence, status=status, reason=reason)


def _choose_status(correction: Correction) -> tuple[PageStatus, Reason | None]:
    """Return status and reason of what a correction settles."""
    if correction.verdict is Verdict.ILLEGIBLE:
        return PageStatus.REVIEW, Reason.NOT_A_DIGIT
    status = PageStatus.CONFIRMED if correction.verdict is Verdict.CONFIRMED else PageStatus.CORRECTED
    return status, Reason.NOT_A_DIGIT if correction.new == NONE else None


def _choose_numbers(reading: PageReading, numbers: tuple[Number, ...], correction: Correction) -> tuple[Number, ...]:
    """Return the numbers of a settled page: those found, or those of its text if these are others."""
    texts = [] if correction.new == NONE else correction.new.split()
    if len(numbers) == 1 and len(texts) < 2:
        return (_correct_number(reading.numbers[0], correction),)
    if correction.verdict is Verdict.ILLEGIBLE or _join(numbers) == " ".join(texts):
        return numbers
    page = Box(0, 0, reading.width or 0, reading.height or 0)
    box = Box.enclose([number.box for number in numbers]) if numbers else page
    return tuple(
        Number(1, column, box, text, (), status=PageStatus.CORRECTED) for column, text in enumerate(texts, start=1)
    )


def _join(numbers: Sequence[Number]) -> str:
    """Return the text of a page with these numbers."""
    return " ".join(number.text for number in numbers if number.text)
