"""Tests of the drawing surface: layout, text and scaling."""

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition import canvas
from digitrec.recognition.geometry import Rect


def shows(sheet: Picture, part: Picture) -> bool:
    """Return True if a picture stands somewhere on the sheet, each pixel of it."""
    return bool(cv2.matchTemplate(sheet, canvas.to_rgb(part), cv2.TM_SQDIFF_NORMED).min() < 1e-5)


def test_parts_are_laid_out_in_rows_without_touching() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (high, wide, 3)).astype(np.uint8) for high, wide in ((40, 700), (90, 300), (20, 400))]

    for sheet in (canvas.hstack(parts), canvas.vstack(parts)):
        assert all(shows(sheet, part) for part in parts)
    assert canvas.hstack(parts).shape[1] <= canvas.WIDTH
    assert shows(canvas.add_border(parts[0]), parts[0])


def test_text_is_wrapped_at_the_width() -> None:
    line = "a sentence that goes on for quite a while " * 4

    narrow, wide = canvas.text_block([line], width=300), canvas.text_block([line], width=1200)

    assert narrow.shape[1] < 340
    assert narrow.shape[0] > 2 * wide.shape[0]


def test_small_pictures_scale_up_by_integers_and_large_ones_down_to_fit() -> None:
    assert canvas.fit_into(np.zeros((28, 28), np.uint8), 224, 224).shape == (224, 224, 3)
    assert canvas.fit_into(np.zeros((100, 300), np.uint8), 376, 376).shape == (100, 300, 3)
    assert canvas.fit_into(np.zeros((1000, 3000, 3), np.uint8), 376, 376).shape == (125, 376, 3)
    assert canvas.fit_into(np.zeros((3, 2000), np.uint8), 376, 376).shape == (1, 376, 3)


@pytest.mark.parametrize(
    ("top", "bottom", "first", "last"), [(0.5, 0.7, 30, 49), (0.0, 0.5, 50, 69), (0.0, 1.0, 1, 20)]
)
def test_the_name_of_a_frame_is_above_below_or_in_it(top: float, bottom: float, first: int, last: int) -> None:
    picture = np.full((100, 200, 3), 255, np.uint8)

    canvas.draw_rect(picture, Rect(0.5, top, 1.0, bottom), canvas.GREEN, "12")

    inked = (picture[:, 101:199] != 255).any(axis=(1, 2))
    named = np.flatnonzero(inked & ~(picture[:, 101:199] == canvas.GREEN).all(axis=(1, 2)))
    assert first <= named.min() <= named.max() <= last
    assert (picture[:, :100] == 255).all()


def test_a_mask_of_another_size_tints_its_share_of_the_picture() -> None:
    picture = np.full((40, 60), 200, np.uint8)
    mask = np.zeros((20, 30), np.bool_)
    mask[:, :10] = True

    mixed = canvas.tint(picture, mask, (0, 100, 200), 0.5)

    assert (mixed[:, :20] == (100, 150, 200)).all()
    assert (mixed[:, 20:] == 200).all()
    assert (picture == 200).all()
