"""Read the only character of a page with all models, if two are not confident.

Models seldom make the same error, so their scores are averaged: the classifier's on the character as the page path and
as the segmenter cropped it, and the sequence recognizer's on the strip around either crop.
"""

from dataclasses import dataclass

import numpy as np

from digitrec.recognition.classifier import DIGITS, DigitClassifier
from digitrec.recognition.ensemble import (
    ENSEMBLE_EXIT_CONFIDENCE,
    Prediction,
    append_no_digit,
    average,
    p_digit_given_one,
    p_single_digit,
)
from digitrec.recognition.geometry import Rect, crop_rect, line_rect_around
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.number_reader import LineReading, ReadNumber
from digitrec.recognition.page_ink import PageInk
from digitrec.recognition.zoom import ZoomResult, zoom


@dataclass(frozen=True, slots=True)
class SingleParams:
    """Thresholds of the ensemble of a page's only character."""

    lone: float = 0.05
    """Most other ink on the page of a character that two predictions may decide, as a share of its own."""
    doubt: float = 0.3
    """Factor for the recognizer's doubt that the strip holds one character."""


PARAMS = SingleParams()


def read_single(
    rect: Rect | None,
    classified: Prediction | None,
    reading: LineReading | None,
    page: PageInk,
    classifier: DigitClassifier,
    models: RecognitionModels,
    p_one: float | None = None,
) -> tuple[ReadNumber | None, tuple[Prediction, ...], ZoomResult | None]:
    """Average the predictions for one character; None if no model finds one.

    Args:
        rect: the character in pixels of the page ink; None if the page path found none.
        classified: the classifier's prediction for its crop.
        reading: its strip; None if the page path found none.
        page: the ink of the page.
        classifier: of single digits.
        models: segmenter and sequence recognizer.
        p_one: probability that the strip holds one character, if the recognizer prefers several.
    """
    line_scores_of = p_single_digit if p_one is None else p_digit_given_one
    confidence = 1.0 if p_one is None else 1.0 - PARAMS.doubt * (1.0 - p_one)
    predictions: list[Prediction] = []
    ink = None if classified is None else np.asarray(classified.evidence)
    if reading is not None and rect is not None and classified is not None and ink is not None:
        is_one = len(reading.line.text) == 1
        line_scores = (
            append_no_digit(reading.line.alternatives[0, :DIGITS]) if is_one else line_scores_of(reading.line.frames)
        )
        predictions = [
            Prediction("sequence recognizer", line_scores, reading.strip),
            classified,
        ]
        scores = average(predictions)
        mass = float(page.ink[int(rect.top) : int(rect.bottom), int(rect.left) : int(rect.right)].sum())
        is_lone = float(page.ink.sum()) <= (1 + PARAMS.lone) * mass
        if is_lone and p_one is None and scores[0, :DIGITS].max() >= ENSEMBLE_EXIT_CONFIDENCE:
            return ReadNumber((rect,), ink[None], scores, confidence, reading), tuple(predictions), None
    zoomed = zoom(page.unpainted, classifier, models.segmenter)
    if zoomed is not None and zoomed.rect is not None:
        if zoomed.prediction is not None:
            rect, ink = zoomed.rect, np.asarray(zoomed.prediction.evidence)
            line_rect = line_rect_around(rect, page.unpainted)
            frames, _ = models.recognizer.read(crop_rect(page.unpainted, line_rect))
            predictions += [
                zoomed.prediction,
                Prediction("sequence recognizer, zoomed", line_scores_of(frames), line_rect),
            ]
    if rect is None or ink is None or not predictions:
        return None, tuple(predictions), zoomed
    return ReadNumber((rect,), ink[None], average(predictions), confidence, reading), tuple(predictions), zoomed
