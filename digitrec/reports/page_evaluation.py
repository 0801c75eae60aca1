"""Evaluate the full pipeline on labelled pages that went through it as files."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from digitrec.errors import DataError
from digitrec.reports.alignment import count_digit_errors
from digitrec.reports.batch import (
    NO_DIGIT,
    Json,
    RowFacts,
    count_left_out,
    is_correct,
    measure_accuracy,
    measure_exact,
    select_errors,
    select_labelled,
)
from digitrec.reports.reliability import (
    ReliabilityBin,
    RiskPoint,
    calibration_error,
    expected_calibration_error,
    reliability_bins,
    risk_coverage_curve,
)
from digitrec.reports.statistics import Proportion, Range, bootstrap_rows, clopper_pearson, f1_range, wilson
from digitrec.text import matches_label
from digitrec.types import PageStatus, Reason, Thresholds

READ_AS = (*"0123456789", "other", "none")
"""Columns of the confusion matrix of pages: one digit, another text, or no answer."""


@dataclass(frozen=True, slots=True)
class DigitOutcomes:
    """Results of the pages whose label is one digit."""

    digit: int
    pages: int
    accuracy: Proportion
    accepted: int
    review: int
    rejected: int
    read_as: tuple[int, ...]
    """Number of pages per column of READ_AS."""
    precision: Proportion
    """Share of correct ones among the labelled pages read as exactly this digit."""
    f1: float | None
    """None without pages of the digit, like its range."""
    f1_range: Range | None


@dataclass(frozen=True, slots=True)
class DigitErrors:
    """Digit error rate: the fewest digits to add, remove or replace, over the digits written."""

    errors: int
    digits: int

    @property
    def rate(self) -> float | None:
        """Return errors per digit, 0 or more; None without digits."""
        return self.errors / self.digits if self.digits else None


@dataclass(frozen=True, slots=True)
class PageEvaluation:
    """Metrics of the pipeline on labelled pages."""

    accuracy: Proportion
    """Share of pages with `text` equal to the label; for label `none`, not accepted. A rejected number is an error."""
    exact: Proportion
    """The same, with a label that holds digits only compared as it is written."""
    unlabelled: int
    """Number of pages left out because they have no label."""
    left_out: int
    """Number of pages left out because no answer can equal their label, such as a word."""
    accepted: Proportion
    """Share of accepted pages among the labelled ones."""
    accepted_wrong: Proportion
    """Share of errors among the accepted pages, with the exact (Clopper-Pearson) 95 % interval."""
    numbers: Proportion
    """Share of correct answers among the pages with a number."""
    long_numbers: Proportion
    """Share of correct answers among the pages with a number of several digits."""
    digit_errors: DigitErrors
    """Of the same pages."""
    empty: Proportion
    """Share of accepted pages among those labelled `none`."""
    rejected_numbers: int
    """Number of rejected pages with a number."""
    reasons: tuple[tuple[Reason, int], ...]
    """Count of each reason, in the order of the closed list."""
    thresholds: Thresholds | None
    """Lowest accepted confidences; None if unknown."""
    reliability: tuple[ReliabilityBin, ...]
    """Bins of the labelled pages with a confidence."""
    ece: float | None
    """Expected calibration error, 0..1; None if no page has a confidence."""
    ece_range: Range | None
    """95 % interval by bootstrap."""
    risk_coverage: tuple[RiskPoint, ...]
    """Curve of the pages that some threshold accepts; coverage is relative to all labelled pages."""
    digits: tuple[DigitOutcomes, ...]
    """Ten, in order."""
    cells: Mapping[tuple[int, int], tuple[RowFacts, ...]]
    """Pages with one digit by (digit, column of READ_AS): errors by falling, correct ones by rising confidence."""
    errors: tuple[RowFacts, ...]
    """Pages with a wrong answer: accepted ones first, then by descending confidence."""

    def to_json(self) -> Json:
        """Return the metrics as plain types; errors are counted, not listed."""
        return {
            "accuracy": self.accuracy.to_json(),
            "exact": self.exact.to_json(),
            "unlabelled": self.unlabelled,
            "labels_left_out": self.left_out,
            "accepted": self.accepted.to_json(),
            "accepted_wrong": self.accepted_wrong.to_json(),
            "numbers": self.numbers.to_json(),
            "long_numbers": self.long_numbers.to_json(),
            "digit_errors": asdict(self.digit_errors) | {"rate": self.digit_errors.rate},
            "empty": self.empty.to_json(),
            "rejected_numbers": self.rejected_numbers,
            "reasons": {reason.value: count for reason, count in self.reasons},
            "thresholds": None if self.thresholds is None else asdict(self.thresholds),
            "reliability": [asdict(item) for item in self.reliability],
            "ece": self.ece,
            "ece_range": None if self.ece_range is None else asdict(self.ece_range),
            "risk_coverage": [asdict(item) for item in self.risk_coverage],
            "digits": [
                asdict(digit)
                | {
                    "accuracy": digit.accuracy.to_json(),
                    "precision": digit.precision.to_json(),
                    "read_as": list(digit.read_as),
                }
                for digit in self.digits
            ],
            "mistakes": len(self.errors),
        }


def evaluate_pages(rows: Iterable[RowFacts], thresholds: Thresholds | None = None) -> PageEvaluation:
    """Evaluate labelled pages; raises DataError if no page has a label.

    Args:
        rows: rows of one or several batches.
        thresholds: lowest accepted confidences.
    """
    rows = list(rows)
    labelled, left_out = select_labelled(rows), count_left_out(rows)
    if not labelled:
        raise DataError(
            "no page has a label, so there is nothing to measure",
            hint="Put a labels.csv (file,label) beside the pictures, or sort them into folders 0..9.",
        )
    accepted = [row for row in labelled if row.status is PageStatus.ACCEPTED]
    numbers = [row for row in labelled if row.label != NO_DIGIT]
    long_numbers = [row for row in numbers if sum(map(str.isdigit, row.label)) > 1]
    empty = [row for row in labelled if row.label == NO_DIGIT]
    reasons = Counter(row.reason for row in labelled)
    bins, ece, ece_range = _calibration([row for row in labelled if row.confidence is not None])
    return PageEvaluation(
        accuracy=measure_accuracy(labelled),
        exact=measure_exact(labelled),
        unlabelled=len(rows) - len(labelled) - left_out,
        left_out=left_out,
        accepted=wilson(len(accepted), len(labelled)),
        accepted_wrong=clopper_pearson(sum(not is_correct(row) for row in accepted), len(accepted)),
        numbers=measure_accuracy(numbers),
        long_numbers=measure_accuracy(long_numbers),
        digit_errors=DigitErrors(
            sum(count_digit_errors(row.text, row.label) for row in long_numbers),
            sum(sum(map(str.isdigit, row.label)) for row in long_numbers),
        ),
        empty=wilson(sum(not is_correct(row) for row in empty), len(empty)),
        rejected_numbers=sum(row.status is PageStatus.REJECTED for row in numbers),
        reasons=tuple((reason, reasons[reason]) for reason in Reason if reasons[reason]),
        thresholds=thresholds,
        reliability=bins,
        ece=ece,
        ece_range=ece_range,
        risk_coverage=_risk_coverage(labelled),
        digits=tuple(_digit(digit, labelled) for digit in range(10)),
        cells=_cells(labelled),
        errors=tuple(select_errors(labelled)),
    )


def _calibration(
    answered: Sequence[RowFacts],
) -> tuple[tuple[ReliabilityBin, ...], float | None, Range | None]:
    """Return reliability bins and calibration error, with its interval, of pages with a confidence."""
    confidence = np.array([row.confidence for row in answered], np.float64)
    right = np.array([matches_label(row.text, row.label) for row in answered], np.bool_)
    bins = reliability_bins(confidence, right)
    if not answered:
        return bins, None, None
    pairs = np.stack([confidence, right.astype(np.float64)], axis=1)  # (n, 2)
    ece_range = bootstrap_rows(pairs, lambda rows, drawn: calibration_error(rows[drawn, 0], rows[drawn, 1] > 0))
    return bins, expected_calibration_error(bins), ece_range


def _risk_coverage(labelled: Sequence[RowFacts]) -> tuple[RiskPoint, ...]:
    # A page in review for another reason than its confidence is accepted at no threshold.
    acceptable = [row for row in labelled if row.status is PageStatus.ACCEPTED or row.reason is Reason.LOW_CONFIDENCE]
    if not acceptable:
        return ()
    confidence = np.array([row.confidence or 0.0 for row in acceptable], np.float64)
    right = np.array([matches_label(row.text, row.label) for row in acceptable], np.bool_)
    return risk_coverage_curve(confidence, right, len(labelled))


def _digit(digit: int, labelled: Sequence[RowFacts]) -> DigitOutcomes:
    rows = [row for row in labelled if row.label == str(digit)]
    read = [row for row in labelled if row.text == str(digit)]
    right = sum(row.label == row.text for row in read)
    status = Counter(row.status for row in rows)
    columns = Counter(_column(row.text) for row in rows)
    return DigitOutcomes(
        digit=digit,
        pages=len(rows),
        accuracy=measure_accuracy(rows),
        accepted=status[PageStatus.ACCEPTED],
        review=status[PageStatus.REVIEW],
        rejected=status[PageStatus.REJECTED],
        read_as=tuple(columns[column] for column in READ_AS),
        precision=wilson(right, len(read)),
        f1=2 * right / (len(read) + len(rows)) if rows else None,
        f1_range=f1_range(right, len(read), len(rows)) if rows else None,
    )


def _cells(labelled: Iterable[RowFacts]) -> Mapping[tuple[int, int], tuple[RowFacts, ...]]:
    cells: dict[tuple[int, int], list[RowFacts]] = {}
    for row in labelled:
        if row.label in READ_AS[:10]:
            cells.setdefault((int(row.label), READ_AS.index(_column(row.text))), []).append(row)
    return {
        (digit, column): tuple(sorted(rows, key=lambda row: row.confidence or 0.0, reverse=digit != column))
        for (digit, column), rows in cells.items()
    }


def _column(text: str) -> str:
    if not text:
        return "none"
    return text if text in READ_AS[:10] else "other"
