"""The lines of a table that are too pale to be ink."""

import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition.components import label_components
from digitrec.recognition.page_ink import find_page_ink
from digitrec.recognition.pale_lines import find_pale_lines
from digitrec.recognition.text_height import estimate_height
from tests.recognition.drawn import HIGH, PEN, ink_of, paper, rule, write

_ROWS, _COLUMNS = 6, 6


def grid(across: int, down: int, *, level: int, levels: bool = True) -> Picture:
    """Digits in the cells of a grid of lines of a gray level, upright and, if asked for, level ones."""
    page = paper(down * _ROWS + 40, across * _COLUMNS + 40)
    for column in range(_COLUMNS + 1):
        rule(page, (20 + across * column, 20), (20 + across * column, 20 + down * _ROWS), level=level)
    for row in range(_ROWS + 1 if levels else 0):
        rule(page, (20, 20 + down * row), (20 + across * _COLUMNS, 20 + down * row), level=level)
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            write(page, str((row + 3 * column) % 10), 40 + across * column, 15 + down * (row + 1), high=HIGH)
    return page


def pale_lines(page: Picture) -> np.ndarray:
    ink = ink_of(page)
    clear = np.asarray(ink > 0.5)
    return find_pale_lines(ink, clear, label_components(clear).boxes[1:], HIGH)


@pytest.mark.parametrize("levels", [True, False])
@pytest.mark.parametrize("level", [205, 215])
def test_the_pale_lines_of_a_table_are_found(level: int, levels: bool) -> None:
    page = grid(110, 80, level=level, levels=levels)

    found = pale_lines(page)

    for column in range(_COLUMNS + 1):
        x = 20 + 110 * column
        assert found[25 : 15 + 80 * _ROWS, x - 1 : x + 2].any(axis=1).mean() > 0.9
    middles = [65 + 110 * column for column in range(_COLUMNS)]
    assert found[30:-30, middles].mean() < 0.1


def test_the_pale_lines_of_one_row_of_cells_are_found() -> None:
    page = paper(100, 900)
    for column in range(9):
        rule(page, (20 + 105 * column, 0), (20 + 105 * column, 99), level=205)
        write(page, f"{column}{9 - column}", 34 + 105 * column, 70)

    found = pale_lines(page)

    assert found[:, [20 + 105 * column for column in range(9)]].mean() > 0.9


@pytest.mark.parametrize("side", [30, 60, 95])
def test_squared_paper_is_no_table(side: int) -> None:
    page = paper(600, 600)
    for place in range(0, 600, side):
        rule(page, (place, 0), (place, 599), level=210)
        rule(page, (0, place), (599, place), level=210)
    for row in range(5):
        write(page, "4096 825", 30, 110 + 100 * row)

    assert not pale_lines(page).any()


def test_digits_in_columns_are_no_lines() -> None:
    page = grid(110, 60, level=int(paper(1, 1)[0, 0]))

    assert not pale_lines(page).any()


@pytest.mark.parametrize("level", [60, 205])
def test_each_cell_of_a_table_holds_a_number_whatever_its_lines(level: int) -> None:
    rules = find_page_ink(grid(80, 70, level=level)).rules

    assert rules is not None
    assert rules.upright[:, 10:].any(axis=0).sum() >= _COLUMNS


def test_the_height_of_a_table_in_one_component_is_that_of_its_small_characters() -> None:
    page = paper(260, 420)
    for row in range(8):
        for column in range(8):
            write(page, "7", 40 + 46 * column, 40 + 28 * row, high=9)
    inked = np.asarray(ink_of(page) > 0.5)
    for x in range(20, 400, 46):
        rule(page, (x, 20), (x, 244), level=PEN)
    for y in range(20, 250, 28):
        rule(page, (20, y), (388, y), level=PEN)
    table = np.asarray(ink_of(page) > 0.5)
    outline = np.array([[20, 20, 389, 245]])
    boxes = np.concatenate([label_components(inked).boxes[1:], outline])

    assert estimate_height(table, boxes) == pytest.approx(10, abs=3)
    assert estimate_height(inked, boxes) > 200  # without lines, it is one large character among specks
