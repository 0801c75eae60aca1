from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from digitrec.arrays import Picture
from digitrec.recognition import preprocess
from digitrec.recognition.page_ink import find_page_ink
from digitrec.recognition.preprocess import GrayPage
from digitrec.types import Reason
from tests.drawing import ink_of, page_of, read_page, unlike

SIDES = st.integers(1, 70)
SHAPES = st.one_of(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES, st.just(3)))
TEXTS = st.sampled_from("0123456789")


def lit(page: Picture, light: np.ndarray) -> Picture:
    return np.clip(page * light, 0, 255).astype(np.uint8)


def with_lines(page: Picture, *, level: int, down: bool) -> Picture:
    ruled = page.copy()
    for y in range(10, page.shape[0], 34):
        cv2.line(ruled, (0, y), (page.shape[1], y + 3), level, 1, cv2.LINE_AA)
    for x in range(12, page.shape[1], 34) if down else ():
        cv2.line(ruled, (x, 0), (x, page.shape[0]), level, 1, cv2.LINE_AA)
    return np.minimum(ruled, page)


@pytest.mark.slow
@given(stn.arrays(np.uint8, SHAPES))
@settings(max_examples=100, deadline=None)
def test_ink_is_between_0_and_1_for_any_picture(picture: Picture) -> None:
    ink = find_page_ink(picture).ink

    assert ink.shape == picture.shape[:2]
    assert ink.dtype == np.float32
    assert np.isfinite(ink).all()
    assert ink.min() >= 0
    assert ink.max() <= 1


@pytest.mark.slow
@given(TEXTS, st.integers(0, 60), st.integers(190, 255), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_a_negative_reads_like_its_positive(text: str, dark: int, paper: int, thick: int) -> None:
    page = page_of(text, ink=dark, paper=paper, thick=thick)

    np.testing.assert_allclose(ink_of(255 - page), ink_of(page), atol=0.02)


@pytest.mark.slow
@given(TEXTS, st.integers(-14, 20), st.integers(-18, 20))
@settings(max_examples=40, deadline=None)
def test_a_digit_moved_on_its_paper_gives_nearly_the_same(text: str, right: int, down: int) -> None:
    at_home = ink_of(page_of(text, size=(140, 110)))

    assert unlike(at_home, ink_of(page_of(text, size=(140, 110), at=(24 + right, 90 + down)))) < 0.05


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_digit_scanned_finer_gives_nearly_the_same(factor: int) -> None:
    page = page_of("2")
    fine = cv2.resize(page, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)

    assert unlike(ink_of(page), ink_of(fine)) < 0.2


@pytest.mark.parametrize("slope", [(0.5, 0.0), (0.0, 0.5), (-0.4, 0.3)])
def test_an_illumination_gradient_does_not_change_the_digit(slope: tuple[float, float]) -> None:
    page = page_of("5")
    y, x = np.mgrid[-1 : 1 : page.shape[0] * 1j, -1 : 1 : page.shape[1] * 1j]

    shaded = lit(page, 0.7 + slope[0] * x / 2 + slope[1] * y / 2)

    assert unlike(ink_of(page), ink_of(shaded)) < 0.1


def test_a_shadow_over_half_the_page_is_no_ink() -> None:
    page = page_of("3", size=(160, 160), at=(50, 110))
    across = np.linspace(-1, 1, 160)[None]

    shaded = lit(page, 1 - 0.45 / (1 + np.exp(-across * 12)))

    assert unlike(ink_of(page), ink_of(shaded)) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("down", [False, True], ids=["ruled", "grid"])
@pytest.mark.parametrize(
    ("text", "level"),
    # The foot of the 2 touches a rule: where that is as dark as the pen, nothing tells them apart.
    [*product("0235", [190, 130]), *product("035", [60])],
)
def test_ruled_lines_and_grids_are_left_out(text: str, level: int, down: bool) -> None:
    page = page_of(text, size=(170, 150), at=(40, 125), scale=3.2, thick=7)

    assert unlike(ink_of(page), ink_of(with_lines(page, level=level, down=down))) < 0.3


def test_the_dark_frame_of_a_cell_is_left_out() -> None:
    page = page_of("4", size=(140, 120), at=(40, 100))
    framed = page.copy()
    framed[:9] = framed[:, -7:] = 60

    assert unlike(ink_of(page), ink_of(framed)) < 0.05


def test_a_box_drawn_around_the_digit_is_left_out() -> None:
    page = page_of("6", size=(140, 120), at=(36, 100), scale=2)
    boxed = page.copy()
    cv2.rectangle(boxed, (5, 5), (113, 133), 60, 2)

    assert unlike(ink_of(page), ink_of(boxed)) < 0.05


@pytest.mark.parametrize(
    ("pen", "paper"),
    [
        ((250, 240, 60), (255, 255, 255)),
        ((140, 235, 60), (245, 245, 245)),
        ((200, 40, 40), (235, 225, 205)),
        ((30, 40, 160), (200, 215, 235)),
        ((250, 250, 250), (30, 70, 40)),
    ],
    ids=["yellow", "neon green", "red on cream", "blue on blue", "chalk on a green board"],
)
def test_a_pen_of_any_colour_is_read(pen: tuple[int, int, int], paper: tuple[int, int, int]) -> None:
    share = page_of("8", ink=255, paper=0)[..., None] / 255
    page = np.rint(share * np.array(pen) + (1 - share) * np.array(paper)).astype(np.uint8)

    assert unlike(ink_of(page_of("8")), ink_of(page)) < 0.1


def test_faint_pencil_on_grainy_paper_is_read() -> None:
    grain = np.random.default_rng(1).normal(0, 2.5, (120, 90))
    faint = np.clip(page_of("5", ink=195, paper=235) + grain, 0, 255).astype(np.uint8)

    assert unlike(ink_of(page_of("5")), ink_of(faint)) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("grain", [0, 1, 2, 4])
def test_empty_grainy_paper_in_uneven_light_has_no_digits(grain: float) -> None:
    rng = np.random.default_rng(0)
    light = np.linspace(180, 230, 100)[None] + np.zeros((80, 1))
    papers = np.clip(light + rng.normal(0, grain, (60, 80, 100)), 0, 255).astype(np.uint8)

    pages = [read_page(paper) for paper in papers]

    bare = [page for page in pages if not page.boxes]
    assert len(bare) >= 57, "its grain is seldom taken for light writing on dark"
    assert {page.reason for page in bare} <= {Reason.BLANK, Reason.OTHER_MARKS}
    assert {page.ink.shape for page in bare} == {(0, 28, 28)}


@given(stn.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(levels: np.ndarray, share: float) -> None:
    assert preprocess.quantiles(levels, share, 0.2) == np.quantile(levels, (share, 0.2)).tolist()
    np.testing.assert_allclose(preprocess.quantiles(levels, share), [np.quantile(levels, share)], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3), (7, 7, 3)])
def test_pages_too_small_for_a_digit_are_blank(shape: tuple[int, ...]) -> None:
    assert read_page(np.full(shape, 200, np.uint8)).reason is Reason.BLANK


def test_a_page_in_grey_is_seen_small_as_it_is() -> None:
    picture = page_of("5", size=(300, 200))

    page = GrayPage.of(picture)
    coloured = GrayPage.of(np.repeat(picture[..., None], 3, axis=2))

    np.testing.assert_array_equal(page.gray, picture)
    assert page.preview.shape == page.small.shape == (96, 64)
    np.testing.assert_allclose(page.preview, page.small, atol=0.5)
    np.testing.assert_allclose(coloured.gray, page.gray, atol=1e-3)
    np.testing.assert_allclose(coloured.small, page.small, atol=1e-3)
    np.testing.assert_array_equal(coloured.preview, page.preview)
