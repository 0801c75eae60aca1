import json
import math

import numpy as np
import pytest

from digitrec.errors import DataError
from digitrec.recognition.classifier import NO_DIGIT
from digitrec.reports.evaluation import average_class_scores, evaluate_scores
from digitrec.reports.statistics import wilson

pytestmark = pytest.mark.slow  # scikit-learn


def scores_for(*answers):
    """One row of scores for each (digit, confidence); the rest goes to the other digits alike."""
    rows = np.zeros((len(answers), 11), dtype=np.float32)
    for row, (digit, confidence) in zip(rows, answers, strict=True):
        row[:10] = (1 - confidence) / 9
        row[digit] = confidence
    return rows


TRUTH = np.array([1, 1, 1, 7, 7, 0])
SCORES = scores_for((1, 0.92), (1, 0.95), (7, 0.6), (7, 0.99), (1, 0.7), (0, 0.98))


def test_the_numbers_are_those_counted_by_hand():
    measured = evaluate_scores(TRUTH, SCORES, threshold=0.9)

    assert (measured.accuracy.hits, measured.accuracy.total) == (4, 6)
    item, seven = measured.per_class[1], measured.per_class[7]
    assert (item.support, item.precision, item.recall, item.f1) == pytest.approx((3, 2 / 3, 2 / 3, 2 / 3))
    assert (seven.support, seven.precision, seven.recall, seven.f1) == pytest.approx((2, 1 / 2, 1 / 2, 1 / 2))
    assert measured.macro.recall == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert measured.weighted.recall == pytest.approx(4 / 6)
    assert (measured.confusion[1][7], measured.confusion[7][1], measured.confusion[1][1]) == (1, 1, 2)
    assert sum(map(sum, measured.confusion)) == 6
    assert [(item.truth, item.read_as, item.count, item.share) for item in measured.top_confusions] == [
        (1, 7, 1, 1 / 3),
        (7, 1, 1, 1 / 2),
    ]
    assert (measured.top_confusions[0].range.low, measured.top_confusions[0].range.high) == (
        wilson(1, 3).low,
        wilson(1, 3).high,
    )
    assert (measured.accepted.hits, measured.accepted.total) == (4, 6)
    assert (measured.accepted_wrong.hits, measured.accepted_wrong.total) == (0, 4)
    assert measured.accepted_wrong.high == pytest.approx(1 - 0.025**0.25)
    likelihood = [0.92, 0.95, 0.4 / 9, 0.99, 0.3 / 9, 0.98]
    assert measured.nll == pytest.approx(-sum(map(math.log, likelihood)) / 6, rel=1e-5)


def test_every_figure_is_within_its_interval():
    measured = evaluate_scores(TRUTH, SCORES, threshold=0.9)

    seven = measured.per_class[7]
    ranges = [
        *((seven.precision, seven.precision_range), (seven.recall, seven.recall_range), (seven.f1, seven.f1_range)),
        *((measured.macro.f1, measured.macro.f1_range), (measured.weighted.recall, measured.weighted.recall_range)),
        *((measured.ece, measured.ece_range), (measured.nll, measured.nll_range)),
        *((point.risk, point) for point in measured.risk_coverage),
    ]
    for value, within in ranges:
        assert within.low <= value <= within.high
        assert within.low < within.high
    assert measured.per_class[4].f1_range is None


def test_the_averages_of_a_confusion_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 9, 500)  # no 9
    read_as = np.where(rng.random(500) < 0.8, truth, rng.integers(0, 11, 500))
    confusion = np.zeros((1, 10, 11))
    np.add.at(confusion[0], (truth, read_as), 1)
    measured = evaluate_scores(truth, np.eye(11, dtype=np.float32)[read_as], threshold=0.5)

    averages = average_class_scores(confusion, list(range(9)))[0]

    macro, weighted = measured.macro, measured.weighted
    assert averages.tolist() == pytest.approx(
        [macro.precision, macro.recall, macro.f1, weighted.precision, weighted.recall, weighted.f1]
    )


def test_the_surest_mistake_comes_first():
    measured = evaluate_scores(TRUTH, SCORES, threshold=0.9)

    assert [(item.index, item.truth, item.read_as) for item in measured.errors] == [(4, 7, 1), (2, 1, 7)]


def test_a_digit_the_data_lacks_has_no_score_and_no_part_in_the_mean():
    measured = evaluate_scores(np.array([3, 3]), scores_for((3, 0.9), (3, 0.9)), threshold=0.5)

    lacking = measured.per_class[4]
    assert (lacking.support, lacking.precision, lacking.recall, lacking.f1) == (0, None, None, None)
    assert measured.macro.f1 == 1.0


def test_a_threshold_nobody_reaches_accepts_nothing():
    measured = evaluate_scores(TRUTH, SCORES, threshold=1.0)

    assert measured.accepted.hits == 0
    assert measured.accepted_wrong.share is None


def test_a_digit_taken_for_no_digit_is_wrong_and_never_accepted():
    scores = scores_for((3, 0.9), (3, 0.9), (4, 0.9))
    scores[1, :] = 0.0
    scores[1, [3, NO_DIGIT]] = 0.4, 0.6

    measured = evaluate_scores(np.array([3, 3, 4]), scores, threshold=0.0)

    assert (measured.accuracy.hits, measured.accuracy.total) == (2, 3)
    assert measured.accepted.hits == 2
    assert measured.accepted_wrong.hits == 0
    assert (measured.confusion[3][3], measured.confusion[3][NO_DIGIT]) == (1, 1)
    assert measured.top_confusions == ()  # no digit was taken for another
    assert measured.per_class[3].recall == 0.5
    (mistake,) = measured.errors
    assert (mistake.index, mistake.read_as, mistake.confidence) == (1, NO_DIGIT, pytest.approx(0.4))


def test_a_probability_of_zero_leaves_the_likelihood_finite():
    measured = evaluate_scores(np.array([3]), scores_for((5, 1.0)), threshold=0.5)

    assert math.isfinite(measured.nll)


def test_json_holds_the_same_numbers_in_plain_types():
    measured = evaluate_scores(TRUTH, SCORES, threshold=1.0)

    plain = json.loads(json.dumps(measured.to_json(), allow_nan=False))

    assert plain == measured.to_json()
    assert plain["accuracy"]["share"] == measured.accuracy.share
    assert plain["mistakes"] == 2


def test_no_pictures_are_refused_with_words():
    with pytest.raises(DataError, match="no pictures"):
        evaluate_scores(np.array([], dtype=int), np.zeros((0, 11), np.float32), threshold=0.5)


@pytest.mark.parametrize(
    ("truth", "scores"),
    [
        (np.array([1, 2]), SCORES),
        (np.array([1] * 6), SCORES[:, :10]),
        (np.array([10] + [1] * 5), SCORES),
        (np.array([-1] + [1] * 5), SCORES),
        (TRUTH, np.full((6, 11), np.nan, np.float32)),
        (TRUTH, SCORES * 10),
    ],
)
def test_what_is_no_truth_or_no_score_is_a_mistake_of_the_caller(truth, scores):
    with pytest.raises(ValueError, match=r"truth|scores"):
        evaluate_scores(truth, scores, threshold=0.5)


@pytest.mark.slow
def test_precision_recall_and_f1_are_those_of_scikit_learn():
    from sklearn.metrics import classification_report

    rng = np.random.default_rng(4)
    truth = rng.choice([0, 1, 2, 3, 7], 300)  # some digits do not occur
    answers = np.where(rng.random(300) < 0.3, rng.integers(0, 11, 300), truth)
    scores = np.full((300, 11), 0.01, np.float32)
    scores[np.arange(300), answers] = 0.9

    result = evaluate_scores(truth, scores, threshold=0.5)

    present = [0, 1, 2, 3, 7]
    expected = classification_report(truth, answers, labels=present, output_dict=True, zero_division=0)
    for mine, theirs in [
        *((result.per_class[digit], expected[str(digit)]) for digit in present),
        (result.macro, expected["macro avg"]),
        (result.weighted, expected["weighted avg"]),
    ]:
        assert (mine.precision, mine.recall, mine.f1) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"])
        )
    assert result.per_class[5].precision is None
