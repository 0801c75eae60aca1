"""What is in a batch of the digits' network for paper."""

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
def found() -> list[ExtraExamples]:
    seen = Examples(np.full((5, 28, 28), 40, np.uint8), np.array([1, 2, 3, 4, NO_DIGIT]))
    return list(pipeline_examples.extra_examples(PAPER, seen, glyphs.load_glyphs()))


@pytest.mark.slow
def test_half_of_a_batch_is_the_data_sets_own(found: list[ExtraExamples]) -> None:
    assert [each.per_batch for each in found] == [60, 4, 4]
    assert PAPER.batch == 128


@pytest.mark.slow
def test_letters_of_fonts_are_none_and_their_digits_are_digits(found: list[ExtraExamples]) -> None:
    _, digits, letters = found

    assert sorted(set(digits.classes.tolist())) == list(range(10))
    assert set(letters.classes.tolist()) == {NO_DIGIT}
    assert len(letters.classes) > 1000


def test_no_letter_is_one_that_looks_like_a_digit() -> None:
    assert symbols.LETTERS == "ACEFHJKLMNPRTUVWXYacdefhjkmnprtuvwx"  # in this order: what is drawn depends on it
    assert set(symbols.DIGIT_LIKE_LETTERS) <= set(glyphs.LOOKALIKES)


@pytest.mark.slow
def test_glyphs_are_normalised_as_a_scan_is(found: list[ExtraExamples]) -> None:
    pictures = found[1].pictures
    rows, columns = pictures.max(axis=2) > 0, pictures.max(axis=1) > 0

    assert np.maximum(rows.sum(axis=1), columns.sum(axis=1)).max() <= 20
    assert pictures.max(axis=(1, 2)).min() > 200


@pytest.mark.slow
def test_pages_on_which_nothing_was_found_are_left_out() -> None:
    nothing = Examples(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int64))

    assert len(pipeline_examples.extra_examples(PAPER, nothing, glyphs.load_glyphs())) == 2


@pytest.mark.slow
def test_examples_of_pages_are_varied_a_little(found: list[ExtraExamples]) -> None:
    pages = found[0]

    ink = pages.vary(pages.pictures, pages.classes, np.random.default_rng(0))

    assert ink.shape == (5, 28, 28)
    assert ink.dtype == np.float32
    assert ((ink >= 0) & (ink <= 1)).all()
