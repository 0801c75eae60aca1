"""Score with LiteRT: what the service runs (docs/decisions/002-litert.md)."""

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
    """A `.tflite` network on one thread; any number of threads may call `score`.

    It can be sent to another process, as the bytes of its network.
    """

    def __init__(self, network: bytes, fingerprint: str, temperature: float) -> None:
        """Take the content of a `.tflite` file whose origin was checked (`load` does).

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

        One at a time: measured, LiteRT is no faster with 64 at once, and so no picture can touch another's scores.
        """
        pictures = check_ink(ink)
        scores = np.zeros((len(pictures), CLASSES), np.float32)
        for place in range(len(pictures)):
            found = self._run(pictures[place : place + 1])[0]
            scores[place, : len(found)] = found
        return apply_temperature(scores, self._temperature)


@lru_cache(maxsize=4)
def _cached_classifier(network: bytes, fingerprint: str, temperature: float) -> LiteRTDigitClassifier:
    # A child process may be sent the same network again, with another function.
    return LiteRTDigitClassifier(network, fingerprint, temperature)


class NearestMeanClassifier:
    """Scores by distance to the mean picture of each digit."""

    def __init__(self, means: Ink | None = None) -> None:
        """Take the means of the ten digits, (10, 28, 28); None draws plain ones."""
        self._means = check_ink(np.stack([_draw_digit(digit) for digit in range(DIGITS)]) if means is None else means)
        self.fingerprint = f"mean_ink-{hashlib.sha256(self._means.tobytes()).hexdigest()[:10]}"

    @classmethod
    def learn(cls, ink: Ink, digits: NDArray[np.int64]) -> Self:
        """Learn from labelled ink (n, 28, 28), at least one picture of each digit."""
        return cls(np.stack([ink[digits == digit].mean(axis=0) for digit in range(DIGITS)]))

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 11) out; softmax of the negative squared distance."""
        # Picture by picture: numpy may sum a larger array in another order.
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
