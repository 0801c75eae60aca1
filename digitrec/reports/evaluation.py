"""How good a classifier is: the numbers of an evaluation report, from the truth and the scores alone."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CONFUSIONS = 10
NARROW_PER_DIGIT = 6
"""Pictures of each digit."""
_SCORES = ("precision", "recall", "f1-score")
_LEAST_PROBABILITY = 1e-12
"""float32 scores may be exactly 0; the logarithm must stay finite."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well one digit is read, as in scikit-learn's classification report."""

    digit: int
    support: int
    """Pictures of it."""
    precision: float | None
    """Of those read as this digit, the share that is; None if the data has no picture of it, like the next two."""
    recall: float | None
    f1: float | None
    precision_range: Range | None = None
    """95 %, Wilson's; None where nothing was read as this digit, or the data has none of it."""
    recall_range: Range | None = None
    f1_range: Range | None = None


@dataclass(frozen=True, slots=True)
class Average:
    """Precision, recall and F1 over the digits that occur."""

    precision: float
    recall: float
    f1: float
    precision_range: Range
    """95 %, drawn again (bootstrap), like the next two."""
    recall_range: Range
    f1_range: Range


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """One digit taken for another."""

    truth: int
    read_as: int
    count: int
    share: float
    """Of the pictures of `truth`."""
    range: Range
    """95 %, Wilson's."""


@dataclass(frozen=True, slots=True)
class PictureResult:
    """A picture read wrongly."""

    index: int
    """Its place in the data."""
    truth: int
    read_as: int
    """The digit, or NO_DIGIT if it was taken for no digit at all."""
    confidence: float
    """Of the most probable digit."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything measured on one set of pictures."""

    accuracy: Proportion
    """With Wilson's 95 % interval."""
    per_class: tuple[ClassScore, ...]
    """Ten, in order."""
    macro: Average
    """Every digit counts alike."""
    weighted: Average
    """Every picture counts alike."""
    confusion: tuple[tuple[int, ...], ...]
    """(10, 11): row = truth, column = read as; the last column: taken for no digit."""
    top_confusions: tuple[ConfusedPair, ...]
    """The most frequent confusions, at most MAX_CONFUSIONS."""
    reliability: tuple[ReliabilityBin, ...]
    ece: float
    """Expected calibration error, 0..1."""
    ece_range: Range
    """95 %, drawn again (bootstrap), like the next one."""
    nll: float
    """Mean negative log likelihood of the truth, nats."""
    nll_range: Range
    threshold: float
    accepted: Proportion
    """Confidence at or above the threshold, and not taken for no digit."""
    accepted_wrong: Proportion
    """Errors among the accepted, with the exact (Clopper-Pearson) 95 % interval."""
    risk_coverage: tuple[RiskPoint, ...]
    errors: tuple[PictureResult, ...]
    """All of them, the surest first."""
    narrow_correct: tuple[PictureResult, ...]
    """No mistakes: of each digit the few that were read rightly with the least confidence, least sure first."""

    def to_json(self) -> Json:
        """The same as plain types, without NaN; mistakes are counted, not listed."""
        plain: Json = {
            "accuracy": self.accuracy.to_json(),
            "per_class": [asdict(one) for one in self.per_class],
            "macro": asdict(self.macro),
            "weighted": asdict(self.weighted),
            "confusion": [list(row) for row in self.confusion],
            "confused": [asdict(pair) for pair in self.top_confusions],
            "reliability": [asdict(one) for one in self.reliability],
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
    per_class, macro, weighted = _classes(truth, read_as, confusion)
    bins = reliability_bins(confidence, right)
    likelihood = scores[np.arange(len(truth)), truth].astype(np.float64)  # (n,)
    surprise = -np.log(np.clip(likelihood, _LEAST_PROBABILITY, 1.0))  # (n,)
    ece_range, nll_range = _drawn_again(confidence, right, surprise)
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
        errors=_mistakes(truth, read_as, confidence),
        narrow_correct=_barely(truth, read_as, confidence),
    )


def _check(truth: NDArray[np.integer[Any]], scores: Scores) -> None:
    if len(truth) == 0:
        raise DataError("there are no pictures to evaluate")
    if truth.shape != (len(truth),) or scores.shape != (len(truth), CLASSES):
        raise ValueError(f"truth {truth.shape} and scores {scores.shape} are not (n,) and (n, {CLASSES})")
    if truth.min() < 0 or truth.max() > 9:
        raise ValueError("the truth holds something other than the digits 0..9")
    if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1 + 1e-5:
        raise ValueError("the scores are no probabilities")


def _drawn_again(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], surprise: NDArray[np.float64]
) -> tuple[Range, Range]:
    """The ranges of the calibration error and of the mean surprise."""
    rows = np.stack([confidence, right.astype(np.float64), surprise], axis=1)  # (n, 3)
    return (
        bootstrap_rows(rows, lambda all_, drawn: calibration_error(all_[drawn, 0], all_[drawn, 1] > 0)),
        bootstrap_rows(rows, lambda all_, drawn: float(all_[drawn, 2].mean())),
    )


def _classes(
    truth: NDArray[np.integer[Any]], read_as: NDArray[np.integer[Any]], confusion: NDArray[np.int64]
) -> tuple[tuple[ClassScore, ...], Average, Average]:
    from sklearn.metrics import classification_report

    # Digits the data lacks would count as 0 in the averages and say nothing about the model.
    present = np.unique(truth).tolist()
    report: Mapping[str, Mapping[str, float]] = classification_report(
        truth, read_as, labels=present, output_dict=True, zero_division=0
    )
    ranges = bootstrap_table(confusion, lambda tables: average_class_scores(tables, present))
    return (
        tuple(_class(digit, report.get(str(digit)), confusion) for digit in range(10)),
        _average(report["macro avg"], ranges[:3]),
        _average(report["weighted avg"], ranges[3:]),
    )


def average_class_scores(tables: NDArray[np.float64], present: list[int]) -> NDArray[np.float64]:
    """Mean precision, recall and F1 by digit, then by picture, of confusion tables: (m, 10, 11) in, (m, 6) out."""
    right = np.diagonal(tables, axis1=1, axis2=2)[:, present]  # (m, digits)
    support = tables.sum(axis=2)[:, present]
    read = tables.sum(axis=1)[:, present]
    each = [  # as scikit-learn has it: 0 where nothing was read so
        right / np.maximum(read, 1),
        right / np.maximum(support, 1),
        2 * right / np.maximum(read + support, 1),
    ]
    by_digit = [one.mean(axis=1) for one in each]
    by_picture = [(one * support).sum(axis=1) / support.sum(axis=1) for one in each]
    return np.stack(by_digit + by_picture, axis=1)


def _class(digit: int, row: "Mapping[str, float] | None", confusion: NDArray[np.int64]) -> ClassScore:
    if row is None:
        return ClassScore(digit, 0, None, None, None)
    right, read, support = (
        int(one) for one in (confusion[digit, digit], confusion[:, digit].sum(), confusion[digit].sum())
    )
    precision, recall, f1 = (float(row[key]) for key in _SCORES)
    return ClassScore(
        digit,
        support,
        precision,
        recall,
        f1,
        precision_range=_range(wilson(right, read)) if read else None,
        recall_range=_range(wilson(right, support)),
        f1_range=f1_range(right, read, support),
    )


def _average(row: "Mapping[str, float]", ranges: tuple[Range, ...]) -> Average:
    precision, recall, f1 = (float(row[key]) for key in _SCORES)
    return Average(precision, recall, f1, *ranges)


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


def _mistakes(
    truth: NDArray[np.integer[Any]], read_as: NDArray[np.integer[Any]], confidence: NDArray[np.float64]
) -> tuple[PictureResult, ...]:
    wrong = np.flatnonzero(truth != read_as)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return tuple(PictureResult(int(i), int(truth[i]), int(read_as[i]), float(confidence[i])) for i in wrong)


def _barely(
    truth: NDArray[np.integer[Any]], read_as: NDArray[np.integer[Any]], confidence: NDArray[np.float64]
) -> tuple[PictureResult, ...]:
    found = []
    for digit in range(DIGITS):
        right = np.flatnonzero((truth == digit) & (read_as == digit))
        least = right[np.argsort(confidence[right], kind="stable")][:NARROW_PER_DIGIT]
        found += [PictureResult(int(i), digit, digit, float(confidence[i])) for i in least]
    return tuple(found)
