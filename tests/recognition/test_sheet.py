"""The sheet of paper on a picture, and what is around it."""

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition.preprocess import GrayPage, Mask, quantiles
from digitrec.recognition.sheet import find_margins, has_marks_around, paint_margins
from tests.recognition.drawn import PAPER, fill, gray, paper, write

DARK = 60
"""Level of a dark desk or of a scanner's lid."""


def written(rows: int = 300, columns: int = 400) -> Picture:
    return write(paper(rows, columns), "52", columns // 2 - 40, rows // 2 + 20)


def shares(margins: Mask | None, expected: Mask) -> tuple[float, float]:
    """Return the shares of the expected margins, and of the rest, that were taken for margins."""
    assert margins is not None
    return float(margins[expected].mean()), float(margins[~expected].mean())


def assert_painted(page: Picture, margins: Mask) -> None:
    """The margins get about the paper's level, and the rest of the page stays as it is."""
    painted = paint_margins(gray(page), margins)
    assert np.abs(painted[margins] - PAPER).max() < 40
    np.testing.assert_array_equal(painted[~margins], gray(page)[~margins])


@pytest.mark.parametrize("box", [(0, 0, 60, 300), (340, 0, 400, 300), (0, 0, 400, 50), (0, 260, 400, 300)])
def test_a_black_scanner_margin_is_detected_and_painted(box: tuple[int, int, int, int]) -> None:
    expected = fill(paper(300, 400, 0), *box, level=1) > 0
    page = fill(written(), *box, level=10)

    margins = find_margins(gray(page))

    right, too_much = shares(margins, expected)
    assert right > 0.98
    assert too_much < 0.05
    assert margins is not None
    assert_painted(page, margins)


@pytest.mark.parametrize("angle", [0, 8, -15])
def test_a_note_on_a_dark_table_is_detected_and_the_table_painted(angle: float) -> None:
    corners = cv2.boxPoints(((200.0, 150.0), (240.0, 160.0), angle)).astype(np.int32)
    note = cv2.fillConvexPoly(np.zeros((300, 400), np.uint8), corners, 1) > 0
    page = np.where(note, written(), DARK).astype(np.uint8)

    margins = find_margins(gray(page))

    right, too_much = shares(margins, ~note)
    assert right > 0.97
    assert too_much < 0.15
    assert margins is not None
    assert_painted(page, margins)


@pytest.mark.parametrize("desk", [(150, 110, 60), (190, 150, 110), (60, 110, 170)])
def test_a_sheet_on_a_desk_of_another_color_is_detected_however_light_the_desk(desk: tuple[int, int, int]) -> None:
    corners = cv2.boxPoints(((200.0, 150.0), (260.0, 190.0), 10.0)).astype(np.int32)
    note = cv2.fillConvexPoly(np.zeros((300, 400), np.uint8), corners, 1) > 0
    page = np.where(note[..., None], written()[..., None], np.array(desk)).astype(np.uint8)

    right, too_much = shares(find_margins(GrayPage.of(page).gray, page), ~note)

    assert right > 0.97
    assert too_much < 0.15


def test_a_colored_digit_or_form_line_is_no_desk() -> None:
    page = np.repeat(paper(300, 400)[..., None], 3, axis=2)
    cv2.rectangle(page, (20, 20), (380, 280), (60, 160, 90), 14)
    cv2.putText(page, "5", (130, 260), cv2.FONT_HERSHEY_SIMPLEX, 8, (40, 60, 190), 30)

    assert find_margins(GrayPage.of(page).gray, page) is None


def test_a_dark_corner_between_the_sheet_and_the_edge_of_the_picture_is_painted() -> None:
    note = (
        cv2.fillConvexPoly(np.zeros((300, 400), np.uint8), np.array([(60, 0), (399, 0), (399, 270), (90, 299)]), 1) > 0
    )
    page = np.where(note, written(), DARK).astype(np.uint8)

    margins = find_margins(gray(page))

    assert margins is not None
    assert margins[290:, 380:].all()
    assert margins[280:, 300:][~note[280:, 300:]].all()


def test_a_desk_along_two_sides_may_be_half_as_light_as_the_sheet() -> None:
    page = fill(fill(written(), 0, 0, 50, 300, level=130), 0, 0, 400, 40, level=130)
    expected = fill(fill(paper(300, 400, 0), 0, 0, 50, 300, level=1), 0, 0, 400, 40, level=1) > 0

    right, too_much = shares(find_margins(gray(page)), expected)

    assert right > 0.98
    assert too_much < 0.05


def test_digits_stay_when_the_table_around_them_is_painted() -> None:
    page = written()
    for box in ((0, 0, 70, 300), (330, 0, 400, 300)):
        fill(page, *box, level=DARK)
    margins = find_margins(gray(page))
    assert margins is not None

    painted = paint_margins(gray(page), margins)

    (darkest,) = quantiles(painted[110:180, 150:260], 0.02)
    assert darkest < 60
    assert painted[:, :60].min() > 180


def shadow(page: Picture) -> Picture:
    page[:, page.shape[1] // 2 :] = page[:, page.shape[1] // 2 :] * 0.6
    return page


def bold(page: Picture) -> Picture:
    return write(page, "8", 130, 260, high=220)


def bold_1(page: Picture) -> Picture:
    return fill(page, 160, 20, 230, 280, level=30)


def plate(page: Picture) -> Picture:
    return write(fill(page, 0, 0, 400, 300, level=50), "7", 120, 260, high=220, level=220)


def bare(page: Picture) -> Picture:
    return page


def soft_light(page: Picture) -> Picture:
    light = np.linspace(1.0, 0.55, page.shape[1])
    return np.asarray(page * light, np.uint8)


def display(page: Picture) -> Picture:
    """A bold light 0 that touches the upper edge of a dark display."""
    fill(page, 0, 0, 400, 300, level=20)
    cv2.ellipse(page, (200, 150), (110, 145), 0, 0, 360, 235, 60)
    return page


@pytest.mark.parametrize("draw", [bare, shadow, soft_light, bold, bold_1, plate, display])
def test_a_page_that_fills_the_picture_has_no_margins(draw: object) -> None:
    assert callable(draw)
    page = draw(paper(300, 400))

    assert find_margins(gray(page)) is None


def test_a_crop_of_a_character_has_no_margins() -> None:
    crop = fill(paper(28, 28), 0, 0, 8, 28, level=10)

    assert find_margins(gray(crop)) is None


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (2, 2), (80, 80)])
@pytest.mark.parametrize("level", [0, 255])
def test_a_page_of_a_single_level_has_no_margins(size: tuple[int, int], level: int) -> None:
    assert find_margins(np.full(size, level, np.float32)) is None


def test_a_page_that_is_all_margin_is_left_alone() -> None:
    page = gray(written())

    np.testing.assert_array_equal(paint_margins(page, np.ones(page.shape, np.bool_)), page)


def test_writing_or_cells_around_a_sheet_are_noticed_but_no_plain_desk() -> None:
    form = np.full((300, 400), 150, np.uint8)
    margins = np.ones(form.shape, np.bool_)
    margins[100:200, 80:320] = False
    desk = np.where(margins, form, PAPER).astype(np.uint8)
    written_on = write(desk.copy(), "19", 160, 80, high=50)
    two_cells = fill(desk.copy(), 100, 235, 300, 285, level=PAPER)

    assert not has_marks_around(gray(desk), margins)
    assert has_marks_around(gray(written_on), margins)
    assert has_marks_around(gray(two_cells), margins)
    assert not has_marks_around(gray(np.where(margins, DARK // 2, desk).astype(np.uint8)), margins)
