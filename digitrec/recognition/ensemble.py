"""What several ways of looking say of one sign: each is a witness, and their mean counts, as they seldom err alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Scores
from digitrec.recognition.classifier import CLASSES, DIGITS
from digitrec.recognition.ctc import Frames, Text, probabilities
from digitrec.recognition.geometry import Span
from digitrec.recognition.preprocess import Plane

SURE_OF_BOTH = 0.98
"""If the line network and whatever cut a sign out give a digit at least this probability on average, nobody else is
asked."""
_SINGLES: list[Text] = [(digit,) for digit in range(DIGITS)]
_ONE_SIGN: list[Text] = [(sign,) for sign in range(CLASSES)]
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Witness:
    """What one way of looking says of a page's only sign."""

    way: str
    """Which, in words."""
    scores: Scores
    """(11,), sums to 1."""
    looked_at: Plane | Span
    """The sign cut out, (28, 28), 0.0 = paper, 1.0 = ink; or the strip that the line network read."""


def mean(witnesses: Sequence[Witness]) -> Scores:
    """What several ways of looking say of one sign, (1, 11)."""
    total: Scores = reduce(np.add, [one.scores for one in witnesses])
    return (total / np.float32(len(witnesses)))[None]


def as_single(frames: Frames) -> Scores:
    """What a line's frames say of one digit: the probability of each, and of anything else, (11,)."""
    return with_none(probabilities(frames, _SINGLES))


def with_none(chances: NDArray[np.float64]) -> Scores:
    """The probabilities of the ten digits, (10,), with what is left for anything else, (11,)."""
    return np.append(chances, max(0.0, 1.0 - float(chances.sum()))).astype(np.float32)


def given_one(frames: Frames) -> Scores:
    """What a line's frames say if there is one sign, (11,)."""
    chances = np.maximum(of_one_sign(frames), _TINY)
    return np.asarray(chances / chances.sum(), np.float32)


def of_one_sign(frames: Frames) -> NDArray[np.float64]:
    """The probability that a line is one sign, for each of them, (11,); all together at most 1."""
    return probabilities(frames, _ONE_SIGN)
