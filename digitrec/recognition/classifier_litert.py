"""Digit classifiers without Keras: LiteRT, used by the service (docs/dev/decisions/002-litert.md), and nearest mean."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Ink, Scores
from digitrec.models.package import TFLITE, ModelPackage
from digitrec.recognition.classifier import CLASSES, DIGIT_PX, DIGITS, apply_temperature, check_ink
from digitrec.recognition.runtime import InterpreterPool


class LiteRTDigitClassifier:
    """Runs a `.tflite` model on one thread; `score` is thread-safe, and the object can be pickled."""

    def __init__(self, network: bytes, fingerprint: str, temperature: float) -> None:
        """Load the content of a `.tflite` file whose digest was checked (`load` does).

        Raises:
            ModelError: LiteRT cannot run it, or it does not turn (1, 28, 28) into (1, 10) or (1, 11).
        """
        self.fingerprint = fingerprint
        self._network = network
        self._temperature = temperature
        exits = frozenset({(1, DIGITS), (1, CLASSES)})
        self._run = InterpreterPool(network, f"the model {fingerprint}", (1, DIGIT_PX, DIGIT_PX), exits)

    @classmethod
    def load(cls, bundle: ModelPackage) -> Self:
        """Load the network of a model folder."""
        return cls(bundle.read_file(TFLITE), bundle.card.fingerprint, bundle.card.temperature)

    def __reduce__(self) -> tuple[Callable[..., "LiteRTDigitClassifier"], tuple[bytes, str, float]]:
        return _cached_classifier, (self._network, self.fingerprint, self._temperature)

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 11) out.

        One picture per call: a batch of 64 is not faster with LiteRT (measured), and scores stay independent.
        """
        pictures = check_ink(ink)
        scores = np.zeros((len(pictures), CLASSES), np.float32)
        for index in range(len(pictures)):
            result = self._run(pictures[index : index + 1])[0]
            scores[index, : len(result)] = result
        return apply_temperature(scores, self._temperature)


@lru_cache(maxsize=4)
def _cached_classifier(network: bytes, fingerprint: str, temperature: float) -> LiteRTDigitClassifier:
    # A worker process may receive the same model again, with another task.
    return LiteRTDigitClassifier(network, fingerprint, temperature)


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
