import json

import pytest

from digitrec.errors import DataError
from digitrec.reports.page_evaluation import evaluate_pages
from digitrec.types import PageStatus, Reason
from tests.reports.filled import make_row

A, V, X = PageStatus.ACCEPTED, PageStatus.REVIEW, PageStatus.REJECTED
ROWS = [
    make_row(1, "a", 1, A, "7", 0.99, label="7"),
    make_row(2, "b", 1, A, "1", 0.99, label="7"),
    make_row(3, "c", 1, V, "7", 0.6, reason=Reason.LOW_CONFIDENCE, label="7"),
    make_row(4, "d", 1, V, "77", 0.5, reason=Reason.AMBIGUOUS_LAYOUT, label="7"),
    make_row(5, "e", 1, X, reason=Reason.BLANK, label="7"),
    make_row(6, "f", 1, A, "0650", 0.99, label="0650"),
    make_row(7, "g", 1, A, "4", 0.99, label="none"),
    make_row(8, "h", 1, V, "4", 0.3, reason=Reason.NOT_A_DIGIT, label="none"),
    make_row(9, "i", 1, X, reason=Reason.BLANK, label="none"),
    make_row(10, "j", 1, A, "3", 0.99),
]


@pytest.mark.slow
def test_the_numbers_are_those_counted_by_hand():
    measured = evaluate_pages(ROWS)

    assert (measured.accuracy.hits, measured.accuracy.total) == (5, 9)
    assert measured.unlabelled == 1
    assert (measured.accepted.hits, measured.accepted.total) == (4, 9)
    assert (measured.accepted_wrong.hits, measured.accepted_wrong.total) == (2, 4)
    assert (measured.numbers.hits, measured.numbers.total) == (3, 6)
    assert (measured.empty.hits, measured.empty.total) == (1, 3)
    assert measured.rejected_numbers == 1
    assert dict(measured.reasons) == {
        Reason.LOW_CONFIDENCE: 1,
        Reason.NOT_A_DIGIT: 1,
        Reason.AMBIGUOUS_LAYOUT: 1,
        Reason.BLANK: 2,
    }
    assert [row.row for row in measured.errors] == [2, 7, 4, 5]


def test_pages_with_a_single_digit_have_a_separate_table():
    seven = evaluate_pages(ROWS).digits[7]

    assert (seven.pages, seven.accuracy.hits) == (5, 2)
    assert (seven.accepted, seven.review, seven.rejected) == (2, 2, 1)
    assert seven.read_as == (0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 1, 1)


def test_json_holds_the_same_numbers_in_plain_types():
    measured = evaluate_pages(ROWS)

    plain = json.loads(json.dumps(measured.to_json(), allow_nan=False))

    assert plain == measured.to_json()
    assert plain["digits"][7]["accuracy"]["share"] == 0.4
    assert plain["reasons"]["blank"] == 2


def test_both_accuracies_are_measured_and_words_are_left_out():
    rows = [*ROWS, make_row(11, "k", 1, A, "21 37", 0.9, label="2137"), make_row(12, "l", 1, A, "7", 0.9, label="x")]

    measured = evaluate_pages(rows)

    assert (measured.accuracy.hits, measured.accuracy.total) == (6, 10)
    assert (measured.exact.hits, measured.exact.total) == (5, 10)
    assert (measured.unlabelled, measured.left_out) == (1, 1)
    assert [row.row for row in measured.errors] == [2, 7, 4, 5]


def test_pages_without_any_label_are_refused_with_the_way_out():
    with pytest.raises(DataError, match="no page has a label") as refused:
        evaluate_pages(ROWS[-1:])

    assert "labels.csv" in refused.value.hint


def test_numbers_of_several_digits_have_a_digit_error_rate():
    rows = [
        make_row(1, "a", 1, A, "14828", 0.99, label="19828"),
        make_row(2, "b", 1, A, "21 37", 0.99, label="2137"),
        make_row(3, "c", 1, V, "", 0.1, reason=Reason.LOW_CONFIDENCE, label="12"),
        make_row(4, "d", 1, A, "7", 0.99, label="1"),
    ]

    measured = evaluate_pages(rows)

    assert (measured.long_numbers.hits, measured.long_numbers.total) == (1, 3)
    assert (measured.digit_errors.errors, measured.digit_errors.digits) == (3, 11)
    assert measured.to_json()["digit_errors"]["rate"] == pytest.approx(3 / 11)


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    seven = evaluate_pages(ROWS).digits[7]

    precision, recall = seven.precision.share, seven.accuracy.share
    assert seven.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert seven.f1_range.low < seven.f1 < seven.f1_range.high
    assert evaluate_pages(ROWS).digits[2].f1 is None
