"""Ink of a page: what is painted out of it, and in which size it is searched."""

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition.page_ink import find_page_ink
from tests.recognition.drawn import HIGH, PAPER, PEN, fill, frame, ink_of, paper, rule, write


def number(rows: int = 240, columns: int = 400) -> Picture:
    return write(paper(rows, columns), "5827", 120, 140)


def written() -> np.ndarray:
    return np.asarray(ink_of(number()) > 0.9)


@pytest.mark.parametrize("is_light_on_dark", [False, True])
def test_ink_is_where_the_pen_was(is_light_on_dark: bool) -> None:
    page = 255 - number() if is_light_on_dark else number()

    result = find_page_ink(page)

    assert result.ink.shape == page.shape
    assert result.ink[written()].mean() > 0.9
    assert (result.ink[ink_of(number()) == 0] > 0.5).mean() < 0.005
    assert result.gray[written()].mean() < 0.5 * np.median(result.gray)
    assert result.height == pytest.approx(HIGH, abs=6)
    assert result.margins is None
    assert result.rules is None


def test_rules_are_painted_with_the_level_of_the_paper() -> None:
    page = number()
    lines = frame(paper(240, 400), 60, 60, 340, 200)
    rule(lines, (0, 30), (400, 34))
    page = np.minimum(page, lines)

    result = find_page_ink(page)

    printed = (lines < 200) & ~written()
    assert result.rules is not None
    assert result.gray[printed].mean() > 0.85 * np.median(result.gray)
    assert result.unpainted[printed].mean() < 0.7 * np.median(result.gray)
    assert result.ink[printed].mean() < 0.05
    assert result.ink[written()].mean() > 0.85


def test_a_point_next_to_a_rule_is_not_painted_out() -> None:
    page = fill(number(), 250, 134, 256, 140, PEN)
    rule(page, (0, 170), (400, 170))

    result = find_page_ink(page)

    assert result.ink[135:139, 251:255].min() > 0.8


def test_margins_are_painted_and_hold_no_ink() -> None:
    page = fill(number(), 0, 0, 60, 240, level=8)

    result = find_page_ink(page)

    assert result.margins is not None
    assert result.margins[:, :55].all()
    assert result.ink[:, :100].max() < 0.3
    assert result.ink[written()].mean() > 0.9


@pytest.mark.parametrize("colour", [(215, 60, 50), (60, 200, 110)], ids=["red", "green"])
def test_the_colour_of_a_form_is_dropped(colour: tuple[int, int, int]) -> None:
    form = frame(frame(paper(240, 400, 255), 60, 60, 340, 200, thick=3), 80, 70, 320, 190, thick=3)
    printed = (form < 200) & ~written()
    picture = np.full((240, 400, 3), (245, 245, 240), np.uint8)
    picture[printed] = colour
    picture[written()] = (30, 30, 90)

    result = find_page_ink(picture)

    assert result.unpainted[printed].mean() > 0.75 * np.median(result.gray)
    assert result.ink[printed].mean() < 0.1
    assert result.ink[written()].mean() > 0.8


@pytest.mark.parametrize("darkest", [0.4, 0.7])
def test_uneven_light_is_no_ink(darkest: float) -> None:
    light = np.linspace(1.0, darkest, 400)
    page = (number() * light).astype(np.uint8)

    result = find_page_ink(page)

    assert result.ink[written()].mean() > 0.8
    assert (result.ink[ink_of(number()) == 0] > 0.5).mean() < 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (40, 30), (300, 200)])
def test_bare_paper_has_no_ink(size: tuple[int, int]) -> None:
    result = find_page_ink(np.full(size, PAPER, np.uint8))

    assert not result.ink.any()
    assert result.height == 0


def table(rows: int, columns: int) -> Picture:
    page = paper(3000, 2200)
    for row in range(rows):
        for column in range(columns):
            write(page, str((3 * row + column) % 10), 200 + 180 * column, 200 + 100 * row, high=44)
    return page


@pytest.mark.slow
def test_small_writing_on_a_large_page_is_searched_in_more_detail() -> None:
    small = find_page_ink(table(20, 10))
    large = find_page_ink(np.asarray(cv2.resize(number(), (2800, 1680)), np.uint8))

    assert max(large.gray.shape) <= 1024 < max(small.gray.shape) <= 3000
    assert small.height >= 24


def test_the_height_is_that_of_most_characters() -> None:
    page = fill(number(), 300, 134, 306, 140, PEN)
    frame(page, 60, 60, 340, 200)

    assert find_page_ink(page).height == pytest.approx(HIGH, abs=6)
