"""Segmenter: the window zooms in on the main character, for pages of any shape."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitrec.recognition.segmenter import CROP_PX, CropWindow, SegmentedCrop, Segmenter, whole_page_window
from digitrec.types import Box
from tests.recognition import stand_ins
from tests.recognition.stand_ins import dark, ink_by, paper


@pytest.mark.parametrize(
    ("height", "width", "square"),
    [
        (200, 200, (90, 80, 40)),
        (200, 320, (210, 60, 50)),
        (640, 240, (40, 500, 60)),
        (200, 200, (0, 0, 40)),
        (300, 200, (160, 260, 40)),
        (1024, 768, (400, 900, 70)),
        (30, 30, (9, 10, 12)),
    ],
    ids=[
        "middle",
        "wide page",
        "high page",
        "upper left corner",
        "lower right corner",
        "small on a large page",
        "tiny",
    ],
)
def test_a_dark_square_is_seen_closely_where_it_is(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, square: tuple[int, int, int]
) -> None:
    left, top, side = square
    seen = ink_by(monkeypatch, dark).segment_zoomed(paper(height, width, square))

    assert seen is not None
    assert 1.1 * side < seen.window.side < 2.2 * side
    assert seen.window.left < left + 0.1 * side
    assert seen.window.left + seen.window.side > left + 0.9 * side
    x, y, wide, high = box_of(seen)
    assert (x, y, wide, high) == pytest.approx((left, top, side, side), abs=0.12 * side)


def test_the_much_larger_character_is_the_main_character(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = ink_by(monkeypatch, dark).segment_zoomed(paper(300, 300, (40, 120, 60), (250, 20, 10)))

    assert seen is not None
    assert box_of(seen) == pytest.approx((40, 120, 60, 60), abs=8)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (28, 28)])
def test_a_page_on_which_nothing_is_seen_has_no_sign(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    assert ink_by(monkeypatch, stand_ins.nothing).segment_zoomed(paper(*shape)) is None
    assert ink_by(monkeypatch, dark).segment_zoomed(paper(*shape)) is None


def test_dirt_is_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ink_by(monkeypatch, dark).segment_zoomed(paper(200, 200, (100, 100, 6))) is None


def test_ink_seen_beyond_the_page_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ink_by(monkeypatch, stand_ins.beyond).segment_zoomed(paper(3, 2000)) is None


@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 999))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_model_output_on_any_page_gives_a_result(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)

    def blots(entry: np.ndarray) -> np.ndarray:
        ink = np.zeros_like(entry)
        x, y, side = rng.integers(0, CROP_PX, 3)
        ink[:, y : y + side, x : x + side] = 1
        return ink

    seen = ink_by(monkeypatch, blots).segment_zoomed(rng.uniform(0, 255, (height, width)).astype(np.float32))

    assert seen is None or (seen.ink.shape == (CROP_PX, CROP_PX) and seen.window.side > 0)


def test_beyond_the_page_its_border_goes_on_and_ink_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = []

    def looks(entry: np.ndarray) -> np.ndarray:
        inputs.append(entry[0])
        return np.ones_like(entry)

    gray = np.random.default_rng(0).uniform(0, 255, (40, 80)).astype(np.float32)
    seen = ink_by(monkeypatch, looks).segment(gray, CropWindow(-40, -60, 160))

    (entry,) = inputs
    page = entry[24:40, 16:48]
    assert np.abs(page).min(axis=1).max() > 0
    np.testing.assert_array_equal(entry, np.pad(page, ((24, 24), (16, 16)), "edge"))
    assert seen.part == Box(16, 24, 32, 16)
    np.testing.assert_array_equal(seen.ink, np.pad(np.ones((16, 32)), ((24, 24), (16, 16))))


def test_a_coarse_segmentation_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def noted(entry: np.ndarray) -> np.ndarray:
        looks.append(entry)
        return dark(entry)

    network, page = ink_by(monkeypatch, noted), paper(320, 240, (100, 80, 40))
    small = cv2.resize(page, (48, 64), interpolation=cv2.INTER_AREA)
    coarse = network.segment(small, whole_page_window(small))
    looks.clear()

    seen = network.segment_zoomed(page, coarse)

    assert seen is not None
    assert box_of(seen) == pytest.approx((100, 80, 40, 40), abs=3)
    again, closely = len(looks), network.segment_zoomed(page)
    assert closely is not None
    assert len(looks) == again + again + 1


def test_the_zoom_window_holds_all_heavy_components() -> None:
    ink = np.zeros((CROP_PX, CROP_PX), np.float32)
    ink[10:30, 20:24] = 1
    ink[12:22, 40:44] = 1
    ink[60, 60] = 1

    near = Segmenter.zoom_window(SegmentedCrop(CropWindow(100, 200, 128), ink, Box(0, 0, CROP_PX, CROP_PX)))

    # 20..44 across and 10..30 down in the window are 140..188 and 220..260 on the page.
    assert near == CropWindow(164 - 36, 240 - 36, 72)


def box_of(seen: SegmentedCrop) -> tuple[float, float, float, float]:
    """Where the ink is on the page: left, top, width, height."""
    rows, columns = np.flatnonzero(seen.ink.any(axis=1)), np.flatnonzero(seen.ink.any(axis=0))
    scale = seen.window.side / CROP_PX
    return (
        float(seen.window.left + columns[0] * scale),
        float(seen.window.top + rows[0] * scale),
        float((columns[-1] + 1 - columns[0]) * scale),
        float((rows[-1] + 1 - rows[0]) * scale),
    )
