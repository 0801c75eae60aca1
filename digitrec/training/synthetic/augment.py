"""Augment digits: other handwriting and pens for the same digit.

A picture is (28, 28) uint8, 0 = paper, 255 = ink; `augment` returns ink as preprocessing does: float32 in 0..1. The
result depends only on the pictures and the generator, so that a training can be repeated bit by bit.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Ink, Picture
from digitrec.training.synthetic.strokes import Floats

SIDE = 28
_CENTRE = (SIDE - 1) / 2
_GRID_Y, _GRID_X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)


@dataclass(frozen=True, slots=True)
class AugmentParams:
    """Strength and frequency of the augmentations; set by hand (results: docs/dev/accuracy.md)."""

    neighbour: float = 0.06  # probability that a part of the next digit reaches in
    pen: float = 0.4  # probability of another pen
    cut: float = 0.05  # probability that the outermost rows or columns of ink are lost
    slight_pen: float = 0.15  # probability of another pen in `augment_slightly`
    slight: float = 0.4  # strength of `augment_slightly`, as a share of that of `augment`
    angle_deg: float = 6.0  # standard deviation of the rotation
    slant: float = 0.12  # standard deviation of the shear
    scale: float = 0.15  # largest change of width and height
    shift_px: float = 2.0
    bend_px: float = 1.1  # largest standard deviation of the elastic distortion
    regional: float = 0.4  # probability that a one or a seven gets regional strokes
    flag: float = 0.75  # probability that such a one has a flag
    foot: float = 0.4  # probability that such a one has a foot


PARAMS = AugmentParams()


def augment(pictures: Picture, digits: NDArray[np.int64], rng: Generator) -> Ink:
    """Augment each picture: (n, 28, 28) uint8 and its (n,) digits in, (n, 28, 28) ink out.

    >>> augment(np.zeros((2, 28, 28), np.uint8), np.array([1, 7]), np.random.default_rng(0)).shape
    (2, 28, 28)
    """
    ink = np.empty(pictures.shape, np.float32)
    for index, (picture, digit) in enumerate(zip(pictures, digits, strict=True)):
        level = _to_ink(add_regional_strokes(picture, int(digit), rng))
        if rng.random() < PARAMS.neighbour:
            level = _add_neighbour(level, pictures[rng.integers(len(pictures))], rng)
        level = _warp(level, rng)
        if rng.random() < PARAMS.pen:
            level = _change_pen(level, rng)
        if rng.random() < PARAMS.cut:
            level = _cut_edge(level, rng)
        ink[index] = level
    return np.clip(ink, 0.0, 1.0)


def augment_slightly(pictures: Picture, rng: Generator) -> Ink:
    """Augment pictures of synthetic pages, which vary already: (n, 28, 28) uint8 in, (n, 28, 28) ink out.

    >>> augment_slightly(np.zeros((2, 28, 28), np.uint8), np.random.default_rng(0)).shape
    (2, 28, 28)
    """
    ink = np.empty(pictures.shape, np.float32)
    for index, picture in enumerate(pictures):
        level = _warp(_to_ink(picture), rng, PARAMS.slight)
        ink[index] = _change_pen(level, rng) if rng.random() < PARAMS.slight_pen else level
    return np.clip(ink, 0.0, 1.0)


def _warp(level: Floats, rng: Generator, strength: float = 1.0) -> Floats:
    """Rotate, scale, shear, shift and bend, in one resampling so that strokes stay sharp."""
    angle = np.deg2rad(rng.normal(0.0, PARAMS.angle_deg * strength))
    slant = rng.normal(0.0, PARAMS.slant * strength)
    scale_x, scale_y = rng.uniform(1 - PARAMS.scale * strength, 1 + PARAMS.scale * strength, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    shift_x, shift_y = rng.uniform(-PARAMS.shift_px * strength, PARAMS.shift_px * strength, 2)
    x, y = _GRID_X - np.float32(_CENTRE + shift_x), _GRID_Y - np.float32(_CENTRE + shift_y)
    from_x = (cos * x + sin * y + slant * y) / scale_x + _CENTRE
    from_y = (cos * y - sin * x) / scale_y + _CENTRE
    bend = rng.normal(0.0, rng.uniform(0.0, PARAMS.bend_px * strength), (2, 5, 5)).astype(np.float32)
    from_x += cv2.resize(bend[0], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    from_y += cv2.resize(bend[1], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return _floats(cv2.remap(level, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR))


def _add_neighbour(level: Floats, other: Picture, rng: Generator) -> Floats:
    """Add a part of the next digit at the left or right edge, as in a tight crop of a number."""
    side = int(rng.integers(15, 22))
    neighbour = np.zeros_like(level)
    if rng.random() < 0.5:
        neighbour[:, side:] = _to_ink(other[:, : SIDE - side])
    else:
        neighbour[:, : SIDE - side] = _to_ink(other[:, side:])
    return np.maximum(level, neighbour)


def _change_pen(level: Floats, rng: Generator) -> Floats:
    """Make strokes thicker, thinner, softer or fainter."""
    kind = rng.integers(4)
    amount = np.float32(rng.uniform(0.2, 0.9))
    kernel = np.ones((2, 2) if rng.random() < 0.5 else (3, 3), np.uint8)
    if kind == 0:
        return level + amount * (_floats(cv2.dilate(level, kernel)) - level)
    if kind == 1:
        thin = level + amount * (_floats(cv2.erode(level, kernel)) - level)
        # A hairline would vanish, and an empty picture has no right answer.
        return thin if thin.sum() > 0.4 * level.sum() else level
    if kind == 2:
        return _floats(cv2.GaussianBlur(level, (5, 5), float(0.3 + 0.6 * amount)))
    return _floats(np.power(level, np.float32(0.5 + 1.5 * amount)))


def _cut_edge(level: Floats, rng: Generator) -> Floats:
    """Remove the outermost one or two rows of ink on one side, as a tight crop does."""
    turns = int(rng.integers(4))
    rotated = np.rot90(level, turns).copy()
    rows = np.flatnonzero(rotated.max(axis=1) > 0.2)
    if len(rows) > 10:
        rotated[: rows[0] + rng.integers(1, 3)] = 0.0
    return np.rot90(rotated, -turns).copy()


def add_regional_strokes(picture: Picture, digit: int, rng: Generator) -> Picture:
    """Cross some sevens, and give some ones a flag or foot: rare in MNIST, usual in half of the world."""
    if digit not in {1, 7} or rng.random() < 1 - PARAMS.regional:
        return picture
    rows = np.flatnonzero(picture.max(axis=1) > 100)
    if len(rows) < 10:
        return picture
    canvas = picture.copy()
    pen = int(rng.integers(1, 4))
    top, bottom = int(rows[0]), int(rows[-1])
    if digit == 7:
        row = round(top + (bottom - top) * rng.uniform(0.45, 0.62))
        _draw_bar(canvas, _find_stem(picture, row), row, pen, rng)
        return canvas
    if rng.random() < PARAMS.flag:
        stem = _find_stem(picture, top + 1)
        # In much of Europe the flag reaches down to half the stem; only its slope differs from a seven's bar.
        back = rng.uniform(2.0, 9.0)
        down = rng.uniform(0.7 * back, max(0.7 * back, 0.65 * (bottom - top)))
        cv2.line(canvas, (stem, top), (round(stem - back), round(top + down)), 255, pen, cv2.LINE_AA)
    if rng.random() < PARAMS.foot:
        _draw_bar(canvas, _find_stem(picture, bottom - 1), bottom, pen, rng)
    return canvas


def _find_stem(picture: Picture, row: int) -> int:
    """Return the column of the stroke in a row, the rightmost one of several."""
    return int(np.flatnonzero(picture[row] >= picture[row].max())[-1])


def _draw_bar(picture: Picture, x: int, y: int, pen: int, rng: Generator) -> None:
    """Draw a nearly horizontal stroke through (x, y), in place."""
    left, right = rng.uniform(3.0, 6.0, 2)
    tilt = rng.uniform(-1.5, 1.5)
    start, end = (round(x - left), round(y + tilt)), (round(x + right), round(y - tilt))
    cv2.line(picture, start, end, 255, pen, cv2.LINE_AA)


def _to_ink(picture: Picture) -> Floats:
    """Return levels 0..255 as ink 0.0..1.0."""
    return _floats(picture) / np.float32(255)


def _floats(array: object) -> Floats:
    return np.asarray(array, np.float32)
