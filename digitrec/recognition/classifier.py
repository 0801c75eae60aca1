"""What a classifier promises; `tests/contract/test_classifiers.py` holds every one of them to it."""

from typing import Protocol

import numpy as np

from digitrec.arrays import Ink, Scores

DIGIT_PX = 28
DIGITS = 10
NO_DIGIT = DIGITS
"""The column of "no digit"."""
CLASSES = DIGITS + 1


class DigitClassifier(Protocol):
    """Anything that turns ink into scores."""

    @property
    def fingerprint(self) -> str:
        """Names the exact weights and recipe, for the ledger."""

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 11) out, rows sum to 1.

        Column `NO_DIGIT` is 0 where a classifier knows digits only. A picture's scores depend on that picture alone,
        never on its batch. n may be 0. Any number of threads may ask at once.

        Raises:
            ValueError: the ink has another shape.
        """


def check_ink(ink: Ink) -> Ink:
    """The ink as float32, or ValueError if it is not (n, 28, 28).

    >>> check_ink(np.zeros((2, 28, 28))).dtype
    dtype('float32')
    """
    if ink.ndim != 3 or ink.shape[1:] != (DIGIT_PX, DIGIT_PX):
        raise ValueError(f"ink has the shape {ink.shape}; a classifier takes (n, {DIGIT_PX}, {DIGIT_PX})")
    return np.ascontiguousarray(ink, dtype=np.float32)


def apply_temperature(scores: Scores, temperature: float) -> Scores:
    """Soften (temperature above 1) or sharpen scores so that 0.9 means right nine times in ten.

    Divides the logits by the temperature; with probabilities that is p ** (1 / temperature), made to sum to 1 again.

    >>> apply_temperature(np.array([[0.8, 0.2]], np.float32), 2.0).round(3).tolist()
    [[0.6669999957084656, 0.3330000042915344]]
    """
    powers = np.asarray(scores, np.float64) ** (1.0 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
