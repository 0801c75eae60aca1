"""Decide from the scores of a page whether it and its numbers are accepted, need review or are rejected."""

import math
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from digitrec.arrays import NumberSpan, PageResult, Scores
from digitrec.recognition.classifier import DIGITS, NO_DIGIT
from digitrec.types import Box, Digit, Number, PageReading, PageStatus, Reason, Thresholds

_LEAST_SHARE_OF_TWO = 0.6
_OF_ALL_NUMBERS = {Reason.AMBIGUOUS_LAYOUT, Reason.NOT_A_DIGIT, Reason.TURNED}
"""Reasons of a page that hold for each of its numbers; `other_marks` holds only for those near the marks."""


def decide(page: PageResult, thresholds: Thresholds) -> PageReading:
    """Decide a page and its numbers from their scores.

    Args:
        page: with calibrated scores.
        thresholds: lowest confidences that are accepted without review.
    """
    reading = partial(PageReading, page.number, format=page.format, width=page.width, height=page.height)
    if page.reason is not None and page.reason.is_rejection:
        return reading(PageStatus.REJECTED, reason=page.reason, detail=page.detail or page.reason.description)
    if page.reason is not None and not page.boxes:
        return reading(PageStatus.REVIEW, reason=page.reason, detail=page.detail or page.reason.description)
    texts = [number_text(page, span) for span in page.numbers]
    threshold = thresholds.for_text(" ".join(texts))
    numbers = tuple(_decide_number(page, span, text, threshold) for span, text in zip(page.numbers, texts, strict=True))
    runner_up, runner_up_confidence = _page_runner_up(numbers)
    reason = page.reason or next((number.reason for number in numbers if number.reason is not None), None)
    return reading(
        PageStatus.ACCEPTED if reason is None else PageStatus.REVIEW,
        text=" ".join(number.text for number in numbers),
        confidence=_clip(math.prod(number.confidence or 0.0 for number in numbers)),
        runner_up=runner_up,
        runner_up_confidence=_clip(runner_up_confidence),
        reason=reason,
        detail="" if reason is None else page.detail or reason.description,
        numbers=numbers,
    )


def _decide_number(page: PageResult, span: NumberSpan, text: str, threshold: float) -> Number:
    """Decide one number of a page; it is accepted from a confidence of `threshold`."""
    own = slice(span.start, span.stop)
    boxes, scores = page.boxes[own], page.scores[own]
    digits = tuple(Digit(box, tuple(row)) for box, row in zip(boxes, scores[:, :DIGITS].tolist(), strict=True))
    reason = page.reason if page.reason in _OF_ALL_NUMBERS else None
    reason = reason or span.reason
    confidence, opinion = span.layout_confidence * math.prod(digit.confidence for digit in digits), span.opinion
    if opinion is None:
        reason = reason or _review_reason(scores, span.layout_confidence, threshold)
    else:
        confidence = opinion.confidence
        reason = reason or (None if confidence >= opinion.threshold else Reason.LOW_CONFIDENCE)
    return Number(
        line=span.line,
        column=span.column,
        box=Box.enclose([*boxes, *_sign_boxes(page, span)]),
        text=text,
        digits=digits,
        confidence=_clip(confidence),
        status=PageStatus.ACCEPTED if reason is None else PageStatus.REVIEW,
        reason=reason,
        opinion=opinion,
    )


def _sign_boxes(page: PageResult, span: NumberSpan) -> Sequence[Box]:
    """Return the boxes of the signs of a number."""
    first = sum(len(other.signs) for other in page.numbers if other.start < span.start)
    return page.sign_boxes[first : first + len(span.signs)]


def number_text(page: PageResult, span: NumberSpan) -> str:
    """Return the text of a number: its digits, and each sign before the digit with its index."""
    digits = page.scores[span.start : span.stop, :DIGITS].argmax(axis=1).tolist()
    return "".join(
        "".join(sign for place, sign in span.signs if place == index) + str(digit) for index, digit in enumerate(digits)
    )


def acceptance_thresholds(page: PageResult) -> list[float | None]:
    """Return for each number the highest threshold at which it is accepted, 0..1; None if it is at no threshold.

    The opinions of another reader are not regarded: they have an operating point of their own.
    """
    if page.reason is not None and page.reason in _OF_ALL_NUMBERS:
        return [None] * len(page.numbers)
    return [
        None if span.reason else number_confidence(page.scores[span.start : span.stop], span.layout_confidence)
        for span in page.numbers
    ]


def acceptance_threshold(page: PageResult) -> float | None:
    """Return the highest threshold at which the whole page is accepted, 0..1; None if it is at no threshold."""
    thresholds = acceptance_thresholds(page)
    reached = [threshold for threshold in thresholds if threshold is not None]
    return min(reached) if reached and len(reached) == len(thresholds) and page.reason is None else None


def number_confidence(scores: Scores, layout_confidence: float = 1.0) -> float | None:
    """Return the probability that all digits of a number are right; None if one of them is most likely no digit.

    >>> number_confidence(np.array([[0.75, 0.25, *[0.0] * 9], [0.5, *[0.0] * 9, 0.5]], np.float32))
    0.375
    >>> number_confidence(np.array([[0.4, *[0.0] * 9, 0.6]], np.float32)) is None
    True
    """
    likely = scores[:, :DIGITS].max(axis=1)  # (n,)
    # A number with a likely non-digit is not accepted at any threshold.
    if (scores[:, NO_DIGIT] > likely).any():
        return None
    return _clip(layout_confidence * math.prod(map(float, likely)))


def reject(page: int, reason: Reason, detail: str = "") -> PageReading:
    """Return the row of a rejected page or file."""
    return PageReading(page, PageStatus.REJECTED, reason=reason, detail=detail or reason.description)


def file_status(readings: Iterable[PageReading]) -> PageStatus:
    """Combine the pages of a file: rejected if all are, accepted if all are, else review."""
    statuses = {reading.status for reading in readings}
    if statuses == {PageStatus.REJECTED}:
        return PageStatus.REJECTED
    return PageStatus.ACCEPTED if statuses == {PageStatus.ACCEPTED} else PageStatus.REVIEW


def _review_reason(scores: Scores, layout_confidence: float, threshold: float) -> Reason | None:
    """Return why the scores of a number, (n, 11), need review; None if it is confident enough."""
    confidence = number_confidence(scores, layout_confidence)
    if confidence is None:
        return Reason.NOT_A_DIGIT
    if confidence >= threshold:
        return None
    # Two similar digits share the probability; a non-digit spreads it over all. In a number, a gap or rest of a rule
    # does so too, of which "not a digit" would say too much.
    if len(scores) > 1:
        return Reason.LOW_CONFIDENCE
    of_two = np.sort(scores[:, :DIGITS], axis=1)[:, -2:].sum(axis=1)
    is_spread = of_two < _LEAST_SHARE_OF_TWO * (1.0 - scores[:, NO_DIGIT])
    return Reason.NOT_A_DIGIT if is_spread.any() else Reason.LOW_CONFIDENCE


def _page_runner_up(numbers: Sequence[Number]) -> tuple[str, float]:
    """Return the second most probable text: in one of the numbers, the least certain digit is its second choice."""
    runner_ups = [_runner_up(number) for number in numbers]
    # All ten probabilities may be 0 beside "no digit".
    ratios = [
        confidence / number.confidence if number.confidence else 1.0
        for number, (_, confidence) in zip(numbers, runner_ups, strict=True)
    ]
    weakest = max(range(len(numbers)), key=ratios.__getitem__)
    text = " ".join(runner_ups[index][0] if index == weakest else number.text for index, number in enumerate(numbers))
    return text, math.prod(number.confidence or 0.0 for number in numbers) * ratios[weakest]


def _runner_up(number: Number) -> tuple[str, float]:
    """Return the second most probable number: the least certain digit is replaced by its second choice."""
    digits = number.digits
    second_digits = [_second_digit(digit) for digit in digits]
    ratios = [
        digit.probabilities[second] / digit.confidence if digit.confidence else 1.0
        for digit, second in zip(digits, second_digits, strict=True)
    ]
    weakest = max(range(len(digits)), key=ratios.__getitem__)
    positions = [index for index, character in enumerate(number.text) if character.isdigit()]
    text = f"{number.text[: positions[weakest]]}{second_digits[weakest]}{number.text[positions[weakest] + 1 :]}"
    confidence = number.confidence or 0.0
    runner_up = confidence * ratios[weakest]
    # The digits have the probabilities from before the other reader was asked.
    return text, runner_up if number.opinion is None else min(runner_up, 1.0 - confidence)


def _second_digit(digit: Digit) -> int:
    first = digit.digit
    return max((value for value in range(DIGITS) if value != first), key=digit.probabilities.__getitem__)


def _clip(probability: float) -> float:
    # The sum of ten float32 values may be slightly over 1.
    return min(1.0, max(0.0, probability))
