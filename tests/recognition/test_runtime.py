"""The pool of LiteRT interpreters."""

import gc
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import digitrec
from digitrec.recognition import runtime
from digitrec.recognition.sequence_recognizer import LINE_HEIGHT_PX, SequenceRecognizer

pytestmark = pytest.mark.slow

NETWORK = Path(digitrec.__file__).parent / "models" / "shipped" / "line.tflite"
WIDTHS = range(64, 641, 32)


def count_interpreters() -> int:
    gc.collect()
    return sum(type(value) is Interpreter for value in gc.get_objects())


def test_interpreters_of_many_widths_are_not_all_kept() -> None:
    before = count_interpreters()
    recognizer = SequenceRecognizer(NETWORK.read_bytes(), "line")
    strips = [np.full((LINE_HEIGHT_PX, width), 200.0, np.float32) for width in WIDTHS]
    for column in (10, 30):
        for strip in strips:
            strip[8:32, column : column + 4] = 20.0

    answers = [recognizer.read(strip)[0] for strip in strips]

    assert count_interpreters() - before == runtime.MAX_SHAPES
    again = [recognizer.read(strip)[0] for strip in strips]
    assert all(np.array_equal(one, other) for one, other in zip(answers, again, strict=True))
