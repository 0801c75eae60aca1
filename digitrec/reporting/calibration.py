"""Whether a confidence means what it says: reliability bins, their mean gap, and what a threshold buys."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """If the surest `coverage` of all pictures were accepted, `risk` of those would be wrong."""

    coverage: float
    risk: float
    threshold: float
    """The lowest confidence among them."""


def reliability(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Sort (n,) confidences in 0..1 into bins, with how often each was right."""
    edges = np.linspace(0.0, 1.0, BINS + 1)
    place = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, BINS - 1)  # (n,)
    bins = []
    for i in range(BINS):
        inside = place == i
        count = int(inside.sum())
        bins.append(
            ReliabilityBin(
                low=float(edges[i]),
                high=float(edges[i + 1]),
                count=count,
                confidence=float(confidence[inside].mean(dtype=np.float64)) if count else None,
                accuracy=float(right[inside].mean()) if count else None,
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


def risk_coverage(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[RiskPoint, ...]:
    """The error among the surest k pictures for about CURVE_POINTS values of k, the last being all of them."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order])  # (n,)
    total = len(order)
    picked = np.unique(np.linspace(1, total, min(total, CURVE_POINTS)).round().astype(int))
    return tuple(
        RiskPoint(coverage=k / total, risk=float(wrong[k - 1] / k), threshold=float(confidence[order[k - 1]]))
        for k in picked.tolist()
    )
