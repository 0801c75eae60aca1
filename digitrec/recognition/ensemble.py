"""Ensemble of model predictions for one character: models seldom make the same error, so scores are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import PageResult, Scores
from digitrec.recognition.classifier import CLASSES, DIGITS
from digitrec.recognition.ctc import FrameProbs, Text, sequence_probabilities
from digitrec.recognition.geometry import Rect
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import SegmentedCrop

ENSEMBLE_EXIT_CONFIDENCE = 0.98
"""Early exit: no further model is run if the average of two predictions gives a digit at least this probability."""
_SINGLE_DIGITS: list[Text] = [(digit,) for digit in range(DIGITS)]
_SINGLE_SYMBOLS: list[Text] = [(symbol,) for symbol in range(CLASSES)]
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Scores of one model for the page's only character."""

    source: str
    """Name of the model and of its input, for the explanation."""
    scores: Scores
    """(11,), sums to 1."""
    evidence: Plane | Rect
    """Input of the model: the digit, (28, 28), 0.0 = paper, 1.0 = ink; or the line crop of the sequence recognizer."""


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleResult:
    """A page with one character, and the predictions that were averaged for it."""

    page: PageResult
    predictions: tuple[Prediction, ...]
    crop: SegmentedCrop | None = None
    """The zoomed crop; None if the zoom was not used."""


def average(predictions: Sequence[Prediction]) -> Scores:
    """Average the scores of several predictions, (1, 11)."""
    total: Scores = reduce(np.add, [prediction.scores for prediction in predictions])
    return (total / np.float32(len(predictions)))[None]


def p_single_digit(frames: FrameProbs) -> Scores:
    """Return the probability that a line is one digit, for each digit, and of any other text, (11,)."""
    return append_no_digit(sequence_probabilities(frames, _SINGLE_DIGITS))


def append_no_digit(probabilities: NDArray[np.float64]) -> Scores:
    """Append the remaining probability as "no digit" to those of the ten digits: (10,) to (11,)."""
    return np.append(probabilities, max(0.0, 1.0 - float(probabilities.sum()))).astype(np.float32)


def p_digit_given_single(frames: FrameProbs) -> Scores:
    """Return the probability of each symbol given that the line has one symbol, (11,)."""
    probabilities = np.maximum(p_single_symbol(frames), _TINY)
    return np.asarray(probabilities / probabilities.sum(), np.float32)


def p_single_symbol(frames: FrameProbs) -> NDArray[np.float64]:
    """Return the probability that a line is exactly one symbol, for each symbol, (11,); the sum is at most 1."""
    return sequence_probabilities(frames, _SINGLE_SYMBOLS)
