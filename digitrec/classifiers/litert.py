"""Score with LiteRT: what the service runs (docs/decisions/002-litert.md)."""

import threading
from typing import Any, Self

import numpy as np

from digitrec.classifiers.base import DIGITS, SIDE, calibrated, checked
from digitrec.classifiers.bundle import TFLITE, Bundle
from digitrec.classifiers.quiet import quiet_start
from digitrec.errors import ModelError
from digitrec.records import Ink, Scores


class LiteRTClassifier:
    """A `.tflite` network on one thread; any number of threads may call `score`, each has its own interpreter."""

    def __init__(self, network: bytes, fingerprint: str, temperature: float) -> None:
        """Take the content of a `.tflite` file whose origin was checked (`load` does).

        Raises:
            ModelError: LiteRT cannot run it, or it does not turn (1, 28, 28) into (1, 10).
        """
        self.fingerprint = fingerprint
        self._network = network
        self._temperature = temperature
        self._own = threading.local()
        self._interpreter()

    @classmethod
    def load(cls, bundle: Bundle) -> Self:
        """Load the network of a model folder."""
        return cls(bundle.content(TFLITE), bundle.card.fingerprint, bundle.card.temperature)

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 10) out.

        One at a time: measured, LiteRT is no faster with 64 at once, and so no picture can touch another's scores.
        """
        pictures = checked(ink)
        scores = np.empty((len(pictures), DIGITS), np.float32)
        interpreter, entry, exit_ = self._interpreter()
        for row, picture in zip(scores, pictures, strict=True):
            interpreter.set_tensor(entry, picture[None])
            interpreter.invoke()
            row[:] = interpreter.get_tensor(exit_)[0]
        return calibrated(scores, self._temperature)

    def _interpreter(self) -> tuple[Any, int, int]:
        if not hasattr(self._own, "interpreter"):
            self._own.interpreter = self._start()
        own: tuple[Any, int, int] = self._own.interpreter
        return own

    def _start(self) -> tuple[Any, int, int]:
        with quiet_start():
            from ai_edge_litert.interpreter import Interpreter

            try:
                interpreter = Interpreter(model_content=self._network, num_threads=1)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as why:
                raise ModelError(f"LiteRT cannot run the model {self.fingerprint}: {why}") from None
        entry, exit_ = interpreter.get_input_details(), interpreter.get_output_details()
        shapes = [tuple(int(side) for side in one["shape"]) for one in (*entry, *exit_)]
        if shapes != [(1, SIDE, SIDE), (1, DIGITS)]:
            raise ModelError(f"the model {self.fingerprint} has the shapes {shapes}, not (1, 28, 28) and (1, 10)")
        return interpreter, entry[0]["index"], exit_[0]["index"]
