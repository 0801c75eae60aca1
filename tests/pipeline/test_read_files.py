"""Turn scores into the reading of a page."""

import numpy as np
import pytest

from digitrec.arrays import PageResult
from digitrec.recognition.decision import decide
from digitrec.types import Box, PageReading, PageStatus, Reason, Thresholds


def judged(*rows: dict[int, float], threshold: float = 0.9, reason: Reason | None = None) -> PageReading:
    """Return a page of digits with these scores; column 10 is "no digit"."""
    scores = np.zeros((len(rows), 11), np.float32)
    for scored, row in zip(scores, rows, strict=True):
        scored[list(row)] = list(row.values())
    boxes = tuple(Box(10 * i, 0, 8, 12) for i in range(len(rows)))
    ink, preview = np.zeros((len(rows), 28, 28), np.float32), np.zeros((1, 1), np.uint8)
    return decide(
        PageResult(1, "png", 60, 80, boxes, ink, preview, reason, scores=scores), Thresholds(threshold, threshold)
    )


def test_a_number_is_as_probable_as_all_its_digits_together() -> None:
    reading = judged({4: 0.99, 9: 0.01}, {7: 0.96, 1: 0.03, 10: 0.01})

    assert (reading.status, reading.text) == (PageStatus.ACCEPTED, "47")
    assert reading.confidence == pytest.approx(0.99 * 0.96)
    assert (reading.runner_up, reading.runner_up_confidence) == ("41", pytest.approx(0.99 * 0.03))


def test_digit_probabilities_omit_the_share_of_no_digit() -> None:
    reading = judged({4: 0.93, 9: 0.02, 10: 0.05})

    (digit,) = reading.digits
    assert len(digit.probabilities) == 10
    assert sum(digit.probabilities) == pytest.approx(0.95)
    assert (digit.digit, digit.confidence) == (4, pytest.approx(0.93))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(
    "likely_nothing", [{4: 0.3, 10: 0.7}, {4: 0.35, 9: 0.25, 10: 0.4}, {10: 1.0}], ids=["much", "most", "all"]
)
def test_what_most_likely_is_no_digit_is_never_accepted(likely_nothing: dict[int, float], threshold: float) -> None:
    reading = judged({1: 1.0}, likely_nothing, {2: 1.0}, threshold=threshold)

    assert (reading.status, reading.reason) == (PageStatus.REVIEW, Reason.NOT_A_DIGIT)
    assert len(reading.text) == len(reading.runner_up) == 3  # one best guess per digit


def test_what_is_hard_to_tell_from_another_digit_is_a_digit() -> None:
    reading = judged({4: 0.5, 9: 0.45, 10: 0.05})

    assert (reading.status, reading.reason) == (PageStatus.REVIEW, Reason.LOW_CONFIDENCE)


def test_what_might_be_any_digit_is_none() -> None:
    reading = judged(dict.fromkeys(range(10), 0.1))

    assert (reading.status, reading.reason) == (PageStatus.REVIEW, Reason.NOT_A_DIGIT)


def test_two_digits_are_compared_with_what_no_digit_leaves() -> None:
    reading = judged({4: 0.5, 9: 0.05, 10: 0.45})

    assert reading.reason is Reason.LOW_CONFIDENCE


def test_of_two_that_are_alike_the_runner_up_is_the_other() -> None:
    reading = judged({4: 0.5, 9: 0.5}, threshold=0.4)

    assert (reading.text, reading.runner_up) == ("4", "9")


@pytest.mark.parametrize("reason", [None, *Reason])
def test_a_page_has_digits_or_a_reason_to_have_none(reason: Reason | None) -> None:
    is_rejected = reason is not None and reason.is_rejection
    rows = [] if is_rejected else [{4: 0.9, 9: 0.1}]

    reading = judged(*rows, reason=reason)

    assert (reading.status is PageStatus.REJECTED, reading.text) == (is_rejected, "4" * len(rows))
    if reason is not Reason.OTHER_MARKS:
        with pytest.raises(ValueError, match="page 1 has"):
            judged(*([{4: 1.0}] if is_rejected else []), reason=reason)


def test_a_page_with_writing_that_was_not_read_goes_to_review() -> None:
    reading = judged(reason=Reason.OTHER_MARKS)

    assert (reading.status, reading.text, reading.confidence, reading.digits) == (PageStatus.REVIEW, "", None, ())
    assert reading.detail == "something on the page was not read"


def test_a_layout_in_doubt_stays_the_reason() -> None:
    reading = judged({4: 0.3, 10: 0.7}, reason=Reason.AMBIGUOUS_LAYOUT)

    assert (reading.status, reading.reason) == (PageStatus.REVIEW, Reason.AMBIGUOUS_LAYOUT)
