"""Small pictures: enlarged, and padded if their character touches the edge."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import DecodedPage
from digitrec.recognition.enlarge import EnlargedPage, enlarge
from digitrec.types import Box, Reason
from tests.recognition.drawn import fill


def sheet(picture: Picture) -> DecodedPage:
    return DecodedPage(1, picture.shape[1], picture.shape[0], picture)


def tight(side: int = 16, paper: int = 255, pen: int = 0) -> Picture:
    """A 3 of two levels that touches the edges on all sides but not the corners."""
    large = np.full((8 * side, 8 * side), paper, np.uint8)
    points = np.array([(0, 4), (8, 0), (14, 4), (7, 8), (15, 11), (8, 15), (0, 11)]) * (8 * side) // 16
    cv2.polylines(large, [points.astype(np.int32)], False, pen, side, cv2.LINE_AA)
    small = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)
    return np.where(small < (paper + pen) / 2, min(paper, pen), max(paper, pen)).astype(np.uint8)


def enlarged(picture: Picture) -> EnlargedPage:
    page = enlarge(sheet(picture))
    assert page is not None
    return page


def large(page: EnlargedPage) -> Picture:
    assert not isinstance(page.sheet.picture, RejectedImage)
    return page.sheet.picture


@pytest.mark.parametrize(("paper", "pen"), [(255, 0), (0, 255), (200, 90)])
@pytest.mark.parametrize("side", [16, 20, 32])
def test_a_crop_that_touches_the_edge_is_enlarged_with_paper_around(side: int, paper: int, pen: int) -> None:
    page = enlarged(tight(side, paper, pen))

    picture = large(page)
    assert (page.width, page.height) == (side, side)
    assert picture.shape == (page.sheet.height, page.sheet.width)
    assert min(picture.shape) >= 112
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(np.int16)
    assert np.abs(border - paper).max() < 10
    assert np.abs(picture.astype(np.int16) - pen).min() < 40


def test_a_crop_in_colour_is_padded_with_its_paper() -> None:
    picture = np.dstack([np.where(tight() > 128, level, 20) for level in (240, 230, 90)]).astype(np.uint8)

    corner = large(enlarged(picture))[0, 0]

    np.testing.assert_allclose(corner, (240, 230, 90), atol=6)


def mnist_like() -> Picture:
    """A digit with soft edges in the middle of black, as in MNIST."""
    ink = np.zeros((28, 28), np.uint8)
    cv2.putText(ink, "5", (7, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
    return ink


def grainy() -> Picture:
    noise = np.random.default_rng(5).integers(-20, 20, (16, 16))
    return (tight().astype(np.int16) * 0.8 + 25 + noise).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [mnist_like(), 255 - mnist_like(), grainy(), tight(65), tight(200), np.full((16, 16), 255, np.uint8)],
    ids=["mnist", "mnist inverted", "grain", "65 px", "200 px", "bare"],
)
def test_other_pictures_are_left_alone(picture: Picture) -> None:
    assert enlarge(sheet(picture)) is None


def test_a_page_that_was_not_decoded_is_left_alone() -> None:
    assert enlarge(DecodedPage(1, 16, 16, RejectedImage(Reason.TRUNCATED))) is None


def result(page: EnlargedPage, *boxes: Box) -> PageResult:
    return PageResult(
        1,
        "png",
        page.sheet.width,
        page.sheet.height,
        boxes,
        np.zeros((len(boxes), 28, 28), np.float32),
        np.zeros((9, 9), np.uint8),
        scores=np.full((len(boxes), 11), 1 / 11, np.float32),
        reason=None if boxes else Reason.BLANK,
    )


def test_boxes_come_back_in_pixels_of_the_page() -> None:
    page = enlarged(tight(16))
    first, step = page.factor * page.padding, page.factor
    page_box = Box(first, first, 16 * step, 16 * step)
    part = Box(first + 3 * step, first + 4 * step, 5 * step, 7 * step)

    restored = page.restore(result(page, page_box, part))

    assert (restored.width, restored.height) == (16, 16)
    assert restored.boxes == (Box(0, 0, 16, 16), Box(3, 4, 5, 7))


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 200), st.integers(1, 200))
def test_restored_boxes_are_inside_the_page(x: int, y: int, width: int, height: int) -> None:
    page = enlarged(tight(16))
    box = Box(x, y, width, height)

    (restored,) = page.restore(result(page, box)).boxes

    assert 0 <= restored.x < restored.x + restored.width <= 16
    assert 0 <= restored.y < restored.y + restored.height <= 16


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.booleans(),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_any_picture_is_enlarged_as_a_whole(rows: int, columns: int, colour: bool, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (rows, columns, 3) if colour else (rows, columns)
    picture = rng.integers(0, 256, levels)[rng.integers(0, levels, shape)].astype(np.uint8)

    page = enlarge(sheet(picture))

    if page is not None:
        assert (page.sheet.width, page.sheet.height) == (large(page).shape[1], large(page).shape[0])
        assert max(large(page).shape[:2]) >= 112
        start, size = page.factor * page.padding, (page.factor * columns, page.factor * rows)
        inner = large(page)[start : start + size[1], start : start + size[0]]
        assert inner.shape[:2] == size[::-1]


def test_two_levels_in_equal_parts_take_the_corners_for_paper() -> None:
    picture = fill(np.full((16, 16), 250, np.uint8), 4, 0, 12, 16, level=10)

    assert large(enlarged(picture))[0, 0] == pytest.approx(250, abs=6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_dark_band_along_a_side_is_no_character(side: str) -> None:
    picture = fill(np.full((38, 38), 230, np.uint8), *((0, 0, 4, 38) if side == "left" else (34, 0, 38, 38)), 120)

    assert enlarge(sheet(picture)) is None
    assert enlarge(sheet(fill(picture, 10, 10, 28, 28, 120))) is not None
