"""Other ways the same hand might have written the same digit.

A picture is (28, 28) uint8, 0 = paper, 255 = ink; `augment` gives ink as imaging would: float32 in 0..1. What comes out
depends only on the pictures and the generator handed in, so a training run can be repeated to the bit.
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Ink, Picture

Floats = NDArray[np.float32]

SIDE = 28
_MIDDLE = (SIDE - 1) / 2
_SLIGHTLY = 0.4
"""Share of the turns, slants and shifts of `augment`."""
_GRID_Y, _GRID_X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)


def augment(pictures: Picture, digits: NDArray[np.int64], rng: Generator) -> Ink:
    """Vary each picture: (n, 28, 28) uint8 and its (n,) digits in, (n, 28, 28) ink out.

    >>> augment(np.zeros((2, 28, 28), np.uint8), np.array([1, 7]), np.random.default_rng(0)).shape
    (2, 28, 28)
    """
    ink = np.empty(pictures.shape, np.float32)
    for index, (picture, digit) in enumerate(zip(pictures, digits, strict=True)):
        level = _floats(add_regional_strokes(picture, int(digit), rng)) / np.float32(255)
        if rng.random() < 0.06:
            level = _beside(level, pictures[rng.integers(len(pictures))], rng)
        level = _warp(level, rng)
        if rng.random() < 0.4:
            level = _other_pen(level, rng)
        if rng.random() < 0.05:
            level = _cut_off(level, rng)
        ink[index] = level
    return np.clip(ink, 0.0, 1.0)


def augment_slightly(pictures: Picture, rng: Generator) -> Ink:
    """Vary what drawing, pen and paper have varied before: (n, 28, 28) uint8 in, (n, 28, 28) ink out.

    >>> augment_slightly(np.zeros((2, 28, 28), np.uint8), np.random.default_rng(0)).shape
    (2, 28, 28)
    """
    ink = np.empty(pictures.shape, np.float32)
    for index, picture in enumerate(pictures):
        level = _warp(_floats(picture) / np.float32(255), rng, _SLIGHTLY)
        ink[index] = _other_pen(level, rng) if rng.random() < 0.15 else level
    return np.clip(ink, 0.0, 1.0)


def _warp(level: Floats, rng: Generator, much: float = 1.0) -> Floats:
    """Turn, scale, slant, shift and bend, in one resampling so that strokes stay sharp."""
    angle = np.deg2rad(rng.normal(0.0, 6.0 * much))
    slant = rng.normal(0.0, 0.12 * much)
    wide, high = rng.uniform(1 - 0.15 * much, 1 + 0.15 * much, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    shift_x, shift_y = rng.uniform(-2.0 * much, 2.0 * much, 2)
    x, y = _GRID_X - np.float32(_MIDDLE + shift_x), _GRID_Y - np.float32(_MIDDLE + shift_y)
    from_x = (cos * x + sin * y + slant * y) / wide + _MIDDLE
    from_y = (cos * y - sin * x) / high + _MIDDLE
    bend = rng.normal(0.0, rng.uniform(0.0, 1.1 * much), (2, 5, 5)).astype(np.float32)
    from_x += cv2.resize(bend[0], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    from_y += cv2.resize(bend[1], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return _floats(cv2.remap(level, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR))


def _beside(level: Floats, other: Picture, rng: Generator) -> Floats:
    """Let a piece of the next digit reach in from the left or right, as a tight crop of a number does."""
    side = int(rng.integers(15, 22))
    neighbour = np.zeros_like(level)
    if rng.random() < 0.5:
        neighbour[:, side:] = _floats(other[:, : SIDE - side]) / np.float32(255)
    else:
        neighbour[:, : SIDE - side] = _floats(other[:, side:]) / np.float32(255)
    return np.maximum(level, neighbour)


def _other_pen(level: Floats, rng: Generator) -> Floats:
    """A thicker, thinner, softer or fainter stroke."""
    kind = rng.integers(4)
    amount = np.float32(rng.uniform(0.2, 0.9))
    kernel = np.ones((2, 2) if rng.random() < 0.5 else (3, 3), np.uint8)
    if kind == 0:
        return level + amount * (_floats(cv2.dilate(level, kernel)) - level)
    if kind == 1:
        thin = level + amount * (_floats(cv2.erode(level, kernel)) - level)
        # A hairline would be rubbed out, and a blank picture has no right answer.
        return thin if thin.sum() > 0.4 * level.sum() else level
    if kind == 2:
        return _floats(cv2.GaussianBlur(level, (5, 5), float(0.3 + 0.6 * amount)))
    return _floats(np.power(level, np.float32(0.5 + 1.5 * amount)))


def _cut_off(level: Floats, rng: Generator) -> Floats:
    """Lose the outermost one or two lines of ink on one side, as a tight crop does."""
    turns = int(rng.integers(4))
    turned = np.rot90(level, turns).copy()
    rows = np.flatnonzero(turned.max(axis=1) > 0.2)
    if len(rows) > 10:
        turned[: rows[0] + rng.integers(1, 3)] = 0.0
    return np.rot90(turned, -turns).copy()


def add_regional_strokes(picture: Picture, digit: int, rng: Generator) -> Picture:
    """Cross a seven, or give a one its flag or foot: half the world does, MNIST's writers seldom did."""
    if digit not in {1, 7} or rng.random() < 0.6:
        return picture
    rows = np.flatnonzero(picture.max(axis=1) > 100)
    if len(rows) < 10:
        return picture
    drawn = picture.copy()
    pen = int(rng.integers(1, 4))
    top, bottom = int(rows[0]), int(rows[-1])
    if digit == 7:
        row = round(top + (bottom - top) * rng.uniform(0.45, 0.62))
        _stroke_across(drawn, _stem(picture, row), row, pen, rng)
        return drawn
    if rng.random() < 0.75:
        stem = _stem(picture, top + 1)
        # In much of Europe the flag comes down to half the stem, and only its slope tells it from a seven's bar.
        back = rng.uniform(2.0, 9.0)
        down = rng.uniform(0.7 * back, max(0.7 * back, 0.65 * (bottom - top)))
        cv2.line(drawn, (stem, top), (round(stem - back), round(top + down)), 255, pen, cv2.LINE_AA)
    if rng.random() < 0.4:
        _stroke_across(drawn, _stem(picture, bottom - 1), bottom, pen, rng)
    return drawn


def _stem(picture: Picture, row: int) -> int:
    """Where the stroke crosses this row; its rightmost part where there are several."""
    return int(np.flatnonzero(picture[row] >= picture[row].max())[-1])


def _stroke_across(picture: Picture, x: int, y: int, pen: int, rng: Generator) -> None:
    """Draw a nearly level stroke through (x, y), in place."""
    left, right = rng.uniform(3.0, 6.0, 2)
    tilt = rng.uniform(-1.5, 1.5)
    start, end = (round(x - left), round(y + tilt)), (round(x + right), round(y - tilt))
    cv2.line(picture, start, end, 255, pen, cv2.LINE_AA)


def _floats(array: object) -> Floats:
    return np.asarray(array, np.float32)
