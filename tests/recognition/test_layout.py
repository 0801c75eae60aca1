import cv2
import numpy as np
import pytest

from digitrec.recognition import layout
from digitrec.recognition.preprocess import Plane
from tests.drawing import ink_of, page_of, read_page, unlike


def test_digits_in_a_row_come_from_left_to_right() -> None:
    page = read_page(page_of("4 0 7 2", size=(110, 420), at=(30, 85)))

    assert page.reason is None
    assert [unlike(ink_of(page_of(text)), ink) < 0.1 for text, ink in zip("4072", page.ink, strict=True)] == [True] * 4
    assert sorted(page.boxes, key=lambda box: box.x) == list(page.boxes)


def test_rows_come_from_top_to_bottom() -> None:
    paper = page_of("1 5", size=(260, 260), at=(40, 100))
    cv2.putText(paper, "3 9", (30, 220), cv2.FONT_HERSHEY_SIMPLEX, 2.4, 30, 6, cv2.LINE_AA)

    page = read_page(paper)

    order = [unlike(ink_of(page_of(text)), ink) < 0.1 for text, ink in zip("1539", page.ink, strict=True)]
    assert order == [True] * 4


def test_a_box_holds_all_of_its_digit_and_little_else() -> None:
    paper = page_of("8", size=(300, 200), at=(90, 220))
    ys, xs = np.nonzero(paper < 200)

    (box,) = read_page(paper).boxes

    actual = (box.x, box.y, box.x + box.width, box.y + box.height)
    np.testing.assert_allclose(actual, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), atol=2)


def test_the_strokes_of_a_broken_digit_are_joined() -> None:
    broken = page_of("5")
    broken[52:56] = 235

    page = read_page(broken)

    assert len(page.boxes) == 1
    assert unlike(ink_of(page_of("5")), page.ink[0]) < 0.3


def test_a_bar_written_apart_belongs_to_its_digit() -> None:
    paper = np.full((120, 100), 235, np.uint8)
    cv2.ellipse(paper, (45, 80), (22, 22), 0, -120, 130, 30, 5, cv2.LINE_AA)
    cv2.line(paper, (38, 34), (34, 58), 30, 5, cv2.LINE_AA)
    cv2.line(paper, (47, 26), (72, 24), 30, 5, cv2.LINE_AA)

    (box,) = read_page(paper).boxes

    assert box.y < 25
    assert box.y + box.height > 100


def test_specks_of_dirt_are_dropped() -> None:
    dirty = page_of("2", size=(140, 120))
    for x, y in [(6, 9), (104, 20), (110, 130), (8, 126), (95, 64)]:
        cv2.circle(dirty, (x, y), 2, 60, -1, cv2.LINE_AA)

    assert unlike(ink_of(page_of("2", size=(140, 120))), ink_of(dirty)) < 0.05


def test_a_stroke_that_reaches_in_from_the_next_cell_is_dropped() -> None:
    cell = page_of("3", size=(120, 100), at=(30, 90))
    cv2.line(cell, (99, 20), (88, 70), 30, 6, cv2.LINE_AA)

    assert unlike(ink_of(page_of("3", size=(120, 100), at=(30, 90))), ink_of(cell)) < 0.05


def ink_on(paper: np.ndarray) -> Plane:
    return np.asarray((235 - paper.astype(np.float32)) / 205, np.float32)


def test_a_mark_as_high_as_the_digit_that_fits_no_digit_is_ambiguous() -> None:
    paper = page_of("7", size=(300, 300), at=(40, 110))
    clear = layout.group_digits(ink_on(paper))
    cv2.putText(paper, "e", (200, 280), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 30, 6, cv2.LINE_AA)

    actual = layout.group_digits(ink_on(paper))

    assert clear.is_unambiguous
    assert not actual.is_unambiguous
    assert len(actual.digits) == 1


def test_a_mark_much_wider_than_high_is_ambiguous() -> None:
    paper = np.full((120, 300), 235, np.uint8)
    points = [(20 + 20 * i, 40 if i % 2 else 80) for i in range(13)]
    cv2.polylines(paper, [np.array(points)], False, 30, 5, cv2.LINE_AA)

    assert not layout.group_digits(ink_on(paper)).is_unambiguous


def test_every_digit_of_a_full_page_has_a_box() -> None:
    paper = np.full((900, 900), 235, np.uint8)
    corners = [(x, y) for y in range(40, 880, 60) for x in range(20, 860, 45)]
    for corner in corners:
        cv2.putText(paper, "5", corner, cv2.FONT_HERSHEY_SIMPLEX, 1, 30, 2, cv2.LINE_AA)

    assert len(read_page(paper).boxes) == len(corners)
    assert not layout.group_digits(ink_on(paper)).is_unambiguous


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (28, 28)])
def test_paper_without_ink_has_no_digits(shape: tuple[int, int]) -> None:
    actual = layout.group_digits(np.zeros(shape, np.float32))

    assert (actual.digits, actual.is_unambiguous) == ((), True)
