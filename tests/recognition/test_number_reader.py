"""One number read by both models: which of them is believed."""

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition.characters import ClassedComponents
from digitrec.recognition.classifier import DIGITS, NO_DIGIT
from digitrec.recognition.number_reader import (
    ReadNumber,
    crop_character,
    is_mark,
    read_number,
    read_strip,
    symbol_rects,
)
from digitrec.recognition.page_ink import PageInk
from digitrec.recognition.text_lines import TextNumber, find_numbers
from tests.recognition.drawn import lay_out, paper, stroke, write
from tests.recognition.stand_ins import Says, Spells, line_by

SURE, DOUBTFUL = 0.9999, 0.985
"""Probability of each frame's symbol; a line has about 50 frames."""


def three() -> Picture:
    return write(paper(120, 260), "582", 60, 80)


def laid_out(page: Picture) -> tuple[TextNumber, PageInk, ClassedComponents]:
    ink, classed = lay_out(page)
    (number,) = find_numbers(classed, ink.rules)
    return number, ink, classed


def read(monkeypatch: pytest.MonkeyPatch, line: Says, classifier: Spells, page: Picture | None = None) -> ReadNumber:
    return read_number(*laid_out(three() if page is None else page), classifier, line_by(monkeypatch, line))


def text(number: ReadNumber) -> str:
    return "".join(map(str, number.scores[:, :DIGITS].argmax(axis=1).tolist()))


def confidence(number: ReadNumber) -> float:
    return number.layout_confidence * float(number.scores[:, :DIGITS].max(axis=1).prod())


def test_agreement_of_the_models_raises_the_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    both = read(monkeypatch, Says((5, 8, 2), DOUBTFUL), Spells((5, 8, 2), 0.99))

    assert both.reading is not None
    assert text(both) == "582"
    assert confidence(both) > both.reading.line.probability
    assert not both.has_others


@pytest.mark.parametrize("other", [(5, 8, 7), (3, 8, 2), (5, 5, 5)])
def test_disagreement_about_a_digit_lowers_the_confidence(
    other: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = read(monkeypatch, Says((5, 8, 2), SURE), Spells((5, 8, 2)))
    disputed = read(monkeypatch, Says((5, 8, 2), SURE), Spells(other))

    assert len(text(disputed)) == 3
    assert confidence(disputed) < 0.7 < confidence(agreed)


@pytest.mark.parametrize("line", [(1, 5, 8, 2), (5, 8, 2, 1), (1, 5, 8, 2, 1), (5, 1, 8, 2)])
def test_a_doubtful_line_that_only_adds_ones_does_not_win(
    line: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = read(monkeypatch, Says(line, DOUBTFUL), Spells((5, 8, 2)))

    assert text(number) == "582"
    assert len(number.rects) == 3
    assert confidence(number) < 0.8


def test_a_line_of_another_length_wins_over_a_doubtful_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    number = read(monkeypatch, Says((5, 8, 2, 1), SURE), Spells((5, 8, 2), 0.5))

    assert text(number) == "5821"
    assert len(number.rects) == len(number.ink) == 4


def test_separate_characters_counted_differently_are_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    number = read(monkeypatch, Says((5, 2), SURE), Spells((5, 8, 2)))

    assert number.reading is not None
    assert number.layout_confidence < 0.9 * number.reading.line.probability


def test_touching_digits_are_separated_by_the_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(paper(120, 260), "5", 60, 80)
    write(page, "3", 82, 80)

    number = read(monkeypatch, Says((5, 3), SURE), Spells((8,)), page)

    assert text(number) == "53"
    left, right = number.rects
    assert left.left < left.right <= right.left < right.right
    assert confidence(number) > 0.9


@pytest.mark.parametrize("line", [(5, 8, NO_DIGIT), (NO_DIGIT, 5, 8)])
def test_a_letter_next_to_digits_is_left_out_and_noted(line: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    number = read(monkeypatch, Says(line, SURE), Spells((5, 8, 2)))

    assert number.has_others
    assert len(number.rects) == len(number.scores) == 2


def test_a_non_digit_between_digits_is_read_as_a_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    number = read(monkeypatch, Says((5, NO_DIGIT, 2), SURE), Spells((5, 8, 2)))

    assert text(number) == "582"
    assert confidence(number) < 0.8


def test_letters_only_are_a_mark_and_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    letters = read(monkeypatch, Says((NO_DIGIT,) * 3, SURE), Spells((NO_DIGIT,)))
    digits = read(monkeypatch, Says((5, 8, 2), SURE), Spells((5, 8, 2)))

    assert is_mark(letters)
    assert not is_mark(digits)


@pytest.mark.parametrize("line", [(11, 10, 10, 10), (13, 12, 12, 12), (11, 15, 10, 12), (10, 10, 10)])
def test_signs_and_non_digits_alone_keep_a_character(line: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    number = read(monkeypatch, Says(line, DOUBTFUL, symbols=17), Spells((5, 8, 2)))

    assert len(number.rects) == len(number.scores) == len(number.ink) == 1
    assert not number.signs
    assert confidence(number) < 0.7


def test_a_strip_without_text_is_doubtful_or_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = read(monkeypatch, Says((), SURE), Spells((5, 8, 2)))

    assert is_mark(empty)
    assert confidence(empty) < 0.6


def test_without_a_recognizer_the_classifier_decides_alone() -> None:
    number = read_number(*laid_out(three()), Spells((5, 8, 2)), None)

    assert text(number) == "582"
    assert (number.layout_confidence, number.reading) == (1.0, None)
    assert not is_mark(number)


def test_a_doubtful_line_is_read_in_several_views(monkeypatch: pytest.MonkeyPatch) -> None:
    number, page, _ = laid_out(three())
    sure, doubtful = Says((5, 8, 2), SURE), Says((5, 8, 2), DOUBTFUL)

    read_strip(number, page, line_by(monkeypatch, sure))
    reading = read_strip(number, page, line_by(monkeypatch, doubtful))

    assert len(sure.lines) == 1
    assert len(doubtful.lines) > 2
    assert reading.line.text == (5, 8, 2)


@pytest.mark.parametrize("angle", [-25, 18])
def test_a_slanting_line_is_read_level(angle: float, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(paper(500, 500), "385204", 140, 270)
    turn = cv2.getRotationMatrix2D((250, 250), angle, 1.0)
    turned = np.asarray(cv2.warpAffine(page, turn, (500, 500), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    widths = []
    for picture in (page, turned):
        says = Says((3, 8, 5, 2, 0, 4), SURE)
        number, ink, _ = laid_out(picture)
        read_strip(number, ink, line_by(monkeypatch, says))
        widths.append(np.count_nonzero(says.lines[0][0].any(axis=(0, 2))))

    assert widths[1] == pytest.approx(widths[0], rel=0.3)


def test_symbols_of_a_line_lie_in_its_strip_from_the_left(monkeypatch: pytest.MonkeyPatch) -> None:
    number, page, _ = laid_out(three())
    reading = read_strip(number, page, line_by(monkeypatch, Says((5, 8, 2), SURE)))

    rects = symbol_rects(reading)

    assert [rect.left for rect in rects] == sorted(rect.left for rect in rects)
    for rect, character in zip(rects, number.characters, strict=True):
        assert rect.left < (character.left + character.right) / 2 < rect.right
        assert (rect.top, rect.bottom) == (reading.strip.top, reading.strip.bottom)


@pytest.mark.parametrize("angle", [-20, -12, 15])
def test_symbols_of_a_slanting_line_lie_where_its_characters_are(angle: float, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = cv2.getRotationMatrix2D((250, 250), angle, 1.0)
    page = write(paper(500, 500), "8888888", 140, 270)
    turned = np.asarray(cv2.warpAffine(page, turn, (500, 500), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    number, ink, _ = laid_out(turned)
    says = Says((8,) * 7, SURE)

    rects = symbol_rects(read_strip(number, ink, line_by(monkeypatch, says)))

    assert number.slope
    lefts = [(rect.left + rect.right) / 2 for rect in rects]
    middles = [(character.left + character.right) / 2 for character in number.characters]
    # The stand-in spreads its symbols evenly over the strip, with the paper at its ends.
    assert np.mean(lefts) == pytest.approx(np.mean(middles), abs=5)


def test_the_crop_of_a_character_leaves_out_its_neighbours() -> None:
    seven = [(60, 40), (92, 40), (70, 84)]
    alone = stroke(paper(120, 200), *seven)
    crowded = stroke(stroke(paper(120, 200), *seven), (90, 58), (96, 84), (108, 84), (108, 64))
    number, page, classed = laid_out(alone)
    both, other_page, other_classed = laid_out(crowded)

    expected = crop_character(number.characters[0], page, classed)
    ink = crop_character(both.characters[0], other_page, other_classed)

    assert both.characters[0].right > both.characters[1].left
    assert ink.shape == (28, 28)
    assert np.abs(ink - expected).mean() < 0.02
