"""Composition of a batch of the digit classifier with page models."""

import numpy as np
import pytest

from digitrec.recognition.classifier import NO_DIGIT
from digitrec.training import pipeline_examples
from digitrec.training.classifier import ExtraExamples
from digitrec.training.networks import CLASSIFIERS
from digitrec.training.pipeline_examples import Examples
from digitrec.training.synthetic import glyphs, symbols

PAPER = CLASSIFIERS["paper"]


@pytest.fixture(scope="module")
def extra() -> list[ExtraExamples]:
    examples = Examples(np.full((5, 28, 28), 40, np.uint8), np.array([1, 2, 3, 4, NO_DIGIT]))
    return list(pipeline_examples.extra_examples(PAPER, examples, glyphs.load_glyphs()))


@pytest.mark.slow
def test_half_of_a_batch_is_from_the_data_set(extra: list[ExtraExamples]) -> None:
    assert [group.per_batch for group in extra] == [60, 4, 4, 4]
    assert PAPER.batch == 128


@pytest.mark.slow
def test_font_letters_are_non_digits_and_font_digits_are_digits(extra: list[ExtraExamples]) -> None:
    _, digits, letters, forms = extra

    assert sorted(set(digits.classes.tolist())) == list(range(10))
    assert set(letters.classes.tolist()) == {NO_DIGIT}
    assert len(letters.classes) > 1000
    assert sorted(set(forms.classes.tolist())) == list(range(10))


def test_no_training_letter_looks_like_a_digit() -> None:
    assert symbols.LETTERS == "ACEFHJKLMNPRTUVWXYacdefhjkmnprtuvwx"  # the order determines the synthetic data
    assert set(symbols.DIGIT_LIKE_LETTERS) <= set(glyphs.LOOKALIKES)


@pytest.mark.slow
def test_glyphs_are_normalized_like_scans(extra: list[ExtraExamples]) -> None:
    pictures = extra[1].pictures
    rows, columns = pictures.max(axis=2) > 0, pictures.max(axis=1) > 0

    assert np.maximum(rows.sum(axis=1), columns.sum(axis=1)).max() <= 20
    assert pictures.max(axis=(1, 2)).min() > 200


@pytest.mark.slow
def test_empty_page_examples_are_omitted() -> None:
    empty = Examples(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int64))

    assert len(pipeline_examples.extra_examples(PAPER, empty, glyphs.load_glyphs())) == 3


@pytest.mark.slow
def test_examples_of_pages_are_slightly_augmented(extra: list[ExtraExamples]) -> None:
    pages = extra[0]

    ink = pages.augment(pages.pictures, pages.classes, np.random.default_rng(0))

    assert ink.shape == (5, 28, 28)
    assert ink.dtype == np.float32
    assert ((ink >= 0) & (ink <= 1)).all()
