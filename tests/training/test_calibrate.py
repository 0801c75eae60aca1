"""Confidence that means what it says, and promises with room for bad luck."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from digitrec.arrays import PageResult
from digitrec.models.calibration import OperatingPoint, Rule, required_sample_size
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition.classifier import NO_DIGIT, apply_temperature
from digitrec.recognition.decision import decide
from digitrec.training.calibrate import (
    NEVER,
    build_calibration_table,
    fit_temperature,
    judge_digits,
    judge_pages,
    measure_accuracy,
)
from digitrec.types import Box, PageStatus, Reason

pytestmark = pytest.mark.slow


def honest(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and digits that are drawn with exactly these probabilities."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(10, 0.02), count).astype(np.float32)
    scores = np.pad(scores, ((0, 0), (0, 1)))  # a classifier that knows digits only
    digits = (scores.cumsum(axis=1) < rng.random(count)[:, None] * scores.sum(axis=1, keepdims=True)).sum(axis=1)
    return scores, np.minimum(digits, 9)


def bounds(scores: np.ndarray, digits: np.ndarray) -> tuple[OperatingPoint, ...]:
    return build_calibration_table("held out", "some", *judge_digits(scores, digits), Rule.UPPER_BOUND).bounds


@pytest.mark.parametrize("true", [0.5, 1.0, 1.7])
def test_the_temperature_undoes_too_much_and_too_little_confidence(true: float) -> None:
    scores, digits = honest(20_000, 0)
    told = apply_temperature(scores, 1 / true)

    assert fit_temperature(told, digits) == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("true", [0.5, 1.7])
def test_what_is_no_digit_is_calibrated_like_a_digit(true: float) -> None:
    rng = np.random.default_rng(3)
    scores = rng.dirichlet(np.full(11, 0.02), 20_000).astype(np.float32)
    classes = (scores.cumsum(axis=1) < rng.random(20_000)[:, None]).sum(axis=1).clip(0, NO_DIGIT)
    told = apply_temperature(scores, 1 / true)

    assert (classes == NO_DIGIT).mean() > 0.05
    assert fit_temperature(told, classes) == pytest.approx(true, rel=0.1)


def test_scores_of_exactly_zero_and_one_can_be_calibrated() -> None:
    digits = np.arange(50) % 10
    scores = np.eye(11, dtype=np.float32)[digits]
    scores[0] = np.eye(11)[5]

    found = fit_temperature(scores, digits)

    assert 0.2 <= found <= 5.0


def test_the_table_counts_what_is_accepted_and_wrong() -> None:
    scores, digits = honest(3000, 1)
    confidence, is_wrong = scores.max(axis=1), scores.argmax(axis=1) != digits

    rows = bounds(scores, digits)

    assert 150 <= len(rows) <= 210
    assert rows[0].threshold == 0.0
    assert rows[0].accepted == 3000
    for bound in rows:
        assert bound.accepted == (confidence >= bound.threshold).sum()
        assert bound.wrong == (is_wrong & (confidence >= bound.threshold)).sum()
        assert bound.upper > bound.wrong / max(bound.accepted, 1) or bound.upper == 1.0


def test_a_digit_taken_for_no_digit_is_not_accepted_whatever_the_threshold() -> None:
    scores = np.eye(11, dtype=np.float32)[[3, 3, 3]]
    scores[1, [3, NO_DIGIT]] = 0.4, 0.6

    lowest = bounds(scores, np.array([3, 3, 4]))[0]

    assert (lowest.threshold, lowest.accepted, lowest.wrong) == (0.0, 2, 1)


def test_the_bound_is_clopper_pearsons() -> None:
    """598 pictures without an error show an error below 0.5 %, as `required_sample_size` says; 597 do not."""
    digits = np.zeros(598, np.int64)
    scores = np.tile(np.eye(11, dtype=np.float32)[0], (598, 1))

    assert required_sample_size(0.005) == 598
    assert bounds(scores, digits)[0].upper <= 0.005 < bounds(scores[1:], digits[1:])[0].upper


@pytest.mark.slow
def test_the_error_bound_holds_nineteen_times_in_twenty() -> None:
    kept, tries = 0, 60
    for seed in range(tries):
        scores, digits = honest(2000, seed)
        accept = build_calibration_table("held out", "some", *judge_digits(scores, digits), Rule.UPPER_BOUND).threshold(
            0.05
        )
        assert accept is not None
        fresh, truth = honest(20_000, 1000 + seed)
        accepted = fresh.max(axis=1) >= accept
        kept += (fresh.argmax(axis=1) != truth)[accepted].mean() <= 0.05

    assert kept >= 0.9 * tries


def test_an_always_wrong_model_has_no_error_bound() -> None:
    for rule in Rule:
        found = build_calibration_table("some", "some", np.ones(20), np.zeros(20, bool), rule)

        assert {bound.upper for bound in found.bounds} == {1.0}
        assert found.threshold(0.5) is None
        assert found.lowest_error == 1.0


def test_a_page_that_is_never_accepted_counts_as_a_page_only() -> None:
    found = build_calibration_table(
        "some", "some", np.array([NEVER, 0.9, 0.5]), np.array([False, True, False]), Rule.OBSERVED
    )

    assert found.pages == 3
    assert (found.point_at(0.0).accepted, found.point_at(0.0).wrong) == (2, 1)
    assert found.threshold(0.0) == pytest.approx(0.5, abs=0.05)
    assert found.point_at(found.threshold(0.0) or 0).accepted == 1


def digits_page(scores: list[list[float]], reason: Reason | None = None) -> PageResult:
    ink, preview = np.zeros((len(scores), 28, 28), np.float32), np.zeros((9, 9), np.uint8)
    boxes = (Box(0, 0, 9, 9),) * len(scores)
    return PageResult(1, "png", 9, 9, boxes, ink, preview, reason, scores=np.array(scores, np.float32).reshape(-1, 11))


def sure(digit: int, share: float) -> list[float]:
    return [share if at == digit else (1 - share) / 10 for at in range(11)]


@pytest.mark.parametrize(
    ("page", "label", "expected"),
    [
        (digits_page([sure(4, 0.5), sure(2, 0.5)]), "42", (0.25, True)),
        (digits_page([sure(4, 0.5), sure(2, 0.5)]), "24", (0.25, False)),
        (digits_page([sure(4, 0.5)]), "none", (0.5, False)),
        (digits_page([sure(4, 0.5), sure(NO_DIGIT, 0.5)]), "42", (NEVER, False)),
        (digits_page([sure(4, 0.5)], Reason.AMBIGUOUS_LAYOUT), "4", (NEVER, False)),
        (digits_page([], Reason.BLANK), "none", (NEVER, False)),
    ],
)
def test_a_page_outcome_has_its_acceptance_confidence_and_correctness(
    page: PageResult, label: str, expected: tuple[float, bool]
) -> None:
    (confidence,), (is_right,) = judge_pages([(FileResult(pages=(page,)), label)])

    assert (confidence, is_right) == (pytest.approx(expected[0]), expected[1])


def test_a_file_that_is_rejected_counts_as_one_page() -> None:
    confidence, _ = judge_pages(
        [(FileResult(rejected=Reason.TRUNCATED), "4"), (FileResult(defer_reason="it changed"), "4")]
    )

    assert confidence.tolist() == [NEVER]


@settings(max_examples=60)
@given(
    strategies.lists(strategies.lists(strategies.floats(0.001, 1), min_size=11, max_size=11), min_size=1, max_size=4),
    strategies.sampled_from([None, None, None, Reason.AMBIGUOUS_LAYOUT]),
)
def test_a_page_is_accepted_at_thresholds_up_to_its_confidence_only(
    rows: list[list[float]], reason: Reason | None
) -> None:
    page = digits_page((np.array(rows) / np.sum(rows, axis=1, keepdims=True)).tolist(), reason)
    (confidence,), _ = judge_pages([(FileResult(pages=(page,)), "7")])

    for threshold in (0.0, confidence, np.nextafter(confidence, 2), 1.0):
        is_accepted = decide(page, float(max(threshold, 0))).status is PageStatus.ACCEPTED
        assert is_accepted == (confidence >= max(threshold, 0))


def test_accuracy_comes_with_its_interval() -> None:
    found = measure_accuracy("some", np.array([True] * 19 + [False]))

    assert (found.right, found.pictures, found.accuracy) == (19, 20, 0.95)
    assert (found.low, found.high) == (0.76387, 0.99112)
