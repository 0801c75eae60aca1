"""Boxes and the strips around them: never empty, never beyond the page."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digitrec.arrays import PageResult
from digitrec.recognition.geometry import (
    Rect,
    bounding_rect,
    crop_rect,
    from_page_coords,
    line_rect_around,
    to_page_coords,
)
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box, Reason

positions = st.floats(-3000, 3000)


def page(width: int, height: int) -> PageResult:
    no_ink, no_preview = np.zeros((0, 28, 28), np.float32), np.zeros((1, 1), np.uint8)
    return PageResult(1, "png", width, height, (), no_ink, no_preview, Reason.BLANK)


@st.composite
def pages_and_greys(draw: st.DrawFn) -> tuple[PageResult, Plane]:
    """A page, and its gray plane, made smaller by the same or nearly the same share both ways."""
    width, height = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
    scale = draw(st.floats(0.01, 1))
    gray = np.zeros((max(1, round(height * scale)), max(1, round(width * scale))), np.float32)
    return page(width, height), gray


@st.composite
def spans(draw: st.DrawFn) -> Rect:
    """A span that may lie anywhere, with no height or width at the least."""
    left, top = draw(positions), draw(positions)
    return Rect(left, top, left + draw(st.floats(0, 2000)), top + draw(st.floats(0, 2000)))


@given(pages_and_greys(), spans())
def test_a_box_is_never_empty_and_never_outside_its_page(sample: tuple[PageResult, Plane], span: Rect) -> None:
    sheet, gray = sample

    box = to_page_coords(span, sheet, gray)

    assert box.width >= 1
    assert box.height >= 1
    assert 0 <= box.x <= sheet.width - box.width
    assert 0 <= box.y <= sheet.height - box.height


@given(pages_and_greys(), spans())
def test_a_line_rect_has_integer_pixels_and_is_not_empty(sample: tuple[PageResult, Plane], span: Rect) -> None:
    _, gray = sample

    strip = line_rect_around(span, gray)

    height, width = gray.shape
    assert 0 <= strip.left < strip.right <= width
    assert 0 <= strip.top < strip.bottom <= height
    assert crop_rect(gray, strip).shape == (strip.height, strip.width)


@given(pages_and_greys(), st.data())
def test_a_box_taken_to_the_grey_plane_and_back_still_holds_what_it_held(
    sample: tuple[PageResult, Plane], data: st.DataObject
) -> None:
    sheet, gray = sample
    x, y = data.draw(st.integers(0, sheet.width - 1)), data.draw(st.integers(0, sheet.height - 1))
    box = Box(x, y, data.draw(st.integers(1, sheet.width - x)), data.draw(st.integers(1, sheet.height - y)))

    back = to_page_coords(from_page_coords(box, sheet, gray), sheet, gray)

    assert abs(back.x - box.x) <= 1
    assert abs(back.y - box.y) <= 1
    assert abs(back.x + back.width - box.x - box.width) <= 1
    assert abs(back.y + back.height - box.y - box.height) <= 1


def test_a_line_rect_has_a_margin_within_the_page() -> None:
    gray = np.zeros((100, 200), np.float32)

    assert line_rect_around(Rect(60, 40, 100, 60), gray) == Rect(55, 36, 105, 64)
    assert line_rect_around(Rect(0, 90, 40, 100), gray) == Rect(0, 88, 43, 100)


def test_what_is_cut_is_what_lies_under_the_strip() -> None:
    gray = np.arange(12, dtype=np.float32).reshape(3, 4)

    assert crop_rect(gray, Rect(1, 0, 3, 2)).tolist() == [[1, 2], [5, 6]]


def test_the_smallest_span_around_several_holds_them_all() -> None:
    assert bounding_rect([Rect(3, 4, 5, 9), Rect(1, 6, 4, 8)]) == Rect(1, 4, 5, 9)


def test_a_page_and_its_grey_plane_may_have_other_proportions() -> None:
    long = replace(page(2000, 3), number=2)
    gray = np.zeros((2, 1024), np.float32)

    assert from_page_coords(Box(1000, 0, 10, 3), long, gray) == Rect(512, 0, 517.12, 2)
    assert to_page_coords(Rect(512, 0, 517.12, 2), long, gray) == Box(1000, 0, 10, 3)
