"""Make confidence mean what it says, and know how far it can be trusted.

Both from pictures that no weight was fitted to.
"""

import numpy as np
from numpy.typing import NDArray

from digitrec.classifiers.base import DIGITS, NONE, calibrated
from digitrec.classifiers.card import Bound, Metric
from digitrec.records import Scores
from digitrec.training.arrays import Digits

_CONFIDENCE = 0.95
_STEPS = 200
_SMALLEST = 1e-12


def temperature(scores: Scores, digits: Digits) -> float:
    """The temperature under which the right digits are most probable (least negative log-likelihood).

    Args:
        scores: uncalibrated, (n, 11).
        digits: the truth, (n,).
    """
    from scipy.optimize import minimize_scalar

    def surprise(log_temperature: float) -> float:
        softened = calibrated(scores, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(softened[np.arange(len(digits)), digits], _SMALLEST)).mean())

    best = minimize_scalar(surprise, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(best.x))


def bounds(scores: Scores, digits: Digits) -> tuple[Bound, ...]:
    """How many of the accepted were wrong, and may be wrong, at some 200 thresholds.

    Args:
        scores: calibrated, (n, 11); each row from another digit, so that the rows are independent.
        digits: the truth, (n,).
    """
    from scipy.stats import beta

    confidence = scores[:, :DIGITS].max(axis=1)
    read_as = scores.argmax(axis=1)
    is_wrong = read_as != digits
    found = []
    for threshold in _thresholds():
        is_accepted = (confidence >= threshold) & (read_as != NONE)  # as `reading.judge` has it
        accepted, wrong = int(is_accepted.sum()), int((is_accepted & is_wrong).sum())
        upper = 1.0 if wrong == accepted else float(beta.ppf(_CONFIDENCE, wrong + 1, accepted - wrong))
        found.append(Bound(threshold, accepted, wrong, upper))
    return tuple(found)


def metric(data: str, right: NDArray[np.bool_]) -> Metric:
    """Accuracy with its Wilson 95 % interval.

    >>> metric("mnist", np.array([True] * 99 + [False]))
    Metric(data='mnist', pictures=100, right=99, accuracy=0.99, low=0.94551, high=0.99823)
    """
    from scipy.stats import binomtest

    count, total = int(right.sum()), len(right)
    interval = binomtest(count, total).proportion_ci(_CONFIDENCE, method="wilson")
    return Metric(data, total, count, count / total, round(float(interval.low), 5), round(float(interval.high), 5))


def _thresholds() -> list[float]:
    """0, then ever closer to 1: what is nearly certain needs the finest steps. Six decimals, as in the CSV."""
    return sorted({0.0, *(round(1.0 - 10.0**-power, 6) for power in np.linspace(0.05, 6.0, _STEPS))} - {1.0})
