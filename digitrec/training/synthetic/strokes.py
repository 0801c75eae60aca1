"""Render glyphs as strokes of any size, pen, slant and wobble, from small pictures of digits and letters.

A glyph becomes a signed distance field once; a pen is a level of that field. A hairline and a marker come from the same
digit, at any size, without the blur of scaling.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture

Floats = NDArray[np.float32]

_UPSCALING = 2
"""Resolution of a distance field, relative to its glyph."""
_OUTSIDE = -6.0
"""Distance far away from any stroke, in pixels of the glyph."""


@dataclass(frozen=True, slots=True)
class HandwritingParams:
    """Distributions of handwriting styles, and limits of the pen; set by hand (results: docs/dev/accuracy.md)."""

    slant: tuple[float, float] = (0.08, 0.28)  # mean and standard deviation
    slant_limits: tuple[float, float] = (-0.6, 0.85)
    angle_deg: float = 4  # standard deviation
    usual_grow: tuple[float, float] = (-0.7, 0.5)  # range of `HandwritingStyle.grow` of usual pens
    marker_grow: tuple[float, float] = (0.5, 1.4)  # the same of markers
    usual: float = 0.8  # probability of a usual pen
    wobble: float = 0.9  # largest wobble, in pixels of 28
    width: float = 0.13  # standard deviation of the logarithm of the width ratio
    min_wobble: float = 0.05  # below this, strokes are not distorted
    thinnest: float = 0.66
    """Part of the typical half stroke width that a pen may take away: a thinner pen would leave gaps."""


PARAMS = HandwritingParams()


@dataclass(frozen=True, slots=True)
class HandwritingStyle:
    """Style of one line of handwriting."""

    slant: float
    angle: float
    """Radians."""
    grow: float
    """Half of the difference between the widths of pen and glyph, in pixels of 28; negative: thinner."""
    wobble: float
    """Standard deviation of the distortion, in pixels of 28."""
    narrow: float
    """Width relative to the glyph's own width."""


def random_style(rng: Generator) -> HandwritingStyle:
    """Return a random handwriting style."""
    return HandwritingStyle(
        slant=float(np.clip(rng.normal(*PARAMS.slant), *PARAMS.slant_limits)),
        angle=float(np.deg2rad(rng.normal(0, PARAMS.angle_deg))),
        grow=float(rng.uniform(*(PARAMS.usual_grow if rng.random() < PARAMS.usual else PARAMS.marker_grow))),
        wobble=float(rng.uniform(0, PARAMS.wobble)),
        narrow=float(np.exp(rng.normal(0, PARAMS.width))),
    )


def distance_field(glyph: Picture) -> Floats:
    """Return the distance to the edge of the stroke, positive inside, in pixels of the glyph: twice its size.

    Args:
        glyph: (h, w), 0 = paper, 255 = ink.
    """
    enlarged = cv2.resize(glyph, None, fx=_UPSCALING, fy=_UPSCALING, interpolation=cv2.INTER_CUBIC)
    body = (cv2.GaussianBlur(enlarged, (0, 0), 0.8) > 110).astype(np.uint8)
    inside = cv2.distanceTransform(body, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - body, cv2.DIST_L2, 3)
    return np.asarray((inside - outside) / _UPSCALING, np.float32)


def bounding_box(field: Floats) -> tuple[float, float, float, float]:
    """Return the box of the strokes of a distance field: left, top, right, bottom in pixels of the glyph."""
    rows, columns = np.flatnonzero(field.max(axis=1) > 0), np.flatnonzero(field.max(axis=0) > 0)
    if rows.size == 0:
        return 0.0, 0.0, 1.0, 1.0
    return columns[0] / _UPSCALING, rows[0] / _UPSCALING, (columns[-1] + 1) / _UPSCALING, (rows[-1] + 1) / _UPSCALING


def write_glyph(
    canvas: Floats,
    field: Floats,
    style: HandwritingStyle,
    centre: tuple[float, float],
    scale: float,
    rng: Generator,
    edge_px: float = 1.0,
) -> Floats:
    """Write a glyph onto a canvas, (h, w), 0.0 = paper, 1.0 = ink, in place.

    Args:
        canvas: keeps its darker pixels.
        field: distance field of the glyph.
        style: handwriting style.
        centre: position of the centre of the strokes, (x, y) in pixels of the canvas.
        scale: pixels of the canvas per pixel of the glyph.
        rng: generator of the wobble.
        edge_px: width of the soft edge of strokes, pixels of the canvas.

    Returns:
        The ink of this glyph alone, in the canvas' shape.
    """
    left, top, right, bottom = bounding_box(field)
    height, width = canvas.shape
    reach = 0.75 * scale * max(right - left, bottom - top) + 3 * scale
    x0, x1 = max(0, int(centre[0] - reach)), min(width, int(centre[0] + reach) + 2)
    y0, y1 = max(0, int(centre[1] - reach)), min(height, int(centre[1] + reach) + 2)
    ink = np.zeros_like(canvas)
    if x0 >= x1 or y0 >= y1:
        return ink
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    x = (x - np.float32(centre[0])) / np.float32(scale)
    y = (y - np.float32(centre[1])) / np.float32(scale)
    cos, sin = np.float32(np.cos(style.angle)), np.float32(np.sin(style.angle))
    x, y = cos * x + sin * y, cos * y - sin * x
    x = (x + np.float32(style.slant) * y) / np.float32(style.narrow)
    if style.wobble > PARAMS.min_wobble:
        bend = rng.normal(0.0, style.wobble, (2, 4, 4)).astype(np.float32)
        size = (x1 - x0, y1 - y0)
        x = x + cv2.resize(bend[0], size, interpolation=cv2.INTER_LINEAR)
        y = y + cv2.resize(bend[1], size, interpolation=cv2.INTER_LINEAR)
    from_x = (x + np.float32((left + right) / 2)) * _UPSCALING - np.float32(0.5)
    from_y = (y + np.float32((top + bottom) / 2)) * _UPSCALING - np.float32(0.5)
    distance = cv2.remap(field, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=_OUTSIDE)
    inside = field[field > 0]
    thinnest = -PARAMS.thinnest * float(np.quantile(inside[::4], 0.7)) if inside.size else 0.0
    grow = max(style.grow, thinnest)
    ink[y0:y1, x0:x1] = np.clip((distance + np.float32(grow)) * np.float32(scale / edge_px) + np.float32(0.5), 0, 1)
    np.maximum(canvas, ink, out=canvas)
    return ink
