"""What becomes an example for the digits' network, and of which class."""

import numpy as np
import pytest

from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.layout import DigitRegion
from digitrec.recognition.segmenter import CropWindow
from digitrec.training import pipeline_examples
from digitrec.training.pipeline_examples import ExtractedExamples, collect_examples
from digitrec.types import Box

PAGE = (60, 80)


def written(left: int, top: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros(PAGE, np.uint8)
    mask[top : top + height, left : left + width] = 255
    return mask


def found(left: int, top: int, width: int, height: int) -> DigitRegion:
    return DigitRegion(Box(left, top, width, height), np.ones((height, width), np.float32))


def told_apart(things: list[DigitRegion], mask: np.ndarray) -> tuple[bool, int]:
    sign, others = pipeline_examples._told_apart(things, mask, pipeline_examples._corners(mask, PAGE))
    return sign is not None, len(others)


def test_a_component_at_the_drawn_position_is_the_character() -> None:
    assert told_apart([found(21, 10, 19, 32)], written(20, 10, 20, 30)) == (True, 0)


def test_a_component_elsewhere_is_noise() -> None:
    assert told_apart([found(20, 10, 20, 30), found(60, 5, 15, 12)], written(20, 10, 20, 30)) == (True, 1)


def test_half_a_character_is_no_example() -> None:
    assert told_apart([found(20, 10, 20, 12)], written(20, 10, 20, 30)) == (False, 0)


def test_a_character_split_in_two_is_no_example() -> None:
    assert told_apart([found(20, 10, 20, 30), found(22, 10, 18, 30)], written(20, 10, 20, 30)) == (False, 0)


def test_a_lone_upright_bar_is_not_called_no_digit() -> None:
    assert told_apart([found(70, 5, 4, 30)], written(20, 10, 20, 30)) == (False, 0)


def test_on_a_page_without_a_character_everything_is_noise() -> None:
    assert told_apart([found(20, 10, 20, 30)], written(0, 0, 0, 0)) == (False, 1)


def test_a_box_is_moved_into_the_window_even_beyond_its_edge() -> None:
    assert pipeline_examples._moved((10.0, 20.0, 42.0, 84.0), CropWindow(10.0, 20.0, 32.0)) == (0.0, 0.0, 64.0, 128.0)


def test_the_mask_is_seen_through_the_window() -> None:
    mask = pipeline_examples._through(written(20, 10, 20, 30), CropWindow(20.0, 10.0, 32.0))

    assert mask.shape == (64, 64)
    assert mask[:58, :38].min() == 255
    assert mask[:, 44:].max() == 0


def glimpses(count: int, characters: int = 1, digit: int = 3) -> list[ExtractedExamples]:
    picture = np.full((28, 28), 7, np.uint8)
    return [ExtractedExamples((picture,) * characters, digit, np.full((28, 28), 9, np.uint8)) for _ in range(count)]


def test_noise_is_at_most_a_tenth_of_the_examples() -> None:
    examples = collect_examples(glimpses(90))

    assert len(examples) == 100
    assert np.bincount(examples.classes, minlength=11).tolist() == [0, 0, 0, 90, *[0] * 6, 10]


def test_pages_on_which_nothing_was_found_give_no_example() -> None:
    examples = collect_examples(glimpses(3, characters=0))

    assert examples.pictures.shape == (0, 28, 28)
    assert examples.classes.shape == (0,)


def test_a_letter_is_an_example_of_none() -> None:
    assert collect_examples(glimpses(1, characters=2, digit=NO_DIGIT)).classes.tolist() == [NO_DIGIT, NO_DIGIT]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_pages_of_either_kind_come_with_their_ink(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    from digitrec.training.datasets import mnist
    from digitrec.training.synthetic import glyphs
    from digitrec.training.synthetic.symbols import GlyphSources

    monkeypatch.setattr(pipeline_examples, "_AS_SAMPLES", share)
    small = mnist.load_mnist_5k().train
    sources = GlyphSources.of(small.pictures, small.digits, glyphs.load_glyphs())

    picture, mask, digit = pipeline_examples._page(sources, np.random.default_rng(2))

    assert picture.shape[:2] == mask.shape
    assert mask.max() > 127
    assert 0 <= digit <= NO_DIGIT
