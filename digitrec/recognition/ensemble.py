"""What several ways of looking say of one sign: each is a witness, and their mean counts, as they seldom err alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Scores
from digitrec.recognition.classifier import CLASSES, DIGITS
from digitrec.recognition.ctc import FrameProbs, Text, sequence_probabilities
from digitrec.recognition.geometry import Rect
from digitrec.recognition.preprocess import Plane

ENSEMBLE_EXIT_CONFIDENCE = 0.98
"""If the line network and whatever cut a sign out give a digit at least this probability on average, nobody else is
asked."""
_SINGLE_DIGITS: list[Text] = [(digit,) for digit in range(DIGITS)]
_SINGLE_SYMBOLS: list[Text] = [(sign,) for sign in range(CLASSES)]
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What one way of looking says of a page's only sign."""

    source: str
    """Which, in words."""
    scores: Scores
    """(11,), sums to 1."""
    evidence: Plane | Rect
    """The sign cut out, (28, 28), 0.0 = paper, 1.0 = ink; or the strip that the line network read."""


def average(witnesses: Sequence[Prediction]) -> Scores:
    """What several ways of looking say of one sign, (1, 11)."""
    total: Scores = reduce(np.add, [one.scores for one in witnesses])
    return (total / np.float32(len(witnesses)))[None]


def p_single_digit(frames: FrameProbs) -> Scores:
    """What a line's frames say of one digit: the probability of each, and of anything else, (11,)."""
    return append_no_digit(sequence_probabilities(frames, _SINGLE_DIGITS))


def append_no_digit(chances: NDArray[np.float64]) -> Scores:
    """The probabilities of the ten digits, (10,), with what is left for anything else, (11,)."""
    return np.append(chances, max(0.0, 1.0 - float(chances.sum()))).astype(np.float32)


def p_digit_given_one(frames: FrameProbs) -> Scores:
    """What a line's frames say if there is one sign, (11,)."""
    chances = np.maximum(p_one_symbol(frames), _TINY)
    return np.asarray(chances / chances.sum(), np.float32)


def p_one_symbol(frames: FrameProbs) -> NDArray[np.float64]:
    """The probability that a line is one sign, for each of them, (11,); all together at most 1."""
    return sequence_probabilities(frames, _SINGLE_SYMBOLS)
