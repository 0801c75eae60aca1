"""Unread ink of a page: which reasons it gives to the page and to its numbers."""

import numpy as np
import pytest

from digitrec.arrays import NumberSpan, PageResult
from digitrec.recognition.decision import decide
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import Box, PageStatus, Reason, Thresholds

HIGH = 40
LEFT, RIGHT = Box(100, 100, 30, HIGH), Box(400, 100, 30, HIGH)
"""Two numbers of one digit, far from each other."""


def page(reason: Reason | None = None, *reasons: Reason | None) -> PageResult:
    """A page with both numbers; `reasons` are theirs."""
    scores = np.full((2, 11), 0.0001, np.float32)
    scores[:, 7] = 0.999
    spans = tuple(
        NumberSpan(place, place + 1, 1, place + 1, reason=why) for place, why in enumerate((*reasons, None, None)[:2])
    )
    return PageResult(
        1,
        "png",
        640,
        480,
        (LEFT, RIGHT),
        np.zeros((2, 28, 28), np.float32),
        np.zeros((9, 9), np.uint8),
        reason=reason,
        scores=scores,
        numbers=spans,
    )


def reasons_of(trace: RecognitionTrace) -> list[Reason | None]:
    return [span.reason for span in trace.page.numbers]


def test_without_unread_ink_the_page_stays_as_it_is() -> None:
    first = page()

    assert RecognitionTrace(first).page is first


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (Box(140, 130, 4, 4), [Reason.OTHER_MARKS, None]),
        (Box(100 + 30 + HIGH, 100, 20, 4), [Reason.OTHER_MARKS, None]),
        (Box(100 + 30 + HIGH + 1, 100, 20, 4), [None, None]),
        (Box(340, 40, 90, 30), [None, Reason.OTHER_MARKS]),
        (Box(110, 150, 300, 10), [Reason.OTHER_MARKS, Reason.OTHER_MARKS]),
        (Box(10, 400, 50, 50), [None, None]),
    ],
    ids=["beside the left", "h from it", "a little farther", "above the right", "below both", "far away"],
)
def test_unread_ink_marks_the_page_and_numbers_within_h(mark: Box, expected: list[Reason | None]) -> None:
    trace = RecognitionTrace(page(), unread=(mark,))

    assert trace.page.reason is Reason.OTHER_MARKS
    assert reasons_of(trace) == expected


def test_a_number_far_from_unread_ink_is_accepted_and_its_page_is_not() -> None:
    reading = decide(RecognitionTrace(page(), unread=(Box(140, 130, 4, 4),)).page, Thresholds(0.9, 0.9))

    assert (reading.status, reading.reason) == (PageStatus.REVIEW, Reason.OTHER_MARKS)
    assert [number.status for number in reading.numbers] == [PageStatus.REVIEW, PageStatus.ACCEPTED]
    assert reading.numbers[0].reason is Reason.OTHER_MARKS
    assert reading.text == "7 7"


def test_other_reasons_are_kept() -> None:
    near = (Box(140, 130, 4, 4),)

    not_a_digit = RecognitionTrace(page(Reason.NOT_A_DIGIT), unread=near)
    letter = RecognitionTrace(page(None, Reason.NOT_A_DIGIT), unread=near)

    assert not_a_digit.page.reason is Reason.NOT_A_DIGIT
    assert reasons_of(letter) == [Reason.NOT_A_DIGIT, None]


def test_unread_ink_on_a_page_without_digits_is_reviewed_not_blank() -> None:
    blank = PageResult(
        1, "png", 64, 48, (), np.zeros((0, 28, 28), np.float32), np.zeros((9, 9), np.uint8), reason=Reason.BLANK
    )

    reading = decide(RecognitionTrace(blank, unread=(Box(3, 4, 5, 6),)).page, Thresholds(0.9, 0.9))

    assert (reading.status, reading.reason, reading.text) == (PageStatus.REVIEW, Reason.OTHER_MARKS, "")
    assert RecognitionTrace(blank).page.reason is Reason.BLANK
