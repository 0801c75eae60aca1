"""Evaluate a classifier: accuracy, calibration and errors from the ground truth and the scores."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Scores
from digitrec.errors import DataError
from digitrec.recognition.classifier import CLASSES, DIGITS, NO_DIGIT
from digitrec.reports.batch import Json
from digitrec.reports.reliability import (
    ReliabilityBin,
    RiskPoint,
    calibration_error,
    expected_calibration_error,
    reliability_bins,
    risk_coverage_curve,
)
from digitrec.reports.statistics import (
    Proportion,
    Range,
    bootstrap_rows,
    bootstrap_table,
    clopper_pearson,
    f1_range,
    wilson,
)

MAX_CONFUSIONS = 10
NARROW_PER_DIGIT = 6
"""Number of correct pictures of each digit with the lowest confidence that a report shows."""
_MIN_PROBABILITY = 1e-12
"""float32 scores may be exactly 0; the logarithm must stay finite."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Precision, recall and F1 of a digit, as in scikit-learn's classification report."""

    digit: int
    support: int
    """Number of pictures of the digit."""
    precision: float | None
    """Share of correct ones among the pictures read as this digit; None without pictures, like recall and F1."""
    recall: float | None
    f1: float | None
    precision_range: Range | None = None
    """Wilson's 95 % interval; None if no picture was read as this digit, or the data has none of the digit."""
    recall_range: Range | None = None
    f1_range: Range | None = None


@dataclass(frozen=True, slots=True)
class Average:
    """Mean precision, recall and F1 of the digits that occur."""

    precision: float
    recall: float
    f1: float
    precision_range: Range
    """95 % interval by bootstrap, as for recall and F1."""
    recall_range: Range
    f1_range: Range


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """A digit read as another one."""

    truth: int
    read_as: int
    count: int
    share: float
    """Share of the pictures of `truth`."""
    range: Range
    """Wilson's 95 % interval."""


@dataclass(frozen=True, slots=True)
class PictureResult:
    """Result for a picture."""

    index: int
    """Index in the data."""
    truth: int
    read_as: int
    """The digit, or NO_DIGIT."""
    confidence: float
    """Probability of the most probable digit."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a classifier on a set of pictures."""

    accuracy: Proportion
    """With Wilson's 95 % interval."""
    per_class: tuple[ClassScore, ...]
    """Ten, in order."""
    macro: Average
    """Mean over the digits."""
    weighted: Average
    """Mean over the pictures."""
    confusion: tuple[tuple[int, ...], ...]
    """(10, 11): row = truth, column = read as; the last column: non-digit."""
    top_confusions: tuple[ConfusedPair, ...]
    """Most frequent confusions, at most MAX_CONFUSIONS."""
    reliability: tuple[ReliabilityBin, ...]
    ece: float
    """Expected calibration error, 0..1."""
    ece_range: Range
    """95 % interval by bootstrap, as for the log likelihood."""
    nll: float
    """Mean negative log likelihood of the truth, nats."""
    nll_range: Range
    threshold: float
    accepted: Proportion
    """Pictures whose confidence reaches the threshold and that are not read as a non-digit."""
    accepted_wrong: Proportion
    """Errors among the accepted, with the exact (Clopper-Pearson) 95 % interval."""
    risk_coverage: tuple[RiskPoint, ...]
    errors: tuple[PictureResult, ...]
    """All errors, highest confidence first."""
    narrow_correct: tuple[PictureResult, ...]
    """Correct pictures of each digit with the lowest confidence, lowest first."""

    def to_json(self) -> Json:
        """Return the metrics as plain types without NaN; errors are counted, not listed."""
        plain: Json = {
            "accuracy": self.accuracy.to_json(),
            "per_class": [asdict(item) for item in self.per_class],
            "macro": asdict(self.macro),
            "weighted": asdict(self.weighted),
            "confusion": [list(row) for row in self.confusion],
            "confused": [asdict(pair) for pair in self.top_confusions],
            "reliability": [asdict(item) for item in self.reliability],
            "ece": self.ece,
            "ece_range": asdict(self.ece_range),
            "nll": self.nll,
            "nll_range": asdict(self.nll_range),
            "threshold": self.threshold,
            "accepted": self.accepted.to_json(),
            "accepted_wrong": self.accepted_wrong.to_json(),
            "risk_coverage": [asdict(point) for point in self.risk_coverage],
            "mistakes": len(self.errors),
        }
        return plain


def evaluate_scores(truth: NDArray[np.integer[Any]], scores: Scores, threshold: float) -> Evaluation:
    """Measure (n, 11) scores against (n,) digits 0..9. A digit taken for no digit is wrong.

    DataError if there is nothing to measure; ValueError if the shapes or ranges are not these.
    """
    _check(truth, scores)
    read_as = scores.argmax(axis=1)  # (n,)
    confidence = scores[:, :DIGITS].max(axis=1).astype(np.float64)  # (n,), 0..1
    right = read_as == truth  # (n,)
    accepted = (confidence >= threshold) & (read_as != NO_DIGIT)  # as `decision.decide` has it
    confusion = np.zeros((DIGITS, CLASSES), dtype=np.int64)
    np.add.at(confusion, (truth, read_as), 1)
    per_class, macro, weighted = _classes(truth, confusion)
    bins = reliability_bins(confidence, right)
    likelihood = scores[np.arange(len(truth)), truth].astype(np.float64)  # (n,)
    surprise = -np.log(np.clip(likelihood, _MIN_PROBABILITY, 1.0))  # (n,)
    ece_range, nll_range = _bootstrap_ranges(confidence, right, surprise)
    return Evaluation(
        accuracy=wilson(int(right.sum()), len(truth)),
        per_class=per_class,
        macro=macro,
        weighted=weighted,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        top_confusions=_most_confused(confusion),
        reliability=bins,
        ece=expected_calibration_error(bins),
        ece_range=ece_range,
        nll=float(surprise.mean()),
        nll_range=nll_range,
        threshold=float(threshold),
        accepted=wilson(int(accepted.sum()), len(truth)),
        accepted_wrong=clopper_pearson(int((accepted & ~right).sum()), int(accepted.sum())),
        risk_coverage=risk_coverage_curve(confidence, right),
        errors=_select_errors(truth, read_as, confidence),
        narrow_correct=_select_narrow_correct(truth, read_as, confidence),
    )


def _check(truth: NDArray[np.integer[Any]], scores: Scores) -> None:
    if len(truth) == 0:
        raise DataError("there are no pictures to evaluate")
    if truth.shape != (len(truth),) or scores.shape != (len(truth), CLASSES):
        raise ValueError(f"truth {truth.shape} and scores {scores.shape} are not (n,) and (n, {CLASSES})")
    if truth.min() < 0 or truth.max() > 9:
        raise ValueError("the truth holds values outside 0..9")
    if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1 + 1e-5:
        raise ValueError("the scores are not probabilities")


def _bootstrap_ranges(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], surprise: NDArray[np.float64]
) -> tuple[Range, Range]:
    """Return the intervals of the calibration error and of the mean negative log likelihood."""
    rows = np.stack([confidence, right.astype(np.float64), surprise], axis=1)  # (n, 3)
    return (
        bootstrap_rows(rows, lambda all_, drawn: calibration_error(all_[drawn, 0], all_[drawn, 1] > 0)),
        bootstrap_rows(rows, lambda all_, drawn: float(all_[drawn, 2].mean())),
    )


def _classes(
    truth: NDArray[np.integer[Any]], confusion: NDArray[np.int64]
) -> tuple[tuple[ClassScore, ...], Average, Average]:
    # Digits the data lacks would count as 0 in the averages and say nothing about the model.
    present = np.unique(truth).tolist()
    means = average_class_scores(confusion[None].astype(np.float64), present)[0].tolist()  # 6
    ranges = bootstrap_table(confusion, lambda tables: average_class_scores(tables, present))
    return (
        tuple(_class(digit, confusion) for digit in range(10)),
        Average(*means[:3], *ranges[:3]),
        Average(*means[3:], *ranges[3:]),
    )


def average_class_scores(tables: NDArray[np.float64], present: list[int]) -> NDArray[np.float64]:
    """Return macro and weighted means of precision, recall and F1 of confusion tables: (m, 10, 11) in, (m, 6) out."""
    right = np.diagonal(tables, axis1=1, axis2=2)[:, present]  # (m, digits)
    support = tables.sum(axis=2)[:, present]
    read = tables.sum(axis=1)[:, present]
    scores = [  # as in scikit-learn: 0 where no picture was read as the digit
        right / np.maximum(read, 1),
        right / np.maximum(support, 1),
        2 * right / np.maximum(read + support, 1),
    ]
    by_digit = [score.mean(axis=1) for score in scores]
    by_picture = [(score * support).sum(axis=1) / support.sum(axis=1) for score in scores]
    return np.stack(by_digit + by_picture, axis=1)


def _class(digit: int, confusion: NDArray[np.int64]) -> ClassScore:
    right, read, support = (
        int(count) for count in (confusion[digit, digit], confusion[:, digit].sum(), confusion[digit].sum())
    )
    if not support:
        return ClassScore(digit, 0, None, None, None)
    return ClassScore(
        digit,
        support,
        precision=right / max(read, 1),
        recall=right / support,
        f1=2 * right / (read + support),
        precision_range=_range(wilson(right, read)) if read else None,
        recall_range=_range(wilson(right, support)),
        f1_range=f1_range(right, read, support),
    )


def _range(share: Proportion) -> Range:
    return Range(share.low, share.high)


def _most_confused(confusion: NDArray[np.int64]) -> tuple[ConfusedPair, ...]:
    support = confusion.sum(axis=1)
    pairs = [
        _pair(truth, read_as, int(confusion[truth, read_as]), int(support[truth]))
        for truth in range(10)
        for read_as in range(10)
        if truth != read_as and confusion[truth, read_as]
    ]
    pairs.sort(key=lambda pair: -pair.count)
    return tuple(pairs[:MAX_CONFUSIONS])


def _pair(truth: int, read_as: int, count: int, support: int) -> ConfusedPair:
    return ConfusedPair(truth, read_as, count, count / support, _range(wilson(count, support)))


def _select_errors(
    truth: NDArray[np.integer[Any]], read_as: NDArray[np.integer[Any]], confidence: NDArray[np.float64]
) -> tuple[PictureResult, ...]:
    wrong = np.flatnonzero(truth != read_as)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return tuple(PictureResult(int(i), int(truth[i]), int(read_as[i]), float(confidence[i])) for i in wrong)


def _select_narrow_correct(
    truth: NDArray[np.integer[Any]], read_as: NDArray[np.integer[Any]], confidence: NDArray[np.float64]
) -> tuple[PictureResult, ...]:
    results = []
    for digit in range(DIGITS):
        correct = np.flatnonzero((truth == digit) & (read_as == digit))
        narrow = correct[np.argsort(confidence[correct], kind="stable")][:NARROW_PER_DIGIT]
        results += [PictureResult(int(i), digit, digit, float(confidence[i])) for i in narrow]
    return tuple(results)
