"""Score with Keras: for evaluation, to show that the `.tflite` twin says the same. Wakes TensorFlow (4 to 9 s)."""

from typing import Any, Self

import numpy as np

from digitrec.arrays import Ink, Scores
from digitrec.errors import ModelError, plain
from digitrec.models.package import KERAS, Bundle
from digitrec.recognition.classifier import CLASSES, DIGITS, SIDE, calibrated, checked
from digitrec.recognition.quiet import start_keras

_BATCH = 64


class KerasClassifier:
    """A `.keras` network."""

    def __init__(self, model: Any, fingerprint: str, temperature: float) -> None:
        """Take a `keras.Model` from (n, 28, 28) to (n, 10), or to (n, 11) if it knows "no digit".

        Raises:
            ModelError: it has other shapes.
        """
        shapes = (tuple(model.input_shape[1:]), tuple(model.output_shape[1:]))
        if shapes not in {((SIDE, SIDE), (DIGITS,)), ((SIDE, SIDE), (CLASSES,))}:
            raise ModelError(f"the model {fingerprint} has the shapes {shapes}, not (28, 28) and (10,) or (11,)")
        self.fingerprint = fingerprint
        self._model = model
        self._temperature = temperature

    @classmethod
    def load(cls, bundle: Bundle) -> Self:
        """Load the network of a model folder; safe mode stays on, so nothing in the file is run."""
        path = bundle.path(KERAS)
        bundle.content(KERAS)
        try:
            model = start_keras().saving.load_model(path, compile=False, safe_mode=True)
        except (ValueError, TypeError, OSError, KeyError) as why:
            raise ModelError(f"Keras cannot load {path}: {plain(why)}") from None
        return cls(model, bundle.card.fingerprint + "-keras", bundle.card.temperature)

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 11) out.

        Always 64 at once, the last ones filled up with paper: another batch size may sum in another order.
        """
        pictures = checked(ink)
        scores = np.zeros((len(pictures), CLASSES), np.float32)
        for start in range(0, len(pictures), _BATCH):
            some = pictures[start : start + _BATCH]
            full = np.zeros((_BATCH, SIDE, SIDE), np.float32)
            full[: len(some)] = some
            found = np.asarray(self._model(full, training=False))
            scores[start : start + len(some), : found.shape[1]] = found[: len(some)]
        return calibrated(scores, self._temperature)
