"""The shipped model on drawn pages of several numbers, and on numbers with other marks beside them."""

from collections.abc import Callable

import numpy as np
import pytest

from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.models.package import ModelPackage
from digitrec.pipeline import read_files
from digitrec.recognition.reader import PageReader
from digitrec.types import Limits, PageReading, PageStatus, Reason
from tests.drawing import saved
from tests.recognition.drawn import HIGH, PEN, fill, frame, paper, rule, stroke, write

Drawer = Callable[[Picture], object]


@pytest.fixture(scope="module")
def bundle() -> ModelPackage:
    return ModelPackage.open(composition.SHIPPED_MODELS_DIR)


@pytest.fixture(scope="module")
def read(bundle: ModelPackage) -> Callable[[Picture], PageReading]:
    reader = composition.load_page_reader(bundle)
    return lambda page: decided(page, reader, bundle)


def decided(page: Picture, reader: PageReader, bundle: ModelPackage) -> PageReading:
    content = read_files.read_bytes(saved(page), Limits(), reader)
    ((reading,),) = read_files.decide_readings([content], bundle.thresholds(0.005))
    return reading


Reads = Callable[[Picture], PageReading]

ROWS, COLUMNS = 5, 4


def table(texts: list[str], *, is_ruled: bool) -> Picture:
    page = paper(80 + 90 * ROWS, 80 + 170 * COLUMNS)
    for place, text in enumerate(texts):
        write(page, text, 60 + 170 * (place % COLUMNS), 100 + 90 * (place // COLUMNS), high=36)
    if is_ruled:
        for row in range(ROWS + 1):
            rule(page, (40, 40 + 90 * row), (40 + 170 * COLUMNS, 40 + 90 * row))
        for column in range(COLUMNS + 1):
            rule(page, (40 + 170 * column, 40), (40 + 170 * column, 40 + 90 * ROWS))
    return page


@pytest.mark.slow
@pytest.mark.parametrize("is_ruled", [True, False])
def test_a_table_of_20_numbers_is_read_row_by_row(is_ruled: bool, read: Reads) -> None:
    texts = [str(number) for number in np.random.default_rng(3).integers(10, 1000, ROWS * COLUMNS)]

    reading = read(table(texts, is_ruled=is_ruled))

    assert reading.text.split(" ") == texts
    assert [(number.line, number.column) for number in reading.numbers] == [
        (1 + row, 1 + column) for row in range(ROWS) for column in range(COLUMNS)
    ]
    assert [number.text for number in reading.numbers] == texts
    accepted = sum(number.status is PageStatus.ACCEPTED for number in reading.numbers)
    assert accepted >= 0.8 * ROWS * COLUMNS
    assert (reading.status is PageStatus.ACCEPTED) == (accepted == ROWS * COLUMNS)


def test_two_rows_are_two_numbers(read: Reads) -> None:
    reading = read(write(write(paper(300, 500), "5827", 80, 120), "3096", 80, 220))

    assert reading.text == "5827 3096"
    assert [(number.line, number.column) for number in reading.numbers] == [(1, 1), (2, 1)]
    assert reading.status is PageStatus.ACCEPTED


def number(text: str = "5827") -> Picture:
    """A number on a page; its digits end at x = 250."""
    return write(paper(200, 400), text, 120, 120)


MARKS: dict[str, Drawer] = {
    "point after it": lambda page: fill(page, 262, 115, 268, 121, PEN),
    "comma after it": lambda page: stroke(page, (264, 116), (259, 128)),
    "colon after it": lambda page: fill(fill(page, 262, 90, 268, 96, PEN), 262, 115, 268, 121, PEN),
    "dash after it": lambda page: stroke(page, (264, 100), (286, 100)),
    "word after it": lambda page: write(page, "kg", 270, 120),
    "line of words": lambda page: write(page, "Hand", 120, 190, high=30),
    "scribble": lambda page: stroke(page, (30, 150), (50, 190), (60, 150), (80, 195), (90, 155)),
}


@pytest.mark.parametrize("name", MARKS)
def test_other_marks_on_the_page_send_it_to_review(name: str, read: Reads) -> None:
    page = number()
    MARKS[name](page)

    reading = read(page)

    assert reading.status is PageStatus.REVIEW
    assert reading.reason in {Reason.OTHER_MARKS, Reason.NOT_A_DIGIT}


SIGNS: dict[str, tuple[Drawer, str]] = {
    "minus": (lambda page: stroke(page, (86, 100), (106, 100)), "-314"),
    "point": (lambda page: fill(page, 153, 115, 159, 121, PEN), "3.14"),
    "comma": (lambda page: stroke(page, (157, 116), (152, 128)), "3,14"),
}


@pytest.mark.parametrize("name", SIGNS)
def test_a_sign_is_part_of_the_number_or_sends_it_to_review(name: str, read: Reads) -> None:
    page = write(write(paper(200, 400), "3", 120, 120), "14", 162, 120)
    draw, text = SIGNS[name]
    draw(page)

    reading = read(page)

    assert reading.text == text or reading.status is PageStatus.REVIEW


PRINT: dict[str, Drawer] = {
    "nothing": lambda page: page,
    "underline": lambda page: rule(page, (90, 140), (280, 140)),
    "frame": lambda page: frame(page, 60, 50, 320, 160),
    "scanner margin": lambda page: fill(page, 0, 0, 50, 200, 8),
    "speck": lambda page: fill(page, 30, 30, 31, 31, PEN),
    "point far away": lambda page: fill(page, 360, 20, 365, 25, PEN),
    "ruled paper": lambda page: [rule(page, (0, y), (400, y), level=170) for y in (20, 72, 124, 176)],
}


@pytest.mark.parametrize("name", PRINT)
def test_print_and_specks_are_no_other_marks(name: str, read: Reads) -> None:
    page = number()
    PRINT[name](page)

    reading = read(page)

    assert (reading.text, reading.status) == ("5827", PageStatus.ACCEPTED)


@pytest.mark.parametrize("name", ["nothing", "speck", "ruled paper"])
def test_print_without_writing_is_a_blank_page(name: str, read: Reads) -> None:
    page = paper(200, 400)
    PRINT[name](page)

    reading = read(page)

    assert (reading.status, reading.reason) == (PageStatus.REJECTED, Reason.BLANK)


def test_a_mark_beside_one_number_leaves_the_others_accepted(read: Reads) -> None:
    page = write(write(paper(420, 500), "5827", 120, 100), "3096", 120, 340)
    stroke(page, (264, 80), (286, 80))

    reading = read(page)

    assert reading.text == "5827 3096"
    assert (reading.status, reading.reason) == (PageStatus.REVIEW, Reason.OTHER_MARKS)
    first, second = reading.numbers
    assert (first.status, first.reason) == (PageStatus.REVIEW, Reason.OTHER_MARKS)
    assert (second.status, second.reason) == (PageStatus.ACCEPTED, None)
    assert second.box.y - (first.box.y + first.box.height) > HIGH


@pytest.mark.parametrize(("text", "high"), [("5827", 30), ("5827", 60), ("36", 60), ("9", 60)])
def test_numbers_in_a_cell_beside_a_margin_are_read(text: str, high: int, read: Reads) -> None:
    page = write(paper(200, 500), text, 160, 130, high=high)
    frame(page, 90, 40, 440, 170)
    fill(page, 0, 0, 40, 200, level=8)

    assert read(page).text == text


def test_light_writing_on_a_dark_page_is_read(read: Reads) -> None:
    assert read(255 - number()).text == "5827"


def test_comb_fields_are_one_number(read: Reads) -> None:
    page = paper(160, 540)
    frame(page, 40, 40, 460, 120)
    for place, digit in enumerate("8053946"):
        if place:
            rule(page, (40 + 60 * place, 40), (40 + 60 * place, 120))
        write(page, digit, 56 + 60 * place, 100)

    reading = read(page)

    assert reading.text == "8053946"
    assert len(reading.numbers) == 1
