"""Protocol of digit classifiers; `tests/recognition/test_classifier_contract.py` tests every implementation."""

from typing import Protocol

import numpy as np

from digitrec.arrays import Ink, Scores

DIGIT_PX = 28
DIGITS = 10
NO_DIGIT = DIGITS
"""Column of "no digit"."""
CLASSES = DIGITS + 1


class DigitClassifier(Protocol):
    """Scores the ink of single digits."""

    @property
    def fingerprint(self) -> str:
        """Identifier of the weights and the preprocessing version, for the ledger."""

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 11) out, rows sum to 1.

        Column `NO_DIGIT` is 0 if the classifier has digits only. The scores of a picture do not depend on the batch.
        n may be 0. Thread-safe.

        Raises:
            ValueError: the ink has another shape.
        """


def check_ink(ink: Ink) -> Ink:
    """Convert ink to float32; ValueError if it is not (n, 28, 28).

    >>> check_ink(np.zeros((2, 28, 28))).dtype
    dtype('float32')
    """
    if ink.ndim != 3 or ink.shape[1:] != (DIGIT_PX, DIGIT_PX):
        raise ValueError(f"ink has the shape {ink.shape}; a classifier takes (n, {DIGIT_PX}, {DIGIT_PX})")
    return np.ascontiguousarray(ink, dtype=np.float32)


def apply_temperature(scores: Scores, temperature: float) -> Scores:
    """Calibrate scores by temperature scaling; a temperature above 1 softens them.

    Dividing the logits by the temperature is p ** (1 / temperature) of probabilities, normalized to sum 1.

    >>> apply_temperature(np.array([[0.8, 0.2]], np.float32), 2.0).round(3).tolist()
    [[0.6669999957084656, 0.3330000042915344]]
    """
    powers = np.asarray(scores, np.float64) ** (1.0 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
