"""Intervals that are drawn: as wide as the known ones, the same every time, and with what was measured inside."""

import numpy as np
import pytest

from digitrec.reports.reliability import calibration_error, expected_calibration_error, reliability_bins
from digitrec.reports.statistics import bootstrap_rows, bootstrap_table, f1_range, wilson

pytestmark = pytest.mark.slow  # a thousand resamples each


def mean_of(rows, drawn):
    return float(rows[drawn, 0].mean())


def test_a_share_drawn_again_has_about_wilsons_interval():
    rows = np.array([[1.0]] * 180 + [[0.0]] * 20)

    drawn = bootstrap_rows(rows, mean_of)

    assert (drawn.low, drawn.high) == pytest.approx((wilson(180, 200).low, wilson(180, 200).high), abs=0.01)


def test_drawing_a_table_is_drawing_its_pictures():
    counts = np.array([[180, 20], [5, 195]])
    rows = np.repeat([[1.0], [0.0], [0.0], [1.0]], counts.ravel(), axis=0)

    (of_table,) = bootstrap_table(counts, lambda tables: (tables[:, [0, 1], [0, 1]].sum(axis=1) / 400)[:, None])
    of_rows = bootstrap_rows(rows, mean_of)

    assert (of_table.low, of_table.high) == pytest.approx((of_rows.low, of_rows.high), abs=0.005)


def test_the_same_pictures_give_the_same_interval():
    rows = np.random.default_rng(1).random((300, 1))

    assert bootstrap_rows(rows, mean_of) == bootstrap_rows(rows, mean_of)


def test_a_calibration_error_is_in_its_interval_despite_bootstrap_bias():
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0.5, 1.0, 2000)
    right = rng.random(2000) < confidence
    rows = np.stack([confidence, right.astype(float)], axis=1)
    error = calibration_error(confidence, right)

    drawn = bootstrap_rows(rows, lambda all_, picked: calibration_error(all_[picked, 0], all_[picked, 1] > 0))

    assert drawn.low < error < drawn.high
    assert drawn.high < 0.06


def test_what_never_changes_has_no_width():
    drawn = bootstrap_rows(np.ones((50, 1)), mean_of)

    assert (drawn.low, drawn.high) == (1.0, 1.0)


def test_the_quick_calibration_error_is_the_one_that_is_shown():
    rng = np.random.default_rng(2)
    confidence = np.concatenate([rng.random(500), np.linspace(0, 1, 16)])
    right = rng.random(516) < 0.7

    assert calibration_error(confidence, right) == pytest.approx(
        expected_calibration_error(reliability_bins(confidence, right))
    )


def test_a_perfect_f1_score_has_an_interval_of_some_width():
    few, many = f1_range(10, 10, 10), f1_range(1000, 1000, 1000)

    assert (few.high, many.high) == (1.0, 1.0)
    assert few.low < 0.9 < many.low
