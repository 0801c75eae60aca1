"""Examples of synthetic pages for the digit classifier, and their classes."""

from dataclasses import replace

import numpy as np
import pytest

from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.segmenter import CropWindow
from digitrec.training import pipeline_examples
from digitrec.training.characters import CroppedCharacter
from digitrec.training.datasets import mnist
from digitrec.training.pipeline_examples import ExtractedExamples, collect_examples
from digitrec.training.synthetic import glyphs
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import Box

PAGE = (60, 80)


def written(left: int, top: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros(PAGE, np.uint8)
    mask[top : top + height, left : left + width] = 255
    return mask


def component(left: int, top: int, width: int, height: int) -> CroppedCharacter:
    return CroppedCharacter(Box(left, top, width, height), np.ones((28, 28), np.float32))


def match_components(components: list[CroppedCharacter], mask: np.ndarray) -> tuple[bool, int]:
    ink, box = np.ones(PAGE, np.float32), pipeline_examples._find_box(mask)
    character, clutter = pipeline_examples._match_characters(components, ink, mask, box)
    return character is not None, len(clutter)


def test_a_component_at_the_drawn_position_is_the_character() -> None:
    assert match_components([component(21, 10, 19, 32)], written(20, 10, 20, 30)) == (True, 0)


def test_a_component_elsewhere_is_noise() -> None:
    assert match_components([component(20, 10, 20, 30), component(60, 5, 15, 12)], written(20, 10, 20, 30)) == (True, 1)


def test_half_a_character_is_no_example() -> None:
    assert match_components([component(20, 10, 20, 12)], written(20, 10, 20, 30)) == (False, 0)


def test_a_character_split_in_two_is_no_example() -> None:
    assert match_components([component(20, 10, 20, 30), component(22, 10, 18, 30)], written(20, 10, 20, 30)) == (
        False,
        0,
    )


def test_an_upright_bar_is_no_example_of_a_non_digit() -> None:
    assert match_components([component(70, 5, 4, 30)], written(20, 10, 20, 30)) == (False, 0)


def test_on_a_page_without_a_character_everything_is_noise() -> None:
    assert match_components([component(20, 10, 20, 30)], written(0, 0, 0, 0)) == (False, 1)


def test_a_box_is_moved_into_the_window_even_beyond_its_edge() -> None:
    assert pipeline_examples._to_window((10.0, 20.0, 42.0, 84.0), CropWindow(10.0, 20.0, 32.0)) == (
        0.0,
        0.0,
        64.0,
        128.0,
    )


def test_the_mask_is_cropped_to_the_window() -> None:
    mask = pipeline_examples._crop_to_window(written(20, 10, 20, 30), CropWindow(20.0, 10.0, 32.0))

    assert mask.shape == (64, 64)
    assert mask[:58, :38].min() == 255
    assert mask[:, 44:].max() == 0


def extracted(count: int, characters: int = 1, digit: int = 3) -> list[ExtractedExamples]:
    picture = np.full((28, 28), 7, np.uint8)
    return [ExtractedExamples((picture,) * characters, digit, np.full((28, 28), 9, np.uint8)) for _ in range(count)]


def test_noise_is_at_most_a_tenth_of_the_examples() -> None:
    examples = collect_examples(extracted(90))

    assert len(examples) == 100
    assert np.bincount(examples.classes, minlength=11).tolist() == [0, 0, 0, 90, *[0] * 6, 10]


def test_pages_without_components_give_no_example() -> None:
    examples = collect_examples(extracted(3, characters=0))

    assert examples.pictures.shape == (0, 28, 28)
    assert examples.classes.shape == (0,)


def test_a_letter_is_an_example_of_none() -> None:
    assert collect_examples(extracted(1, characters=2, digit=NO_DIGIT)).classes.tolist() == [NO_DIGIT, NO_DIGIT]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_both_kinds_of_pages_have_their_ink(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_examples, "PARAMS", replace(pipeline_examples.PARAMS, sample_share=share))
    small = mnist.load_mnist_5k().train
    sources = GlyphSources.from_digits(small.pictures, small.digits, glyphs.load_glyphs())

    picture, mask, digit = pipeline_examples._generate_page(sources, np.random.default_rng(2))

    assert picture.shape[:2] == mask.shape
    assert mask.max() > 127
    assert 0 <= digit <= NO_DIGIT
