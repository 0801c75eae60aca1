"""Digit classifier without Keras: LiteRT, used by the service (docs/dev/decisions/002-litert.md)."""

from typing import Self

import numpy as np

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
        self._temperature = temperature
        exits = frozenset({(1, DIGITS), (1, CLASSES)})
        self._run = InterpreterPool(network, f"the model {fingerprint}", (1, DIGIT_PX, DIGIT_PX), exits)

    @classmethod
    def load(cls, bundle: ModelPackage) -> Self:
        """Load the network of a model folder."""
        return cls(bundle.read_file(TFLITE), bundle.card.fingerprint, bundle.card.temperature)

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
