"""Score with LiteRT: what the service runs (docs/decisions/002-litert.md)."""

from collections.abc import Callable
from functools import lru_cache
from typing import Self

import numpy as np

from digitrec.arrays import Ink, Scores
from digitrec.models.package import TFLITE, Bundle
from digitrec.recognition.classifier import CLASSES, DIGITS, SIDE, calibrated, checked
from digitrec.recognition.runtime import Interpreters


class LiteRTClassifier:
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
        self._run = Interpreters(network, f"the model {fingerprint}", (1, SIDE, SIDE), exits)

    @classmethod
    def load(cls, bundle: Bundle) -> Self:
        """Load the network of a model folder."""
        return cls(bundle.content(TFLITE), bundle.card.fingerprint, bundle.card.temperature)

    def __reduce__(self) -> tuple[Callable[..., "LiteRTClassifier"], tuple[bytes, str, float]]:
        return _received, (self._network, self.fingerprint, self._temperature)

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 11) out.

        One at a time: measured, LiteRT is no faster with 64 at once, and so no picture can touch another's scores.
        """
        pictures = checked(ink)
        scores = np.zeros((len(pictures), CLASSES), np.float32)
        for place in range(len(pictures)):
            found = self._run(pictures[place : place + 1])[0]
            scores[place, : len(found)] = found
        return calibrated(scores, self._temperature)


@lru_cache(maxsize=4)
def _received(network: bytes, fingerprint: str, temperature: float) -> LiteRTClassifier:
    # A child process may be sent the same network again, with another function.
    return LiteRTClassifier(network, fingerprint, temperature)
