"""Read the only character of a page with all models, if one or two are not confident.

Models seldom make the same error, so their scores are averaged: the classifier's on the character as the page path and
as the segmenter cropped it, and the sequence recognizer's on the strip around either crop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from digitrec.arrays import Scores
from digitrec.recognition.characters import ClassedComponents
from digitrec.recognition.classifier import DIGITS, DigitClassifier
from digitrec.recognition.components import Component
from digitrec.recognition.ensemble import (
    ENSEMBLE_EXIT_CONFIDENCE,
    Prediction,
    append_no_digit,
    average,
    p_digit_given_single,
    p_single_digit,
    p_single_symbol,
)
from digitrec.recognition.geometry import Rect, crop_rect, line_rect_around
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.number_reader import LineReading, ReadNumber, crop_character, read_strip
from digitrec.recognition.page_ink import PageInk
from digitrec.recognition.text_lines import TextNumber
from digitrec.recognition.zoom import ZoomResult, zoom


class SingleParams(NamedTuple):
    """Thresholds of the ensemble of a page's only character."""

    sure: float = 0.99
    """Probability from which the classifier alone decides about a lone character."""
    lone: float = 0.05
    """Most other ink on the page of a lone character, as a share of the ink of the character."""
    doubt: float = 0.3
    """Factor for the recognizer's doubt that the strip holds one character."""
    single: float = 0.1
    """Least probability of one character, as a share of the text's, if the recognizer prefers several."""
    crop_shape: float = 1.5
    """Largest width over height of a picture that is the crop of one character."""
    crop_digits: int = 6
    """Most digits that were read on such a crop."""
    crop_sure: float = 0.9
    """Confidence of every number from which it is not read again."""
    crop_doubt: float = 0.7
    """Factor for the confidence of such a character below `crop_sure`: the picture may be noise."""
    crop_single: float = 0.9
    """Least probability, by the recognizer, that the zoomed crop is one character."""


PARAMS = SingleParams()


@dataclass(frozen=True, slots=True, eq=False)
class SingleReading:
    """The only character of a page."""

    number: ReadNumber
    predictions: tuple[Prediction, ...]
    zoomed: ZoomResult | None = None
    """None if it was not zoomed."""


def read_only(
    layout: Sequence[TextNumber],
    page: PageInk,
    classed: ClassedComponents,
    classifier: DigitClassifier,
    models: RecognitionModels,
) -> SingleReading | None:
    """Read the only character of a page; None if the page holds several, or none that any model finds."""
    if not layout:
        is_form = page.rules is not None or bool(classed.background)  # the segmenter may take a frame for a 0
        return None if is_form else _average_predictions(None, [], page, classifier, models)
    if len(layout) > 1 or len(layout[0].characters) > 1 or layout[0].signs:
        return None
    (number,) = layout
    (character,) = number.characters
    ink = crop_character(character, page, classed)
    classified = Prediction("classifier on the page path's crop", classifier.score(ink[None])[0], ink)
    is_lone = len(character.labels) == 1 and _is_lone(character, page)  # two components may be two digits
    if is_lone and classified.scores[:DIGITS].max() >= PARAMS.sure:
        return SingleReading(ReadNumber((character.rect,), ink[None], classified.scores[None], 1.0), (classified,))
    reading = read_strip(number, page, models.recognizer)
    p_single = None
    if len(reading.line.text) > 1:
        probabilities = p_single_symbol(reading.line.frames)
        if probabilities.max() < PARAMS.single * reading.line.probability:
            return None
        p_single = float(probabilities.sum())
    predictions = [Prediction("sequence recognizer", _line_scores(reading, p_single), reading.strip), classified]
    scores = average(predictions)
    if is_lone and p_single is None and scores[0, :DIGITS].max() >= ENSEMBLE_EXIT_CONFIDENCE:
        read = ReadNumber((character.rect,), ink[None], scores, 1.0, reading)
        return SingleReading(read, tuple(predictions))
    return _average_predictions(character.rect, predictions, page, classifier, models, p_single)


def read_crop(
    numbers: Sequence[ReadNumber], page: PageInk, classifier: DigitClassifier, models: RecognitionModels
) -> SingleReading | None:
    """Read a crop of one character, in which the page path found several, with the segmenter.

    None if the picture is no such crop, the numbers are confident, or the segmenter does not find exactly one.
    """
    p, (rows, columns) = PARAMS, page.ink.shape
    is_crop = columns <= p.crop_shape * rows and sum(len(number.rects) for number in numbers) <= p.crop_digits
    if not is_crop or all(number.confidence >= p.crop_sure for number in numbers):
        return None
    zoomed = zoom(page.unpainted, classifier, models.segmenter)
    if zoomed is None or zoomed.rect is None or zoomed.prediction is None or not zoomed.is_unambiguous:
        return None
    strip = line_rect_around(zoomed.rect, page.unpainted)
    frames, _ = models.recognizer.read(crop_rect(page.unpainted, strip))
    probabilities = p_single_symbol(frames)
    if probabilities.sum() < p.crop_single:
        return None
    line_scores = append_no_digit(probabilities[:DIGITS])
    predictions = (zoomed.prediction, Prediction("sequence recognizer, zoomed", line_scores, strip))
    ink = np.asarray(zoomed.prediction.evidence)[None]
    scores = average(predictions)
    confidence = 1.0 if scores[0, :DIGITS].max() >= p.crop_sure else p.crop_doubt
    return SingleReading(ReadNumber((zoomed.rect,), ink, scores, confidence), predictions, zoomed)


def _is_lone(character: Component, page: PageInk) -> bool:
    """Tell whether nearly all ink of a page is one character with room around it."""
    rows, columns = page.ink.shape
    if character.left <= 1 or character.top <= 1 or character.right >= columns - 1 or character.bottom >= rows - 1:
        return False
    own = page.ink[character.top : character.bottom, character.left : character.right]
    return float(page.ink.sum()) <= (1 + PARAMS.lone) * float(own.sum())


def _line_scores(reading: LineReading, p_single: float | None) -> Scores:
    """Return the recognizer's scores for one character, (11,); with `p_single` those given that there is one."""
    if len(reading.line.text) == 1:  # compared with every other symbol already, in all its views
        return append_no_digit(reading.line.alternatives[0, :DIGITS])
    return p_single_digit(reading.line.frames) if p_single is None else p_digit_given_single(reading.line.frames)


def _average_predictions(
    rect: Rect | None,
    predictions: list[Prediction],
    page: PageInk,
    classifier: DigitClassifier,
    models: RecognitionModels,
    p_single: float | None = None,
) -> SingleReading | None:
    """Zoom on the only character, and average all predictions for it; None if there are none.

    Args:
        rect: the character in pixels of the page ink; None if the page path found none.
        predictions: for it, the classifier's last.
        page: the ink of the page.
        classifier: of single digits.
        models: segmenter and sequence recognizer.
        p_single: probability that the strip holds one character, if the recognizer prefers several.
    """
    zoomed = zoom(page.unpainted, classifier, models.segmenter)
    if zoomed is not None and zoomed.rect is not None and zoomed.prediction is not None:
        rect = zoomed.rect
        strip = line_rect_around(rect, page.unpainted)
        frames, _ = models.recognizer.read(crop_rect(page.unpainted, strip))
        scores = p_single_digit(frames) if p_single is None else p_digit_given_single(frames)
        predictions = [*predictions, Prediction("sequence recognizer, zoomed", scores, strip), zoomed.prediction]
    if rect is None or not predictions:
        return None
    confidence = 1.0 if p_single is None else 1.0 - PARAMS.doubt * (1.0 - p_single)
    ink = np.asarray(predictions[-1].evidence)[None]
    return SingleReading(ReadNumber((rect,), ink, average(predictions), confidence), tuple(predictions), zoomed)
