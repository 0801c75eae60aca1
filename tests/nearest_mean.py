"""Digit classifier for tests: no model file, and worker processes can import it."""

import hashlib
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Ink, Scores
from digitrec.recognition.classifier import CLASSES, DIGIT_PX, DIGITS, check_ink


class NearestMeanClassifier:
    """Scores by the distance to the mean picture of each digit."""

    def __init__(self, means: Ink | None = None) -> None:
        """Set the means of the ten digits, (10, 28, 28); None: draw them with a font."""
        self._means = check_ink(np.stack([_draw_digit(digit) for digit in range(DIGITS)]) if means is None else means)
        self.fingerprint = f"mean_ink-{hashlib.sha256(self._means.tobytes()).hexdigest()[:10]}"

    @classmethod
    def learn(cls, ink: Ink, digits: NDArray[np.int64]) -> Self:
        """Fit to labelled ink (n, 28, 28), at least one picture of each digit."""
        return cls(np.stack([ink[digits == digit].mean(axis=0) for digit in range(DIGITS)]))

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 11) out; softmax of the negative squared distance."""
        # One picture at a time: numpy may sum a larger array in another order.
        scores = np.zeros((len(ink), CLASSES), np.float32)
        for row, picture in zip(scores, check_ink(ink), strict=True):
            distance = np.square(self._means - picture).sum(axis=(1, 2), dtype=np.float64)
            powers = np.exp(distance.min() - distance)
            row[:DIGITS] = powers / powers.sum()
        return scores


def _draw_digit(digit: int) -> Ink:
    picture = np.zeros((DIGIT_PX, DIGIT_PX), np.uint8)
    cv2.putText(picture, str(digit), (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.85, 255, 2, cv2.LINE_AA)
    return (picture / np.float32(255)).astype(np.float32)
