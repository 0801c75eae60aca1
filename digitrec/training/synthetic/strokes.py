"""Glyphs as strokes: any size, pen, slant and wobble, from small pictures of digits and letters.

A glyph becomes a signed distance field once; a pen is then a level in it, so that a hairline and a marker come from
the same digit, at any size, without the blur of scaling.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture

Floats = NDArray[np.float32]

_FINE = 2
"""Distance fields are worked out at this many times the glyph's size."""
_OUTSIDE = -6.0
"""Distance that stands for far away from any stroke, in pixels of the glyph."""


@dataclass(frozen=True, slots=True)
class HandwritingStyle:
    """How one person writes one line."""

    slant: float
    angle: float
    """Radians."""
    grow: float
    """How much wider the pen is than the glyph's, on either side, in pixels of 28; negative: thinner."""
    wobble: float
    """How far strokes stray, in pixels of 28."""
    narrow: float
    """Width over the glyph's own width."""


def random_style(rng: Generator) -> HandwritingStyle:
    """Any person."""
    return HandwritingStyle(
        slant=float(np.clip(rng.normal(0.08, 0.28), -0.6, 0.85)),
        angle=float(np.deg2rad(rng.normal(0, 4))),
        grow=float(rng.uniform(-0.7, 0.5) if rng.random() < 0.8 else rng.uniform(0.5, 1.4)),
        wobble=float(rng.uniform(0, 0.9)),
        narrow=float(np.exp(rng.normal(0, 0.13))),
    )


def distance_field(glyph: Picture) -> Floats:
    """How far each spot lies inside the stroke, negative outside, in pixels of the glyph: twice its size.

    Args:
        glyph: (h, w), 0 = paper, 255 = ink.
    """
    large = cv2.resize(glyph, None, fx=_FINE, fy=_FINE, interpolation=cv2.INTER_CUBIC)
    body = (cv2.GaussianBlur(large, (0, 0), 0.8) > 110).astype(np.uint8)
    inside = cv2.distanceTransform(body, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - body, cv2.DIST_L2, 3)
    return np.asarray((inside - outside) / _FINE, np.float32)


def bounding_box(field: Floats) -> tuple[float, float, float, float]:
    """Where the strokes of a distance field are: left, top, right, bottom in pixels of the glyph."""
    rows, columns = np.flatnonzero(field.max(axis=1) > 0), np.flatnonzero(field.max(axis=0) > 0)
    if rows.size == 0:
        return 0.0, 0.0, 1.0, 1.0
    return columns[0] / _FINE, rows[0] / _FINE, (columns[-1] + 1) / _FINE, (rows[-1] + 1) / _FINE


def write_glyph(
    canvas: Floats,
    field: Floats,
    hand: HandwritingStyle,
    middle: tuple[float, float],
    scale: float,
    rng: Generator,
    soft: float = 1.0,
) -> Floats:
    """Write a glyph onto a canvas, (h, w), 0.0 = paper, 1.0 = ink, in place.

    Args:
        canvas: keeps what is darker there.
        field: the glyph's distance field.
        hand: who writes.
        middle: where the middle of the glyph's strokes goes, (x, y) in pixels of the canvas.
        scale: pixels of the canvas for one pixel of the glyph.
        rng: random generator of the wobble.
        soft: width of the stroke's edge, pixels of the canvas.

    Returns:
        The ink of this glyph alone, in the canvas' shape.
    """
    left, top, right, bottom = bounding_box(field)
    height, width = canvas.shape
    reach = 0.75 * scale * max(right - left, bottom - top) + 3 * scale
    x0, x1 = max(0, int(middle[0] - reach)), min(width, int(middle[0] + reach) + 2)
    y0, y1 = max(0, int(middle[1] - reach)), min(height, int(middle[1] + reach) + 2)
    alone = np.zeros_like(canvas)
    if x0 >= x1 or y0 >= y1:
        return alone
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    x = (x - np.float32(middle[0])) / np.float32(scale)
    y = (y - np.float32(middle[1])) / np.float32(scale)
    cos, sin = np.float32(np.cos(hand.angle)), np.float32(np.sin(hand.angle))
    x, y = cos * x + sin * y, cos * y - sin * x
    x = (x + np.float32(hand.slant) * y) / np.float32(hand.narrow)
    if hand.wobble > 0.05:
        bend = rng.normal(0.0, hand.wobble, (2, 4, 4)).astype(np.float32)
        size = (x1 - x0, y1 - y0)
        x = x + cv2.resize(bend[0], size, interpolation=cv2.INTER_LINEAR)
        y = y + cv2.resize(bend[1], size, interpolation=cv2.INTER_LINEAR)
    from_x = (x + np.float32((left + right) / 2)) * _FINE - np.float32(0.5)
    from_y = (y + np.float32((top + bottom) / 2)) * _FINE - np.float32(0.5)
    distance = cv2.remap(field, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=_OUTSIDE)
    # A pen thinner than the glyph's would leave gaps where its strokes are thin: never below a third of the typical.
    inside = field[field > 0]
    thinnest = -0.66 * float(np.quantile(inside[::4], 0.7)) if inside.size else 0.0
    grow = max(hand.grow, thinnest)
    ink = np.clip((distance + np.float32(grow)) * np.float32(scale / soft) + np.float32(0.5), 0, 1)
    alone[y0:y1, x0:x1] = ink
    np.maximum(canvas, alone, out=canvas)
    return alone
