"""Rules, frames and table lines in the ink of a page."""

from collections.abc import Callable

import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition.preprocess import Mask
from digitrec.recognition.rules import find_rules, paint_rules
from tests.recognition.drawn import HIGH, PEN, extent, frame, ink_of, paper, rule, stroke, write

Drawer = Callable[[Picture], Picture]


def strong(page: Picture) -> Mask:
    return np.asarray(ink_of(page) > 0.5)


def inked(page: Picture) -> Mask:
    return np.asarray(ink_of(page) > 0.12)


def mask_of(page: Picture, *, are_held: bool = False) -> Mask:
    """The pixels of all rules of a page."""
    rules = find_rules(inked(page), HIGH, are_held=are_held)
    return np.zeros(page.shape, np.bool_) if rules is None else rules.mask


def painted(page: Picture) -> np.ndarray:
    """The ink of a page after its rules were painted out, (h, w)."""
    rules = find_rules(inked(page), HIGH)
    assert rules is not None
    return paint_rules(ink_of(page), rules, HIGH)


def cell(page: Picture) -> Picture:
    """Two lines of a cell that run on to the edges of the picture, on each side."""
    rule(page, (30, 0), (30, page.shape[0]))
    rule(page, (page.shape[1] - 30, 0), (page.shape[1] - 30, page.shape[0]))
    rule(page, (0, 20), (page.shape[1], 20))
    return rule(page, (0, page.shape[0] - 20), (page.shape[1], page.shape[0] - 20))


def table(page: Picture) -> Picture:
    for x in range(20, page.shape[1], 90):
        rule(page, (x, 10), (x, 190))
    for y in range(10, 200, 60):
        rule(page, (20, y), (290, y))
    return page


def ruled(page: Picture) -> Picture:
    for y in range(12, page.shape[0], 60):
        rule(page, (0, y), (page.shape[1], y + 6))
    return page


def dashed(page: Picture) -> Picture:
    for x in range(0, page.shape[1], 14):
        rule(page, (x, 170), (min(x + 10, page.shape[1] - 1), 170))
    return page


def own_frame(page: Picture) -> Picture:
    return frame(page, 40, 30, 280, 170)


@pytest.mark.parametrize("draw", [cell, table, ruled, dashed, own_frame])
def test_printed_lines_are_detected_and_painted_out(draw: Drawer) -> None:
    printed = draw(paper(200, 310))
    page = write(printed.copy(), "7", 145, 120)
    lines = inked(printed)
    digit = strong(write(paper(200, 310), "7", 145, 120))

    assert mask_of(page)[lines].mean() > 0.95
    left = painted(page) > 0.3
    assert left[lines & ~digit].mean() < 0.03
    assert left[digit].mean() > 0.8


@pytest.mark.parametrize("draw", [cell, table, ruled])
def test_nothing_is_left_of_lines_without_writing(draw: Drawer) -> None:
    assert (painted(draw(paper(200, 310))) > 0.3).sum() < 6  # a corner at most


def plain_1(page: Picture) -> Picture:
    return stroke(page, (150, 80), (150, 120))


def tall_1(page: Picture) -> Picture:
    return stroke(page, (150, 75), (154, 118))


def four(page: Picture) -> Picture:
    stroke(page, (140, 80), (130, 106), (162, 106))
    return stroke(page, (154, 84), (154, 122))


def minus(page: Picture) -> Picture:
    return write(stroke(page, (90, 100), (112, 100)), "3", 130, 120)


def seven(page: Picture) -> Picture:
    stroke(page, (130, 80), (160, 80), (140, 120))
    return stroke(page, (132, 100), (160, 100))


def number(page: Picture) -> Picture:
    return write(page, "1147", 90, 120)


@pytest.mark.parametrize("draw", [plain_1, tall_1, four, minus, seven, number])
def test_strokes_of_writing_are_no_rules(draw: Drawer) -> None:
    assert not mask_of(draw(paper(200, 300))).any()


@pytest.mark.parametrize("draw", [plain_1, four, minus, seven, number])
def test_strokes_of_writing_stay_between_the_lines_of_a_table(draw: Drawer) -> None:
    written = strong(draw(paper(200, 310)))
    page = draw(frame(paper(200, 310), 40, 30, 280, 170))

    assert (painted(page) > 0.3)[written].mean() > 0.8


@pytest.mark.parametrize("digit", "0123456789")
def test_strokes_that_cross_a_rule_are_repaired(digit: str) -> None:
    bare = strong(write(paper(200, 300), digit, 135, 120))
    page = write(rule(paper(200, 300), (0, 101), (300, 101)), digit, 135, 120)

    ink = painted(page)

    assert (ink > 0.3)[bare].mean() > 0.8
    assert (ink > 0.3)[:, :100].sum() == 0


def test_a_stroke_darker_than_a_pale_rule_survives_along_it() -> None:
    pale = rule(paper(200, 300), (0, 80), (300, 80), level=190)
    page = stroke(pale, (130, 80), (160, 80), (140, 120))

    ink = painted(page)

    assert (ink > 0.5)[80, 135:155].mean() > 0.9
    assert ink[:, :100].max() < 0.1


def test_a_minus_and_the_foot_of_a_2_in_line_with_it_are_no_rule() -> None:
    page = stroke(paper(200, 300), (60, 118), (96, 118), thick=3)
    stroke(page, (112, 84), (136, 92), (108, 118), (140, 118), thick=3)
    stroke(page, (146, 118), (180, 118), thick=3)

    assert not mask_of(page).any()


def test_upright_and_level_rules_have_separate_masks() -> None:
    rules = find_rules(inked(table(paper(200, 310))), HIGH)

    assert rules is not None
    upright, level = extent(rules.upright), extent(rules.level)
    assert upright == pytest.approx((19, 9, 292, 192), abs=3)
    assert level == pytest.approx((19, 9, 292, 192), abs=3)
    assert rules.upright[40].any()
    assert not rules.level[40].any()


@pytest.mark.parametrize("draw", [cell, own_frame, ruled])
def test_rules_that_end_at_an_edge_or_at_others_are_held(draw: Drawer) -> None:
    assert mask_of(draw(paper(200, 310)), are_held=True).any()


def test_a_lone_upright_line_is_a_rule_unless_rules_must_be_held() -> None:
    page = stroke(paper(200, 300), (150, 40), (150, 160))

    assert mask_of(page).any()
    assert not mask_of(page, are_held=True).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (20, 1)])
def test_a_page_1_pixel_wide_is_searched_for_rules(shape: tuple[int, int]) -> None:
    find_rules(np.ones(shape, np.bool_), 0.5)


def test_bare_and_full_pages_have_no_rules() -> None:
    assert find_rules(np.zeros((60, 80), np.bool_), HIGH) is None
    assert find_rules(np.ones((60, 80), np.bool_), HIGH / 4) is None


def test_a_lone_frame_near_the_edges_of_the_picture_is_rules() -> None:
    page = frame(paper(340, 510), 17, 17, 492, 322, thick=4, level=PEN)

    rules = find_rules(inked(page), 306)  # h is the height of the only component

    assert rules is not None
    assert (rules.mask & strong(page)).sum() > 0.9 * strong(page).sum()


def test_a_lone_1_near_the_edges_of_the_picture_is_no_rule() -> None:
    page = stroke(paper(340, 300), (150, 17), (150, 322))

    assert find_rules(inked(page), 306) is None
