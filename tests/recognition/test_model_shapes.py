"""A network that gives something else than is worked with is refused when it is loaded, not inside a page.

That those which are trained are taken is shown where they are trained: tests/training/test_stages.py.
"""

from typing import Any

import pytest

from digitrec.errors import ModelError
from digitrec.recognition.classifier_keras import start_keras
from digitrec.recognition.segmenter import Segmenter
from digitrec.recognition.sequence_recognizer import SequenceRecognizer
from digitrec.training import export

pytestmark = pytest.mark.slow


def other_line_network() -> Any:
    """With a class too many."""
    keras = start_keras()
    entry = keras.Input((40, None, 1))
    return keras.Model(entry, keras.layers.Conv2D(13, (40, 4), strides=4)(entry))


def other_ink_network() -> Any:
    """With pictures of half the size."""
    keras = start_keras()
    entry = keras.Input((64, 64))
    return keras.Model(entry, keras.layers.AveragePooling1D(2)(entry))


def test_an_ink_network_with_another_picture_is_refused() -> None:
    with pytest.raises(ModelError, match=r"ink\.tflite end in \(1, 32, 64\), not in \(1, 64, 64\)"):
        Segmenter(export.to_tflite_bytes(other_ink_network(), (1, 64, 64)), "ink.tflite")


def test_a_line_network_with_other_classes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"line\.tflite end in \(1, 1, 16, 13\), not in \(1, 1, 16, 12\)"):
        SequenceRecognizer(export.to_tflite_bytes(other_line_network(), (1, 40, 192, 1)), "line.tflite")
