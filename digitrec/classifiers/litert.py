"""Score with LiteRT: what the service runs (docs/decisions/002-litert.md)."""

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np

from digitrec.classifiers.base import CLASSES, DIGITS, SIDE, calibrated, checked
from digitrec.classifiers.bundle import TFLITE, Bundle
from digitrec.classifiers.quiet import quiet_start
from digitrec.errors import ModelError
from digitrec.records import Ink, Scores


class _Runner(NamedTuple):
    """An interpreter, which works for one thread at a time, and where its picture and its scores lie."""

    interpreter: Any
    entry: int
    exit: int


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
        # Not one for each thread: an engine's threads last for a batch only.
        self._idle: deque[_Runner] = deque([self._start()])

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
        try:
            runner = self._idle.pop()
        except IndexError:
            runner = self._start()
        for row, picture in zip(scores, pictures, strict=True):
            runner.interpreter.set_tensor(runner.entry, picture[None])
            runner.interpreter.invoke()
            found = runner.interpreter.get_tensor(runner.exit)[0]
            row[: len(found)] = found
        self._idle.append(runner)
        return calibrated(scores, self._temperature)

    def _start(self) -> _Runner:
        with quiet_start():
            from ai_edge_litert.interpreter import Interpreter

            try:
                interpreter = Interpreter(model_content=self._network, num_threads=1)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as why:
                raise ModelError(f"LiteRT cannot run the model {self.fingerprint}: {why}") from None
        entry, exit_ = interpreter.get_input_details(), interpreter.get_output_details()
        shapes = [tuple(int(side) for side in one["shape"]) for one in (*entry, *exit_)]
        if shapes not in ([(1, SIDE, SIDE), (1, DIGITS)], [(1, SIDE, SIDE), (1, CLASSES)]):
            raise ModelError(
                f"the model {self.fingerprint} has the shapes {shapes}, not (1, 28, 28) and (1, 10) or (1, 11)"
            )
        return _Runner(interpreter, entry[0]["index"], exit_[0]["index"])


@lru_cache(maxsize=4)
def _received(network: bytes, fingerprint: str, temperature: float) -> LiteRTClassifier:
    # A child process is sent the same network with every file.
    return LiteRTClassifier(network, fingerprint, temperature)
