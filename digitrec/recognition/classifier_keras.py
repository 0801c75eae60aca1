"""Digit classifier in Keras, to verify the exported `.tflite` model. Importing TensorFlow takes 4 to 9 s."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import numpy as np

from digitrec.arrays import Ink, Scores
from digitrec.errors import ModelError, describe_error, require_packages
from digitrec.models.package import KERAS, ModelPackage
from digitrec.recognition.classifier import CLASSES, DIGIT_PX, DIGITS, apply_temperature, check_ink

_HARMLESS_MESSAGES = re.compile(
    rb"^(WARNING: All log messages before absl|INFO: Created TensorFlow Lite|INFO: Initialized TensorFlow Lite"
    rb"|[IW]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IW] |E\d{4} .*(cuda_platform|cuda_diagnostics|failed call to cuInit)"
    rb"|E\d{4} .*(oneDNN supports DT_BOOL only|NodeDef mentions attribute)"
    rb"|To enable the following instructions|Saved artifact at|\s*$)"
)
_stderr_lock = threading.RLock()


@contextmanager
def quiet_start() -> Iterator[None]:
    """Buffer stderr and write it afterwards without known harmless messages."""
    with _stderr_lock, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        # A daemon may have closed its stderr.
        try:
            real = os.dup(2)
        except OSError:
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            rest = drop_harmless_messages(held.read())
            if rest:
                os.write(2, rest)


def start_keras() -> Any:
    """Import Keras and initialize TensorFlow's devices, without their log messages; return the module.

    Raises:
        MissingPackage: they are not installed.
    """
    require_packages("Keras' download and --keras", "tensorflow", "keras")
    with quiet_start():
        import keras
        import tensorflow

        tensorflow.config.list_logical_devices()
    return keras


def drop_harmless_messages(text: bytes) -> bytes:
    r"""Drop log lines that report no error.

    >>> drop_harmless_messages(b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nout of memory\n")
    b'out of memory\n'
    """
    return b"".join(line for line in text.splitlines(keepends=True) if not _HARMLESS_MESSAGES.match(line))


_BATCH = 64


class KerasDigitClassifier:
    """Runs a `.keras` model."""

    def __init__(self, model: Any, fingerprint: str, temperature: float) -> None:
        """Set a `keras.Model` from (n, 28, 28) to (n, 10), or to (n, 11) if it has "no digit".

        Raises:
            ModelError: it has other shapes.
        """
        shapes = (tuple(model.input_shape[1:]), tuple(model.output_shape[1:]))
        if shapes not in {((DIGIT_PX, DIGIT_PX), (DIGITS,)), ((DIGIT_PX, DIGIT_PX), (CLASSES,))}:
            raise ModelError(f"the model {fingerprint} has the shapes {shapes}, not (28, 28) and (10,) or (11,)")
        self.fingerprint = fingerprint
        self._model = model
        self._temperature = temperature

    @classmethod
    def load(cls, bundle: ModelPackage) -> Self:
        """Load the network of a model folder; safe mode prevents code execution."""
        path = bundle.path(KERAS)
        bundle.read_file(KERAS)
        try:
            model = start_keras().saving.load_model(path, compile=False, safe_mode=True)
        except (ValueError, TypeError, OSError, KeyError) as why:
            raise ModelError(f"Keras cannot load {path}: {describe_error(why)}") from None
        return cls(model, bundle.card.fingerprint + "-keras", bundle.card.temperature)

    def score(self, ink: Ink) -> Scores:
        """Score each picture: (n, 28, 28) in, (n, 11) out.

        The batch size is always 64, padded with paper: another batch size may sum in another order.
        """
        pictures = check_ink(ink)
        scores = np.zeros((len(pictures), CLASSES), np.float32)
        for start in range(0, len(pictures), _BATCH):
            batch = pictures[start : start + _BATCH]
            padded = np.zeros((_BATCH, DIGIT_PX, DIGIT_PX), np.float32)
            padded[: len(batch)] = batch
            result = np.asarray(self._model(padded, training=False))
            scores[start : start + len(batch), : result.shape[1]] = result[: len(batch)]
        return apply_temperature(scores, self._temperature)
