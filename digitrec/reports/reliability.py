"""Calibration of confidences: reliability bins, expected calibration error, risk-coverage curve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitrec.reports.statistics import Proportion, wilson

BINS = 15
"""Number of equal bins over 0..1, as usual for the expected calibration error."""

CURVE_POINTS = 200
"""Number of points of a risk-coverage curve: a smooth line and a small report.json."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pictures with low < confidence <= high (0 belongs to the first bin)."""

    low: float
    high: float
    count: int
    confidence: float | None
    """Mean confidence; None for an empty bin."""
    accuracy: float | None
    """Share of correct pictures; None for an empty bin."""
    accuracy_low: float = 0.0
    """Wilson's 95 % interval of the accuracy."""
    accuracy_high: float = 1.0


COVERAGE_ERROR_RATES = (0.005, 0.002)
"""Error rates at which an evaluation reports the share that could be accepted."""


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """Error rate `risk` of the share `coverage` of pictures with the highest confidence."""

    coverage: float
    risk: float
    threshold: float
    """Lowest confidence of these pictures."""
    low: float = 0.0
    """Wilson's 95 % interval of the risk."""
    high: float = 1.0


def reliability_bins(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Return the reliability bins of confidences in 0..1, (n,), and their correctness, (n,)."""
    edges = np.linspace(0.0, 1.0, BINS + 1)
    bin_index = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, BINS - 1)  # (n,)
    bins = []
    for i in range(BINS):
        inside = bin_index == i
        count = int(inside.sum())
        share = wilson(int(right[inside].sum()), count)
        bins.append(
            ReliabilityBin(
                low=float(edges[i]),
                high=float(edges[i + 1]),
                count=count,
                confidence=float(confidence[inside].mean(dtype=np.float64)) if count else None,
                accuracy=share.share,
                accuracy_low=share.low,
                accuracy_high=share.high,
            )
        )
    return tuple(bins)


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Return the mean gap between confidence and accuracy over the bins, weighted by their pictures; 0..1."""
    total = sum(item.count for item in bins)
    return sum(
        item.count / total * abs(item.accuracy - item.confidence)
        for item in bins
        if item.accuracy is not None and item.confidence is not None
    )


def calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Return `expected_calibration_error(reliability_bins(...))`, fast enough for a bootstrap.

    >>> calibration_error(np.array([0.9, 0.9, 0.9, 0.9]), np.array([True, True, True, False])).__round__(6)
    0.15
    """
    bin_index = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
    gaps = np.bincount(bin_index, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def risk_coverage_curve(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], total: int | None = None
) -> tuple[RiskPoint, ...]:
    """Return the error rate of the k pictures with the highest confidence, for about CURVE_POINTS values of k.

    Args:
        confidence: (n,), 0..1.
        right: (n,), whether each picture is correct.
        total: number of pictures including those that no threshold accepts; n by default.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order])  # (n,)
    n = len(order)
    picked = np.unique(np.linspace(1, n, min(n, CURVE_POINTS)).round().astype(int))
    return tuple(_risk_point(k, int(wrong[k - 1]), float(confidence[order[k - 1]]), total or n) for k in picked)


def coverage_within(confidence: NDArray[np.floating], right: NDArray[np.bool_], max_error: float) -> Proportion:
    """Return the largest share of answers that could be accepted with at most this observed error rate.

    Args:
        confidence: (n,), threshold up to which each answer is accepted; below 0: never.
        right: (n,), whether each answer is correct.
        max_error: error rate of the accepted answers, 0..1.

    >>> coverage_within(np.array([0.9, 0.8, 0.7, -1.0]), np.array([True, True, False, True]), 0.1).hits
    2
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    wrong = np.cumsum(~right[order])  # (n,)
    # Answers of equal confidence are accepted together.
    is_last = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
    accepted = np.arange(1, len(ranked) + 1)
    possible = np.flatnonzero(is_last & (ranked >= 0) & (wrong <= max_error * accepted))
    return wilson(int(possible[-1]) + 1 if len(possible) else 0, len(ranked))


def measure_coverage(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> dict[float, Proportion]:
    """Return `coverage_within` for each of COVERAGE_ERROR_RATES."""
    return {rate: coverage_within(confidence, right, rate) for rate in COVERAGE_ERROR_RATES}


def _risk_point(accepted: int, wrong: int, threshold: float, total: int) -> RiskPoint:
    share = wilson(wrong, int(accepted))
    return RiskPoint(float(accepted / total), float(wrong / accepted), threshold, share.low, share.high)
