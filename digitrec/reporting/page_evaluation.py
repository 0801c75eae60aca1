"""How good the whole pipeline is: the numbers for labelled pages that went through it as files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from digitrec.errors import DataError
from digitrec.records import Reason, Status
from digitrec.reporting.batch import NO_DIGIT, Json, RowFacts, is_right, mistakes_in, right_share
from digitrec.reporting.intervals import Proportion, clopper_pearson, wilson

READ_AS = (*"0123456789", "other", "none")
"""Columns of the confusion of pages: one digit, another text, or no answer."""


@dataclass(frozen=True, slots=True)
class DigitPages:
    """What became of the pages whose truth is one single digit."""

    digit: int
    pages: int
    accuracy: Proportion
    accepted: int
    review: int
    rejected: int
    read_as: tuple[int, ...]
    """Pages per column of READ_AS."""


@dataclass(frozen=True, slots=True)
class PageEvaluation:
    """Everything measured on labelled pages."""

    accuracy: Proportion
    """`text` equal to the label; for label `none`, not accepted. A rejected page with a number on it is wrong."""
    unlabelled: int
    """Pages left out because their truth is not known."""
    accepted: Proportion
    """Of the labelled pages."""
    accepted_wrong: Proportion
    """Errors among the accepted, with the exact (Clopper-Pearson) 95 % interval."""
    numbers: Proportion
    """Pages with a number on them, read rightly."""
    empty: Proportion
    """Pages labelled `none` that were accepted all the same: the fewer, the better."""
    rejected_numbers: int
    """Pages with a number on them that were rejected."""
    reasons: tuple[tuple[Reason, int], ...]
    """How often each reason was given, in the order of the closed list."""
    digits: tuple[DigitPages, ...]
    """Ten, in order."""
    mistakes: tuple[RowFacts, ...]
    """Accepted ones first, the surest first."""

    def to_json(self) -> Json:
        """The same as plain types; the mistakes are counted, not listed."""
        return {
            "accuracy": self.accuracy.to_json(),
            "unlabelled": self.unlabelled,
            "accepted": self.accepted.to_json(),
            "accepted_wrong": self.accepted_wrong.to_json(),
            "numbers": self.numbers.to_json(),
            "empty": self.empty.to_json(),
            "rejected_numbers": self.rejected_numbers,
            "reasons": {reason.value: count for reason, count in self.reasons},
            "digits": [
                asdict(one) | {"accuracy": one.accuracy.to_json(), "read_as": list(one.read_as)} for one in self.digits
            ],
            "mistakes": len(self.mistakes),
        }


def evaluate_pages(rows: Iterable[RowFacts]) -> PageEvaluation:
    """Measure labelled pages; DataError if none has a label."""
    rows = list(rows)
    labelled = [row for row in rows if row.label]
    if not labelled:
        raise DataError(
            "no page has a label, so there is nothing to measure",
            hint="Put a labels.csv (file,label) beside the pictures, or sort them into folders 0..9.",
        )
    accepted = [row for row in labelled if row.status is Status.ACCEPTED]
    numbers = [row for row in labelled if row.label != NO_DIGIT]
    empty = [row for row in labelled if row.label == NO_DIGIT]
    reasons = Counter(row.reason for row in labelled)
    return PageEvaluation(
        accuracy=right_share(labelled),
        unlabelled=len(rows) - len(labelled),
        accepted=wilson(len(accepted), len(labelled)),
        accepted_wrong=clopper_pearson(sum(not is_right(row) for row in accepted), len(accepted)),
        numbers=right_share(numbers),
        empty=wilson(sum(not is_right(row) for row in empty), len(empty)),
        rejected_numbers=sum(row.status is Status.REJECTED for row in numbers),
        reasons=tuple((reason, reasons[reason]) for reason in Reason if reasons[reason]),
        digits=tuple(_digit(digit, [row for row in numbers if row.label == str(digit)]) for digit in range(10)),
        mistakes=tuple(mistakes_in(labelled)),
    )


def _digit(digit: int, rows: Sequence[RowFacts]) -> DigitPages:
    status = Counter(row.status for row in rows)
    columns = Counter(_column(row.text) for row in rows)
    return DigitPages(
        digit=digit,
        pages=len(rows),
        accuracy=right_share(rows),
        accepted=status[Status.ACCEPTED],
        review=status[Status.REVIEW],
        rejected=status[Status.REJECTED],
        read_as=tuple(columns[column] for column in READ_AS),
    )


def _column(text: str) -> str:
    if not text:
        return "none"
    return text if text in READ_AS[:10] else "other"
