"""Rows of boxes, and the strips around them: never empty, never beyond the page."""

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from digitrec.arrays import Page
from digitrec.recognition.geometry import Span, around, cut, on_grey, on_page, rows_of, strip_around
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box, Reason

places = st.floats(-3000, 3000)


def page(width: int, height: int) -> Page:
    no_ink, no_preview = np.zeros((0, 28, 28), np.float32), np.zeros((1, 1), np.uint8)
    return Page(1, "png", width, height, (), no_ink, no_preview, Reason.BLANK)


@st.composite
def pages_and_greys(draw: st.DrawFn) -> tuple[Page, Plane]:
    """A page, and its grey plane, made smaller by the same or nearly the same share both ways."""
    width, height = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
    scale = draw(st.floats(0.01, 1))
    grey = np.zeros((max(1, round(height * scale)), max(1, round(width * scale))), np.float32)
    return page(width, height), grey


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """A span that may lie anywhere, with no height or width at the least."""
    left, top = draw(places), draw(places)
    return Span(left, top, left + draw(st.floats(0, 2000)), top + draw(st.floats(0, 2000)))


@given(pages_and_greys(), spans())
def test_a_box_is_never_empty_and_never_outside_its_page(found: tuple[Page, Plane], span: Span) -> None:
    sheet, grey = found

    box = on_page(span, sheet, grey)

    assert box.width >= 1
    assert box.height >= 1
    assert 0 <= box.x <= sheet.width - box.width
    assert 0 <= box.y <= sheet.height - box.height


@given(pages_and_greys(), spans())
def test_a_strip_is_whole_pixels_of_the_page_and_never_empty(found: tuple[Page, Plane], span: Span) -> None:
    _, grey = found

    strip = strip_around(span, grey)

    height, width = grey.shape
    assert 0 <= strip.left < strip.right <= width
    assert 0 <= strip.top < strip.bottom <= height
    assert cut(grey, strip).shape == (strip.height, strip.width)


@given(pages_and_greys(), st.data())
def test_a_box_taken_to_the_grey_plane_and_back_still_holds_what_it_held(
    found: tuple[Page, Plane], data: st.DataObject
) -> None:
    sheet, grey = found
    x, y = data.draw(st.integers(0, sheet.width - 1)), data.draw(st.integers(0, sheet.height - 1))
    box = Box(x, y, data.draw(st.integers(1, sheet.width - x)), data.draw(st.integers(1, sheet.height - y)))

    back = on_page(on_grey(box, sheet, grey), sheet, grey)

    assert abs(back.x - box.x) <= 1
    assert abs(back.y - box.y) <= 1
    assert abs(back.x + back.width - box.x - box.width) <= 1
    assert abs(back.y + back.height - box.y - box.height) <= 1


def test_a_strip_has_paper_around_what_it_shows_as_far_as_there_is_some() -> None:
    grey = np.zeros((100, 200), np.float32)

    assert strip_around(Span(60, 40, 100, 60), grey) == Span(55, 36, 105, 64)
    assert strip_around(Span(0, 90, 40, 100), grey) == Span(0, 88, 43, 100)


def test_what_is_cut_is_what_lies_under_the_strip() -> None:
    grey = np.arange(12, dtype=np.float32).reshape(3, 4)

    assert cut(grey, Span(1, 0, 3, 2)).tolist() == [[1, 2], [5, 6]]


def test_the_smallest_span_around_several_holds_them_all() -> None:
    assert around([Span(3, 4, 5, 9), Span(1, 6, 4, 8)]) == Span(1, 4, 5, 9)


def test_spans_that_stand_in_two_rows_are_told_apart_and_keep_their_order() -> None:
    upper, raised, lower = Span(0, 10, 8, 30), Span(10, 4, 18, 22), Span(0, 40, 8, 60)

    assert rows_of([upper, raised, lower]) == [[upper, raised], [lower]]
    assert rows_of([lower]) == [[lower]]
    assert rows_of([]) == []


def test_a_small_digit_beside_a_tall_one_begins_no_row_of_its_own() -> None:
    tall, next_one, small = Span(10, 0, 30, 40), Span(32, 4, 50, 38), Span(52, 22, 66, 39)

    assert rows_of([tall, next_one, small]) == [[tall, next_one, small]]


@given(st.lists(spans(), max_size=12))
def test_every_span_is_in_exactly_one_row(found: list[Span]) -> None:
    rows = rows_of(found)

    assert Counter(span for row in rows for span in row) == Counter(found)
    assert all(rows)


def test_a_page_and_its_grey_plane_may_have_other_proportions() -> None:
    long = replace(page(2000, 3), number=2)
    grey = np.zeros((2, 1024), np.float32)

    assert on_grey(Box(1000, 0, 10, 3), long, grey) == Span(512, 0, 517.12, 2)
    assert on_page(Span(512, 0, 517.12, 2), long, grey) == Box(1000, 0, 10, 3)
