"""Confidence that means what it says, and promises with room for bad luck."""

import numpy as np
import pytest

from digitrec.classifiers.base import NONE, calibrated
from digitrec.classifiers.bundle import pictures_needed, threshold
from digitrec.errors import ModelError
from digitrec.training.calibrate import bounds, metric, temperature

pytestmark = pytest.mark.slow


def honest(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and digits that are drawn with exactly these probabilities."""
    dice = np.random.default_rng(seed)
    scores = dice.dirichlet(np.full(10, 0.02), count).astype(np.float32)
    scores = np.pad(scores, ((0, 0), (0, 1)))  # a classifier that knows digits only
    digits = (scores.cumsum(axis=1) < dice.random(count)[:, None] * scores.sum(axis=1, keepdims=True)).sum(axis=1)
    return scores, np.minimum(digits, 9)


@pytest.mark.parametrize("true", [0.5, 1.0, 1.7])
def test_the_temperature_undoes_too_much_and_too_little_confidence(true: float) -> None:
    scores, digits = honest(20_000, 0)
    told = calibrated(scores, 1 / true)

    assert temperature(told, digits) == pytest.approx(true, rel=0.1)


def test_scores_of_exactly_zero_and_one_can_be_calibrated() -> None:
    digits = np.arange(50) % 10
    scores = np.eye(11, dtype=np.float32)[digits]
    scores[0] = np.eye(11)[5]

    found = temperature(scores, digits)

    assert 0.2 <= found <= 5.0


def test_the_table_counts_what_is_accepted_and_wrong() -> None:
    scores, digits = honest(3000, 1)
    confidence, is_wrong = scores.max(axis=1), scores.argmax(axis=1) != digits

    table = bounds(scores, digits)

    assert 150 <= len(table) <= 210
    assert table[0].threshold == 0.0
    assert table[0].accepted == 3000
    for bound in table:
        assert bound.accepted == (confidence >= bound.threshold).sum()
        assert bound.wrong == (is_wrong & (confidence >= bound.threshold)).sum()
        assert bound.upper > bound.wrong / max(bound.accepted, 1) or bound.upper == 1.0


def test_a_digit_taken_for_no_digit_is_not_accepted_whatever_the_threshold() -> None:
    scores = np.eye(11, dtype=np.float32)[[3, 3, 3]]
    scores[1, [3, NONE]] = 0.4, 0.6

    lowest = bounds(scores, np.array([3, 3, 4]))[0]

    assert (lowest.threshold, lowest.accepted, lowest.wrong) == (0.0, 2, 1)


def test_the_bound_is_clopper_pearsons() -> None:
    """No error in 598 pictures shows an error below 0.5 % (the rule behind `pictures_needed`); in 597 it does not."""
    digits = np.zeros(598, np.int64)
    scores = np.tile(np.eye(11, dtype=np.float32)[0], (598, 1))

    assert pictures_needed(0.005) == 598
    assert bounds(scores, digits)[0].upper <= 0.005 < bounds(scores[1:], digits[1:])[0].upper


@pytest.mark.slow
def test_the_promise_holds_nineteen_times_in_twenty() -> None:
    kept, tries = 0, 60
    for seed in range(tries):
        scores, digits = honest(2000, seed)
        accept = threshold(bounds(scores, digits), 0.05)
        fresh, truth = honest(20_000, 1000 + seed)
        accepted = fresh.max(axis=1) >= accept
        kept += (fresh.argmax(axis=1) != truth)[accepted].mean() <= 0.05

    assert kept >= 0.9 * tries


def test_where_all_is_wrong_nothing_is_promised() -> None:
    table = bounds(np.tile(np.eye(11, dtype=np.float32)[0], (20, 1)), np.ones(20, np.int64))

    assert {bound.upper for bound in table} == {1.0}
    with pytest.raises(ModelError):
        threshold(table, 0.5)


def test_accuracy_comes_with_its_interval() -> None:
    found = metric("some", np.array([True] * 19 + [False]))

    assert (found.right, found.pictures, found.accuracy) == (19, 20, 0.95)
    assert (found.low, found.high) == (0.76387, 0.99112)
