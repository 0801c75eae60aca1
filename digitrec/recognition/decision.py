"""Decide from the scores of a page whether it is accepted, needs review or is rejected."""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from digitrec.arrays import PageResult, Scores
from digitrec.recognition.classifier import DIGITS, NO_DIGIT
from digitrec.types import Digit, PageReading, PageStatus, Reason

_LEAST_SHARE_OF_TWO = 0.6


def decide(page: PageResult, threshold: float) -> PageReading:
    """Turn a page and its scores into the row people see.

    Args:
        page: its scores calibrated.
        threshold: lowest confidence that is accepted without a look.
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
        text="".join(str(one.digit) for one in digits),
        confidence=_clip(page.layout_confidence * _product(one.confidence for one in digits)),
        runner_up=runner_up,
        runner_up_confidence=_clip(page.layout_confidence * runner_up_confidence),
        reason=reason,
        detail="" if reason is None else page.detail or reason.description,
        digits=tuple(digits),
    )


def acceptance_threshold(page: PageResult) -> float | None:
    """The highest threshold at which a page would be accepted, 0..1: its confidence. None if at no threshold."""
    return None if page.reason else page_confidence(page.scores, page.layout_confidence)


def page_confidence(scores: Scores, certainty: float = 1.0) -> float | None:
    """The probability that the digits of a page are all what they seem; None if one of them most likely is no digit.

    >>> page_confidence(np.array([[0.75, 0.25, *[0.0] * 9], [0.5, *[0.0] * 9, 0.5]], np.float32))
    0.375
    >>> page_confidence(np.array([[0.4, *[0.0] * 9, 0.6]], np.float32)) is None
    True
    """
    likely = scores[:, :DIGITS].max(axis=1)  # (n,)
    # No threshold is so low that something is accepted which most likely is no digit.
    return None if (scores[:, NO_DIGIT] > likely).any() else _clip(certainty * _product(map(float, likely)))


def reject(page: int, reason: Reason, detail: str = "") -> PageReading:
    """The row of a page, or of a whole file, without an answer."""
    return PageReading(page, PageStatus.REJECTED, reason=reason, detail=detail or reason.description)


def file_status(readings: Iterable[PageReading]) -> PageStatus:
    """Rejected if all pages are, else review if any page is not accepted, else accepted."""
    found = {reading.status for reading in readings}
    if found == {PageStatus.REJECTED}:
        return PageStatus.REJECTED
    return PageStatus.ACCEPTED if found == {PageStatus.ACCEPTED} else PageStatus.REVIEW


def _review_reason(page: PageResult, threshold: float) -> Reason | None:
    scores, confidence = page.scores, page_confidence(page.scores, page.layout_confidence)
    if confidence is None:
        return Reason.NOT_A_DIGIT
    if confidence >= threshold:
        return None
    # A digit that is hard to tell from another keeps its probability within two; what is no digit spreads it.
    of_two = np.sort(scores[:, :DIGITS], axis=1)[:, -2:].sum(axis=1)
    is_spread = of_two < _LEAST_SHARE_OF_TWO * (1.0 - scores[:, NO_DIGIT])
    return Reason.NOT_A_DIGIT if is_spread.any() else Reason.LOW_CONFIDENCE


def _runner_up(digits: Sequence[Digit]) -> tuple[str, float]:
    """The next most probable number: the one where the least certain digit is its second choice."""
    seconds = [_second_digit(one) for one in digits]
    # A network may be so sure of "no digit" that nothing is left for any.
    ratios = [
        one.probabilities[second] / one.confidence if one.confidence else 1.0
        for one, second in zip(digits, seconds, strict=True)
    ]
    weakest = max(range(len(digits)), key=ratios.__getitem__)
    text = "".join(str(seconds[at] if at == weakest else one.digit) for at, one in enumerate(digits))
    return text, _product(one.confidence for one in digits) * ratios[weakest]


def _second_digit(one: Digit) -> int:
    first = one.digit
    return max((digit for digit in range(DIGITS) if digit != first), key=one.probabilities.__getitem__)


def _product(numbers: Iterable[float]) -> float:
    result = 1.0
    for number in numbers:
        result *= number
    return result


def _clip(probability: float) -> float:
    # Ten float32 shares may add up to a hair over 1.
    return min(1.0, max(0.0, probability))
