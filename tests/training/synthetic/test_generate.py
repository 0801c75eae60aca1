"""Crops and strips as they are stored for training."""

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
    return GlyphSources.of(small.pictures, small.digits, glyphs.load_glyphs())


def test_storing_loses_no_more_than_a_step() -> None:
    flat = np.linspace(-3.99, 3.96, 400, dtype=np.float32).reshape(20, 20)

    assert np.abs(dequantize(quantize(flat)) - flat).max() <= 1 / 32


def test_paper_around_a_strip_is_exactly_paper() -> None:
    assert dequantize(np.full((2, 2), 128, np.uint8)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_crops_come_flattened_with_the_ink_that_was_drawn(sources: GlyphSources) -> None:
    found = generate.generate_crops(sources, 24, (3,))

    assert len(found) == 24
    shapes = set()
    for place in range(24):
        crop = crops.generate_crop(sources, np.random.default_rng((3, place)))
        height, width = crop.ink.shape
        shapes.add((height, width))
        top, left = (64 - height) // 2, (64 - width) // 2
        shown = np.s_[top : top + height, left : left + width]
        np.testing.assert_array_equal(found.ink[place][shown], crop.ink)
        assert found.ink[place].sum() == crop.ink.sum()
    assert abs(dequantize(found.levels).mean()) < 0.3
    assert (64, 64) in shapes
    assert any(min(shape) < 64 == max(shape) for shape in shapes)


def test_strips_are_filled_up_to_a_multiple_of_32_and_keep_their_text(sources: GlyphSources) -> None:
    found = generate.generate_lines(sources, 20, (3,))

    assert all(levels.shape[0] == 40 and levels.shape[1] % 32 == 0 for levels in found.levels)
    assert max(levels.shape[1] for levels in found.levels) <= 192
    assert found.texts == [
        text_lines.generate_line(sources, np.random.default_rng((3, place))).text for place in range(20)
    ]
