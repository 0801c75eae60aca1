from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.reports.reliability import (
    BINS,
    CURVE_POINTS,
    expected_calibration_error,
    reliability_bins,
    risk_coverage_curve,
)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin():
    edge = np.linspace(0, 1, BINS + 1)[3]

    bins = reliability_bins(np.array([0.0, edge, 1.0]), np.array([True, True, True]))

    assert [i for i, item in enumerate(bins) if item.count] == [0, 2, BINS - 1]


def test_the_calibration_error_equals_the_value_counted_by_hand():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    right = np.array([True, True, True, False, True, False])

    # Four pictures are 0.15 off (0.9 said, 0.75 true), two are right on average.
    assert expected_calibration_error(reliability_bins(confidence, right)) == pytest.approx(4 / 6 * 0.15)


def test_an_empty_bin_has_no_mean():
    first = reliability_bins(np.array([1.0]), np.array([True]))[0]

    assert (first.count, first.confidence, first.accuracy) == (0, None, None)


def test_risk_is_the_error_among_the_surest():
    points = risk_coverage_curve(np.array([0.6, 0.99, 0.8, 0.9]), np.array([False, True, False, True]))

    assert [(item.coverage, round(item.risk, 4), item.threshold) for item in points] == [
        (0.25, 0.0, 0.99),
        (0.5, 0.0, 0.9),
        (0.75, 0.3333, 0.8),
        (1.0, 0.5, 0.6),
    ]


@given(st.integers(1, 3000), st.integers(0, 2**31))
def test_the_curve_is_short_and_ends_with_everything_accepted(total, seed):
    rng = np.random.default_rng(seed)
    right = rng.random(total) < 0.9

    points = risk_coverage_curve(rng.random(total), right)

    assert len(points) <= CURVE_POINTS
    assert points[-1].coverage == 1.0
    assert points[-1].risk == pytest.approx(1 - right.mean())
    assert all(a.coverage < b.coverage and a.threshold >= b.threshold for a, b in pairwise(points))
