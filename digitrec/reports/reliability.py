"""Whether a confidence means what it says: reliability bins, their mean gap, and what a threshold buys."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitrec.reports.statistics import wilson

BINS = 15
"""Equal in width over 0..1, as usual for the expected calibration error."""

CURVE_POINTS = 200
"""Enough for a smooth line in a picture and a small report.json."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The pictures whose confidence lies in low < confidence <= high (0 belongs to the first bin)."""

    low: float
    high: float
    count: int
    confidence: float | None
    """Their mean confidence; None if there are none."""
    accuracy: float | None
    """The share of them read rightly; None if there are none."""
    accuracy_low: float = 0.0
    """Wilson's 95 % interval of that share."""
    accuracy_high: float = 1.0


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """If the surest `coverage` of all pictures were accepted, `risk` of those would be wrong."""

    coverage: float
    risk: float
    threshold: float
    """The lowest confidence among them."""
    low: float = 0.0
    """Wilson's 95 % interval of the risk."""
    high: float = 1.0


def reliability_bins(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Sort (n,) confidences in 0..1 into bins, with how often each was right."""
    edges = np.linspace(0.0, 1.0, BINS + 1)
    place = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, BINS - 1)  # (n,)
    bins = []
    for i in range(BINS):
        inside = place == i
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
    """The mean gap between confidence and accuracy over the bins, weighted by their pictures; 0..1."""
    total = sum(one.count for one in bins)
    return sum(
        one.count / total * abs(one.accuracy - one.confidence)
        for one in bins
        if one.accuracy is not None and one.confidence is not None
    )


def calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """The same as `expected_calibration_error(reliability(...))`, for drawing a thousand times.

    >>> calibration_error(np.array([0.9, 0.9, 0.9, 0.9]), np.array([True, True, True, False])).__round__(6)
    0.15
    """
    place = np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def risk_coverage_curve(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], total: int | None = None
) -> tuple[RiskPoint, ...]:
    """The error among the surest k pictures for about CURVE_POINTS values of k, the last being all of them.

    `total` counts those with them that can never be accepted and are not given; None: there are none.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order])  # (n,)
    given = len(order)
    picked = np.unique(np.linspace(1, given, min(given, CURVE_POINTS)).round().astype(int))
    return tuple(_risk_point(k, int(wrong[k - 1]), float(confidence[order[k - 1]]), total or given) for k in picked)


def _risk_point(accepted: int, wrong: int, threshold: float, total: int) -> RiskPoint:
    share = wilson(wrong, int(accepted))
    return RiskPoint(float(accepted / total), float(wrong / accepted), threshold, share.low, share.high)
