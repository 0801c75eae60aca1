"""Make confidence mean what it says, and know how far it can be trusted.

Both from pictures that no weight was fitted to.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import PageResult, Scores
from digitrec.models.calibration import CONFIDENCE, CalibrationTable, OperatingPoint, Rule
from digitrec.models.card import Metric
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition import decision
from digitrec.recognition.classifier import apply_temperature
from digitrec.reports.statistics import betaincinv, wilson
from digitrec.training.datasets.dataset import Digits

NEVER = -1.0
"""The confidence of a page that no threshold accepts."""
_STEPS = 200
_SMALLEST = 1e-12


def fit_temperature(scores: Scores, digits: Digits) -> float:
    """The temperature under which the right digits are most probable (least negative log-likelihood).

    Args:
        scores: uncalibrated, (n, 11).
        digits: the truth, (n,).
    """
    from scipy.optimize import minimize_scalar

    def surprise(log_temperature: float) -> float:
        softened = apply_temperature(scores, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(softened[np.arange(len(digits)), digits], _SMALLEST)).mean())

    best = minimize_scalar(surprise, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(best.x))


def build_calibration_table(
    name: str, source: str, confidence: NDArray[np.float64], is_right: NDArray[np.bool_], rule: Rule
) -> CalibrationTable:
    """How many of the accepted were wrong, and may be wrong, at some 200 thresholds.

    Args:
        name: of the table.
        source: what the pages are, in words.
        confidence: (n,), threshold up to which each page is accepted, or `NEVER`; see `judge_pages`. The pages show
            different writing, so that they are independent.
        is_right: (n,), whether it was read rightly; of a page that is never accepted it says nothing.
        rule: what the table asks for.
    """
    found = []
    for threshold in _thresholds():
        is_accepted = confidence >= threshold
        accepted, wrong = int(is_accepted.sum()), int((is_accepted & ~is_right).sum())
        upper = 1.0 if wrong == accepted else betaincinv(wrong + 1, accepted - wrong, CONFIDENCE)
        found.append(OperatingPoint(threshold, accepted, wrong, upper))
    return CalibrationTable(name, source, len(confidence), rule, tuple(found))


def judge_pages(labelled: Iterable[tuple[FileResult, str]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The confidence at which each page would be accepted, (n,), and whether it was read rightly, (n,).

    Args:
        labelled: what was read of each file, and its label: the number that every page of it shows, or `none`. Where
            there is no number, to accept anything is wrong.
    """
    found: list[tuple[float, bool]] = []
    for content, label in labelled:
        found += [_verdict(page, label) for page in content.pages]
        found += [(NEVER, False)] * (content.rejected is not None)
    return np.array([one for one, _ in found], np.float64), np.array([right for _, right in found], np.bool_)


def judge_digits(scores: Scores, digits: Digits) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The same for pages with one digit each that are cut out already: (n, 11) scores, (n,) digits."""
    trusted = (decision.page_confidence(row[None]) for row in scores)
    return np.array([NEVER if one is None else one for one in trusted], np.float64), scores.argmax(axis=1) == digits


def _verdict(page: PageResult, label: str) -> tuple[float, bool]:
    confidence = decision.acceptance_threshold(page)
    if confidence is None:
        return NEVER, False
    return confidence, decision.decide(page, confidence).text == label


def measure_accuracy(data: str, right: NDArray[np.bool_]) -> Metric:
    """Accuracy with its Wilson 95 % interval.

    >>> metric("mnist", np.array([True] * 99 + [False]))
    Metric(data='mnist', pictures=100, right=99, accuracy=0.99, low=0.94551, high=0.99823)
    """
    count, total = int(right.sum()), len(right)
    interval = wilson(count, total)
    return Metric(data, total, count, count / total, round(interval.low, 5), round(interval.high, 5))


def _thresholds() -> list[float]:
    """0, then ever closer to 1: what is nearly certain needs the finest steps. Six decimals, as in the CSV."""
    return sorted({0.0, *(round(1.0 - 10.0**-power, 6) for power in np.linspace(0.05, 6.0, _STEPS))} - {1.0})
