"""Calibrated confidence, and error bounds of operating points."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from digitrec.arrays import NumberSpan, PageResult
from digitrec.models.calibration import OperatingPoint, Rule, required_sample_size
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition.classifier import NO_DIGIT, apply_temperature
from digitrec.recognition.decision import decide
from digitrec.training.calibrate import (
    NEVER,
    ClusterMembers,
    JudgedNumber,
    build_calibration_table,
    compute_metric,
    fit_temperature,
    judge_digits,
    judge_numbers,
    judge_pages,
    upper_bound,
)
from digitrec.types import Box, PageStatus, Reason, Thresholds

pytestmark = pytest.mark.slow


def calibrated_scores(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, and digits that are sampled with exactly these probabilities."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(10, 0.02), count).astype(np.float32)
    scores = np.pad(scores, ((0, 0), (0, 1)))  # a classifier of ten digits
    digits = (scores.cumsum(axis=1) < rng.random(count)[:, None] * scores.sum(axis=1, keepdims=True)).sum(axis=1)
    return scores, np.minimum(digits, 9)


def bounds(scores: np.ndarray, digits: np.ndarray) -> tuple[OperatingPoint, ...]:
    return build_calibration_table("held out", "some", *judge_digits(scores, digits), Rule.UPPER_BOUND).bounds


@pytest.mark.parametrize("true", [0.5, 1.0, 1.7])
def test_the_temperature_corrects_over_and_underconfidence(true: float) -> None:
    scores, digits = calibrated_scores(20_000, 0)
    scaled = apply_temperature(scores, 1 / true)

    assert fit_temperature(scaled, digits) == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("true", [0.5, 1.7])
def test_non_digits_are_calibrated_like_digits(true: float) -> None:
    rng = np.random.default_rng(3)
    scores = rng.dirichlet(np.full(11, 0.02), 20_000).astype(np.float32)
    classes = (scores.cumsum(axis=1) < rng.random(20_000)[:, None]).sum(axis=1).clip(0, NO_DIGIT)
    scaled = apply_temperature(scores, 1 / true)

    assert (classes == NO_DIGIT).mean() > 0.05
    assert fit_temperature(scaled, classes) == pytest.approx(true, rel=0.1)


def test_extreme_scores_can_be_calibrated() -> None:
    digits = np.arange(50) % 10
    scores = np.eye(11, dtype=np.float32)[digits]
    scores[0] = np.eye(11)[5]

    result = fit_temperature(scores, digits)

    assert 0.2 <= result <= 5.0


def test_the_table_counts_accepted_and_wrong_pages() -> None:
    scores, digits = calibrated_scores(3000, 1)
    confidence, is_wrong = scores.max(axis=1), scores.argmax(axis=1) != digits

    rows = bounds(scores, digits)

    assert 150 <= len(rows) <= 210
    assert rows[0].threshold == 0.0
    assert rows[0].accepted == 3000
    for bound in rows:
        assert bound.accepted == (confidence >= bound.threshold).sum()
        assert bound.wrong == (is_wrong & (confidence >= bound.threshold)).sum()
        assert bound.upper > bound.wrong / max(bound.accepted, 1) or bound.upper == 1.0


def test_a_digit_read_as_non_digit_is_never_accepted() -> None:
    scores = np.eye(11, dtype=np.float32)[[3, 3, 3]]
    scores[1, [3, NO_DIGIT]] = 0.4, 0.6

    first = bounds(scores, np.array([3, 3, 4]))[0]

    assert (first.threshold, first.accepted, first.wrong) == (0.0, 2, 1)


def test_the_bound_is_clopper_pearson() -> None:
    """598 pictures without an error prove an error rate below 0.5 % (see `required_sample_size`); 597 do not."""
    digits = np.zeros(598, np.int64)
    scores = np.tile(np.eye(11, dtype=np.float32)[0], (598, 1))

    assert required_sample_size(0.005) == 598
    assert bounds(scores, digits)[0].upper <= 0.005 < bounds(scores[1:], digits[1:])[0].upper


@pytest.mark.slow
def test_the_error_bound_holds_nineteen_times_in_twenty() -> None:
    held, trials = 0, 60
    for seed in range(trials):
        scores, digits = calibrated_scores(2000, seed)
        accept = build_calibration_table("held out", "some", *judge_digits(scores, digits), Rule.UPPER_BOUND).threshold(
            0.05
        )
        assert accept is not None
        new_scores, truth = calibrated_scores(20_000, 1000 + seed)
        accepted = new_scores.max(axis=1) >= accept
        held += (new_scores.argmax(axis=1) != truth)[accepted].mean() <= 0.05

    assert held >= 0.9 * trials


def test_an_always_wrong_model_has_no_error_bound() -> None:
    for rule in Rule:
        result = build_calibration_table("some", "some", np.ones(20), np.zeros(20, bool), rule)

        assert {bound.upper for bound in result.bounds} == {1.0}
        assert result.threshold(0.5) is None
        assert result.lowest_error == 1.0


def test_a_page_that_is_never_accepted_counts_as_a_page_only() -> None:
    result = build_calibration_table(
        "some", "some", np.array([NEVER, 0.9, 0.5]), np.array([False, True, False]), Rule.OBSERVED
    )

    assert result.trials == 3
    assert (result.point_at(0.0).accepted, result.point_at(0.0).wrong) == (2, 1)
    assert result.threshold(0.0) == pytest.approx(0.5, abs=0.05)
    assert result.point_at(result.threshold(0.0) or 0).accepted == 1


def test_labels_are_compared_without_separators_and_words_are_left_out() -> None:
    page = digits_page([*np.eye(11).tolist()[2:4]])
    numbers = (NumberSpan(0, 1), NumberSpan(1, 2, column=2))
    result = FileResult("ab", (replace(page, numbers=numbers),))

    confidence, is_right = judge_pages([(result, "23"), (result, "2 3"), (result, "32"), (result, "two")])

    assert confidence.tolist() == [1.0, 1.0, 1.0]
    assert is_right.tolist() == [True, True, False]


def digits_page(scores: list[list[float]], reason: Reason | None = None) -> PageResult:
    ink, preview = np.zeros((len(scores), 28, 28), np.float32), np.zeros((9, 9), np.uint8)
    boxes = (Box(0, 0, 9, 9),) * len(scores)
    return PageResult(1, "png", 9, 9, boxes, ink, preview, reason, scores=np.array(scores, np.float32).reshape(-1, 11))


def scores_of(digit: int, share: float) -> list[float]:
    return [share if at == digit else (1 - share) / 10 for at in range(11)]


@pytest.mark.parametrize(
    ("page", "label", "expected"),
    [
        (digits_page([scores_of(4, 0.5), scores_of(2, 0.5)]), "42", (0.25, True)),
        (digits_page([scores_of(4, 0.5), scores_of(2, 0.5)]), "24", (0.25, False)),
        (digits_page([scores_of(4, 0.5)]), "none", (0.5, False)),
        (digits_page([scores_of(4, 0.5), scores_of(NO_DIGIT, 0.5)]), "42", (NEVER, False)),
        (digits_page([scores_of(4, 0.5)], Reason.AMBIGUOUS_LAYOUT), "4", (NEVER, False)),
        (digits_page([], Reason.BLANK), "none", (NEVER, False)),
    ],
)
def test_a_page_outcome_has_its_acceptance_confidence_and_correctness(
    page: PageResult, label: str, expected: tuple[float, bool]
) -> None:
    (confidence,), (is_right,) = judge_pages([(FileResult(pages=(page,)), label)])

    assert (confidence, is_right) == (pytest.approx(expected[0]), expected[1])


def test_a_rejected_file_counts_as_a_page() -> None:
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
        is_accepted = decide(page, Thresholds(*2 * (float(max(threshold, 0)),))).status is PageStatus.ACCEPTED
        assert is_accepted == (confidence >= max(threshold, 0))


@pytest.mark.parametrize(
    ("clusters", "size", "rate", "correlation"), [(2000, 4, 0.003, 0.3), (1000, 6, 0.005, 0.5), (2000, 1, 0.004, 0.3)]
)
def test_the_bound_holds_for_answers_that_share_a_source(
    clusters: int, size: int, rate: float, correlation: float
) -> None:
    rng = np.random.default_rng(4)
    groups = [(cluster,) for cluster in range(clusters) for _ in range(size)]
    shape = 1 / correlation - 1  # a beta distribution of the error rates of the sources
    members, everything = ClusterMembers.of(groups), np.ones(len(groups), np.bool_)
    covered = covered_as_if_independent = 0
    for _ in range(300):
        rates = rng.beta(rate * shape, (1 - rate) * shape, clusters)
        is_wrong = (rng.random((clusters, size)) < rates[:, None]).ravel()
        wrong = int(is_wrong.sum())
        covered += upper_bound(wrong, len(groups), members.design_effect(everything, is_wrong)) >= rate
        covered_as_if_independent += upper_bound(wrong, len(groups)) >= rate

    assert covered >= 0.92 * 300  # 95 % less three standard deviations
    assert size == 1 or covered_as_if_independent < covered


def test_answers_in_several_clusters_are_counted_once() -> None:
    rng = np.random.default_rng(1)
    groups = [(page, *(1000 + rng.integers(0, 50, 3))) for page in range(300) for _ in range(2)]
    is_wrong = rng.random(600) < 0.1
    residuals = is_wrong - is_wrong.mean()
    shared = [[len({*first} & {*second}) for second in groups] for first in groups]
    # A pair of answers with two common clusters counts twice, an answer with itself once.
    weights = np.where(np.eye(600), 1, np.array(shared))
    expected = residuals @ weights @ residuals / (600 * is_wrong.mean() * (1 - is_wrong.mean()))

    effect = ClusterMembers.of(groups).design_effect(np.ones(600, np.bool_), is_wrong)

    unique = [len({*group}) for group in groups]
    assert min(unique) >= 2
    assert effect == pytest.approx(max(1.0, expected), rel=0.02)


def test_a_table_of_clustered_answers_has_wider_bounds() -> None:
    confidence = np.linspace(0.2, 0.99, 400).repeat(5)
    is_right = (np.arange(400) % 40 != 0).repeat(5)
    groups = [(source,) for source in range(400) for _ in range(5)]

    plain, clustered = (
        build_calibration_table("some", "", confidence, is_right, Rule.UPPER_BOUND, clusters=of)
        for of in (None, groups)
    )

    for own, other in zip(clustered.bounds, plain.bounds, strict=True):
        assert (own.accepted, own.wrong) == (other.accepted, other.wrong)
        assert own.upper >= other.upper
    assert clustered.bounds[0].upper == pytest.approx(upper_bound(10, 400))
    everything = np.ones(2000, np.bool_)
    assert ClusterMembers.of(groups).design_effect(everything, ~is_right) == pytest.approx(5.0)
    faultless = build_calibration_table("some", "", confidence, everything, Rule.UPPER_BOUND, clusters=groups)
    assert faultless.bounds[0].upper == pytest.approx(upper_bound(0, 400))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["1", "23", "4"], [(True, 0), (True, 1), (True, 2)]),
        (["1", "28", "4"], [(True, 0), (False, 1), (True, 2)]),
        (["23", "4"], [(False, None), (True, 0), (True, 1)]),
        (["1", "5", "23", "4"], [(True, 0), (False, 1), (True, 2), (True, 3)]),
        (["1", "23", "23", "4"], [(True, 0), (False, 1), (True, 2), (True, 3)]),
        (["4", "23", "1"], [(False, 0), (True, 1), (False, 2)]),
        ([], [(False, None)] * 3),
    ],
)
def test_numbers_are_compared_at_their_aligned_positions(
    written: list[str], expected: list[tuple[bool, int | None]]
) -> None:
    page = digits_page([scores_of(digit, share) for digit, share in ((1, 0.9), (2, 0.8), (3, 0.5), (4, 0.6))])
    page = replace(page, numbers=(NumberSpan(0, 1), NumberSpan(1, 3, column=2), NumberSpan(3, 4, column=3)))

    judged = judge_numbers(page, written)

    assert [(number.is_right, number.written) for number in judged] == expected
    confidences = [number.confidence for number in judged]
    # A missing number is accepted with the page: with its least certain number.
    values = [0.9, 0.4, 0.4, 0.6] if len(judged) == 4 else [0.9, 0.4, 0.6]
    assert confidences == pytest.approx(values, rel=1e-5)


def test_a_number_that_is_never_accepted_is_still_counted() -> None:
    page = digits_page([scores_of(1, 0.9), scores_of(NO_DIGIT, 0.8)])
    page = replace(page, numbers=(NumberSpan(0, 1), NumberSpan(1, 2, column=2)))

    first, second = judge_numbers(page, ["1", "0"])

    assert first == JudgedNumber(pytest.approx(0.9), True, 0, 0)  # type: ignore[arg-type]  # pytest compares it
    assert (second.confidence, second.written) == (NEVER, 1)


def test_accuracy_comes_with_its_interval() -> None:
    result = compute_metric("some", np.array([True] * 19 + [False]))

    assert (result.right, result.pictures, result.accuracy) == (19, 20, 0.95)
    assert (result.low, result.high) == pytest.approx((0.76387, 0.99112), abs=1e-5)
