"""Generated crops and text lines, normalized and quantized."""

import numpy as np
import pytest

from digitrec.training.datasets import mnist
from digitrec.training.synthetic import crops, generate, glyphs, text_lines
from digitrec.training.synthetic.generate import dequantize, quantize
from digitrec.training.synthetic.symbols import GlyphSources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sources() -> GlyphSources:
    small = mnist.load_mnist_5k().train
    return GlyphSources.from_digits(small.pictures, small.digits, glyphs.load_glyphs())


def test_quantization_loses_at_most_a_step() -> None:
    flat = np.linspace(-3.99, 3.96, 400, dtype=np.float32).reshape(20, 20)

    assert np.abs(dequantize(quantize(flat)) - flat).max() <= 1 / 32


def test_padding_is_exactly_paper() -> None:
    assert dequantize(np.full((2, 2), 128, np.uint8)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_crops_are_normalized_and_have_their_ink(sources: GlyphSources) -> None:
    examples = generate.generate_crops(sources, 24, (3,))

    assert len(examples) == 24
    shapes = set()
    for index in range(24):
        crop = crops.generate_crop(sources, np.random.default_rng((3, index)))
        height, width = crop.ink.shape
        shapes.add((height, width))
        top, left = (64 - height) // 2, (64 - width) // 2
        area = np.s_[top : top + height, left : left + width]
        np.testing.assert_array_equal(examples.ink[index][area], crop.ink)
        assert examples.ink[index].sum() == crop.ink.sum()
    assert abs(dequantize(examples.levels).mean()) < 0.3
    assert (64, 64) in shapes
    assert any(min(shape) < 64 == max(shape) for shape in shapes)


def test_lines_are_as_high_as_the_recognizer_s_input_and_keep_their_text(sources: GlyphSources) -> None:
    examples = generate.generate_lines(sources, 20, (3,))

    assert {levels.shape[0] for levels in examples.levels} == {40}
    assert max(levels.shape[1] for levels in examples.levels) <= 192
    assert examples.texts == [
        text_lines.generate_line(sources, np.random.default_rng((3, index))).text for index in range(20)
    ]
