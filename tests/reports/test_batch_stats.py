import pytest

from digitrec.reports.batch import is_correct, is_exact, select_errors, summarize_batch
from digitrec.types import PageStatus, Reason
from tests.reports.filled import make_row

ROWS = [
    make_row(1, "a.png", 1, PageStatus.ACCEPTED, "7", 0.9995, label="7"),
    make_row(2, "b.png", 1, PageStatus.ACCEPTED, "70", 0.985, label="79"),
    make_row(3, "c.png", 1, PageStatus.REVIEW, "3", 0.6, "8", 0.3, Reason.LOW_CONFIDENCE, label="3"),
    make_row(4, "d.png", 1, PageStatus.REVIEW, "1", 0.2, reason=Reason.NOT_A_DIGIT, label="none"),
    make_row(5, "e.png", 1, PageStatus.REJECTED, reason=Reason.BLANK, label="5", duplicate_of="20260101T000000Z-0/1"),
    make_row(6, "f.png", 1, PageStatus.ACCEPTED, "4", 1.0),
]


def test_the_numbers_of_a_batch_are_those_counted_by_hand(make_facts):
    numbers = summarize_batch(make_facts(ROWS))

    assert numbers["files"] == {"claimed": 6, "accepted": 3, "review": 2, "rejected": 1, "deferred": 0, "released": 0}
    assert numbers["pages"] == {"total": 6, "accepted": 3, "review": 2, "rejected": 1}
    assert numbers["digits"] == {"0": 1, "1": 0, "2": 0, "3": 0, "4": 1, "5": 0, "6": 0, "7": 2, "8": 0, "9": 0}
    assert numbers["reasons"] == {"low_confidence": 1, "not_a_digit": 1, "blank": 1}
    assert numbers["duplicates"] == 1
    assert [(item["from"], item["accepted"], item["review"]) for item in numbers["confidence"]] == [
        (0.0, 0, 1), (0.5, 0, 1), (0.7, 0, 0), (0.8, 0, 0), (0.9, 0, 0),
        (0.95, 0, 0), (0.98, 1, 0), (0.99, 0, 0), (0.995, 0, 0), (0.999, 2, 0),
    ]  # fmt: skip


def test_accuracy_counts_labelled_pages_only_and_rejected_numbers_as_wrong(make_facts):
    truth = summarize_batch(make_facts(ROWS))["truth"]

    assert (truth["accuracy"]["hits"], truth["accuracy"]["of"], truth["accuracy"]["share"]) == (3, 5, 0.6)
    assert (truth["accepted"]["hits"], truth["accepted"]["of"]) == (1, 2)
    assert truth["mistakes"] == 2


def test_without_labels_there_is_no_accuracy(make_facts):
    assert summarize_batch(make_facts([ROWS[-1]]))["truth"] is None


def test_a_page_without_a_digit_is_right_unless_accepted():
    held_back, rejected, accepted = (
        make_row(1, "x.png", 1, status, text, label="none")
        for status, text in ((PageStatus.REVIEW, "4"), (PageStatus.REJECTED, ""), (PageStatus.ACCEPTED, "4"))
    )

    assert is_correct(held_back)
    assert is_correct(rejected)
    assert not is_correct(accepted)


def test_a_leading_zero_counts():
    assert not is_correct(make_row(1, "x.png", 1, PageStatus.ACCEPTED, "650", label="0650"))


@pytest.mark.parametrize(
    ("text", "label", "is_right", "as_written"),
    [
        ("21 37", "2137", True, False),
        ("21 37", "21 37", True, True),
        ("2137", "21 37", False, False),
        ("12,50", "1250", True, False),
        ("-5", "5", False, False),
        ("-5", "-5", True, True),
        ("7 -5", "75", False, False),
        ("+5", "5", False, False),
    ],
)
def test_label_of_digits_only_is_compared_without_separators(text, label, is_right, as_written):
    row = make_row(1, "x.png", 1, PageStatus.ACCEPTED, text, label=label)

    assert (is_correct(row), is_exact(row)) == (is_right, as_written)


def test_pages_with_a_word_as_label_are_left_out_and_counted(make_facts):
    rows = [
        make_row(1, "a", 1, PageStatus.ACCEPTED, "12,50", label="1250"),
        make_row(2, "b", 1, PageStatus.ACCEPTED, "7", label="seven"),
        make_row(3, "c", 1, PageStatus.REVIEW, "7", label="7a"),
        make_row(4, "d", 1, PageStatus.ACCEPTED, "7"),
    ]

    report = summarize_batch(make_facts(rows))

    assert report["labels_left_out"] == 2
    assert (report["truth"]["accuracy"]["hits"], report["truth"]["accuracy"]["of"]) == (1, 1)
    assert report["truth"]["exact"]["hits"] == 0
    assert report["truth"]["mistakes"] == 0
    assert select_errors(rows) == []


def test_labels_without_any_number_give_no_accuracy(make_facts):
    report = summarize_batch(make_facts([make_row(1, "a", 1, PageStatus.ACCEPTED, "7", label="seven")]))

    assert (report["truth"], report["labels_left_out"]) == (None, 1)


def test_the_worst_mistake_comes_first():
    wrong = [
        make_row(1, "a", 1, PageStatus.REJECTED, label="1"),
        make_row(2, "b", 1, PageStatus.REVIEW, "2", 0.7, label="1"),
        make_row(3, "c", 1, PageStatus.ACCEPTED, "2", 0.98, label="1"),
        make_row(4, "d", 1, PageStatus.ACCEPTED, "2", 0.99, label="1"),
    ]

    assert [row.row for row in select_errors(wrong)] == [4, 3, 2, 1]
