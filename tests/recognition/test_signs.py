"""Signs of numbers: where they stand on a page, and which of a text belong to a number."""

import numpy as np
import pytest

from digitrec.arrays import NumberSpan, PageResult, Picture
from digitrec.recognition.classifier import CLASSES, NO_DIGIT
from digitrec.recognition.decision import decide
from digitrec.recognition.number_reader import ReadNumber, read_number
from digitrec.recognition.sequence_recognizer import SIGNS
from digitrec.recognition.signs import sign_of, split_symbols
from digitrec.recognition.text_lines import find_numbers
from digitrec.types import Box, Thresholds
from tests.recognition.drawn import PEN, fill, lay_out, paper, write
from tests.recognition.stand_ins import Says, Spells, line_by

MINUS, PLUS, POINT, COMMA, SLASH, COLON = range(CLASSES, CLASSES + len(SIGNS))
SURE = 0.9999


def dash(page: Picture, left: int, top: int, width: int = 20) -> Picture:
    return fill(page, left, top, left + width, top + 5, PEN)


def point(page: Picture, left: int, foot: int) -> Picture:
    return fill(page, left, foot - 6, left + 6, foot, PEN)


def spaced(*texts: tuple[str, int]) -> Picture:
    page = paper(120, 420)
    for text, left in texts:
        write(page, text, left, 80)
    return page


def signs_of(page: Picture) -> list[list[tuple[int, int]]]:
    """Return the left upper corner of the signs of each number."""
    page_ink, classed = lay_out(page)
    return [[(sign.left, sign.top) for sign in number.signs] for number in find_numbers(classed, page_ink.rules)]


@pytest.mark.parametrize(
    ("page", "count"),
    [
        (dash(spaced(("5", 100)), 65, 58), 1),
        (dash(spaced(("58", 100)), 65, 58), 1),
        (point(spaced(("5", 100), ("8", 150)), 138, 80), 1),
        (dash(spaced(("5", 100), ("8", 175)), 142, 58), 1),
        (point(point(spaced(("5", 100), ("8", 150)), 138, 80), 138, 60), 1),
        (point(spaced(("58", 100)), 175, 80), 0),
        (dash(spaced(("58", 100)), 175, 58), 0),
        (dash(spaced(("58", 100)), 65, 25), 0),
        (dash(spaced(("58", 160)), 65, 58), 0),
        (point(spaced(("58", 100)), 80, 80), 0),
    ],
    ids=[
        *("minus before one digit", "minus before a number", "point", "dash between", "colon"),
        *("point behind", "dash behind", "dash above", "dash far away", "point before"),
    ],
)
def test_signs_between_the_characters_and_a_dash_before_them_are_found(page: Picture, count: int) -> None:
    (signs,) = signs_of(page)

    assert len(signs) == count


def test_a_dash_nearer_to_the_number_before_it_is_no_minus() -> None:
    page = dash(spaced(("58", 20), ("7", 300)), 100, 58)

    assert signs_of(page) == [[], []]


@pytest.mark.parametrize(
    ("text", "digits", "signs", "has_others"),
    [
        ((5, 8), (0, 1), (), False),
        ((MINUS, 5, 8), (1, 2), ((0, "-"),), False),
        ((3, COMMA, 1, 4), (0, 2, 3), ((1, ","),), False),
        ((1, SLASH, 2, SLASH, 7), (0, 2, 4), ((1, "/"), (2, "/")), False),
        ((PLUS, 1, 2, COLON, 3), (1, 2, 4), ((0, "+"), (2, ":")), False),
        ((5, POINT), (0,), (), True),
        ((COMMA, 5), (1,), (), True),
        ((MINUS, MINUS, 5), (2,), (), True),
        ((5, NO_DIGIT, 3), (0, 2), (), True),
        ((MINUS,), (0,), (), False),
    ],
)
def test_a_number_has_signs_between_digits_and_one_before_them(
    text: tuple[int, ...], digits: tuple[int, ...], signs: tuple[tuple[int, str], ...], has_others: bool
) -> None:
    symbols = split_symbols(text)

    assert (symbols.digits, symbols.signs, symbols.has_others) == (digits, signs, has_others)


def test_each_symbol_of_the_alphabet_has_its_sign() -> None:
    assert "".join(sign_of(symbol) for symbol in range(CLASSES + len(SIGNS))) == SIGNS


def read(
    monkeypatch: pytest.MonkeyPatch, page: Picture, text: tuple[int, ...], classified: tuple[int, ...]
) -> ReadNumber:
    page_ink, classed = lay_out(page)
    (number,) = find_numbers(classed, page_ink.rules)
    recognizer = line_by(monkeypatch, Says(text, SURE, symbols=CLASSES + len(SIGNS)))
    return read_number(number, page_ink, classed, Spells(classified), recognizer)


def test_a_sign_that_was_found_and_read_is_part_of_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    page = point(spaced(("5", 100), ("8", 150)), 138, 80)

    number = read(monkeypatch, page, (5, POINT, 8), (5, 8))

    assert number.signs == ((1, "."),)
    (rect,) = number.sign_rects
    assert (rect.left, rect.bottom) == (pytest.approx(138, abs=2), pytest.approx(80, abs=2))
    assert number.scores.argmax(axis=1).tolist() == [5, 8]
    assert number.confidence > 0.9
    assert not number.has_others


def test_a_mark_that_the_recognizer_does_not_read_as_a_sign_stays_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    page = point(spaced(("5", 100), ("8", 150)), 138, 80)

    number = read(monkeypatch, page, (5, 8), (5, 8))

    assert (number.signs, number.sign_rects) == ((), ())


def test_a_sign_as_high_as_a_digit_is_read_by_the_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    number = read(monkeypatch, spaced(("3/4", 100)), (3, SLASH, 4), (3, 1, 4))

    assert number.signs == ((1, "/"),)
    assert len(number.sign_rects) == 1
    assert number.scores.argmax(axis=1).tolist() == [3, 4]
    assert np.shape(number.ink) == (2, 28, 28)


def test_a_doubtful_sign_lowers_the_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    page = point(spaced(("5", 100), ("8", 150)), 138, 80)
    sure = read(monkeypatch, page, (5, POINT, 8), (5, 8)).confidence
    page_ink, classed = lay_out(page)
    (number,) = find_numbers(classed, page_ink.rules)
    wavering = Says((5, POINT, 8), SURE, symbols=CLASSES + len(SIGNS), rivals={POINT: COMMA})

    doubtful = read_number(number, page_ink, classed, Spells((5, 8)), line_by(monkeypatch, wavering))

    assert doubtful.confidence < 0.6 < sure


def test_the_text_of_a_number_has_its_signs_and_so_has_the_runner_up() -> None:
    scores = np.full((3, CLASSES), 0.001, np.float32)
    scores[[0, 1, 2], [3, 1, 4]] = (0.99, 0.7, 0.99)
    scores[1, 7] = 0.29
    boxes = (Box(10, 5, 8, 20), Box(30, 5, 8, 20), Box(40, 5, 8, 20))
    page = PageResult(
        number=1,
        format="png",
        width=80,
        height=40,
        boxes=boxes,
        ink=np.zeros((3, 28, 28), np.float32),
        preview=np.zeros((1, 1), np.uint8),
        scores=scores,
        numbers=(NumberSpan(0, 3, signs=((0, "-"), (1, ","))),),
        sign_boxes=(Box(2, 14, 5, 2), Box(22, 20, 3, 8)),
    )

    reading = decide(page, Thresholds(0.5, 0.5))

    assert (reading.text, reading.runner_up) == ("-3,14", "-3,74")
    assert reading.numbers[0].box == Box(2, 5, 46, 23)
    assert [digit.digit for digit in reading.digits] == [3, 1, 4]


@pytest.mark.parametrize(("signs", "status"), [((), "accepted"), (((0, "-"),), "review")])
def test_a_digit_with_a_sign_has_the_threshold_of_numbers(signs: tuple[tuple[int, str], ...], status: str) -> None:
    scores = np.eye(CLASSES, dtype=np.float32)[[5]] * 0.9
    page = PageResult(
        number=1,
        format="png",
        width=40,
        height=40,
        boxes=(Box(10, 5, 8, 20),),
        ink=np.zeros((1, 28, 28), np.float32),
        preview=np.zeros((1, 1), np.uint8),
        scores=scores,
        numbers=(NumberSpan(0, 1, signs=signs),),
    )

    assert decide(page, Thresholds(digit=0.8, number=0.95)).status == status
