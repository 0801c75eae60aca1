"""Calibrate a model: the temperature of its probabilities, and the error rate at each confidence threshold.

Both are fitted on pictures that no weight was fitted to.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import PageResult, Scores
from digitrec.models.calibration import CONFIDENCE, CalibrationTable, OperatingPoint, Rule
from digitrec.models.card import Metric
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition import decision
from digitrec.recognition.classifier import apply_temperature
from digitrec.reports.statistics import betaincinv, wilson
from digitrec.text import is_comparable_label, matches_label
from digitrec.training.datasets.dataset import Digits
from digitrec.types import Thresholds

NEVER = -1.0
"""Confidence of a page that no threshold accepts."""


@dataclass(frozen=True, slots=True)
class CalibrationParams:
    """Search range of the temperature, and the thresholds of a calibration table."""

    temperatures: tuple[float, float] = (0.2, 5.0)
    thresholds: int = 200
    threshold_powers: tuple[float, float] = (0.05, 6.0)
    """Thresholds are 1 - 10^-power: finest close to 1, where answers are nearly certain."""
    min_probability: float = 1e-12  # lower limit before the logarithm


PARAMS = CalibrationParams()


def fit_temperature(scores: Scores, digits: Digits) -> float:
    """Return the temperature with the least negative log-likelihood.

    Args:
        scores: uncalibrated, (n, 11).
        digits: true classes, (n,).
    """
    from scipy.optimize import minimize_scalar

    def negative_log_likelihood(log_temperature: float) -> float:
        probabilities = apply_temperature(scores, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(probabilities[np.arange(len(digits)), digits], PARAMS.min_probability)).mean())

    bounds = tuple(np.log(limit) for limit in PARAMS.temperatures)
    best = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded")
    return float(np.exp(best.x))


def build_calibration_table(
    name: str, source: str, confidence: NDArray[np.float64], is_right: NDArray[np.bool_], rule: Rule
) -> CalibrationTable:
    """Return the accepted pages and their errors, counted and bounded, at about 200 thresholds.

    Args:
        name: name of the table.
        source: description of the pages.
        confidence: (n,), threshold up to which each page is accepted, or `NEVER`; see `judge_pages`. The pages show
            different writing, so that they are independent.
        is_right: (n,), whether each page is read correctly; ignored for pages that are never accepted.
        rule: requirement of the table.
    """
    points = []
    for threshold in _thresholds():
        is_accepted = confidence >= threshold
        accepted, wrong = int(is_accepted.sum()), int((is_accepted & ~is_right).sum())
        upper = 1.0 if wrong == accepted else betaincinv(wrong + 1, accepted - wrong, CONFIDENCE)
        points.append(OperatingPoint(threshold, accepted, wrong, upper))
    return CalibrationTable(name, source, len(confidence), rule, tuple(points))


def judge_pages(labelled: Iterable[tuple[FileResult, str]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the threshold up to which each page is accepted, (n,), and whether it is read correctly, (n,).

    Args:
        labelled: file results with their labels: the number on every page of the file, or `none`. With `none`, any
            accepted answer is wrong. Pages of a label that no answer can equal are left out.
    """
    pages: list[tuple[float, bool]] = []
    for result, label in labelled:
        if not is_comparable_label(label):
            continue
        pages += [_judge_page(page, label) for page in result.pages]
        pages += [(NEVER, False)] * (result.rejected is not None)
    confidence, is_right = [page[0] for page in pages], [page[1] for page in pages]
    return np.array(confidence, np.float64), np.array(is_right, np.bool_)


def judge_digits(scores: Scores, digits: Digits) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the same as `judge_pages` for normalized single digits: (n, 11) scores, (n,) digits."""
    confidences = (decision.number_confidence(row[None]) for row in scores)
    values = [NEVER if confidence is None else confidence for confidence in confidences]
    return np.array(values, np.float64), scores.argmax(axis=1) == digits


def _judge_page(page: PageResult, label: str) -> tuple[float, bool]:
    confidence = decision.acceptance_threshold(page)
    if confidence is None:
        return NEVER, False
    return confidence, matches_label(decision.decide(page, Thresholds(confidence, confidence)).text, label)


def compute_metric(data: str, is_right: NDArray[np.bool_]) -> Metric:
    """Return the accuracy with its Wilson 95 % interval.

    >>> compute_metric("mnist", np.array([True] * 99 + [False]))
    Metric(data='mnist', pictures=100, right=99, accuracy=0.99, low=0.94551, high=0.99823)
    """
    count, total = int(is_right.sum()), len(is_right)
    interval = wilson(count, total)
    return Metric(data, total, count, count / total, round(interval.low, 5), round(interval.high, 5))


def _thresholds() -> list[float]:
    """Return 0 and the thresholds of a table, rounded to six decimals as in the CSV, without 1."""
    powers = np.linspace(*PARAMS.threshold_powers, PARAMS.thresholds)
    return sorted({0.0, *(round(1.0 - 10.0**-power, 6) for power in powers)} - {1.0})
