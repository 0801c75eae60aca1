"""Decide from the scores of a page whether it is accepted, needs review or is rejected."""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from digitrec.arrays import PageResult, Scores
from digitrec.recognition.classifier import DIGITS, NO_DIGIT
from digitrec.types import Digit, PageReading, PageStatus, Reason

_LEAST_SHARE_OF_TWO = 0.6


def decide(page: PageResult, threshold: float) -> PageReading:
    """Decide a page from its scores.

    Args:
        page: with calibrated scores.
        threshold: lowest confidence that is accepted without review.
    """
    reading = partial(PageReading, page.number, format=page.format, width=page.width, height=page.height)
    if page.reason is not None and page.reason.is_rejection:
        return reading(PageStatus.REJECTED, reason=page.reason, detail=page.detail or page.reason.description)
    if page.reason is not None and not page.boxes:
        return reading(PageStatus.REVIEW, reason=page.reason, detail=page.detail or page.reason.description)
    digits = [Digit(box, tuple(row)) for box, row in zip(page.boxes, page.scores[:, :DIGITS].tolist(), strict=True)]
    runner_up, runner_up_confidence = _runner_up(digits)
    reason = page.reason or _review_reason(page, threshold)
    return reading(
        PageStatus.ACCEPTED if reason is None else PageStatus.REVIEW,
        text="".join(str(digit.digit) for digit in digits),
        confidence=_clip(page.layout_confidence * _product(digit.confidence for digit in digits)),
        runner_up=runner_up,
        runner_up_confidence=_clip(page.layout_confidence * runner_up_confidence),
        reason=reason,
        detail="" if reason is None else page.detail or reason.description,
        digits=tuple(digits),
    )


def acceptance_threshold(page: PageResult) -> float | None:
    """Return the highest threshold at which a page is accepted, 0..1: its confidence. None if at no threshold."""
    return None if page.reason else page_confidence(page.scores, page.layout_confidence)


def page_confidence(scores: Scores, certainty: float = 1.0) -> float | None:
    """Return the probability that all digits of a page are right; None if one of them is most likely no digit.

    >>> page_confidence(np.array([[0.75, 0.25, *[0.0] * 9], [0.5, *[0.0] * 9, 0.5]], np.float32))
    0.375
    >>> page_confidence(np.array([[0.4, *[0.0] * 9, 0.6]], np.float32)) is None
    True
    """
    likely = scores[:, :DIGITS].max(axis=1)  # (n,)
    # A page with a likely non-digit is not accepted at any threshold.
    return None if (scores[:, NO_DIGIT] > likely).any() else _clip(certainty * _product(map(float, likely)))


def reject(page: int, reason: Reason, detail: str = "") -> PageReading:
    """Return the row of a rejected page or file."""
    return PageReading(page, PageStatus.REJECTED, reason=reason, detail=detail or reason.description)


def file_status(readings: Iterable[PageReading]) -> PageStatus:
    """Combine the pages of a file: rejected if all are, accepted if all are, else review."""
    statuses = {reading.status for reading in readings}
    if statuses == {PageStatus.REJECTED}:
        return PageStatus.REJECTED
    return PageStatus.ACCEPTED if statuses == {PageStatus.ACCEPTED} else PageStatus.REVIEW


def _review_reason(page: PageResult, threshold: float) -> Reason | None:
    scores, confidence = page.scores, page_confidence(page.scores, page.layout_confidence)
    if confidence is None:
        return Reason.NOT_A_DIGIT
    if confidence >= threshold:
        return None
    # Two similar digits share the probability; a non-digit spreads it over all.
    of_two = np.sort(scores[:, :DIGITS], axis=1)[:, -2:].sum(axis=1)
    is_spread = of_two < _LEAST_SHARE_OF_TWO * (1.0 - scores[:, NO_DIGIT])
    return Reason.NOT_A_DIGIT if is_spread.any() else Reason.LOW_CONFIDENCE


def _runner_up(digits: Sequence[Digit]) -> tuple[str, float]:
    """Return the second most probable number: the least certain digit is replaced by its second choice."""
    second_digits = [_second_digit(digit) for digit in digits]
    # All ten probabilities may be 0 beside "no digit".
    ratios = [
        digit.probabilities[second] / digit.confidence if digit.confidence else 1.0
        for digit, second in zip(digits, second_digits, strict=True)
    ]
    weakest = max(range(len(digits)), key=ratios.__getitem__)
    text = "".join(str(second_digits[index] if index == weakest else digit.digit) for index, digit in enumerate(digits))
    return text, _product(digit.confidence for digit in digits) * ratios[weakest]


def _second_digit(digit: Digit) -> int:
    first = digit.digit
    return max((value for value in range(DIGITS) if value != first), key=digit.probabilities.__getitem__)


def _product(numbers: Iterable[float]) -> float:
    result = 1.0
    for number in numbers:
        result *= number
    return result


def _clip(probability: float) -> float:
    # The sum of ten float32 values may be slightly over 1.
    return min(1.0, max(0.0, probability))
