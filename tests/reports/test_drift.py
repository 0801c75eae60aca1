import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.app import composition
from digitrec.models.calibration import CalibrationTable, OperatingPoint, Rule
from digitrec.models.package import ModelPackage
from digitrec.reports.drift import DRIFT_THRESHOLD, MIN_COUNT, _histogram, measure_drift, read_reference


def test_the_index_equals_the_value_computed_by_hand():
    result = measure_drift([600, 400], [500, 500])

    p, q = 600.5 / 1001, 500.5 / 1001
    by_hand = (p - q) * math.log(p / q) + (q - p) * math.log((1 - p) / (1 - q))
    assert result.psi == pytest.approx(by_hand)
    assert result.chance == pytest.approx((1 / 1000 + 1 / 1000) * 3.8415, rel=1e-4)
    assert (result.total, result.reference) == (1000, 1000)


@pytest.mark.parametrize(
    ("counts", "reading"),
    [([500, 500], "little"), ([620, 380], "little"), ([670, 330], "moderate"), ([750, 250], "considerable")],
)
def test_its_reading_is_the_usual_one(counts, reading):
    assert measure_drift(counts, [500, 500]).level == reading


def test_too_few_rows_are_reported_as_inconclusive():
    few = measure_drift([MIN_COUNT // 2 - 1, MIN_COUNT // 2], [5000, 5000])

    assert (few.psi, few.level) == (None, "too few")
    assert measure_drift([5000, 5000], [1, 0]).psi is None


def test_chance_alone_does_not_reach_the_threshold_from_the_fewest_on():
    assert measure_drift([MIN_COUNT / 11] * 11, [MIN_COUNT * 10] * 11).chance < DRIFT_THRESHOLD


@given(st.lists(st.integers(0, 500), min_size=10, max_size=10), st.lists(st.integers(0, 500), min_size=10, max_size=10))
def test_it_is_never_negative_and_finite_whatever_is_empty(counts, reference):
    result = measure_drift(counts, reference)

    assert result.psi is None or 0 <= result.psi < math.inf
    assert result.psi is None or result.psi == pytest.approx(measure_drift(reference, counts).psi)


def test_other_bins_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="same bins"):
        measure_drift([1, 2], [1, 2, 3])


def test_a_calibration_table_gives_the_confidence_distribution():
    rows = (
        OperatingPoint(0.0, 900, 0, 0.1),
        OperatingPoint(0.5, 800, 0, 0.1),
        OperatingPoint(0.9, 600, 0, 0.1),
        OperatingPoint(0.999, 100, 0, 0.1),
    )

    bins = _histogram(CalibrationTable("held out", "", 1000, Rule.UPPER_BOUND, rows))

    assert sum(bins) == pytest.approx(1000)
    assert bins[0] == pytest.approx(100)
    assert sum(bins[1:4]) == pytest.approx(200)  # 0.5 to 0.9
    assert bins[-2:] == pytest.approx((100, 100))  # from 0.999 on, and never accepted


def test_the_card_of_the_shipped_model_has_its_training_distribution():
    card = ModelPackage.open(composition.SHIPPED_MODELS_DIR).card

    reference = read_reference(card)

    assert reference.confidence is not None
    assert sum(reference.confidence) == pytest.approx(
        max(table.trials for table in card.calibrations if "digits" in table.applies_to)
    )
    assert reference.digits is not None
    assert sum(reference.digits) == card.training["learned"]


@pytest.mark.parametrize("training_value", [None, [1] * 9, ["1"] * 10, [0] * 10, "0123456789", {"0": 1}, [-1] * 10])
def test_an_older_card_has_no_digit_distribution(training_value):
    from dataclasses import replace

    card = ModelPackage.open(composition.SHIPPED_MODELS_DIR).card

    reference = read_reference(replace(card, training={"learned_of_each": training_value}, calibrations=()))

    assert (reference.digits, reference.confidence) == (None, None)
